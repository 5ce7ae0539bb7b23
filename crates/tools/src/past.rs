//! Calls of a whole session that is run again: each gives what its tape gives, and its commit ends as it ended.

use std::sync::Arc;

use protocol::{ChangeSet, CommitOutcome, Taped, ToolCall, Verdict};
use sandbox::{Ending, Outcome, Refusal, Replay, Sandbox};
use serde_json::Value;
use stage::Scratch;
use tokio_util::sync::CancellationToken;
use workspace::{CallAccount, FinishedCall, SessionAccount, Workspace};

use crate::entry::Tool;
use crate::tape::{Contents, reel};

/// Refusals that a call's result tells; as many as a gate remembers.
const MAX_REFUSALS: usize = 8;

/// What the world was in a recorded session.
pub struct Past {
    account: Arc<SessionAccount>,
    /// Where the session was recorded.
    workspace: Arc<Workspace>,
}

impl Past {
    /// Returns the past of the session that `account` tells of, whose contents `workspace` keeps.
    pub fn new(account: Arc<SessionAccount>, workspace: Arc<Workspace>) -> Self {
        Self { account, workspace }
    }

    /// Runs `proposal` again; `None` where there is nothing to run it from.
    pub(crate) async fn run(
        &self,
        sandbox: &Sandbox,
        tool: &Tool,
        proposal: &ToolCall,
        arguments: &Value,
        cancel: &CancellationToken,
    ) -> Option<Outcome> {
        let call = self.call(proposal)?;
        let Some(Taped::Kept { tape, .. }) = &call.taped else { return None };
        let reel = reel(&self.workspace, tape).ok()?;
        let contents = Contents::new(self.workspace.clone());
        let replay = Replay {
            tool: &tool.manifest.name,
            arguments,
            tape: &reel.tape,
            contents: contents.given(),
            scratch: Scratch::new(self.workspace.scratch()),
            cancel: cancel.clone(),
        };
        let outcome = tool.replay(sandbox, replay).await.outcome;
        let could_run = !matches!(outcome.ending, Ending::HostFailed(_)) && contents.missing().is_none();
        could_run.then(|| Outcome { refusals: refusals(call), ..outcome })
    }

    /// Returns how `proposal` ended then.
    pub(crate) fn finished(&self, proposal: &ToolCall) -> Option<&FinishedCall> {
        self.call(proposal)?.finished.as_ref()
    }

    /// Returns how the commit of `changes` ended then: whether a file had changed underneath was the world's to say.
    pub(crate) fn committed(&self, proposal: &ToolCall, changes: &ChangeSet) -> CommitOutcome {
        let commits = self.call(proposal).into_iter().flat_map(|call| &call.commits);
        let mut same = commits.filter(|commit| commit.changes.as_ref() == Some(changes));
        // Of one that conflicted before its intent only the mount is known, by there being nothing else.
        let then = same.next().and_then(|commit| commit.outcome.clone());
        then.or_else(|| self.conflicted(proposal)).unwrap_or(CommitOutcome::Committed)
    }

    /// Returns how the commit of `changes` ended then, which several calls had staged.
    pub(crate) fn committed_later(&self, changes: &ChangeSet) -> CommitOutcome {
        let mut same = self.account.undos().iter().filter(|commit| commit.changes.as_ref() == Some(changes));
        let then = same.next().and_then(|commit| commit.outcome.clone());
        let conflicted = || self.account.undos().iter().find_map(|commit| conflict(commit.outcome.as_ref()));
        then.or_else(conflicted).unwrap_or(CommitOutcome::Committed)
    }

    fn conflicted(&self, proposal: &ToolCall) -> Option<CommitOutcome> {
        let mut outcomes = self.call(proposal)?.commits.iter().filter_map(|commit| commit.outcome.clone());
        outcomes.find(|outcome| matches!(outcome, CommitOutcome::Conflicted { .. }))
    }

    fn call(&self, proposal: &ToolCall) -> Option<&CallAccount> {
        self.account.calls().find(|call| call.call == proposal.call)
    }
}

fn conflict(outcome: Option<&CommitOutcome>) -> Option<CommitOutcome> {
    outcome.filter(|outcome| matches!(outcome, CommitOutcome::Conflicted { .. })).cloned()
}

/// Returns what the gate refused `call` then.
fn refusals(call: &CallAccount) -> Vec<Refusal> {
    let refused = call.requests.iter().filter(|request| request.verdict == Verdict::Deny);
    let refusal = |request: &workspace::RequestAccount| Refusal {
        target: request.target.clone(),
        rule: request.rule.clone(),
        reason: request.reason.clone(),
    };
    refused.map(refusal).take(MAX_REFUSALS).collect()
}
