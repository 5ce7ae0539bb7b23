//! The wires against a server of our own on the loopback, which plays what real ones send, and what hostile ones may.

extern crate boxagnts_providers as providers;

mod faults;
mod recorded;
mod replies;
mod requests;
mod server;
mod truncation;
mod usage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use protocol::{
    Arguments, CallId, Message, ModelFailure, ModelReply, Part, Role, ToolCall, ToolDefinition, ToolResult,
};
use providers::{Api, ApiKey, CallIds, Delta, Model, ModelRequest, ProviderSettings, Timeouts, connect};
use serde_json::{Value, json};
use url::Url;

/// The key that the tests configure, and look for wherever it must not be.
const KEY: &str = "sk-very-secret-0123";

/// Identifiers 1, 2, 3, …
fn call_ids() -> CallIds {
    let next = AtomicU64::new(1);
    Arc::new(move || CallId::from_random(next.fetch_add(1, Ordering::Relaxed)))
}

fn short(timeout: Duration) -> Timeouts {
    Timeouts { connect: timeout, first_byte: timeout, idle: timeout, ..Timeouts::default() }
}

fn settings(name: &str, api: Api, base_url: Url, api_key: Option<ApiKey>) -> ProviderSettings {
    let (timeouts, models) = (Timeouts::default(), BTreeMap::new());
    ProviderSettings { name: name.into(), api, base_url, api_key, timeouts, models }
}

fn model(api: Api, url: &str, timeouts: Timeouts) -> Arc<dyn Model> {
    let api_key = Some(ApiKey::new(KEY).unwrap());
    let settings = ProviderSettings { timeouts, ..settings("local", api, url.parse().unwrap(), api_key) };
    connect(settings, "some-model", call_ids()).unwrap()
}

fn user(text: &str) -> Message {
    Message { role: Role::User, parts: vec![Part::Text { text: text.into() }] }
}

fn definition() -> ToolDefinition {
    let schema = json!({ "type": "object", "properties": { "path": { "type": "string" } } });
    ToolDefinition { name: "read".into(), description: "Reads a file.".into(), input_schema: schema }
}

/// Asks for a reply to "hello"; returns it with the deltas that came before.
async fn ask(model: &dyn Model) -> (Result<ModelReply, ModelFailure>, Vec<Delta>) {
    let messages = [user("hello")];
    let request = ModelRequest { system: "Be brief.", messages: &messages, tools: &[], max_output_tokens: 64 };
    let mut deltas = Vec::new();
    let mut sink = |delta| deltas.push(delta);
    let asked = tokio::time::timeout(Duration::from_mins(1), model.reply(request, &mut sink)).await;
    (asked.expect("a limit ends every call"), deltas)
}

fn text(text: &str) -> Part {
    Part::Text { text: text.into() }
}

fn reasoning(text: &str, signature: Option<&str>) -> Part {
    Part::Reasoning { text: text.into(), signature: signature.map(str::to_owned) }
}

fn call(id: u64, wire_id: &str, tool: &str, arguments: Arguments) -> Part {
    Part::ToolCall(ToolCall { call: CallId::from_random(id), wire_id: wire_id.into(), tool: tool.into(), arguments })
}

fn object(value: Value) -> Arguments {
    Arguments::Json(value)
}

fn malformed(text: &str) -> Arguments {
    Arguments::Malformed(text.into())
}

fn result(wire_id: &str, text: &str, is_error: bool) -> Part {
    let call = CallId::from_random(9);
    Part::ToolResult(ToolResult { call, wire_id: wire_id.into(), text: text.into(), is_error })
}
