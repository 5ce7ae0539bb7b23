//! What persists between calls, and what does not.

use std::fs;
use std::sync::{Arc, Mutex};

use policy::Limits;
use protocol::{CallOutcome, EventBody, StopCause, Verdict};
use serde_json::json;
use testkit::{Runtime, Setup};

use crate::{cache, call, runtime, shell};

#[tokio::test(flavor = "multi_thread")]
async fn folder_variables_and_functions_persist_within_a_session() {
    let runtime = runtime();
    fs::create_dir(runtime.root().join("src")).unwrap();
    let (one, other) = (runtime.session(), runtime.session());
    shell(&runtime, &one, "cd src; x='a b'; f() { echo \"f:$1 $x\"; }; declare -A m=([k]=v); export E=1").await;
    assert_eq!(shell(&runtime, &one, "pwd; f arg; echo ${m[k]} $E").await, "/work/src\nf:arg a b\nv 1\n");
    let fresh = shell(&runtime, &other, "pwd; echo \"[$x]\"; type -t f").await;
    assert_eq!(fresh, "/work\n[]\n[exit code 1]\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_a_folder_of_its_own_that_its_other_tools_see() {
    let runtime = runtime();
    let (one, other) = (runtime.session(), runtime.session());
    shell(&runtime, &one, "echo kept > /tmp/a; mkdir /tmp/d; echo in > /tmp/d/b").await;
    assert_eq!(shell(&runtime, &one, "cat /tmp/a /tmp/d/b; rm -r /tmp/d").await, "kept\nin\n");
    let read = call(&runtime, &one, "read", json!({ "path": "/tmp/a" })).await;
    assert_eq!((read.outcome, read.result.text.contains("kept")), (CallOutcome::Succeeded, true));
    let written = call(&runtime, &one, "write", json!({ "path": "/tmp/w", "content": "by write" })).await;
    assert_eq!(written.outcome, CallOutcome::Succeeded);
    assert_eq!(shell(&runtime, &one, "cat /tmp/w; echo; ls /tmp").await, "by write\na\nw\n");
    assert_eq!(shell(&runtime, &other, "ls /tmp").await, "[no output]");
    let workspace: Vec<_> = fs::read_dir(runtime.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(workspace, [".boxagnts"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_below_tmp_is_in_no_change_set() {
    let runtime = runtime();
    let session = runtime.session();
    shell(&runtime, &session, "echo secret-of-tmp > /tmp/a").await;
    let sets = || runtime.workspace.journal().change_sets(9).unwrap().len();
    assert_eq!(sets(), 0);
    shell(&runtime, &session, "echo work > w; echo tmp > /tmp/b").await;
    assert_eq!(sets(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_below_tmp_is_decided_like_any_write() {
    let runtime = runtime();
    let session = runtime.session();
    let decided = Arc::new(Mutex::new(Vec::new()));
    let seen = decided.clone();
    runtime.workspace.journal().observe(Box::new(move |event| {
        if let EventBody::CommitDecided { decision, .. } = &event.body {
            seen.lock().unwrap().push((decision.verdict, decision.rule.clone(), decision.effects.clone()));
        }
    }));
    shell(&runtime, &session, "echo x > /tmp/a").await;
    let effects = vec!["write /tmp/.shell-state.json".to_owned(), "write /tmp/a".to_owned()];
    assert_eq!(*decided.lock().unwrap(), [(Verdict::Allow, "default.staged-execute".to_owned(), effects)]);

    // Protected paths are so in every mount, and nobody is there to ask.
    let said = shell(&runtime, &session, "mkdir -p /tmp/.git/hooks; echo evil > /tmp/.git/hooks/pre-commit").await;
    assert!(said.contains("what the call wrote below /tmp was not kept"), "{said}");
    assert_eq!(shell(&runtime, &session, "ls -A /tmp").await, ".shell-state.json\na\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_calls_together_leave_no_more_below_tmp_than_one_may_stage() {
    let limits = Limits { staged_bytes: 64 << 10, ..Limits::default() };
    let runtime = Runtime::with(&cache(), Setup { limits, ..Setup::default() });
    let session = runtime.session();
    let content = "x".repeat(40 << 10);
    let write =
        async |path: &str| call(&runtime, &session, "write", json!({ "path": path, "content": content })).await.outcome;
    assert_eq!(write("/tmp/a").await, CallOutcome::Succeeded);
    assert_eq!(write("/tmp/b").await, CallOutcome::Stopped { cause: StopCause::Stage });
    assert_eq!(write("b").await, CallOutcome::Succeeded, "the workspace has room of its own");
    shell(&runtime, &session, "rm /tmp/a").await;
    assert_eq!(write("/tmp/b").await, CallOutcome::Succeeded, "what is removed makes room");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_non_zero_exit_is_a_result_and_its_changes_stay() {
    let runtime = runtime();
    let session = runtime.session();
    let said = shell(&runtime, &session, "echo written > a.txt; echo out; echo err >&2; exit 3").await;
    assert_eq!(said, "out\nerr\n[exit code 3]\n");
    assert_eq!(fs::read_to_string(runtime.root().join("a.txt")).unwrap(), "written\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_reaches_nothing_but_its_mounts() {
    let runtime = runtime();
    let session = runtime.session();
    let said =
        shell(&runtime, &session, "cat /etc/passwd; cat ../../etc/passwd; echo x > /etc/x; ls .boxagnts; echo $?")
            .await;
    assert!(!said.contains("root:"), "{said}");
    let refused =
        call(&runtime, &session, "shell", json!({ "script": "mkdir -p .git/hooks; echo x > .git/hooks/pre-commit" }))
            .await;
    assert_eq!(refused.outcome, CallOutcome::Denied { rule: "protected-paths".into() });
    assert!(!runtime.root().join(".git").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_without_end_is_stopped_and_changes_nothing() {
    let runtime = runtime();
    let session = runtime.session();
    let endless = call(&runtime, &session, "shell", json!({ "script": "echo x > a; while :; do :; done" })).await;
    assert!(matches!(endless.outcome, CallOutcome::Stopped { .. }), "{:?}", endless.outcome);
    assert!(!runtime.root().join("a").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_writers_recursion_and_nesting_end_by_themselves() {
    let runtime = runtime();
    let session = runtime.session();
    assert_eq!(shell(&runtime, &session, "yes | head -2").await, "y\ny\n");
    let deep = shell(&runtime, &session, "f() { f; }; f; echo not reached").await;
    assert!(deep.contains("nest deeper than") && deep.ends_with("[exit code 1]\n"), "{deep}");
    let calls = "f() { (( $1 == 0 )) && { echo bottom; return; }; if true; then for i in 1; do f $(( $1 - 1 )); done; fi; }; f 45";
    assert_eq!(shell(&runtime, &session, calls).await, "bottom\n");
    let nested = format!("echo {}x{}", "$(echo ".repeat(30), ")".repeat(30));
    assert_eq!(shell(&runtime, &session, &nested).await, "x\n");
    let brackets = format!("echo {}", "$(".repeat(500));
    assert!(shell(&runtime, &session, &brackets).await.contains("brackets nest deeper"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_state_is_said_and_reset() {
    let runtime = runtime();
    let session = runtime.session();
    shell(&runtime, &session, "x=1").await;
    let said = shell(&runtime, &session, "echo $x; echo damaged > /tmp/.shell-state.json").await;
    assert_eq!(said, "1\n");
    // Saving at the end of that call wrote a whole state over it; a later call finds what another tool left.
    let written = call(&runtime, &session, "write", json!({ "path": "/tmp/.shell-state.json", "content": "{" })).await;
    assert_eq!(written.outcome, CallOutcome::Succeeded);
    let said = shell(&runtime, &session, "echo \"[$x]\"").await;
    assert!(said.starts_with("[]\n[note: the kept state of this session was not used and is reset"), "{said}");
    assert_eq!(shell(&runtime, &session, "echo \"[$x]\"").await, "[]\n");
}
