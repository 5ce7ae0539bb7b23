//! Servers on loopback without HTTP: they count what comes, and answer as a test says.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What is done with each connection.
type Talk = dyn Fn(TcpStream) + Send + Sync;

/// A TCP server; by default it says back what it hears.
pub(crate) struct Tcp {
    address: SocketAddr,
    /// Who connected, in order.
    peers: Arc<Mutex<Vec<SocketAddr>>>,
    is_over: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Tcp {
    pub(crate) fn echo(address: &str) -> Self {
        Self::start(address, |mut stream| {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
        })
    }

    pub(crate) fn start(address: &str, talk: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (peers, is_over) = (Arc::<Mutex<Vec<SocketAddr>>>::default(), Arc::new(AtomicBool::new(false)));
        let listening = std::thread::spawn({
            let (peers, is_over, talk): (_, _, Arc<Talk>) = (peers.clone(), is_over.clone(), Arc::new(talk));
            move || {
                loop {
                    let (stream, peer) = listener.accept().unwrap();
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    peers.lock().unwrap().push(peer);
                    let talk = talk.clone();
                    // A connection ends when its guest goes away, so that nobody waits for these threads.
                    std::thread::spawn(move || talk(stream));
                }
            }
        });
        Self { address, peers, is_over, listening: Some(listening) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns how many connected, once all that did before are counted: a last one of our own comes after them.
    pub(crate) fn connections(&self) -> usize {
        let last = TcpStream::connect(self.address).unwrap();
        let last = last.local_addr().unwrap();
        loop {
            let mut peers = self.peers.lock().unwrap();
            if let Some(at) = peers.iter().position(|peer| *peer == last) {
                peers.remove(at);
                return at;
            }
            drop(peers);
            std::thread::yield_now();
        }
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
        let _ = self.listening.take().map(JoinHandle::join);
    }
}

/// What is done with each datagram: the server's socket, a stranger's, what came, and from whom.
type Reply = dyn Fn(&UdpSocket, &UdpSocket, &[u8], SocketAddr) + Send + Sync;

/// A UDP server; by default it says back what it hears.
pub(crate) struct Udp {
    address: SocketAddr,
    datagrams: Arc<AtomicUsize>,
    /// Told of each empty datagram, which nobody counts.
    marks: Mutex<Receiver<()>>,
    is_over: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Udp {
    pub(crate) fn echo(address: &str) -> Self {
        Self::start(address, |server, _, datagram, from| drop(server.send_to(datagram, from)))
    }

    pub(crate) fn start(
        address: &str,
        reply: impl Fn(&UdpSocket, &UdpSocket, &[u8], SocketAddr) + Send + Sync + 'static,
    ) -> Self {
        let server = UdpSocket::bind(address).unwrap();
        let address = server.local_addr().unwrap();
        let stranger = UdpSocket::bind((address.ip(), 0)).unwrap();
        // Often enough to see that the test is over.
        server.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (datagrams, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (mark, marks) = channel();
        let listening = std::thread::spawn({
            let (datagrams, is_over, reply): (_, _, Box<Reply>) = (datagrams.clone(), is_over.clone(), Box::new(reply));
            move || {
                let mut buffer = vec![0; 64 << 10];
                while !is_over.load(Ordering::SeqCst) {
                    let Ok((length, from)) = server.recv_from(&mut buffer) else { continue };
                    if length == 0 {
                        let _ = mark.send(());
                    } else {
                        datagrams.fetch_add(1, Ordering::SeqCst);
                        reply(&server, &stranger, &buffer[..length], from);
                    }
                }
            }
        });
        Self { address, datagrams, marks: marks.into(), is_over, listening: Some(listening) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns how many datagrams came, once all that were sent before are counted.
    pub(crate) fn datagrams(&self) -> usize {
        let marking = UdpSocket::bind((self.address.ip(), 0)).unwrap();
        marking.send_to(b"", self.address).unwrap();
        self.marks.lock().unwrap().recv().unwrap();
        self.datagrams.load(Ordering::SeqCst)
    }
}

impl Drop for Udp {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = self.listening.take().map(JoinHandle::join);
    }
}

/// Returns an address of loopback at `port`, of which nobody listens at another than the first.
pub(crate) fn loopback(last: u8, port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(127, 0, 0, last).into(), port)
}
