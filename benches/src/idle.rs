//! (k) A thousand idle sessions in one process: what each keeps in memory between two turns.

use anyhow::Result;
use testkit::Runtime;
use workspace::SessionView;

use crate::call::{call, with_a_small_file};
use crate::setup::memory_kib;
use crate::table::Row;

const SESSIONS: usize = 1_000;

/// KiB of one idle session: a thousand of them take less than one call may.
const MOST_KIB: usize = 32;

pub(crate) async fn measure() -> Result<Vec<Row>> {
    let cache = tempfile::tempdir()?;
    let path = cache.path().to_owned();
    tokio::spawn(async move { sessions(&with_a_small_file(&path)?).await }).await?
}

async fn sessions(runtime: &Runtime) -> Result<Vec<Row>> {
    let arguments = serde_json::json!({ "path": "small.txt" });
    // What all of them share is there before the first is counted.
    call(runtime, &runtime.session(), "read", &arguments).await?;
    let before = memory_kib("VmRSS")?;
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        let session = runtime.session();
        call(runtime, &session, "read", &arguments).await?;
        let view: SessionView = runtime.workspace.view(session.id())?;
        sessions.push((session, view));
    }
    let each = memory_kib("VmRSS")?.saturating_sub(before) / sessions.len();
    Ok(vec![Row::against(
        format!("(k) memory of each of {SESSIONS} idle sessions"),
        format!("{each} KiB"),
        "32 KiB",
        each <= MOST_KIB,
    )])
}
