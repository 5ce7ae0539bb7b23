//! One request, from the guest's words to the response.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HOST, HeaderName, HeaderValue};
use http::{Method, Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use policy::Target;
use protocol::RequestOutcome;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use url::{Position, Url};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::body::{Coding, Received};
use super::dial::dial;
use super::gate::{Admitted, Asked, Gate};
use super::record::Record;
use super::secrets::mentions;

/// The header of a key (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Bytes of a response's head.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Header fields of a response.
const MAX_HEADERS: usize = 128;

/// How long the head of a response may take where the guest does not say; the call's own deadline bounds it too.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);

/// Bytes of a URL: what servers accept, many times over.
const MAX_URL_BYTES: usize = 16 << 10;

/// Bytes of a method: the longest that is registered has half of them.
const MAX_METHOD_BYTES: usize = 32;

/// One of the connections that the call may have, for as long as either body goes over it.
pub(super) type Slot = Arc<OwnedSemaphorePermit>;

/// A response, and the work that goes on beneath it.
pub(super) type Answer = (Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

/// Sends `request` as the gate allows.
pub(super) async fn exchange(
    gate: Arc<Gate>,
    mut request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<Answer, Error> {
    let (url, target) = parse(&gate, &request)?;
    let mentions = mentions(request.headers(), &url);
    let asked = Asked { method: request.method().as_str(), url: &url, target: &target, mentions: &mentions };
    let Admitted { request: number, addresses, key } = gate.admit(&asked).await?;
    let record = Record::new(gate.clone(), number);
    let answered = async {
        let slot = Arc::new(gate.connection()?);
        // From here on the URL holds values: it is sent, and nothing else.
        let url = gate.secrets()?.fill(&mentions, request.headers_mut(), &url)?;
        let mut request = outgoing(request, &url, &target, (record.sent_bytes().clone(), slot.clone()))?;
        if let Some(key) = key {
            // In place of the guest's own, which may be another one the next time.
            let key = HeaderValue::from_str(&key).map_err(|_| Error::InternalError(None))?;
            request.headers_mut().insert(IDEMPOTENCY_KEY, key);
        }
        let Answered { response, address, connection } = transmit(&gate, &target, &addresses, request, options).await?;
        let (mut head, body) = response.into_parts();
        scrub(&gate, &mut head);
        let coding = Coding::of(&mut head.headers)?;
        Ok((head, body, coding, address, connection, slot))
    };
    let answered = answered.await.inspect_err(|error: &Error| record.failed(error));
    let (head, body, coding, address, connection, slot) = answered?;
    record.end(RequestOutcome::Answered { status: head.status.as_u16(), address });
    let body = Received::new(body, gate, coding, (record, slot)).boxed_unsync();
    let going_on = async move {
        connection.await;
        Ok(())
    };
    Ok((Response::from_parts(head, body), Box::new(going_on)))
}

/// Reads what the guest wants with the one parser whose reading is judged and used.
fn parse(gate: &Gate, request: &Request<WasiBody>) -> Result<(Url, Target), Error> {
    let written = request.uri().to_string();
    let method = request.method();
    // A token is ASCII: it can be cut anywhere.
    let named = &method.as_str()[..method.as_str().len().min(MAX_METHOD_BYTES)];
    let refuse = |reason: String| gate.refuse_unparsed(named, &written, reason);
    if method.as_str().len() > MAX_METHOD_BYTES {
        return Err(refuse(format!("The method has more than {MAX_METHOD_BYTES} bytes.")));
    }
    if [Method::CONNECT, Method::TRACE].contains(method) {
        return Err(refuse(format!("{method} is not a request that tools make.")));
    }
    if written.len() > MAX_URL_BYTES {
        return Err(refuse(format!("The URL has more than {MAX_URL_BYTES} bytes.")));
    }
    let url = Url::parse(&written).map_err(|error| refuse(format!("It is not a URL: {error}.")))?;
    let target = Target::of_url(&url).map_err(|error| refuse(format!("{error}.")))?;
    Ok((url, target))
}

/// Returns the request as it goes over the wire: addressed by the URL that was judged.
fn outgoing(
    request: Request<WasiBody>,
    url: &Url,
    target: &Target,
    (sent_bytes, slot): (Arc<AtomicU64>, Slot),
) -> Result<Request<WasiBody>, Error> {
    let (mut head, body) = request.into_parts();
    let path = &url[Position::BeforePath..Position::AfterQuery];
    head.uri = path.parse::<Uri>().map_err(|_| Error::HttpRequestUriInvalid)?;
    head.version = http::Version::HTTP_11;
    head.headers.insert(HOST, host_header(url, target)?);
    // The gate decodes, so that what is counted and looked through is what the guest sees.
    head.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, identity"));
    let counted = body.map_frame(move |frame| {
        // A server may answer before it has everything: the connection is in use until then.
        let _in_use = &slot;
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        frame
    });
    Ok(Request::from_parts(head, counted.boxed_unsync()))
}

fn host_header(url: &Url, target: &Target) -> Result<HeaderValue, Error> {
    let host = target.host();
    let text = url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
    HeaderValue::from_str(&text).map_err(|_| Error::HttpRequestUriInvalid)
}

/// Takes secrets out of the head of a response before anything reads it.
fn scrub(gate: &Gate, head: &mut http::response::Parts) {
    if let Some(scrubber) = gate.scrubber() {
        scrubber.headers(&mut head.headers);
        // The body may become longer or shorter; and the reason phrase is here.
        head.headers.remove(CONTENT_LENGTH);
        head.extensions.clear();
    }
}

struct Answered {
    response: Response<Incoming>,
    address: IpAddr,
    /// Drives the connection; ends it when dropped.
    connection: AbortOnDropJoinHandle<()>,
}

async fn transmit(
    gate: &Gate,
    target: &Target,
    addresses: &[IpAddr],
    request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<Answered, Error> {
    let (stream, address) = dial(target, addresses, &gate.tls).await?;
    let mut builder = http1::Builder::new();
    builder.max_headers(MAX_HEADERS).max_buf_size(MAX_HEAD_BYTES);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let connection = spawn(async move {
        // Its failure reaches the guest through the response or its body.
        let _ = connection.await;
    });
    let patience = options.first_byte_timeout.unwrap_or(HEAD_TIMEOUT).min(HEAD_TIMEOUT);
    let response = timeout(patience, sender.send_request(request)).await.map_err(|_| Error::HttpResponseTimeout)??;
    Ok(Answered { response, address, connection })
}

/// Forgets what the decoded body no longer is.
pub(super) fn forget_coding(headers: &mut http::HeaderMap) {
    headers.remove(CONTENT_ENCODING);
    headers.remove(CONTENT_LENGTH);
}
