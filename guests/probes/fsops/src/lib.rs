//! A script of file operations, so that host tests are written as data.
//!
//! The output is a JSON array with one element for each operation: `{"ok": value}`, or
//! `{"err": "NotFound", "code": 44}` with the name of std's error kind and WASI's error number. A script goes on
//! after a failed operation.

mod handles;
mod op;
mod run;

use kit::{Failure, Output, Tool, counted};
use op::Op;
use serde::Deserialize;

struct Fsops;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    ops: Vec<Op>,
}

impl Tool for Fsops {
    const NAME: &'static str = "fsops";
    const DESCRIPTION: &'static str = "Runs a script of file operations and reports each result.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Arguments = Arguments;

    fn call(arguments: Arguments) -> Result<Output, Failure> {
        let results = run::script(&arguments.ops);
        let text = serde_json::to_string(&results).map_err(|error| Failure::Internal(error.to_string()))?;
        Ok(Output { text, summary: counted(results.len(), "operation") })
    }
}

kit::export!(Fsops);
