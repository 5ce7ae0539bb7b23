//! What a guest sees of the host beside files: next to nothing.

use protocol::ToolDefinition;
use sandbox::Ending;
use serde_json::{Value, json};

use crate::handmade;
use crate::setting::{Given, fresh, shared, text, tool, wasm};

pub(crate) const PROBES: &[&str] = &["env", "clocks", "random_fill", "stdio"];

#[tokio::test]
async fn no_environment_no_arguments_no_folder() {
    let outcome = Given::nothing().run("env", json!({})).await;
    let seen: Value = serde_json::from_str(text(&outcome)).unwrap();
    assert_eq!((&seen["variables"], &seen["arguments"]), (&json!([]), &json!([])), "{seen}");
}

#[tokio::test]
async fn clocks_go_forward() {
    let outcome = Given::nothing().run("clocks", json!({})).await;
    let seen: Value = serde_json::from_str(text(&outcome)).unwrap();
    let wall = |at: usize| seen["wall_ns"][at].as_u64().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    assert!(wall(0) <= wall(1) && u128::from(wall(1)) <= now && now - u128::from(wall(0)) < 60_000_000_000, "{seen}");
}

#[tokio::test]
async fn random_bytes_are_random_and_bounded() {
    let outcome = Given::nothing().run("random_fill", json!({ "bytes": 65_536 })).await;
    assert_eq!(text(&outcome), "256 distinct values");
    let outcome = Given::nothing().run("random_fill", json!({ "bytes": 1_u64 << 40 })).await;
    assert!(
        matches!(&outcome.ending, Ending::Trapped(text) if text.contains("limit is 65536")),
        "{:?}",
        outcome.ending
    );
}

#[tokio::test]
async fn standard_streams_are_captured_and_closed() {
    let outcome = Given::nothing().run("stdio", json!({ "bytes": 10 })).await;
    assert_eq!(text(&outcome), "stdout ok, stderr ok, stdin ok 0 bytes");
    assert_eq!(outcome.printed, "ooooooooooeeeeeeeeee");
    assert_eq!(outcome.usage.output_bytes, 20 + 2 * text(&outcome).len() as u64);
}

#[tokio::test]
async fn a_permit_fits_one_tool_and_its_arguments() {
    let given = Given::nothing();
    let arguments = json!({ "bytes": 1 });
    for (name, changed) in [("flood", json!({ "bytes": 2 })), ("spin", arguments.clone())] {
        let call = sandbox::Call {
            tool: name,
            arguments: &changed,
            mounts: Vec::new(),
            network: None,
            recording: None,
            cancel: given.cancel.clone(),
        };
        let outcome = shared().run(given.permit("flood", &arguments), &tool("flood"), call).await;
        assert!(matches!(&outcome.ending, Ending::HostFailed(text) if text.contains("permit")), "{:?}", outcome.ending);
    }
}

#[tokio::test]
async fn a_slot_never_shows_what_its_last_guest_left() {
    let (_folder, sandbox) = fresh(1);
    // Fails if any byte of its memory or entry of its table is used, then uses all of them.
    let fields = r#"
        (memory (export "memory") 32)
        (table $table 1000 funcref)
        (func $full (result i32) i32.const 1)
        (elem declare func $full)"#;
    let body = r"
        (local $at i32)
        (local.set $at (i32.const 8192))
        (loop $bytes
            (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (unreachable)))
            (i64.store (local.get $at) (i64.const -1))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br_if $bytes (i32.lt_u (local.get $at) (i32.const 2097152))))
        (local.set $at (i32.const 0))
        (loop $entries
            (if (i32.eqz (ref.is_null (table.get $table (local.get $at)))) (then (unreachable)))
            (table.set $table (local.get $at) (ref.func $full))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $entries (i32.lt_u (local.get $at) (i32.const 1000))))";
    let tool = sandbox.load(handmade::component(fields, body)).unwrap();
    for round in 0..20 {
        let outcome = Given::nothing().run_in(&sandbox, &tool, "any", &json!({}), Vec::new()).await;
        assert_eq!(outcome.ending, Ending::Returned { text: String::new(), summary: String::new() }, "{round}");
    }
    // Another component in the same slot, which must not see it either.
    let hoard = sandbox.load(wasm("flood")).unwrap();
    let outcome = Given::nothing().run_in(&sandbox, &hoard, "flood", &json!({ "bytes": 100_000 }), Vec::new()).await;
    assert!(text(&outcome).bytes().all(|byte| byte == b'x'));
}

#[tokio::test]
async fn definitions_say_what_a_tool_offers() {
    let definitions = tool("flood").definitions().await.unwrap().to_vec();
    let expected = ToolDefinition {
        name: "flood".into(),
        description: "Returns a text of `bytes` bytes.".into(),
        input_schema: json!({
            "type": "object",
            "properties": { "bytes": { "type": "integer", "minimum": 0 } },
            "required": ["bytes"],
            "additionalProperties": false
        }),
    };
    assert_eq!(definitions, [expected]);
}
