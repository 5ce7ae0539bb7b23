//! One TCP connection: made to the admitted address, counted, and recorded when its last handle is gone.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures::task::noop_waker_ref;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};

use super::super::record::Record;
use super::convert::io_code;
use super::options::{KeepAlive, Options};
use crate::bindings::sockets::network::ErrorCode;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that one host call moves at most, and that wait in the host for the operating system to take them.
const CHUNK_BYTES: usize = 64 << 10;

/// A connection that its socket and both of its streams share.
pub(super) struct Connection {
    stream: Arc<TcpStream>,
    remote: SocketAddr,
    record: Record,
    /// The guest wants to read no more, or may not.
    is_deaf: AtomicBool,
    sending: Arc<Sending>,
    /// One of the connections that the call may have.
    _slot: OwnedSemaphorePermit,
}

/// Connects to `remote` and to nothing else.
pub(super) async fn connect(
    remote: SocketAddr,
    (options, alive): (Options, KeepAlive),
    record: Record,
    slot: OwnedSemaphorePermit,
) -> Result<Arc<Connection>, ErrorCode> {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, open(remote, options, alive)).await;
    let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let stream = connected.inspect_err(|error| record.failed(error)).map_err(io_code)?;
    record.reached(remote.ip());
    let sending = Arc::default();
    Ok(Arc::new(Connection {
        stream: Arc::new(stream),
        remote,
        record,
        is_deaf: AtomicBool::new(false),
        sending,
        _slot: slot,
    }))
}

async fn open(remote: SocketAddr, options: Options, alive: KeepAlive) -> io::Result<TcpStream> {
    let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    options.apply(&socket)?;
    alive.apply(&socket)?;
    // A guest that writes little at a time waits for the answer.
    socket.set_nodelay(true)?;
    socket.connect(remote).await
}

impl Connection {
    pub(super) fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Returns the host's port.
    pub(super) fn local_port(&self) -> io::Result<u16> {
        Ok(self.stream.local_addr()?.port())
    }

    pub(super) fn apply(&self, options: &Options, alive: &KeepAlive) -> io::Result<()> {
        options.apply(&self.stream)?;
        alive.apply(&self.stream)
    }

    /// Ends one direction, or both; what was written before still goes out.
    pub(super) fn shut(&self, how: Shutdown) {
        if how != Shutdown::Write {
            self.is_deaf.store(true, Ordering::Relaxed);
        }
        if how != Shutdown::Read {
            self.sending.shut(&self.stream);
        }
    }

    fn receive(&self, bytes: Vec<u8>) -> StreamResult<Bytes> {
        if self.record.receive(bytes.len()) {
            return Ok(bytes.into());
        }
        self.is_deaf.store(true, Ordering::Relaxed);
        Err(StreamError::LastOperationFailed(wasmtime::Error::msg("the call may receive no more bytes")))
    }
}

/// Whether bytes are on their way out, and whether the last of them are. Both are asked and answered at once.
#[derive(Default)]
struct Sending(Mutex<Ends>);

#[derive(Default)]
struct Ends {
    is_busy: bool,
    is_shut: bool,
}

impl Sending {
    fn shut(&self, stream: &TcpStream) {
        let mut ends = self.lock();
        ends.is_shut = true;
        if !ends.is_busy {
            end_sending(stream);
        }
    }

    fn is_shut(&self) -> bool {
        self.lock().is_shut
    }

    fn begin(&self) {
        self.lock().is_busy = true;
    }

    fn finish(&self, stream: &TcpStream) {
        let mut ends = self.lock();
        ends.is_busy = false;
        if ends.is_shut {
            end_sending(stream);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end_sending(stream: &TcpStream) {
    // A connection that is gone has no direction to end.
    let _ = rustix::net::shutdown(stream, rustix::net::Shutdown::Write);
}

/// What comes over a connection. The host holds none of it: what is not read waits in the operating system's buffer.
pub(super) struct Reader(pub(super) Arc<Connection>);

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        if !self.0.is_deaf.load(Ordering::Relaxed) {
            // An error is read like what came.
            let _ = self.0.stream.readable().await;
        }
    }
}

#[async_trait]
impl InputStream for Reader {
    fn read(&mut self, length: usize) -> StreamResult<Bytes> {
        if self.0.is_deaf.load(Ordering::Relaxed) {
            return Err(StreamError::Closed);
        }
        let mut bytes = vec![0; length.min(CHUNK_BYTES)];
        if bytes.is_empty() {
            return Ok(Bytes::new());
        }
        match self.0.stream.try_read(&mut bytes) {
            Ok(0) => Err(StreamError::Closed),
            Ok(read) => {
                bytes.truncate(read);
                self.0.receive(bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Bytes::new()),
            Err(error) => Err(StreamError::LastOperationFailed(error.into())),
        }
    }
}

/// What goes over a connection.
pub(super) struct Writer {
    connection: Arc<Connection>,
    /// Sends what the operating system did not take at once, one chunk at most.
    rest: Option<AbortOnDropJoinHandle<io::Result<()>>>,
    is_broken: bool,
    /// Bytes that may be written next.
    permitted: usize,
}

impl Writer {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self { connection, rest: None, is_broken: false, permitted: 0 }
    }

