//! Replies that are cut off, and models that fail.

use protocol::{EventBody, Message, ModelFailureKind, Role, StopReason, TurnOutcome};
use query::Turned;
use serde_json::json;

use crate::support::{Answering, calling, driver, events, failing, planner, runtime, stopping, text, work, writing};

fn done(answer: &str) -> Turned {
    Turned { outcome: TurnOutcome::Done, answer: answer.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_was_cut_off_is_continued_and_comes_whole() {
    let runtime = runtime();
    let session = runtime.session();
    let model = Answering::new(|number, _| {
        Ok(match number {
            1 => stopping(text("one, "), StopReason::MaxTokens),
            2 => stopping(text("two, "), StopReason::Truncated),
            _ => text("three"),
        })
    });
    let driver = driver(&runtime, &session, model.clone());
    assert_eq!(work(&driver, "count").await, done("one, two, three"));
    let last = model.sent().pop().unwrap();
    let roles: Vec<Role> = last.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::User, Role::Assistant, Role::User]);
    assert_eq!(last.messages[1], Message::said(Role::Assistant, "one, "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_cut_off_never_runs_and_can_be_proposed_again() {
    let runtime = runtime();
    let session = runtime.session();
    let model = Answering::new(|number, sent| {
        Ok(match number {
            1 => stopping(calling("write", json!({ "path": "a.txt", "content": "half" })), StopReason::MaxTokens),
            2 => {
                let last = serde_json::to_string(sent.messages.last().unwrap()).unwrap();
                assert!(last.contains("cut off"), "{last}");
                calling("write", json!({ "path": "a.txt", "content": "whole" }))
            }
            _ => text("done"),
        })
    });
    let driver = driver(&runtime, &session, model);
    assert_eq!(work(&driver, "write").await, done("done"));
    assert_eq!(std::fs::read_to_string(runtime.root().join("a.txt")).unwrap(), "whole");
    let ran = events(&runtime, &session).iter().filter(|event| matches!(event, EventBody::CallDecided { .. })).count();
    assert_eq!(ran, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_never_ends_ends_the_turn() {
    let runtime = runtime();
    let session = runtime.session();
    let model = Answering::new(|_, _| Ok(stopping(text("x"), StopReason::MaxTokens)));
    let driver = driver(&runtime, &session, model.clone());
    assert_eq!(work(&driver, "do").await.outcome, TurnOutcome::MaxTokens);
    assert_eq!(model.sent().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passing_failure_repeats_the_call_and_no_effect() {
    let runtime = runtime();
    let session = runtime.session();
    let model = Answering::new(|number, _| match number {
        1 => Ok(writing(1)),
        2 => Err(failing(ModelFailureKind::Unavailable)),
        3 => Err(failing(ModelFailureKind::Timeout)),
        _ => Ok(text("done")),
    });
    let driver = driver(&runtime, &session, model.clone());
    assert_eq!(work(&driver, "write").await, done("done"));
    let events = events(&runtime, &session);
    let count = |of: fn(&EventBody) -> bool| events.iter().filter(|event| of(event)).count();
    assert_eq!(count(|event| matches!(event, EventBody::RetryPlanned { .. })), 2);
    assert_eq!(count(|event| matches!(event, EventBody::CommitIntended { .. })), 1);
    let sent = model.sent();
    assert_eq!(sent[1].messages, sent[3].messages, "it is the same call");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_goes_on_where_the_model_failed() {
    let runtime = runtime();
    let session = runtime.session();
    let down = Answering::named("test/down", |_, _| Err(failing(ModelFailureKind::Unavailable)));
    let other = Answering::named("test/other", |_, _| Ok(text("done")));
    let mut driver = driver(&runtime, &session, down.clone());
    driver.fallback = Some(planner(other.clone()));
    assert_eq!(work(&driver, "do").await, done("done"));
    assert_eq!((down.sent().len(), other.sent().len()), (3, 1));
    let models: Vec<String> = events(&runtime, &session)
        .into_iter()
        .filter_map(|event| match event {
            EventBody::ModelCalled { model, .. } => Some(model),
            _ => None,
        })
        .collect();
    assert_eq!(models, ["test/down", "test/down", "test/down", "test/other"]);
}
