//! (e) One `js` of a one-liner through the whole tool path, against the same component on bare wasmtime; and the first
//! call of a process, which compiles the interpreter or loads it from the cache.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use policy::{Limits, RuleSpec};
use protocol::{Arguments, CallId, CallOutcome, Level, ToolCall, Verdict};
use serde_json::json;
use testkit::{Runtime, Setup, random};
use tokio_util::sync::CancellationToken;
use tools::ToolSession;

use crate::floor::Floor;
use crate::read_call::{bare_error, component};
use crate::table::{Row, Sample, micros, millis};

/// Pairs of one call each; taken in turn, so that the machine's moods hit both alike.
const PAIRS: usize = 300;

/// Pairs before the first that counts.
const WARM_UP: usize = 30;

/// First calls with a warm cache, each in a runtime of its own.
const FIRST_CALLS: usize = 10;

pub(crate) async fn measure() -> Result<Vec<Row>> {
    let cache = tempfile::tempdir()?;
    let code = component("js")?;
    let mut rows = vec![Row::new("(e) js, size of the component", format!("{} KiB", code.len() >> 10), "")];
    rows.push(Row::new("(e) js, first call, no cache", millis(first_call(cache.path()).await?), ""));
    let mut warm = Vec::new();
    for _ in 0..FIRST_CALLS {
        warm.push(first_call(cache.path()).await?);
    }
    rows.push(Row::new("(e) js, first call, warm cache", millis(Sample::new(warm).median()), ""));
    // On a worker, as sessions run.
    let path = cache.path().to_owned();
    rows.extend(tokio::spawn(async move { pairs(&path, &code).await }).await??);
    Ok(rows)
}

fn runtime(cache: &Path) -> Runtime {
    let levels = Some([Level::Execute].into());
    let (tools, paths, hosts) = (None, None, None);
    let rule = RuleSpec { name: "bench".into(), verdict: Verdict::Allow, tools, paths, hosts, levels };
    Runtime::with(cache, Setup { rules: vec![rule], limits: Limits::default() })
}

async fn first_call(cache: &Path) -> Result<Duration> {
    let runtime = runtime(cache);
    let session = runtime.session();
    Ok(call(&runtime, &session).await?.0)
}

async fn pairs(cache: &Path, code: &[u8]) -> Result<Vec<Row>> {
    let runtime = runtime(cache);
    let session = runtime.session();
    let floor = Floor::new(code).map_err(|error| bare_error(&error))?;
    let (mut bare, mut whole, mut inside) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..WARM_UP + PAIRS {
        let arguments = json!({"code": "6 * 7"}).to_string();
        let floor_took = floor.call(runtime.root(), "js", &arguments).await.map_err(|error| bare_error(&error))?;
        let (took, took_inside) = call(&runtime, &session).await?;
        if pair >= WARM_UP {
            bare.push(floor_took);
            whole.push(took);
            inside.push(took_inside);
        }
    }
    Ok(rows(&Sample::new(bare), &Sample::new(inside), &Sample::new(whole)))
}

/// Returns how long one call took, as a whole and in the sandbox.
async fn call(runtime: &Runtime, session: &ToolSession) -> Result<(Duration, Duration)> {
    let arguments = Arguments::Json(json!({"code": "6 * 7"}));
    let call = CallId::from_random(random());
    let proposal = ToolCall { wire_id: String::new(), call, tool: "js".into(), arguments };
    let started = Instant::now();
    let finished = runtime.tools.call(session, &proposal, &CancellationToken::new()).await?;
    let took = started.elapsed();
    ensure!(finished.outcome == CallOutcome::Succeeded, "the call ended with {:?}", finished.outcome);
    Ok((took, Duration::from_micros(finished.usage.wall_us)))
}

fn rows(bare: &Sample, inside: &Sample, whole: &Sample) -> Vec<Row> {
    let ratio = whole.median().as_secs_f64() / bare.median().as_secs_f64();
    let figure = |sample: &Sample| format!("{} (p95 {})", micros(sample.median()), micros(sample.p95()));
    vec![
        Row::new("(e) js of a one-liner, bare wasmtime", figure(bare), ""),
        Row::new("(e) js of a one-liner, in the sandbox", figure(inside), ""),
        Row::new("(e) js of a one-liner, whole tool path", figure(whole), ""),
        Row::against("(e) whole path / bare", format!("{ratio:.2}"), "at most 2", ratio <= 2.0),
    ]
}
