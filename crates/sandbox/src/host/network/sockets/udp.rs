//! `wasi:sockets/udp`: sockets whose every destination is judged, once in a call.

use std::net::SocketAddr;
use std::sync::Arc;

use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::convert::{destination, io_code, told, told_local};
use super::datagram::{Channel, Incoming, MAX_DATAGRAMS, Outgoing, associate, once};
use super::options::Options;
use super::{Binding, SocketError, SocketResult, Sockets, WholeNetwork};
use crate::bindings::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress};
use crate::bindings::sockets::udp::{self, IncomingDatagram, OutgoingDatagram};
use crate::host::Host;

type Handle = Resource<UdpSocket>;

/// A UDP socket as a guest holds it.
pub struct UdpSocket {
    family: IpAddressFamily,
    binding: Binding,
    options: Options,
    channel: Channel,
    remote: Option<SocketAddr>,
}

impl UdpSocket {
    pub(super) fn new(family: IpAddressFamily) -> Self {
        let options = Options::new(family);
        Self { family, binding: Binding::Unbound, options, channel: Channel::default(), remote: None }
    }

    /// Returns new streams, to and from one peer or whoever is allowed.
    fn stream(
        &mut self,
        sockets: &Sockets,
        remote: Option<IpSocketAddress>,
    ) -> Result<(Incoming, Outgoing), ErrorCode> {
        // Those of the last time must be gone: they would send to this one's peer.
        if self.binding != Binding::Bound || Arc::strong_count(&self.channel) > 1 {
            return Err(ErrorCode::InvalidState);
        }
        let remote = remote.map(|remote| destination(self.family, remote)).transpose()?;
        if let Some(remote) = remote {
            sockets.reach(remote, &self.channel, (self.family, &self.options))?;
        }
        if let Some(open) = self.channel.get() {
            associate(open, remote).map_err(io_code)?;
        }
        self.remote = remote;
        let incoming = Incoming::new(self.channel.clone(), remote, sockets.peers.clone());
        let Self { family, options, channel, .. } = self;
        let outgoing = Outgoing { family: *family, options: *options, channel: channel.clone(), remote, permitted: 0 };
        Ok((incoming, outgoing))
    }

    fn local_address(&self) -> Result<IpSocketAddress, ErrorCode> {
        if self.binding != Binding::Bound {
            return Err(ErrorCode::InvalidState);
        }
        // The operating system chooses a port when something is sent.
        let port = self.channel.get().map(|open| open.socket.local_addr()).transpose().map_err(io_code)?;
        Ok(told_local(self.family, port.map_or(0, |address| address.port())))
    }

    /// Changes the options, also those of the operating system's socket.
    fn set(&mut self, change: impl FnOnce(&mut Options) -> Result<(), ErrorCode>) -> Result<(), ErrorCode> {
        change(&mut self.options)?;
        self.channel.get().map_or(Ok(()), |open| self.options.apply(&open.socket)).map_err(io_code)
    }
}

#[async_trait]
impl Pollable for UdpSocket {
    async fn ready(&mut self) {}
}

impl Host {
    fn udp(&mut self, socket: &Handle) -> SocketResult<&mut UdpSocket> {
        Ok(self.table.get_mut(socket)?)
    }
}

impl udp::Host for Host {}

impl udp::HostUdpSocket for Host {
    fn start_bind(
        &mut self,
        socket: Handle,
        network: Resource<WholeNetwork>,
        local: IpSocketAddress,
    ) -> SocketResult<()> {
        self.table.get(&network)?;
        let socket = self.udp(&socket)?;
        Ok(socket.binding.begin(socket.family, local)?)
    }

    fn finish_bind(&mut self, socket: Handle) -> SocketResult<()> {
        Ok(self.udp(&socket)?.binding.finish()?)
    }

    fn stream(
        &mut self,
        socket: Handle,
        remote: Option<IpSocketAddress>,
    ) -> SocketResult<(Resource<Incoming>, Resource<Outgoing>)> {
        let (incoming, outgoing) = self.table.get_mut(&socket)?.stream(&self.sockets, remote)?;
        Ok((self.table.push(incoming)?, self.table.push(outgoing)?))
    }

