//! Commit and undo of change sets.
use policy::{CommitPermit, PermitMismatch};
use protocol::{CallId, ChangeSet, ChangeSetId, CommitOutcome, Observation, SessionId};
use stage::{Stage, StageError};

use crate::{BlobError, JournalError};

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

/// One undo of a committed change set. The permit is for the inverse set, under the undo's own identifier.
#[derive(Debug)]
pub struct Undo<'a> {
    pub permit: CommitPermit,
    pub of: &'a ChangeSetId,
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
    #[error("the change set {0} was never committed, so there is nothing to take back")]
    NotCommitted(ChangeSetId),
    #[error("nothing is mounted at {0}")]
    NoMount(String),
    /// An earlier commit into this mount was interrupted and can be neither finished nor taken back now.
    #[error("the change set {change_set} is neither finished nor taken back: {reason}")]
    Unsettled { change_set: ChangeSetId, reason: String },
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{path}: {source}")]
    Io { path: std::path::PathBuf, source: std::io::Error },
}
