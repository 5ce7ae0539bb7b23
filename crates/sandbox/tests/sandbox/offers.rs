//! Components that misbehave when they are asked what they offer, or before they are asked anything.

use std::time::{Duration, Instant};

use policy::Limits;
use protocol::StopCause;
use sandbox::{Ending, LoadError};
use serde_json::json;

use crate::conformance;
use crate::handmade;
use crate::neighbour::beside_a_neighbour;
use crate::setting::{Given, ceiling, fresh, shared, text};

/// Definitions are asked for under a deadline of five seconds; this is more than it, and less than hanging.
const SOON: Duration = Duration::from_secs(20);

/// Returns a component with `fields`, whose `definitions` is `body`: it returns a pointer at the list's pointer and length.
fn offering(fields: &str, body: &str) -> Vec<u8> {
    handmade::encode(&format!(
        r#"(module
            {fields}
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
            (func (export "boxagnts:tool/tool@0.1.0#definitions") (result i32) {body})
            (func (export "boxagnts:tool/tool@0.1.0#call") (param i32 i32 i32 i32) (result i32) unreachable))"#
    ))
}

const MEMORY: &str = r#"(memory (export "memory") 1)"#;

/// Asks the component what it offers, beside a neighbour, and returns why it is no tool.
async fn asked(wasm: Vec<u8>) -> LoadError {
    let asking = async move {
        let tool = shared().load(wasm)?;
        let started = Instant::now();
        let asked = tool.definitions().await.map(<[_]>::len);
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
        asked
    };
    beside_a_neighbour(asking).await.expect_err("it is no tool")
}

