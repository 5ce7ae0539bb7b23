//! Anthropic Messages (`POST /v1/messages`, version 2023-06-01).

use protocol::{Message, ModelFailure, Part, Role, StopReason, TokenUsage, ToolDefinition};
use reqwest::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Wire, arguments_object, event, seal, unseal};
use crate::assembly::{Assembly, violation};
use crate::failure::WireError;
use crate::key::ApiKey;
use crate::model::ModelRequest;

/// Signer of thinking that can be read.
const THINKING: &str = "anthropic.thinking";

/// Signer of thinking that the provider encrypted.
const REDACTED: &str = "anthropic.redacted_thinking";

pub(crate) struct Anthropic;

impl Wire for Anthropic {
    fn path(&self) -> &'static str {
        "v1/messages"
    }

    fn headers(&self, key: Option<&ApiKey>) -> Vec<(HeaderName, HeaderValue)> {
        let version = (HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));
        let key = key.map(|key| (HeaderName::from_static("x-api-key"), key.header("")));
        std::iter::once(version).chain(key).collect()
    }

    fn body(&self, model: &str, request: ModelRequest<'_>) -> Value {
        let mut body = json!({
            "model": model,
            "max_tokens": request.max_output_tokens,
            "messages": messages(request.messages),
            "stream": true,
        });
        if !request.system.is_empty() {
            body["system"] = json!(request.system);
        }
        if !request.tools.is_empty() {
            body["tools"] = request.tools.iter().map(tool).collect();
        }
        body
    }

    fn read(&self, data: &str, reply: &mut Assembly<'_>) -> Result<(), ModelFailure> {
        let event: Event = event(data)?;
        match event.kind.as_str() {
            "message_start" => {
                let usage = event.message.and_then(|message| message.usage).unwrap_or_default();
                // Nothing has been put out yet: the number that stands here is a placeholder.
                reply.usage(TokenUsage { output_tokens: None, ..usage.tokens() });
            }
            "content_block_start" => return begin(event.index, &event.content_block.unwrap_or_default(), reply),
            "content_block_delta" => return extend(event.index, &event.delta.unwrap_or_default(), reply),
            "message_delta" => {
                reply.usage(event.usage.unwrap_or_default().tokens());
                if let Some(reason) = event.delta.and_then(|delta| delta.stop_reason) {
                    reply.stop(stop(reason));
                }
            }
            "message_stop" => reply.end(),
            "error" => return Err(event.error.unwrap_or_default().failure()),
            // `ping`, `content_block_stop`, and what the provider may add: its versioning policy says to pass over it.
            _ => {}
        }
        Ok(())
    }
}

fn tool(tool: &ToolDefinition) -> Value {
    json!({ "name": tool.name, "description": tool.description, "input_schema": tool.input_schema })
}

/// Returns the messages; neighbours of one role become one, because all results of a reply must be in the next message.
fn messages(messages: &[Message]) -> Vec<Value> {
    let mut merged: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in messages {
        let role = if message.role == Role::Assistant { "assistant" } else { "user" };
        let blocks = message.parts.iter().filter_map(block);
        match merged.last_mut() {
            Some((last, content)) if *last == role => content.extend(blocks),
            _ => merged.push((role, blocks.collect())),
        }
    }
    let filled = merged.into_iter().filter(|(_, content)| !content.is_empty());
    filled.map(|(role, content)| json!({ "role": role, "content": content })).collect()
}

/// Returns a part as a content block; blank text and unsigned thinking would be refused, so they are left out.
fn block(part: &Part) -> Option<Value> {
    match part {
        Part::Text { text } if text.trim().is_empty() => None,
        Part::Text { text } => Some(json!({ "type": "text", "text": text })),
        Part::Reasoning { text, signature } => thinking(text, signature.as_deref()),
        Part::ToolCall(call) => Some(json!({
            "type": "tool_use", "id": call.wire_id, "name": call.tool, "input": arguments_object(&call.arguments),
        })),
        Part::ToolResult(result) => Some(json!({
            "type": "tool_result", "tool_use_id": result.wire_id, "content": result.text, "is_error": result.is_error,
        })),
    }
}

