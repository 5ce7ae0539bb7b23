//! Changes that are committed later than their calls: added up, and committed as one.

use std::collections::BTreeSet;

use policy::{Answer, COMMIT, CommitPermit, CommitRequest, Decision, Effect};
use protocol::{Basis, ChangeSetId, CommitOutcome, HeldChanges, Level, Verdict};
use stage::Stage;
use workspace::{HeldCommit, StagedView, Staging};

use crate::call::Calling;
use crate::session::ToolSession;
use crate::tools::Landed;
use crate::{Tools, ToolsError};

/// Why what was staged is not committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Uncommitted {
    #[error("refused by rule `{rule}`: {effect}")]
    Refused { rule: String, effect: String },
    /// It did not when it was staged.
    #[error("rule `{rule}` asks about it")]
    Asks { rule: String },
    #[error("changed since: {}", paths.join(", "))]
    Conflicted { paths: Vec<String> },
    #[error("{0}")]
    RolledBack(String),
}

impl Calling<'_> {
    /// Adds what the call changed to what its session staged. Nothing reaches the tree.
    pub(crate) fn add(
        &self,
        permit: CommitPermit,
        increment: &HeldChanges,
        stage: Option<&Stage>,
        approved: &BTreeSet<Effect>,
    ) -> Result<Landed, ToolsError> {
        let increment = &increment.changes;
        let before = self.session.staged(&increment.mount);
        let changes = before.as_ref().map_or_else(|| increment.clone(), |before| before.staged.changes.then(increment));
        let staged = HeldChanges { change_set: ChangeSetId::from_random((self.tools.random)()), changes };
        let approved: BTreeSet<String> = approved.iter().map(ToString::to_string).collect();
        self.tools.workspace.stage(Staging {
            session: self.session.id(),
            call: self.call_id(),
            permit,
            staged: HeldChanges { change_set: staged.change_set.clone(), changes: increment.clone() },
            approved: approved.clone(),
            stage,
        })?;
        let mut all = before.map(|before| before.approved).unwrap_or_default();
        all.extend(approved);
        self.session.restage(StagedView { staged, approved: all });
        Ok(Landed { outcome: CommitOutcome::Committed, observed: Vec::new() })
    }
}

impl Tools {
    /// Commits everything that `session` staged, mount by mount. Returns why something was not; it stays staged.
    pub async fn commit_staged(&self, session: &ToolSession) -> Result<Option<Uncommitted>, ToolsError> {
        for staged in session.all_staged() {
            let permit = match self.judge_staged(session, &staged)? {
                Ok(permit) => permit,
                Err(refused) => return Ok(Some(refused)),
            };
            let (workspace, id, changes) =
                (self.workspace.clone(), session.id().clone(), staged.staged.changes.clone());
            if let Some(past) = &self.past {
                if let Some(reason) = reason(past.committed_later(&staged.staged.changes)) {
                    return Ok(Some(reason));
                }
                session.unstage(&staged.staged.changes.mount);
                continue;
            }
            let commit =
                move || workspace.commit_held(HeldCommit { session: &id, call: None, permit, changes: &changes });
            let committed = tokio::task::spawn_blocking(commit).await.map_err(|_| ToolsError::Interrupted)??;
            if let Some(reason) = reason(committed.outcome) {
                return Ok(Some(reason));
            }
            session.remember(&committed.observed);
            session.unstage(&staged.staged.changes.mount);
        }
        Ok(None)
    }

    /// Judges everything that is staged in one mount. What asks was asked and allowed when it was staged; what was not,
    /// because the policy is another by now, is refused.
    fn judge_staged(
        &self,
        session: &ToolSession,
        StagedView { staged, approved }: &StagedView,
    ) -> Result<Result<CommitPermit, Uncommitted>, ToolsError> {
        let journal = self.workspace.journal().session(session.id());
        let basis = Basis { policy: session.policy(&journal, self)?, tool: None };
        let request = |approved| CommitRequest {
            change_set: staged.change_set.clone(),
            call: None,
            principal: session.principal().clone(),
            tool: COMMIT.to_owned(),
            level: Level::Write,
            changes: staged.changes.clone(),
            grant: session.grant().clone(),
            approved,
            basis: Some(basis.clone()),
        };
        let allowed = approved.iter().filter_map(|effect| effect.parse().ok()).collect();
        let is_approved = self.judge.judge_commit(request(allowed)).verdict() == Verdict::Allow;
        Ok(match self.judge.judge_commit(request(BTreeSet::new())).record(&journal)? {
            Decision::Allow(permit) => Ok(permit),
            Decision::Deny(denial) => Err(Uncommitted::Refused { rule: denial.rule, effect: denial.effect }),
            Decision::Ask(question) => {
                let rule = question.rule().to_owned();
                let answer = if is_approved { Answer::Staged } else { Answer::Unattended };
                match question.answer(answer, None, &journal)? {
                    Decision::Allow(permit) => Ok(permit),
                    _ => Err(Uncommitted::Asks { rule }),
                }
            }
        })
    }
}

/// Returns why a commit did not come about, `None` if it did.
fn reason(outcome: CommitOutcome) -> Option<Uncommitted> {
    match outcome {
        CommitOutcome::Committed => None,
        CommitOutcome::Conflicted { conflicts } => {
            Some(Uncommitted::Conflicted { paths: conflicts.into_iter().map(|conflict| conflict.path).collect() })
        }
        CommitOutcome::RolledBack { reason } => Some(Uncommitted::RolledBack(reason)),
    }
}
