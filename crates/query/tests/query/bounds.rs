//! What a turn may spend, and where it stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use policy::LEAST_OUTPUT_TOKENS;
use protocol::{
    BudgetScope, EventBody, Measure, ModelFailure, ModelFailureKind, Purpose, Spending, TokenUsage, TurnId, TurnOutcome,
};
use providers::{Delta, Price};
use query::{Planner, Turned};
use serde_json::json;
use testkit::random;
use workspace::Durability;

use crate::support::{
    Answering, called, calling, driver, events, failing, planner, runtime, scripted, text, work, writing,
};

/// 3 dollars for a million tokens of input, 15 for as many of output.
fn priced(model: &Arc<Answering>) -> Planner {
    let price: Price =
        serde_json::from_value(json!({ "micro_usd_per_mtok": { "input": 3_000_000, "output": 15_000_000 } })).unwrap();
    Planner { price, ..planner(model.clone()) }
}

fn exceeded(turned: &Turned) -> (BudgetScope, Measure) {
    match turned.outcome {
        TurnOutcome::BudgetExceeded { scope, measure, left, needed, .. } => {
            assert!(needed > left, "{needed} of {left}");
            (scope, measure)
        }
        ref other => panic!("{other:?}"),
    }
}

/// Returns what stands on the accounts of the journal's last turn: what events say, added up.
fn spent(events: &[EventBody]) -> Spending {
    let spent = events.iter().filter_map(EventBody::spent);
    spent.fold(Spending::default(), |sum, spent| sum.plus(spent))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_stops_before_it_could_overspend() {
    let runtime = runtime();
    let session = runtime.session();
    let model = Answering::new(|number, _| Ok(writing(number)));
    let mut driver = driver(&runtime, &session, model.clone());
    driver.planner = priced(&model);
    driver.limits.model_calls = 100;
    driver.budget.session.micro_usd = 60_000;
    let turned = work(&driver, "write").await;
    assert_eq!(exceeded(&turned), (BudgetScope::Session, Measure::MicroUsd));

    let events = events(&runtime, &session);
    let reserved: Vec<Spending> = events
        .iter()
        .filter_map(|event| match event {
            EventBody::ModelCalled { reserved, .. } => Some(*reserved),
            _ => None,
        })
        .collect();
    let settled: Vec<Spending> = events
        .iter()
        .filter_map(|event| match event {
            EventBody::ModelReplied { spent, .. } => Some(*spent),
            _ => None,
        })
        .collect();
    assert_eq!(reserved.len(), settled.len());
    let mut sum = 0;
    for (reserved, settled) in reserved.iter().zip(&settled) {
        assert!(sum + reserved.micro_usd <= 60_000, "{sum} and {reserved:?}");
        // 1,000 tokens of input and 10 of output.
        assert_eq!((settled.micro_usd, settled.tokens), (3_150, 1_010));
        sum += settled.micro_usd;
    }
    assert!(sum > 30_000, "it could spend most of it: {sum}");
    let sent = model.sent();
    assert!(sent.first().unwrap().max_output_tokens > sent.last().unwrap().max_output_tokens, "replies get shorter");
    assert!(u64::from(sent.last().unwrap().max_output_tokens) >= LEAST_OUTPUT_TOKENS);
    assert!(driver.workspace.journal().held(session.id()).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_too_small_for_one_call_calls_nobody() {
    let runtime = runtime();
    let session = runtime.session();
    let model = Answering::new(|_, _| Ok(text("never")));
    for scope in [BudgetScope::Call, BudgetScope::Turn, BudgetScope::Session, BudgetScope::Day] {
        let mut driver = driver(&runtime, &session, model.clone());
        driver.planner = priced(&model);
        let budget = &mut driver.budget;
        match scope {
            BudgetScope::Call => budget.call.micro_usd = 100,
            BudgetScope::Turn => budget.turn.micro_usd = 100,
            BudgetScope::Session => budget.session.micro_usd = 100,
            BudgetScope::Day => budget.day.micro_usd = 100,
        }
        assert_eq!(exceeded(&work(&driver, "do").await), (scope, Measure::MicroUsd));
    }
    assert!(model.sent().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_shared_by_all_sessions() {
    let runtime = runtime();
    let model = Answering::new(|_, _| Ok(text("done")));
    let mut calls = 0;
    loop {
        let session = runtime.session();
        let mut driver = driver(&runtime, &session, model.clone());
        driver.planner = priced(&model);
        driver.budget.day.micro_usd = 50_000;
        let turned = work(&driver, "do").await;
        if turned.outcome != TurnOutcome::Done {
            assert_eq!(exceeded(&turned), (BudgetScope::Day, Measure::MicroUsd));
            break;
        }
        calls += 1;
        assert!(calls < 50, "it never ends");
    }
    assert!(calls > 1 && model.sent().len() == calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_does_not_say_counts_as_all_that_was_reserved() {
    let runtime = runtime();
    let session = runtime.session();
    let mut silent = text("done");
    silent.usage = TokenUsage::default();
    let model = Answering::new(move |_, _| Ok(silent.clone()));
    let mut driver = driver(&runtime, &session, model.clone());
    driver.planner = priced(&model);
    work(&driver, "do").await;
    let events = events(&runtime, &session);
    let reserved = events.iter().find_map(|event| match event {
        EventBody::ModelCalled { reserved, .. } => Some(*reserved),
        _ => None,
    });
    let (reserved, spent) = (reserved.unwrap(), spent(&events));
    assert_eq!((spent.tokens, spent.micro_usd), (reserved.tokens, reserved.micro_usd));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_refused_costs_nothing_and_one_that_broke_costs_all() {
    for (kind, free) in [(ModelFailureKind::RateLimited, true), (ModelFailureKind::Network, false)] {
        let runtime = runtime();
        let session = runtime.session();
        let model = Answering::new(move |_, _| Err(failing(kind)));
        let mut driver = driver(&runtime, &session, model.clone());
        driver.planner = priced(&model);
        driver.limits.retries = 0;
        let turned = work(&driver, "do").await;
        assert!(matches!(turned.outcome, TurnOutcome::ProviderFailed { .. }));
        let spent = spent(&events(&runtime, &session));
        assert_eq!((spent.model_calls, spent.micro_usd == 0), (1, free), "{kind:?}: {spent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_had_reserved_counts_as_spent() {
    let runtime = runtime();
    let session = runtime.session();
    let (turn, journal) = (TurnId::from_random(random()), runtime.workspace.journal());
    let opened = EventBody::TurnOpened { turn: turn.clone(), text: "do".into() };
    journal.append(session.id(), &[opened], Durability::Process).unwrap();
    let lost = Spending { model_calls: 1, tokens: 5_000, micro_usd: 40_000, time_ms: 10 };
    let decide = |_: &[workspace::Balance; 3]| Ok::<_, ()>((lost, called(&turn, 1, lost)));
    journal.reserve(session.id(), (&turn, 1), decide).unwrap().unwrap();

    let model = Answering::new(|_, _| Ok(text("done")));
    let mut driver = driver(&runtime, &session, model.clone());
    driver.planner = priced(&model);
    driver.budget.session.micro_usd = 45_000;
    let view = runtime.workspace.view(session.id()).unwrap();
    let turned = driver.resume(view, &mut |_: Delta| {}).await.unwrap();
    assert_eq!(exceeded(&turned), (BudgetScope::Session, Measure::MicroUsd));
    let abandoned = EventBody::ModelAbandoned { turn: turn.clone(), number: 1, spent: Spending { time_ms: 0, ..lost } };
    assert!(events(&runtime, &session).contains(&abandoned));
    let [_, balance, _] = journal.balances(session.id(), &turn).unwrap();
    let without_time = |spending: Spending| Spending { time_ms: 0, ..spending };
    assert_eq!((without_time(balance.spent), balance.reserved), (without_time(lost), Spending::default()));

    driver.budget.session.micro_usd = 1_000_000;
    let view = runtime.workspace.view(session.id()).unwrap();
    assert_eq!(driver.resume(view, &mut |_: Delta| {}).await.unwrap().answer, "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_ends_when_its_time_is_over_whatever_it_does() {
    let runtime = runtime();
    let slow_model = scripted("[[reply]]\ndelay_ms = 60000\ntext = \"late\"\n");
    let script = "[[reply]]\n[[reply.call]]\ntool = \"js\"\narguments = { code = \"for (;;) {}\" }\n";
    for model in [slow_model, scripted(script)] {
        let session = runtime.session();
        let mut driver = driver(&runtime, &session, model);
        driver.budget.turn.time_ms = 300;
        let started = Instant::now();
        assert_eq!(exceeded(&work(&driver, "do").await), (BudgetScope::Turn, Measure::TimeMs));
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        let spent = spent(&events(&runtime, &session));
        assert!(spent.time_ms >= 300, "{spent:?}");
        assert!(runtime.workspace.journal().held(session.id()).unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_settles_what_it_held_and_ends_at_once() {
    let runtime = runtime();
    for script in [
        "[[reply]]\ndelay_ms = 60000\ntext = \"late\"\n",
        "[[reply]]\n[reply.failure]\nkind = \"unavailable\"\nmessage = \"busy\"\nretry_after_ms = 60000\n",
    ] {
        let session = runtime.session();
        let driver = driver(&runtime, &session, scripted(script));
        let cancel = driver.cancel.clone();
        let started = Arc::new(AtomicBool::new(false));
        let seen = started.clone();
        let waits = move |event: &protocol::Event| {
            matches!(event.body, EventBody::ModelCalled { .. } | EventBody::RetryPlanned { .. })
        };
        runtime.workspace.journal().observe(Box::new(move |event| {
            seen.fetch_or(waits(event), Ordering::Relaxed);
        }));
        let canceller = tokio::spawn(async move {
            while !started.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            cancel.cancel();
            Instant::now()
        });
        let turned = work(&driver, "do").await;
        let took = canceller.await.unwrap().elapsed();
        assert_eq!(turned.outcome, TurnOutcome::Cancelled);
        assert!(took < Duration::from_millis(100), "{took:?}");
        assert!(runtime.workspace.journal().held(session.id()).unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planner_that_repeats_itself_is_stopped() {
    let runtime = runtime();
    let session = runtime.session();
    let model = Answering::new(|_, _| Ok(calling("list", json!({}))));
    let mut driver = driver(&runtime, &session, model);
    driver.limits.model_calls = 100;
    assert_eq!(work(&driver, "do").await.outcome, TurnOutcome::Stalled { repeats: 6 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_is_never_longer_than_the_model_can_write() {
    let runtime = runtime();
    let session = runtime.session();
    let model = Answering::new(|_, _| Ok(text("done")));
    let mut driver = driver(&runtime, &session, model.clone());
    driver.planner.max_output_tokens = Some(77);
    work(&driver, "do").await;
    assert_eq!(model.sent()[0].max_output_tokens, 77);
    let called = events(&runtime, &session).into_iter().find_map(|event| match event {
        EventBody::ModelCalled { purpose, reserved, .. } => Some((purpose, reserved.model_calls)),
        _ => None,
    });
    assert_eq!(called, Some((Purpose::Reply, 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_broke_after_it_began_costs_what_was_reserved() {
    for begun in [false, true] {
        let runtime = runtime();
        let session = runtime.session();
        let failure = move || ModelFailure { begun, ..failing(ModelFailureKind::Unavailable) };
        let model = Answering::new(move |_, _| Err(failure()));
        let mut driver = driver(&runtime, &session, model.clone());
        driver.planner = priced(&model);
        driver.limits.retries = 0;
        work(&driver, "do").await;
        assert_eq!(spent(&events(&runtime, &session)).micro_usd > 0, begun);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_has_a_time_of_its_own_and_is_tried_again() {
    let runtime = runtime();
    let session = runtime.session();
    let slow = scripted("[[reply]]\ndelay_ms = 60000\ntext = \"late\"\n");
    let mut driver = driver(&runtime, &session, slow);
    (driver.budget.call.time_ms, driver.limits.retries) = (50, 1);
    let turned = work(&driver, "do").await;
    let TurnOutcome::ProviderFailed { failure } = turned.outcome else { panic!("{turned:?}") };
    assert_eq!(failure.kind, ModelFailureKind::Timeout);
    let retried = |event: &&EventBody| matches!(event, EventBody::RetryPlanned { .. });
    assert_eq!(events(&runtime, &session).iter().filter(retried).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_without_room_for_a_useful_reply_is_full() {
    let runtime = runtime();
    let session = runtime.session();
    let model = Answering::new(|_, _| Ok(text("done")));
    let mut driver = driver(&runtime, &session, model.clone());
    let (mut full, mut answered) = (0, 0);
    for window in (1_000..8_000).step_by(100) {
        driver.planner.context_window = Some(window);
        match work(&driver, "do").await.outcome {
            TurnOutcome::ContextFull { .. } => full += 1,
            TurnOutcome::Done => answered += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(full > 0 && answered > 0);
    assert!(model.sent().iter().all(|sent| u64::from(sent.max_output_tokens) >= LEAST_OUTPUT_TOKENS));
}
