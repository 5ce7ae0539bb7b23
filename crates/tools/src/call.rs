//! One call, from a proposal to a result: resolve, validate, judge, record, run, commit, record.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use policy::{CallRequest, CommitPermit, CommitRequest, Denial, Effect, Judged, Permit};
use protocol::{
    ApprovalId, Arguments, Basis, CallOutcome, CallUsage, ChangeSet, ChangeSetId, CommitMode, Conflict, EventBody,
    HeldChanges, Observation, StopCause, ToolCall, ToolResult, Verdict, canonical,
};
use sandbox::{Call, Ending, Mount, Network, NotRecorded, Outcome, Recording, Refusal};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use workspace::{CommitError, Durability, PendingCall, SentRequest, SessionJournal};

use crate::approver::Attendance;
use crate::cap::cap;
use crate::entry::Tool;
use crate::held::Waiting;
use crate::past::Past;
use crate::session::{TMP, ToolSession};
use crate::tape::Taping;
use crate::tools::Landed;
use crate::{Tools, ToolsError};

/// A finished call: what the machine, the model and a person need of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    pub outcome: CallOutcome,
    pub result: ToolResult,
    pub summary: String,
    pub usage: CallUsage,
}

/// What came of a call for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    Finished(Finished),
    /// It waits for a person, also when this process ends.
    Waiting(ApprovalId),
}

impl Called {
    /// Returns the finished call, `None` while it waits.
    pub fn finished(self) -> Option<Finished> {
        match self {
            Self::Finished(finished) => Some(finished),
            Self::Waiting(_) => None,
        }
    }
}

/// Requests that a call was allowed.
type Sent = Arc<Mutex<Vec<SentRequest>>>;

/// What a tool returned, with what it staged.
struct Returned {
    text: String,
    summary: String,
    usage: CallUsage,
    mounts: Vec<Whole>,
}

/// What was staged in one mount.
pub(crate) struct Staged {
    pub(crate) mount: Mount,
    /// What the call itself changed.
    pub(crate) changes: HeldChanges,
    /// Everything that is staged there.
    whole: ChangeSet,
}

impl Staged {
    /// Returns where the call did not see what is there now, if that is anywhere it changed something.
    fn conflicts(&self) -> Result<Option<Vec<Conflict>>, ToolsError> {
        let mut conflicts = self.mount.stage.conflicts(&self.whole)?;
        conflicts.retain(|conflict| self.changes.changes.changes.iter().any(|change| change.path == conflict.path));
        Ok((!conflicts.is_empty()).then_some(conflicts))
    }
}

/// How a call ended, before its result is capped and recorded.
pub(crate) struct Ended {
    pub(crate) outcome: CallOutcome,
    pub(crate) text: String,
    pub(crate) summary: String,
    pub(crate) usage: CallUsage,
    pub(crate) observed: Vec<Observation>,
    /// `None` where nothing ran.
    pub(crate) taping: Option<Taping>,
}

/// Why a call goes no further.
pub(crate) enum Halt {
    Ended(Box<Ended>),
    Waits(ApprovalId),
}

impl From<Ended> for Halt {
    fn from(ended: Ended) -> Self {
        Self::Ended(Box::new(ended))
    }
}

impl Ended {
    /// Returns the end of a call that never ran.
    pub(crate) fn unrun(outcome: CallOutcome, text: String, summary: &str) -> Self {
        let usage = CallUsage::default();
        Self { outcome, text, summary: summary.to_owned(), usage, observed: Vec::new(), taping: None }
    }

    pub(crate) fn denied(denial: &Denial) -> Self {
        let outcome = CallOutcome::Denied { rule: denial.rule.clone() };
        Self::unrun(outcome, denial.for_model(), &denial.effect)
    }

    /// Adds what the tool itself was not told: which rule refused a connection, and why.
    fn noting(mut self, refusals: &[Refusal]) -> Self {
        for Refusal { target, rule, reason } in refusals {
            let note = format!("\n[refused by rule `{rule}`: connect {target}. {reason}]");
            self.text.push_str(&note);
        }
        self
    }

