//! `wasi:sockets/tcp`: sockets that connect. None listens.

use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;

use futures::FutureExt as _;
use futures::future::{BoxFuture, MaybeDone, maybe_done};
use futures::task::noop_waker_ref;
use policy::Scheme;
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, Pollable, subscribe};

use super::connection::{Connection, Reader, Writer, connect};
use super::convert::{destination, gate_code, io_code, told, told_local};
use super::options::{KeepAlive, Options};
use super::{Binding, SocketResult, Sockets, WholeNetwork};
use crate::bindings::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress};
use crate::bindings::sockets::tcp::{self, ShutdownType};
use crate::host::Host;

type Handle = Resource<TcpSocket>;

/// A TCP socket as a guest holds it.
pub struct TcpSocket {
    family: IpAddressFamily,
    state: State,
    options: Options,
    alive: KeepAlive,
}

enum State {
    /// Nothing of the operating system's yet.
    Unconnected(Binding),
    Connecting(MaybeDone<BoxFuture<'static, Result<Arc<Connection>, ErrorCode>>>),
    Connected(Arc<Connection>),
    /// It could not be connected, and never will be.
    Closed,
}

impl TcpSocket {
    pub(super) fn new(family: IpAddressFamily) -> Self {
        let state = State::Unconnected(Binding::Unbound);
        Self { family, state, options: Options::new(family), alive: KeepAlive::default() }
    }

    fn binding(&mut self) -> Result<&mut Binding, ErrorCode> {
        match &mut self.state {
            State::Unconnected(binding) => Ok(binding),
            State::Connecting(_) => Err(ErrorCode::ConcurrencyConflict),
            State::Connected(_) | State::Closed => Err(ErrorCode::InvalidState),
        }
    }

    fn connected(&self) -> Result<&Arc<Connection>, ErrorCode> {
        match &self.state {
            State::Connected(connection) => Ok(connection),
            _ => Err(ErrorCode::InvalidState),
        }
    }

    fn start_connect(&mut self, sockets: &Sockets, remote: IpSocketAddress) -> Result<(), ErrorCode> {
        if *self.binding()? == Binding::Begun {
            return Err(ErrorCode::ConcurrencyConflict);
        }
        let remote = destination(self.family, remote)?;
        let record = sockets.admit(Scheme::Tcp, remote)?;
        let slot = sockets.gate.connection().inspect_err(|error| record.failed(error)).map_err(gate_code)?;
        let connection = connect(remote, (self.options, self.alive), record, slot);
        self.state = State::Connecting(maybe_done(connection.boxed()));
        Ok(())
    }

    fn finish_connect(&mut self) -> Result<Arc<Connection>, ErrorCode> {
        let State::Connecting(attempt) = &mut self.state else { return Err(ErrorCode::NotInProgress) };
        let mut attempt = Pin::new(attempt);
        let _ = attempt.as_mut().poll(&mut Context::from_waker(noop_waker_ref()));
        let ended = attempt.take_output().ok_or(ErrorCode::WouldBlock)?;
        self.state = ended.as_ref().map_or(State::Closed, |connection| State::Connected(connection.clone()));
        ended
    }

    fn local_address(&self) -> Result<IpSocketAddress, ErrorCode> {
        let port = match &self.state {
            // The operating system chooses one with the connection.
            State::Unconnected(Binding::Bound) => 0,
            State::Connected(connection) => connection.local_port().map_err(io_code)?,
            _ => return Err(ErrorCode::InvalidState),
        };
        Ok(told_local(self.family, port))
    }

