//! The body of a response: decoded, counted and cut off where the call's share ends.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use wasmtime_wasi_http::Error;

use super::exchange::{Slot, forget_coding};
use super::gate::Gate;
use super::record::Record;
use super::secrets::{Scrubber, Scrubbing};

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
}

impl Coding {
    /// Takes the coding out of the headers of a response. What the gate did not ask for is refused: it could neither be
    /// counted nor looked through.
    pub(super) fn of(headers: &mut HeaderMap) -> Result<Self, Error> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let coding = values.next().map(|value| value.to_str().unwrap_or("?").trim().to_ascii_lowercase());
        if values.next().is_some() {
            return Err(Error::HttpResponseContentCoding(None));
        }
        match coding.as_deref() {
            None => Ok(Self::Identity),
            Some("" | "identity") => {
                headers.remove(CONTENT_ENCODING);
                Ok(Self::Identity)
            }
            Some("gzip" | "x-gzip") => {
                forget_coding(headers);
                Ok(Self::Gzip)
            }
            Some(other) => Err(Error::HttpResponseContentCoding(Some(other.chars().take(64).collect()))),
        }
    }
}

/// A response's body as the guest gets it.
pub(super) struct Received {
    body: Incoming,
    gate: Arc<Gate>,
    decoder: Option<MultiGzDecoder<Capped>>,
    scrubbing: Option<Scrubbing>,
    is_empty: bool,
    /// What is recorded, and the connection, until the body ends or the guest lets go of it.
    in_use: Option<(Record, Slot)>,
}

impl Received {
    pub(super) fn new(body: Incoming, gate: Arc<Gate>, coding: Coding, in_use: (Record, Slot)) -> Self {
        let decoder = (coding == Coding::Gzip).then(|| MultiGzDecoder::new(Capped::new(gate.receivable())));
        let scrubbing = gate.scrubber().map(Scrubber::stream);
        Self { body, gate, decoder, scrubbing, is_empty: true, in_use: Some(in_use) }
    }

    fn finish(&mut self, failure: Option<&Error>) {
        if let (Some((record, _)), Some(error)) = (self.in_use.take(), failure) {
            record.failed(error);
        }
    }

    /// Counts `data`, which came, as at least `decoded` bytes for the call; false when it may not have them. What decodes
    /// to nothing came all the same.
    fn receive(&self, data: usize, decoded: usize) -> bool {
        if let Some((record, _)) = &self.in_use {
            record.came(data);
        }
        self.gate.receive(decoded.max(data))
    }

    /// Returns `data` decoded and without secrets, if it is within what the call may receive.
    fn take(&mut self, data: Bytes) -> Result<Bytes, Error> {
        self.is_empty = false;
        let came = data.len();
        let too_large = || Error::HttpResponseBodySize(Some(self.gate.max_received_bytes()));
        let decoded = match &mut self.decoder {
            None => data,
            Some(decoder) => match decoder.write_all(&data).and_then(|()| decoder.flush()) {
                Ok(()) => decoder.get_mut().drain(),
                Err(_) if decoder.get_ref().is_full => return Err(too_large()),
                Err(_) => return Err(Error::HttpResponseContentCoding(Some("gzip".into()))),
            },
        };
        if !self.receive(came, decoded.len()) {
            return Err(too_large());
        }
        Ok(match &mut self.scrubbing {
            None => decoded,
            Some(scrubbing) => scrubbing.push(&decoded),
        })
    }

    /// Returns what is left at the end.
    fn rest(&mut self) -> Result<Option<Bytes>, Error> {
        let decoded = self.undecoded()?;
        let rest = match self.scrubbing.take() {
            None => decoded,
            Some(mut scrubbing) => [scrubbing.push(&decoded), scrubbing.finish()].concat().into(),
        };
        Ok((!rest.is_empty()).then_some(rest))
    }

    /// Returns what is left in the decoder at the end; a stream that was cut off is an error.
    fn undecoded(&mut self) -> Result<Bytes, Error> {
        let Some(mut decoder) = self.decoder.take() else { return Ok(Bytes::new()) };
        if self.is_empty {
            return Ok(Bytes::new());
        }
        decoder.try_finish().map_err(|_| Error::HttpResponseIncomplete)?;
        let rest = decoder.get_mut().drain();
        if !self.gate.receive(rest.len()) {
            return Err(Error::HttpResponseBodySize(Some(self.gate.max_received_bytes())));
        }
        Ok(rest)
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        loop {
            let result = match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.take(data).map(Some),
                    // Trailers carry nothing that a tool needs.
                    Err(_) => continue,
                },
                Some(Err(error)) => Err(broken_off(&error)),
                None => match this.rest() {
                    Ok(None) => {
                        this.finish(None);
                        return Poll::Ready(None);
                    }
                    rest => rest,
                },
            };
            match result {
                Ok(Some(data)) if !data.is_empty() => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(_) => {}
                Err(error) => {
                    this.finish(Some(&error));
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

/// Returns what ended a body before its end: nonsense of the server's, or a connection that went away.
fn broken_off(error: &hyper::Error) -> Error {
    if error.is_parse() { Error::HttpProtocolError } else { Error::HttpResponseIncomplete }
}

/// Where a decoder writes: grows no further than its share, however well a body was compressed.
struct Capped {
    bytes: Vec<u8>,
    room: u64,
    is_full: bool,
}

impl Capped {
    fn new(room: u64) -> Self {
        Self { bytes: Vec::new(), room, is_full: false }
    }

    fn drain(&mut self) -> Bytes {
        std::mem::take(&mut self.bytes).into()
    }
}

impl Write for Capped {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let length = buffer.len() as u64;
        if length > self.room {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.room -= length;
        self.bytes.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