    /// Adds what was sent by a call that did not succeed: no stage holds that back.
    fn confessing(mut self, sent: &[SentRequest]) -> Self {
        let lasting: Vec<_> = sent.iter().filter(|sent| sent.class().asks()).map(ToString::to_string).collect();
        if self.outcome != CallOutcome::Succeeded && !lasting.is_empty() {
            let note = format!("\n[sent before it ended, and may have taken effect: {}]", lasting.join(", "));
            self.text.push_str(&note);
        }
        self
    }

    fn ran(self, usage: CallUsage, taping: Option<Taping>) -> Self {
        Self { usage, taping, ..self }
    }
}

/// One call under way.
pub(crate) struct Calling<'a> {
    pub(crate) tools: &'a Tools,
    pub(crate) session: &'a ToolSession,
    pub(crate) pending: &'a PendingCall,
    pub(crate) cancel: &'a CancellationToken,
}

impl Tools {
    /// Carries out one proposal, from where it was left if it was begun before, and records its end. Whatever is wrong with
    /// the proposal comes back as a result that the model can act on; an error means that the runtime itself cannot go on.
    pub async fn call(
        &self,
        session: &ToolSession,
        pending: &PendingCall,
        cancel: &CancellationToken,
    ) -> Result<Called, ToolsError> {
        let calling = Calling { tools: self, session, pending, cancel };
        let ended = match calling.run().await? {
            Ok(ended) => ended,
            Err(Halt::Ended(ended)) => *ended,
            Err(Halt::Waits(approval)) => return Ok(Called::Waiting(approval)),
        };
        Ok(Called::Finished(calling.finish(ended)?))
    }
}

impl Tools {
    /// Records the end of a call that had committed `change_sets`, or staged what it changed if there are none, when the
    /// process ended before it could say so. The call is not run again: its effect is there.
    pub fn conclude(
        &self,
        session: &ToolSession,
        pending: &PendingCall,
        change_sets: &[ChangeSetId],
    ) -> Result<Finished, ToolsError> {
        let cancel = &CancellationToken::new();
        let ids: Vec<_> = change_sets.iter().map(ChangeSetId::as_str).collect();
        let done = if ids.is_empty() { "staged".to_owned() } else { format!("committed ({})", ids.join(", ")) };
        let text = format!(
            "The call finished and its changes were {done}, but the runtime stopped before it kept the output. \
             Do not repeat it; read the files to see their state."
        );
        let ended = Ended::unrun(CallOutcome::Succeeded, text, &format!("{done} before an interruption"));
        Calling { tools: self, session, pending, cancel }.finish(ended)
    }

    /// Records that a call will not be run, or not to its end, because its turn ended before.
    pub fn abandon(&self, session: &ToolSession, pending: &PendingCall) -> Result<Finished, ToolsError> {
        let cancel = &CancellationToken::new();
        let ended = cancelled().confessing(&pending.requests);
        Calling { tools: self, session, pending, cancel }.finish(ended)
    }
}

