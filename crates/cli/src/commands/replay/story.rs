//! Whole turns once more: the recorded replies of the model go through the real loop, and what it makes of them is
//! compared with what it made of them then.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use policy::{Budget, GrantSpec, Judge, Limits, Principal};
use protocol::{
    ApprovalAnswer, ApprovalId, CallId, CommitMode, Event, EventBody, ModelFailure, ModelFailureKind, ModelReply,
    Purpose, SessionId, Taped, TurnId, TurnOutcome, Verdict,
};
use providers::{DeltaSink, Model, ModelRequest, Price};
use query::{Driver, Planner, TurnLimits};
use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tools::{Approver, Asked, Attendance, Past, ToolSession, Tools, ToolsOptions, builtin};
use workspace::{CallAccount, Durability, JudgedAccount, Mount, SessionAccount, SessionView, StagedView, Workspace};

use crate::boot::{self, Site, WORK, random};
use crate::commands::run;
use crate::exit::Failure;

/// What became of a turn that was run again.
#[derive(Debug, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub(super) enum Turned {
    Same,
    Different { first: Difference },
    NotReplayable { reason: String },
}

/// Why a turn cannot be run again.
struct Unplayed(String);

/// The first thing that a turn did otherwise.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    /// The call that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) call: Option<CallId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) then: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) now: Option<Value>,
}

/// A turn as it was recorded.
pub(super) struct Recorded {
    pub(super) turn: TurnId,
    text: String,
    /// When changes were committed, and what was staged when it began.
    commit_mode: CommitMode,
    staged: BTreeMap<String, StagedView>,
    events: Vec<EventBody>,
}

/// Returns the turns that `events` tell of.
pub(super) fn turns(events: Vec<Event>) -> Vec<Recorded> {
    let (mut turns, mut view): (Vec<Recorded>, _) = (Vec::new(), SessionView::default());
    for event in events {
        view.apply(&event);
        match event.body {
            EventBody::TurnOpened { turn, text } => {
                let (commit_mode, staged) = (view.commit_mode, view.staged.clone());
                turns.push(Recorded { turn, text, commit_mode, staged, events: Vec::new() });
            }
            body => turns.last_mut().into_iter().for_each(|turn| turn.events.push(body.clone())),
        }
    }
    turns
}

impl Recorded {
    /// Returns how the turn ended, or why it cannot be run again as a whole.
    fn outcome(&self) -> Result<&TurnOutcome, &'static str> {
        for event in &self.events {
            match event {
                EventBody::TurnResumed { .. } => return Err("it was cut short and taken up again"),
                EventBody::ModelAbandoned { .. } => return Err("a model call was broken off"),
                EventBody::CallTaped { taped: Taped::NotKept { .. }, .. } => return Err("a call of it has no record"),
                EventBody::CallDecided { decision, .. } | EventBody::CommitDecided { decision, .. }
                    if decision.rule == EXPIRED =>
                {
                    return Err("nobody answered a question in time");
                }
                EventBody::ModelCalled { purpose: Purpose::Compaction, .. } => {
                    return Err("its conversation was summed up");
                }
                _ => {}
            }
        }
        let closed = self.events.iter().find_map(|event| match event {
            EventBody::TurnClosed { outcome, .. } => Some(outcome),
            _ => None,
        });
        match closed.ok_or("it has not ended")? {
            TurnOutcome::Cancelled => Err("it was cancelled"),
            TurnOutcome::Waiting { .. } => Err("it waits for an answer"),
            TurnOutcome::BudgetExceeded { .. } => Err("a budget ended it"),
            TurnOutcome::ContextFull { .. } => Err("the model's window was full"),
            outcome => Ok(outcome),
        }
    }

    /// Returns the model that says what it said then.
    fn model(&self) -> Recalled {
        let said = self.events.iter().filter_map(|event| match event {
            EventBody::ModelReplied { reply, .. } => Some(Ok(reply.clone())),
            // Nobody waits in a replay.
            EventBody::ModelFailed { failure, .. } => {
                Some(Err(ModelFailure { retry_after_ms: None, ..failure.clone() }))
            }
            _ => None,
        });
        Recalled { said: Mutex::new(said.collect()) }
    }
}

/// A model that says what was recorded.
struct Recalled {
    said: Mutex<VecDeque<Result<ModelReply, ModelFailure>>>,
}

#[async_trait]
impl Model for Recalled {
    fn name(&self) -> &'static str {
        "recorded"
    }

    async fn reply(&self, _: ModelRequest<'_>, _: &mut dyn DeltaSink) -> Result<ModelReply, ModelFailure> {
        let next = self.said.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        next.unwrap_or_else(|| {
            let message = "the record has no reply to this".to_owned();
            let kind = ModelFailureKind::ScriptEnded;
            Err(ModelFailure { kind, message, retry_after_ms: None, begun: false })
        })
    }
}

