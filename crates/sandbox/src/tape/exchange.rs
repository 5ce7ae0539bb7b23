//! HTTP as the guest saw it: recorded at the gate's inner side, and played without a gate.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use protocol::{ContentHash, Hasher};
use serde::{Deserialize, Serialize};
use stage::{Left, Room};
use wasmtime_wasi_http::{Error, WasiBody};

use super::deck::{Deck, Played, lock};
use super::failure;

/// Bytes that a frame, or a header beside its text, counts as.
const FRAME_BYTES: u64 = 8;

/// What goes on beneath a response.
type Beneath = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// A response, and the work that goes on beneath it.
type Answer = (Response<WasiBody>, Beneath);

/// An answer to come.
type Sending = Box<dyn Future<Output = Result<Answer, Error>> + Send>;

/// One request with its response, as the guest wrote the one and saw the other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Exchange {
    method: String,
    url: String,
    /// What was taken of the request's body.
    sent: Upload,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    head: Option<Head>,
    /// The lengths of what came of the response's body.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    frames: Vec<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<ContentHash>,
    /// Whether the response's body came to its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    whole: bool,
    /// How it failed, if it did: the request without a head, else the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Failure {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// The body of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Upload {
    bytes: u64,
    hash: ContentHash,
    /// Whether it was taken to its end.
    whole: bool,
}

impl Default for Upload {
    fn default() -> Self {
        Self { bytes: 0, hash: ContentHash::of(b""), whole: false }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    status: u16,
    /// Each byte of a value as the character of that number.
    headers: Vec<(String, String)>,
}

impl Head {
    fn of(head: &http::response::Parts) -> Self {
        let text = |value: &HeaderValue| value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
        let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
        Self { status: head.status.as_u16(), headers: headers.collect() }
    }

    fn bytes(&self) -> u64 {
        self.headers.iter().map(|(name, value)| (name.len() + value.len()) as u64 + FRAME_BYTES).sum()
    }

    fn response(&self, body: WasiBody) -> Option<Response<WasiBody>> {
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).ok()?;
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let bytes = value.chars().map(|character| u8::try_from(u32::from(character)).ok());
            let value = HeaderValue::from_bytes(&bytes.collect::<Option<Vec<u8>>>()?).ok()?;
            headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
        }
        *response.headers_mut() = headers;
        Some(response)
    }
}

/// An exchange while it goes on.
#[derive(Default)]
pub(super) struct Taken {
    exchange: Exchange,
    sent: Hasher,
    came: Vec<u8>,
}

impl Taken {
    /// Returns the exchange as far as it came, and adds its content to `contents`.
    pub(super) fn finish(&mut self, contents: &mut Vec<(ContentHash, Vec<u8>)>) -> Exchange {
        let came = std::mem::take(&mut self.came);
        let mut exchange = self.exchange.clone();
        exchange.sent.hash = self.sent.clone().finish();
        if !came.is_empty() {
            let hash = ContentHash::of(&came);
            exchange.content = Some(hash.clone());
            contents.push((hash, came));
        }
        exchange
    }
}

/// One exchange's part of a recording.
#[derive(Clone)]
struct Notes {
    taken: Arc<Mutex<Taken>>,
    room: Room,
}

impl Notes {
    fn failed(&self, error: &Error) {
        match failure::name(error) {
            Some((name, text)) => lock(&self.taken).exchange.failure = Some(Failure { name, text }),
            None => self.room.spoil(&format!("a request failed in a way that no tape holds: {error}")),
        }
    }

    fn answered(&self, head: &http::response::Parts) {
        let head = Head::of(head);
        if self.room.take(head.bytes()) {
            lock(&self.taken).exchange.head = Some(head);
        }
    }

    fn came(&self, data: &Bytes) {
        if self.room.take(data.len() as u64 + FRAME_BYTES) {
            let mut taken = lock(&self.taken);
            taken.came.extend_from_slice(data);
            taken.exchange.frames.push(data.len() as u64);
        }
    }
}

/// Answers `request` from the tape that `deck` plays, without connecting to anything; else with what `send` makes of it,
/// which is recorded where that is wanted.
pub(crate) fn answer<S>(
    deck: &Arc<Deck>,
    request: Request<WasiBody>,
    send: impl FnOnce(Request<WasiBody>) -> S,
) -> Sending
where
    S: Future<Output = Result<Answer, Error>> + Send + 'static,
{
    if deck.is_played() {
        return answered(deck.clone(), request);
    }
    let Some(recording) = deck.recording() else { return Box::new(send(request)) };
    let (method, url) = (request.method().to_string(), request.uri().to_string());
    let room = recording.room().clone();
    let _ = room.take((method.len() + url.len()) as u64 + FRAME_BYTES);
    let exchange = Exchange { method, url, ..Exchange::default() };
    let notes = Notes { taken: Arc::new(Mutex::new(Taken { exchange, ..Taken::default() })), room };
    recording.add(notes.taken.clone());
    let sending = send(request.map(|body| Sent { body, taken: notes.taken.clone() }.boxed_unsync()));
    Box::new(async move {
        let (response, beneath) = sending.await.inspect_err(|error| notes.failed(error))?;
        let (head, body) = response.into_parts();
        notes.answered(&head);
        Ok((Response::from_parts(head, Came { body, notes }.boxed_unsync()), beneath))
    })
}