impl Calling<'_> {
    async fn run(&self) -> Result<Result<Ended, Halt>, ToolsError> {
        let Some(tool) = self.tools.registry.tool(&self.proposal().tool).await? else {
            return Ok(Ok(self.unknown()));
        };
        let arguments = match &self.proposal().arguments {
            Arguments::Json(arguments) => arguments,
            Arguments::Malformed(text) => return Ok(Ok(malformed(text))),
        };
        let errors = tool.schema.errors(arguments);
        if !errors.is_empty() {
            return Ok(Ok(misfit(&tool, &errors)));
        }
        if let Some(held) = &self.pending.held {
            return self.go_on(&tool, arguments, held).await;
        }
        if let Err(halt) = self.may_run(&tool).await? {
            return Ok(Err(halt));
        }
        match self.decide(&tool, arguments).await? {
            Ok((permit, approved)) => self.execute(&tool, arguments, permit, &approved).await,
            Err(halt) => Ok(Err(halt)),
        }
    }

    fn proposal(&self) -> &ToolCall {
        &self.pending.proposal
    }

    fn unknown(&self) -> Ended {
        let names = self.tools.registry.names().join(", ");
        let text = format!("There is no tool `{}`. The tools are: {names}.", self.proposal().tool);
        Ended::unrun(CallOutcome::Invalid, text, "no such tool")
    }

    pub(crate) fn journal(&self) -> SessionJournal<'_> {
        self.tools.workspace.journal().session(self.session.id())
    }

    /// Judges the call, records the decision, and asks whom there is to ask. Returns the permit and what a person
    /// approved for it.
    async fn decide(
        &self,
        tool: &Tool,
        arguments: &Value,
    ) -> Result<Result<(Permit, BTreeSet<Effect>), Halt>, ToolsError> {
        let request = self.request(tool, arguments)?;
        let effects = request.effects.clone();
        let judged = self.tools.judge.judge_call(request);
        let approved = if judged.verdict() == Verdict::Ask { effects } else { BTreeSet::new() };
        Ok(self.settle(tool, judged, &canonical(arguments)).await?.map(|permit| (permit, approved)))
    }

    pub(crate) fn request(&self, tool: &Tool, arguments: &Value) -> Result<CallRequest, ToolsError> {
        let mounts: Vec<&str> = self.session.grant().mounts().map(|(mount, _)| mount).collect();
        Ok(CallRequest {
            call: self.call_id().clone(),
            principal: self.session.principal().clone(),
            tool: tool.manifest.name.clone(),
            level: tool.manifest.level,
            arguments: arguments.clone(),
            effects: tool.manifest.effects(arguments, &mounts),
            grant: self.session.grant().attenuate(&tool.manifest.request(self.session.grant())),
            limits: self.tools.limits.meet(&tool.limits),
            basis: Some(self.basis(tool)?),
        })
    }

    fn basis(&self, tool: &Tool) -> Result<Basis, ToolsError> {
        Ok(self.session.basis(&self.journal(), self.tools, tool)?)
    }

    async fn execute(
        &self,
        tool: &Tool,
        arguments: &Value,
        permit: Permit,
        approved: &BTreeSet<Effect>,
    ) -> Result<Result<Ended, Halt>, ToolsError> {
        let (recording, sent) = (Recording::default(), Sent::default());
        let outcome = match &self.tools.past {
            None => match self.run_in_sandbox(tool, arguments, permit, approved, (&recording, &sent)).await {
                Ok(outcome) => outcome,
                Err(error) => return Ok(Ok(unfit(&error.to_string()))),
            },
            // What the permit allows is not done again.
            Some(past) => match past.run(&self.tools.sandbox, tool, self.proposal(), arguments, self.cancel).await {
                Some(outcome) => outcome,
                None => return Ok(Ok(self.as_recorded(past))),
            },
        };
        self.ended(tool, outcome, approved, (&recording, &sent)).await
    }

    async fn run_in_sandbox(
        &self,
        tool: &Tool,
        arguments: &Value,
        permit: Permit,
        approved: &BTreeSet<Effect>,
        (recording, sent): (&Recording, &Sent),
    ) -> Result<Outcome, CommitError> {
        let mounts = self.tools.mounts(self.session, tool, approved, permit.limits(), recording)?;
        let network = self.network(tool, &permit, approved, sent);
        let (name, cancel) = (&tool.manifest.name, self.cancel.clone());
        let call = Call { tool: name, arguments, mounts, network, recording: Some(recording.clone()), cancel };
        Ok(tool.run(&self.tools.sandbox, permit, call).await)
    }

    /// Returns the recorded end of a call that cannot be run again.
    fn as_recorded(&self, past: &Past) -> Ended {
        let Some(finished) = past.finished(self.proposal()) else { return cancelled() };
        let (outcome, text) = (finished.outcome.clone(), finished.result.text.clone());
        Ended { usage: finished.usage, ..Ended::unrun(outcome, text, &finished.summary) }
    }

    /// Returns the end of a call that ran, after its changes were committed or staged.
    async fn ended(
        &self,
        tool: &Tool,
        mut outcome: Outcome,
        approved: &BTreeSet<Effect>,
        (recording, sent): (&Recording, &Sent),
    ) -> Result<Result<Ended, Halt>, ToolsError> {
        let mounts = wholes(&mut outcome)?;
        let mut taping = Taping::of(recording, &outcome, &mounts);
        let ended = match std::mem::replace(&mut outcome.ending, Ending::Cancelled) {
            Ending::Returned { text, summary } => {
                let returned = Returned { text, summary, usage: outcome.usage, mounts };
                match self.returned(tool, returned, approved, &mut taping).await? {
                    Ok(ended) => ended,
                    Err(Halt::Ended(ended)) => *ended,
                    waits => return Ok(waits),
                }
            }
            Ending::Rejected(text) => {
                let summary = text.lines().next().unwrap_or_default().to_owned();
                Ended::unrun(CallOutcome::Rejected, text, &summary)
            }
            Ending::Stopped(cause) => {
                let text =
                    format!("The call was stopped: {}. No file was changed. Ask for less at once.", stop_text(cause));
                Ended::unrun(CallOutcome::Stopped { cause }, text, stop_text(cause))
            }
            Ending::Internal(reason) | Ending::Trapped(reason) => failed(&reason),
            Ending::HostFailed(reason) => return Err(ToolsError::Sandbox(reason)),
            Ending::Cancelled => cancelled(),
        };
        let sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Ok(ended.noting(&outcome.refusals).confessing(&sent).ran(outcome.usage, taping)))
    }

    /// Returns what judges and records the connections of the call, if its tool asks for any; those that nobody granted
    /// are refused and recorded like others. What is allowed is added to `sent`.
    fn network(&self, tool: &Tool, permit: &Permit, approved: &BTreeSet<Effect>, sent: &Sent) -> Option<Network> {
        if tool.manifest.capabilities.network.is_empty() {
            return None;
        }
        let (manifest, workspace) = (&tool.manifest, self.tools.workspace.clone());
        let egress = self.tools.judge.egress(&manifest.name, manifest.level, permit.grant(), approved);
        let (session, sent) = (self.session.id().clone(), sent.clone());
        let record = move |event| {
            sent.lock().unwrap_or_else(PoisonError::into_inner).extend(SentRequest::of(&event));
            let recorded = workspace.journal().append(&session, &[event], Durability::Process);
            recorded.map(drop).map_err(|error| NotRecorded(error.to_string()))
        };
        Some(Network { egress, record: Arc::new(record), secrets: self.tools.secrets.clone() })
    }

    /// Commits what the call staged, when policy allows it.
    async fn returned(
        &self,
        tool: &Tool,
        returned: Returned,
        approved: &BTreeSet<Effect>,
        taping: &mut Option<Taping>,
    ) -> Result<Result<Ended, Halt>, ToolsError> {
        let Returned { mut text, summary, usage, mounts } = returned;
        let mut observed = ToolSession::observe(mounts.iter().map(|(mount, _)| mount));
        let (own, shared): (Vec<_>, Vec<_>) = mounts.into_iter().partition(|(mount, _)| mount.name == TMP);
        let mut staged: VecDeque<_> = self.staged(shared).into();
        let mut held = false;
        while let Some(next) = staged.front() {
            let judged = self.judge(tool, &next.changes, approved)?;
            let asks = judged.verdict() == Verdict::Ask;
            // What the call saw of the files is known now; a later commit only knows what it changes.
            if (asks || self.session.commit_mode() != CommitMode::PerCall)
                && let Some(conflicts) = next.conflicts()?
            {
                return Ok(Ok(conflicted(&conflicts)));
            }
            let mut detail = String::new();
            if asks {
                detail = self.tools.workspace.diff_staged(&next.mount.stage, &next.changes.changes)?;
                // An answer may take longer than this process lasts.
                if !held && self.tools.approver.attendance() != Attendance::Absent {
                    let waiting = Waiting { text: &text, summary: &summary, usage, observed: &observed, approved };
                    self.hold(staged.make_contiguous(), waiting, taping.take())?;
                    held = true;
                }
            }
            let permit = match self.settle(tool, judged, &detail).await? {
                Ok(permit) => permit,
                Err(halt) => return Ok(Err(halt)),
            };
            let Some(Staged { mount, changes, .. }) = staged.pop_front() else { break };
            let approved = &approving(approved, asks, &changes);
            let landed = match (&self.tools.past, self.session.commit_mode()) {
                (Some(past), CommitMode::PerCall) => {
                    Landed { outcome: past.committed(self.proposal(), &changes.changes), observed: Vec::new() }
                }
                (None, CommitMode::PerCall) => {
                    self.tools.commit(self.session, permit, self.call_id().clone(), mount, changes.changes).await?
                }
                (_, CommitMode::PerTurn | CommitMode::Manual) => {
                    self.add(permit, &changes, Some(&mount.stage), approved)?
                }
            };
            match landed.observed() {
                Ok(landed) => observed = later(observed, landed),
                Err(halt) => return Ok(Err(halt)),
            }
        }
        self.session.remember(&observed);
        // Last: what was refused must not look as if it had happened.
        for mount in own {
            if let Some(reason) = self.keep_tmp(tool, mount, approved).await? {
                text = format!("{text}\n[note: what the call wrote below {TMP} was not kept: {reason}]");
            }
        }
        Ok(Ok(Ended { outcome: CallOutcome::Succeeded, text, summary, usage, observed, taping: None }))
    }

    /// Returns what the call itself changed in each mount, the change sets named.
    fn staged(&self, mounts: Vec<Whole>) -> Vec<Staged> {
        let mut staged = Vec::new();
        for (mount, whole) in mounts {
            let before = self.session.staged(&mount.name);
            let changes = before.map_or_else(|| whole.clone(), |before| before.staged.changes.increment(&whole));
            if !changes.is_empty() {
                let change_set = ChangeSetId::from_random((self.tools.random)());
                staged.push(Staged { mount, changes: HeldChanges { change_set, changes }, whole });
            }
        }
        staged
    }

    /// Judges and applies what the call left in the session's own folder. Returns why it was not kept.
    async fn keep_tmp(
        &self,
        tool: &Tool,
        mount: Whole,
        approved: &BTreeSet<Effect>,
    ) -> Result<Option<String>, ToolsError> {
        let Some(Staged { mount, changes, .. }) = self.staged(vec![mount]).pop() else { return Ok(None) };
        let judged = self.judge(tool, &changes, approved)?;
        if judged.verdict() == Verdict::Ask {
            return Ok(Some(format!("rule `{}` asks about it", judged.rule())));
        }
        let permit = match self.settle(tool, judged, "").await? {
            Ok(permit) => permit,
            Err(Halt::Ended(ended)) => return Ok(Some(ended.text)),
            Err(Halt::Waits(approval)) => return Ok(Some(format!("it waits for {approval}"))),
        };
        if self.tools.past.is_some() {
            return Ok(None);
        }
        Ok(match self.tools.apply_tmp(self.session, permit, mount, changes.changes).await {
            Ok(conflicts) => conflicts.first().map(|conflict| format!("{} changed meanwhile", conflict.path)),
            Err(error) => Some(error.to_string()),
        })
    }

    /// Judges what a call really wrote.
    pub(crate) fn judge(
        &self,
        tool: &Tool,
        HeldChanges { change_set, changes }: &HeldChanges,
        approved: &BTreeSet<Effect>,
    ) -> Result<Judged<CommitPermit>, ToolsError> {
        Ok(self.tools.judge.judge_commit(CommitRequest {
            change_set: change_set.clone(),
            call: Some(self.call_id().clone()),
            principal: self.session.principal().clone(),
            tool: tool.manifest.name.clone(),
            level: tool.manifest.level,
            changes: changes.clone(),
            grant: self.session.grant().clone(),
            approved: approved.clone(),
            basis: Some(self.basis(tool)?),
        }))
    }

    /// Caps the result, keeps the whole output where the model can read it, and records the end.
    fn finish(&self, ended: Ended) -> Result<Finished, ToolsError> {
        let call = self.call_id();
        let whole = ended.text;
        let capped = cap(&whole, &ToolSession::result_path(call));
        let full_output = if capped.cut { Some(self.session.keep(&self.tools.workspace, call, &whole)?) } else { None };
        let result = ToolResult {
            call: call.clone(),
            wire_id: self.proposal().wire_id.clone(),
            text: capped.text,
            is_error: ended.outcome != CallOutcome::Succeeded,
        };
        let event = EventBody::CallFinished {
            call: call.clone(),
            tool: self.proposal().tool.clone(),
            outcome: ended.outcome.clone(),
            result: result.clone(),
            summary: ended.summary.clone(),
            full_output,
            usage: ended.usage,
            observed: ended.observed,
        };
        let (taped, contents) = Taping::event(ended.taping, call);
        let events: Vec<_> = taped.into_iter().chain([event]).collect();
        self.tools.workspace.append_with_contents(self.session.id(), &events, contents)?;
        Ok(Finished { outcome: ended.outcome, result, summary: ended.summary, usage: ended.usage })
    }
}

