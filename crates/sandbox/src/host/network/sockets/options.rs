//! The options of sockets, kept here and given to the operating system whenever there is a socket of its own.
//!
//! Buffers are always set: the operating system's own would grow with what a server sends.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt;

use crate::bindings::sockets::network::{ErrorCode, IpAddressFamily};

/// Bytes of a buffer that the operating system keeps for one direction: at least a packet, at most what a fast link has
/// under way.
const BUFFER_BYTES: std::ops::RangeInclusive<u64> = 4 << 10..=128 << 10;

/// What Linux accepts as keep-alive times, in seconds (`tcp(7)`).
const KEEP_ALIVE_SECONDS: std::ops::RangeInclusive<u64> = 1..=32_767;

/// What Linux accepts as keep-alive count (`tcp(7)`).
const KEEP_ALIVE_COUNT: std::ops::RangeInclusive<u32> = 1..=127;

const NANOSECONDS: u64 = 1_000_000_000;

/// What TCP and UDP sockets have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    family: IpAddressFamily,
    hop_limit: u8,
    receive_bytes: u64,
    send_bytes: u64,
}

impl Options {
    pub(super) fn new(family: IpAddressFamily) -> Self {
        let largest = *BUFFER_BYTES.end();
        Self { family, hop_limit: 64, receive_bytes: largest, send_bytes: largest }
    }

    pub(super) fn hop_limit(&self) -> u8 {
        self.hop_limit
    }

    pub(super) fn set_hop_limit(&mut self, hops: u8) -> Result<(), ErrorCode> {
        self.hop_limit = positive(hops)?;
        Ok(())
    }

    /// Returns bytes.
    pub(super) fn receive_buffer(&self) -> u64 {
        self.receive_bytes
    }

    pub(super) fn set_receive_buffer(&mut self, bytes: u64) -> Result<(), ErrorCode> {
        self.receive_bytes = clamped(positive(bytes)?, BUFFER_BYTES);
        Ok(())
    }

    /// Returns bytes.
    pub(super) fn send_buffer(&self) -> u64 {
        self.send_bytes
    }

    pub(super) fn set_send_buffer(&mut self, bytes: u64) -> Result<(), ErrorCode> {
        self.send_bytes = clamped(positive(bytes)?, BUFFER_BYTES);
        Ok(())
    }

    /// Gives them to `socket`.
    pub(super) fn apply(&self, socket: impl AsFd) -> io::Result<()> {
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        sockopt::set_socket_recv_buffer_size(&socket, bytes(self.receive_bytes))?;
        sockopt::set_socket_send_buffer_size(&socket, bytes(self.send_bytes))?;
        match self.family {
            IpAddressFamily::Ipv4 => sockopt::set_ip_ttl(&socket, self.hop_limit.into())?,
            IpAddressFamily::Ipv6 => sockopt::set_ipv6_unicast_hops(&socket, Some(self.hop_limit))?,
        }
        Ok(())
    }
}

/// Whether and when a silent connection is asked for a sign of life. Times are in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeepAlive {
    pub(super) is_enabled: bool,
    idle: u64,
    interval: u64,
    count: u32,
}

impl Default for KeepAlive {
    /// Returns Linux's own.
    fn default() -> Self {
        Self { is_enabled: false, idle: 7_200 * NANOSECONDS, interval: 75 * NANOSECONDS, count: 9 }
    }
}

impl KeepAlive {
    pub(super) fn idle(&self) -> u64 {
        self.idle
    }

    pub(super) fn set_idle(&mut self, nanoseconds: u64) -> Result<(), ErrorCode> {
        self.idle = whole_seconds(nanoseconds)?;
        Ok(())
    }

    pub(super) fn interval(&self) -> u64 {
        self.interval
    }

    pub(super) fn set_interval(&mut self, nanoseconds: u64) -> Result<(), ErrorCode> {
        self.interval = whole_seconds(nanoseconds)?;
        Ok(())
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn set_count(&mut self, count: u32) -> Result<(), ErrorCode> {
        self.count = clamped(positive(count)?, KEEP_ALIVE_COUNT);
        Ok(())
    }

    /// Gives it to `socket`.
    pub(super) fn apply(&self, socket: impl AsFd) -> io::Result<()> {
        sockopt::set_socket_keepalive(&socket, self.is_enabled)?;
        sockopt::set_tcp_keepidle(&socket, Duration::from_nanos(self.idle))?;
        sockopt::set_tcp_keepintvl(&socket, Duration::from_nanos(self.interval))?;
        sockopt::set_tcp_keepcnt(&socket, self.count)?;
        Ok(())
    }
}

/// Returns `nanoseconds` as the operating system keeps them.
fn whole_seconds(nanoseconds: u64) -> Result<u64, ErrorCode> {
    Ok(clamped(positive(nanoseconds)? / NANOSECONDS, KEEP_ALIVE_SECONDS) * NANOSECONDS)
}

fn clamped<T: Ord + Copy>(value: T, range: std::ops::RangeInclusive<T>) -> T {
    value.clamp(*range.start(), *range.end())
}

fn positive<T: Default + PartialEq>(value: T) -> Result<T, ErrorCode> {
    if value == T::default() { Err(ErrorCode::InvalidArgument) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_values_are_refused_or_brought_into_range() {
        let mut options = Options::new(IpAddressFamily::Ipv4);
        assert_eq!(options.set_hop_limit(0), Err(ErrorCode::InvalidArgument));
        assert_eq!(options.set_receive_buffer(0), Err(ErrorCode::InvalidArgument));
        options.set_receive_buffer(u64::MAX).unwrap();
        options.set_send_buffer(1).unwrap();
        assert_eq!((options.receive_buffer(), options.send_buffer()), (128 << 10, 4 << 10));
        let mut alive = KeepAlive::default();
        assert_eq!(alive.set_idle(0), Err(ErrorCode::InvalidArgument));
        alive.set_idle(1).unwrap();
        alive.set_interval(u64::MAX).unwrap();
        alive.set_count(u32::MAX).unwrap();
        assert_eq!((alive.idle(), alive.interval(), alive.count()), (NANOSECONDS, 32_767 * NANOSECONDS, 127));
    }

    #[test]
    fn the_operating_system_gets_what_was_set() {
        let mut options = Options::new(IpAddressFamily::Ipv4);
        options.set_hop_limit(7).unwrap();
        options.set_receive_buffer(8 << 10).unwrap();
        let alive = KeepAlive { is_enabled: true, ..KeepAlive::default() };
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        options.apply(&socket).unwrap();
        alive.apply(&socket).unwrap();
        assert_eq!(sockopt::ip_ttl(&socket), Ok(7));
        // Linux doubles it, for its own bookkeeping (`socket(7)`).
        assert_eq!(sockopt::socket_recv_buffer_size(&socket), Ok(16 << 10));
        assert_eq!(sockopt::tcp_keepidle(&socket), Ok(Duration::from_hours(2)));
    }
}
