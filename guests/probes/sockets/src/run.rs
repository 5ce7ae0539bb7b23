//! The steps, one after the other.

use std::net::{IpAddr, SocketAddr};

use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};

use crate::tcp::Tcp;
use crate::udp::Udp;
use crate::{Kind, Step, random};

/// What went wrong, for the test to compare.
pub(crate) struct Wrong(pub(crate) String);

impl From<ErrorCode> for Wrong {
    fn from(code: ErrorCode) -> Self {
        Self(code.name().to_owned())
    }
}

impl From<&str> for Wrong {
    fn from(what: &str) -> Self {
        Self(what.to_owned())
    }
}

pub(crate) type Result<T = String> = std::result::Result<T, Wrong>;

pub(crate) enum Socket {
    Tcp(Tcp),
    Udp(Udp),
}

impl Socket {
    fn open(kind: Kind) -> Result<Self> {
        Ok(match kind {
            Kind::Tcp4 => Self::Tcp(Tcp::open(IpAddressFamily::Ipv4)?),
            Kind::Tcp6 => Self::Tcp(Tcp::open(IpAddressFamily::Ipv6)?),
            Kind::Udp4 => Self::Udp(Udp::open(IpAddressFamily::Ipv4)?),
            Kind::Udp6 => Self::Udp(Udp::open(IpAddressFamily::Ipv6)?),
        })
    }
}

/// Returns what came of each step.
pub(crate) fn run(steps: &[Step]) -> Vec<String> {
    let mut sockets = Vec::new();
    steps.iter().map(|step| one(step, &mut sockets).unwrap_or_else(|Wrong(what)| what)).collect()
}

fn one(step: &Step, sockets: &mut Vec<Option<Socket>>) -> Result {
    match step {
        Step::Lookup { name } => look_up(name),
        Step::Open { kind } => {
            sockets.push(Some(Socket::open(*kind)?));
            Ok("ok".into())
        }
        Step::Hoard { kind, count } => {
            for _ in 0..*count {
                sockets.push(Some(Socket::open(*kind)?));
            }
            Ok("ok".into())
        }
        Step::Random { seed, calls, addresses, names } => Ok(random::run(*seed, *calls, addresses, names)),
        Step::Drop { socket } => {
            sockets[*socket] = None;
            Ok("ok".into())
        }
        step => {
            let socket = of(step).and_then(|socket| sockets.get_mut(socket)?.as_mut());
            match socket.ok_or("no such socket")? {
                Socket::Tcp(tcp) => tcp.step(step),
                Socket::Udp(udp) => udp.step(step),
            }
        }
    }
}

fn of(step: &Step) -> Option<usize> {
    match step {
        Step::Bind { socket, .. }
        | Step::Connect { socket, .. }
        | Step::Listen { socket }
        | Step::Accept { socket }
        | Step::Write { socket, .. }
        | Step::Pour { socket, .. }
        | Step::Shutdown { socket }
        | Step::Read { socket, .. }
        | Step::Stream { socket, .. }
        | Step::Send { socket, .. }
        | Step::Receive { socket, .. }
        | Step::Addresses { socket }
        | Step::Options { socket } => Some(*socket),
        _ => None,
    }
}

/// Returns the addresses of `name`, between spaces.
fn look_up(name: &str) -> Result {
    let stream = resolve_addresses(&instance_network(), name)?;
    let mut found = Vec::new();
    loop {
        stream.subscribe().block();
        match stream.resolve_next_address()? {
            Some(address) => found.push(ip(address).to_string()),
            None => return Ok(found.join(" ")),
        }
    }
}

fn ip(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4(octets) => <[u8; 4]>::from(octets).into(),
        IpAddress::Ipv6(segments) => <[u16; 8]>::from(segments).into(),
    }
}

pub(crate) fn wasi(address: SocketAddr) -> IpSocketAddress {
    let port = address.port();
    match address {
        SocketAddr::V4(address) => {
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: address.ip().octets().into() })
        }
        SocketAddr::V6(address) => {
            let address = address.ip().segments().into();
            IpSocketAddress::Ipv6(Ipv6SocketAddress { port, flow_info: 7, address, scope_id: 1 })
        }
    }
}

pub(crate) fn told(address: IpSocketAddress) -> SocketAddr {
    match address {
        IpSocketAddress::Ipv4(address) => SocketAddr::new(ip(IpAddress::Ipv4(address.address)), address.port),
        IpSocketAddress::Ipv6(address) => SocketAddr::new(ip(IpAddress::Ipv6(address.address)), address.port),
    }
}

/// Returns both ends, or why there is none.
pub(crate) fn ends(
    local: std::result::Result<IpSocketAddress, ErrorCode>,
    remote: std::result::Result<IpSocketAddress, ErrorCode>,
) -> String {
    let one = |end: std::result::Result<IpSocketAddress, ErrorCode>| match end {
        Ok(address) => told(address).to_string(),
        Err(code) => code.name().to_owned(),
    };
    format!("{} {}", one(local), one(remote))
}