/// Returns what a person approved, with the paths that were asked about when they had been written.
pub(crate) fn approving(approved: &BTreeSet<Effect>, asked: bool, written: &HeldChanges) -> BTreeSet<Effect> {
    let HeldChanges { changes, .. } = written;
    let write = |path: &str| Effect::Write { path: format!("{}/{path}", changes.mount) };
    let also = changes.changes.iter().filter(|_| asked).map(|change| write(&change.path));
    approved.iter().cloned().chain(also).collect()
}

/// A mount with everything that is staged in it, by this call and by those before.
pub(crate) type Whole = (Mount, ChangeSet);

/// Takes the mounts of a call with what they stage; only of one that returned something is anything looked at.
fn wholes(outcome: &mut Outcome) -> Result<Vec<Whole>, ToolsError> {
    let mounts = std::mem::take(&mut outcome.mounts);
    if !matches!(outcome.ending, Ending::Returned { .. }) {
        return Ok(Vec::new());
    }
    let changes = |mount: Mount| Ok((mount.stage.changes()?, mount));
    mounts.into_iter().map(changes).map(|staged| staged.map(|(changes, mount)| (mount, changes))).collect()
}

/// Returns `earlier` with what is known since.
pub(crate) fn later(mut earlier: Vec<Observation>, known: Vec<Observation>) -> Vec<Observation> {
    earlier.retain(|seen| !known.iter().any(|later| later.mount == seen.mount && later.path == seen.path));
    earlier.extend(known);
    earlier
}

