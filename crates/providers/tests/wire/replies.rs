//! What is understood of a reply.

use protocol::{ModelFailureKind, ModelReply, Part, StopReason, TokenUsage};
use providers::{Api, Delta, Timeouts};
use serde_json::json;

use crate::recorded::{ANTHROPIC, CHAT, RESPONSES, sse};
use crate::server::Server;
use crate::{ask, call, malformed, model, object, reasoning, text};

/// Returns the recorded reply, whose thinking is `thinking`.
pub(crate) fn recorded_reply(thinking: Vec<Part>) -> ModelReply {
    let calls = [
        call(1, "call_a", "read", object(json!({ "path": "a" }))),
        call(2, "call_b", "list", object(json!({ "path": "b" }))),
    ];
    let usage = TokenUsage {
        input_tokens: Some(20),
        output_tokens: Some(7),
        cached_tokens: Some(4),
        cache_write_tokens: Some(2),
        reasoning_tokens: Some(3),
    };
    let parts = thinking.into_iter().chain([text("I read both.")]).chain(calls).collect();
    ModelReply { parts, usage, stop: StopReason::ToolCalls }
}

/// Returns every wire with its recorded stream and the thinking part that each makes of it.
pub(crate) fn recordings() -> [(Api, &'static [&'static str], Vec<Part>); 3] {
    let encrypted = Some("openai.reasoning:rs_1:gAAA==");
    let thinking = reasoning("Two files.", Some("anthropic.thinking:EqQBCgIY=="));
    let redacted = reasoning("", Some("anthropic.redacted_thinking:EmwK"));
    [
        (Api::Chat, CHAT, vec![reasoning("Two files.", None)]),
        (Api::Responses, RESPONSES, vec![reasoning("Two files.", encrypted)]),
        (Api::Anthropic, ANTHROPIC, vec![thinking, redacted]),
    ]
}

#[tokio::test]
async fn every_wire_makes_the_same_reply_of_its_own_stream() {
    for (api, events, thinking) in recordings() {
        let server = Server::stream(&sse(events)).await;
        let (reply, deltas) = ask(&*model(api, &server.url, Timeouts::default())).await;
        assert_eq!(reply.unwrap(), recorded_reply(thinking), "{api:?}");
        let words = |text: &str| text.to_owned();
        let expected = [
            Delta::Reasoning(words("Two ")),
            Delta::Reasoning(words("files.")),
            Delta::Text(words("I read ")),
            Delta::Text(words("both.")),
            Delta::ToolCall { name: words("read") },
            Delta::ToolCall { name: words("list") },
        ];
        assert_eq!(deltas, expected, "{api:?}");
    }
}

async fn chat(chunks: &[&str]) -> ModelReply {
    let server = Server::stream(&sse(chunks)).await;
    ask(&*model(Api::Chat, &server.url, Timeouts::default())).await.0.unwrap()
}

async fn only_call(arguments: &str, finish: &str) -> Part {
    let arguments = json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [
        { "index": 0, "id": "x", "function": { "name": "read", "arguments": arguments } }
    ] } }] });
    let finish = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": finish }] });
    let mut reply = chat(&[&arguments.to_string(), &finish.to_string(), "[DONE]"]).await;
    assert_eq!(reply.parts.len(), 1);
    reply.parts.remove(0)
}

#[tokio::test]
async fn arguments_have_one_strict_reading() {
    for text in [r#"{"path": "a"#, "{'path': 1}", r#"{"path":"a","path":"b"}"#, r#"{"a":1} {"b":2}"#, "NaN"] {
        assert_eq!(only_call(text, "tool_calls").await, call(1, "x", "read", malformed(text)), "{text}");
    }
    assert_eq!(only_call("", "tool_calls").await, call(1, "x", "read", object(json!({}))));
}

#[tokio::test]
async fn a_call_that_the_output_limit_cut_is_malformed() {
    for text in ["", r#"{"path": "a"#] {
        assert_eq!(only_call(text, "length").await, call(1, "x", "read", malformed(text)), "{text}");
    }
}