    fn local_address(&mut self, socket: Handle) -> SocketResult<IpSocketAddress> {
        Ok(self.udp(&socket)?.local_address()?)
    }

    fn remote_address(&mut self, socket: Handle) -> SocketResult<IpSocketAddress> {
        Ok(self.udp(&socket)?.remote.map(told).ok_or(ErrorCode::InvalidState)?)
    }

    fn address_family(&mut self, socket: Handle) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table.get(&socket)?.family)
    }

    fn unicast_hop_limit(&mut self, socket: Handle) -> SocketResult<u8> {
        Ok(self.udp(&socket)?.options.hop_limit())
    }

    fn set_unicast_hop_limit(&mut self, socket: Handle, value: u8) -> SocketResult<()> {
        Ok(self.udp(&socket)?.set(|options| options.set_hop_limit(value))?)
    }

    fn receive_buffer_size(&mut self, socket: Handle) -> SocketResult<u64> {
        Ok(self.udp(&socket)?.options.receive_buffer())
    }

    fn set_receive_buffer_size(&mut self, socket: Handle, value: u64) -> SocketResult<()> {
        Ok(self.udp(&socket)?.set(|options| options.set_receive_buffer(value))?)
    }

    fn send_buffer_size(&mut self, socket: Handle) -> SocketResult<u64> {
        Ok(self.udp(&socket)?.options.send_buffer())
    }

    fn set_send_buffer_size(&mut self, socket: Handle, value: u64) -> SocketResult<()> {
        Ok(self.udp(&socket)?.set(|options| options.set_send_buffer(value))?)
    }

    fn subscribe(&mut self, socket: Handle) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, socket)
    }

    fn drop(&mut self, socket: Handle) -> wasmtime::Result<()> {
        self.table.delete(socket)?;
        Ok(())
    }
}

impl udp::HostIncomingDatagramStream for Host {
    fn receive(&mut self, stream: Resource<Incoming>, max_results: u64) -> SocketResult<Vec<IncomingDatagram>> {
        let incoming = self.table.get_mut(&stream)?;
        let limit = usize::try_from(max_results).unwrap_or(usize::MAX).min(MAX_DATAGRAMS);
        let mut datagrams = Vec::new();
        while datagrams.len() < limit {
            match next(incoming) {
                Ok(Some(datagram)) => datagrams.push(datagram),
                Err(code) if datagrams.is_empty() => return Err(code.into()),
                Ok(None) | Err(_) => break,
            }
        }
        Ok(datagrams)
    }

    fn subscribe(&mut self, stream: Resource<Incoming>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, stream)
    }

    fn drop(&mut self, stream: Resource<Incoming>) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}

/// Returns the next datagram that is there, if the call may have it.
fn next(incoming: &mut Incoming) -> Result<Option<IncomingDatagram>, ErrorCode> {
    let Some((data, from)) = incoming.next()? else { return Ok(None) };
    if !incoming.may_have(from, data.len()) {
        return Err(ErrorCode::AccessDenied);
    }
    Ok(Some(IncomingDatagram { data, remote_address: told(from) }))
}

impl udp::HostOutgoingDatagramStream for Host {
    fn check_send(&mut self, stream: Resource<Outgoing>) -> SocketResult<u64> {
        Ok(self.table.get_mut(&stream)?.permit(&mut once()) as u64)
    }

    fn send(&mut self, stream: Resource<Outgoing>, datagrams: Vec<OutgoingDatagram>) -> SocketResult<u64> {
        let outgoing = self.table.get_mut(&stream)?;
        if datagrams.len() > std::mem::take(&mut outgoing.permitted) {
            return Err(SocketError::Halt(wasmtime::Error::msg("more was sent than `check-send` permitted")));
        }
        let mut sent = 0;
        for datagram in &datagrams {
            match self.sockets.send(outgoing, datagram, sent == 0) {
                Ok(true) => sent += 1,
                Err(code) if sent == 0 => return Err(code.into()),
                Ok(false) | Err(_) => break,
            }
        }
        Ok(sent)
    }

    fn subscribe(&mut self, stream: Resource<Outgoing>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, stream)
    }

    fn drop(&mut self, stream: Resource<Outgoing>) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}
