//! The append-only journal.
use policy::Recorder;
use protocol::{CallId, ChangeSet, ChangeSetId, CommitOutcome, Event, EventBody, SessionId, TurnOutcome};
use std::path::PathBuf;

/// What an acknowledged append survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process, `kill -9` included.
    Process,
    /// The end of the machine.
    Power,
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("{path} was written by a newer version (schema {found}; this one knows {known})")]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{path} is not a journal: {reason}")]
    Foreign { path: PathBuf, reason: String },
    #[error("event {sequence} of the journal cannot be read: {reason}")]
    Unreadable { sequence: u64, reason: String },
    #[error("the journal cannot be written: no identifier …")]
    Sqlite(#[from] rusqlite::Error),
}

#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    #[error("nothing begins with `{0}`")]
    None(String),
    #[error("`{prefix}` may mean {}", matches.join(", "))]
    Ambiguous { prefix: String, matches: Vec<String> },
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// One session in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSummary {
    pub session: SessionId,
    pub model: String,
    pub opened_at_ms: u64,
    pub last_at_ms: u64,
    /// What the first turn asked.
    pub first_text: Option<String>,
    /// How the last closed turn ended; `None` while the first is open.
    pub last_outcome: Option<TurnOutcome>,
}

/// What became of a change set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeSetState {
    /// Intended, not finished: a commit is under way, or was interrupted.
    Intended,
    Ended(CommitOutcome),
    /// Committed, then taken back by this change set.
    Undone { by: ChangeSetId },
}

/// One change set as the journal knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeSetRecord {
    pub change_set: ChangeSetId,
    pub session: SessionId,
    pub call: Option<CallId>,
    pub intended_at_ms: u64,
    pub changes: ChangeSet,
    pub undoes: Option<ChangeSetId>,
    pub state: ChangeSetState,
}

/// `Send` and `Sync`; several processes may append at once.
#[derive(Debug)]
pub struct Journal;

impl Journal {
    /// Appends `bodies` in one transaction and returns them as events.
    pub fn append(&self, _session: &SessionId, _bodies: &[EventBody], _durability: Durability) -> Result<Vec<Event>, JournalError> { todo!() }
    /// Returns the writing end for one session.
    pub fn session(&self, _id: &SessionId) -> SessionJournal<'_> { todo!() }
    /// Calls `observer` with each event this process appends, after it is kept, in order. It must not append.
    pub fn observe(&self, _observer: Box<dyn Fn(&Event) + Send + Sync>) { todo!() }
    /// Returns the events of one session, in order.
    pub fn events(&self, _session: &SessionId) -> Result<Vec<Event>, JournalError> { todo!() }
    /// Feeds the events of one session to `take`, in order, page by page.
    pub fn for_each(&self, _session: &SessionId, _take: impl FnMut(Event)) -> Result<(), JournalError> { todo!() }
    /// Returns at most `limit` events after `sequence`, of every session.
    pub fn tail(&self, _sequence: u64, _limit: usize) -> Result<Vec<Event>, JournalError> { todo!() }
    /// Returns at most `limit` sessions, the last used first.
    pub fn sessions(&self, _limit: usize) -> Result<Vec<SessionSummary>, JournalError> { todo!() }
    /// Returns the one session whose identifier begins with `prefix`.
    pub fn find_session(&self, _prefix: &str) -> Result<SessionId, LookupError> { todo!() }
    /// Returns at most `limit` change sets, the newest first.
    pub fn change_sets(&self, _limit: usize) -> Result<Vec<ChangeSetRecord>, JournalError> { todo!() }
    pub fn change_set(&self, _id: &ChangeSetId) -> Result<Option<ChangeSetRecord>, JournalError> { todo!() }
    /// Returns the one change set whose identifier begins with `prefix`.
    pub fn find_change_set(&self, _prefix: &str) -> Result<ChangeSetId, LookupError> { todo!() }
}

/// The writing end of one session.
#[derive(Debug, Clone)]
pub struct SessionJournal<'a> {
    pub(crate) _journal: &'a Journal,
}

impl SessionJournal<'_> {
    pub fn append(&self, _bodies: &[EventBody], _durability: Durability) -> Result<Vec<Event>, JournalError> { todo!() }
}

impl Recorder for SessionJournal<'_> {
    type Error = JournalError;
    fn record(&self, _event: EventBody) -> Result<(), JournalError> { todo!() }
}
