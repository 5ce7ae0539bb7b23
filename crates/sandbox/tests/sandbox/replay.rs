//! Calls recorded and run again from their tapes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::Access;
use protocol::{ChangeSet, ContentHash};
use sandbox::{
    Call, Contents, Ending, MAX_TAPE_BYTES, Mount, NoTape, Outcome, Recorded, Recording, Replay, Replayed, Tape,
};
use serde_json::{Value, json};
use stage::{Base, Quota, Scratch, Stage, StageOptions};
use tokio_util::sync::CancellationToken;

use crate::setting::{Given, Workspace, ceiling, shared, text, tool};

/// A guest that was recorded.
struct Taken {
    name: &'static str,
    arguments: Value,
    outcome: Outcome,
    /// As they were before anybody touched the workspace.
    changes: Vec<ChangeSet>,
    recorded: Result<Recorded, NoTape>,
}

/// Records a call of `name` over `workspace`.
async fn take(name: &'static str, arguments: Value, workspace: &Workspace, bytes: u64) -> Taken {
    let recording = Recording::holding(bytes);
    let options = StageOptions {
        mount: "/work".to_owned(),
        writable: true,
        quota: Quota { bytes: 64 << 20, entries: 1_000 },
        scratch: Scratch::new(workspace.folder.path()),
        clock: std::time::SystemTime::now,
        veil: stage::Veil::none(),
    };
    let base = recording.mount("/work", Base::open(&workspace.root()).unwrap());
    let mounts = vec![Mount { name: "/work".into(), stage: Stage::new(base, options) }];
    let given = Given::files(Access::ReadWrite);
    let (cancel, recorded) = (given.cancel.clone(), Some(recording.clone()));
    let call = Call { tool: name, arguments: &arguments, mounts, network: None, recording: recorded, cancel };
    let outcome = shared().run(given.permit(name, &arguments), &tool(name), call).await;
    let changes = changes(&outcome);
    let recorded = recording.take().expect("it began");
    Taken { name, arguments, outcome, changes, recorded }
}

fn changes(outcome: &Outcome) -> Vec<ChangeSet> {
    outcome.mounts.iter().map(|mount| mount.stage.changes().unwrap()).collect()
}

fn contents(recorded: &Recorded) -> Contents {
    let known: HashMap<ContentHash, Arc<[u8]>> =
        recorded.contents.iter().map(|(hash, bytes)| (hash.clone(), bytes.clone().into())).collect();
    Arc::new(move |hash| known.get(hash).cloned())
}

impl Taken {
    async fn replay_with(&self, tape: &Tape, arguments: &Value) -> Replayed {
        let recorded = self.recorded.as_ref().expect("it has a tape");
        let replay = Replay {
            tool: self.name,
            arguments,
            tape,
            contents: contents(recorded),
            scratch: Scratch::new(std::env::temp_dir()),
            cancel: CancellationToken::new(),
        };
        shared().replay(&tool(self.name), replay).await
    }

    /// Runs it again from a tape that was written down, and holds it against what was.
    async fn assert_same(&self) {
        let tape = serde_json::to_vec(&self.recorded.as_ref().unwrap().tape).unwrap();
        let replayed = self.replay_with(&serde_json::from_slice(&tape).unwrap(), &self.arguments).await;
        assert_eq!(replayed.left.asked(), None);
        assert_eq!(replayed.outcome.ending, self.outcome.ending);
        assert_eq!(replayed.outcome.usage.fuel, self.outcome.usage.fuel);
        assert_eq!(changes(&replayed.outcome), self.changes);
    }
}

#[tokio::test]
async fn clocks_and_randomness_are_those_of_then() {
    let workspace = Workspace::new();
    let clocks = take("clocks", json!({}), &workspace, MAX_TAPE_BYTES).await;
    let random = take("random_fill", json!({ "bytes": 40 }), &workspace, MAX_TAPE_BYTES).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    clocks.assert_same().await;
    random.assert_same().await;
    let other = take("clocks", json!({}), &workspace, MAX_TAPE_BYTES).await;
    assert_ne!(other.outcome.ending, clocks.outcome.ending, "nobody else has its time");
}

#[tokio::test]
async fn nobody_waits_in_a_replay() {
    let sleeper = take("sleeper", json!({ "milliseconds": 1_500 }), &Workspace::new(), MAX_TAPE_BYTES).await;
    let started = Instant::now();
    sleeper.assert_same().await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test]
