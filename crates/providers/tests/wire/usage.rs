//! What vendors say about tokens, each in its own way. `replies` holds what all three wires say alike.

use protocol::{StopReason, TokenUsage};
use providers::{Api, Timeouts, connect};
use serde_json::{Value, json};

use crate::recorded::{ANTHROPIC, sse};
use crate::server::Server;
use crate::{ask, call_ids, model, settings};

/// Returns the usage of a reply of the vendor `name` over the chat wire.
async fn chat_usage(name: &str, usage: Value) -> TokenUsage {
    let text = json!({ "choices": [{ "index": 0, "delta": { "content": "a" }, "finish_reason": "stop" }] });
    let counts = json!({ "choices": [], "usage": usage });
    let server = Server::stream(&sse(&[&text.to_string(), &counts.to_string(), "[DONE]"])).await;
    let settings = settings(name, Api::Chat, server.url.parse().unwrap(), None);
    let (reply, _) = ask(&*connect(settings, "m", call_ids()).unwrap()).await;
    reply.unwrap().usage
}

async fn usage_of(api: Api, events: &[&str]) -> (StopReason, TokenUsage) {
    let server = Server::stream(&sse(events)).await;
    let reply = ask(&*model(api, &server.url, Timeouts::default())).await.0.unwrap();
    (reply.stop, reply.usage)
}

fn counted(input: u64, output: u64) -> TokenUsage {
    TokenUsage { input_tokens: Some(input), output_tokens: Some(output), ..TokenUsage::default() }
}

#[tokio::test]
async fn reasoning_is_in_the_output_where_openai_counts_it() {
    let usage = json!({ "prompt_tokens": 32, "completion_tokens": 103, "total_tokens": 135,
        "completion_tokens_details": { "reasoning_tokens": 94 } });
    let expected = TokenUsage { reasoning_tokens: Some(94), ..counted(32, 103) };
    assert_eq!(chat_usage("openai", usage).await, expected);
}

#[tokio::test]
async fn reasoning_that_xai_counts_beside_the_output_is_output() {
    let expected = TokenUsage { cached_tokens: Some(6), reasoning_tokens: Some(94), ..counted(32, 103) };
    let usage = json!({ "prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135,
        "prompt_tokens_details": { "text_tokens": 32, "cached_tokens": 6 },
        "completion_tokens_details": { "reasoning_tokens": 94 } });
    assert_eq!(chat_usage("xai", usage.clone()).await, expected);
    let mut without_total = usage;
    without_total.as_object_mut().unwrap().remove("total_tokens");
    assert_eq!(chat_usage("xai", without_total.clone()).await, expected);
    let elsewhere = TokenUsage { output_tokens: Some(9), ..expected };
    assert_eq!(chat_usage("groq", without_total).await, elsewhere);
}

#[tokio::test]
async fn thoughts_that_only_the_total_has_are_output() {
    let usage = json!({ "prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623 });
    assert_eq!(chat_usage("gemini", usage).await, counted(20, 603));
}

#[tokio::test]
async fn what_a_cache_gave_and_took_is_counted() {
    let usage = json!({ "prompt_tokens": 20, "completion_tokens": 3,
        "prompt_tokens_details": { "cached_tokens": 4, "cache_write_tokens": 12 } });
    let expected = TokenUsage { cached_tokens: Some(4), cache_write_tokens: Some(12), ..counted(20, 3) };
    assert_eq!(chat_usage("openrouter", usage).await, expected);
    let usage = json!({ "prompt_tokens": 20, "completion_tokens": 3,
        "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 16 });
    assert_eq!(chat_usage("deepseek", usage).await, TokenUsage { cached_tokens: Some(4), ..counted(20, 3) });
}

#[tokio::test]
async fn the_output_of_a_reply_that_broke_off_is_unknown() {
    let text = ANTHROPIC.iter().position(|event| event.contains("both.")).unwrap();
    let expected = TokenUsage { output_tokens: None, reasoning_tokens: None, ..recorded() };
    assert_eq!(usage_of(Api::Anthropic, &ANTHROPIC[..=text]).await, (StopReason::Truncated, expected));
    let running = r#"{"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":20,"completion_tokens":1,"completion_tokens_details":{"reasoning_tokens":1}}}"#;
    let expected = TokenUsage { input_tokens: Some(20), ..TokenUsage::default() };
    assert_eq!(usage_of(Api::Chat, &[running]).await, (StopReason::Truncated, expected));
}

fn recorded() -> TokenUsage {
    TokenUsage { cached_tokens: Some(4), cache_write_tokens: Some(2), reasoning_tokens: Some(3), ..counted(20, 7) }
}

#[tokio::test]
async fn the_placeholder_at_anthropics_start_is_no_count() {
    let ends: Vec<String> = ANTHROPIC.iter().map(|event| event.replace(r#""output_tokens":7,"#, "")).collect();
    let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
    let expected = TokenUsage { output_tokens: None, ..recorded() };
    assert_eq!(usage_of(Api::Anthropic, &ends).await, (StopReason::ToolCalls, expected));
}

#[tokio::test]
async fn a_count_that_is_repeated_in_part_takes_nothing_away() {
    let ends: Vec<String> = ANTHROPIC
        .iter()
        .map(|event| {
            event.replace(r#""usage":{"output_tokens":7,"#, r#""usage":{"input_tokens":14,"output_tokens":7,"#)
        })
        .collect();
    let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
    assert_eq!(usage_of(Api::Anthropic, &ends).await, (StopReason::ToolCalls, recorded()));
}
