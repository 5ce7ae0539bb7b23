//! What an endpoint may make us wait for or hold. Every limit is finite; an endpoint is trusted with nothing.

use std::time::Duration;

/// Bytes of one event. The largest honest one ends a Responses stream and repeats the whole reply and our own tools.
pub(crate) const MAX_EVENT_BYTES: usize = 8 << 20;

/// Bytes of one stream. A chat chunk spends about 300 bytes on each token: this is room for 200,000 tokens.
pub(crate) const MAX_STREAM_BYTES: usize = 64 << 20;

/// Bytes of text, reasoning and arguments in one reply: 200,000 tokens come to less than 1 MiB.
pub(crate) const MAX_REPLY_BYTES: usize = 4 << 20;

/// Parts of one reply. Models propose tens of calls at most.
pub(crate) const MAX_PARTS: usize = 256;

/// Bytes read of an answer that is no stream (an error, a web page); its first lines say what went wrong.
pub(crate) const MAX_ERROR_BYTES: usize = 16 << 10;

/// Characters of a provider's own words that a failure repeats.
pub(crate) const MAX_ERROR_CHARS: usize = 400;

/// How long each phase of one model call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Name lookup, TCP and TLS. A lost packet or two is retried by the kernel within it.
    pub connect: Duration,
    /// From the request until the answer's headers. A local server on a CPU reads a long prompt first.
    pub first_byte: Duration,
    /// Between two complete lines of the stream: bytes that never make a line are no progress. Some models think
    /// for minutes in silence.
    pub idle: Duration,
    /// The whole call, however lively it is.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            first_byte: Duration::from_mins(5),
            idle: Duration::from_mins(5),
            total: Duration::from_mins(30),
        }
    }
}
