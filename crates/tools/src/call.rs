//! One call, from a proposal to a result: resolve, validate, judge, record, run, commit, record.

use std::collections::BTreeSet;
use std::sync::Arc;

use policy::{CallRequest, CommitPermit, CommitRequest, Decision, Denial, Effect, Judged, Permit};
use protocol::{
    Arguments, Basis, CallOutcome, CallUsage, ChangeSet, ChangeSetId, CommitOutcome, Conflict, EventBody, Observation,
    StopCause, ToolCall, ToolResult, Verdict, canonical,
};
use sandbox::{Call, Ending, Mount, Network, NotRecorded, Outcome, Recording, Refusal};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use workspace::{Durability, SessionJournal};

use crate::approver::Asked;
use crate::cap::cap;
use crate::entry::Tool;
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

/// How a call ended, before its result is capped and recorded.
struct Ended {
    outcome: CallOutcome,
    text: String,
    summary: String,
    usage: CallUsage,
    observed: Vec<Observation>,
    /// `None` where nothing ran.
    taping: Option<Taping>,
}

impl Ended {
    /// Returns the end of a call that never ran.
    fn unrun(outcome: CallOutcome, text: String, summary: &str) -> Self {
        let usage = CallUsage::default();
        Self { outcome, text, summary: summary.to_owned(), usage, observed: Vec::new(), taping: None }
    }

    fn denied(denial: &Denial) -> Self {
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

    fn ran(self, outcome: &Outcome, taping: Option<Taping>) -> Self {
        Self { usage: outcome.usage, taping, ..self }
    }
}

/// One call under way.
struct Calling<'a> {
    tools: &'a Tools,
    session: &'a ToolSession,
    proposal: &'a ToolCall,
    cancel: &'a CancellationToken,
}

impl Tools {
    /// Carries out one proposal and records its end. Whatever is wrong with the proposal comes back as a result that
    /// the model can act on; an error means that the runtime itself cannot go on.
    pub async fn call(
        &self,
        session: &ToolSession,
        proposal: &ToolCall,
        cancel: &CancellationToken,
    ) -> Result<Finished, ToolsError> {
        let calling = Calling { tools: self, session, proposal, cancel };
        let ended = calling.run().await?;
        calling.finish(ended)
    }
}

impl Tools {
    /// Records the end of a call that had committed `change_sets` when the process ended before it could say so. The
    /// call is not run again: its effect is there.
    pub fn conclude(
        &self,
        session: &ToolSession,
        proposal: &ToolCall,
        change_sets: &[ChangeSetId],
    ) -> Result<Finished, ToolsError> {
        let cancel = &CancellationToken::new();
        let ids: Vec<_> = change_sets.iter().map(ChangeSetId::as_str).collect();
        let ids = ids.join(", ");
        let text = format!(
            "The call finished and its changes were committed ({ids}), but the runtime stopped before it kept the output. \
             Do not repeat it; read the files to see their state."
        );
        let ended = Ended::unrun(CallOutcome::Succeeded, text, &format!("committed {ids} before an interruption"));
        Calling { tools: self, session, proposal, cancel }.finish(ended)
    }

    /// Records that a call which was proposed never ran, because its turn ended before.
    pub fn abandon(&self, session: &ToolSession, proposal: &ToolCall) -> Result<Finished, ToolsError> {
        let cancel = &CancellationToken::new();
        Calling { tools: self, session, proposal, cancel }.finish(cancelled())
    }
}

