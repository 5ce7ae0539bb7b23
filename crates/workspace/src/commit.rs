//! Commit of change sets, those that undo others included.
//!
//! Under the commit lock: look for conflicts, keep the contents before and after, put the intent on the disk, change the
//! files one atomic step at a time, put the end on the disk. Small contents lie in the journal, so that one flush makes
//! them and the intent durable. Whatever interrupts this is settled by `settle.rs`.

use std::io::{self, Cursor, Read};
use std::path::PathBuf;

use policy::{CommitPermit, PermitMismatch};
use protocol::{
    CallId, ChangeSet, ChangeSetId, CommitOutcome, Conflict, ContentHash, EventBody, Node, Observation, SessionId,
};
use stage::{Quota, Scratch, Stage, StageError, StageOptions, Step, Veil, Writer, steps};

use crate::blobs::BlobError;
use crate::faults;
use crate::journal::{Durability, JournalError};
use crate::keep::Keeper;
use crate::workspace::{Mounted, Workspace};

/// One commit of what a call staged.
#[derive(Debug)]
pub struct Commit<'a> {
    pub session: &'a SessionId,
    pub call: &'a CallId,
    pub permit: CommitPermit,
    pub stage: &'a Stage,
    /// Exactly what `stage.changes()` said and the permit was given for.
    pub changes: &'a ChangeSet,
}

/// One commit of what was held: see [`Workspace::hold`].
#[derive(Debug)]
pub struct HeldCommit<'a> {
    pub session: &'a SessionId,
    /// `None` of what several calls staged.
    pub call: Option<&'a CallId>,
    pub permit: CommitPermit,
    pub changes: &'a ChangeSet,
}

/// How a commit ended, as the journal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    pub change_set: ChangeSetId,
    pub outcome: CommitOutcome,
    /// The files as the commit left them, so that the session's own writes do not look like somebody else's. Empty
    /// unless it was committed.
    pub observed: Vec<Observation>,
}

/// Why a commit or undo did not end.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error(transparent)]
    Permit(#[from] PermitMismatch),
    #[error("there is no change set {0}")]
    Unknown(ChangeSetId),
    #[error("the change set {change_set} was already taken back by {by}")]
    AlreadyUndone { change_set: ChangeSetId, by: ChangeSetId },
    /// It met a conflict, was rolled back, or has not ended.
    #[error("the change set {0} was not committed, so there is nothing to take back")]
    NotCommitted(ChangeSetId),
    #[error("what is taken back at once must be of one mount")]
    ManyMounts,
    /// What it needs was freed, at this time (milliseconds since the Unix epoch).
    #[error("the content {hash} is no longer kept: it was freed")]
    Freed { hash: ContentHash, at_ms: u64 },
    #[error("nothing is mounted at {0}")]
    NoMount(String),
    /// A commit into this mount, this one or an earlier one, was interrupted and can be neither finished nor taken back
    /// now. The next commit, or the next opening of the workspace, tries again.
    #[error("the change set {change_set} is neither finished nor taken back: {reason}")]
    Unsettled { change_set: ChangeSetId, reason: String },
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

type Result<T> = std::result::Result<T, CommitError>;

/// A change set on its way to a mount.
pub(crate) struct Attempt<'a> {
    pub(crate) session: &'a SessionId,
    pub(crate) call: Option<&'a CallId>,
    pub(crate) change_set: ChangeSetId,
    pub(crate) changes: &'a ChangeSet,
    pub(crate) undoes: Option<&'a ChangeSetId>,
    /// What is recorded with the intent.
    pub(crate) beside: &'a [EventBody],
    pub(crate) mount: &'a Mounted,
}

impl Workspace {
    /// Commits what a call staged. Blocks: files are written and flushed.
    pub fn commit(&self, commit: Commit<'_>) -> Result<Committed> {
        let Commit { session, call, permit, stage, changes } = commit;
        let change_set = permit.redeem(changes)?;
        let mount = self.mounted(&changes.mount)?;
        let _lock = self.lock_commits()?;
        self.settle_before(&changes.mount)?;
        let attempt = Attempt { session, call: Some(call), change_set, changes, undoes: None, beside: &[], mount };
        self.attempt(&attempt, stage, |hash| Ok(Box::new(stage.content(hash)?)))
    }

    /// Commits what was held. What was changed since it was staged is a conflict. Blocks.
    pub fn commit_held(&self, commit: HeldCommit<'_>) -> Result<Committed> {
        let HeldCommit { session, call, permit, changes } = commit;
        let change_set = permit.redeem(changes)?;
        let mount = self.mounted(&changes.mount)?;
        let _lock = self.lock_commits()?;
        self.settle_before(&changes.mount)?;
        let attempt = Attempt { session, call, change_set, changes, undoes: None, beside: &[], mount };
        self.attempt(&attempt, &self.empty_stage(mount, &changes.mount), |hash| self.content(hash))
    }

    /// Returns a stage that holds nothing; it compares a change set with what stands.
    pub(crate) fn empty_stage(&self, mount: &Mounted, name: &str) -> Stage {
        let options = StageOptions {
            mount: name.to_owned(),
            writable: false,
            quota: Quota { bytes: 0, entries: 0 },
            scratch: Scratch::new(self.scratch()),
            clock: self.clock(),
            veil: Veil::none(),
        };
        Stage::new(mount.base.clone(), options)
    }

