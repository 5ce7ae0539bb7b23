//! Between the operating system's words, the gate's and WASI's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use policy::canonical_address;
use rustix::io::Errno;
use wasmtime::component::ResourceTableError;
use wasmtime_wasi_http::Error;

use crate::bindings::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};

/// Why an operation on a socket failed.
#[derive(Debug)]
pub enum SocketError {
    /// The guest reads this.
    Code(ErrorCode),
    /// The call ends with this.
    Halt(wasmtime::Error),
}

impl From<ErrorCode> for SocketError {
    fn from(code: ErrorCode) -> Self {
        Self::Code(code)
    }
}

impl From<ResourceTableError> for SocketError {
    fn from(error: ResourceTableError) -> Self {
        Self::Halt(error.into())
    }
}

/// Returns WASI's name of what the gate says.
#[expect(clippy::needless_pass_by_value, reason = "it is passed to `map_err`")]
pub(super) fn gate_code(error: Error) -> ErrorCode {
    match error {
        Error::ConnectionLimitReached => ErrorCode::NewSocketLimit,
        Error::DnsTimeout => ErrorCode::TemporaryResolverFailure,
        Error::DnsError { .. } => ErrorCode::NameUnresolvable,
        _ => ErrorCode::AccessDenied,
    }
}

/// Returns WASI's name of an error of the operating system's.
#[expect(clippy::needless_pass_by_value, reason = "it is passed to `map_err`")]
pub(super) fn io_code(error: io::Error) -> ErrorCode {
    match Errno::from_io_error(&error) {
        Some(Errno::ACCESS | Errno::PERM) => ErrorCode::AccessDenied,
        Some(Errno::ADDRINUSE | Errno::ADDRNOTAVAIL) => ErrorCode::AddressInUse,
        Some(Errno::CONNABORTED) => ErrorCode::ConnectionAborted,
        Some(Errno::CONNREFUSED) => ErrorCode::ConnectionRefused,
        Some(Errno::CONNRESET) => ErrorCode::ConnectionReset,
        Some(Errno::HOSTDOWN | Errno::HOSTUNREACH | Errno::NETDOWN | Errno::NETUNREACH) => ErrorCode::RemoteUnreachable,
        Some(Errno::INVAL) => ErrorCode::InvalidArgument,
        Some(Errno::MFILE | Errno::NFILE) => ErrorCode::NewSocketLimit,
        Some(Errno::MSGSIZE) => ErrorCode::DatagramTooLarge,
        Some(Errno::NOBUFS | Errno::NOMEM) => ErrorCode::OutOfMemory,
        Some(Errno::TIMEDOUT) => ErrorCode::Timeout,
        _ if error.kind() == io::ErrorKind::TimedOut => ErrorCode::Timeout,
        _ => ErrorCode::Unknown,
    }
}

/// Returns where a guest wants to send to, as what it really reaches; flow and scope are not the guest's to choose.
pub(super) fn destination(family: IpAddressFamily, address: IpSocketAddress) -> Result<SocketAddr, ErrorCode> {
    let address = canonical(socket_address(address));
    let is_possible = family_of(address) == family && address.port() != 0;
    is_possible.then_some(address).ok_or(ErrorCode::InvalidArgument)
}

pub(super) fn local_address(family: IpAddressFamily, address: IpSocketAddress) -> Result<SocketAddr, ErrorCode> {
    let address = socket_address(address);
    if family_of(address) == family { Ok(address) } else { Err(ErrorCode::InvalidArgument) }
}

/// Returns what a guest is told of the host's end: which interface it is says where the host stands.
pub(super) fn told_local(family: IpAddressFamily, port: u16) -> IpSocketAddress {
    told(SocketAddr::new(unspecified(family), port))
}

pub(super) fn unspecified(family: IpAddressFamily) -> IpAddr {
    match family {
        IpAddressFamily::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
        IpAddressFamily::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Returns `address` in the one form that is judged and compared.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(canonical_address(address.ip()), address.port())
}

fn family_of(address: SocketAddr) -> IpAddressFamily {
    if address.is_ipv4() { IpAddressFamily::Ipv4 } else { IpAddressFamily::Ipv6 }
}

fn socket_address(address: IpSocketAddress) -> SocketAddr {
    match address {
        IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address }) => {
            SocketAddr::new(<[u8; 4]>::from(address).into(), port)
        }
        IpSocketAddress::Ipv6(Ipv6SocketAddress { port, address, .. }) => {
            SocketAddr::new(<[u16; 8]>::from(address).into(), port)
        }
    }
}

/// Returns `address` in WASI's words.
pub(super) fn told(address: SocketAddr) -> IpSocketAddress {
    let port = address.port();
    match told_ip(address.ip()) {
        IpAddress::Ipv4(address) => IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address }),
        IpAddress::Ipv6(address) => {
            IpSocketAddress::Ipv6(Ipv6SocketAddress { port, flow_info: 0, address, scope_id: 0 })
        }
    }
}

pub(super) fn told_ip(address: IpAddr) -> IpAddress {
    match address {
        IpAddr::V4(address) => IpAddress::Ipv4(address.octets().into()),
        IpAddr::V6(address) => IpAddress::Ipv6(address.segments().into()),
    }
}
