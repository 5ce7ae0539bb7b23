//! Calls in any order, with any arguments: what a host must survive.

use std::net::SocketAddr;

use wasip2::io::poll::Pollable;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::{ResolveAddressStream, resolve_addresses};
use wasip2::sockets::network::IpAddressFamily;
use wasip2::sockets::tcp::ShutdownType;
use wasip2::sockets::udp::OutgoingDatagram;

use crate::run::wasi;
use crate::tcp::Tcp;
use crate::udp::Udp;

/// Sockets of each kind that are open at once.
const SLOTS: usize = 4;

struct Random {
    state: u64,
    addresses: Vec<SocketAddr>,
    names: Vec<String>,
}

impl Random {
    /// Xorshift: the same for the same seed.
    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap_or(0)
    }

    fn address(&mut self) -> SocketAddr {
        let at = self.below(self.addresses.len());
        self.addresses[at]
    }

    fn family(&mut self) -> IpAddressFamily {
        if self.below(3) == 0 { IpAddressFamily::Ipv6 } else { IpAddressFamily::Ipv4 }
    }

    /// Often absurd.
    fn number(&mut self) -> u64 {
        let any = self.next();
        [0, 1, u64::MAX, any, any % 100_000][self.below(5)]
    }
}

/// Everything that is open.
#[derive(Default)]
struct Held {
    // Before what they wait for.
    pollables: Vec<Pollable>,
    lookups: Vec<ResolveAddressStream>,
    tcp: Vec<Tcp>,
    udp: Vec<Udp>,
}

/// Makes so many calls, and returns how many sockets were connected.
pub(crate) fn run(seed: u64, calls: u32, addresses: &[SocketAddr], names: &[String]) -> String {
    let mut random = Random { state: seed | 1, addresses: addresses.to_vec(), names: names.to_vec() };
    let mut held = Held::default();
    let mut connected = 0;
    for _ in 0..calls {
        connected += u32::from(one(&mut random, &mut held));
    }
    held.pollables.clear();
    connected.to_string()
}

/// Tells whether a socket was connected.
fn one(random: &mut Random, held: &mut Held) -> bool {
    // They go before what they wait for does: the host ends a guest that does otherwise.
    for pollable in held.pollables.drain(..) {
        let _ = pollable.ready();
    }
    while held.tcp.len() < SLOTS {
        let family = random.family();
        held.tcp.extend(Tcp::open(family).ok());
    }
    while held.udp.len() < SLOTS {
        let family = random.family();
        held.udp.extend(Udp::open(family).ok());
    }
    match random.below(10) {
        0 => look_up(random, held),
        1..=5 => return tcp(random, held),
        _ => udp(random, held),
    }
    false
}

fn look_up(random: &mut Random, held: &mut Held) {
    let at = random.below(random.names.len());
    if let Ok(stream) = resolve_addresses(&instance_network(), &random.names[at]) {
        held.lookups.push(stream);
    }
    for stream in &held.lookups {
        held.pollables.push(stream.subscribe());
        let _ = stream.resolve_next_address();
    }
    if held.lookups.len() > SLOTS {
        held.pollables.clear();
        held.lookups.clear();
    }
}

fn tcp(random: &mut Random, held: &mut Held) -> bool {
    let at = random.below(SLOTS);
    let (address, number) = (wasi(random.address()), random.number());
    let kind = random.below(18);
    if kind == 0 {
        held.tcp.swap_remove(at);
        return false;
    }
    let Tcp { socket, streams } = &mut held.tcp[at];
    let small = u32::try_from(number).unwrap_or(u32::MAX);
    match kind {
        1 => drop(socket.start_bind(&instance_network(), address)),
        2 => drop(socket.finish_bind()),
        3..=5 => drop(socket.start_connect(&instance_network(), address)),
        6..=8 => {
            if let Ok(connected) = socket.finish_connect() {
                *streams = Some(connected);
                return true;
            }
        }
        9 => {
            let _ = (socket.start_listen(), socket.finish_listen(), socket.accept());
        }
        10 => {
            let hops = u8::try_from(small % 256).unwrap_or(0);
            let _ = (socket.set_hop_limit(hops), socket.set_keep_alive_count(small));
        }
        11 => {
            let _ = (socket.set_receive_buffer_size(number), socket.set_send_buffer_size(number));
        }
        12 => {
            let _ = (socket.set_keep_alive_idle_time(number), socket.set_keep_alive_interval(number));
        }
        13 => {
            let how = [ShutdownType::Receive, ShutdownType::Send, ShutdownType::Both][random.below(3)];
            let _ = socket.shutdown(how);
        }
        14 => held.pollables.push(socket.subscribe()),
        15 => {
            let _ = (socket.local_address(), socket.remote_address(), socket.set_listen_backlog_size(number));
        }
        16 => *streams = None,
        _ => {
            if let Some((input, output)) = streams {
                let _ = input.read(number);
                let permitted = output.check_write().unwrap_or(0);
                let length = usize::try_from(permitted.min(number % 100_000)).unwrap_or(0);
                let _ = (output.write(&vec![0; length]), output.flush());
            }
        }
    }
    false
}

fn udp(random: &mut Random, held: &mut Held) {
    let at = random.below(SLOTS);
    let (address, number) = (wasi(random.address()), random.number());
    let remote = (random.below(2) == 0).then_some(address);
    let kind = random.below(12);
    if kind == 0 {
        held.udp.swap_remove(at);
        return;
    }
    let Udp { socket, streams } = &mut held.udp[at];
    match kind {
        1 => drop(socket.start_bind(&instance_network(), address)),
        2 | 3 => {
            let any = match socket.address_family() {
                IpAddressFamily::Ipv4 => "0.0.0.0:0",
                IpAddressFamily::Ipv6 => "[::]:0",
            };
            let _ = socket.start_bind(&instance_network(), wasi(any.parse().expect("an address")));
            let _ = socket.finish_bind();
        }
        4..=6 => *streams = socket.stream(remote).ok().or(streams.take()),
        7 => {
            let _ = (socket.set_receive_buffer_size(number), socket.set_send_buffer_size(number));
            let _ = socket.set_unicast_hop_limit(u8::try_from(number % 256).unwrap_or(0));
        }
        8 => {
            let _ = (socket.local_address(), socket.remote_address());
            held.pollables.push(socket.subscribe());
        }
        9 => *streams = None,
        _ => {
            if let Some((incoming, outgoing)) = streams {
                let _ = incoming.receive(number);
                let permitted = outgoing.check_send().unwrap_or(0);
                let data = vec![0; usize::try_from(number % 70_000).unwrap_or(0)];
                let datagram = OutgoingDatagram { data, remote_address: remote };
                let count = usize::try_from(permitted.min(number % 4)).unwrap_or(0);
                let _ = outgoing.send(&vec![datagram; count]);
            }
        }
    }
}
