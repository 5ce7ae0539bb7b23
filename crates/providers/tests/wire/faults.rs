//! Endpoints that refuse, break, stall, or mean harm.

use std::time::Duration;

use protocol::{ModelFailure, ModelFailureKind};
use providers::{Api, Timeouts};
use serde_json::json;

use crate::recorded::{CHAT, sse};
use crate::server::{Server, Step, answer};
use crate::{KEY, ask, model, short};

const EVENTS: &str = "content-type: text/event-stream";
const APIS: [Api; 3] = [Api::Chat, Api::Responses, Api::Anthropic];

async fn failure(server: &Server, api: Api, timeouts: Timeouts) -> ModelFailure {
    ask(&*model(api, &server.url, timeouts)).await.0.unwrap_err()
}

async fn answered(status: &str, headers: &[&str], body: &str) -> ModelFailure {
    let mut server = Server::start(vec![answer(status, headers, body)]).await;
    let failure = failure(&server, Api::Chat, Timeouts::default()).await;
    server.request().await;
    assert_eq!(server.further_requests(), 0, "nothing is retried");
    failure
}

fn expected(kind: ModelFailureKind, message: &str, retry_after_ms: Option<u64>) -> ModelFailure {
    ModelFailure { kind, message: message.into(), retry_after_ms, begun: false }
}

/// Returns a failure after the answer had begun.
fn broken(kind: ModelFailureKind, message: &str) -> ModelFailure {
    ModelFailure { begun: true, ..expected(kind, message, None) }
}

#[tokio::test]
async fn statuses_have_their_kinds() {
    use ModelFailureKind::{Authentication, InvalidRequest, RateLimited, Unavailable};
    let body = r#"{"error":{"type":"x","message":"because"}}"#;
    let cases = [
        ("400 Bad Request", InvalidRequest, "400 Bad Request: because"),
        ("401 Unauthorized", Authentication, "401 Unauthorized: because"),
        ("403 Forbidden", Authentication, "403 Forbidden: because"),
        ("404 Not Found", InvalidRequest, "404 Not Found: because"),
        ("429 Too Many Requests", RateLimited, "429 Too Many Requests: because"),
        ("500 Internal Server Error", Unavailable, "500 Internal Server Error: because"),
        ("529 Overloaded", Unavailable, "529 unknown status: because"),
    ];
    for (status, kind, message) in cases {
        assert_eq!(answered(status, &[], body).await, expected(kind, message, None));
    }
}

#[tokio::test]
async fn the_time_to_wait_is_reported() {
    let wait = async |headers: &[&str]| answered("429 Too Many Requests", headers, "").await.retry_after_ms;
    assert_eq!(wait(&["retry-after: 7"]).await, Some(7_000));
    assert_eq!(wait(&["retry-after: 7", "retry-after-ms: 1250"]).await, Some(1_250));
    let date = ["date: Sun, 06 Nov 1994 08:49:37 GMT", "retry-after: Sun, 06 Nov 1994 08:50:07 GMT"];
    assert_eq!(wait(&date).await, Some(30_000));
}

#[tokio::test]
async fn an_answer_that_is_no_stream_says_so() {
    let page = "<html>\n<body>\u{1b}[2J  Bad   gateway</body>";
    let failure = answered("502 Bad Gateway", &["content-type: text/html"], page).await;
    let message = "502 Bad Gateway: <html> <body> [2J Bad gateway</body>";
    assert_eq!(failure, expected(ModelFailureKind::Unavailable, message, None));
    let failure = answered("200 OK", &["content-type: text/html"], page).await;
    let message = "an event stream was expected, but text/html came";
    assert_eq!(failure, expected(ModelFailureKind::Protocol, message, None));
    let failure = answered("200 OK", &[], "").await;
    let message = "an event stream was expected, but nothing came";
    assert_eq!(failure, expected(ModelFailureKind::Protocol, message, None));
}

#[tokio::test]
async fn an_empty_stream_is_truncated() {
    let message = "the stream ended before the reply began";
    let failure = answered("200 OK", &[EVENTS], "").await;
    assert_eq!(failure, broken(ModelFailureKind::Truncated, message));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    for status in ["301 Moved Permanently", "307 Temporary Redirect"] {
        let mut elsewhere = Server::stream(&sse(CHAT)).await;
        let location = format!("location: {}/chat/completions", elsewhere.url);
        let failure = answered(status, &[&location], "").await;
        assert_eq!(failure.kind, ModelFailureKind::Protocol);
        assert!(failure.message.contains("redirects are not followed"), "{failure:?}");
        assert_eq!(elsewhere.further_requests(), 0, "nor is the key sent there");
    }
}

