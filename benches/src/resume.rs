//! (j) Going on with a session of 10,000 turns: reading what it takes from the journal, with the views that were kept and
//! without. One has its conversation summed up now and then; the other fills the longest window that there is.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use protocol::{
    Arguments, CallId, CallOutcome, CallUsage, ContentHash, DecisionRecord, EventBody, Level, ModelReply, Part,
    Purpose, SessionId, Spending, StopReason, TokenUsage, ToolCall, ToolResult, TurnId, TurnOutcome, Verdict,
};
use testkit::open;
use workspace::{Durability, SessionView, Workspace};

use crate::table::{Row, Sample, millis};

const TURNS: u64 = 10_000;

/// What going on may take.
const LIMIT: Duration = Duration::from_millis(100);

/// Times that each is measured.
const RUNS: usize = 9;

/// A session as it grows.
struct Story<'a> {
    name: &'static str,
    workspace: &'a Workspace,
    session: SessionId,
    view: SessionView,
    /// Bytes of each result of a call.
    result_bytes: usize,
    /// Turns after which the conversation is summed up.
    summed: Option<u64>,
}

pub(crate) fn measure() -> Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let workspace = open(folder.path());
    let story = |name, number, result_bytes, summed| Story {
        name,
        workspace: &workspace,
        session: SessionId::from_random(number),
        view: SessionView::default(),
        result_bytes,
        summed,
    };
    let mut rows = Vec::new();
    for mut story in [
        story("summed up every 100 turns", 1, 2_000, Some(100)),
        story("of a million tokens, never summed up", 2, 40, None),
    ] {
        (0..TURNS).try_for_each(|number| story.turn(number, true))?;
        // At its worst: a view would be kept at the end of the next turn.
        let mut number = TURNS;
        while !story.view.is_due() {
            story.turn(number, false)?;
            number += 1;
        }
        rows.extend(story.rows(folder.path())?);
    }
    Ok(rows)
}

impl Story<'_> {
    fn append(&mut self, bodies: &[EventBody]) -> Result<()> {
        let events = self.workspace.journal().append(&self.session, bodies, Durability::Process)?;
        for event in &events {
            self.view.apply(event);
        }
        Ok(())
    }

    /// Makes a turn with one call, and keeps a view at its end when one is due.
    fn turn(&mut self, number: u64, keeps: bool) -> Result<()> {
        let (turn, spent) = (TurnId::from_random(number), Spending::default());
        self.append(&events(&turn, number, self.result_bytes))?;
        if self.summed.is_some_and(|summed| number % summed == summed - 1) {
            let summary = "What was done so far. ".repeat(100);
            self.append(&[EventBody::Compacted { turn: turn.clone(), number: 2, summary, kept: 4 }])?;
        }
        let closed = EventBody::TurnClosed { turn: turn.clone(), outcome: TurnOutcome::Done, spent };
        let kept = if keeps { self.workspace.to_keep(&self.session, &self.view)? } else { None };
        if kept.is_none() {
            return self.append(&[closed]);
        }
        self.workspace.journal().close(&self.session, &turn, &spent, &closed, kept.as_ref())?;
        self.view = self.workspace.view(&self.session)?;
        Ok(())
    }

    fn rows(&self, root: &Path) -> Result<Vec<Row>> {
        let (mut going_on, mut replaying) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            let started = Instant::now();
            let workspace = open(root);
            let view = workspace.view(&self.session)?;
            going_on.push(started.elapsed());
            let started = Instant::now();
            let mut replayed = SessionView::default();
            workspace.journal().for_each_told(&self.session, |event| replayed.apply(&event))?;
            replaying.push(started.elapsed());
            ensure!(view == replayed, "what was kept is not what happened");
        }
        let (going_on, replaying) = (Sample::new(going_on), Sample::new(replaying));
        let figure = |sample: &Sample| format!("{} (p95 {})", millis(sample.median()), millis(sample.p95()));
        let what = |how: &str| format!("(j) {how} {TURNS} turns, {}", self.name);
        Ok(vec![
            Row::against(what("going on with"), figure(&going_on), "100 ms", going_on.median() <= LIMIT),
            Row::new(what("replaying all of"), figure(&replaying), ""),
        ])
    }
}

/// Returns what a turn with one call records until its end.
fn events(turn: &TurnId, number: u64, result_bytes: usize) -> Vec<EventBody> {
    let call = CallId::from_random(number);
    let proposal = ToolCall {
        call: call.clone(),
        wire_id: format!("call_{number}"),
        tool: "read".into(),
        arguments: Arguments::Json(serde_json::json!({ "path": format!("src/{}.rs", number % 500) })),
    };
    let result = ToolResult {
        call: call.clone(),
        wire_id: proposal.wire_id.clone(),
        text: "x".repeat(result_bytes),
        is_error: false,
    };
    let decision = DecisionRecord {
        verdict: Verdict::Allow,
        rule: "default.read".into(),
        principal: "planner".into(),
        digest: ContentHash::of(b"arguments"),
        effects: vec!["run".into(), "read /work/src".into()],
        reason: "reading is allowed".into(),
        basis: None,
        approval: None,
    };
    let tool = "read".to_owned();
    vec![
        EventBody::TurnOpened { turn: turn.clone(), text: format!("Look at file {number}.") },
        called(turn, 1),
        replied(turn, 1, Part::ToolCall(proposal), StopReason::ToolCalls),
        EventBody::CallDecided { call: call.clone(), tool: tool.clone(), level: Level::ReadOnly, decision },
        EventBody::CallFinished {
            call,
            tool,
            outcome: CallOutcome::Succeeded,
            result,
            summary: "read".into(),
            full_output: None,
            usage: CallUsage::default(),
            observed: Vec::new(),
        },
        called(turn, 2),
        replied(turn, 2, Part::Text { text: "There is nothing to be done.".into() }, StopReason::EndTurn),
    ]
}

fn called(turn: &TurnId, number: u32) -> EventBody {
    let (turn, model) = (turn.clone(), "provider/a-model-of-some-name".into());
    EventBody::ModelCalled { turn, number, model, purpose: Purpose::Reply, reserved: Spending::default() }
}

fn replied(turn: &TurnId, number: u32, part: Part, stop: StopReason) -> EventBody {
    let reply = ModelReply { parts: vec![part], usage: TokenUsage::default(), stop };
    EventBody::ModelReplied { turn: turn.clone(), number, reply, spent: Spending::default() }
}