/// The body of a request, hashed as it is taken.
struct Sent {
    body: WasiBody,
    taken: Arc<Mutex<Taken>>,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let mut taken = lock(&self.taken);
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    taken.sent.update(data);
                    taken.exchange.sent.bytes += data.len() as u64;
                }
            }
            Some(Err(_)) => {}
            None => taken.exchange.sent.whole = true,
        }
        drop(taken);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let is_end = self.body.is_end_stream();
        if is_end {
            // Whoever sends it need not ask again.
            lock(&self.taken).exchange.sent.whole = true;
        }
        is_end
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// The body of a response, noted as it comes.
struct Came {
    body: WasiBody,
    notes: Notes,
}

impl Body for Came {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => _ = frame.data_ref().map(|data| self.notes.came(data)),
            Some(Err(error)) => self.notes.failed(error),
            None => lock(&self.notes.taken).exchange.whole = true,
        }
        Poll::Ready(frame)
    }
}

fn answered(deck: Arc<Deck>, request: Request<WasiBody>) -> Sending {
    let Some(played) = deck.playing() else { return denied() };
    let (method, url) = (request.method().to_string(), request.uri().to_string());
    let exchange = played.next().filter(|exchange| exchange.method == method && exchange.url == url);
    let Some(exchange) = exchange else {
        played.left.note(|| format!("{method} {url}"));
        return denied();
    };
    Box::new(async move {
        let played = deck.playing().ok_or(Error::InternalError(None))?;
        let asked = format!("{method} {url}");
        if exchange.head.is_some() || exchange.sent.whole {
            compare(played, &asked, &exchange.sent, request.into_body()).await;
        }
        respond(played, &asked, &exchange)
    })
}

fn denied() -> Sending {
    Box::new(std::future::ready(Err(Error::HttpRequestDenied)))
}

/// Notes when the request's body is another.
async fn compare(played: &Played, asked: &str, expected: &Upload, mut body: WasiBody) {
    let (mut hasher, mut bytes) = (Hasher::default(), 0);
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            hasher.update(data);
            bytes += data.len() as u64;
        }
    }
    if expected.whole && (bytes != expected.bytes || hasher.finish() != expected.hash) {
        played.left.note(|| format!("{asked} with another body, of {bytes} bytes"));
    }
}

fn respond(played: &Played, asked: &str, exchange: &Exchange) -> Result<Answer, Error> {
    let unreadable = || {
        played.left.note(|| format!("{asked}, whose answer is not kept"));
        Error::InternalError(None)
    };
    let failure = exchange.failure.clone().map(|failure| failure::error(&failure.name, failure.text));
    let failure = failure.map(|error| error.ok_or_else(unreadable)).transpose()?;
    let Some(head) = &exchange.head else { return Err(failure.unwrap_or_else(unreadable)) };
    let content: Arc<[u8]> = match &exchange.content {
        Some(hash) => (played.contents)(hash).ok_or_else(unreadable)?,
        None => Arc::new([]),
    };
    let mut rest = Bytes::copy_from_slice(&content);
    let mut frames = VecDeque::new();
    for length in &exchange.frames {
        let length = usize::try_from(*length).unwrap_or(usize::MAX).min(rest.len());
        frames.push_back(Ok(Frame::data(rest.split_to(length))));
    }
    let beyond = (!exchange.whole && failure.is_none()).then(|| (played.left.clone(), asked.to_owned()));
    frames.extend(failure.map(Err));
    let response = head.response(Frames { frames, beyond }.boxed_unsync()).ok_or_else(unreadable)?;
    Ok((response, Box::new(std::future::ready(Ok(())))))
}

/// A body that is there.
struct Frames {
    frames: VecDeque<Result<Frame<Bytes>, Error>>,
    /// Where it is noted that somebody reads further than the tape goes.
    beyond: Option<(Left, String)>,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = self.frames.pop_front();
        if let (None, Some((left, asked))) = (&frame, &self.beyond) {
            left.note(|| format!("more of the body of {asked}"));
            return Poll::Ready(Some(Err(Error::HttpResponseIncomplete)));
        }
        Poll::Ready(frame)
    }
}
