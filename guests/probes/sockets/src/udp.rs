//! One UDP socket and its streams.

use std::net::SocketAddr;

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::io::poll::poll;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily};
use wasip2::sockets::udp::{IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream, UdpSocket};
use wasip2::sockets::udp_create_socket::create_udp_socket;

use crate::Step;
use crate::run::{Result, ends, told, wasi};
use crate::tcp::text;

/// More than any host moves at once.
const MANY: u64 = 1_000;

pub(crate) struct Udp {
    pub(crate) streams: Option<(IncomingDatagramStream, OutgoingDatagramStream)>,
    pub(crate) socket: UdpSocket,
}

impl Udp {
    pub(crate) fn open(family: IpAddressFamily) -> Result<Self> {
        Ok(Self { streams: None, socket: create_udp_socket(family)? })
    }

    pub(crate) fn step(&mut self, step: &Step) -> Result {
        match step {
            Step::Bind { to, .. } => {
                self.socket.start_bind(&instance_network(), wasi(*to))?;
                self.socket.finish_bind()?;
            }
            Step::Stream { to, keeps, .. } => {
                self.streams = self.streams.take().filter(|_| *keeps);
                self.streams = Some(self.socket.stream(to.map(wasi))?);
            }
            Step::Send { to, text, .. } => return self.send(to, text),
            Step::Receive { bytes, within_ms, .. } => return self.receive(*bytes, *within_ms),
            Step::Addresses { .. } => return Ok(ends(self.socket.local_address(), self.socket.remote_address())),
            Step::Options { .. } => return Ok(self.options()),
            _ => return Err("no step of UDP".into()),
        }
        Ok("ok".into())
    }

    fn streams(&self) -> Result<&(IncomingDatagramStream, OutgoingDatagramStream)> {
        self.streams.as_ref().ok_or("no streams".into())
    }

    /// Returns how many were sent, or the error.
    fn send(&self, to: &[SocketAddr], text: &str) -> Result {
        let (_, outgoing) = self.streams()?;
        let one = |remote_address| OutgoingDatagram { data: text.as_bytes().to_vec(), remote_address };
        let mut datagrams: Vec<_> = to.iter().map(|to| one(Some(wasi(*to)))).collect();
        if datagrams.is_empty() {
            datagrams.push(one(None));
        }
        outgoing.subscribe().block();
        outgoing.check_send()?;
        Ok(outgoing.send(&datagrams)?.to_string())
    }

    /// Returns who sent what.
    fn receive(&self, bytes: usize, within_ms: u64) -> Result {
        let (incoming, _) = self.streams()?;
        let mut received = 0;
        let mut datagrams = Vec::new();
        while received < bytes {
            let came = poll(&[&incoming.subscribe(), &subscribe_duration(within_ms * 1_000_000)]).contains(&0);
            let batch = incoming.receive(MANY);
            for datagram in batch.map_err(|code| after(received, code))? {
                received += datagram.data.len();
                let from = told(datagram.remote_address);
                datagrams.push(format!("{from} {}", text(&datagram.data[..datagram.data.len().min(20)])));
            }
            if !came {
                break;
            }
        }
        let shown = if datagrams.len() > 3 { format!("{} datagrams", datagrams.len()) } else { datagrams.join(", ") };
        Ok(shown)
    }

    /// Sets what nobody would, and returns what was made of it.
    fn options(&self) -> String {
        let socket = &self.socket;
        let refused =
            [socket.set_unicast_hop_limit(0), socket.set_receive_buffer_size(0), socket.set_send_buffer_size(0)];
        let taken = [
            socket.set_unicast_hop_limit(255),
            socket.set_receive_buffer_size(u64::MAX),
            socket.set_send_buffer_size(u64::MAX),
        ];
        let all = refused.iter().all(std::result::Result::is_err) && taken.iter().all(std::result::Result::is_ok);
        format!("{all} {:?} {:?}", socket.unicast_hop_limit().ok(), socket.receive_buffer_size().ok())
    }
}

/// Says how much came before `code`.
fn after(received: usize, code: ErrorCode) -> crate::run::Wrong {
    crate::run::Wrong(format!("{} after {received} bytes", code.name()))
}