    fn is_closed(&self) -> bool {
        self.is_broken || self.connection.sending.is_shut()
    }

    /// Looks whether everything that was written is gone; `None` if not.
    fn settle(&mut self) -> Option<io::Result<()>> {
        let Some(rest) = &mut self.rest else { return Some(Ok(())) };
        match Pin::new(rest).poll(&mut Context::from_waker(noop_waker_ref())) {
            Poll::Pending => None,
            Poll::Ready(ended) => {
                self.rest = None;
                Some(ended)
            }
        }
    }

    fn broken(&mut self, error: io::Error) -> StreamError {
        self.is_broken = true;
        match error.kind() {
            io::ErrorKind::BrokenPipe => StreamError::Closed,
            _ => StreamError::LastOperationFailed(error.into()),
        }
    }

    /// Hands `bytes` to the operating system, or to a task that waits until it takes them.
    fn send(&mut self, mut bytes: Bytes) -> io::Result<()> {
        let Connection { stream, record, sending, .. } = &*self.connection;
        while !bytes.is_empty() {
            match stream.try_write(&bytes) {
                Ok(sent) => {
                    record.sent(sent);
                    bytes.advance(sent);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    sending.begin();
                    let rest = send_rest(stream.clone(), bytes, record.sent_bytes().clone(), sending.clone());
                    self.rest = Some(spawn(rest));
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

async fn send_rest(
    stream: Arc<TcpStream>,
    mut bytes: Bytes,
    counted: Arc<AtomicU64>,
    sending: Arc<Sending>,
) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(&bytes) {
            Ok(sent) => {
                counted.fetch_add(sent as u64, Ordering::Relaxed);
                bytes.advance(sent);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    sending.finish(&stream);
    Ok(())
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        if let Some(rest) = &mut self.rest {
            let ended = rest.await;
            self.rest = None;
            self.is_broken |= ended.is_err();
        }
        if !self.is_closed() {
            // An error is told by what comes next.
            let _ = self.connection.stream.writable().await;
        }
    }
}

#[async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if self.is_closed() {
            return Err(StreamError::Closed);
        }
        if bytes.len() > std::mem::take(&mut self.permitted) {
            return Err(StreamError::Trap(wasmtime::Error::msg("more was written than `check-write` permitted")));
        }
        self.send(bytes).map_err(|error| self.broken(error))
    }

    fn flush(&mut self) -> StreamResult<()> {
        // What was written is on its way without it.
        if self.is_closed() { Err(StreamError::Closed) } else { Ok(()) }
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        match self.settle() {
            None => return Ok(0),
            Some(Err(error)) => return Err(self.broken(error)),
            Some(Ok(())) if self.is_closed() => return Err(StreamError::Closed),
            Some(Ok(())) => {}
        }
        let mut context = Context::from_waker(noop_waker_ref());
        self.permitted = match self.connection.stream.poll_write_ready(&mut context) {
            Poll::Pending => 0,
            Poll::Ready(_) => CHUNK_BYTES,
        };
        Ok(self.permitted)
    }

    /// Waits until what was written is gone: the guest was told that it would be. The call's deadline bounds it.
    async fn cancel(&mut self) {
        if let Some(rest) = self.rest.take() {
            let _ = rest.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::super::super::Gate;
    use super::*;
    use crate::bindings::sockets::network::IpAddressFamily;

    #[tokio::test]
    async fn what_waits_to_be_sent_comes_before_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (gate, options) = (Gate::shut(), Options::new(IpAddressFamily::Ipv4));
        let (record, slot) = (Record::new(gate.clone(), 1), gate.connection().unwrap());
        let to = listener.local_addr().unwrap();
        let connection = connect(to, (options, KeepAlive::default()), record, slot).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut writer = Writer::new(connection.clone());
        let mut written = 0;
        while writer.rest.is_none() {
            writer.ready().await;
            let permitted = writer.check_write().unwrap();
            writer.write(vec![1; permitted].into()).unwrap();
            written += permitted;
        }
        connection.shut(Shutdown::Write);
        let mut read = Vec::new();
        tokio::time::timeout(CONNECT_TIMEOUT, peer.read_to_end(&mut read)).await.unwrap().unwrap();
        assert_eq!(read.len(), written);
    }
}
