//! Datagrams in and out of one UDP socket.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::task::Context;

use policy::Scheme;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sockopt};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::Pollable;

use super::Sockets;
use super::convert::{canonical, destination, gate_code, io_code, unspecified};
use super::options::Options;
use super::peers::Peers;
use crate::bindings::sockets::network::{ErrorCode, IpAddressFamily};
use crate::bindings::sockets::udp::OutgoingDatagram;

/// Datagrams that one host call moves at most.
pub(super) const MAX_DATAGRAMS: usize = 16;

/// Datagrams from strangers that one host call drops at most.
const MAX_STRANGERS: usize = 256;

/// Bytes of the largest datagram that there is, and a few more.
const DATAGRAM_BYTES: usize = 64 << 10;

/// The operating system's socket, from when something was admitted that needs it.
pub(super) type Channel = Arc<OnceLock<Open>>;

/// A socket of the operating system's, on a port of its choice.
pub(super) struct Open {
    pub(super) socket: UdpSocket,
    /// One of the connections that the call may have.
    _slot: OwnedSemaphorePermit,
}

impl Open {
    fn new(family: IpAddressFamily, options: &Options, slot: OwnedSemaphorePermit) -> io::Result<Self> {
        let domain = match family {
            IpAddressFamily::Ipv4 => AddressFamily::INET,
            IpAddressFamily::Ipv6 => AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(domain, SocketType::DGRAM, flags, None)?;
        if family == IpAddressFamily::Ipv6 {
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        options.apply(&socket)?;
        rustix::net::bind(&socket, &SocketAddr::new(unspecified(family), 0))?;
        Ok(Self { socket: UdpSocket::from_std(socket.into())?, _slot: slot })
    }

    /// Sends one datagram, without tokio's leave: it has none to give for a socket that was just opened.
    fn send(&self, data: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        let sent = match to {
            Some(to) => rustix::net::sendto(&self.socket, data, SendFlags::empty(), &to),
            None => rustix::net::send(&self.socket, data, SendFlags::empty()),
        };
        if sent == Err(Errno::WOULDBLOCK) {
            // Told to tokio, so that waiting waits.
            return self.socket.try_io(Interest::WRITABLE, || Err(io::ErrorKind::WouldBlock.into()));
        }
        Ok(sent?)
    }
}

impl Sockets {
    /// Returns the socket that may send to `remote`, after that was judged.
    pub(super) fn reach<'a>(
        &self,
        remote: SocketAddr,
        channel: &'a Channel,
        (family, options): (IpAddressFamily, &Options),
    ) -> Result<&'a Open, ErrorCode> {
        let record = if self.peers.knows(remote) { None } else { Some(self.admit(Scheme::Udp, remote)?) };
        let opened = self.open(channel, family, options);
        if let Some(record) = record {
            match &opened {
                Ok(_) => self.peers.add(remote, record),
                Err(code) => record.failed(code),
            }
        }
        opened
    }

    fn open<'a>(
        &self,
        channel: &'a Channel,
        family: IpAddressFamily,
        options: &Options,
    ) -> Result<&'a Open, ErrorCode> {
        if let Some(open) = channel.get() {
            return Ok(open);
        }
        let slot = self.gate.connection().map_err(gate_code)?;
        let open = Open::new(family, options, slot).map_err(io_code)?;
        Ok(channel.get_or_init(|| open))
    }

    /// Sends one datagram; false when it must wait. One that would be judged first waits unless it `is_first`, so that
    /// what happened to those before it can be told.
    pub(super) fn send(
        &self,
        outgoing: &Outgoing,
        datagram: &OutgoingDatagram,
        is_first: bool,
    ) -> Result<bool, ErrorCode> {
        let remote = outgoing.destination(datagram)?;
        if !is_first && !self.peers.knows(remote) {
            return Ok(false);
        }
        let open = self.reach(remote, &outgoing.channel, (outgoing.family, &outgoing.options))?;
        match open.send(&datagram.data, outgoing.remote.is_none().then_some(remote)) {
            Ok(bytes) => {
                self.peers.sent(remote, bytes);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(io_code(error)),
        }
    }
}

