//! Each limit ends its call with its own cause, and the call beside it is well.

use std::time::Duration;

use policy::{Access, Limits};
use protocol::StopCause;
use sandbox::{Ending, Outcome};
use serde_json::json;
use stage::Quota;

use crate::handmade;
use crate::setting::{Given, Workspace, ceiling, shared, text, tool};

pub(crate) const PROBES: &[&str] = &["spin", "hoard", "recurse", "flood", "handles", "trap"];

/// What a deadline may be late by: two epochs, and a machine that does other things.
const LATE: Duration = Duration::from_millis(100);

fn stopped(outcome: &Outcome) -> StopCause {
    match outcome.ending {
        Ending::Stopped(cause) => cause,
        ref other => panic!("{other:?}, printed {:?}", outcome.printed),
    }
}

/// A call within the same limits that has nothing to do with what was stopped.
async fn neighbour_is_well(limits: Limits) {
    assert_eq!(text(&Given::limits(limits).run("flood", json!({ "bytes": 3 })).await), "xxx");
}

#[tokio::test]
async fn fuel() {
    let limits = Limits { fuel: 1_000_000, ..ceiling() };
    let outcome = Given::limits(limits).run("spin", json!({})).await;
    assert_eq!(stopped(&outcome), StopCause::Fuel);
    assert_eq!(outcome.usage.fuel, limits.fuel);
    neighbour_is_well(limits).await;
}

#[tokio::test]
async fn fuel_is_deterministic() {
    let run = async || Given::nothing().run("flood", json!({ "bytes": 1000 })).await.usage.fuel;
    assert_eq!(run().await, run().await);
}

#[tokio::test]
async fn a_deadline_in_a_loop() {
    let limits = Limits { timeout_ms: 150, fuel: u64::MAX, ..ceiling() };
    let outcome = Given::limits(limits).run("spin", json!({})).await;
    assert_eq!(stopped(&outcome), StopCause::Deadline);
    let wall = Duration::from_micros(outcome.usage.wall_us);
    assert!(wall >= Duration::from_millis(150) && wall < Duration::from_millis(150) + LATE, "{wall:?}");
    neighbour_is_well(limits).await;
}

#[tokio::test]
async fn a_deadline_in_a_host_call() {
    let limits = Limits { timeout_ms: 150, ..ceiling() };
    let outcome = Given::limits(limits).run("sleeper", json!({})).await;
    assert_eq!(stopped(&outcome), StopCause::Deadline);
    let wall = Duration::from_micros(outcome.usage.wall_us);
    assert!(wall >= Duration::from_millis(150) && wall < Duration::from_millis(150) + LATE, "{wall:?}");
    assert_eq!(text(&Given::limits(limits).run("sleeper", json!({ "milliseconds": 5 })).await), "awake");
}

#[tokio::test]
async fn memory() {
    let limits = Limits { memory_bytes: 16 << 20, ..ceiling() };
    let outcome = Given::limits(limits).run("hoard", json!({})).await;
    assert_eq!(stopped(&outcome), StopCause::Memory);
    let held = outcome.usage.memory_bytes;
    assert!(held <= limits.memory_bytes && held > 14 << 20, "{held}");
    neighbour_is_well(limits).await;
}

