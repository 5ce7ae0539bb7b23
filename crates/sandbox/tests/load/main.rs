//! The sandbox under load: what runaways cost everybody else, and what is left when they are gone.
//!
//! A program of its own, so that nothing else runs while it measures; its tests run one after the other.

extern crate boxagnts_sandbox as sandbox;

#[path = "../sandbox/setting.rs"]
#[expect(dead_code, reason = "the tests of single calls use the rest")]
mod setting;

use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use policy::{Access, Limits};
use protocol::StopCause;
use sandbox::{Ending, LoadedTool, Sandbox};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use setting::{Given, Workspace, ceiling, fresh, text, wasm};

/// One test measures at a time.
static QUIET: Mutex<()> = Mutex::const_new(());

/// Calls that are measured in one repetition.
const CALLS: usize = 300;

/// Repetitions; the best counts. What the machine does beside the test makes a repetition worse, never better.
const REPETITIONS: usize = 5;

/// The promise to the person who presses Ctrl-C.
const PROMISE: Duration = Duration::from_millis(100);

/// Calls at the same time.
const SLOTS: u32 = 16;

/// Memory that may stay with the process after the guests are gone: what the host's allocator keeps for itself. The pool's
/// own share (so many resident bytes for each used slot) is in the baseline already.
const KEPT_BYTES: u64 = 48 << 20;

fn cores() -> usize {
    available_parallelism().unwrap().get()
}

/// Returns a runtime as the product has it.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(cores()).enable_all().build().unwrap()
}

