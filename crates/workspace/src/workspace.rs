//! The workspace as a whole.
use std::path::{Path, PathBuf};

use protocol::{CallId, ChangeSet, ChangeSetId, ContentHash, SessionId};
use stage::{Base, Clock, Stage, StageError};

use crate::{BlobError, Blobs, Commit, CommitError, Committed, DiffError, Journal, JournalError, LeaseError, SessionLease, SessionView, Undo};

/// A directory of the host and the guest's name for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `/work`, `/NAME`.
    pub name: String,
    pub host: PathBuf,
}

/// What opening a workspace found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opening {
    /// Interrupted commits that were finished or taken back.
    pub settled: Vec<Committed>,
    /// Interrupted commits that could be neither, and why.
    pub unsettled: Vec<(ChangeSetId, String)>,
    /// Why `.boxagnts/` could not be added to the repository's `info/exclude`.
    pub not_excluded: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// `.boxagnts` or something in it is not what the runtime made: a symbolic link, or somebody else's.
    #[error("{path} is not the runtime's own: {reason}")]
    NotOurs { path: PathBuf, reason: String },
    #[error("{mount}: {source}")]
    Mount { mount: String, source: StageError },
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
}

/// `Send` and `Sync`.
#[derive(Debug)]
pub struct Workspace;

impl Workspace {
    /// Opens the state of the workspace at `root`, making it if there is none, and settles commits that were interrupted.
    /// `mounts` are the directories that commits go to (`/work` and each `map_dirs`).
    pub fn open(_root: &Path, _mounts: &[Mount], _clock: Clock) -> Result<Self, WorkspaceError> { todo!() }
    pub fn opening(&self) -> &Opening { todo!() }
    pub fn root(&self) -> &Path { todo!() }
    pub fn journal(&self) -> &Journal { todo!() }
    pub fn blobs(&self) -> &Blobs { todo!() }
    /// Returns the directory mounted as `mount`; make stages over this.
    pub fn base(&self, _mount: &str) -> Option<&Base> { todo!() }
    /// Returns a directory for a stage's scratch.
    pub fn scratch(&self) -> &Path { todo!() }
    /// Takes the right to drive `session`.
    pub fn lease(&self, _session: &SessionId) -> Result<SessionLease, LeaseError> { todo!() }
    /// Replays `session`.
    pub fn view(&self, _session: &SessionId) -> Result<SessionView, JournalError> { todo!() }
    /// Returns the directory of a session's whole outputs, made if there is none.
    pub fn results(&self, _session: &SessionId) -> Result<PathBuf, WorkspaceError> { todo!() }
    /// Keeps a call's whole output as a blob, and as `CALL.txt` in [`Self::results`].
    pub fn keep_result(&self, _session: &SessionId, _call: &CallId, _text: &str) -> Result<ContentHash, WorkspaceError> { todo!() }
    /// Commits what a call staged. Blocks: files are written and flushed.
    pub fn commit(&self, _commit: Commit<'_>) -> Result<Committed, CommitError> { todo!() }
    /// Returns the set that takes `of` back, for a decision about it.
    pub fn inverse(&self, _of: &ChangeSetId) -> Result<ChangeSet, CommitError> { todo!() }
    /// Takes a committed change set back.
    pub fn undo(&self, _undo: Undo<'_>) -> Result<Committed, CommitError> { todo!() }
    /// Returns what a commit of `changes` would do, as unified text.
    pub fn diff_staged(&self, _stage: &Stage, _changes: &ChangeSet) -> Result<String, DiffError> { todo!() }
    /// Returns what a change set did, as unified text.
    pub fn diff(&self, _changes: &ChangeSet) -> Result<String, DiffError> { todo!() }
}
