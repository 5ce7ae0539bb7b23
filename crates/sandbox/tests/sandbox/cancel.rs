//! Cancelling, waiting, and not standing in anyone's way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use policy::{Access, Limits};
use protocol::StopCause;
use sandbox::{Ending, Mount};
use serde_json::{Value, json};
use stage::Quota;

use crate::setting::{Given, Workspace, ceiling, fresh, shared, text, tool, wasm};

pub(crate) const PROBES: &[&str] = &["sleeper"];

/// The promise to the person who presses Ctrl-C.
const PROMISE: Duration = Duration::from_millis(100);

/// Starts `probe`, cancels it while it runs, and returns how long it took to end.
async fn cancelled_after(probe: &'static str) -> Duration {
    let given = Given::nothing();
    tool(probe).prepare().await.unwrap();
    let call = tokio::spawn({
        let given = given.clone();
        async move { given.run(probe, json!({})).await.ending }
    });
    // Long enough to be in the middle; too short would test less, not fail.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let asked = Instant::now();
    given.cancel.cancel();
    assert_eq!(call.await.unwrap(), Ending::Cancelled);
    asked.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_is_cancelled_in_time() {
    let took = cancelled_after("spin").await;
    assert!(took < PROMISE, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_call_is_cancelled_in_time() {
    let took = cancelled_after("sleeper").await;
    assert!(took < PROMISE, "{took:?}");
}

#[tokio::test]
async fn a_loop_is_cancelled_on_a_single_thread_too() {
    let took = cancelled_after("spin").await;
    assert!(took < PROMISE, "{took:?}");
}

/// Appends to a file that takes seconds to copy.
fn copying() -> (Workspace, Given, Value, Mount) {
    let workspace = Workspace::new();
    std::fs::File::create(workspace.root().join("big")).unwrap().set_len(4 << 30).unwrap();
    let mount = workspace.mount("/work", true, Quota { bytes: 5 << 30, entries: 10 });
    let arguments = json!({ "ops": [{ "op": "append", "path": "big", "data": "x" }] });
    (workspace, Given::files(Access::ReadWrite), arguments, mount)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_in_the_host_is_cancelled_in_time() {
    let (_workspace, given, arguments, mount) = copying();
    let fsops = tool("fsops");
    fsops.prepare().await.unwrap();
    let cancel = given.cancel.clone();
    let call = tokio::spawn(async move { given.run_in(shared(), &fsops, "fsops", &arguments, vec![mount]).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let asked = Instant::now();
    cancel.cancel();
    assert_eq!(call.await.unwrap().ending, Ending::Cancelled);
    assert!(asked.elapsed() < PROMISE, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_copy_in_the_host_meets_its_deadline() {
    let (_workspace, given, arguments, mount) = copying();
    let given = Given { limits: Limits { timeout_ms: 100, ..ceiling() }, ..given };
    let outcome = given.run_in(shared(), &tool("fsops"), "fsops", &arguments, vec![mount]).await;
    assert_eq!(outcome.ending, Ending::Stopped(StopCause::Deadline));
    assert!(outcome.usage.wall_us < 200_000, "{}", outcome.usage.wall_us);
    // What was broken off left nothing behind, and the stage goes on.
    let mount = outcome.mounts.into_iter().next().unwrap();
    assert_eq!(mount.stage.changes().unwrap().changes, []);
}

#[tokio::test]
async fn what_was_cancelled_before_it_started_never_runs() {
    let given = Given::nothing();
    given.cancel.cancel();
    let outcome = given.run("flood", json!({ "bytes": 1 })).await;
    assert_eq!((outcome.ending, outcome.usage), (Ending::Cancelled, protocol::CallUsage::default()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_spinning_guests_leave_two_workers_live() {
    tool("spin").prepare().await.unwrap();
    let given = Given::nothing();
    let spin = || {
        let given = given.clone();
        tokio::spawn(async move { given.run("spin", json!({})).await.ending })
    };
    let guests = [spin(), spin()];
    let beats = Arc::new(AtomicU64::new(0));
    let beating = tokio::spawn({
        let beats = beats.clone();
        async move {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                beats.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let calls = async {
        for _ in 0..5 {
            assert_eq!(text(&Given::nothing().run("flood", json!({ "bytes": 1 })).await), "x");
        }
    };
    tokio::time::timeout(Duration::from_secs(10), calls).await.expect("other calls go on");
    let until = tokio::time::timeout(Duration::from_secs(10), async {
        while beats.load(Ordering::Relaxed) < 20 {
            tokio::task::yield_now().await;
        }
    });
    until.await.expect("other tasks go on");
    beating.abort();
    given.cancel.cancel();
    for guest in guests {
        assert_eq!(guest.await.unwrap(), Ending::Cancelled);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_beyond_the_last_slot_waits_and_can_be_cancelled() {
    let (_folder, sandbox) = fresh(1);
    let sleeper = sandbox.load(wasm("sleeper")).unwrap();
    let run = |given: &Given, arguments| {
        let (given, sandbox, sleeper) = (given.clone(), sandbox.clone(), sleeper.clone());
        tokio::spawn(async move { given.run_in(&sandbox, &sleeper, "sleeper", &arguments, Vec::new()).await.ending })
    };
    sleeper.prepare().await.unwrap();
    let (first, second, third) = (Given::nothing(), Given::nothing(), Given::nothing());
    let running = run(&first, json!({}));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (waiting, cancelled) = (run(&second, json!({ "milliseconds": 1 })), run(&third, json!({})));
    third.cancel.cancel();
    assert_eq!(cancelled.await.unwrap(), Ending::Cancelled);
    assert!(!waiting.is_finished() && !running.is_finished());
    first.cancel.cancel();
    assert_eq!(running.await.unwrap(), Ending::Cancelled);
    assert!(matches!(waiting.await.unwrap(), Ending::Returned { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_future_ends_the_call() {
    let given = Given::nothing();
    tool("spin").prepare().await.unwrap();
    let call = tokio::spawn(async move { given.run("spin", json!({})).await.ending });
    tokio::time::sleep(Duration::from_millis(30)).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(
        text(&Given::nothing().run_in(shared(), &tool("flood"), "flood", &json!({"bytes": 1}), Vec::new()).await),
        "x"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_slot_can_be_taken_at_once() {
    let (_folder, sandbox) = fresh(4);
    let sleeper = sandbox.load(wasm("sleeper")).unwrap();
    let calls = (0..12).map(|_| {
        let (sandbox, sleeper) = (sandbox.clone(), sleeper.clone());
        let arguments = json!({ "milliseconds": 5 });
        tokio::spawn(async move {
            Given::nothing().run_in(&sandbox, &sleeper, "sleeper", &arguments, Vec::new()).await.ending
        })
    });
    for call in calls.collect::<Vec<_>>() {
        assert!(matches!(call.await.unwrap(), Ending::Returned { .. }));
    }
}
