//! The one way to talk to a model.

use std::sync::Arc;

use async_trait::async_trait;
use protocol::{CallId, Message, ModelFailure, ModelReply, ToolDefinition};

/// Makes a fresh [`CallId`] for each proposed call: randomness is the caller's.
pub type CallIds = Arc<dyn Fn() -> CallId + Send + Sync>;

/// What a model is asked: the whole conversation, each time.
#[derive(Debug, Clone, Copy)]
pub struct ModelRequest<'a> {
    pub system: &'a str,
    pub messages: &'a [Message],
    pub tools: &'a [ToolDefinition],
    /// Tokens that the reply may have, reasoning included.
    pub max_output_tokens: u32,
}

/// A piece of a reply, as it comes; for progress only. What counts is the [`ModelReply`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    Text(String),
    Reasoning(String),
    /// A call is being written; its arguments come with the reply.
    ToolCall {
        name: String,
    },
}

/// Takes deltas while a reply is assembled. Any closure over a [`Delta`] is one.
pub trait DeltaSink: Send {
    fn accept(&mut self, delta: Delta);
}

impl<F: FnMut(Delta) + Send> DeltaSink for F {
    fn accept(&mut self, delta: Delta) {
        self(delta);
    }
}

/// A planner behind some wire, or a script.
#[async_trait]
pub trait Model: Send + Sync {
    /// Returns `provider/model`, for people and the journal.
    fn name(&self) -> &str;

    /// Asks once, hands pieces to `deltas` as they come, and returns the assembled reply.
    ///
    /// There are no retries. Dropping the future cancels: nothing is left running and the connection is closed.
    ///
    /// # Errors
    /// A [`ModelFailure`] when there is no reply to act on. A reply whose stream broke after some of it had come is
    /// returned with [`protocol::StopReason::Truncated`], its tool calls malformed.
    async fn reply(&self, request: ModelRequest<'_>, deltas: &mut dyn DeltaSink) -> Result<ModelReply, ModelFailure>;
}
