//! What is sent.

use protocol::{Message, Role};
use providers::{Api, ApiKey, Model, ModelRequest, Timeouts, connect};
use serde_json::{Value, json};

use crate::recorded::sse;
use crate::server::{Request, Server};
use crate::{KEY, call, call_ids, definition, malformed, model, object, reasoning, result, settings, text, user};

/// A conversation with everything that one can hold, and seals of every signer.
fn conversation() -> Vec<Message> {
    let assistant = vec![
        reasoning("Two files.", Some("anthropic.thinking:EqQB")),
        reasoning("", Some("anthropic.redacted_thinking:EmwK")),
        reasoning("Sealed.", Some("openai.reasoning:rs_1:gAAA==")),
        reasoning("Loud.", None),
        text("I read both."),
        reasoning("", Some("gemini.thought:Ci==")),
        call(1, "call_a", "read", object(json!({ "path": "a" }))),
        call(2, "call_b", "list", malformed("{\"pa")),
    ];
    let results = vec![result("call_a", "1: hello", false), result("call_b", "not JSON", true)];
    vec![
        user("look"),
        Message { role: Role::Assistant, parts: assistant },
        Message { role: Role::Tool, parts: results },
        user("and now?"),
    ]
}

async fn sent(server: &mut Server, model: &dyn Model) -> Request {
    let tools = [definition()];
    let messages = conversation();
    let request = ModelRequest { system: "Be brief.", messages: &messages, tools: &tools, max_output_tokens: 64 };
    let _ = model.reply(request, &mut |_| {}).await;
    server.request().await
}

async fn sent_by(api: Api) -> Request {
    let mut server = Server::stream(&sse(&["[DONE]"])).await;
    let model = model(api, &server.url, Timeouts::default());
    sent(&mut server, &*model).await
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.get(name).map(String::as_str)
}

#[tokio::test]
async fn chat() {
    let request = sent_by(Api::Chat).await;
    assert_eq!(request.line, "POST /v1/chat/completions HTTP/1.1");
    assert_eq!(header(&request, "authorization"), Some(format!("Bearer {KEY}").as_str()));
    assert_eq!(header(&request, "content-type"), Some("application/json"));
    assert_eq!(header(&request, "accept"), Some("text/event-stream"));
    assert_eq!(header(&request, "accept-encoding"), None);
    let expected = json!({
        "model": "some-model",
        "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": "look" },
            { "role": "assistant", "content": "I read both.", "tool_calls": [
                {
                    "type": "function", "id": "call_a",
                    "function": { "name": "read", "arguments": "{\"path\":\"a\"}" },
                    "extra_content": { "google": { "thought_signature": "Ci==" } },
                },
                {
                    "type": "function", "id": "call_b",
                    "function": { "name": "list", "arguments": "{\"malformed_arguments\":\"{\\\"pa\"}" },
                },
            ] },
            { "role": "tool", "tool_call_id": "call_a", "content": "1: hello" },
            { "role": "tool", "tool_call_id": "call_b", "content": "not JSON" },
            { "role": "user", "content": "and now?" },
        ],
        "stream": true,
        "stream_options": { "include_usage": true },
        "max_tokens": 64,
        "tools": [{ "type": "function", "function": {
            "name": "read", "description": "Reads a file.", "parameters": definition().input_schema,
        } }],
    });
    assert_eq!(request.body, expected);
}

#[tokio::test]
async fn responses() {
    let request = sent_by(Api::Responses).await;
    assert_eq!(request.line, "POST /v1/responses HTTP/1.1");
    assert_eq!(header(&request, "authorization"), Some(format!("Bearer {KEY}").as_str()));
    let expected = json!({
        "model": "some-model",
        "instructions": "Be brief.",
        "input": [
            { "role": "user", "content": "look" },
            {
                "type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA==",
                "summary": [{ "type": "summary_text", "text": "Sealed." }],
            },
            { "role": "assistant", "content": "I read both." },
            { "type": "function_call", "call_id": "call_a", "name": "read", "arguments": "{\"path\":\"a\"}" },
            {
                "type": "function_call", "call_id": "call_b", "name": "list",
                "arguments": "{\"malformed_arguments\":\"{\\\"pa\"}",
            },
            { "type": "function_call_output", "call_id": "call_a", "output": "1: hello" },
            { "type": "function_call_output", "call_id": "call_b", "output": "not JSON" },
            { "role": "user", "content": "and now?" },
        ],
        "max_output_tokens": 64,
        "store": false,
        "stream": true,
        "tools": [{
            "type": "function", "name": "read", "description": "Reads a file.",
            "parameters": definition().input_schema, "strict": false,
        }],
    });
    assert_eq!(request.body, expected);
}

