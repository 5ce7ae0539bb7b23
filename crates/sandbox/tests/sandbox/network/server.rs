//! A server on loopback that answers as a test says, and remembers what it was asked.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// Returns the whole answer to a request's head.
type Answer = dyn Fn(&str) -> Vec<u8> + Send + Sync;

pub(crate) struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
    is_over: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::on("127.0.0.1:0", answer)
    }

    pub(crate) fn on(address: &str, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, connections, is_over) = (Arc::default(), Arc::default(), Arc::new(AtomicBool::new(false)));
        let listening = std::thread::spawn({
            let (seen, connections, is_over) = (Arc::clone(&seen), Arc::clone(&connections), is_over.clone());
            let answer: Arc<Answer> = Arc::new(answer);
            move || listen(&listener, &answer, &seen, &connections, &is_over)
        });
        Self { address, seen, connections, is_over, listening: Some(listening) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the heads of all requests, bodies appended.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Vec<String>> {
        self.seen.lock().unwrap()
    }

    /// Returns how many connections were made, whatever was said over them.
    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
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

fn listen(
    listener: &TcpListener,
    answer: &Arc<Answer>,
    seen: &Arc<Mutex<Vec<String>>>,
    connections: &Arc<Mutex<usize>>,
    is_over: &AtomicBool,
) {
    for stream in listener.incoming() {
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        *connections.lock().unwrap() += 1;
        let (stream, answer, seen) = (stream.unwrap(), answer.clone(), seen.clone());
        // A connection ends when its guest goes away, so that nobody waits for these threads.
        std::thread::spawn(move || {
            let _ = serve(&stream, &answer, &seen);
        });
    }
}

fn serve(mut stream: &TcpStream, answer: &Arc<Answer>, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    seen.lock().unwrap().push(format!("{head}{}", String::from_utf8_lossy(&body)));
    stream.write_all(&answer(&head))
}

/// Returns a response of this status with these headers.
pub(crate) fn response(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    let length = body.len().to_string();
    head.extend(["content-length: ", &length, "\r\nconnection: close\r\n\r\n"]);
    [head.as_bytes(), body].concat()
}

pub(crate) fn ok(body: &str) -> Vec<u8> {
    response("200 OK", &[("content-type", "text/plain")], body.as_bytes())
}
