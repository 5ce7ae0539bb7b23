//! (b) The first call in a new process: `boxagnts tool call read`, from start to exit, with a warm artifact cache and
//! with none.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::setup::binary;
use crate::table::{Row, Sample, millis};

const RUNS: usize = 30;
const COLD_RUNS: usize = 5;

pub(crate) fn measure() -> Result<Vec<Row>> {
    let (workspace, cache) = (tempfile::tempdir()?, tempfile::tempdir()?);
    std::fs::write(workspace.path().join("small.txt"), "one line\n")?;
    let mut cold = Vec::new();
    for run in 0..COLD_RUNS {
        cold.push(call(workspace.path(), &cache.path().join(run.to_string()))?);
    }
    let warm = (0..RUNS).map(|_| call(workspace.path(), &cache.path().join("0"))).collect::<Result<Vec<_>>>()?;
    let (cold, warm) = (Sample::new(cold), Sample::new(warm));
    let figure = |sample: &Sample| format!("{} (p95 {})", millis(sample.median()), millis(sample.p95()));
    Ok(vec![
        Row::against("(b) new process, warm cache", figure(&warm), "30 ms", warm.median() <= Duration::from_millis(30)),
        Row::new("(b) new process, no cache", figure(&cold), ""),
    ])
}

fn call(workspace: &Path, cache: &Path) -> Result<Duration> {
    let started = Instant::now();
    let status = Command::new(binary()?)
        .args(["tool", "call", "read", "--input", r#"{"path":"small.txt"}"#, "--workspace"])
        .arg(workspace)
        .env("XDG_CACHE_HOME", cache)
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "the call failed: {status}");
    Ok(started.elapsed())
}
