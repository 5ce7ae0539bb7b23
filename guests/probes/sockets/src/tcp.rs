//! One TCP socket and its streams.

use wasip2::io::streams::{InputStream, OutputStream, StreamError};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::IpAddressFamily;
use wasip2::sockets::tcp::{ShutdownType, TcpSocket};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

use crate::Step;
use crate::run::{Result, ends, wasi};

/// Bytes of a text that is returned; of more, their number is.
const SHOWN: usize = 200;

pub(crate) struct Tcp {
    pub(crate) streams: Option<(InputStream, OutputStream)>,
    pub(crate) socket: TcpSocket,
}

impl Tcp {
    pub(crate) fn open(family: IpAddressFamily) -> Result<Self> {
        Ok(Self { streams: None, socket: create_tcp_socket(family)? })
    }

    pub(crate) fn step(&mut self, step: &Step) -> Result {
        match step {
            Step::Bind { to, .. } => {
                self.socket.start_bind(&instance_network(), wasi(*to))?;
                self.socket.finish_bind()?;
            }
            Step::Connect { to, .. } => {
                self.socket.start_connect(&instance_network(), wasi(*to))?;
                self.socket.subscribe().block();
                self.streams = Some(self.socket.finish_connect()?);
            }
            Step::Listen { .. } => {
                self.socket.start_listen()?;
                self.socket.finish_listen()?;
            }
            Step::Accept { .. } => drop(self.socket.accept()?),
            Step::Write { text, .. } => return Ok(write(self.output()?, text.as_bytes())),
            Step::Pour { bytes, .. } => return Ok(write(self.output()?, &vec![b'x'; *bytes])),
            Step::Shutdown { .. } => self.socket.shutdown(ShutdownType::Send)?,
            Step::Read { bytes, .. } => return Ok(read(self.input()?, *bytes)),
            Step::Addresses { .. } => return Ok(ends(self.socket.local_address(), self.socket.remote_address())),
            Step::Options { .. } => return Ok(self.options()),
            _ => return Err("no step of TCP".into()),
        }
        Ok("ok".into())
    }

    fn input(&self) -> Result<&InputStream> {
        self.streams.as_ref().map(|(input, _)| input).ok_or("not connected".into())
    }

    fn output(&self) -> Result<&OutputStream> {
        self.streams.as_ref().map(|(_, output)| output).ok_or("not connected".into())
    }

    /// Sets what nobody would, and returns what was made of it.
    fn options(&self) -> String {
        let socket = &self.socket;
        let refused = [
            socket.set_keep_alive_count(0),
            socket.set_keep_alive_idle_time(0),
            socket.set_keep_alive_interval(0),
            socket.set_hop_limit(0),
            socket.set_receive_buffer_size(0),
            socket.set_send_buffer_size(0),
            socket.set_listen_backlog_size(u64::MAX),
        ];
        let taken = [
            socket.set_keep_alive_enabled(true),
            socket.set_keep_alive_count(u32::MAX),
            socket.set_keep_alive_idle_time(u64::MAX),
            socket.set_keep_alive_interval(1),
            socket.set_hop_limit(255),
            socket.set_receive_buffer_size(u64::MAX),
            socket.set_send_buffer_size(u64::MAX),
        ];
        let all = refused.iter().all(std::result::Result::is_err) && taken.iter().all(std::result::Result::is_ok);
        format!(
            "{all} {:?} {:?} {:?} {:?}",
            socket.keep_alive_count().ok(),
            socket.hop_limit().ok(),
            socket.receive_buffer_size().ok(),
            socket.is_listening()
        )
    }
}

fn write(output: &OutputStream, mut bytes: &[u8]) -> String {
    while !bytes.is_empty() {
        output.subscribe().block();
        let sent = output.check_write().and_then(|permitted| {
            let length = bytes.len().min(usize::try_from(permitted).unwrap_or(usize::MAX));
            output.write(&bytes[..length]).map(|()| length)
        });
        match sent {
            Ok(length) => bytes = &bytes[length..],
            Err(error) => return ending(&error).to_owned(),
        }
    }
    "ok".into()
}

fn read(input: &InputStream, wanted: usize) -> String {
    let mut bytes = Vec::new();
    let mut end = "open";
    while bytes.len() < wanted {
        match input.blocking_read((wanted - bytes.len()) as u64) {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(error) => {
                end = ending(&error);
                break;
            }
        }
    }
    let shown = if bytes.len() > SHOWN { format!("{} bytes", bytes.len()) } else { text(&bytes) };
    format!("{shown} ({end})")
}

fn ending(error: &StreamError) -> &'static str {
    match error {
        StreamError::Closed => "closed",
        StreamError::LastOperationFailed(_) => "failed",
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
