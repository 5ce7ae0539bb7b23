//! OpenAI Chat Completions (`POST /chat/completions`), which most vendors and local servers speak.

use std::fmt;

use protocol::{Message, ModelFailure, Part, Role, StopReason, TokenUsage, ToolDefinition};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::{Value, json};

use super::{Few, Wire, arguments_object, event, seal, unseal};
use crate::assembly::Assembly;
use crate::failure::WireError;
use crate::key::ApiKey;
use crate::model::ModelRequest;
use crate::vendor::Dialect;

/// Signer of the thought that Gemini attaches to a call and demands back with it.
const GEMINI: &str = "gemini.thought";

pub(crate) struct Chat {
    pub(crate) dialect: Dialect,
}

impl Wire for Chat {
    fn path(&self) -> &'static str {
        "chat/completions"
    }

    fn headers(&self, key: Option<&ApiKey>) -> Vec<(HeaderName, HeaderValue)> {
        key.map(|key| (AUTHORIZATION, key.header("Bearer "))).into_iter().collect()
    }

    fn body(&self, model: &str, request: ModelRequest<'_>) -> Value {
        let system = (!request.system.is_empty()).then(|| json!({ "role": "system", "content": request.system }));
        let conversation = request.messages.iter().flat_map(|message| self.messages(message));
        let messages: Vec<Value> = system.into_iter().chain(conversation).collect();
        let mut body = json!({ "model": model, "messages": messages, "stream": true });
        let limit_field = match self.dialect {
            Dialect::OpenAi => "max_completion_tokens",
            _ => "max_tokens",
        };
        body[limit_field] = json!(request.max_output_tokens);
        if self.dialect != Dialect::Mistral {
            body["stream_options"] = json!({ "include_usage": true });
        }
        if !request.tools.is_empty() {
            body["tools"] = request.tools.iter().map(tool).collect();
        }
        body
    }

    fn read(&self, data: &str, reply: &mut Assembly<'_>) -> Result<(), ModelFailure> {
        if data.trim() == "[DONE]" {
            reply.end();
            return Ok(());
        }
        let chunk: Chunk = event(data)?;
        if let Some(error) = chunk.error {
            return Err(error.failure());
        }
        if let Some(usage) = chunk.usage {
            reply.usage(usage.tokens(self.dialect));
        }
        // One choice is asked for; another would be another reply.
        let choice = chunk.choices.unwrap_or_default().0.into_iter().find(|choice| choice.index == 0);
        choice.map_or(Ok(()), |choice| read_choice(choice, reply))
    }
}

impl Chat {
    /// Returns the messages that `message` becomes: results are one message each, all else is one or, if empty, none.
    fn messages(&self, message: &Message) -> Vec<Value> {
        match message.role {
            Role::User => vec![json!({ "role": "user", "content": text(&message.parts) })],
            Role::Tool => message.parts.iter().filter_map(result).collect(),
            Role::Assistant => self.assistant(&message.parts).into_iter().collect(),
        }
    }

    fn assistant(&self, parts: &[Part]) -> Option<Value> {
        let calls = calls(parts);
        let text = text(parts);
        if calls.is_empty() && text.is_empty() {
            return None;
        }
        let content = if text.is_empty() { Value::Null } else { text.into() };
        let mut message = json!({ "role": "assistant", "content": content });
        if !calls.is_empty() {
            message["tool_calls"] = calls.into();
        }
        let reasoning = reasoning(parts);
        if self.dialect == Dialect::DeepSeek && !reasoning.is_empty() {
            message["reasoning_content"] = reasoning.into();
        }
        Some(message)
    }
}

fn tool(tool: &ToolDefinition) -> Value {
    let function = json!({ "name": tool.name, "description": tool.description, "parameters": tool.input_schema });
    json!({ "type": "function", "function": function })
}

fn text(parts: &[Part]) -> String {
    let text = |part: &Part| match part {
        Part::Text { text } => Some(text.clone()),
        _ => None,
    };
    parts.iter().filter_map(text).collect()
}

fn reasoning(parts: &[Part]) -> String {
    let text = |part: &Part| match part {
        Part::Reasoning { text, .. } => Some(text.clone()),
        _ => None,
    };
    parts.iter().filter_map(text).collect()
}

fn result(part: &Part) -> Option<Value> {
    match part {
        Part::ToolResult(result) => {
            Some(json!({ "role": "tool", "tool_call_id": result.wire_id, "content": result.text }))
        }
        _ => None,
    }
}

/// Returns the calls; a Gemini thought goes with the call that it was attached to.
fn calls(parts: &[Part]) -> Vec<Value> {
    let mut thought = None;
    let mut calls = Vec::new();
    for part in parts {
        match part {
            Part::Reasoning { signature, .. } => thought = unseal(GEMINI, signature.as_deref()),
            Part::ToolCall(call) => {
                let arguments = arguments_object(&call.arguments).to_string();
                let function = json!({ "name": call.tool, "arguments": arguments });
                let mut call = json!({ "type": "function", "id": call.wire_id, "function": function });
                if let Some(thought) = thought.take() {
                    call["extra_content"] = json!({ "google": { "thought_signature": thought } });
                }
                calls.push(call);
            }
            _ => {}
        }
    }
    calls
}