    /// Changes the options, also those of a connection that there is already.
    fn set(
        &mut self,
        change: impl FnOnce(&mut Options, &mut KeepAlive) -> Result<(), ErrorCode>,
    ) -> Result<(), ErrorCode> {
        change(&mut self.options, &mut self.alive)?;
        match &self.state {
            State::Connected(connection) => connection.apply(&self.options, &self.alive).map_err(io_code),
            State::Closed => Err(ErrorCode::InvalidState),
            State::Unconnected(_) | State::Connecting(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Pollable for TcpSocket {
    async fn ready(&mut self) {
        if let State::Connecting(attempt) = &mut self.state {
            Pin::new(attempt).await;
        }
    }
}

impl Host {
    fn tcp(&mut self, socket: &Handle) -> SocketResult<&mut TcpSocket> {
        Ok(self.table.get_mut(socket)?)
    }
}

impl tcp::Host for Host {}

impl tcp::HostTcpSocket for Host {
    fn start_bind(
        &mut self,
        socket: Handle,
        network: Resource<WholeNetwork>,
        local: IpSocketAddress,
    ) -> SocketResult<()> {
        self.table.get(&network)?;
        let socket = self.tcp(&socket)?;
        let family = socket.family;
        Ok(socket.binding()?.begin(family, local)?)
    }

    fn finish_bind(&mut self, socket: Handle) -> SocketResult<()> {
        let binding = self.tcp(&socket)?.binding().map_err(|_| ErrorCode::NotInProgress)?;
        Ok(binding.finish()?)
    }

    fn start_connect(
        &mut self,
        socket: Handle,
        network: Resource<WholeNetwork>,
        remote: IpSocketAddress,
    ) -> SocketResult<()> {
        self.table.get(&network)?;
        Ok(self.table.get_mut(&socket)?.start_connect(&self.sockets, remote)?)
    }

    fn finish_connect(
        &mut self,
        socket: Handle,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let connection = self.tcp(&socket)?.finish_connect()?;
        let reader: DynInputStream = Box::new(Reader(connection.clone()));
        let writer: DynOutputStream = Box::new(Writer::new(connection));
        Ok((self.table.push(reader)?, self.table.push(writer)?))
    }

    fn start_listen(&mut self, _: Handle) -> SocketResult<()> {
        Err(ErrorCode::AccessDenied.into())
    }

    fn finish_listen(&mut self, _: Handle) -> SocketResult<()> {
        Err(ErrorCode::NotInProgress.into())
    }

    fn accept(&mut self, _: Handle) -> SocketResult<(Handle, Resource<DynInputStream>, Resource<DynOutputStream>)> {
        Err(ErrorCode::AccessDenied.into())
    }

    fn local_address(&mut self, socket: Handle) -> SocketResult<IpSocketAddress> {
        Ok(self.tcp(&socket)?.local_address()?)
    }

    fn remote_address(&mut self, socket: Handle) -> SocketResult<IpSocketAddress> {
        Ok(told(self.tcp(&socket)?.connected()?.remote()))
    }

    fn is_listening(&mut self, _: Handle) -> wasmtime::Result<bool> {
        Ok(false)
    }

    fn address_family(&mut self, socket: Handle) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table.get(&socket)?.family)
    }

    fn set_listen_backlog_size(&mut self, _: Handle, _: u64) -> SocketResult<()> {
        Err(ErrorCode::NotSupported.into())
    }

    fn keep_alive_enabled(&mut self, socket: Handle) -> SocketResult<bool> {
        Ok(self.tcp(&socket)?.alive.is_enabled)
    }

    fn set_keep_alive_enabled(&mut self, socket: Handle, value: bool) -> SocketResult<()> {
        let enable = |_: &mut Options, alive: &mut KeepAlive| {
            alive.is_enabled = value;
            Ok(())
        };
        Ok(self.tcp(&socket)?.set(enable)?)
    }

    fn keep_alive_idle_time(&mut self, socket: Handle) -> SocketResult<u64> {
        Ok(self.tcp(&socket)?.alive.idle())
    }

    fn set_keep_alive_idle_time(&mut self, socket: Handle, value: u64) -> SocketResult<()> {
        Ok(self.tcp(&socket)?.set(|_, alive| alive.set_idle(value))?)
    }

    fn keep_alive_interval(&mut self, socket: Handle) -> SocketResult<u64> {
        Ok(self.tcp(&socket)?.alive.interval())
    }

    fn set_keep_alive_interval(&mut self, socket: Handle, value: u64) -> SocketResult<()> {
        Ok(self.tcp(&socket)?.set(|_, alive| alive.set_interval(value))?)
    }

    fn keep_alive_count(&mut self, socket: Handle) -> SocketResult<u32> {
        Ok(self.tcp(&socket)?.alive.count())
    }

    fn set_keep_alive_count(&mut self, socket: Handle, value: u32) -> SocketResult<()> {
        Ok(self.tcp(&socket)?.set(|_, alive| alive.set_count(value))?)
    }

    fn hop_limit(&mut self, socket: Handle) -> SocketResult<u8> {
        Ok(self.tcp(&socket)?.options.hop_limit())
    }

    fn set_hop_limit(&mut self, socket: Handle, value: u8) -> SocketResult<()> {
        Ok(self.tcp(&socket)?.set(|options, _| options.set_hop_limit(value))?)
    }

    fn receive_buffer_size(&mut self, socket: Handle) -> SocketResult<u64> {
        Ok(self.tcp(&socket)?.options.receive_buffer())
    }

    fn set_receive_buffer_size(&mut self, socket: Handle, value: u64) -> SocketResult<()> {
        Ok(self.tcp(&socket)?.set(|options, _| options.set_receive_buffer(value))?)
    }

    fn send_buffer_size(&mut self, socket: Handle) -> SocketResult<u64> {
        Ok(self.tcp(&socket)?.options.send_buffer())
    }

    fn set_send_buffer_size(&mut self, socket: Handle, value: u64) -> SocketResult<()> {
        Ok(self.tcp(&socket)?.set(|options, _| options.set_send_buffer(value))?)
    }

    fn subscribe(&mut self, socket: Handle) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, socket)
    }

    fn shutdown(&mut self, socket: Handle, how: ShutdownType) -> SocketResult<()> {
        let how = match how {
            ShutdownType::Receive => Shutdown::Read,
            ShutdownType::Send => Shutdown::Write,
            ShutdownType::Both => Shutdown::Both,
        };
        self.tcp(&socket)?.connected()?.shut(how);
        Ok(())
    }

    fn drop(&mut self, socket: Handle) -> wasmtime::Result<()> {
        self.table.delete(socket)?;
        Ok(())
    }
}
