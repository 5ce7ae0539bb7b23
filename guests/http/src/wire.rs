//! One request over wasi:http.

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

use crate::{Error, Request, Response};

/// Bytes of one write to a request's body: what a host takes at once.
const WRITE_BYTES: usize = 4096;

/// Bytes of one read of a response's body.
const READ_BYTES: u64 = 64 << 10;

pub(crate) fn send(request: &Request, limit: usize) -> Result<Response, Error> {
    let outgoing = outgoing(request)?;
    let body = outgoing.body().map_err(|()| Error::Failed("the request has no body to write".into()))?;
    let pending = handle(outgoing, None).map_err(|code| failed(&code))?;
    write(body, &request.body)?;
    pending.subscribe().block();
    let response = pending.get().and_then(Result::ok).ok_or_else(|| Error::Failed("the response was lost".into()))?;
    receive(&response.map_err(|code| failed(&code))?, limit)
}

fn outgoing(request: &Request) -> Result<OutgoingRequest, Error> {
    let headers = Fields::new();
    for (name, value) in &request.headers {
        let invalid = |error| Error::Invalid(format!("the header `{name}` cannot be sent: {error}"));
        headers.append(name, value.as_bytes()).map_err(invalid)?;
    }
    if !request.body.is_empty() {
        let length = request.body.len().to_string();
        let invalid = |error| Error::Invalid(format!("the length of the body cannot be sent: {error}"));
        headers.set("content-length", &[length.into_bytes()]).map_err(invalid)?;
    }
    let outgoing = OutgoingRequest::new(headers);
    let invalid = |what: &str| Error::Invalid(format!("the {what} is not one that can be sent"));
    let url = &request.url;
    let scheme = match url.scheme() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    outgoing.set_method(&method(&request.method)).map_err(|()| invalid("method"))?;
    outgoing.set_scheme(Some(&scheme)).map_err(|()| invalid("scheme"))?;
    outgoing.set_authority(Some(url.authority())).map_err(|()| invalid("host"))?;
    outgoing.set_path_with_query(Some(&path)).map_err(|()| invalid("path"))?;
    Ok(outgoing)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

/// Writes a body. What goes wrong here is said better by the response.
fn write(body: OutgoingBody, bytes: &[u8]) -> Result<(), Error> {
    let stream = body.write().map_err(|()| Error::Failed("the body cannot be written".into()))?;
    for chunk in bytes.chunks(WRITE_BYTES) {
        if stream.blocking_write_and_flush(chunk).is_err() {
            break;
        }
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
    Ok(())
}

fn receive(response: &IncomingResponse, limit: usize) -> Result<Response, Error> {
    let headers = response.headers().entries();
    let headers =
        headers.into_iter().map(|(name, value)| (name.to_lowercase(), String::from_utf8_lossy(&value).into_owned()));
    let headers = headers.collect();
    let body = response.consume().map_err(|()| Error::Failed("the response has no body".into()))?;
    let stream = body.stream().map_err(|()| Error::Failed("the body cannot be read".into()))?;
    let mut bytes = Vec::new();
    let is_cut = loop {
        match stream.blocking_read(READ_BYTES) {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(StreamError::Closed) => break false,
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(Error::Failed(format!("the body broke off: {}", error.to_debug_string())));
            }
        }
        if bytes.len() > limit {
            bytes.truncate(limit);
            break true;
        }
    };
    Ok(Response { status: response.status(), headers, body: bytes, is_cut })
}

fn failed(code: &ErrorCode) -> Error {
    match code {
        ErrorCode::HttpRequestDenied => Error::Denied,
        ErrorCode::DnsError(payload) => Error::Failed(payload.rcode.clone().unwrap_or_else(|| "no such name".into())),
        ErrorCode::ConnectionRefused => Error::Failed("the connection was refused by the server".into()),
        ErrorCode::TlsCertificateError => Error::Failed("the server's certificate is not trusted".into()),
        ErrorCode::HttpResponseBodySize(limit) => Error::Failed(format!("the response is larger than {limit:?} bytes")),
        other => Error::Failed(format!("the request failed: {other}")),
    }
}