#[tokio::test]
async fn an_echoed_key_is_blotted_out() {
    let echo = format!("bad key {KEY}");
    let filler = "x ".repeat(195);
    for body in [echo.clone(), json!({ "error": { "message": echo } }).to_string(), format!("{filler}{KEY}")] {
        let failure = answered("401 Unauthorized", &[], &body).await;
        assert!(!failure.message.contains("sk-very"), "{failure:?}");
    }
    let error = json!({ "error": { "message": echo } }).to_string();
    let failure = answered("200 OK", &[EVENTS], &sse(&[&error])).await;
    assert!(!failure.message.contains(KEY), "{failure:?}");
}

#[tokio::test]
async fn errors_in_the_middle_of_a_stream_have_their_kinds() {
    use ModelFailureKind::{Authentication, InvalidRequest, RateLimited, Unavailable};
    let cases = [
        (Api::Chat, r#"{"error":{"code":429,"message":"slow"}}"#, RateLimited),
        (Api::Chat, r#"{"error":{"type":"server_error","message":"oh"}}"#, Unavailable),
        (Api::Anthropic, r#"{"type":"error","error":{"type":"overloaded_error","message":"oh"}}"#, Unavailable),
        (Api::Anthropic, r#"{"type":"error","error":{"type":"authentication_error","message":"no"}}"#, Authentication),
        (Api::Responses, r#"{"type":"error","code":"rate_limit_exceeded","message":"slow"}"#, RateLimited),
        (
            Api::Responses,
            r#"{"type":"response.failed","response":{"error":{"code":"invalid_prompt","message":"no"}}}"#,
            InvalidRequest,
        ),
    ];
    for (api, event, kind) in cases {
        let server = Server::stream(&sse(&[event])).await;
        assert_eq!(failure(&server, api, Timeouts::default()).await.kind, kind, "{event}");
    }
}

#[tokio::test]
async fn events_that_are_not_the_protocol_are_refused() {
    for (api, event) in APIS.iter().flat_map(|api| ["{", "[]", "null", "\"x\""].map(|event| (*api, event))) {
        let server = Server::stream(&sse(&[event])).await;
        let failure = failure(&server, api, Timeouts::default()).await;
        assert_eq!(failure.kind, ModelFailureKind::Protocol, "{api:?} {event}: {failure:?}");
    }
}

#[tokio::test]
async fn silence_ends() {
    let soon = short(Duration::from_millis(50));
    let head = Step::Send(format!("HTTP/1.1 200 OK\r\n{EVENTS}\r\n\r\n{}", sse(&CHAT[..4])).into_bytes());
    let error_head = Step::Send(b"HTTP/1.1 500 Oh\r\ncontent-length: 9\r\n\r\nhalf".to_vec());
    let drip = Step::Drip(b"x".to_vec(), Duration::from_millis(1));
    let no_headers = (vec![Step::Hang], "the provider did not answer");
    let no_events = (vec![head.clone(), Step::Hang], "the stream made no progress for 50ms");
    let dripping = (vec![head, drip], "the stream made no progress for 50ms");
    for (steps, message) in [no_headers, no_events, dripping] {
        let mut server = Server::start(steps).await;
        let failure = failure(&server, Api::Chat, soon).await;
        assert_eq!(
            failure,
            ModelFailure { begun: message.contains("stream"), ..expected(ModelFailureKind::Timeout, message, None) }
        );
        server.closed_by_client().await;
    }
    let server = Server::start(vec![error_head, Step::Hang]).await;
    assert_eq!(failure(&server, Api::Chat, soon).await.kind, ModelFailureKind::Unavailable);
}

#[tokio::test]
async fn a_lively_stream_ends_too() {
    let comments = Step::Drip(b":\n".to_vec(), Duration::from_millis(1));
    let mut server = Server::start(vec![answer("200 OK", &[EVENTS], ""), comments]).await;
    let timeouts = Timeouts { total: Duration::from_millis(100), ..Timeouts::default() };
    let failure = failure(&server, Api::Chat, timeouts).await;
    assert_eq!(failure, broken(ModelFailureKind::Timeout, "the reply took longer than 100ms"));
    server.closed_by_client().await;
}

#[tokio::test]
async fn a_huge_index_costs_nothing() {
    let call = |index: u64| {
        let call = json!({ "index": index, "id": "x", "function": { "name": "read", "arguments": "{}" } });
        json!({ "choices": [{ "delta": { "tool_calls": [call] } }] }).to_string()
    };
    for index in [u64::from(u32::MAX), u64::MAX] {
        let server = Server::stream(&sse(&[&call(index), "[DONE]"])).await;
        let reply = ask(&*model(Api::Chat, &server.url, Timeouts::default())).await.0.unwrap();
        assert_eq!(reply.parts.len(), 1);
    }
    let many: Vec<String> = (0..257).map(call).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let server = Server::stream(&sse(&many)).await;
    let failure = failure(&server, Api::Chat, Timeouts::default()).await;
    assert_eq!(failure, broken(ModelFailureKind::Protocol, "the reply has more than 256 parts"));
}

#[tokio::test]
async fn long_lists_are_not_held() {
    let list = |item: &str| format!("[{}{item}]", format!("{item},").repeat(256));
    let events = [
        format!(r#"{{"choices":{}}}"#, list("{}")),
        format!(r#"{{"choices":[{{"delta":{{"tool_calls":{}}}}}]}}"#, list("{}")),
        format!(r#"{{"choices":[{{"delta":{{"content":{}}}}}]}}"#, list("{}")),
        format!(r#"{{"choices":[{{"delta":{{"content":[{{"thinking":{}}}]}}}}]}}"#, list("{}")),
    ];
    for event in events {
        let server = Server::stream(&sse(&[&event])).await;
        let failure = failure(&server, Api::Chat, Timeouts::default()).await;
        assert_eq!(failure.kind, ModelFailureKind::Protocol);
        assert!(failure.message.contains("a list of more than 256"), "{failure:?}");
    }
}

async fn endless(head: &str, repeated: Vec<u8>) -> ModelFailure {
    let head = Step::Send(format!("HTTP/1.1 {head}\r\n\r\n").into_bytes());
    let mut server = Server::start(vec![head, Step::Forever(repeated)]).await;
    let failure = failure(&server, Api::Chat, Timeouts::default()).await;
    server.closed_by_client().await;
    failure
}

#[tokio::test]
async fn endless_answers_are_cut() {
    let ok = format!("200 OK\r\n{EVENTS}");
    let protocol = |message: &str| broken(ModelFailureKind::Protocol, message);
    let piece = |size| json!({ "choices": [{ "delta": { "content": "x".repeat(size) } }] }).to_string();

    let line = endless(&ok, vec![b'x'; 1 << 16]).await;
    assert_eq!(line, protocol("an event is larger than 8388608 bytes"));
    let comments = endless(&ok, format!(":{}\n", "x".repeat(1 << 16)).into_bytes()).await;
    assert_eq!(comments, protocol("the stream is longer than 67108864 bytes"));
    let text = endless(&ok, sse(&[&piece(1 << 16)]).into_bytes()).await;
    assert_eq!(text, protocol("the reply is larger than 4194304 bytes"));
    let error = endless("500 Oh", vec![b'x'; 1 << 16]).await;
    assert_eq!(error.kind, ModelFailureKind::Unavailable);
    assert_eq!(error.message.chars().count(), 401);
}

#[tokio::test]
async fn dropping_the_future_closes_the_connection() {
    for steps in [vec![Step::Hang], vec![answer("200 OK", &[EVENTS], &sse(&CHAT[..4])), Step::Hang]] {
        let mut server = Server::start(steps).await;
        let model = model(Api::Chat, &server.url, Timeouts::default());
        let asked = tokio::spawn(async move { ask(&*model).await.0 });
        server.request().await;
        asked.abort();
        server.closed_by_client().await;
        assert!(asked.await.unwrap_err().is_cancelled());
    }
}

#[tokio::test]
async fn no_server_is_unreachable() {
    let server = Server::stream("").await;
    let url = server.url.clone();
    drop(server);
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let unused = format!("http://127.0.0.1:{port}/v1");
    for url in [url, unused] {
        let failure = ask(&*model(Api::Chat, &url, Timeouts::default())).await.0.unwrap_err();
        assert_eq!(failure.kind, ModelFailureKind::Unreachable, "{failure:?}");
    }
}

#[tokio::test]
async fn a_server_without_tls_never_sees_the_key() {
    let mut server = Server::stream(&sse(CHAT)).await;
    let url = server.url.replace("http:", "https:");
    let failure = ask(&*model(Api::Chat, &url, Timeouts::default())).await.0.unwrap_err();
    assert_eq!(failure.kind, ModelFailureKind::Unreachable, "{failure:?}");
    assert_eq!(server.further_requests(), 0);
}

/// A proxy named in the environment would see the key. The environment belongs to the process, so this runs another
/// test of this binary in one of its own.
#[test]
fn proxies_of_the_environment_are_ignored() {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "replies::every_wire_makes_the_same_reply_of_its_own_stream"]);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        child.env(name, "http://127.0.0.1:1");
    }
    let output = child.env_remove("no_proxy").env_remove("NO_PROXY").output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}
