//! Changes that are committed later than their calls: at the end of the turn, or when a person says so.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use policy::RuleSpec;
use protocol::{ApprovalAnswer, CallOutcome, CommitMode, EventBody, ModelFailureKind, ModelReply, TurnOutcome};
use providers::Delta;
use query::Turned;
use serde_json::json;
use testkit::{Runtime, Setup};
use tools::{Approver, Asked, ToolSession};
use workspace::{Durability, SessionView};

use crate::support::{Answering, calling, driver, events, failing, text, work};

fn runtime() -> Runtime {
    let rule = json!({ "name": "no-keys", "verdict": "deny", "paths": ["**/*.key"] });
    let rules = vec![serde_json::from_value::<RuleSpec>(rule).unwrap()];
    Runtime::with(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"), Setup { rules, ..Setup::default() })
}

fn script(script: &str) -> ModelReply {
    calling("shell", json!({ "script": script }))
}

fn proposing(scripts: &[&str]) -> Arc<Answering> {
    let mut replies = scripts.iter().map(|text| script(text)).collect::<Vec<_>>().into_iter();
    Answering::new(move |_, _| Ok(replies.next().unwrap_or_else(|| text("Done."))))
}

/// Returns the session as another process opens it.
fn reopened(runtime: &Runtime, session: &ToolSession, mode: CommitMode) -> ToolSession {
    let view = view(runtime, session);
    runtime.reopened(session).committing(mode, view.staged)
}

fn view(runtime: &Runtime, session: &ToolSession) -> SessionView {
    runtime.workspace.view(session.id()).unwrap()
}

fn content(runtime: &Runtime, path: &str) -> Option<String> {
    std::fs::read_to_string(runtime.root().join(path)).ok()
}

/// Returns how many commits were made.
fn commits(runtime: &Runtime, session: &ToolSession) -> usize {
    events(runtime, session).iter().filter(|event| matches!(event, EventBody::CommitFinished { .. })).count()
}

async fn resume(runtime: &Runtime, session: &ToolSession, model: Arc<Answering>) -> Turned {
    driver(runtime, session, model).resume(view(runtime, session), &mut |_: Delta| {}).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_committed_as_one_and_its_calls_see_each_other() {
    let runtime = runtime();
    std::fs::write(runtime.root().join("run.sh"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(runtime.root().join("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let session = runtime.session().committing(CommitMode::PerTurn, BTreeMap::new());
    let calls = ["echo 1 > a; mkdir d; mv run.sh d/run.sh", "test ! -e run.sh && echo 2 >> a", "cat a > d/b; rm a"];
    let turned = work(&driver(&runtime, &session, proposing(&calls)), "work").await;
    assert_eq!(turned.outcome, TurnOutcome::Done);
    assert_eq!((content(&runtime, "a"), content(&runtime, "d/b").as_deref()), (None, Some("1\n2\n")));
    let mode = std::fs::metadata(runtime.root().join("d/run.sh")).unwrap().permissions().mode();
    assert_eq!((mode & 0o777, content(&runtime, "run.sh")), (0o755, None));
    assert_eq!(commits(&runtime, &session), 1);
    assert!(view(&runtime, &session).staged.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_reaches_the_tree_before_a_person_says_so() {
    let runtime = runtime();
    let session = runtime.session().committing(CommitMode::Manual, BTreeMap::new());
    work(&driver(&runtime, &session, proposing(&["echo 1 > a"])), "work").await;
    assert_eq!((content(&runtime, "a"), commits(&runtime, &session)), (None, 0));
    let session = reopened(&runtime, &session, CommitMode::Manual);
    work(&driver(&runtime, &session, proposing(&["cat a a > b"])), "more").await;
    assert_eq!((content(&runtime, "b"), commits(&runtime, &session)), (None, 0));
    let session = reopened(&runtime, &session, CommitMode::Manual);
    assert_eq!(runtime.tools.commit_staged(&session).await.unwrap(), None);
    assert_eq!((content(&runtime, "a").as_deref(), content(&runtime, "b").as_deref()), (Some("1\n"), Some("1\n1\n")));
    assert!(view(&runtime, &session).staged.is_empty() && !session.has_staged());
    // What was committed once is not staged a second time.
    work(&driver(&runtime, &session, proposing(&["true"])), "nothing").await;
    assert_eq!(runtime.tools.commit_staged(&session).await.unwrap(), None);
    assert_eq!(commits(&runtime, &session), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_was_cut_short_goes_on_over_what_it_staged() {
    let runtime = runtime();
    let session = runtime.session().committing(CommitMode::PerTurn, BTreeMap::new());
    let model = Answering::new(|number, _| match number {
        1 => Ok(script("echo 1 >> a")),
        _ => Err(failing(ModelFailureKind::Authentication)),
    });
    let turned = work(&driver(&runtime, &session, model), "work").await;
    assert!(matches!(turned.outcome, TurnOutcome::ProviderFailed { .. }));
    assert_eq!((content(&runtime, "a"), commits(&runtime, &session)), (None, 0));
    let session = reopened(&runtime, &session, CommitMode::PerTurn);
    assert_eq!(resume(&runtime, &session, proposing(&["echo 2 >> a"])).await.outcome, TurnOutcome::Done);
    assert_eq!(content(&runtime, "a").as_deref(), Some("1\n2\n"));
    assert_eq!(commits(&runtime, &session), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_staged_before_an_interruption_is_not_run_again() {
    let runtime = runtime();
    let session = runtime.session().committing(CommitMode::PerTurn, BTreeMap::new());
    work(&driver(&runtime, &session, proposing(&["echo 1 >> a"])), "work").await;
    // The same story, cut off between the row that stages and the row that ends the call.
    let again = runtime.session();
    let story = events(&runtime, &session);
    let staged = story.iter().position(|event| matches!(event, EventBody::ChangesStaged { .. })).unwrap();
    std::fs::remove_file(runtime.root().join("a")).unwrap();
    runtime.workspace.journal().append(again.id(), &story[1..=staged], Durability::Process).unwrap();
    let again = reopened(&runtime, &again, CommitMode::PerTurn);
    assert_eq!(resume(&runtime, &again, proposing(&[])).await.outcome, TurnOutcome::Done);
    assert_eq!(content(&runtime, "a").as_deref(), Some("1\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_changed_meanwhile_is_kept_and_what_was_staged_too() {
    let runtime = runtime();
    std::fs::write(runtime.root().join("a"), "before\n").unwrap();
    let session = runtime.session().committing(CommitMode::PerTurn, BTreeMap::new());
    let root = runtime.root().to_owned();
    let model = Answering::new(move |number, _| match number {
        1 => Ok(script("echo staged > a; echo staged > b")),
        2 => {
            std::fs::write(root.join("a"), "mine\n").unwrap();
            Ok(script("cat a"))
        }
        _ => Ok(text("Done.")),
    });
    let turned = work(&driver(&runtime, &session, model), "work").await;
    assert_eq!(turned.outcome, TurnOutcome::Uncommitted { reason: "changed since: a".into() });
    assert_eq!((content(&runtime, "a").as_deref(), content(&runtime, "b")), (Some("mine\n"), None));
    // The person takes the change back, and commits.
    std::fs::write(runtime.root().join("a"), "before\n").unwrap();
    let session = reopened(&runtime, &session, CommitMode::PerTurn);
    assert_eq!(runtime.tools.commit_staged(&session).await.unwrap(), None);
    assert_eq!(
        (content(&runtime, "a").as_deref(), content(&runtime, "b").as_deref()),
        (Some("staged\n"), Some("staged\n"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_not_staged() {
    let runtime = runtime();
    let session = runtime.session().committing(CommitMode::Manual, BTreeMap::new());
    work(&driver(&runtime, &session, proposing(&["echo 1 > a", "echo 2 > b.key; echo 2 > a"])), "work").await;
    let outcomes: Vec<_> = events(&runtime, &session)
        .into_iter()
        .filter_map(|event| match event {
            EventBody::CallFinished { outcome, .. } => Some(outcome),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes, [CallOutcome::Succeeded, CallOutcome::Denied { rule: "no-keys".into() }]);
    assert_eq!(runtime.tools.commit_staged(&session).await.unwrap(), None);
    assert_eq!((content(&runtime, "a").as_deref(), content(&runtime, "b.key")), (Some("1\n"), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_became_stricter_holds_for_what_was_staged_before() {
    let runtime = runtime();
    let session = runtime.session().committing(CommitMode::Manual, BTreeMap::new());
    work(&driver(&runtime, &session, proposing(&["echo 1 > a"])), "work").await;
    for (verdict, said) in [("deny", "refused by rule `later`"), ("ask", "rule `later` asks about it")] {
        let rule = json!({ "name": "later", "verdict": verdict, "paths": ["a"] });
        let rules = vec![serde_json::from_value::<RuleSpec>(rule).unwrap()];
        let setup = Setup { rules, ..Setup::default() };
        let stricter = runtime.over(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"), setup);
        let session = reopened(&stricter, &session, CommitMode::Manual);
        let reason = stricter.tools.commit_staged(&session).await.unwrap();
        assert!(reason.as_ref().is_some_and(|reason| reason.to_string().starts_with(said)), "{reason:?}");
        assert_eq!(content(&runtime, "a"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_thrown_away_is_gone_and_a_call_that_undoes_another_stages_nothing() {
    let runtime = runtime();
    let session = runtime.session().committing(CommitMode::Manual, BTreeMap::new());
    work(&driver(&runtime, &session, proposing(&["echo 1 > a", "rm a"])), "work").await;
    assert!(view(&runtime, &session).staged.is_empty() && !session.has_staged());
    work(&driver(&runtime, &session, proposing(&["echo 1 > a"])), "work").await;
    let staged = view(&runtime, &session).staged["/work"].staged.change_set.clone();
    let discarded = EventBody::ChangesDiscarded { change_set: staged };
    runtime.workspace.journal().append(session.id(), &[discarded], Durability::Process).unwrap();
    let session = reopened(&runtime, &session, CommitMode::Manual);
    work(&driver(&runtime, &session, proposing(&["test ! -e a && echo 2 > b"])), "work").await;
    assert_eq!(runtime.tools.commit_staged(&session).await.unwrap(), None);
    assert_eq!((content(&runtime, "a"), content(&runtime, "b").as_deref()), (None, Some("2\n")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_call_saw_otherwise_is_not_staged_over() {
    let runtime = runtime();
    std::fs::write(runtime.root().join("a"), "before\n").unwrap();
    let session = runtime.session().committing(CommitMode::PerTurn, BTreeMap::new());
    let root = runtime.root().to_owned();
    let model = Answering::new(move |number, _| match number {
        1 => Ok(calling("read", json!({ "path": "a" }))),
        2 => {
            std::fs::write(root.join("a"), "mine\n").unwrap();
            Ok(calling("write", json!({ "path": "a", "content": "staged\n" })))
        }
        _ => Ok(text("Done.")),
    });
    assert_eq!(work(&driver(&runtime, &session, model), "work").await.outcome, TurnOutcome::Done);
    assert_eq!(content(&runtime, "a").as_deref(), Some("mine\n"));
    assert_eq!(outcomes(&runtime, &session), [CallOutcome::Succeeded, CallOutcome::Conflicted]);
}

fn outcomes(runtime: &Runtime, session: &ToolSession) -> Vec<CallOutcome> {
    let finished = |event| match event {
        EventBody::CallFinished { outcome, .. } => Some(outcome),
        _ => None,
    };
    events(runtime, session).into_iter().filter_map(finished).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_goes_on_with_what_a_turn_committed() {
    let runtime = runtime();
    let session = runtime.session().committing(CommitMode::PerTurn, BTreeMap::new());
    work(&driver(&runtime, &session, proposing(&["echo 1 > a", "cat a; echo 2 >> a"])), "work").await;
    let session = reopened(&runtime, &session, CommitMode::PerTurn);
    work(&driver(&runtime, &session, proposing(&["echo 3 >> a"])), "more").await;
    assert_eq!(content(&runtime, "a").as_deref(), Some("1\n2\n3\n"));
}

/// Says yes to everything.
struct Agreeing;

#[async_trait::async_trait]
impl Approver for Agreeing {
    async fn ask(&self, _: Asked<'_>) -> ApprovalAnswer {
        ApprovalAnswer { allowed: true, remembered: false }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_allowed_when_it_was_written_is_committed_with_its_turn() {
    let rule = json!({ "name": "ask", "verdict": "ask", "paths": ["asked/**"] });
    let rules = vec![serde_json::from_value::<RuleSpec>(rule).unwrap()];
    let setup = Setup { rules, approver: Arc::new(Agreeing), ..Setup::default() };
    let runtime = Runtime::with(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"), setup);
    let session = runtime.session().committing(CommitMode::PerTurn, BTreeMap::new());
    let calls = ["mkdir asked; echo 1 > asked/a", "echo 2 > b"];
    let turned = work(&driver(&runtime, &session, proposing(&calls)), "work").await;
    assert_eq!(turned.outcome, TurnOutcome::Done);
    assert_eq!(
        (content(&runtime, "asked/a").as_deref(), content(&runtime, "b").as_deref()),
        (Some("1\n"), Some("2\n"))
    );

    // Cut off when the answered call was staged and had not ended: it is neither asked about nor staged again.
    let again = runtime.session();
    let story = events(&runtime, &session);
    let staged = story.iter().position(|event| matches!(event, EventBody::ChangesStaged { .. })).unwrap();
    std::fs::remove_dir_all(runtime.root().join("asked")).unwrap();
    runtime.workspace.journal().append(again.id(), &story[1..=staged], Durability::Process).unwrap();
    let again = reopened(&runtime, &again, CommitMode::PerTurn);
    assert_eq!(resume(&runtime, &again, proposing(&[])).await.outcome, TurnOutcome::Done);
    assert_eq!(content(&runtime, "asked/a").as_deref(), Some("1\n"));
    let asked = events(&runtime, &again).into_iter().filter(|event| matches!(event, EventBody::ApprovalAsked { .. }));
    assert_eq!((asked.count(), outcomes(&runtime, &again)), (1, vec![CallOutcome::Succeeded]));
}
