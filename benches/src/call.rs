//! One call of a tool through the whole tool path, against its floor.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use protocol::{Arguments, CallId, CallOutcome, ToolCall};
use serde_json::Value;
use testkit::{Runtime, random};
use tokio_util::sync::CancellationToken;
use tools::{ToolSession, builtin};

use crate::floor::Floor;
use crate::table::{Row, Sample, micros};

/// How much longer the whole tool path may take than the same component on bare wasmtime.
const MAX_RATIO: f64 = 2.0;

/// One call again and again, in turn with its floor, so that the machine's moods hit both alike.
pub(crate) struct Pairs {
    /// What its rows begin with: `(a) read`.
    pub(crate) name: &'static str,
    pub(crate) tool: &'static str,
    pub(crate) arguments: Value,
    pub(crate) count: usize,
}

/// How long each took.
#[derive(Default)]
struct Took {
    floor: Vec<Duration>,
    inside: Vec<Duration>,
    whole: Vec<Duration>,
}

impl Pairs {
    /// Measures the call in `runtime` against the same component on bare wasmtime.
    pub(crate) async fn against_bare(&self, runtime: &Runtime) -> Result<Vec<Row>> {
        let floor = Floor::new(&component(self.tool)?).map_err(|error| bare(&error))?;
        let arguments = self.arguments.to_string();
        let (folder, tmp) = (runtime.root().to_owned(), tempfile::tempdir()?);
        let lowest =
            async || floor.call([&folder, tmp.path()], self.tool, &arguments).await.map_err(|error| bare(&error));
        let (took, ratio) = self.measure(runtime, lowest).await?;
        let mut rows = self.rows("bare wasmtime", took);
        rows.push(Row::against(
            format!("{}, whole path / bare", self.name),
            format!("{ratio:.2}"),
            "at most 2",
            ratio <= MAX_RATIO,
        ));
        Ok(rows)
    }

    /// Measures the call in `runtime` against `floor`, which is told as `what`.
    pub(crate) async fn against(
        &self,
        runtime: &Runtime,
        what: &str,
        floor: impl AsyncFn() -> Result<Duration>,
    ) -> Result<Vec<Row>> {
        Ok(self.rows(what, self.measure(runtime, floor).await?.0))
    }

    async fn measure(&self, runtime: &Runtime, floor: impl AsyncFn() -> Result<Duration>) -> Result<(Took, f64)> {
        let session = runtime.session();
        let mut took = Took::default();
        for pair in 0..self.count + self.count / 10 {
            let floor_took = floor().await?;
            let (whole, inside) = call(runtime, &session, self.tool, &self.arguments).await?;
            // The first ones warm up.
            if pair >= self.count / 10 {
                took.floor.push(floor_took);
                took.whole.push(whole);
                took.inside.push(inside);
            }
        }
        let median = |durations: &[Duration]| Sample::new(durations.to_vec()).median().as_secs_f64();
        let ratio = median(&took.whole) / median(&took.floor);
        Ok((took, ratio))
    }

    fn rows(&self, floor: &str, took: Took) -> Vec<Row> {
        let row = |what: &str, durations| {
            let sample = Sample::new(durations);
            let figure = format!("{} (p95 {})", micros(sample.median()), micros(sample.p95()));
            Row::new(format!("{}, {what}", self.name), figure, "")
        };
        vec![row(floor, took.floor), row("in the sandbox", took.inside), row("whole tool path", took.whole)]
    }
}

/// Returns how long one call took, as a whole and in the sandbox.
pub(crate) async fn call(
    runtime: &Runtime,
    session: &ToolSession,
    tool: &str,
    arguments: &Value,
) -> Result<(Duration, Duration)> {
    let arguments = Arguments::Json(arguments.clone());
    let call = CallId::from_random(random());
    let proposal = ToolCall { wire_id: String::new(), call, tool: tool.into(), arguments };
    let started = Instant::now();
    let finished = runtime.tools.call(session, &proposal, &CancellationToken::new()).await?;
    let took = started.elapsed();
    let (outcome, said) = (&finished.outcome, &finished.result.text);
    ensure!(*outcome == CallOutcome::Succeeded, "the call of `{tool}` ended with {outcome:?}: {said}");
    Ok((took, Duration::from_micros(finished.usage.wall_us)))
}

/// Returns the component of the built-in tool called `name`.
pub(crate) fn component(name: &str) -> Result<Vec<u8>> {
    let named = |package: &tools::Package| package.manifest.contains(&format!("name = \"{name}\""));
    let package = builtin().into_iter().find(named);
    Ok(package.with_context(|| format!("no built-in tool `{name}`"))?.component.into_owned())
}

/// Returns a runtime whose workspace holds `small.txt`: 160 lines, 4 KB.
pub(crate) fn with_a_small_file(cache: &Path) -> Result<Runtime> {
    let runtime = Runtime::new(cache);
    std::fs::write(runtime.root().join("small.txt"), "one line of a small file\n".repeat(160))?;
    Ok(runtime)
}

/// Wasmtime's error is no standard one.
fn bare(error: &wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}
