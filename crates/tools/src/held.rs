//! Calls that wait with what they staged, and their way on after an answer.

use std::collections::BTreeSet;

use policy::Effect;
use protocol::{CallOutcome, CallUsage, CommitMode, CommitOutcome, HeldCall, HeldChanges, Observation, Verdict};
use serde_json::Value;
use workspace::{ChangeSetState, HeldCommit, Hold};

use crate::ToolsError;
use crate::call::{Calling, Ended, Halt, Staged, approving, conflicted, failed, later};
use crate::entry::Tool;
use crate::session::TMP;
use crate::tape::Taping;
use crate::tools::Landed;

/// What a call that has to wait will return.
#[derive(Clone, Copy)]
pub(crate) struct Waiting<'a> {
    pub(crate) text: &'a str,
    pub(crate) summary: &'a str,
    pub(crate) usage: CallUsage,
    pub(crate) observed: &'a [Observation],
    pub(crate) approved: &'a BTreeSet<Effect>,
}

impl Landed {
    /// Returns the files as a commit left them, or how the call ended without one.
    pub(crate) fn observed(self) -> Result<Vec<Observation>, Halt> {
        match self.outcome {
            CommitOutcome::Committed => Ok(self.observed),
            CommitOutcome::Conflicted { conflicts } => Err(conflicted(&conflicts).into()),
            CommitOutcome::RolledBack { reason } => Err(failed(&reason).into()),
        }
    }
}

impl Calling<'_> {
    /// Keeps what waits, so that the call is not run again. What it left below `/tmp` is not kept: that is worth no
    /// question.
    pub(crate) fn hold(
        &self,
        staged: &[Staged],
        waiting: Waiting<'_>,
        taping: Option<Taping>,
    ) -> Result<(), ToolsError> {
        let Waiting { text, summary, usage, observed, approved } = waiting;
        Ok(self.tools.workspace.hold(Hold {
            session: self.session.id(),
            call: self.call_id(),
            staged: staged.iter().map(|staged| (&staged.mount.stage, staged.changes.clone())).collect(),
            approved: !approved.is_empty(),
            text,
            summary,
            usage,
            observed: observed.to_vec(),
            taped: Taping::event(taping, self.call_id()),
        })?)
    }

    /// Goes on with a call that ran to its end and was held: what it staged is judged and asked about as it was then.
    pub(crate) async fn go_on(
        &self,
        tool: &Tool,
        arguments: &Value,
        held: &HeldCall,
    ) -> Result<Result<Ended, Halt>, ToolsError> {
        let approved = if held.approved { self.request(tool, arguments)?.effects } else { BTreeSet::new() };
        let mut observed = held.observed.clone();
        for changes in &held.changes {
            match self.land(tool, changes, &approved).await? {
                Ok(landed) => observed = later(observed, landed),
                Err(halt) => return Ok(Err(halt)),
            }
        }
        self.session.remember(&observed);
        let note = format!("[note: the call waited for an answer; what it wrote below {TMP} was not kept]");
        let text = format!("{}\n{note}", self.tools.workspace.held_text(held)?);
        let (summary, usage) = (held.summary.clone(), held.usage);
        Ok(Ok(Ended { outcome: CallOutcome::Succeeded, text, summary, usage, observed, taping: None }))
    }

    /// Tells whether `changes` were staged before an interruption, where changes are committed later.
    fn has_staged(&self, changes: &HeldChanges) -> bool {
        let staged = self.session.staged(&changes.changes.mount).filter(|_| self.pending.staged);
        staged.is_some_and(|staged| staged.staged.changes.contains(&changes.changes))
    }

    /// Commits one held change set, unless that was done before an interruption.
    async fn land(
        &self,
        tool: &Tool,
        changes: &HeldChanges,
        approved: &BTreeSet<Effect>,
    ) -> Result<Result<Vec<Observation>, Halt>, ToolsError> {
        let known = self.tools.workspace.journal().change_set(&changes.change_set)?;
        let landed = |state: &ChangeSetState| match state {
            ChangeSetState::Ended(outcome) => *outcome == CommitOutcome::Committed,
            ChangeSetState::Undone { .. } => true,
            ChangeSetState::Intended => false,
        };
        if known.is_some_and(|record| landed(&record.state)) {
            return Ok(Ok(Vec::new()));
        }
        if self.has_staged(changes) {
            return Ok(Ok(Vec::new()));
        }
        let judged = self.judge(tool, changes, approved)?;
        let approved = &approving(approved, judged.verdict() == Verdict::Ask, changes);
        let detail = self.tools.workspace.diff(&changes.changes)?;
        let permit = match self.settle(tool, judged, &detail).await? {
            Ok(permit) => permit,
            Err(halt) => return Ok(Err(halt)),
        };
        if self.session.commit_mode() != CommitMode::PerCall {
            return Ok(self.add(permit, changes, None, approved)?.observed());
        }
        let (workspace, session) = (self.tools.workspace.clone(), self.session.id().clone());
        let (call, changes) = (self.call_id().clone(), changes.changes.clone());
        let commit = move || {
            let (session, call, changes) = (&session, Some(&call), &changes);
            workspace.commit_held(HeldCommit { session, call, permit, changes })
        };
        let committed = tokio::task::spawn_blocking(commit).await.map_err(|_| ToolsError::Interrupted)??;
        let landed = Landed { outcome: committed.outcome, observed: committed.observed };
        Ok(landed.observed())
    }
}