/// Tool, rule, effects, and the answer.
type Given = (String, String, Vec<String>, ApprovalAnswer);

/// The rules of answers.
const SAID_NO: &str = "answer.no";
const REMEMBERED: &str = "answer.remembered";
const EXPIRED: &str = "answer.expired";

/// Answers what was answered then, in one turn.
struct Answered {
    answers: Mutex<Vec<Given>>,
}

impl Answered {
    fn of(account: &SessionAccount, turn: &TurnId) -> Self {
        let decisions = |call: &CallAccount| -> Vec<JudgedAccount> {
            let commits = call.commits.iter().flat_map(|commit| &commit.decisions);
            call.decisions.iter().chain(commits).cloned().collect()
        };
        let lasting: BTreeSet<ApprovalId> = account
            .calls()
            .flat_map(decisions)
            .filter_map(|judged| judged.answer.filter(|answer| answer.rule == REMEMBERED)?.approval)
            .collect();
        let calls = account.calls().filter(|call| call.turn.as_ref() == Some(turn));
        let calls = calls.flat_map(|call| decisions(call).into_iter().map(|judged| (call.tool.clone(), judged)));
        let answers = calls.filter_map(|(tool, judged)| {
            let answer = judged.answer?;
            let allowed = answer.verdict == Verdict::Allow;
            let by_person = (allowed && answer.rule != REMEMBERED) || answer.rule == SAID_NO;
            let remembered = answer.approval.is_some_and(|approval| lasting.contains(&approval));
            let given = ApprovalAnswer { allowed, remembered };
            by_person.then_some((tool, judged.decision.rule, judged.decision.effects, given))
        });
        Self { answers: Mutex::new(answers.collect()) }
    }

    fn answers(&self) -> MutexGuard<'_, Vec<Given>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Approver for Answered {
    /// Where nobody answered anything then, nobody was there.
    fn attendance(&self) -> Attendance {
        if self.answers().is_empty() { Attendance::Absent } else { Attendance::Present }
    }

    async fn ask(&self, asked: Asked<'_>) -> ApprovalAnswer {
        let mut answers = self.answers();
        let is_it =
            |(tool, rule, effects, _): &Given| tool == asked.tool && rule == asked.rule && effects == asked.effects;
        let no = ApprovalAnswer { allowed: false, remembered: false };
        answers.iter().position(is_it).map_or(no, |at| answers.remove(at).3)
    }
}

/// A session that is run again, in a folder of its own.
pub(super) struct Story<'a> {
    site: &'a Site,
    /// Where it was recorded.
    original: Arc<Workspace>,
    account: Arc<SessionAccount>,
    workspace: Arc<Workspace>,
    session: SessionId,
    _folder: TempDir,
}

impl<'a> Story<'a> {
    pub(super) fn open(
        site: &'a Site,
        original: Arc<Workspace>,
        account: Arc<SessionAccount>,
        session: SessionId,
    ) -> Result<Self, Failure> {
        let unmade = |error| Failure::internal(format!("there is no temporary folder: {error}"));
        let folder = tempfile::tempdir().map_err(unmade)?;
        let mounts = [Mount { name: WORK.to_owned(), host: folder.path().to_owned() }];
        let workspace = Arc::new(Workspace::open(folder.path(), &mounts, None, SystemTime::now)?);
        let opened = EventBody::SessionOpened { principal: Principal::Planner.to_string(), model: String::new() };
        workspace.journal().append(&session, &[opened], Durability::Process)?;
        Ok(Self { site, original, account, workspace, session, _folder: folder })
    }

    /// Runs a turn again.
    pub(super) async fn run(&self, recorded: &Recorded, cancel: &CancellationToken) -> Result<Turned, Failure> {
        let outcome = match recorded.outcome() {
            Ok(outcome) => outcome,
            Err(reason) => return Ok(Turned::NotReplayable { reason: reason.to_owned() }),
        };
        if !self.has_tapes(recorded) {
            return Ok(Turned::NotReplayable { reason: "a call of it has no record any more".to_owned() });
        }
        let (judge, limits, grant) = match self.policy(recorded) {
            Ok(policy) => policy,
            Err(Unplayed(reason)) => return Ok(Turned::NotReplayable { reason }),
        };
        let tools = self.tools(judge, limits, Arc::new(Answered::of(&self.account, &recorded.turn)))?;
        let view = self.workspace.view(&self.session)?;
        let (principal, after) = (Principal::Planner, view.last_sequence);
        let session =
            ToolSession::open(&self.workspace, self.session.clone(), principal, boot::grant_of_replay(grant), &[])?
                .committing(recorded.commit_mode, recorded.staged.clone());
        let (price, context_window, max_output_tokens) = (Price::free(), Some(u32::MAX), None);
        let model = Arc::new(recorded.model());
        let driver = Driver {
            planner: Planner { model, price, context_window, max_output_tokens },
            fallback: None,
            tools: &tools,
            workspace: &self.workspace,
            session: &session,
            limits: self.limits(outcome),
            budget: Budget { call: Budget::MAX, turn: Budget::MAX, session: Budget::MAX, day: Budget::MAX },
            backoff: Duration::ZERO,
            random,
            cancel: cancel.clone(),
        };
        driver.run(recorded.turn.clone(), &recorded.text, view, &mut |_| {}).await?;
        let mut now = Vec::new();
        self.workspace.journal().for_each_after(&self.session, after, |event| now.push(event.body))?;
        Ok(compare(&recorded.events, &now))
    }