    /// Makes the attempt; contents that are not kept yet come from `source`.
    pub(crate) fn attempt(
        &self,
        attempt: &Attempt<'_>,
        stage: &Stage,
        source: impl FnMut(&ContentHash) -> Result<Box<dyn Read>>,
    ) -> Result<Committed> {
        let mut conflicts = stage.conflicts(attempt.changes)?;
        faults::point("compared");
        if conflicts.is_empty() {
            conflicts = self.intend(attempt, source)?;
        }
        if !conflicts.is_empty() {
            return self.refuse(attempt, conflicts);
        }
        faults::point("intended");
        let applied = self.apply(attempt.mount, attempt.changes);
        faults::point("applied");
        let (outcome, observed) = match applied {
            Ok(observed) => (CommitOutcome::Committed, observed),
            Err(error) => (self.take_back(attempt, &error)?, Vec::new()),
        };
        self.end(attempt, outcome, observed, Durability::Power)
    }

    /// Records that nothing was changed because of `conflicts`.
    pub(crate) fn refuse(&self, attempt: &Attempt<'_>, conflicts: Vec<Conflict>) -> Result<Committed> {
        self.end(attempt, CommitOutcome::Conflicted { conflicts }, Vec::new(), Durability::Process)
    }

    /// Keeps all contents and records the intent, both durably. A file that changed while it was kept is a conflict, and
    /// then nothing is intended.
    fn intend(
        &self,
        attempt: &Attempt<'_>,
        mut source: impl FnMut(&ContentHash) -> Result<Box<dyn Read>>,
    ) -> Result<Vec<Conflict>> {
        let mut keeper = Keeper::new(self.journal(), self.blobs());
        for change in &attempt.changes.changes {
            if let Node::File { hash, size, .. } = &change.before
                && !keeper.keep(hash, *size, || Ok(Box::new(attempt.mount.base.read(&change.path)?)))?
            {
                let (path, expected) = (change.path.clone(), change.before.clone());
                let found = attempt.mount.base.node(&path)?;
                return Ok(vec![Conflict { path, expected, found }]);
            }
            if let Node::File { hash, size, .. } = &change.after
                && !keeper.keep(hash, *size, || source(hash))?
            {
                return Err(StageError::NoContent.into());
            }
        }
        let intent = EventBody::CommitIntended {
            change_set: attempt.change_set.clone(),
            call: attempt.call.cloned(),
            changes: attempt.changes.clone(),
            undoes: attempt.undoes.cloned(),
        };
        let small = keeper.flush()?;
        faults::point("kept");
        self.journal().intend(attempt.session, (&intent, attempt.beside), &attempt.mount.place, &small)?;
        Ok(Vec::new())
    }

    fn apply(&self, mount: &Mounted, changes: &ChangeSet) -> Result<Vec<Observation>> {
        let writer = self.writer(mount)?;
        let mut observed = Vec::new();
        for step in steps(changes) {
            faults::point("step");
            let stamp = self.perform(&writer, &step)?;
            if let (Step::Put(change), Some(stamp)) = (step, stamp)
                && matches!(change.after, Node::File { .. })
            {
                observed.push(Observation { mount: changes.mount.clone(), path: change.path.clone(), stamp });
            }
        }
        Ok(observed)
    }

    /// Undoes what an attempt did before `error` stopped it.
    fn take_back(&self, attempt: &Attempt<'_>, error: &CommitError) -> Result<CommitOutcome> {
        let writer = self.writer(attempt.mount)?;
        self.restore(&writer, &attempt.mount.base, attempt.changes, &error.to_string()).map_err(|error| {
            CommitError::Unsettled { change_set: attempt.change_set.clone(), reason: error.to_string() }
        })
    }

    fn end(
        &self,
        attempt: &Attempt<'_>,
        outcome: CommitOutcome,
        observed: Vec<Observation>,
        durability: Durability,
    ) -> Result<Committed> {
        self.finish(attempt.session, &attempt.change_set, &outcome, durability)?;
        Ok(Committed { change_set: attempt.change_set.clone(), outcome, observed })
    }

    pub(crate) fn finish(
        &self,
        session: &SessionId,
        change_set: &ChangeSetId,
        outcome: &CommitOutcome,
        durability: Durability,
    ) -> Result<()> {
        let event = EventBody::CommitFinished { change_set: change_set.clone(), outcome: outcome.clone() };
        self.journal().append(session, &[event], durability)?;
        Ok(())
    }

    /// Returns a writer below `mount`; used by whoever holds the commit lock.
    pub(crate) fn writer(&self, mount: &Mounted) -> Result<Writer> {
        Ok(Writer::new(mount.base.clone(), &self.state().commit_temporaries(), true)?)
    }

    /// Performs one step with kept contents.
    pub(crate) fn perform(&self, writer: &Writer, step: &Step<'_>) -> Result<Option<protocol::Stamp>> {
        let mut failure = None;
        let stamp = writer.perform(step, &mut |hash| {
            self.content(hash).map_err(|error| {
                failure = Some(error);
                StageError::NoContent
            })
        });
        stamp.map_err(|error| failure.unwrap_or_else(|| error.into()))
    }

    /// Returns a kept content, verified while it is read.
    pub(crate) fn content(&self, hash: &ContentHash) -> Result<Box<dyn Read>> {
        Ok(match self.journal().content(hash)? {
            Some(bytes) => Box::new(Cursor::new(bytes)),
            None => match self.blobs().open(hash) {
                Err(BlobError::Missing(hash)) => return Err(self.missing(hash)),
                opened => Box::new(opened?),
            },
        })
    }

    /// Returns why a content is not there.
    fn missing(&self, hash: ContentHash) -> CommitError {
        match self.journal().freed_at(&hash) {
            Ok(Some(at_ms)) => CommitError::Freed { hash, at_ms },
            Ok(None) => BlobError::Missing(hash).into(),
            Err(error) => error.into(),
        }
    }
}
