//! `wasi:sockets`: TCP, UDP and the lookup of names, outward only and each through the gate.
//!
//! Nothing of the operating system's exists for a socket before the gate admitted something: until then it is a set of
//! options. Nobody serves: there is no listening, and a socket is bound to no address or port of the guest's choice.

#![expect(unreachable_pub, reason = "the generated bindings re-export the types behind the WIT resources")]

mod admit;
mod connection;
mod convert;
mod datagram;
mod lookup;
mod options;
mod peers;
mod tcp;
mod udp;

use std::sync::Arc;

use wasmtime::component::Resource;

use super::Gate;
use crate::bindings::sockets::network::{ErrorCode, IpAddressFamily};
use crate::bindings::sockets::{instance_network, network, tcp_create_socket, udp_create_socket};
use crate::host::Host;
use lookup::Names;
use peers::Peers;

pub use convert::SocketError;
pub use datagram::{Incoming, Outgoing};
pub use lookup::Addresses;
pub use tcp::TcpSocket;
pub use udp::UdpSocket;

/// Why a call that uses sockets has no tape: what comes over them is not read.
pub(super) const NOT_HELD: &str = "it used sockets";

type SocketResult<T> = Result<T, SocketError>;

/// The sockets of one call, and what they know together.
pub(crate) struct Sockets {
    gate: Arc<Gate>,
    names: Names,
    peers: Arc<Peers>,
}

impl Sockets {
    pub(crate) fn new(gate: Arc<Gate>) -> Self {
        Self { names: Names::new(gate.clone()), peers: Arc::default(), gate }
    }
}

/// The one network there is. Holding it grants nothing: the gate judges every use.
pub struct WholeNetwork;

impl instance_network::Host for Host {
    fn instance_network(&mut self) -> wasmtime::Result<Resource<WholeNetwork>> {
        Ok(self.table.push(WholeNetwork)?)
    }
}

impl network::Host for Host {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        match error {
            SocketError::Code(code) => Ok(code),
            SocketError::Halt(error) => Err(error),
        }
    }
}

impl network::HostNetwork for Host {
    fn drop(&mut self, network: Resource<WholeNetwork>) -> wasmtime::Result<()> {
        self.table.delete(network)?;
        Ok(())
    }
}

impl tcp_create_socket::Host for Host {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        self.deck.spoil(NOT_HELD);
        Ok(self.table.push(TcpSocket::new(family))?)
    }
}

impl udp_create_socket::Host for Host {
    fn create_udp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        self.deck.spoil(NOT_HELD);
        Ok(self.table.push(UdpSocket::new(family))?)
    }
}

/// How far a socket got with being bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binding {
    Unbound,
    Begun,
    Bound,
}

impl Binding {
    /// Begins to bind to `local`: any port of any interface, and no other.
    fn begin(&mut self, family: IpAddressFamily, local: network::IpSocketAddress) -> Result<(), ErrorCode> {
        let local = convert::local_address(family, local)?;
        match self {
            Self::Unbound if local.port() == 0 && local.ip().is_unspecified() => *self = Self::Begun,
            Self::Unbound => return Err(ErrorCode::AccessDenied),
            Self::Begun => return Err(ErrorCode::ConcurrencyConflict),
            Self::Bound => return Err(ErrorCode::InvalidState),
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ErrorCode> {
        if *self != Self::Begun {
            return Err(ErrorCode::NotInProgress);
        }
        *self = Self::Bound;
        Ok(())
    }
}