fn malformed(text: &str) -> Ended {
    let shown: String = text.chars().take(200).collect();
    let text = format!("The arguments are not one complete JSON object: {shown}. Send the call again with valid JSON.");
    Ended::unrun(CallOutcome::Invalid, text, "malformed arguments")
}

fn misfit(tool: &Tool, errors: &[String]) -> Ended {
    let text = format!(
        "The arguments do not fit the schema of `{}`:\n- {}\nSend the call again with arguments that fit.",
        tool.manifest.name,
        errors.join("\n- ")
    );
    Ended::unrun(CallOutcome::Invalid, text, &errors[0])
}

pub(crate) fn cancelled() -> Ended {
    Ended::unrun(CallOutcome::Cancelled, "The call was cancelled. No file was changed.".into(), "cancelled")
}

pub(crate) fn failed(reason: &str) -> Ended {
    let text = format!("The tool failed: {reason}. No file was changed.");
    Ended::unrun(CallOutcome::Failed, text, reason.lines().next().unwrap_or_default())
}

/// Returns what a model reads of the limit that stopped its call.
fn stop_text(cause: StopCause) -> &'static str {
    match cause {
        StopCause::Fuel => "it computed for too long",
        StopCause::Deadline => "it took too long",
        StopCause::Memory => "it asked for too much memory",
        StopCause::Stack => "it recursed too deeply",
        StopCause::Output => "it returned too much",
        StopCause::Resources => "it opened too many files",
        StopCause::Stage => "it wrote too much",
    }
}

/// Returns the end of a call that found what is staged not to fit on what is there now.
fn unfit(reason: &str) -> Ended {
    let text = format!(
        "What this session staged no longer fits the workspace ({reason}), so nothing ran. A person has to look at it: \
         say so, and stop."
    );
    Ended::unrun(CallOutcome::Conflicted, text, "what is staged no longer fits")
}

pub(crate) fn conflicted(conflicts: &[Conflict]) -> Ended {
    let paths: Vec<_> = conflicts.iter().map(|conflict| conflict.path.as_str()).collect();
    let paths = paths.join(", ");
    let text =
        format!("Nothing was written: {paths} changed since it was read. Read it again, then decide what to change.");
    Ended::unrun(CallOutcome::Conflicted, text, &paths)
}
