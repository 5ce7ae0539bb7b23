//! Turns that were cut short, at places where a process can die: what had taken effect is concluded, the rest runs.

use std::collections::BTreeSet;

use policy::{CommitRequest, Decision, Judge, Principal};
use protocol::{
    Arguments, CallId, ChangeSetId, EventBody, Level, ModelReply, Part, Spending, StopReason, TokenUsage, ToolCall,
    TurnId, TurnOutcome,
};
use providers::Delta;
use query::{QueryError, Turned};
use serde_json::json;
use stage::{OpenHow, Opened, Quota, Scratch, Stage, StageOptions, Veil};
use testkit::{Runtime, grant, random};
use tools::ToolSession;
use workspace::{Commit, Durability, SessionView};

use crate::support::{Answering, called, driver, events, runtime, scripted, text, work};

/// The call that was under way: it writes `new` into `a.txt`.
fn proposal() -> ToolCall {
    let arguments = Arguments::Json(json!({"path": "a.txt", "content": "new"}));
    ToolCall { call: CallId::from_random(random()), wire_id: "w".into(), tool: "write".into(), arguments }
}

/// Records a turn up to the reply that proposes `call`.
fn propose(runtime: &Runtime, session: &ToolSession, call: &ToolCall) {
    let turn = TurnId::from_random(random());
    let reply = ModelReply {
        parts: vec![Part::ToolCall(call.clone())],
        usage: TokenUsage::default(),
        stop: StopReason::ToolCalls,
    };
    let events = [
        EventBody::TurnOpened { turn: turn.clone(), text: "write it".into() },
        called(&turn, 1, Spending::default()),
        EventBody::ModelReplied { turn, number: 1, reply, spent: Spending::default() },
    ];
    runtime.workspace.journal().append(session.id(), &events, Durability::Process).unwrap();
}

/// Commits what the call would have staged, as the process did just before it died.
fn commit(runtime: &Runtime, session: &ToolSession, call: &ToolCall) {
    let stage = Stage::new(
        runtime.workspace.base("/work").unwrap().clone(),
        StageOptions {
            mount: "/work".into(),
            writable: true,
            quota: Quota { bytes: 1 << 20, entries: 10 },
            scratch: Scratch::new(runtime.workspace.scratch()),
            clock: std::time::SystemTime::now,
            veil: Veil::none(),
        },
    );
    let how = OpenHow { write: true, create: true, truncate: true, ..OpenHow::default() };
    let Opened::File(file) = stage.root().open("a.txt", how).unwrap() else { panic!("a file") };
    file.write_at(0, b"new").unwrap();
    let changes = stage.changes().unwrap();
    let request = CommitRequest {
        change_set: ChangeSetId::from_random(random()),
        call: Some(call.call.clone()),
        principal: Principal::Planner,
        tool: "write".into(),
        level: Level::Write,
        changes: changes.clone(),
        grant: grant(),
        approved: BTreeSet::new(),
        basis: None,
    };
    let judged = Judge::new(Vec::new()).unwrap().judge_commit(request);
    let journal = runtime.workspace.journal().session(session.id());
    let Decision::Allow(permit) = judged.record(&journal).unwrap() else { panic!("a permit") };
    let commit = Commit { session: session.id(), call: &call.call, permit, stage: &stage, changes: &changes };
    runtime.workspace.commit(commit).unwrap();
}

const SCRIPT: &str =
    "[[reply]]\n[[reply.call]]\ntool = \"list\"\narguments = {}\n[[reply]]\nexpect = \"EXPECTED\"\ntext = \"Done.\"\n";

/// Resumes, with a model that ends the turn when the last results say `expected`.
async fn resume(
    runtime: &Runtime,
    session: &ToolSession,
    expected: &str,
    max_turns: u32,
) -> Result<Turned, QueryError> {
    let mut driver = driver(runtime, session, scripted(&SCRIPT.replace("EXPECTED", expected)));
    driver.limits.model_calls = max_turns;
    let view = runtime.workspace.view(session.id()).unwrap();
    driver.resume(view, &mut |_: Delta| {}).await
}

fn commits(runtime: &Runtime, session: &ToolSession) -> usize {
    let events = runtime.workspace.journal().events(session.id()).unwrap();
    events.iter().filter(|event| matches!(event.body, EventBody::CommitFinished { .. })).count()
}

