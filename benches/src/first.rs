//! (i) The first call of an interpreter in a process: with an empty artifact cache, which compiles it, and with a warm
//! one, which loads it.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use testkit::Runtime;

use crate::call::{call, component};
use crate::table::{Row, Sample, millis};

/// First calls with a warm cache, each in a runtime of its own.
const WARM_CALLS: usize = 10;

pub(crate) async fn measure() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (tool, arguments) in [("shell", json!({"script": "echo"})), ("js", json!({"code": "6 * 7"}))] {
        let cache = tempfile::tempdir()?;
        let size = format!("{} KiB", component(tool)?.len() >> 10);
        rows.push(Row::new(format!("(i) {tool}, size of the component"), size, ""));
        let cold = first_call(cache.path(), tool, &arguments).await?;
        rows.push(Row::new(format!("(i) {tool}, first call, no cache"), millis(cold), ""));
        let mut warm = Vec::new();
        for _ in 0..WARM_CALLS {
            warm.push(first_call(cache.path(), tool, &arguments).await?);
        }
        rows.push(Row::new(format!("(i) {tool}, first call, warm cache"), millis(Sample::new(warm).median()), ""));
    }
    Ok(rows)
}

async fn first_call(cache: &Path, tool: &str, arguments: &Value) -> Result<Duration> {
    let runtime = Runtime::new(cache);
    let session = runtime.session();
    Ok(call(&runtime, &session, tool, arguments).await?.0)
}
