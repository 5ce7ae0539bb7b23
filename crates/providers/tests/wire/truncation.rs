//! Streams that end too early, at every place where they can.

use protocol::{Arguments, ModelFailureKind, ModelReply, Part, StopReason};
use providers::{Api, Delta, Timeouts};

use crate::recorded::sse;
use crate::replies::{recorded_reply, recordings};
use crate::server::{Server, Step};
use crate::{ask, model};

/// Returns whether the model has said why it stopped.
fn says_stop(event: &str) -> bool {
    ["\"finish_reason\":\"", "\"stop_reason\":\"", "response.completed"].iter().any(|mark| event.contains(mark))
}

/// Holds what a cut reply must hold: a prefix of the whole one, and nothing that could run.
fn assert_cut(reply: &ModelReply, whole: &ModelReply, place: &str) {
    assert_eq!(reply.stop, StopReason::Truncated, "{place}");
    assert!(reply.parts.iter().any(|part| !matches!(part, Part::Reasoning { .. })), "{place}");
    for (cut, whole) in reply.parts.iter().zip(&whole.parts) {
        match (cut, whole) {
            (Part::Text { text: cut }, Part::Text { text }) => assert!(text.starts_with(cut), "{place}"),
            (Part::ToolCall(cut), Part::ToolCall(call)) => {
                assert!(matches!(&cut.arguments, Arguments::Malformed(_)), "{place}: {cut:?}");
                assert_eq!((&cut.wire_id, &cut.tool), (&call.wire_id, &call.tool), "{place}");
            }
            (cut, whole) => assert_eq!(cut, whole, "{place}"),
        }
    }
}

async fn check(api: Api, server: &Server, stopped: bool, whole: &ModelReply, place: &str) {
    let (reply, deltas) = ask(&*model(api, &server.url, Timeouts::default())).await;
    let any_content = deltas.iter().any(|delta| !matches!(delta, Delta::Reasoning(_)));
    match reply {
        Ok(reply) if stopped => assert_eq!(reply.parts, whole.parts, "{place}"),
        Ok(reply) => assert_cut(&reply, whole, place),
        Err(failure) => {
            assert!(!any_content && !stopped, "{place}: {failure:?}");
            assert_eq!(failure.kind, ModelFailureKind::Truncated, "{place}");
        }
    }
}

#[tokio::test]
async fn at_every_event() {
    for (api, events, thinking) in recordings() {
        let whole = recorded_reply(thinking);
        for end in 0..events.len() {
            let server = Server::stream(&sse(&events[..end])).await;
            let stopped = events[..end].iter().any(|event| says_stop(event));
            check(api, &server, stopped, &whole, &format!("{api:?} after {end} events")).await;
        }
    }
}

#[tokio::test]
async fn at_every_seventh_byte() {
    for (api, events, thinking) in recordings() {
        let whole = recorded_reply(thinking);
        let stream = sse(events);
        for end in (0..stream.len()).step_by(7) {
            let server = Server::stream(&stream[..end]).await;
            let complete = stream[..end].rfind("\n\n").unwrap_or(0);
            check(api, &server, says_stop(&stream[..complete]), &whole, &format!("{api:?} after {end} bytes")).await;
        }
    }
}

/// Returns the steps of an answer whose chunked body breaks off within a chunk.
fn broken(body: &str) -> Vec<Step> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    vec![Step::Send(format!("{head}{:x}\r\n{body}", body.len() + 100).into_bytes())]
}

#[tokio::test]
async fn within_a_chunk() {
    for (api, events, thinking) in recordings() {
        let text_at = events.iter().position(|event| event.contains("both.")).unwrap();
        let server = Server::start(broken(&sse(&events[..=text_at]))).await;
        let reply = ask(&*model(api, &server.url, Timeouts::default())).await.0.unwrap();
        assert_cut(&reply, &recorded_reply(thinking), "text came");

        let server = Server::start(broken(&sse(&events[..1]))).await;
        let failure = ask(&*model(api, &server.url, Timeouts::default())).await.0.unwrap_err();
        assert_eq!(failure.kind, ModelFailureKind::Network, "{api:?}: {failure:?}");
    }
}
