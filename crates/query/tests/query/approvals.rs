//! Questions that outlive a run: answered later, from elsewhere, once, for exactly what was shown.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use policy::RuleSpec;
use protocol::{
    ApprovalAnswer, ApprovalId, ApprovalSubject, CallId, CallOutcome, EventBody, ModelReply, Spending, TurnId,
    TurnOutcome, Verdict,
};
use providers::Delta;
use query::Turned;
use serde_json::json;
use testkit::{Runtime, Server, Setup, random};
use tools::{Approver, Asked, ToolSession, Waiting};
use workspace::{ApprovalRecord, ApprovalState, Durability};

use crate::support::{Answering, called, calling, driver, events, text, work};

const YES: ApprovalAnswer = ApprovalAnswer { allowed: true, remembered: false };
const ALWAYS: ApprovalAnswer = ApprovalAnswer { allowed: true, remembered: true };
const NO: ApprovalAnswer = ApprovalAnswer { allowed: false, remembered: false };

/// Returns a runtime in which writing below `asked/` asks, and nobody is there yet.
fn parked() -> Runtime {
    attended(Arc::new(Waiting))
}

fn attended(approver: Arc<dyn Approver>) -> Runtime {
    with(Setup { approver, ..Setup::default() })
}

fn with(setup: Setup) -> Runtime {
    let rule = json!({ "name": "ask", "verdict": "ask", "tools": ["write", "shell"], "paths": ["asked/**"] });
    let rules = vec![serde_json::from_value::<RuleSpec>(rule).unwrap()];
    Runtime::with(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"), Setup { rules, ..setup })
}

fn writes(path: &str, content: &str) -> ModelReply {
    calling("write", json!({ "path": path, "content": content }))
}

/// Returns a model that proposes `replies`, one after the other, and ends the turn.
fn proposing(replies: Vec<ModelReply>) -> Arc<Answering> {
    let mut replies = replies.into_iter();
    Answering::new(move |_, _| Ok(replies.next().unwrap_or_else(|| text("Done."))))
}

async fn resume(runtime: &Runtime, session: &ToolSession, model: Arc<Answering>) -> Turned {
    let view = runtime.workspace.view(session.id()).unwrap();
    driver(runtime, session, model).resume(view, &mut |_: Delta| {}).await.unwrap()
}

fn answer(runtime: &Runtime, session: &ToolSession, approval: &ApprovalId, answer: ApprovalAnswer) {
    let event = EventBody::ApprovalAnswered { approval: approval.clone(), answer };
    runtime.workspace.journal().append(session.id(), &[event], Durability::Process).unwrap();
}

/// Returns the one question that the turn waits for.
fn waits(turned: &Turned) -> ApprovalId {
    match &turned.outcome {
        TurnOutcome::Waiting { approvals } if approvals.len() == 1 => approvals[0].clone(),
        outcome => panic!("{outcome:?}"),
    }
}

fn questions(runtime: &Runtime, session: &ToolSession) -> Vec<ApprovalRecord> {
    runtime.workspace.journal().approvals(session.id()).unwrap()
}

fn content(runtime: &Runtime, path: &str) -> Option<String> {
    std::fs::read_to_string(runtime.root().join(path)).ok()
}

fn outcomes(runtime: &Runtime, session: &ToolSession) -> Vec<CallOutcome> {
    let finished = |event| match event {
        EventBody::CallFinished { outcome, .. } => Some(outcome),
        _ => None,
    };
    events(runtime, session).into_iter().filter_map(finished).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_waits_with_its_turn_and_its_answer_is_used_once() {
    let runtime = parked();
    let session = runtime.session();
    let turned = work(&driver(&runtime, &session, proposing(vec![writes("asked/a", "1")])), "write").await;
    let approval = waits(&turned);
    assert_eq!((content(&runtime, "asked/a"), outcomes(&runtime, &session)), (None, vec![]));

    // Taken up without an answer it is the same question.
    let session = runtime.reopened(&session);
    assert_eq!(waits(&resume(&runtime, &session, proposing(vec![])).await), approval);
    assert_eq!(questions(&runtime, &session).len(), 1);

    answer(&runtime, &session, &approval, YES);
    let session = runtime.reopened(&session);
    let turned = resume(&runtime, &session, proposing(vec![writes("asked/a", "1")])).await;
    // The second call is the same in every letter, and another call: it asks again.
    let second = waits(&turned);
    assert_ne!(second, approval);
    assert_eq!(content(&runtime, "asked/a").as_deref(), Some("1"));
    assert_eq!(outcomes(&runtime, &session), [CallOutcome::Succeeded]);
    let now = runtime.workspace.journal().now_ms();
    let states: Vec<_> = questions(&runtime, &session).iter().map(|record| record.state(now)).collect();
    assert_eq!(states, [ApprovalState::Used, ApprovalState::Open]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_is_told_to_the_model_and_the_turn_goes_on() {
    let runtime = parked();
    let session = runtime.session();
    let turned = work(&driver(&runtime, &session, proposing(vec![writes("asked/a", "1")])), "write").await;
    answer(&runtime, &session, &waits(&turned), NO);
    // The first answer counts.
    answer(&runtime, &session, &waits(&turned), YES);
    let turned = resume(&runtime, &session, proposing(vec![])).await;
    assert_eq!(turned.outcome, TurnOutcome::Done);
    assert_eq!(content(&runtime, "asked/a"), None);
    assert_eq!(outcomes(&runtime, &session), [CallOutcome::Denied { rule: "answer.no".into() }]);
}

/// A script whose arguments name no path, so that only what it really wrote asks.
fn script(script: &str) -> ModelReply {
    calling("shell", json!({ "script": script }))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_call_staged_waits_and_is_committed_without_running_it_again() {
    let runtime = parked();
    std::fs::write(runtime.root().join("count"), "1").unwrap();
    let session = runtime.session();
    let call = script("mkdir -p asked; cat count > asked/seen; head -c 300000 /dev/zero > asked/large; echo said");
    let turned = work(&driver(&runtime, &session, proposing(vec![call])), "run").await;
    let approval = waits(&turned);
    assert_eq!(content(&runtime, "asked/seen"), None);
    let ApprovalSubject::Commit { change_set } = questions(&runtime, &session)[0].request.subject.clone() else {
        panic!("a commit")
    };

    // Run again it would see another count.
    std::fs::write(runtime.root().join("count"), "2").unwrap();
    answer(&runtime, &session, &approval, YES);
    let session = runtime.reopened(&session);
    assert_eq!(resume(&runtime, &session, proposing(vec![])).await.outcome, TurnOutcome::Done);
    assert_eq!(content(&runtime, "asked/seen").as_deref(), Some("1"));
    assert_eq!(std::fs::read(runtime.root().join("asked/large")).unwrap(), vec![0; 300_000]);
    let committed = runtime.workspace.journal().change_set(&change_set).unwrap().unwrap();
    assert_eq!(committed.changes.changes.len(), 3);
    let runs = events(&runtime, &session).into_iter().filter(|event| matches!(event, EventBody::CallDecided { .. }));
    assert_eq!(runs.count(), 1);
    let said = events(&runtime, &session).into_iter().find_map(|event| match event {
        EventBody::CallFinished { result, .. } => Some(result.text),
        _ => None,
    });
    assert!(said.as_ref().is_some_and(|said| said.contains("said")), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_while_a_commit_waited_is_a_conflict() {
    let runtime = parked();
    std::fs::create_dir(runtime.root().join("asked")).unwrap();
    let session = runtime.session();
    let turned = work(&driver(&runtime, &session, proposing(vec![script("echo after > asked/a")])), "run").await;
    answer(&runtime, &session, &waits(&turned), YES);
    std::fs::write(runtime.root().join("asked/a"), "mine").unwrap();
    assert_eq!(resume(&runtime, &session, proposing(vec![])).await.outcome, TurnOutcome::Done);
    assert_eq!(content(&runtime, "asked/a").as_deref(), Some("mine"));
    assert_eq!(outcomes(&runtime, &session), [CallOutcome::Conflicted]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_worth_nothing_after_its_time() {
    let runtime =
        with(Setup { approver: Arc::new(Waiting), approval_lasts: Duration::from_millis(300), ..Setup::default() });
    let session = runtime.session();
    let turned = work(&driver(&runtime, &session, proposing(vec![writes("asked/a", "1")])), "write").await;
    let first = waits(&turned);
    answer(&runtime, &session, &first, YES);
    std::thread::sleep(Duration::from_millis(350));
    let second = waits(&resume(&runtime, &session, proposing(vec![])).await);
    assert_ne!(first, second);
    assert_eq!(content(&runtime, "asked/a"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_something_else_counts_for_nothing() {
    let runtime = parked();
    let session = runtime.session();
    let turned = work(&driver(&runtime, &session, proposing(vec![writes("asked/a", "1")])), "write").await;
    let open = questions(&runtime, &session).remove(0);
    // As somebody would who can make the runtime believe that another question was asked, and answered.
    let with_digest = |digest: &[u8]| {
        let mut request = open.request.clone();
        request.digest = protocol::ContentHash::of(digest);
        request
    };
    let forged = ApprovalId::from_random(random());
    let asked = EventBody::ApprovalAsked { approval: forged.clone(), request: with_digest(b"other") };
    runtime.workspace.journal().append(session.id(), &[asked], Durability::Process).unwrap();
    answer(&runtime, &session, &forged, YES);
    assert_eq!(waits(&resume(&runtime, &session, proposing(vec![])).await), waits(&turned));
    assert_eq!(content(&runtime, "asked/a"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_covers_the_same_effects_of_the_same_tool_until_it_is_revoked() {
    let runtime = parked();
    let session = runtime.session();
    let turned = work(&driver(&runtime, &session, proposing(vec![writes("asked/a", "1")])), "write").await;
    let approval = waits(&turned);
    answer(&runtime, &session, &approval, ALWAYS);
    let again = proposing(vec![writes("asked/a", "2"), writes("asked/b", "3")]);
    let turned = resume(&runtime, &session, again).await;
    assert_eq!(content(&runtime, "asked/a").as_deref(), Some("2"));
    let other = waits(&turned);
    answer(&runtime, &session, &other, NO);

    let revoked = EventBody::ApprovalRevoked { approval: approval.clone() };
    runtime.workspace.journal().append(session.id(), &[revoked], Durability::Process).unwrap();
    let turned = resume(&runtime, &session, proposing(vec![writes("asked/a", "4")])).await;
    assert_ne!(waits(&turned), approval);
    assert_eq!((content(&runtime, "asked/a").as_deref(), content(&runtime, "asked/b")), (Some("2"), None));

    // Another session, and another tool in this one, know nothing of it.
    let session = runtime.session();
    waits(&work(&driver(&runtime, &session, proposing(vec![writes("asked/a", "5")])), "write").await);
}

#[test]
fn what_names_nothing_but_the_call_is_remembered_for_the_same_arguments_only() {
    let record = |effects: &[&str], digest: &[u8]| ApprovalRecord {
        approval: ApprovalId::from_random(1),
        session: protocol::SessionId::from_random(1),
        asked_at_ms: 0,
        asked_at: 1,
        request: protocol::ApprovalRequest {
            call: CallId::from_random(1),
            tool: "shell".into(),
            subject: ApprovalSubject::Call,
            digest: protocol::ContentHash::of(digest),
            effects: effects.iter().map(ToString::to_string).collect(),
            rule: "ask".into(),
            reason: "Why.".into(),
            ceiling: String::new(),
            expires_at_ms: 1,
        },
        answer: Some(ALWAYS),
        used: true,
        revoked: false,
    };
    let covers = |known: &ApprovalRecord, asked: ApprovalRecord| known.covers(&asked.request);
    let known = record(&["run"], b"x");
    assert!(covers(&known, record(&["run"], b"x")));
    assert!(!covers(&known, record(&["run"], b"y")));
    let known = record(&["run", "write /work/a"], b"x");
    assert!(covers(&known, record(&["run", "write /work/a"], b"y")));
    assert!(!covers(&known, record(&["run", "write /work/a", "write /work/b"], b"x")));
    let mut other = record(&["run", "write /work/a"], b"x");
    other.request.tool = "js".into();
    assert!(!covers(&known, other));
    assert!(!covers(&ApprovalRecord { answer: Some(NO), ..known.clone() }, record(&["run", "write /work/a"], b"x")));
    let mut repeat = record(&["POST https://a.test"], b"x");
    repeat.request.subject = ApprovalSubject::Repeat;
    assert!(!covers(&repeat, repeat.clone()));
}

/// Is there, and says nothing.
struct Silent;

#[async_trait]
impl Approver for Silent {
    async fn ask(&self, _: Asked<'_>) -> ApprovalAnswer {
        std::future::pending().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_elsewhere_counts_while_the_session_runs() {
    let runtime = attended(Arc::new(Silent));
    let session = runtime.session();
    let driver = driver(&runtime, &session, proposing(vec![writes("asked/a", "1")]));
    let elsewhere = async {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if let Some(open) = questions(&runtime, &session).first() {
                return answer(&runtime, &session, &open.approval, YES);
            }
        }
    };
    let (turned, ()) = tokio::join!(work(&driver, "write"), elsewhere);
    assert_eq!(turned.outcome, TurnOutcome::Done);
    assert_eq!(content(&runtime, "asked/a").as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_answers_in_time() {
    let lasts = Duration::from_millis(300);
    let runtime = with(Setup { approver: Arc::new(Silent), approval_lasts: lasts, ..Setup::default() });
    let session = runtime.session();
    let turned = work(&driver(&runtime, &session, proposing(vec![writes("asked/a", "1")])), "write").await;
    assert_eq!(turned.outcome, TurnOutcome::Done);
    assert_eq!(outcomes(&runtime, &session), [CallOutcome::Denied { rule: "answer.expired".into() }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_task_ends_what_waited() {
    let runtime = parked();
    let session = runtime.session();
    let turned = work(&driver(&runtime, &session, proposing(vec![writes("asked/a", "1")])), "write").await;
    let approval = waits(&turned);
    assert!(!runtime.workspace.journal().is_moot(&questions(&runtime, &session)[0]).unwrap());
    let turned = work(&driver(&runtime, &session, proposing(vec![])), "never mind").await;
    assert_eq!(turned.outcome, TurnOutcome::Done);
    assert_eq!(outcomes(&runtime, &session), [CallOutcome::Cancelled]);
    assert!(runtime.workspace.journal().is_moot(&questions(&runtime, &session)[0]).unwrap());
    answer(&runtime, &session, &approval, YES);
    assert_eq!(content(&runtime, "asked/a"), None);
    // What was allowed to one call is not allowed to another, the same in every letter.
    let turned = work(&driver(&runtime, &session, proposing(vec![writes("asked/a", "1")])), "write").await;
    assert_ne!(waits(&turned), approval);
    assert_eq!(content(&runtime, "asked/a"), None);
}

/// A service that counts what it is sent, and a session that was interrupted after it had sent something there.
struct Interrupted {
    runtime: Runtime,
    session: ToolSession,
    requests: Arc<AtomicUsize>,
    _server: Server,
}

impl Interrupted {
    fn after(method: &str, approver: Arc<dyn Approver>) -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let counting = requests.clone();
        let server = Server::start(move |_| {
            counting.fetch_add(1, Ordering::SeqCst);
            b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok".to_vec()
        });
        let host = format!("http://{}", server.address());
        let runtime = with(Setup { approver, hosts: vec![host.parse().unwrap()], ..Setup::default() });
        let session = runtime.session();
        let reply = calling("fetch", json!({ "url": format!("{host}/order"), "method": method }));
        let call = reply.tool_calls().next().unwrap().call.clone();
        let turn = TurnId::from_random(random());
        let sent = EventBody::RequestDecided {
            call,
            request: 1,
            method: method.into(),
            target: host,
            addresses: vec![],
            verdict: Verdict::Allow,
            rule: "r".into(),
            reason: "so".into(),
            secrets: vec![],
            path: Some("/order".into()),
            found: vec![],
            idempotency_key: None,
        };
        let events = [
            EventBody::TurnOpened { turn: turn.clone(), text: "order it".into() },
            called(&turn, 1, Spending::default()),
            EventBody::ModelReplied { turn, number: 1, reply, spent: Spending::default() },
            sent,
        ];
        runtime.workspace.journal().append(session.id(), &events, Durability::Process).unwrap();
        Self { runtime, session, requests, _server: server }
    }

    async fn resume(&self) -> Turned {
        resume(&self.runtime, &self.session, proposing(vec![])).await
    }

    fn served(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn outcomes(&self) -> Vec<CallOutcome> {
        outcomes(&self.runtime, &self.session)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_had_an_effect_is_not_sent_again() {
    for method in ["POST", "PATCH"] {
        let interrupted = Interrupted::after(method, Arc::new(tools::Unattended));
        assert_eq!(interrupted.resume().await.outcome, TurnOutcome::Done);
        assert_eq!((interrupted.served(), interrupted.outcomes()), (0, vec![CallOutcome::Unknown]), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_the_same_a_second_time_is_sent_again() {
    for method in ["GET", "PUT", "DELETE"] {
        let interrupted = Interrupted::after(method, Arc::new(tools::Unattended));
        assert_eq!(interrupted.resume().await.outcome, TurnOutcome::Done);
        assert_eq!((interrupted.served(), interrupted.outcomes()), (1, vec![CallOutcome::Succeeded]), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_may_have_it_sent_again_or_not() {
    for (said, served, outcome) in [(YES, 1, CallOutcome::Succeeded), (NO, 0, CallOutcome::Unknown)] {
        let interrupted = Interrupted::after("POST", Arc::new(Waiting));
        let approval = waits(&interrupted.resume().await);
        assert_eq!(interrupted.served(), 0);
        answer(&interrupted.runtime, &interrupted.session, &approval, said);
        assert_eq!(interrupted.resume().await.outcome, TurnOutcome::Done);
        assert_eq!((interrupted.served(), interrupted.outcomes()), (served, vec![outcome]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_carries_a_key_is_sent_again_with_the_same_one() {
    let keys = Arc::new(Mutex::new(Vec::new()));
    let seen = keys.clone();
    let server = Server::start(move |request| {
        let key = request.lines().find_map(|line| line.strip_prefix("idempotency-key: ").map(str::to_owned));
        seen.lock().unwrap().push(key);
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok".to_vec()
    });
    let host = format!("http://{}", server.address());
    let hosts = vec![host.parse().unwrap()];
    let runtime = with(Setup { keyed: hosts.clone(), hosts, ..Setup::default() });
    let session = runtime.session();
    let headers = json!({ "Idempotency-Key": "the guest's own" });
    let order = || json!({ "url": format!("{host}/order"), "method": "POST", "headers": headers });
    let read = calling("fetch", json!({ "url": format!("{host}/order") }));
    work(&driver(&runtime, &session, proposing(vec![calling("fetch", order()), read])), "order").await;

    // The same story, cut off when the first request may have been sent.
    let again = runtime.session();
    let story = events(&runtime, &session);
    let sent = story.iter().position(|event| matches!(event, EventBody::RequestDecided { .. })).unwrap();
    runtime.workspace.journal().append(again.id(), &story[1..=sent], Durability::Process).unwrap();
    assert_eq!(resume(&runtime, &again, proposing(vec![])).await.outcome, TurnOutcome::Done);
    assert_eq!(outcomes(&runtime, &again), [CallOutcome::Succeeded]);

    // Another call is another order.
    work(&driver(&runtime, &session, proposing(vec![calling("fetch", order())])), "order").await;
    let keys = keys.lock().unwrap().clone();
    let [Some(first), None, Some(repeated), Some(other)] = keys.as_slice() else { panic!("{keys:?}") };
    assert!(first == repeated && first != other && first.len() == 32, "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_is_none_however_long_it_was_to_last() {
    let lasts = Duration::from_millis(100);
    let runtime = with(Setup { approver: Arc::new(Waiting), approval_lasts: lasts, ..Setup::default() });
    let session = runtime.session();
    let turned = work(&driver(&runtime, &session, proposing(vec![writes("asked/a", "1")])), "write").await;
    std::thread::sleep(lasts * 2);
    answer(&runtime, &session, &waits(&turned), ALWAYS);
    waits(&resume(&runtime, &session, proposing(vec![])).await);
    assert_eq!((content(&runtime, "asked/a"), questions(&runtime, &session)[0].answer), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_outlives_a_turn_that_is_cancelled_or_out_of_time() {
    for out_of_time in [false, true] {
        let runtime = attended(Arc::new(Silent));
        let session = runtime.session();
        let mut driver = driver(&runtime, &session, proposing(vec![writes("asked/a", "1")]));
        if out_of_time {
            driver.budget.turn.time_ms = 600;
        }
        let cancel = driver.cancel.clone();
        let person = async {
            tokio::time::sleep(Duration::from_millis(if out_of_time { 0 } else { 400 })).await;
            if !out_of_time {
                cancel.cancel();
            }
        };
        let (turned, ()) = tokio::join!(work(&driver, "write"), person);
        assert_eq!(matches!(turned.outcome, TurnOutcome::BudgetExceeded { .. }), out_of_time, "{turned:?}");
        assert_eq!(turned.outcome == TurnOutcome::Cancelled, !out_of_time);
        let open = questions(&runtime, &session)[0].approval.clone();
        assert!(outcomes(&runtime, &session).is_empty());
        answer(&runtime, &session, &open, YES);
        assert_eq!(resume(&runtime, &session, proposing(vec![])).await.outcome, TurnOutcome::Done);
        assert_eq!(content(&runtime, "asked/a").as_deref(), Some("1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_task_does_not_hide_what_had_been_committed() {
    let runtime = parked();
    let session = runtime.session();
    let turned =
        work(&driver(&runtime, &session, proposing(vec![script("mkdir asked; echo 1 > asked/a")])), "run").await;
    answer(&runtime, &session, &waits(&turned), YES);
    resume(&runtime, &session, proposing(vec![])).await;
    // The same story, cut off between the commit and the end of the call.
    let again = runtime.session();
    let story = events(&runtime, &session);
    let committed = story.iter().position(|event| matches!(event, EventBody::CommitFinished { .. })).unwrap();
    runtime.workspace.journal().append(again.id(), &story[1..=committed], Durability::Process).unwrap();
    work(&driver(&runtime, &again, proposing(vec![])), "something else").await;
    assert_eq!(outcomes(&runtime, &again), [CallOutcome::Succeeded]);
}