#[tokio::test]
async fn memory_that_a_component_starts_with() {
    let wasm = handmade::component(r#"(memory (export "memory") 300)"#, "");
    let tool = shared().load(wasm).unwrap();
    let small = Given::limits(Limits { memory_bytes: 299 << 16, ..ceiling() });
    let outcome = small.run_in(shared(), &tool, "any", &json!({}), Vec::new()).await;
    assert_eq!(stopped(&outcome), StopCause::Memory);
    let enough = Given::limits(Limits { memory_bytes: 300 << 16, ..ceiling() });
    assert_eq!(text(&enough.run_in(shared(), &tool, "any", &json!({}), Vec::new()).await), "");
}

#[tokio::test]
async fn memories_count_together() {
    let fields = r#"(memory (export "memory") 1) (memory $other 1)"#;
    let grow = "(if (i32.eq (memory.grow $other (i32.const 100)) (i32.const -1)) (then (unreachable)))";
    let tool = shared().load(handmade::component(fields, grow)).unwrap();
    let run = async |pages: u64| {
        let given = Given::limits(Limits { memory_bytes: pages << 16, ..ceiling() });
        given.run_in(shared(), &tool, "any", &json!({}), Vec::new()).await
    };
    assert_eq!(stopped(&run(101).await), StopCause::Memory);
    let enough = run(102).await;
    assert_eq!((text(&enough), enough.usage.memory_bytes), ("", 102 << 16));
}

#[tokio::test]
async fn a_guest_that_lives_with_a_refusal_returns() {
    let fields = r#"(memory (export "memory") 1)"#;
    let grow = "(drop (memory.grow (i32.const 60000)))";
    let tool = shared().load(handmade::component(fields, grow)).unwrap();
    assert_eq!(text(&Given::nothing().run_in(shared(), &tool, "any", &json!({}), Vec::new()).await), "");
}

#[tokio::test]
async fn tables() {
    let fields = r#"(memory (export "memory") 1) (table $a 10 funcref) (table $b 10 funcref)"#;
    let grow = "(if (i32.eq (table.grow $b (ref.null func) (i32.const 1000)) (i32.const -1)) (then (unreachable)))";
    let tool = shared().load(handmade::component(fields, grow)).unwrap();
    let run = async |table_elements| {
        let given = Given::limits(Limits { table_elements, ..ceiling() });
        given.run_in(shared(), &tool, "any", &json!({}), Vec::new()).await
    };
    assert_eq!(stopped(&run(1_010).await), StopCause::Resources);
    assert_eq!(text(&run(1_100).await), "");
}

#[tokio::test]
async fn instances() {
    // A guest with std is a few core instances: itself, the adapter and the glue between them.
    let run = async |instances| Given::limits(Limits { instances, ..ceiling() }).run("clocks", json!({})).await;
    assert_eq!(stopped(&run(1).await), StopCause::Resources);
    text(&run(32).await);
}

#[tokio::test]
async fn memories_and_tables_are_counted() {
    let two_memories = r#"(memory (export "memory") 1) (memory 1)"#;
    let two_tables = r#"(memory (export "memory") 1) (table 1 funcref) (table 1 funcref)"#;
    for fields in [two_memories, two_tables] {
        let tool = shared().load(handmade::component(fields, "")).unwrap();
        let run = async |instances| {
            let given = Given::limits(Limits { instances, ..ceiling() });
            given.run_in(shared(), &tool, "any", &json!({}), Vec::new()).await
        };
        assert_eq!(stopped(&run(1).await), StopCause::Resources, "{fields}");
        assert_eq!(text(&run(2).await), "", "{fields}");
    }
}

/// A guest that makes timers for ever and drops none.
const TIMERS_WIT: &str = "
    package boxagnts:handmade;

    world guest {
        import wasi:clocks/monotonic-clock@0.2.12;
        include boxagnts:tool/tool-guest@0.1.0;
    }

    package wasi:io@0.2.12 {
        interface poll { resource pollable; }
    }

    package wasi:clocks@0.2.12 {
        interface monotonic-clock {
            use wasi:io/poll@0.2.12.{pollable};
            subscribe-duration: func(when: u64) -> pollable;
        }
    }";

const TIMERS: &str = r#"(module
    (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $timer (param i64) (result i32)))
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
    (func (export "boxagnts:tool/tool@0.1.0#definitions") (result i32) unreachable)
    (func (export "boxagnts:tool/tool@0.1.0#call") (param i32 i32 i32 i32) (result i32)
        (loop $ever (drop (call $timer (i64.const 1))) (br $ever))
        unreachable))"#;

