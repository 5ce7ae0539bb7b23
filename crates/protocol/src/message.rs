//! What is said to a model and by it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::CallId;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    User,
    Assistant,
    /// Carries tool results only.
    Tool,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    pub role: Role,
    pub parts: Vec<Part>,
}

impl Message {
    /// Returns a message of one text.
    pub fn said(role: Role, text: &str) -> Self {
        Self { role, parts: vec![Part::Text { text: text.to_owned() }] }
    }
}

/// One part of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "part", rename_all = "snake_case")]
pub enum Part {
    Text {
        text: String,
    },
    /// What the model thought aloud. `signature` must be sent back unchanged to a provider that signed it.
    Reasoning {
        text: String,
        signature: Option<String>,
    },
    ToolCall(ToolCall),
    ToolResult(ToolResult),
}

/// A proposal of an untrusted planner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    pub call: CallId,
    /// The provider's own name of the call, echoed with its result. Never used as a key or a file name.
    pub wire_id: String,
    pub tool: String,
    pub arguments: Arguments,
}

/// The arguments of a proposal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arguments {
    /// A JSON value, not yet checked against any schema.
    Json(Value),
    /// Text that is not JSON, or arguments cut off before their end.
    Malformed(String),
}

/// What a model reads of a finished call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    pub call: CallId,
    pub wire_id: String,
    pub text: String,
    pub is_error: bool,
}

/// Tokens of one model call. `None` means that the provider did not say, never zero; the number of a reply that broke off
/// is unknown too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUsage {
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    /// Part of `input_tokens` that was read from a cache.
    pub cached_tokens: Option<u64>,
    /// Part of `input_tokens` that was written to a cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_tokens: Option<u64>,
    /// Part of `output_tokens` that the model thought with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
}

/// Why a model stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It had finished.
    EndTurn,
    /// It waits for tool results.
    ToolCalls,
    /// Its output limit cut it off.
    MaxTokens,
    StopSequence,
    /// The provider withheld the rest.
    ContentFilter,
    /// The stream ended without its terminator, so the reply may lack its end.
    Truncated,
    /// A reason that the provider named and the runtime does not know.
    Other(String),
    /// The provider ended the reply properly without naming a reason.
    Unknown,
}

impl StopReason {
    /// Tells whether the reply may lack its end, and the arguments of its last call theirs.
    pub fn is_cut_off(&self) -> bool {
        matches!(self, Self::MaxTokens | Self::Truncated | Self::ContentFilter)
    }
}

/// One complete reply of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelReply {
    /// Text, reasoning and tool calls, in the order in which they came.
    pub parts: Vec<Part>,
    pub usage: TokenUsage,
    pub stop: StopReason,
}

impl ModelReply {
    /// Returns the proposed calls, in order.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.parts.iter().filter_map(|part| match part {
            Part::ToolCall(call) => Some(call),
            _ => None,
        })
    }

    /// Returns the reply's text.
    pub fn text(&self) -> String {
        let text = |part: &Part| match part {
            Part::Text { text } => Some(text.clone()),
            _ => None,
        };
        self.parts.iter().filter_map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_of_an_older_journal_is_read_and_written_as_it_was() {
        let text = r#"{"input_tokens":20,"output_tokens":null,"cached_tokens":4}"#;
        let usage: TokenUsage = serde_json::from_str(text).unwrap();
        assert_eq!(usage, TokenUsage { input_tokens: Some(20), cached_tokens: Some(4), ..TokenUsage::default() });
        assert_eq!(serde_json::to_string(&usage).unwrap(), text);
    }
}