/// One session's honest call, and how long it took.
async fn call(sandbox: &Sandbox, fsops: &LoadedTool, workspace: &Workspace) -> Duration {
    let arguments = json!({ "ops": [{"op": "read", "path": "f"}, {"op": "write", "path": "g", "data": "x"}] });
    let given = Given::files(Access::ReadWrite);
    let started = Instant::now();
    let outcome = given.run_in(sandbox, fsops, "fsops", &arguments, vec![workspace.work()]).await;
    let took = started.elapsed();
    assert_eq!(text(&outcome), r#"[{"ok":"content"},{"ok":null}]"#);
    took
}

/// Returns the 99th percentile of calls one after the other, as a session makes them.
async fn p99(sandbox: Sandbox, fsops: LoadedTool) -> Duration {
    let workspace = Workspace::with(&[("f", "content")]);
    let mut took = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        took.push(call(&sandbox, &fsops, &workspace).await);
        // A model thinks between two calls.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    took.sort_unstable();
    took[CALLS * 99 / 100]
}

/// Starts a guest on every core that would never end, and returns them with what cancels them.
async fn runaways(
    sandbox: &Sandbox,
    tool: &LoadedTool,
    name: &'static str,
    mode: &'static str,
) -> (Given, JoinSet<Ending>) {
    let limits = Limits { fuel: Limits::MAX.fuel, timeout_ms: Limits::MAX.timeout_ms, ..ceiling() };
    let given = Given::limits(limits);
    let mut running = JoinSet::new();
    for _ in 0..cores() {
        let (given, sandbox, tool) = (given.clone(), sandbox.clone(), tool.clone());
        running.spawn(async move {
            let arguments = if mode.is_empty() { json!({}) } else { json!({ "mode": mode }) };
            given.run_in(&sandbox, &tool, name, &arguments, Vec::new()).await.ending
        });
    }
    // Long enough to be at full speed; too short would test less, not fail.
    tokio::time::sleep(Duration::from_millis(50)).await;
    (given, running)
}

/// Cancels them all and returns how long the last took to end.
async fn cancelled(given: &Given, mut running: JoinSet<Ending>) -> Duration {
    let asked = Instant::now();
    given.cancel.cancel();
    while let Some(ending) = running.join_next().await {
        assert_eq!(ending.unwrap(), Ending::Cancelled);
    }
    asked.elapsed()
}

/// The figures of one repetition.
#[derive(Debug, Clone, Copy)]
struct Figures {
    quiet: Duration,
    loaded: Duration,
    cancel: Duration,
}

impl Figures {
    fn ratio(&self) -> f64 {
        self.loaded.as_secs_f64() / self.quiet.as_secs_f64()
    }
}

fn measured(name: &'static str, mode: &'static str) {
    let _quiet = QUIET.blocking_lock();
    let (_folder, sandbox) = fresh(SLOTS);
    runtime().block_on(async {
        let fsops = sandbox.load(wasm("fsops")).unwrap();
        let runaway = sandbox.load(wasm(name)).unwrap();
        tokio::spawn(p99(sandbox.clone(), fsops.clone())).await.unwrap();
        let mut all = Vec::new();
        for _ in 0..REPETITIONS {
            let quiet = tokio::spawn(p99(sandbox.clone(), fsops.clone())).await.unwrap();
            let (given, running) = runaways(&sandbox, &runaway, name, mode).await;
            let loaded = tokio::spawn(p99(sandbox.clone(), fsops.clone())).await.unwrap();
            let cancel = cancelled(&given, running).await;
            all.push(Figures { quiet, loaded, cancel });
            println!("{name} {mode}: {:?}", all.last().unwrap());
        }
        let best = all.iter().map(Figures::ratio).fold(f64::INFINITY, f64::min);
        assert!(best < 2.0, "the calls of others take {best:.2} times as long: {all:?}");
        let cancel = all.iter().map(|figures| figures.cancel).min().unwrap();
        assert!(cancel < PROMISE, "{all:?}");
    });
}

#[test]
fn runaways_that_compute_leave_others_their_time() {
    measured("spin", "");
}

#[test]
fn runaways_that_call_the_host_leave_others_their_time() {
    measured("hostcalls", "storm-now");
}

/// Bytes of this process that are in memory.
#[cfg(target_os = "linux")]
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Runs greedy guests in every slot at once.
#[cfg(target_os = "linux")]
async fn greed(sandbox: &Sandbox, tools: &[(&'static str, LoadedTool)]) {
    let mut running = JoinSet::new();
    for slot in 0..SLOTS as usize {
        let (name, tool) = tools[slot % tools.len()].clone();
        let sandbox = sandbox.clone();
        running.spawn(async move {
            let given = Given::limits(Limits { memory_bytes: 64 << 20, ..ceiling() });
            let arguments = if name == "hostcalls" { json!({ "mode": "flood-stdout" }) } else { json!({}) };
            given.run_in(&sandbox, &tool, name, &arguments, Vec::new()).await.ending
        });
    }
    while let Some(ending) = running.join_next().await {
        let ending = ending.unwrap();
        let known = [StopCause::Memory, StopCause::Stack, StopCause::Output].map(Ending::Stopped);
        assert!(known.contains(&ending), "{ending:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn memory_returns_to_its_baseline() {
    let _quiet = QUIET.blocking_lock();
    let (_folder, sandbox) = fresh(SLOTS);
    runtime().block_on(async {
        let tools = ["hoard", "recurse", "hostcalls"].map(|name| (name, sandbox.load(wasm(name)).unwrap()));
        // Every slot was used once with every guest: what the pool keeps resident is resident.
        for _ in 0..3 {
            greed(&sandbox, &tools).await;
        }
        let baseline = resident_bytes();
        for _ in 0..10 {
            greed(&sandbox, &tools).await;
        }
        let after = resident_bytes();
        println!("baseline {} MiB, after {} MiB", baseline >> 20, after >> 20);
        assert!(after <= baseline + KEPT_BYTES, "{baseline} bytes became {after}");
    });
}

/// More tasks than slots: all wait their turn, all succeed, and the process is no larger for it.
#[cfg(target_os = "linux")]
#[test]
fn a_thousand_calls_of_a_crowd_succeed() {
    const TASKS: usize = 64;
    const THOUSAND: usize = 1_000;
    let _quiet = QUIET.blocking_lock();
    let (_folder, sandbox) = fresh(SLOTS);
    runtime().block_on(async {
        let fsops = sandbox.load(wasm("fsops")).unwrap();
        let crowd = async |calls: usize| {
            let mut tasks = JoinSet::new();
            for task in 0..TASKS {
                let (sandbox, fsops) = (sandbox.clone(), fsops.clone());
                tasks.spawn(async move {
                    let workspace = Workspace::with(&[("f", "content")]);
                    let share = (task..calls).step_by(TASKS).count();
                    for _ in 0..share {
                        call(&sandbox, &fsops, &workspace).await;
                    }
                    share
                });
            }
            tasks.join_all().await.into_iter().sum::<usize>()
        };
        assert_eq!(crowd(THOUSAND).await, THOUSAND);
        let baseline = resident_bytes();
        assert_eq!(crowd(THOUSAND).await, THOUSAND);
        let after = resident_bytes();
        println!("{THOUSAND} calls of {TASKS} tasks: {} MiB, then {} MiB", baseline >> 20, after >> 20);
        assert!(after <= baseline + KEPT_BYTES, "{baseline} bytes became {after}");
    });
}