    /// Tells whether every call of the turn that ran can be run again.
    fn has_tapes(&self, recorded: &Recorded) -> bool {
        let tapes = recorded.events.iter().filter_map(|event| match event {
            EventBody::CallTaped { taped: Taped::Kept { tape, .. }, .. } => Some(tape),
            _ => None,
        });
        let ran = |event: &&EventBody| matches!(event, EventBody::CallFinished { usage, .. } if usage.fuel > 0);
        tapes.clone().all(|tape| self.original.kept(tape).is_ok())
            && tapes.count() >= recorded.events.iter().filter(ran).count()
    }

    /// Returns what the turn's calls were judged by.
    fn policy(&self, recorded: &Recorded) -> Result<(Judge, Limits, GrantSpec), Unplayed> {
        let mut policies = recorded.events.iter().filter_map(|event| match event {
            EventBody::CallDecided { decision, .. } if decision.basis.is_some() => Some(decision),
            _ => None,
        });
        let Some(first) = policies.next() else {
            // It judged nothing.
            let judge = self.site.judge().map_err(|failure| Unplayed(failure.message))?;
            return Ok((judge, self.site.config.limits, boot::granted(&self.site.config)));
        };
        let digest = |decision: &protocol::DecisionRecord| decision.basis.as_ref().map(|basis| basis.policy.clone());
        if policies.any(|decision| digest(decision) != digest(first)) {
            return Err(Unplayed("its policy changed on the way".to_owned()));
        }
        let record = self.account.policy_of(first).map_err(|unknown| Unplayed(unknown.to_string()))?;
        let judge = record.judge().map_err(|error| Unplayed(error.to_string()))?;
        Ok((judge, record.limits, record.grant.clone()))
    }

    fn tools(&self, judge: Judge, limits: Limits, approver: Arc<Answered>) -> Result<Tools, Failure> {
        let sandbox = self.site.sandbox()?;
        let registry = self.site.registry(&sandbox, builtin(), Arc::new(tools::Unattended))?;
        let tools = Tools::new(ToolsOptions {
            sandbox,
            registry,
            judge,
            workspace: self.workspace.clone(),
            limits,
            approver,
            approval_lasts: self.site.config.approvals_expire_after,
            secrets: Arc::new(sandbox::Secrets::none()),
            random,
        });
        Ok(tools.replaying(Past::new(self.account.clone(), self.original.clone())))
    }

    /// Returns the limits of the turn: those that it met, and the configured ones.
    fn limits(&self, outcome: &TurnOutcome) -> TurnLimits {
        let configured = run::limits(self.site, Some(u32::MAX));
        match outcome {
            TurnOutcome::MaxTurns { limit } => TurnLimits { model_calls: *limit, ..configured },
            TurnOutcome::Stalled { repeats } => TurnLimits { repeats: *repeats, ..configured },
            _ => configured,
        }
    }
}

/// Compares what two runs of a turn recorded. Calls that ran beside each other may have ended in another order.
fn compare(then: &[EventBody], now: &[EventBody]) -> Turned {
    let (then, now) = (told(then), told(now));
    let subjects: BTreeSet<_> = then.keys().chain(now.keys()).collect();
    for subject in subjects {
        let (then, now) = (then.get(subject), now.get(subject));
        let longest = then.map_or(0, Vec::len).max(now.map_or(0, Vec::len));
        let at = |list: Option<&Vec<Value>>, at: usize| list.and_then(|list| list.get(at)).cloned();
        let differs = (0..longest).map(|place| (at(then, place), at(now, place))).find(|(then, now)| then != now);
        if let Some((then, now)) = differs {
            return Turned::Different { first: Difference { call: subject.clone(), then, now } };
        }
    }
    Turned::Same
}

