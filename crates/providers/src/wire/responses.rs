//! OpenAI Responses (`POST /responses`), used without state at the provider.

use protocol::{Message, ModelFailure, Part, Role, StopReason, TokenUsage, ToolDefinition};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Wire, arguments_object, seal, unseal};
use crate::assembly::Assembly;
use crate::failure::WireError;
use crate::key::ApiKey;
use crate::model::ModelRequest;
use crate::vendor::Dialect;

/// Signer of encrypted reasoning: what it seals is `ID:CONTENT`, both of which must come back.
const REASONING: &str = "openai.reasoning";

pub(crate) struct Responses {
    pub(crate) dialect: Dialect,
}

impl Wire for Responses {
    fn path(&self) -> &'static str {
        "responses"
    }

    fn headers(&self, key: Option<&ApiKey>) -> Vec<(HeaderName, HeaderValue)> {
        key.map(|key| (AUTHORIZATION, key.header("Bearer "))).into_iter().collect()
    }

    fn body(&self, model: &str, request: ModelRequest<'_>) -> Value {
        let mut body = json!({
            "model": model,
            "input": request.messages.iter().flat_map(items).collect::<Vec<_>>(),
            "max_output_tokens": request.max_output_tokens,
            "store": false,
            "stream": true,
        });
        if !request.system.is_empty() {
            body["instructions"] = json!(request.system);
        }
        if !request.tools.is_empty() {
            body["tools"] = request.tools.iter().map(tool).collect();
        }
        if self.dialect == Dialect::OpenAi && reasons(model) {
            body["include"] = json!(["reasoning.encrypted_content"]);
        }
        body
    }

    fn read(&self, data: &str, reply: &mut Assembly<'_>) -> Result<(), ModelFailure> {
        let event: Event = super::event(data)?;
        let piece = event.delta.as_deref().unwrap_or_default();
        match event.kind.as_str() {
            "response.output_item.added" => begin(event.output_index, &event.item.unwrap_or_default(), reply),
            "response.output_item.done" => complete(event.output_index, event.item.unwrap_or_default(), reply),
            "response.output_text.delta" | "response.refusal.delta" => reply.text(piece),
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => reply.reasoning(piece),
            "response.function_call_arguments.delta" => reply.arguments(event.output_index, piece),
            "response.completed" | "response.incomplete" => {
                end(event.response.unwrap_or_default(), reply);
                Ok(())
            }
            "response.failed" => Err(event.response.unwrap_or_default().error.unwrap_or_default().failure()),
            // Its fields stand beside the type, or in an object, depending on the server.
            "error" => Err(event.error.map_or_else(|| super::event::<WireError>(data), Ok)?.failure()),
            // Progress, and each piece's end, which the item's end repeats.
            _ => Ok(()),
        }
    }
}

/// Returns whether OpenAI encrypts the model's reasoning for it; asking for that is an error with every other model.
fn reasons(model: &str) -> bool {
    let major =
        |name: &str| name.split(|digit: char| !digit.is_ascii_digit()).next().and_then(|text| text.parse().ok());
    let is_o_series = model.strip_prefix('o').and_then(major).is_some_and(|_: u32| true);
    let version: Option<u32> = model.strip_prefix("gpt-").and_then(major);
    is_o_series || version.is_some_and(|version| version >= 5) && !model.contains("-chat")
}

fn tool(tool: &ToolDefinition) -> Value {
    json!({
        "type": "function", "name": tool.name, "description": tool.description, "parameters": tool.input_schema,
        // Strict mode refuses schemas with optional fields; arguments are validated here anyway.
        "strict": false,
    })
}

fn items(message: &Message) -> Vec<Value> {
    message.parts.iter().filter_map(|part| item(message.role, part)).collect()
}

