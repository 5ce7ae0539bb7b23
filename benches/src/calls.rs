//! What one call costs: (a) `read` of a small file, (e) `js` of a one-liner, (g) `shell` of a pipeline of three commands,
//! (h) `fetch` from a server on loopback.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::{Runtime, Server, Setup};

use crate::call::{Lowest, Pairs, with_a_small_file};
use crate::table::{Row, Sample, micros};

/// 160 lines in, one number out.
const PIPELINE: &str = "cat small.txt | grep -c small | tr 1 2";

/// Processes of the machine's own bash, beside the pipeline in the sandbox.
const PROCESSES: usize = 100;

/// Bytes that the server answers with.
const PAGE_BYTES: usize = 4 << 10;

pub(crate) async fn measure() -> Result<Vec<Row>> {
    let cache = tempfile::tempdir()?;
    let path = cache.path().to_owned();
    // On a worker, as sessions run.
    tokio::spawn(async move {
        let runtime = with_a_small_file(&path)?;
        let mut rows = Vec::new();
        for pairs in [read(), js(), shell()] {
            rows.extend(pairs.measure(&runtime, Lowest::bare(pairs.tool)?).await?);
        }
        rows.push(bash(&runtime)?);
        rows.extend(fetch(&path).await?);
        Ok(rows)
    })
    .await?
}

fn read() -> Pairs {
    Pairs { name: "(a) read", tool: "read", arguments: json!({"path": "small.txt"}), count: 3_000 }
}

fn js() -> Pairs {
    Pairs { name: "(e) js of a one-liner", tool: "js", arguments: json!({"code": "6 * 7"}), count: 300 }
}

fn shell() -> Pairs {
    Pairs { name: "(g) shell of a pipeline", tool: "shell", arguments: json!({"script": PIPELINE}), count: 300 }
}

/// Measures what the same pipeline takes where each command is a process.
fn bash(runtime: &Runtime) -> Result<Row> {
    let mut took = Vec::new();
    for _ in 0..PROCESSES {
        let started = Instant::now();
        let output = Command::new("bash").args(["-c", PIPELINE]).current_dir(runtime.root()).output()?;
        ensure!(output.stdout == b"260\n", "bash said {output:?}");
        took.push(started.elapsed());
    }
    let sample = Sample::new(took);
    let figure = format!("{} (p95 {})", micros(sample.median()), micros(sample.p95()));
    Ok(Row::new("(g) the same in bash, with processes", figure, ""))
}

async fn fetch(cache: &Path) -> Result<Vec<Row>> {
    let page = "x".repeat(PAGE_BYTES);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length:";
    let server = Server::start(move |_| format!("{head} {PAGE_BYTES}\r\n\r\n{page}").into_bytes());
    let url = format!("http://{}/", server.address());
    let runtime = Runtime::with(cache, Setup { hosts: vec![url.trim_end_matches('/').parse()?], ..Setup::default() });
    let pairs = Pairs { name: "(h) fetch", tool: "fetch", arguments: json!({ "url": url }), count: 500 };
    pairs.measure(&runtime, Lowest::Exchange(server.address())).await
}
