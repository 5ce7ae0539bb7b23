//! One HTTP exchange: a request out, a bounded stream of events back.

use std::sync::Arc;

use protocol::{ModelFailure, ModelFailureKind};
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Client, RequestBuilder, Response, redirect};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::assembly::violation;
use crate::failure::{failure, of_status};
use crate::limits::{MAX_ERROR_BYTES, Timeouts};
use crate::sse::SseDecoder;

/// A client that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
}

/// Returns a client that follows no redirect, uses no proxy, retries nothing and decompresses nothing: a key goes to the
/// host that it was configured for, once.
pub(crate) fn client(endpoint: &Url, timeouts: Timeouts) -> Result<Client, TransportError> {
    let client = Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(timeouts.connect)
        .user_agent(concat!("boxagnts/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls(endpoint)?);
    Ok(client.build()?)
}

fn tls(endpoint: &Url) -> Result<ClientConfig, rustls::Error> {
    // Reading a machine's roots takes milliseconds; without redirects, a plain endpoint never needs them.
    let roots = if endpoint.scheme() == "https" { roots() } else { RootCertStore::empty() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Returns the machine's roots, or Mozilla's where the machine has none (a bare container).
fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

/// How a stream stopped giving events.
pub(crate) enum Break {
    /// The connection broke: what came before stands.
    Cut(ModelFailure),
    /// It must not be read on.
    Refused(ModelFailure),
}

/// The events of one answer. Dropping it closes the connection.
pub(crate) struct EventStream {
    response: Response,
    decoder: SseDecoder,
    timeouts: Timeouts,
    idle_until: Instant,
    total_until: Instant,
}

impl EventStream {
    /// Sends `request` and returns its stream.
    pub(crate) async fn open(request: RequestBuilder, timeouts: Timeouts) -> Result<Self, ModelFailure> {
        let now = Instant::now();
        let total_until = now + timeouts.total;
        let headers_until = total_until.min(now + timeouts.connect + timeouts.first_byte);
        let sent = timeout_at(headers_until, request.send()).await;
        let response = sent.map_err(|_| silence("the provider did not answer"))?.map_err(|error| unsent(&error))?;
        if is_stream(&response) {
            let idle_until = Instant::now() + timeouts.idle;
            return Ok(Self { response, decoder: SseDecoder::default(), timeouts, idle_until, total_until });
        }
        let until = total_until.min(Instant::now() + timeouts.idle);
        Err(refusal(response, until).await)
    }

    /// Returns the next event's data, or `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, Break> {
        loop {
            if let Some(event) = self.decoder.next() {
                return Ok(Some(event));
            }
            let until = self.idle_until.min(self.total_until);
            let chunk = timeout_at(until, self.response.chunk()).await.map_err(|_| Break::Refused(self.overdue()))?;
            let Some(chunk) = chunk.map_err(|error| Break::Cut(unsent(&error)))? else {
                return Ok(None);
            };
            let lines = self.decoder.lines();
            self.decoder.push(&chunk).map_err(|error| Break::Refused(violation(error.to_string())))?;
            if self.decoder.lines() > lines {
                self.idle_until = Instant::now() + self.timeouts.idle;
            }
        }
    }

    fn overdue(&self) -> ModelFailure {
        if self.total_until <= self.idle_until {
            return silence(format!("the reply took longer than {:?}", self.timeouts.total));
        }
        silence(format!("the stream made no progress for {:?}", self.timeouts.idle))
    }
}

fn is_stream(response: &Response) -> bool {
    response.status().is_success() && content_type(response).starts_with("text/event-stream")
}

fn content_type(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or("nothing").to_ascii_lowercase()
}

/// Returns why an answer that is no stream is of no use.
async fn refusal(mut response: Response, until: Instant) -> ModelFailure {
    let status = response.status();
    if status.is_redirection() {
        let to = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("nowhere");
        return violation(format!("{status} to {to}: redirects are not followed, set `base_url` to the place itself"));
    }
    if status.is_success() {
        return violation(format!("an event stream was expected, but {} came", content_type(&response)));
    }
    let mut body = Vec::new();
    while let Ok(Ok(Some(chunk))) = timeout_at(until, response.chunk()).await {
        let room = MAX_ERROR_BYTES - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == MAX_ERROR_BYTES {
            break;
        }
    }
    of_status(status, response.headers(), &String::from_utf8_lossy(&body))
}

fn silence(message: impl Into<String>) -> ModelFailure {
    failure(ModelFailureKind::Timeout, message)
}

/// Returns the failure of a connection, in the words of its innermost cause; the outer ones repeat the URL.
fn unsent(error: &reqwest::Error) -> ModelFailure {
    if error.is_timeout() && error.is_connect() {
        return failure(ModelFailureKind::Unreachable, "no connection within the time limit");
    }
    if error.is_timeout() {
        return silence("no answer within the time limit");
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let (kind, what) = if error.is_connect() {
        (ModelFailureKind::Unreachable, "no connection")
    } else {
        (ModelFailureKind::Network, "the connection broke")
    };
    failure(kind, format!("{what}: {cause}"))
}
