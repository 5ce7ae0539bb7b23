//! A runtime for `js`, and one call of it.

use std::path::Path;
use std::sync::LazyLock;

use protocol::{Arguments, CallId, CallOutcome, ToolCall};
use serde_json::{Value, json};
use testkit::{Runtime, Setup, random};

/// How a call ended, and what the model reads of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) outcome: CallOutcome,
    pub(crate) text: String,
}

impl Said {
    /// Returns what a program that ran to its end said.
    pub(crate) fn succeeded(text: &str) -> Self {
        Self { outcome: CallOutcome::Succeeded, text: text.into() }
    }
}

/// Returns a runtime over an empty workspace. Compiled tools are shared by all tests: compiling takes seconds.
pub(crate) fn runtime(setup: Setup) -> Runtime {
    Runtime::with(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("js"), setup)
}

/// The runtime of programs that need no files of their own and no other limits.
static SHARED: LazyLock<Runtime> = LazyLock::new(|| runtime(Setup::default()));

/// Runs `code` in the shared runtime.
pub(crate) async fn run(code: &str) -> Said {
    call(&SHARED, json!({ "code": code })).await
}

/// Calls `js` with `arguments`.
pub(crate) async fn call(runtime: &Runtime, arguments: Value) -> Said {
    let proposal = ToolCall {
        wire_id: String::new(),
        call: CallId::from_random(random()),
        tool: "js".into(),
        arguments: Arguments::Json(arguments),
    };
    let finished = runtime.call(&runtime.session(), proposal).await;
    Said { outcome: finished.outcome, text: finished.result.text }
}
