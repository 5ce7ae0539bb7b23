//! Where wasi:http ends: its requests go to the gate.

use std::sync::Arc;

use http::HeaderName;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks,
};

use super::exchange::{Answer, exchange};
use super::gate::Gate;
use crate::tape::{self, Deck};

/// Headers that the host alone speaks for, beside those that wasi:http knows: what belongs to one hop, or would let a
/// guest choose how a message is framed.
const FORBIDDEN_HEADERS: [HeaderName; 4] =
    [http::header::TE, http::header::TRAILER, http::header::EXPECT, http::header::VIA];

/// The hooks of one call.
pub(crate) struct Hooks(pub(crate) Arc<Gate>, pub(crate) Arc<Deck>);

type Sending = Box<dyn Future<Output = Result<Answer, Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(|name| DEFAULT_FORBIDDEN_HEADERS.contains(name) || FORBIDDEN_HEADERS.contains(name))
    }

    /// The gate writes it, from the URL that was judged.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Sending {
        let Self(gate, deck) = self;
        // Before the gate: what is recorded has placeholders, and no secret in the response.
        let (gate, options) = (gate.clone(), options.unwrap_or_default());
        tape::answer(deck, request, move |request| exchange(gate, request, options))
    }
}