#[tokio::test]
async fn handles_that_are_no_files() {
    let tool = shared().load(handmade::encode_for(TIMERS, TIMERS_WIT)).unwrap();
    let outcome = Given::nothing().run_in(shared(), &tool, "any", &json!({}), Vec::new()).await;
    assert_eq!(stopped(&outcome), StopCause::Resources);
}

#[tokio::test]
async fn stack() {
    let outcome = Given::nothing().run("recurse", json!({})).await;
    assert_eq!(stopped(&outcome), StopCause::Stack);
    neighbour_is_well(ceiling()).await;
}

#[tokio::test]
async fn output_that_is_returned() {
    let limits = Limits { output_bytes: 1_000, ..ceiling() };
    let run = async |bytes: u64| Given::limits(limits).run("flood", json!({ "bytes": bytes })).await;
    // The summary, `flood`, counts too.
    let full = run(995).await;
    assert_eq!((text(&full).len(), full.usage.output_bytes), (995, 1_000));
    assert_eq!(stopped(&run(996).await), StopCause::Output);
    // More than the host would even copy out of the guest.
    assert_eq!(stopped(&run(100 << 20).await), StopCause::Output);
}

#[tokio::test]
async fn output_that_is_printed() {
    let limits = Limits { output_bytes: 100_000, ..ceiling() };
    let outcome = Given::limits(limits).run("stdio", json!({ "bytes": 60_000 })).await;
    assert_eq!(stopped(&outcome), StopCause::Output);
    assert!(outcome.printed.len() <= 100_000 && outcome.printed.starts_with('o'), "{}", outcome.printed.len());
}

#[tokio::test]
async fn open_files() {
    let workspace = Workspace::with(&[("f", "x")]);
    let limits = Limits { open_files: 50, ..ceiling() };
    let given = Given { limits, ..Given::files(Access::ReadWrite) };
    let run = async |count: u64| {
        let arguments = json!({ "path": "f", "count": count });
        given.run_in(shared(), &tool("handles"), "handles", &arguments, vec![workspace.work()]).await
    };
    // `.` and `/work` are open from the start.
    assert_eq!(text(&run(48).await), "48 open");
    assert_eq!(stopped(&run(49).await), StopCause::Resources);
    assert_eq!(stopped(&run(1_000_000).await), StopCause::Resources);
}

#[tokio::test]
async fn staged_bytes_and_entries() {
    let workspace = Workspace::new();
    let run = async |quota, op| {
        let mount = workspace.mount("/work", true, quota);
        let arguments = json!({ "ops": [op] });
        let given = Given::files(Access::ReadWrite);
        given.run_in(shared(), &tool("fsops"), "fsops", &arguments, vec![mount]).await
    };
    let bytes = Quota { bytes: 1_000, entries: 10 };
    assert_eq!(stopped(&run(bytes, json!({"op": "fill", "path": "f", "length": 1_001})).await), StopCause::Stage);
    let kept = run(bytes, json!({"op": "fill", "path": "f", "length": 1_000})).await;
    assert_eq!((text(&kept), kept.usage.staged_bytes), (r#"[{"ok":null}]"#, 1_000));
    let sparse = json!({"op": "fill", "path": "f", "length": 0});
    assert_eq!(stopped(&run(Quota { bytes: 1_000, entries: 0 }, sparse).await), StopCause::Stage);
}

#[tokio::test]
async fn a_crash_is_no_limit() {
    let outcome = Given::nothing().run("trap", json!({})).await;
    let Ending::Trapped(text) = &outcome.ending else { panic!("{:?}", outcome.ending) };
    assert!(text.contains("unreachable"), "{text}");
}

#[tokio::test]
async fn the_ceiling_cuts_a_permit() {
    let outcome = Given::limits(Limits { memory_bytes: u64::MAX, ..ceiling() }).run("hoard", json!({})).await;
    assert_eq!(stopped(&outcome), StopCause::Memory);
    assert!(outcome.usage.memory_bytes <= ceiling().memory_bytes);
}