fn item(role: Role, part: &Part) -> Option<Value> {
    match part {
        Part::Text { text } if text.is_empty() => None,
        Part::Text { text } => {
            let role = if role == Role::Assistant { "assistant" } else { "user" };
            Some(json!({ "role": role, "content": text }))
        }
        Part::Reasoning { text, signature } => {
            let (id, encrypted) = unseal(REASONING, signature.as_deref())?.split_once(':')?;
            let summary = json!({ "type": "summary_text", "text": text });
            let summary = if text.is_empty() { json!([]) } else { json!([summary]) };
            Some(json!({ "type": "reasoning", "id": id, "summary": summary, "encrypted_content": encrypted }))
        }
        Part::ToolCall(call) => Some(json!({
            "type": "function_call", "call_id": call.wire_id, "name": call.tool,
            "arguments": arguments_object(&call.arguments).to_string(),
        })),
        Part::ToolResult(result) => {
            Some(json!({ "type": "function_call_output", "call_id": result.wire_id, "output": result.text }))
        }
    }
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    output_index: u64,
    delta: Option<String>,
    item: Option<Item>,
    response: Option<Response>,
    error: Option<WireError>,
}

#[derive(Default, Deserialize)]
struct Item {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    call_id: String,
    #[serde(default)]
    name: String,
    arguments: Option<String>,
    encrypted_content: Option<String>,
}

#[derive(Default, Deserialize)]
struct Response {
    usage: Option<Usage>,
    incomplete_details: Option<IncompleteDetails>,
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct IncompleteDetails {
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    input_tokens_details: Option<InputDetails>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize)]
struct InputDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct OutputDetails {
    reasoning_tokens: Option<u64>,
}

impl Usage {
    fn tokens(&self) -> TokenUsage {
        let input = self.input_tokens_details.as_ref();
        let output = self.output_tokens_details.as_ref();
        TokenUsage {
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            cached_tokens: input.and_then(|details| details.cached_tokens),
            cache_write_tokens: input.and_then(|details| details.cache_write_tokens),
            reasoning_tokens: output.and_then(|details| details.reasoning_tokens),
        }
    }
}

fn begin(index: u64, item: &Item, reply: &mut Assembly<'_>) -> Result<(), ModelFailure> {
    match item.kind.as_str() {
        "function_call" => reply.call(index, &item.call_id, &item.name),
        "reasoning" => reply.begin_reasoning(),
        _ => Ok(()),
    }
}

fn complete(index: u64, item: Item, reply: &mut Assembly<'_>) -> Result<(), ModelFailure> {
    match item.kind.as_str() {
        "function_call" => {
            if reply.call_id(index).is_none() {
                reply.call(index, &item.call_id, &item.name)?;
            }
            item.arguments.map_or(Ok(()), |whole| reply.whole_arguments(index, &whole))
        }
        "reasoning" => match item.encrypted_content {
            Some(encrypted) => reply.sign(seal(REASONING, &format!("{}:{encrypted}", item.id))),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn end(response: Response, reply: &mut Assembly<'_>) {
    reply.usage(response.usage.map(|usage| usage.tokens()).unwrap_or_default());
    reply.stop(match response.incomplete_details.and_then(|details| details.reason) {
        None => StopReason::EndTurn,
        Some(reason) if reason == "max_output_tokens" => StopReason::MaxTokens,
        Some(reason) if reason == "content_filter" => StopReason::ContentFilter,
        Some(reason) => StopReason::Other(reason),
    });
    reply.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encrypted_reasoning_is_asked_of_openais_reasoning_models_only() {
        for model in ["o1", "o3-mini", "o4-mini-2025-04-16", "gpt-5", "gpt-5.6", "gpt-6-astra", "gpt-10"] {
            assert!(reasons(model), "{model}");
        }
        for model in ["gpt-4o", "gpt-4.1-mini", "gpt-5-chat-latest", "gpt-oss", "omni", "gpt-"] {
            assert!(!reasons(model), "{model}");
        }
        let request = ModelRequest { system: "", messages: &[], tools: &[], max_output_tokens: 1 };
        let include = |dialect| Responses { dialect }.body("o3", request).get("include").cloned();
        assert_eq!(include(Dialect::OpenAi), Some(json!(["reasoning.encrypted_content"])));
        assert_eq!(include(Dialect::Common), None);
    }
}