/// Returns what counts of events, by the call that they are about; identifiers and times that are new each time are left
/// out.
fn told(events: &[EventBody]) -> BTreeMap<Option<CallId>, Vec<Value>> {
    let mut told: BTreeMap<_, Vec<Value>> = BTreeMap::new();
    for event in events {
        let (subject, line) = match event {
            EventBody::ModelCalled { number, .. } => (None, json!({ "model_called": number })),
            EventBody::RetryPlanned { number, .. } => (None, json!({ "retry_planned": number })),
            EventBody::TurnClosed { outcome, .. } => (None, json!({ "turn_closed": outcome })),
            EventBody::CallDecided { call, tool, decision, .. } => (Some(call.clone()), decided(tool, decision)),
            EventBody::CommitDecided { call: Some(call), decision, .. } => (Some(call.clone()), decided("", decision)),
            EventBody::CallFinished { call, outcome, result, summary, usage, .. } => {
                let (text, fuel) = (&result.text, usage.fuel);
                let line = json!({ "call_finished": outcome, "result": text, "summary": summary, "fuel": fuel });
                (Some(call.clone()), line)
            }
            _ => continue,
        };
        told.entry(subject).or_default().push(line);
    }
    told
}

fn decided(tool: &str, decision: &protocol::DecisionRecord) -> Value {
    json!({ "decided": decision.verdict, "rule": decision.rule, "effects": decision.effects, "tool": tool })
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{
        Arguments, Basis, ContentHash, DecisionRecord, Level, Part, Spending, StopReason, TokenUsage, ToolCall,
    };

    fn decision(verdict: Verdict, rule: &str, effect: &str, asks: bool) -> DecisionRecord {
        let digest = ContentHash::of(b"");
        DecisionRecord {
            verdict,
            rule: rule.into(),
            principal: "planner".into(),
            digest: digest.clone(),
            effects: vec![effect.into()],
            reason: String::new(),
            basis: asks.then_some(Basis { policy: digest, tool: None }),
            approval: (!asks && rule.starts_with("answer.")).then(|| ApprovalId::from_random(7)),
        }
    }

    /// Returns the account of calls of `write` that asked, and what was answered.
    fn asked(answers: &[(&str, Verdict, &str)]) -> SessionAccount {
        let mut account = SessionAccount::default();
        let session = SessionId::from_random(1);
        for (number, (effect, verdict, rule)) in (1..).zip(answers) {
            let call = CallId::from_random(number);
            let arguments = Arguments::Json(json!({}));
            let proposal = ToolCall { call: call.clone(), wire_id: String::new(), tool: "write".into(), arguments };
            let parts = vec![Part::ToolCall(proposal)];
            let reply = ModelReply { parts, usage: TokenUsage::default(), stop: StopReason::ToolCalls };
            let (turn, number_in_turn) = (TurnId::from_random(1), u32::try_from(number).unwrap());
            let body = EventBody::ModelReplied { turn, number: number_in_turn, reply, spent: Spending::default() };
            account.apply(&Event { sequence: number, session: session.clone(), recorded_at_ms: 0, body });
            for decision in [decision(Verdict::Ask, "docs", effect, true), decision(*verdict, rule, effect, false)] {
                let (call, tool, level) = (call.clone(), "write".to_owned(), Level::Write);
                let body = EventBody::CallDecided { call, tool, level, decision };
                account.apply(&Event { sequence: number, session: session.clone(), recorded_at_ms: 0, body });
            }
        }
        account
    }

    #[tokio::test]
    async fn questions_are_answered_as_they_were() {
        let said = [("a", Verdict::Allow, "answer.yes"), ("b", Verdict::Deny, SAID_NO), ("c", Verdict::Deny, "docs")];
        let (account, turn) = (asked(&said), TurnId::from_random(1));
        let answered = Answered::of(&account, &turn);
        for (effect, allowed) in [("b", false), ("a", true), ("a", false), ("c", false)] {
            let effects = [effect.to_owned()];
            let (tool, rule, reason, detail, ceiling) = ("write", "docs", "", "", "");
            let question =
                Asked { tool, effects: &effects, rule, reason, detail, ceiling, approval: None, may_remember: true };
            assert_eq!(answered.ask(question).await, ApprovalAnswer { allowed, remembered: false }, "{effect}");
        }
        // Who answered nothing then was not there; nor in another turn.
        assert_eq!(answered.attendance(), Attendance::Absent);
        assert_eq!(Answered::of(&account, &TurnId::from_random(2)).attendance(), Attendance::Absent);
        assert_eq!(Answered::of(&account, &turn).attendance(), Attendance::Present);
    }

    #[tokio::test]
    async fn an_answer_for_the_session_is_one_again() {
        let said = [("a", Verdict::Allow, "answer.yes"), ("a", Verdict::Allow, REMEMBERED)];
        let answered = Answered::of(&asked(&said), &TurnId::from_random(1));
        let answers: Vec<_> = answered.answers().iter().map(|given| given.3).collect();
        assert_eq!(answers, [ApprovalAnswer { allowed: true, remembered: true }]);
    }
}
