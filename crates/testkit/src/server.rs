//! An HTTP server on loopback that answers as a test says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Returns the whole answer to a request: its head, then its body.
type Answer = dyn Fn(&str) -> Vec<u8> + Send + Sync;

/// A server that ends when it is dropped. Each connection carries one request.
pub struct Server {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server on a free port.
    pub fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, answer): (_, Arc<Answer>) = (is_over.clone(), Arc::new(answer));
        let listening = std::thread::spawn(move || listen(&listener, &answer, &over));
        Self { address, is_over, listening: Some(listening) }
    }

    /// Returns where the server is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
        let _ = self.listening.take().map(JoinHandle::join);
    }
}

fn listen(listener: &TcpListener, answer: &Arc<Answer>, is_over: &AtomicBool) {
    for stream in listener.incoming().map_while(Result::ok) {
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        let answer = answer.clone();
        std::thread::spawn(move || serve(&stream, &*answer));
    }
}

fn serve(mut stream: &TcpStream, answer: &Answer) {
    let mut reader = BufReader::new(stream);
    if let Some(request) = request(&mut reader) {
        // A client that went away is no failure of the test.
        let _ = stream.write_all(&answer(&request));
    }
}

/// Reads one request, or nothing from who connects and says nothing.
fn request(reader: &mut BufReader<&TcpStream>) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8_lossy(&body))
}