#[derive(Deserialize)]
struct Chunk {
    choices: Option<Few<Choice>>,
    usage: Option<Usage>,
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u64,
    delta: Option<ChoiceDelta>,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct ChoiceDelta {
    content: Option<Content>,
    refusal: Option<String>,
    /// DeepSeek, vLLM, llama.cpp.
    reasoning_content: Option<String>,
    /// OpenRouter, Groq, Ollama.
    reasoning: Option<String>,
    tool_calls: Option<Few<CallDelta>>,
}

/// A string, or with Mistral's reasoning models a list of typed pieces.
enum Content {
    Text(String),
    Pieces(Few<Piece>),
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

/// Not `untagged`, which would hold the whole value before it knows what it is.
struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text or a list of pieces")
    }

    fn visit_str<E>(self, text: &str) -> Result<Content, E> {
        Ok(Content::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<Content, A::Error> {
        Few::deserialize(SeqAccessDeserializer::new(access)).map(Content::Pieces)
    }
}

#[derive(Deserialize)]
struct Piece {
    text: Option<String>,
    thinking: Option<Few<Piece>>,
}

#[derive(Deserialize)]
struct CallDelta {
    #[serde(default)]
    index: u64,
    id: Option<String>,
    function: Option<FunctionDelta>,
    extra_content: Option<ExtraContent>,
}

#[derive(Default, Deserialize)]
struct FunctionDelta {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct ExtraContent {
    google: Option<Google>,
}

#[derive(Deserialize)]
struct Google {
    thought_signature: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek.
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
    /// OpenAI, OpenRouter.
    cache_write_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl Usage {
    fn tokens(&self, dialect: Dialect) -> TokenUsage {
        let prompt = self.prompt_tokens_details.as_ref();
        TokenUsage {
            input_tokens: self.prompt_tokens,
            output_tokens: self.output_tokens(dialect),
            cached_tokens: prompt.and_then(|details| details.cached_tokens).or(self.prompt_cache_hit_tokens),
            cache_write_tokens: prompt.and_then(|details| details.cache_write_tokens),
            reasoning_tokens: self.reasoning_tokens(),
        }
    }

    /// Returns all that was put out. Some endpoints leave reasoning out of `completion_tokens` and charge for it (xAI,
    /// Gemini), but it is in the total; xAI's documentation says so.
    fn output_tokens(&self, dialect: Dialect) -> Option<u64> {
        match (self.total_tokens, self.prompt_tokens) {
            (Some(total), Some(prompt)) => self.completion_tokens.max(Some(total.saturating_sub(prompt))),
            _ if dialect == Dialect::Xai => {
                Some(self.completion_tokens?.saturating_add(self.reasoning_tokens().unwrap_or(0)))
            }
            _ => self.completion_tokens,
        }
    }

    fn reasoning_tokens(&self) -> Option<u64> {
        self.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens)
    }
}

fn read_choice(choice: Choice, reply: &mut Assembly<'_>) -> Result<(), ModelFailure> {
    let delta = choice.delta.unwrap_or_default();
    for thought in [delta.reasoning_content.or(delta.reasoning)].into_iter().flatten() {
        reply.reasoning(&thought)?;
    }
    match delta.content {
        Some(Content::Text(text)) => reply.text(&text)?,
        Some(Content::Pieces(Few(pieces))) => pieces.iter().try_for_each(|piece| read_piece(piece, reply))?,
        None => {}
    }
    reply.text(delta.refusal.as_deref().unwrap_or_default())?;
    for call in delta.tool_calls.unwrap_or_default().0 {
        read_call(call, reply)?;
    }
    if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
        reply.stop(stop(reason));
    }
    Ok(())
}

fn read_piece(piece: &Piece, reply: &mut Assembly<'_>) -> Result<(), ModelFailure> {
    reply.text(piece.text.as_deref().unwrap_or_default())?;
    let thoughts = piece.thinking.iter().flat_map(|thinking| &thinking.0).filter_map(|thought| thought.text.as_deref());
    thoughts.into_iter().try_for_each(|thought| reply.reasoning(thought))
}

/// A number begins a call when it is new, or when it comes with another identifier: Gemini numbers every call 0.
fn read_call(call: CallDelta, reply: &mut Assembly<'_>) -> Result<(), ModelFailure> {
    let id = call.id.unwrap_or_default();
    let function = call.function.unwrap_or_default();
    let begun = reply.call_id(call.index).is_some_and(|known| id.is_empty() || known == id);
    if !begun {
        let thought = call.extra_content.and_then(|extra| extra.google).and_then(|google| google.thought_signature);
        if let Some(thought) = thought {
            reply.begin_reasoning()?;
            reply.sign(seal(GEMINI, &thought))?;
        }
        reply.call(call.index, &id, function.name.as_deref().unwrap_or_default())?;
    }
    reply.arguments(call.index, function.arguments.as_deref().unwrap_or_default())
}

fn stop(reason: String) -> StopReason {
    match reason.as_str() {
        "stop" => StopReason::EndTurn,
        "tool_calls" | "function_call" => StopReason::ToolCalls,
        "length" => StopReason::MaxTokens,
        "content_filter" => StopReason::ContentFilter,
        _ => StopReason::Other(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openai_has_its_own_name_for_the_output_limit() {
        let request = ModelRequest { system: "", messages: &[], tools: &[], max_output_tokens: 7 };
        let body = Chat { dialect: Dialect::OpenAi }.body("m", request);
        assert_eq!((body.get("max_tokens"), &body["max_completion_tokens"]), (None, &json!(7)));
    }
}
