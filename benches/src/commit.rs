//! (d) The commit of one changed file in trees of 100, 10,000 and 100,000 files: judged, journalled, flushed.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use policy::{CommitRequest, Decision, Judge, Principal};
use protocol::{CallId, ChangeSetId, CommitOutcome, Level, SessionId};
use stage::{OpenHow, Opened, Quota, Scratch, Stage, StageOptions, Veil};
use testkit::{grant, open, random};
use workspace::{Commit, Workspace};

use crate::table::{Row, Sample, millis};

const RUNS: u32 = 60;

/// Files in one folder of the tree.
const FILES_IN_FOLDER: usize = 100;

pub(crate) fn measure() -> Result<Vec<Row>> {
    let mut rows = vec![flush()?];
    for files in [100, 10_000, 100_000] {
        let folder = tempfile::tempdir()?;
        grow(folder.path(), files)?;
        settle()?;
        let workspace = open(folder.path());
        let runs = (0..RUNS).map(|run| commit(&workspace, run)).collect::<Result<Vec<_>>>()?;
        let sample = Sample::new(runs);
        let figure = format!("{} (p95 {})", millis(sample.median()), millis(sample.p95()));
        let met = sample.median() <= Duration::from_millis(5);
        rows.push(Row::against(format!("(d) commit in a tree of {files}"), figure, "5 ms", met));
    }
    Ok(rows)
}

/// Returns what one flush of a small file costs on this disk, so that the commits can be read against it.
fn flush() -> Result<Row> {
    let folder = tempfile::tempdir()?;
    let mut runs = Vec::new();
    for run in 0..RUNS {
        let path = folder.path().join(run.to_string());
        std::fs::write(&path, "one line\n")?;
        let started = Instant::now();
        std::fs::File::open(&path)?.sync_all()?;
        runs.push(started.elapsed());
    }
    Ok(Row::new("(d) one flush of a small file", millis(Sample::new(runs).median()), ""))
}

fn grow(root: &Path, files: usize) -> Result<()> {
    for folder in 0..files / FILES_IN_FOLDER {
        let folder = root.join(format!("folder-{folder}"));
        std::fs::create_dir(&folder)?;
        for file in 0..FILES_IN_FOLDER {
            std::fs::write(folder.join(format!("file-{file}.txt")), "one line\n")?;
        }
    }
    Ok(())
}

/// Has the disk take the new tree first: nobody works in one that was made this second.
fn settle() -> Result<()> {
    ensure!(std::process::Command::new("sync").status()?.success(), "`sync` failed");
    Ok(())
}

/// Returns how long it takes to judge and commit one changed file; staging it is not counted.
fn commit(workspace: &Workspace, run: u32) -> Result<Duration> {
    let stage = Stage::new(workspace.base("/work").context("/work is mounted")?.clone(), options(workspace));
    change(&stage, &format!("folder-0/file-{run}.txt"))?;
    let (session, call) = (SessionId::from_random(1), CallId::from_random(random()));
    let started = Instant::now();
    let changes = stage.changes()?;
    let request = CommitRequest {
        change_set: ChangeSetId::from_random(random()),
        call: Some(call.clone()),
        principal: Principal::Planner,
        tool: "write".into(),
        level: Level::Write,
        changes: changes.clone(),
        grant: grant(),
        approved: BTreeSet::new(),
        basis: None,
    };
    let judged = Judge::new(Vec::new())?.judge_commit(request);
    let Decision::Allow(permit) = judged.record(&workspace.journal().session(&session))? else { bail!("not allowed") };
    let committed =
        workspace.commit(Commit { session: &session, call: &call, permit, stage: &stage, changes: &changes })?;
    let took = started.elapsed();
    ensure!(committed.outcome == CommitOutcome::Committed, "the commit ended with {:?}", committed.outcome);
    Ok(took)
}

fn change(stage: &Stage, path: &str) -> Result<()> {
    let how = OpenHow { write: true, ..OpenHow::default() };
    match stage.root().open(path, how)? {
        Opened::File(file) => Ok(file.write_at(0, b"ONE").map(drop)?),
        Opened::Dir(_) => bail!("{path} is a folder"),
    }
}

fn options(workspace: &Workspace) -> StageOptions {
    StageOptions {
        mount: "/work".into(),
        writable: true,
        quota: Quota { bytes: 1 << 20, entries: 100 },
        scratch: Scratch::new(workspace.scratch()),
        clock: SystemTime::now,
        veil: Veil::none(),
    }
}