#[tokio::test]
async fn anthropic() {
    let request = sent_by(Api::Anthropic).await;
    assert_eq!(request.line, "POST /v1/messages HTTP/1.1");
    assert_eq!(header(&request, "x-api-key"), Some(KEY));
    assert_eq!(header(&request, "anthropic-version"), Some("2023-06-01"));
    assert_eq!(header(&request, "authorization"), None);
    let expected = json!({
        "model": "some-model",
        "system": "Be brief.",
        "messages": [
            { "role": "user", "content": [{ "type": "text", "text": "look" }] },
            { "role": "assistant", "content": [
                { "type": "thinking", "thinking": "Two files.", "signature": "EqQB" },
                { "type": "redacted_thinking", "data": "EmwK" },
                { "type": "text", "text": "I read both." },
                { "type": "tool_use", "id": "call_a", "name": "read", "input": { "path": "a" } },
                { "type": "tool_use", "id": "call_b", "name": "list", "input": { "malformed_arguments": "{\"pa" } },
            ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "call_a", "content": "1: hello", "is_error": false },
                { "type": "tool_result", "tool_use_id": "call_b", "content": "not JSON", "is_error": true },
                { "type": "text", "text": "and now?" },
            ] },
        ],
        "max_tokens": 64,
        "stream": true,
        "tools": [{ "name": "read", "description": "Reads a file.", "input_schema": definition().input_schema }],
    });
    assert_eq!(request.body, expected);
}

/// Returns the body that the vendor `name` is sent over the chat wire.
async fn chat_body(name: &str) -> Value {
    let mut server = Server::stream(&sse(&["[DONE]"])).await;
    let base_url = server.url.parse().unwrap();
    let model = connect(settings(name, Api::Chat, base_url, None), "m", call_ids()).unwrap();
    let request = sent(&mut server, &*model).await;
    assert_eq!(header(&request, "authorization"), None);
    request.body
}

#[tokio::test]
async fn vendors_differ_where_they_must() {
    let mistral = chat_body("mistral").await;
    assert_eq!((mistral.get("stream_options"), &mistral["max_tokens"]), (None, &json!(64)));
    let deepseek = chat_body("deepseek").await;
    assert_eq!(deepseek["messages"][2]["reasoning_content"], "Two files.Sealed.Loud.");
    // A server in OpenAI's place is not OpenAI.
    let openai = chat_body("openai").await;
    assert_eq!((openai.get("max_completion_tokens"), &openai["max_tokens"]), (None, &json!(64)));
}

#[tokio::test]
async fn seals_come_back_unchanged_to_who_made_them() {
    for (api, events, thinking) in crate::replies::recordings() {
        let mut server = Server::stream(&sse(events)).await;
        let model = model(api, &server.url, Timeouts::default());
        let reply = crate::ask(&*model).await.0.unwrap();
        server.request().await;
        assert_eq!(reply.parts[..thinking.len()], thinking);
        let messages = [user("hello"), Message { role: Role::Assistant, parts: reply.parts }];
        let request = ModelRequest { system: "", messages: &messages, tools: &[], max_output_tokens: 64 };
        let _ = model.reply(request, &mut |_| {}).await;
        let sent = server.request().await.body.to_string();
        let seals: &[&str] = match api {
            Api::Chat => &[],
            Api::Responses => &["\"encrypted_content\":\"gAAA==\"", "\"id\":\"rs_1\""],
            Api::Anthropic => &["\"signature\":\"EqQBCgIY==\"", "\"data\":\"EmwK\""],
        };
        for seal in seals {
            assert!(sent.contains(seal), "{seal} in {sent}");
        }
    }
}

#[test]
fn keys_are_in_no_debug_output() {
    let api_key = Some(ApiKey::new(KEY).unwrap());
    let base_url = "http://127.0.0.1:1".parse().unwrap();
    let settings = settings("x", Api::Chat, base_url, api_key);
    assert!(!format!("{settings:?} {settings:#?}").contains(KEY));
}
