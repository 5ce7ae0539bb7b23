//! (f) A thousand calls of 64 sessions at once, through the whole tool path.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::Runtime;
use tokio::task::JoinSet;

use crate::call::{call, with_a_small_file};
use crate::setup::memory;
use crate::table::{Row, Sample, millis};

const TASKS: usize = 64;

const CALLS: usize = 1_000;

pub(crate) async fn measure() -> Result<Vec<Row>> {
    let cache = tempfile::tempdir()?;
    let runtime = Arc::new(with_a_small_file(cache.path())?);
    // The first crowd fills the pool's slots.
    crowd(&runtime).await?;
    let before = memory("VmRSS")?;
    let started = Instant::now();
    let took = crowd(&runtime).await?;
    let wall = started.elapsed();
    ensure!(took.len() == CALLS, "{} calls of {CALLS} succeeded", took.len());
    let sample = Sample::new(took);
    Ok(vec![
        Row::new(format!("(f) {CALLS} calls of {TASKS} sessions"), millis(wall), ""),
        Row::new("(f) one of them, median", millis(sample.median()), ""),
        Row::new("(f) one of them, p95", millis(sample.p95()), ""),
        Row::new("(f) memory before and after", format!("{before}, {}", memory("VmRSS")?), ""),
    ])
}

/// Makes the calls and returns how long each took.
async fn crowd(runtime: &Arc<Runtime>) -> Result<Vec<Duration>> {
    let mut sessions = JoinSet::new();
    for session in 0..TASKS {
        let runtime = runtime.clone();
        sessions.spawn(async move { calls(&runtime, (session..CALLS).step_by(TASKS).count()).await });
    }
    let mut took = Vec::with_capacity(CALLS);
    while let Some(session) = sessions.join_next().await {
        took.extend(session??);
    }
    Ok(took)
}

/// One session's calls, one after the other.
async fn calls(runtime: &Runtime, count: usize) -> Result<Vec<Duration>> {
    let session = runtime.session();
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        took.push(call(runtime, &session, "read", &json!({"path": "small.txt"})).await?.0);
    }
    Ok(took)
}
