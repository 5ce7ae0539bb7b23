//! A server that records requests and plays steps. Loopback, a free port, gone with the test.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

#[derive(Clone)]
pub(crate) enum Step {
    Send(Vec<u8>),
    /// Sends this again and again, until the client closes.
    Forever(Vec<u8>),
    /// Sends one byte at each interval, over and over.
    Drip(Vec<u8>, Duration),
    /// Sends nothing more; ends when the client closes.
    Hang,
}

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

pub(crate) struct Server {
    pub(crate) url: String,
    requests: UnboundedReceiver<Request>,
    closed: UnboundedReceiver<()>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Starts a server that plays `steps` on every connection and then closes it.
    pub(crate) async fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (seen, requests) = unbounded_channel();
        let (close, closed) = unbounded_channel();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, steps.clone(), seen.clone(), close.clone()));
            }
        });
        Self { url, requests, closed, task }
    }

    /// Starts a server that answers with this event stream and closes.
    pub(crate) async fn stream(events: &str) -> Self {
        Self::start(vec![answer("200 OK", &["content-type: text/event-stream"], events)]).await
    }

    pub(crate) async fn request(&mut self) -> Request {
        self.requests.recv().await.unwrap()
    }

    /// Returns how many requests came that nobody has asked for.
    pub(crate) fn further_requests(&mut self) -> usize {
        std::iter::from_fn(|| self.requests.try_recv().ok()).count()
    }

    /// Waits until the client has closed a connection on which something was still to come.
    pub(crate) async fn closed_by_client(&mut self) {
        self.closed.recv().await.unwrap();
    }
}

/// Returns the step that sends a whole answer, whose end is the connection's.
pub(crate) fn answer(status: &str, headers: &[&str], body: &str) -> Step {
    let headers: String = headers.iter().flat_map(|header| [*header, "\r\n"]).collect();
    Step::Send(format!("HTTP/1.1 {status}\r\n{headers}connection: close\r\n\r\n{body}").into_bytes())
}

async fn serve(stream: TcpStream, steps: Vec<Step>, seen: UnboundedSender<Request>, close: UnboundedSender<()>) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let Some(request) = read_request(&mut reader).await else { return };
    let _ = seen.send(request);
    for step in steps {
        let sent = match step {
            Step::Send(bytes) => writer.write_all(&bytes).await,
            Step::Forever(bytes) => loop {
                if let Err(error) = writer.write_all(&bytes).await {
                    break Err(error);
                }
            },
            Step::Drip(bytes, interval) => drip(&mut writer, &bytes, interval).await,
            Step::Hang => {
                let _ = reader.read(&mut [0]).await;
                Err(std::io::ErrorKind::ConnectionAborted.into())
            }
        };
        if sent.is_err() {
            let _ = close.send(());
            return;
        }
    }
}

async fn drip(writer: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8], every: Duration) -> std::io::Result<()> {
    let mut interval = tokio::time::interval(every);
    for byte in bytes.iter().cycle() {
        interval.tick().await;
        writer.write_all(&[*byte]).await?;
    }
    Ok(())
}

async fn read_request(reader: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let pairs = lines[1..].iter().filter_map(|line| line.split_once(": "));
    let headers: BTreeMap<String, String> =
        pairs.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).await.ok()?;
    Some(Request { line: lines[0].clone(), headers, body: serde_json::from_slice(&body).ok()? })
}