#[tokio::test]
async fn what_the_provider_does_not_say_is_unknown() {
    let reply = chat(&[r#"{"choices":[{"delta":{"content":"hi"}}]}"#, "[DONE]"]).await;
    let expected = ModelReply { parts: vec![text("hi")], usage: TokenUsage::default(), stop: StopReason::Unknown };
    assert_eq!(reply, expected);
}

#[tokio::test]
async fn stop_reasons_are_named() {
    let reasons = [
        ("stop", StopReason::EndTurn),
        ("length", StopReason::MaxTokens),
        ("content_filter", StopReason::ContentFilter),
        ("bored", StopReason::Other("bored".into())),
    ];
    for (wire, stop) in reasons {
        let chunk = json!({ "choices": [{ "delta": { "content": "a" }, "finish_reason": wire }] });
        assert_eq!(chat(&[&chunk.to_string(), "[DONE]"]).await.stop, stop);
    }
}

#[tokio::test]
async fn a_server_that_says_stop_for_calls_is_understood() {
    let calls = r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"read","arguments":"{}"}}]}}]}"#;
    let reply = chat(&[calls, r#"{"choices":[{"finish_reason":"stop"}]}"#, "[DONE]"]).await;
    let parts = vec![call(1, "call_0", "read", object(json!({})))];
    assert_eq!(reply, ModelReply { parts, usage: TokenUsage::default(), stop: StopReason::ToolCalls });
}

#[tokio::test]
async fn gemini_numbers_every_call_zero_and_attaches_thoughts() {
    let first = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","extra_content":{"google":{"thought_signature":"Ci=="}},"function":{"name":"read","arguments":"{}"}}]}}]}"#;
    let second = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"b","function":{"name":"list","arguments":"{}"}}]},"finish_reason":"stop"}]}"#;
    let parts = vec![
        reasoning("", Some("gemini.thought:Ci==")),
        call(1, "a", "read", object(json!({}))),
        call(2, "b", "list", object(json!({}))),
    ];
    assert_eq!(chat(&[first, second, "[DONE]"]).await.parts, parts);
}

#[tokio::test]
async fn mistral_sends_lists_of_pieces() {
    let chunk = r#"{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm."}]},{"type":"text","text":"No."}]}}]}"#;
    assert_eq!(chat(&[chunk, "[DONE]"]).await.parts, [reasoning("Hm.", None), text("No.")]);
}

#[tokio::test]
async fn thinking_blocks_keep_their_own_signatures() {
    let events = [
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"one"}}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"thinking","thinking":""}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"signature_delta","signature":"two"}}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"thinking","thinking":""}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    let server = Server::stream(&sse(&events)).await;
    let reply = ask(&*model(Api::Anthropic, &server.url, Timeouts::default())).await.0.unwrap();
    let signed = |signature| reasoning("", Some(signature));
    assert_eq!(reply.parts, [signed("anthropic.thinking:one"), signed("anthropic.thinking:two")]);
}

#[tokio::test]
async fn input_that_anthropic_compatible_servers_send_at_once_is_read() {
    let events = [
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"x","name":"read","input":{"path":"a"}}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    let server = Server::stream(&sse(&events)).await;
    let reply = ask(&*model(Api::Anthropic, &server.url, Timeouts::default())).await.0.unwrap();
    assert_eq!(reply.parts, [call(1, "x", "read", object(json!({ "path": "a" })))]);
}

#[tokio::test]
async fn arguments_that_differ_from_their_pieces_are_refused() {
    let last = r#"{"type":"response.output_item.done","output_index":2,"item":{"type":"function_call","call_id":"call_a","name":"read","arguments":"{\"path\":\"/etc/passwd\"}"}}"#;
    let events = [&RESPONSES[..12], &[last], &RESPONSES[13..]].concat();
    let server = Server::stream(&sse(&events)).await;
    let failure = ask(&*model(Api::Responses, &server.url, Timeouts::default())).await.0.unwrap_err();
    assert_eq!(failure.kind, ModelFailureKind::Protocol);
    assert_eq!(failure.message, "a call's arguments differ from their own pieces");
}
