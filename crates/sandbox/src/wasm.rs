//! A component's bytes, and their hash once somebody wanted it: large ones take milliseconds.

use std::borrow::Cow;
use std::sync::OnceLock;

use protocol::ContentHash;

pub(crate) struct Wasm {
    bytes: Cow<'static, [u8]>,
    content: OnceLock<ContentHash>,
}

impl Wasm {
    pub(crate) fn new(bytes: Cow<'static, [u8]>) -> Self {
        Self { bytes, content: OnceLock::new() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn content(&self) -> &ContentHash {
        self.content.get_or_init(|| ContentHash::of(&self.bytes))
    }
}