async fn what_was_not_ready_is_not_ready_again() {
    // A timer of milliseconds and one of an hour, polled together: only the first is over.
    for case in ["poll_oneoff", "poll_oneoff_files", "poll_oneoff_stdio"] {
        let taken = take("wasi_cases", json!({ "case": case }), &Workspace::new(), MAX_TAPE_BYTES).await;
        assert!(matches!(taken.outcome.ending, Ending::Returned { .. }), "{:?}", taken.outcome.ending);
        taken.assert_same().await;
    }
}

/// What a tape that was written long ago must hold of files: kinds, links, times and what was staged over them.
fn looks() -> Value {
    json!({ "ops": [
        { "op": "stat", "path": "/work/f" },
        { "op": "stat", "path": "/work/missing" },
        { "op": "read", "path": "/work/f" },
        { "op": "read", "path": "/work/link" },
        { "op": "list", "path": "/work" },
        { "op": "write", "path": "/work/new", "data": "made" },
        { "op": "stat", "path": "/work/new" },
        { "op": "rename", "path": "/work/d", "to": "/work/e" },
        { "op": "read", "path": "/work/e/g" },
        { "op": "write", "path": "/work/f", "data": "other" },
        { "op": "unlink", "path": "/work/h" },
    ]})
}

fn tree() -> Workspace {
    let workspace = Workspace::with(&[("f", "content"), ("d/g", "deeper"), ("h", "removed"), ("empty/", "")]);
    std::os::unix::fs::symlink("d/g", workspace.root().join("link")).unwrap();
    workspace
}

#[tokio::test]
async fn files_are_those_of_then() {
    let workspace = tree();
    let taken = take("fsops", looks(), &workspace, MAX_TAPE_BYTES).await;
    assert!(text(&taken.outcome).contains("content"), "{}", text(&taken.outcome));
    taken.assert_same().await;
    std::fs::remove_dir_all(workspace.root()).unwrap();
    taken.assert_same().await;
}

#[tokio::test]
async fn where_a_replay_leaves_its_tape_is_said() {
    let taken = take("fsops", looks(), &tree(), MAX_TAPE_BYTES).await;
    let tape = &taken.recorded.as_ref().unwrap().tape;
    for (op, expected) in [
        (json!({ "op": "read", "path": "/work/other" }), "to open /work/other"),
        (json!({ "op": "read", "path": "/work/h" }), "to open /work/h"),
        (json!({ "op": "list", "path": "/work/empty" }), "/work/empty"),
    ] {
        let replayed = taken.replay_with(tape, &json!({ "ops": [op] })).await;
        let asked = replayed.left.asked().unwrap_or("nothing");
        assert!(asked.contains(expected), "{expected}: {asked}");
    }
}

#[tokio::test]
async fn what_no_tape_holds_has_none() {
    let workspace = Workspace::with(&[("f", &"x".repeat(4_000))]);
    let read = json!({ "ops": [{ "op": "read", "path": "/work/f" }] });
    let taken = take("fsops", read, &workspace, 2_000).await;
    let NoTape(reason) = taken.recorded.err().expect("it is too much");
    assert!(reason.contains("2000 bytes"), "{reason}");
    let steps = json!({ "steps": [{ "do": "open", "kind": "tcp4" }] });
    let taken = take("sockets", steps, &workspace, MAX_TAPE_BYTES).await;
    assert_eq!(taken.recorded.err(), Some(NoTape("it used sockets".into())));
}

#[tokio::test]
async fn a_tape_needs_the_limits_that_it_was_recorded_under() {
    let taken = take("clocks", json!({}), &Workspace::new(), MAX_TAPE_BYTES).await;
    let mut tape = serde_json::to_value(&taken.recorded.as_ref().unwrap().tape).unwrap();
    tape["limits"]["fuel"] = json!(ceiling().fuel + 1);
    let replayed = taken.replay_with(&serde_json::from_value(tape.clone()).unwrap(), &taken.arguments).await;
    assert!(matches!(&replayed.outcome.ending, Ending::HostFailed(reason) if reason.contains("[limits]")));
    tape["limits"]["fuel"] = json!(ceiling().fuel);
    tape["version"] = json!(99);
    let replayed = taken.replay_with(&serde_json::from_value(tape).unwrap(), &taken.arguments).await;
    assert!(matches!(&replayed.outcome.ending, Ending::HostFailed(reason) if reason.contains("version")));
}
