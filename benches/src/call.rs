//! One call of a tool through the whole tool path, against its floor.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use protocol::{Arguments, CallId, CallOutcome, ToolCall};
use serde_json::Value;
use tempfile::TempDir;
use testkit::{Runtime, random};
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

/// The least that a call could take.
pub(crate) enum Lowest {
    /// The same component on bare wasmtime, with a folder as `/tmp`.
    Bare(Floor, TempDir),
    /// One request to this server by itself.
    Exchange(SocketAddr),
}

impl Lowest {
    /// Returns bare wasmtime with the component of the built-in `tool`.
    pub(crate) fn bare(tool: &str) -> Result<Self> {
        let floor = Floor::new(&component(tool)?).map_err(|error| bare(&error))?;
        Ok(Self::Bare(floor, tempfile::tempdir()?))
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Bare(..) => "bare wasmtime",
            Self::Exchange(_) => "a bare exchange",
        }
    }

    async fn took(&self, root: &Path, tool: &str, arguments: &str) -> Result<Duration> {
        match self {
            Self::Bare(floor, tmp) => {
                floor.call([root, tmp.path()], tool, arguments).await.map_err(|error| bare(&error))
            }
            Self::Exchange(server) => exchange(*server),
        }
    }
}

impl Pairs {
    /// Measures the call in `runtime` against its floor.
    pub(crate) async fn measure(&self, runtime: &Runtime, lowest: Lowest) -> Result<Vec<Row>> {
        let (session, text) = (runtime.session(), self.arguments.to_string());
        let mut took = Took::default();
        for pair in 0..self.count + self.count / 10 {
            let floor = lowest.took(runtime.root(), self.tool, &text).await?;
            let (whole, inside) = call(runtime, &session, self.tool, &self.arguments).await?;
            // The first ones warm up.
            if pair >= self.count / 10 {
                took.floor.push(floor);
                took.whole.push(whole);
                took.inside.push(inside);
            }
        }
        let ratio = median(&took.whole) / median(&took.floor);
        let mut rows = self.rows(lowest.name(), took);
        if let Lowest::Bare(..) = lowest {
            let what = format!("{}, whole path / bare", self.name);
            rows.push(Row::against(what, format!("{ratio:.2}"), "at most 2", ratio <= MAX_RATIO));
        }
        Ok(rows)
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

fn median(durations: &[Duration]) -> f64 {
    Sample::new(durations.to_vec()).median().as_secs_f64()
}

/// Returns how long one request takes by itself.
fn exchange(server: SocketAddr) -> Result<Duration> {
    let started = Instant::now();
    let mut stream = TcpStream::connect(server)?;
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: {server}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "the server said {} bytes", answer.len());
    Ok(started.elapsed())
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
    let finished = runtime.call(session, proposal).await;
    let whole = started.elapsed();
    let (outcome, said) = (&finished.outcome, &finished.result.text);
    ensure!(*outcome == CallOutcome::Succeeded, "the call of `{tool}` ended with {outcome:?}: {said}");
    Ok((whole, Duration::from_micros(finished.usage.wall_us)))
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