fn done() -> Turned {
    Turned { outcome: TurnOutcome::Done, answer: "Done.".into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_had_committed_is_concluded_and_not_run_again() {
    let runtime = runtime();
    let (session, call) = (runtime.session(), proposal());
    propose(&runtime, &session, &call);
    commit(&runtime, &session, &call);
    // A person works on while the runtime is down; running the call again would destroy that.
    std::fs::write(runtime.root().join("a.txt"), "mine").unwrap();
    assert_eq!(resume(&runtime, &session, "were committed", 9).await.unwrap(), done());
    assert_eq!(std::fs::read_to_string(runtime.root().join("a.txt")).unwrap(), "mine");
    assert_eq!(commits(&runtime, &session), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_had_no_effect_yet_runs() {
    let runtime = runtime();
    let (session, call) = (runtime.session(), proposal());
    propose(&runtime, &session, &call);
    assert_eq!(resume(&runtime, &session, "created a.txt", 9).await.unwrap(), done());
    assert_eq!(std::fs::read_to_string(runtime.root().join("a.txt")).unwrap(), "new");
    assert_eq!(commits(&runtime, &session), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cap_on_model_calls_counts_those_before_the_interruption() {
    let runtime = runtime();
    let (session, call) = (runtime.session(), proposal());
    propose(&runtime, &session, &call);
    let turned = resume(&runtime, &session, "created", 1).await.unwrap();
    assert_eq!(turned.outcome, TurnOutcome::MaxTurns { limit: 1 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_a_turn_has_nothing_to_go_on_with() {
    let runtime = runtime();
    let session = runtime.session();
    assert!(matches!(resume(&runtime, &session, "", 9).await, Err(QueryError::NothingToResume)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_turn_first_gives_every_open_call_a_result() {
    let runtime = runtime();
    let (session, call) = (runtime.session(), proposal());
    propose(&runtime, &session, &call);
    let script = "[[reply]]\ntext = \"unused\"\n[[reply]]\nexpect = \"something else\"\ntext = \"Done.\"\n";
    let driver = driver(&runtime, &session, scripted(script));
    let view: SessionView = runtime.workspace.view(session.id()).unwrap();
    let turned = driver.run(TurnId::from_random(random()), "something else", view, &mut |_: Delta| {}).await.unwrap();
    assert_eq!(turned, done());
    assert!(runtime.workspace.view(session.id()).unwrap().pending.is_empty());
    assert!(!runtime.root().join("a.txt").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_whose_answer_had_come_is_ended_and_nobody_is_asked() {
    let runtime = runtime();
    let session = runtime.session();
    let turn = TurnId::from_random(random());
    let events = [
        EventBody::TurnOpened { turn: turn.clone(), text: "say it".into() },
        called(&turn, 1, Spending::default()),
        EventBody::ModelReplied { turn, number: 1, reply: text("Done."), spent: Spending::default() },
    ];
    runtime.workspace.journal().append(session.id(), &events, Durability::Process).unwrap();
    let model = Answering::new(|_, _| Ok(text("never")));
    let driver = driver(&runtime, &session, model.clone());
    let view = runtime.workspace.view(session.id()).unwrap();
    assert_eq!(driver.resume(view, &mut |_: Delta| {}).await.unwrap(), done());
    assert!(model.sent().is_empty());
    assert!(!runtime.workspace.view(session.id()).unwrap().is_unfinished());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_turn_leaves_a_view_from_which_the_next_goes_on() {
    let runtime = runtime();
    std::fs::write(runtime.root().join("a.txt"), "old").unwrap();
    let session = runtime.session();
    let read = "[[reply]]\nrepeat = true\n[[reply.call]]\ntool = \"read\"\narguments = { path = \"a.txt\" }\n";
    let mut long = driver(&runtime, &session, scripted(read));
    (long.limits.model_calls, long.limits.repeats) = (80, 80);
    assert_eq!(work(&long, "read").await.outcome, TurnOutcome::MaxTurns { limit: 80 });
    let kept = |runtime: &Runtime| {
        let events = events(runtime, &session);
        events.iter().filter(|event| matches!(event, EventBody::ViewKept { .. })).count()
    };
    assert_eq!(kept(&runtime), 1);

    let model = Answering::new(|_, _| Ok(text("done")));
    assert_eq!(
        work(&driver(&runtime, &session, model.clone()), "go on").await,
        Turned { answer: "done".into(), ..done() }
    );
    assert_eq!(model.sent()[0].messages.len(), 2 * 80 + 2, "all that was said, and the new task");
    assert_eq!(kept(&runtime), 1, "little came since");
    let mut replayed = SessionView::default();
    runtime.workspace.journal().for_each_told(session.id(), |event| replayed.apply(&event)).unwrap();
    assert_eq!(runtime.workspace.view(session.id()).unwrap(), replayed);
    assert!(runtime.workspace.verify().unwrap().breaks.is_empty());
}
