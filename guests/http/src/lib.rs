//! HTTP for guests: one request, or one with its redirects, over wasi:http.
//!
//! The runtime's gate judges every request by itself; what it refuses comes back as [`Error::Denied`]. Deliberately
//! absent: connections that outlive a request, cookies, and any state between two calls.

mod follow;
#[cfg(target_arch = "wasm32")]
mod wire;

pub use follow::{Fetched, MAX_REDIRECTS, follow};
pub use url::{ParseError, Url};

use std::fmt;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, and so on.
    pub method: String,
    pub url: Url,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The body was longer than what was asked for.
    pub is_cut: bool,
}

impl Response {
    /// Returns the first header of this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The runtime's gate refused it.
    Denied,
    /// A header or method is not one that may be sent.
    Invalid(String),
    /// Something went wrong on the way.
    Failed(String),
    /// A redirect leads nowhere.
    Redirect(String),
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => formatter.write_str("the runtime refused the connection"),
            Self::Invalid(what) | Self::Failed(what) | Self::Redirect(what) => formatter.write_str(what),
        }
    }
}

/// Sends `request` and reads at most `limit` bytes of the body.
#[cfg(target_arch = "wasm32")]
pub fn send(request: &Request, limit: usize) -> Result<Response, Error> {
    wire::send(request, limit)
}