impl Calling<'_> {
    async fn run(&self) -> Result<Ended, ToolsError> {
        let Some(tool) = self.tools.registry.tool(&self.proposal.tool).await? else {
            return Ok(self.unknown());
        };
        let arguments = match &self.proposal.arguments {
            Arguments::Json(arguments) => arguments,
            Arguments::Malformed(text) => return Ok(malformed(text)),
        };
        let errors = tool.schema.errors(arguments);
        if !errors.is_empty() {
            return Ok(misfit(&tool, &errors));
        }
        match self.decide(&tool, arguments).await? {
            Ok((permit, approved)) => self.execute(&tool, arguments, permit, &approved).await,
            Err(ended) => Ok(ended),
        }
    }

    fn unknown(&self) -> Ended {
        let names = self.tools.registry.names().join(", ");
        let text = format!("There is no tool `{}`. The tools are: {names}.", self.proposal.tool);
        Ended::unrun(CallOutcome::Invalid, text, "no such tool")
    }

    fn journal(&self) -> SessionJournal<'_> {
        self.tools.workspace.journal().session(self.session.id())
    }

    /// Judges the call, records the decision, and asks whom there is to ask. Returns the permit and what a person
    /// approved for it.
    async fn decide(
        &self,
        tool: &Tool,
        arguments: &Value,
    ) -> Result<Result<(Permit, BTreeSet<Effect>), Ended>, ToolsError> {
        let request = self.request(tool, arguments)?;
        let effects = request.effects.clone();
        let judged = self.tools.judge.judge_call(request);
        let asked = judged.verdict() == Verdict::Ask;
        Ok(match self.settle(judged, &canonical(arguments)).await? {
            Some(Decision::Allow(permit)) => Ok((permit, if asked { effects } else { BTreeSet::new() })),
            Some(Decision::Deny(denial)) => Err(Ended::denied(&denial)),
            Some(Decision::Ask(_)) | None => Err(cancelled()),
        })
    }

    fn request(&self, tool: &Tool, arguments: &Value) -> Result<CallRequest, ToolsError> {
        let mounts: Vec<&str> = self.session.grant().mounts().map(|(mount, _)| mount).collect();
        Ok(CallRequest {
            call: self.proposal.call.clone(),
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

    /// Records a judgement and, when it asks, the answer. `None` means that it was cancelled while waiting.
    async fn settle<P>(&self, judged: Judged<P>, detail: &str) -> Result<Option<Decision<P>>, ToolsError> {
        let journal = self.journal();
        let question = match judged.record(&journal)? {
            Decision::Ask(question) => question,
            decided => return Ok(Some(decided)),
        };
        let asked = Asked {
            tool: question.tool(),
            effects: question.effects(),
            rule: question.rule(),
            reason: question.reason(),
            detail,
        };
        let answer = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Ok(None),
            answer = self.tools.approver.ask(asked) => answer,
        };
        Ok(Some(question.answer(answer, &journal)?))
    }

    async fn execute(
        &self,
        tool: &Tool,
        arguments: &Value,
        permit: Permit,
        approved: &BTreeSet<Effect>,
    ) -> Result<Ended, ToolsError> {
        let recording = Recording::default();
        let outcome = match &self.tools.past {
            None => self.run_in_sandbox(tool, arguments, permit, approved, &recording).await,
            // What the permit allows is not done again.
            Some(past) => match past.run(&self.tools.sandbox, tool, self.proposal, arguments, self.cancel).await {
                Some(outcome) => outcome,
                None => return Ok(self.as_recorded(past)),
            },
        };
        self.ended(tool, outcome, approved, &recording).await
    }

    async fn run_in_sandbox(
        &self,
        tool: &Tool,
        arguments: &Value,
        permit: Permit,
        approved: &BTreeSet<Effect>,
        recording: &Recording,
    ) -> Outcome {
        let mounts = self.tools.mounts(self.session, tool, approved, permit.limits(), recording);
        let network = self.network(tool, &permit, approved);
        let (name, cancel) = (&tool.manifest.name, self.cancel.clone());
        let call = Call { tool: name, arguments, mounts, network, recording: Some(recording.clone()), cancel };
        tool.run(&self.tools.sandbox, permit, call).await
    }

    /// Returns the recorded end of a call that cannot be run again.
    fn as_recorded(&self, past: &Past) -> Ended {
        let Some(finished) = past.finished(self.proposal) else { return cancelled() };
        let (outcome, text) = (finished.outcome.clone(), finished.result.text.clone());
        Ended { usage: finished.usage, ..Ended::unrun(outcome, text, &finished.summary) }
    }

    /// Returns the end of a call that ran, after its changes were committed.
    async fn ended(
        &self,
        tool: &Tool,
        mut outcome: Outcome,
        approved: &BTreeSet<Effect>,
        recording: &Recording,
    ) -> Result<Ended, ToolsError> {
        let staged = staged(&mut outcome)?;
        let taping = Taping::of(recording, &outcome, &staged);
        let ended = match std::mem::replace(&mut outcome.ending, Ending::Cancelled) {
            Ending::Returned { text, summary } => self.returned(tool, text, summary, staged, approved).await?,
            Ending::Rejected(text) => {
                let summary = text.lines().next().unwrap_or_default().to_owned();
                Ended::unrun(CallOutcome::Rejected, text, &summary)
            }
            Ending::Stopped(cause) => {
                let text =
                    format!("The call was stopped: {}. Nothing was changed. Ask for less at once.", stop_text(cause));
                Ended::unrun(CallOutcome::Stopped { cause }, text, stop_text(cause))
            }
            Ending::Internal(reason) | Ending::Trapped(reason) => failed(&reason),
            Ending::HostFailed(reason) => return Err(ToolsError::Sandbox(reason)),
            Ending::Cancelled => cancelled(),
        };
        Ok(ended.noting(&outcome.refusals).ran(&outcome, taping))
    }

    /// Returns what judges and records the connections of the call, if its tool asks for any; those that nobody granted
    /// are refused and recorded like others.
    fn network(&self, tool: &Tool, permit: &Permit, approved: &BTreeSet<Effect>) -> Option<Network> {
        if tool.manifest.capabilities.network.is_empty() {
            return None;
        }
        let (manifest, workspace) = (&tool.manifest, self.tools.workspace.clone());
        let egress = self.tools.judge.egress(&manifest.name, manifest.level, permit.grant(), approved);
        let session = self.session.id().clone();
        let record = move |event| {
            let recorded = workspace.journal().append(&session, &[event], Durability::Process);
            recorded.map(drop).map_err(|error| NotRecorded(error.to_string()))
        };
        Some(Network { egress, record: Arc::new(record), secrets: self.tools.secrets.clone() })
    }

    /// Commits what the call staged, when policy allows it.
    async fn returned(
        &self,
        tool: &Tool,
        mut text: String,
        summary: String,
        staged: Vec<Staged>,
        approved: &BTreeSet<Effect>,
    ) -> Result<Ended, ToolsError> {
        let mut observed = ToolSession::observe(staged.iter().map(|(mount, _)| mount));
        let (own, shared): (Vec<_>, Vec<_>) = staged.into_iter().partition(|(mount, _)| mount.name == TMP);
        for (mount, changes) in shared {
            if changes.is_empty() {
                continue;
            }
            match self.commit(tool, mount, changes, approved).await? {
                Ok(landed) => observed = later(observed, landed),
                Err(ended) => return Ok(ended),
            }
        }
        self.session.remember(&observed);
        // Last: what was refused must not look as if it had happened.
        for (mount, changes) in own {
            if let Some(reason) = self.keep_tmp(tool, mount, changes, approved).await? {
                text = format!("{text}\n[note: what the call wrote below {TMP} was not kept: {reason}]");
            }
        }
        Ok(Ended {
            outcome: CallOutcome::Succeeded,
            text,
            summary,
            usage: CallUsage::default(),
            observed,
            taping: None,
        })
    }

    /// Judges and applies what the call left in the session's own folder. Returns why it was not kept.
    async fn keep_tmp(
        &self,
        tool: &Tool,
        mount: Mount,
        changes: ChangeSet,
        approved: &BTreeSet<Effect>,
    ) -> Result<Option<String>, ToolsError> {
        if changes.is_empty() {
            return Ok(None);
        }
        let permit = match self.judge(tool, &mount, &changes, approved).await? {
            Ok(permit) => permit,
            Err(ended) => return Ok(Some(ended.text)),
        };
        if self.tools.past.is_some() {
            return Ok(None);
        }
        Ok(match self.tools.apply_tmp(self.session, permit, mount, changes).await {
            Ok(conflicts) => conflicts.first().map(|conflict| format!("{} changed meanwhile", conflict.path)),
            Err(error) => Some(error.to_string()),
        })
    }

    /// Judges and commits one change set. Returns the files as the commit left them, or how the call ended without one.
    async fn commit(
        &self,
        tool: &Tool,
        mount: Mount,
        changes: ChangeSet,
        approved: &BTreeSet<Effect>,
    ) -> Result<Result<Vec<Observation>, Ended>, ToolsError> {
        let permit = match self.judge(tool, &mount, &changes, approved).await? {
            Ok(permit) => permit,
            Err(ended) => return Ok(Err(ended)),
        };
        let call = self.proposal.call.clone();
        let landed = match &self.tools.past {
            Some(past) => Landed { outcome: past.committed(self.proposal, &changes), observed: Vec::new() },
            None => self.tools.commit(self.session, permit, call, mount, changes).await?,
        };
        Ok(match landed.outcome {
            CommitOutcome::Committed => Ok(landed.observed),
            CommitOutcome::Conflicted { conflicts } => Err(conflicted(&conflicts)),
            CommitOutcome::RolledBack { reason } => Err(failed(&reason)),
        })
    }

    /// Judges what a call really wrote, and records the decision. Returns the permit, or how the call ended without one.
    async fn judge(
        &self,
        tool: &Tool,
        mount: &Mount,
        changes: &ChangeSet,
        approved: &BTreeSet<Effect>,
    ) -> Result<Result<CommitPermit, Ended>, ToolsError> {
        let change_set = ChangeSetId::from_random((self.tools.random)());
        let request = CommitRequest {
            change_set,
            call: Some(self.proposal.call.clone()),
            principal: self.session.principal().clone(),
            tool: tool.manifest.name.clone(),
            level: tool.manifest.level,
            changes: changes.clone(),
            grant: self.session.grant().clone(),
            approved: approved.clone(),
            basis: Some(self.basis(tool)?),
        };
        let judged = self.tools.judge.judge_commit(request);
        let detail = match judged.verdict() {
            Verdict::Ask => self.tools.workspace.diff_staged(&mount.stage, changes)?,
            _ => String::new(),
        };
        Ok(match self.settle(judged, &detail).await? {
            Some(Decision::Allow(permit)) => Ok(permit),
            Some(Decision::Deny(denial)) => Err(Ended::denied(&denial)),
            Some(Decision::Ask(_)) | None => Err(cancelled()),
        })
    }

    /// Caps the result, keeps the whole output where the model can read it, and records the end.
    fn finish(&self, ended: Ended) -> Result<Finished, ToolsError> {
        let call = &self.proposal.call;
        let whole = ended.text;
        let capped = cap(&whole, &ToolSession::result_path(call));
        let full_output = if capped.cut { Some(self.session.keep(&self.tools.workspace, call, &whole)?) } else { None };
        let result = ToolResult {
            call: call.clone(),
            wire_id: self.proposal.wire_id.clone(),
            text: capped.text,
            is_error: ended.outcome != CallOutcome::Succeeded,
        };
        let event = EventBody::CallFinished {
            call: call.clone(),
            tool: self.proposal.tool.clone(),
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

/// A mount with what the call staged in it.
type Staged = (Mount, ChangeSet);

/// Takes the mounts of a call with what they stage; only of one that returned something is anything looked at.
fn staged(outcome: &mut Outcome) -> Result<Vec<Staged>, ToolsError> {
    let mounts = std::mem::take(&mut outcome.mounts);
    if !matches!(outcome.ending, Ending::Returned { .. }) {
        return Ok(Vec::new());
    }
    let changes = |mount: Mount| Ok((mount.stage.changes()?, mount));
    mounts.into_iter().map(changes).map(|staged| staged.map(|(changes, mount)| (mount, changes))).collect()
}

/// Returns `earlier` with what is known since.
fn later(mut earlier: Vec<Observation>, known: Vec<Observation>) -> Vec<Observation> {
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

fn cancelled() -> Ended {
    Ended::unrun(CallOutcome::Cancelled, "The call was cancelled. Nothing was changed.".into(), "cancelled")
}

fn failed(reason: &str) -> Ended {
    let text = format!("The tool failed: {reason}. Nothing was changed.");
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

fn conflicted(conflicts: &[Conflict]) -> Ended {
    let paths: Vec<_> = conflicts.iter().map(|conflict| conflict.path.as_str()).collect();
    let paths = paths.join(", ");
    let text =
        format!("Nothing was written: {paths} changed since it was read. Read it again, then decide what to change.");
    Ended::unrun(CallOutcome::Conflicted, text, &paths)
}