async fn ends_with(name: &str, wasm: Vec<u8>, expected: &str) {
    let got = asked(wasm).await.to_string();
    conformance::write("probes", name, expected, &got, got.contains(expected));
    assert!(got.contains(expected), "{got}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop() {
    let endless = offering(MEMORY, "(loop $ever (br $ever)) unreachable");
    ends_with("definitions loop", endless, "Stopped(Fuel)").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hoard() {
    let grow = "(if (i32.eq (memory.grow (i32.const 2000)) (i32.const -1)) (then unreachable)) (i32.const 32)";
    ends_with("definitions memory", offering(MEMORY, grow), "Stopped(Memory)").await;
}

/// Writes the list's pointer and length at 32, and returns that.
fn list(pointer: u32, length: u32) -> String {
    format!(
        "(i32.store (i32.const 32) (i32.const {pointer})) (i32.store (i32.const 36) (i32.const {length})) (i32.const 32)"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many() {
    ends_with("definitions nothing", offering(MEMORY, &list(64, 0)), "0 tools").await;
    // A definition is three strings, so 24 bytes; empty ones.
    ends_with("definitions many", offering(MEMORY, &list(64, 65)), "65 tools").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_not_there() {
    for length in [100_000, 0x7fff_ffff, 0xffff_ffff] {
        ends_with("definitions beyond memory", offering(MEMORY, &list(64, length)), "Trapped").await;
    }
    ends_with("definitions at odd address", offering(MEMORY, &list(63, 1)), "Trapped").await;
}

/// As many as the memory holds: the host copies no more than its share.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_as_large_as_the_memory() {
    let fields = r#"(memory (export "memory") 900)"#;
    ends_with("definitions huge list", offering(fields, &list(64, 2_400_000)), "Stopped(Output)").await;
}

/// One definition at 64, with this name and schema.
fn one(name: &str, schema: &str) -> Vec<u8> {
    let (name_length, schema_length) = (name.len(), schema.len());
    let escaped = name.bytes().fold(String::new(), |text, byte| format!("{text}\\{byte:02x}"));
    let fields = format!(r#"{MEMORY} (data (i32.const 1024) "{escaped}") (data (i32.const 2048) "{schema}")"#);
    let stores: String = [(64, 1024), (68, name_length), (72, 1024), (76, 0), (80, 2048), (84, schema_length)]
        .map(|(at, value)| format!("(i32.store (i32.const {at}) (i32.const {value}))"))
        .concat();
    offering(&fields, &format!("{stores} {}", list(64, 1)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_names() {
    let long = "n".repeat(65);
    for name in ["", "Read", "a b", "../../read", "a/b", "re\u{301}ad", "\u{202e}read", "read\u{200b}", &long] {
        ends_with("definitions bad names", one(name, "{}"), "the name").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_schemas() {
    let deep = "[".repeat(100_000 / 50);
    for schema in ["", "{", "NaN", "{} {}", &deep] {
        ends_with("definitions bad schema", one("a", schema), "the schema of `a`").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_that_is_none() {
    let fields =
        format!(r#"{MEMORY} (data (i32.const 64) "\00\04\00\00\02\00\00\00") (data (i32.const 1024) "\ff\fe")"#);
    ends_with("definitions not utf-8", offering(&fields, &list(64, 1)), "Trapped").await;
}

/// Runs a component that cannot even start.
async fn started(name: &str, limits: Limits, start: &str, expected: fn(&Ending) -> bool, said: &str) {
    let fields = format!(r#"(memory (export "memory") 1) (func $start {start}) (start $start)"#);
    let tool = shared().load(handmade::component(&fields, "")).unwrap();
    let given = Given::limits(limits);
    let run = async move { given.run_in(shared(), &tool, "any", &json!({}), Vec::new()).await.ending };
    let ending = beside_a_neighbour(run).await;
    conformance::write("probes", name, said, &format!("{ending:?}"), expected(&ending));
    assert!(expected(&ending), "{ending:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starting_badly() {
    let crashed: fn(&Ending) -> bool = |ending| matches!(ending, Ending::Trapped(text) if text.contains("unreachable"));
    started("start trap", ceiling(), "unreachable", crashed, "Trapped: unreachable").await;
    let late: fn(&Ending) -> bool = |ending| *ending == Ending::Stopped(StopCause::Deadline);
    let limits = Limits { timeout_ms: 150, fuel: u64::MAX, ..ceiling() };
    started("start loop", limits, "(loop $ever (br $ever))", late, "Stopped(Deadline)").await;
    let stack: fn(&Ending) -> bool = |ending| *ending == Ending::Stopped(StopCause::Stack);
    started("start recursion", ceiling(), "(call $start)", stack, "Stopped(Stack)").await;
    let memory: fn(&Ending) -> bool = |ending| *ending == Ending::Stopped(StopCause::Memory);
    let grow = "(if (i32.eq (memory.grow (i32.const 60000)) (i32.const -1)) (then unreachable))";
    started("start memory", ceiling(), grow, memory, "Stopped(Memory)").await;
}

/// A guest that counts its calls in a global, in its memory and in its table counts to one, every time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_does_not_last() {
    let fields = r#"
        (memory (export "memory") 2)
        (global $calls (mut i32) (i32.const 0))
        (table $table 4 funcref)
        (func $full)
        (elem declare func $full)"#;
    // Crashes unless all three are as they were made, then changes them; grows too, so that new pages come into it.
    let body = r"
        (if (i32.or (global.get $calls) (i32.load (i32.const 70000))) (then unreachable))
        (if (i32.eqz (ref.is_null (table.get $table (i32.const 1)))) (then unreachable))
        (if (i32.ne (memory.grow (i32.const 1)) (i32.const 2)) (then unreachable))
        (if (i32.load (i32.const 131072)) (then unreachable))
        (global.set $calls (i32.const 1))
        (i32.store (i32.const 70000) (i32.const 1))
        (i32.store (i32.const 131072) (i32.const 1))
        (table.set $table (i32.const 1) (ref.func $full))";
    let (_folder, sandbox) = fresh(1);
    let tool = sandbox.load(handmade::component(fields, body)).unwrap();
    let rounds = async move {
        for round in 0..50 {
            let outcome = Given::nothing().run_in(&sandbox, &tool, "any", &json!({}), Vec::new()).await;
            assert_eq!(text(&outcome), "", "{round}");
        }
    };
    beside_a_neighbour(rounds).await;
    conformance::write("probes", "state between calls", "none", "none", true);
}

/// A result whose parts claim to be longer than the memory, or longer than the host takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_that_lie() {
    let result = |tag: u32, at: u32, length: u32| {
        // `ok`: text at 68, 72. `err`: which failure at 68, its text at 72, 76.
        let (pointer, size) = if tag == 0 { (68, 72) } else { (72, 76) };
        format!(
            "(i32.store (i32.const 64) (i32.const {tag})) (i32.store (i32.const {pointer}) (i32.const {at})) (i32.store (i32.const {size}) (i32.const {length}))"
        )
    };
    let run = async |fields: &str, body: String| {
        let tool = shared().load(handmade::component(fields, &body)).unwrap();
        let call = async move { Given::nothing().run_in(shared(), &tool, "any", &json!({}), Vec::new()).await.ending };
        beside_a_neighbour(call).await
    };
    let large = r#"(memory (export "memory") 3000)"#;
    for (name, tag) in [("result text huge", 0), ("result error huge", 1)] {
        let ending = run(large, result(tag, 4096, 150 << 20)).await;
        conformance::holds("probes", name, Ending::Stopped(StopCause::Output), ending);
    }
    for (name, tag) in [("result text beyond memory", 0), ("result error beyond memory", 1)] {
        let ending = run(MEMORY, result(tag, 4096, u32::MAX)).await;
        let crashed = matches!(&ending, Ending::Trapped(_));
        conformance::write("probes", name, "Trapped", &format!("{ending:?}"), crashed);
        assert!(crashed, "{ending:?}");
    }
    // Within what the host copies, beyond what the call may say.
    let given = Given::limits(Limits { output_bytes: 1_000, ..ceiling() });
    let tool = shared().load(handmade::component(MEMORY, &result(1, 4096, 1_001))).unwrap();
    let ending = given.run_in(shared(), &tool, "any", &json!({}), Vec::new()).await.ending;
    conformance::holds("probes", "result error over its limit", Ending::Stopped(StopCause::Output), ending);
}
