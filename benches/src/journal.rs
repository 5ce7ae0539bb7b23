//! (i) What the journal's chain and its signatures cost: a small append and a durable turn, each in turn with bare
//! `SQLite` on the same disk, and how fast a whole journal is verified.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use protocol::{EventBody, ModelReply, Part, Purpose, SessionId, Spending, StopReason, TurnId, TurnOutcome};
use rusqlite::{Connection, params};
use testkit::open_with;
use workspace::{Durability, Workspace};

use crate::table::{Row, Sample, micros};

/// How much longer a durable turn may take than the same commits of bare `SQLite`.
const MAX_RATIO: f64 = 2.0;

const APPENDS: usize = 5_000;
const TURNS: usize = 200;

/// Records of the journal that is verified.
const RECORDS: usize = 50_000;

/// The journal's tables as they were before there was a chain.
const UNCHAINED: &str = include_str!("../../crates/workspace/src/journal/schema.sql");

const INSERT: &str = "INSERT INTO events (session, recorded_at_ms, kind, body) VALUES (?1, ?2, ?3, ?4)";

pub(crate) fn measure() -> Result<Vec<Row>> {
    let (root, keys, bare) = (tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?);
    let workspace = open_with(root.path(), Some(&keys.path().join("journals")));
    let bare = Connection::open(bare.path().join("bare.db"))?;
    bare.execute_batch("PRAGMA journal_mode = WAL")?;
    bare.execute_batch(UNCHAINED)?;
    let mut rows = appends(&workspace, &bare)?;
    rows.extend(turns(&workspace, &bare)?);
    rows.extend(verification(root.path(), keys.path())?);
    Ok(rows)
}

/// Times both, one after the other, so that the machine's moods hit both alike.
fn in_turn(
    count: usize,
    mut bare: impl FnMut() -> Result<()>,
    mut ours: impl FnMut() -> Result<()>,
) -> Result<[Sample; 2]> {
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..count {
        took[0].push(timed(&mut bare)?);
        took[1].push(timed(&mut ours)?);
    }
    Ok(took.map(Sample::new))
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed())
}

fn ratio([bare, ours]: &[Sample; 2]) -> f64 {
    ours.median().as_secs_f64() / bare.median().as_secs_f64()
}

/// Inserts one event into the unchained tables, as one transaction.
fn insert(bare: &Connection, body: &EventBody) -> Result<()> {
    let text = serde_json::to_string(body)?;
    bare.prepare_cached(INSERT)?.execute(params!["000000000001", 1_i64, None::<&str>, text])?;
    Ok(())
}

fn appends(workspace: &Workspace, bare: &Connection) -> Result<Vec<Row>> {
    bare.execute_batch("PRAGMA synchronous = NORMAL")?;
    let (session, body) = (SessionId::from_random(1), called());
    let append = || Ok(workspace.journal().append(&session, &[called()], Durability::Process).map(drop)?);
    let samples = in_turn(APPENDS, || insert(bare, &body), append)?;
    let figure = |sample: &Sample| format!("{} (p95 {})", micros(sample.median()), micros(sample.p95()));
    Ok(vec![
        Row::new("(i) a small append, bare SQLite", figure(&samples[0]), ""),
        Row::new("(i) a small append to the chain", figure(&samples[1]), ""),
        Row::new("(i) a small append, chain / bare", format!("{:.2}", ratio(&samples)), ""),
    ])
}

fn turns(workspace: &Workspace, bare: &Connection) -> Result<Vec<Row>> {
    let (session, records) = (SessionId::from_random(1), records());
    let (closed, before) = records.split_last().expect("a turn has an end");
    let signed = |body: &EventBody| {
        Ok::<_, anyhow::Error>(
            workspace.journal().append(&session, std::slice::from_ref(body), Durability::Power).map(drop)?,
        )
    };
    let turn = || {
        for body in before {
            workspace.journal().append(&session, std::slice::from_ref(body), Durability::Process)?;
        }
        signed(closed)
    };
    let bare_turn = || {
        bare.execute_batch("PRAGMA synchronous = NORMAL")?;
        before.iter().try_for_each(|body| insert(bare, body))?;
        bare.execute_batch("PRAGMA synchronous = FULL")?;
        insert(bare, closed)
    };
    bare.execute_batch("PRAGMA synchronous = FULL")?;
    let ends = in_turn(TURNS, || insert(bare, closed), || signed(closed))?;
    let turns = in_turn(TURNS, bare_turn, turn)?;
    let rows = [
        against("a flushed commit", "a flushed and signed append", &ends),
        against("a turn", "a turn, signed", &turns),
    ];
    Ok(rows.into_iter().flatten().collect())
}

fn against(bare: &str, ours: &str, samples: &[Sample; 2]) -> Vec<Row> {
    let figure = |sample: &Sample| format!("{} (p95 {})", micros(sample.median()), micros(sample.p95()));
    let ratio = ratio(samples);
    vec![
        Row::new(format!("(i) {bare} of bare SQLite"), figure(&samples[0]), ""),
        Row::new(format!("(i) {ours}"), figure(&samples[1]), ""),
        Row::against(format!("(i) {ours} / bare"), format!("{ratio:.2}"), "at most 2", ratio <= MAX_RATIO),
    ]
}

/// Returns what a turn without calls records.
fn records() -> Vec<EventBody> {
    let turn = TurnId::from_random(1);
    let part = Part::Text { text: "Nothing is to be done.".into() };
    let reply = ModelReply { parts: vec![part], stop: StopReason::EndTurn, usage: protocol::TokenUsage::default() };
    vec![
        EventBody::TurnOpened { turn: turn.clone(), text: "Do nothing.".into() },
        called(),
        EventBody::ModelReplied { turn: turn.clone(), number: 1, reply, spent: Spending::default() },
        EventBody::TurnClosed { turn, outcome: TurnOutcome::Done, spent: Spending::default() },
    ]
}

fn called() -> EventBody {
    EventBody::ModelCalled {
        turn: TurnId::from_random(1),
        number: 1,
        model: "provider/a-model-of-some-name".into(),
        purpose: Purpose::Reply,
        reserved: Spending::default(),
    }
}

fn verification(root: &Path, keys: &Path) -> Result<Vec<Row>> {
    let workspace = open_with(root, Some(&keys.join("journals")));
    let bodies = vec![called(); 100];
    for _ in 0..RECORDS / bodies.len() {
        workspace.journal().append(&SessionId::from_random(1), &bodies, Durability::Process)?;
    }
    workspace.journal().sign()?;
    drop(workspace);
    let started = Instant::now();
    let workspace = open_with(root, Some(&keys.join("journals")));
    let opening = started.elapsed();
    let started = Instant::now();
    let found = workspace.verify()?;
    let took = started.elapsed();
    ensure!(found.is_verified(), "the journal is broken: {:?}", found.breaks);
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let speed = found.records as f64 / took.as_secs_f64();
    Ok(vec![
        Row::new(format!("(i) opening a journal of {} records", found.records), micros(opening), ""),
        Row::new(format!("(i) verifying {} records", found.records), format!("{speed:.0} records/s"), ""),
    ])
}
