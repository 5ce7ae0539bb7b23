//! (a) One `read` of a small file through the whole tool path, against the same component on bare wasmtime.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use protocol::{Arguments, CallId, CallOutcome, ToolCall};
use serde_json::json;
use testkit::{Runtime, random};
use tokio_util::sync::CancellationToken;
use tools::builtin;

use crate::floor::Floor;
use crate::table::{Row, Sample, micros};

/// Pairs of one call each; taken in turn, so that the machine's moods hit both alike.
const PAIRS: usize = 3_000;

/// Pairs before the first that counts.
const WARM_UP: usize = 300;

pub(crate) async fn measure() -> Result<Vec<Row>> {
    // On a worker, as sessions run.
    tokio::spawn(pairs()).await?
}

async fn pairs() -> Result<Vec<Row>> {
    let cache = tempfile::tempdir()?;
    let runtime = Runtime::new(cache.path());
    let content = "one line of a small file\n".repeat(160);
    std::fs::write(runtime.root().join("small.txt"), content)?;
    let floor = Floor::new(&component("read")?).map_err(|error| bare_error(&error))?;
    let session = runtime.session();
    let arguments = json!({"path": "small.txt"});
    let (mut bare, mut whole, mut inside) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..WARM_UP + PAIRS {
        let floor_took =
            floor.call(runtime.root(), "read", &arguments.to_string()).await.map_err(|error| bare_error(&error))?;
        let call = CallId::from_random(random());
        let arguments = Arguments::Json(arguments.clone());
        let proposal = ToolCall { wire_id: String::new(), call, tool: "read".into(), arguments };
        let started = Instant::now();
        let finished = runtime.tools.call(&session, &proposal, &CancellationToken::new()).await?;
        let took = started.elapsed();
        ensure!(finished.outcome == CallOutcome::Succeeded, "the call ended with {:?}", finished.outcome);
        if pair >= WARM_UP {
            bare.push(floor_took);
            whole.push(took);
            inside.push(Duration::from_micros(finished.usage.wall_us));
        }
    }
    Ok(rows(&Sample::new(bare), &Sample::new(inside), &Sample::new(whole)))
}

fn rows(bare: &Sample, inside: &Sample, whole: &Sample) -> Vec<Row> {
    let ratio = whole.median().as_secs_f64() / bare.median().as_secs_f64();
    let figure = |sample: &Sample| format!("{} (p95 {})", micros(sample.median()), micros(sample.p95()));
    vec![
        Row::new("(a) read, bare wasmtime", figure(bare), ""),
        Row::new("(a) read, in the sandbox", figure(inside), ""),
        Row::new("(a) read, whole tool path", figure(whole), ""),
        Row::against("(a) whole path / bare", format!("{ratio:.2}"), "at most 2", ratio <= 2.0),
    ]
}

/// Returns the component of the built-in tool called `name`.
pub(crate) fn component(name: &str) -> Result<Vec<u8>> {
    let named = |package: &tools::Package| package.manifest.contains(&format!("name = \"{name}\""));
    let package = builtin().into_iter().find(named);
    Ok(package.with_context(|| format!("no built-in tool `{name}`"))?.component.into_owned())
}

/// Wasmtime's error is no standard one.
pub(crate) fn bare_error(error: &wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}