/// Where a guest sends datagrams.
pub struct Outgoing {
    pub(super) family: IpAddressFamily,
    pub(super) options: Options,
    pub(super) channel: Channel,
    /// The one peer, if there is just one.
    pub(super) remote: Option<SocketAddr>,
    /// Datagrams that may be sent next.
    pub(super) permitted: usize,
}

impl Outgoing {
    fn destination(&self, datagram: &OutgoingDatagram) -> Result<SocketAddr, ErrorCode> {
        let named = datagram.remote_address.map(|address| destination(self.family, address)).transpose()?;
        match (self.remote, named) {
            (Some(remote), None) => Ok(remote),
            (Some(remote), Some(named)) if named == remote => Ok(remote),
            (None, Some(named)) => Ok(named),
            _ => Err(ErrorCode::InvalidArgument),
        }
    }

    /// Returns how many datagrams may be sent next.
    pub(super) fn permit(&mut self, context: &mut Context<'_>) -> usize {
        let is_ready = self.channel.get().is_none_or(|open| open.socket.poll_send_ready(context).is_ready());
        self.permitted = if is_ready { MAX_DATAGRAMS } else { 0 };
        self.permitted
    }
}

#[async_trait]
impl Pollable for Outgoing {
    async fn ready(&mut self) {
        if let Some(open) = self.channel.get() {
            // An error is told by what comes next.
            let _ = open.socket.writable().await;
        }
    }
}

type Datagram = (Vec<u8>, SocketAddr);

/// Where a guest receives datagrams: of those that its call may talk to, and at most one waits in the host.
pub struct Incoming {
    channel: Channel,
    remote: Option<SocketAddr>,
    peers: Arc<Peers>,
    waiting: Option<io::Result<Datagram>>,
    buffer: Vec<u8>,
}

impl Incoming {
    pub(super) fn new(channel: Channel, remote: Option<SocketAddr>, peers: Arc<Peers>) -> Self {
        Self { channel, remote, peers, waiting: None, buffer: Vec::new() }
    }

    /// Returns the next datagram, if one is there.
    pub(super) fn next(&mut self) -> Result<Option<Datagram>, ErrorCode> {
        match self.waiting.take() {
            Some(datagram) => datagram.map(Some),
            None => self.receive(),
        }
        .map_err(io_code)
    }

    /// Tells whether the call may have `bytes` from `remote`.
    pub(super) fn may_have(&self, remote: SocketAddr, bytes: usize) -> bool {
        self.peers.receive(remote, bytes)
    }

    fn receive(&mut self) -> io::Result<Option<Datagram>> {
        let Some(open) = self.channel.get() else { return Ok(None) };
        self.buffer.resize(DATAGRAM_BYTES, 0);
        for _ in 0..MAX_STRANGERS {
            match open.socket.try_recv_from(&mut self.buffer) {
                Ok((length, from)) if is_wanted(&self.peers, self.remote, canonical(from)) => {
                    return Ok(Some((self.buffer[..length].to_vec(), canonical(from))));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// Tells whether a datagram of `from` is for the guest.
fn is_wanted(peers: &Peers, remote: Option<SocketAddr>, from: SocketAddr) -> bool {
    remote.is_none_or(|remote| remote == from) && peers.knows(from)
}

#[async_trait]
impl Pollable for Incoming {
    async fn ready(&mut self) {
        if self.waiting.is_some() {
            return;
        }
        // Nobody can answer before something was sent, and nothing is sent while the guest waits here.
        let Some(open) = self.channel.get() else { return std::future::pending().await };
        self.buffer.resize(DATAGRAM_BYTES, 0);
        let datagram = loop {
            match open.socket.recv_from(&mut self.buffer).await {
                Ok((length, from)) if is_wanted(&self.peers, self.remote, canonical(from)) => {
                    break Ok((self.buffer[..length].to_vec(), canonical(from)));
                }
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        self.waiting = Some(datagram);
    }
}

/// Returns a context for looking once.
pub(super) fn once() -> Context<'static> {
    Context::from_waker(futures::task::noop_waker_ref())
}

/// Sends and receives only to and from `remote` from now on, or everybody.
pub(super) fn associate(open: &Open, remote: Option<SocketAddr>) -> io::Result<()> {
    match remote {
        Some(remote) => rustix::net::connect(&open.socket, &remote)?,
        None => rustix::net::connect_unspec(&open.socket)?,
    }
    Ok(())
}
