//! The requests over wasi:http.

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{Fields, FutureIncomingResponse, IncomingResponse, Method, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

use crate::Sent;

/// What went wrong, for the test to compare.
struct Wrong(String);

impl From<&str> for Wrong {
    fn from(step: &str) -> Self {
        Self(step.to_owned())
    }
}

type Result<T> = std::result::Result<T, Wrong>;

/// Returns `200 body`, or what went wrong, for each request.
pub(crate) fn send(requests: &[Sent]) -> Vec<String> {
    let pending: Vec<_> = requests.iter().map(start).collect();
    let told = |pending: Result<FutureIncomingResponse>| pending.and_then(|pending| finish(&pending));
    pending.into_iter().map(|pending| told(pending).unwrap_or_else(|Wrong(what)| what)).collect()
}

fn start(sent: &Sent) -> Result<FutureIncomingResponse> {
    let headers = Fields::new();
    for (name, value) in &sent.headers {
        headers.append(name, value.as_bytes()).map_err(|error| Wrong(format!("header: {error:?}")))?;
    }
    let request = OutgoingRequest::new(headers);
    let scheme = match sent.scheme.as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    request.set_method(&Method::Other(sent.method.clone())).map_err(|()| "method")?;
    request.set_scheme(Some(&scheme)).map_err(|()| "scheme")?;
    request.set_authority(Some(&sent.authority)).map_err(|()| "authority")?;
    request.set_path_with_query(sent.path.as_deref()).map_err(|()| "path")?;
    handle(request, None).map_err(|code| Wrong(code.to_string()))
}

fn finish(pending: &FutureIncomingResponse) -> Result<String> {
    pending.subscribe().block();
    let response = pending.get().ok_or("lost")?.map_err(|()| "taken")?.map_err(|code| Wrong(code.to_string()))?;
    let body = read(&response)?;
    Ok(format!("{} {body}", response.status()))
}

fn read(response: &IncomingResponse) -> Result<String> {
    let body = response.consume().map_err(|()| "consumed")?;
    let stream = body.stream().map_err(|()| "streamed")?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(StreamError::Closed) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(StreamError::LastOperationFailed(error)) => return Err(Wrong(error.to_debug_string())),
        }
    }
}
