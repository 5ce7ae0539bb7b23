//! The tool `shell` as it runs in the product: against real bash, across calls, and at its limits.

#[path = "../../../sandbox/tests/sandbox/conformance.rs"]
mod conformance;
mod corpus;
mod session;

use std::path::{Path, PathBuf};

use boxagnts_tools::{Finished, ToolSession};
use protocol::{Arguments, CallId, CallOutcome, ToolCall};
use serde_json::{Value, json};
use testkit::{Runtime, random};

fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

fn runtime() -> Runtime {
    Runtime::new(&cache())
}

async fn call(runtime: &Runtime, session: &ToolSession, tool: &str, arguments: Value) -> Finished {
    let call = CallId::from_random(random());
    let arguments = Arguments::Json(arguments);
    let proposal = ToolCall { call, wire_id: "w".into(), tool: tool.into(), arguments };
    runtime.call(session, proposal).await
}

/// Runs a script and returns what the model reads.
async fn shell(runtime: &Runtime, session: &ToolSession, script: &str) -> String {
    let finished = call(runtime, session, "shell", json!({ "script": script })).await;
    assert_eq!(finished.outcome, CallOutcome::Succeeded, "{script}: {}", finished.result.text);
    finished.result.text
}
