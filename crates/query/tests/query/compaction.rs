//! Conversations that outgrow the model's context window.

use protocol::{EventBody, Message, ModelFailureKind, Part, Purpose, Role, StopReason, TurnOutcome};
use serde_json::json;

use crate::support::{Answering, Sent, calling, driver, events, failing, runtime, stopping, text, usage, work};

/// A window that a few results fill.
const WINDOW: u32 = 12_000;

fn is_summary(sent: &Sent) -> bool {
    sent.system.contains("another engineer")
}

/// Reads a page of the workspace, so that the conversation grows by it.
fn reading(number: usize) -> protocol::ModelReply {
    let mut reply = calling("read", json!({ "path": format!("{}.txt", number % 3), "offset": number }));
    // What a provider would count: nothing here, so that the estimate is used.
    reply.usage = protocol::TokenUsage::default();
    reply
}

fn pages(root: &std::path::Path, lines: usize) {
    for number in 0..3 {
        let lines: Vec<String> = (0..lines).map(|line| format!("page {number}, line {line}")).collect();
        std::fs::write(root.join(format!("{number}.txt")), lines.join("\n")).unwrap();
    }
}

fn texts(messages: &[Message]) -> String {
    let text = |part: &Part| match part {
        Part::Text { text } => text.clone(),
        _ => String::new(),
    };
    messages.iter().flat_map(|message| message.parts.iter().map(text)).collect()
}

/// Every result follows its call.
fn paired(messages: &[Message]) {
    for (at, message) in messages.iter().enumerate() {
        let calls = |message: &Message| message.parts.iter().filter(|part| matches!(part, Part::ToolCall(_))).count();
        match message.role {
            Role::Tool => assert_eq!(calls(&messages[at - 1]), message.parts.len()),
            _ if calls(message) > 0 => assert_eq!(messages[at + 1].role, Role::Tool),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_conversation_is_summed_up_and_goes_on() {
    let runtime = runtime();
    pages(runtime.root(), 200);
    let session = runtime.session();
    let model = Answering::new(|number, sent| {
        Ok(match number {
            _ if is_summary(sent) => stopping(text("It was all read."), StopReason::EndTurn),
            20.. => text("done"),
            number => reading(number),
        })
    });
    let mut driver = driver(&runtime, &session, model.clone());
    driver.limits.model_calls = 40;
    driver.planner.context_window = Some(WINDOW);
    let turned = work(&driver, "read everything and remember the word heron").await;
    assert_eq!((turned.outcome, turned.answer.as_str()), (TurnOutcome::Done, "done"));

    let sent = model.sent();
    let summaries = sent.iter().filter(|sent| is_summary(sent)).count();
    assert!(summaries >= 1, "{summaries}");
    for sent in &sent {
        paired(&sent.messages);
    }
    let last = sent.last().unwrap();
    let told = texts(&last.messages);
    assert!(told.contains("It was all read.") && told.contains("the word heron"), "{told}");
    assert!(told.contains("/work/1.txt"), "{told}");
    assert!(matches!(last.messages.last().unwrap().role, Role::Tool), "the last results are whole");

    // What was summed up is still in the journal, and a new process sends the same.
    let events = events(&runtime, &session);
    let reads = events.iter().filter(|event| matches!(event, EventBody::CallFinished { .. })).count();
    assert_eq!(reads + summaries + 1, sent.len());
    let budgeted = events.iter().filter(|event| {
        matches!(event, EventBody::ModelCalled { purpose: Purpose::Compaction, reserved, .. } if reserved.tokens > 0)
    });
    assert_eq!(budgeted.count(), summaries);
    let replayed = runtime.workspace.view(session.id()).unwrap();
    assert_eq!(replayed.messages[..last.messages.len()], last.messages);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_that_fails_is_tried_twice_and_then_the_turn_goes_on_without() {
    let runtime = runtime();
    pages(runtime.root(), 200);
    let session = runtime.session();
    let model = Answering::new(|number, sent| match number {
        _ if is_summary(sent) && number % 2 == 0 => Err(failing(ModelFailureKind::InvalidRequest)),
        _ if is_summary(sent) => Ok(stopping(text("half"), StopReason::MaxTokens)),
        number => Ok(reading(number)),
    });
    let mut driver = driver(&runtime, &session, model.clone());
    driver.limits.model_calls = 60;
    driver.planner.context_window = Some(WINDOW);
    let turned = work(&driver, "read").await;
    assert_eq!(turned.outcome, TurnOutcome::ContextFull { window: WINDOW.into() });
    assert_eq!(model.sent().iter().filter(|sent| is_summary(sent)).count(), 2);
    assert!(!events(&runtime, &session).iter().any(|event| matches!(event, EventBody::Compacted { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_counted_decides_and_not_the_guess() {
    for (counted, expected) in [(None, false), (Some(u64::from(WINDOW) - 500), true)] {
        let runtime = runtime();
        pages(runtime.root(), 200);
        let session = runtime.session();
        let model = Answering::new(move |number, sent| {
            let mut reply = if number < 5 && !is_summary(sent) { reading(number) } else { text("done") };
            if let (4, Some(tokens)) = (number, counted) {
                reply.usage = usage(tokens, 100);
            }
            Ok(reply)
        });
        let mut driver = driver(&runtime, &session, model.clone());
        driver.planner.context_window = Some(WINDOW);
        work(&driver, "read").await;
        assert_eq!(is_summary(&model.sent()[4]), expected, "{counted:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_no_summary_makes_shorter_is_not_summed_up_again_and_again() {
    let runtime = runtime();
    pages(runtime.root(), 450);
    let session = runtime.session();
    // Each summary is as long as it may be, and each result fills what is left.
    let model =
        Answering::new(|number, sent| Ok(if is_summary(sent) { text(&"s".repeat(8_000)) } else { reading(number) }));
    let mut driver = driver(&runtime, &session, model.clone());
    driver.limits.model_calls = 30;
    driver.planner.context_window = Some(8_000);
    work(&driver, &"t".repeat(8_000)).await;
    let sent = model.sent();
    let twice = sent.windows(2).any(|two| two.iter().all(is_summary));
    let order: String = sent.iter().map(|sent| if is_summary(sent) { 'S' } else { '.' }).collect();
    assert!(sent.iter().any(is_summary) && !twice, "{order}");
    for sent in &sent {
        paired(&sent.messages);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_that_fails_for_a_moment_is_tried_again_like_any_call() {
    let runtime = runtime();
    pages(runtime.root(), 200);
    let session = runtime.session();
    let (mut failed, mut done) = (false, false);
    let model = Answering::new(move |number, sent| match number {
        _ if is_summary(sent) && !std::mem::replace(&mut failed, true) => Err(failing(ModelFailureKind::RateLimited)),
        _ if is_summary(sent) => {
            done = true;
            Ok(text("It was all read."))
        }
        _ if done => Ok(text("done")),
        number => Ok(reading(number)),
    });
    let mut driver = driver(&runtime, &session, model.clone());
    driver.limits.model_calls = 40;
    driver.planner.context_window = Some(WINDOW);
    assert_eq!(work(&driver, "read").await.outcome, TurnOutcome::Done);
    let retries = |event: &&EventBody| matches!(event, EventBody::RetryPlanned { .. });
    assert_eq!(events(&runtime, &session).iter().filter(retries).count(), 1);
    assert_eq!(model.sent().iter().filter(|sent| is_summary(sent)).count(), 2);
}