fn thinking(text: &str, signature: Option<&str>) -> Option<Value> {
    if let Some(data) = unseal(REDACTED, signature) {
        return Some(json!({ "type": "redacted_thinking", "data": data }));
    }
    let signature = unseal(THINKING, signature)?;
    Some(json!({ "type": "thinking", "thinking": text, "signature": signature }))
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    index: u64,
    message: Option<MessageStart>,
    content_block: Option<ContentBlock>,
    delta: Option<BlockDelta>,
    usage: Option<Usage>,
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct MessageStart {
    usage: Option<Usage>,
}

#[derive(Default, Deserialize)]
struct Usage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize)]
struct OutputDetails {
    thinking_tokens: Option<u64>,
}

impl Usage {
    /// Returns the counts; here, unlike elsewhere, `input_tokens` leaves out what went through the cache.
    fn tokens(&self) -> TokenUsage {
        let cached = [self.cache_read_input_tokens, self.cache_creation_input_tokens];
        let cached = cached.into_iter().flatten().fold(0, u64::saturating_add);
        TokenUsage {
            input_tokens: self.input_tokens.map(|fresh| fresh.saturating_add(cached)),
            output_tokens: self.output_tokens,
            cached_tokens: self.cache_read_input_tokens,
            cache_write_tokens: self.cache_creation_input_tokens,
            reasoning_tokens: self.output_tokens_details.as_ref().and_then(|details| details.thinking_tokens),
        }
    }
}

#[derive(Default, Deserialize)]
struct ContentBlock {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    thinking: String,
    #[serde(default)]
    signature: String,
    #[serde(default)]
    data: String,
    /// As it was written, so that there is one reading of it.
    input: Option<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
struct BlockDelta {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    thinking: String,
    #[serde(default)]
    signature: String,
    #[serde(default)]
    partial_json: String,
    stop_reason: Option<String>,
}

fn begin(index: u64, block: &ContentBlock, reply: &mut Assembly<'_>) -> Result<(), ModelFailure> {
    match block.kind.as_str() {
        "text" => reply.text(&block.text),
        "thinking" => {
            reply.begin_reasoning()?;
            reply.reasoning(&block.thinking)?;
            sign(&block.signature, reply)
        }
        "redacted_thinking" => {
            reply.begin_reasoning()?;
            reply.sign(seal(REDACTED, &block.data))
        }
        "tool_use" => {
            reply.call(index, &block.id, &block.name)?;
            // Compatible servers may send the input at once; the original starts with `{}` and streams it.
            let input = block.input.as_ref().map_or("{}", |input| input.get());
            if input == "{}" { Ok(()) } else { reply.arguments(index, input) }
        }
        other => Err(violation(format!("a content block of the unknown type `{other}`"))),
    }
}

fn extend(index: u64, delta: &BlockDelta, reply: &mut Assembly<'_>) -> Result<(), ModelFailure> {
    match delta.kind.as_str() {
        "text_delta" => reply.text(&delta.text),
        "thinking_delta" => reply.reasoning(&delta.thinking),
        "signature_delta" => sign(&delta.signature, reply),
        "input_json_delta" => reply.arguments(index, &delta.partial_json),
        _ => Ok(()),
    }
}

fn sign(signature: &str, reply: &mut Assembly<'_>) -> Result<(), ModelFailure> {
    if signature.is_empty() {
        return Ok(());
    }
    reply.extend_signature(signature, |signature| seal(THINKING, signature))
}

fn stop(reason: String) -> StopReason {
    match reason.as_str() {
        "end_turn" => StopReason::EndTurn,
        "tool_use" => StopReason::ToolCalls,
        "max_tokens" | "model_context_window_exceeded" => StopReason::MaxTokens,
        "stop_sequence" => StopReason::StopSequence,
        "refusal" => StopReason::ContentFilter,
        _ => StopReason::Other(reason),
    }
}
