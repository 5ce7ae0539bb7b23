//! The append-only journal: `SQLite` in WAL mode, one row an event.

mod calls;
mod ledger;
mod open;
mod read;
mod sessions;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use policy::Recorder;
use protocol::{ChangeSetId, ContentHash, Event, EventBody, SessionId};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};
use stage::Clock;

pub use ledger::{Balance, Held};
pub(crate) use read::Unfinished;
pub use read::{ChangeSetRecord, ChangeSetState, LookupError, SessionSummary};
pub use sessions::{Chapter, InvalidName, Passage, TurnPlace, session_name};

/// What an acknowledged append survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process, `kill -9` included.
    Process,
    /// The end of the machine: flushed to the disk, with everything appended before.
    Power,
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("{path} was written by a newer version: it has schema {found}, this one knows {known}")]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{path} is not a journal: {reason}")]
    Foreign { path: PathBuf, reason: String },
    #[error("{path} is damaged: {reason}")]
    Damaged { path: PathBuf, reason: String },
    #[error("{path} is kept locked by another process")]
    Busy { path: PathBuf },
    #[error("event {sequence} of {path} cannot be read: {reason}")]
    Unreadable { path: PathBuf, sequence: u64, reason: String },
    #[error("an event cannot be written down: {0}")]
    Unwritable(serde_json::Error),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    /// The database failed; `reason` is `SQLite`'s.
    #[error("{path}: {reason}")]
    Failed { path: PathBuf, reason: String },
}

pub(crate) type Result<T> = std::result::Result<T, JournalError>;

/// Something that is told of each event.
type Observer = Box<dyn Fn(&Event) + Send + Sync>;

/// The journal of one workspace. Several processes may append at once; sequence numbers have no gaps.
pub struct Journal {
    path: PathBuf,
    clock: Clock,
    writer: Mutex<Writer>,
    observers: Mutex<Vec<Observer>>,
}

#[derive(Debug)]
struct Writer {
    connection: Connection,
    /// What the connection's `synchronous` is set to.
    durability: Durability,
}

impl fmt::Debug for Journal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Journal").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Journal {
    /// Returns the writing end for one session.
    pub fn session(&self, id: &SessionId) -> SessionJournal<'_> {
        SessionJournal { journal: self, session: id.clone() }
    }

    /// Appends `bodies` in one transaction and returns them as events.
    pub fn append(&self, session: &SessionId, bodies: &[EventBody], durability: Durability) -> Result<Vec<Event>> {
        self.write(durability, |now, transaction| {
            bodies.iter().map(|body| insert(transaction, session, now, body, None)).collect()
        })
    }

    /// Keeps small contents, without flushing them: the intent that follows does.
    pub(crate) fn keep(&self, contents: &[(ContentHash, Vec<u8>)]) -> Result<()> {
        self.write(Durability::Process, |_, transaction| {
            let mut statement = transaction.prepare_cached("INSERT OR IGNORE INTO contents VALUES (?1, ?2)")?;
            for (hash, bytes) in contents {
                statement.execute(params![hash.as_str(), bytes])?;
            }
            Ok(Vec::new())
        })?;
        Ok(())
    }

    /// Appends the intent of a commit to `place`, with the small contents it needs; all of it is flushed at once.
    pub(crate) fn intend(
        &self,
        session: &SessionId,
        intent: &EventBody,
        place: &str,
        contents: &[(ContentHash, Vec<u8>)],
    ) -> Result<()> {
        self.write(Durability::Power, |now, transaction| {
            let mut statement = transaction.prepare_cached("INSERT OR IGNORE INTO contents VALUES (?1, ?2)")?;
            for (hash, bytes) in contents {
                statement.execute(params![hash.as_str(), bytes])?;
            }
            Ok(vec![insert(transaction, session, now, intent, Some(place))?])
        })?;
        Ok(())
    }

    /// Calls `observer` with each event that this process appends, after it is kept, in order. It must not append.
    pub fn observe(&self, observer: Box<dyn Fn(&Event) + Send + Sync>) {
        self.observers().push(observer);
    }

    /// Runs `work` in one transaction, and tells the observers of its events.
    fn write(
        &self,
        durability: Durability,
        work: impl FnOnce(u64, &Transaction<'_>) -> std::result::Result<Vec<Event>, Failure>,
    ) -> Result<Vec<Event>> {
        let mut writer = self.writer();
        let events = writer.transact(durability, |transaction| work(self.now_ms(), transaction));
        let events = events.map_err(|failure| failure.at(&self.path))?;
        // Taken before the writer is given back, so that observers see the events of all threads in order.
        let observers = self.observers();
        drop(writer);
        for event in &events {
            observers.iter().for_each(|observer| observer(event));
        }
        Ok(events)
    }

    /// Returns how durable the last append was.
    #[cfg(test)]
    pub(crate) fn last_durability(&self) -> Durability {
        self.writer().durability
    }

    fn now_ms(&self) -> u64 {
        let since = (self.clock)().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// A panic elsewhere leaves no half transaction: it was rolled back while unwinding.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn observers(&self) -> MutexGuard<'_, Vec<Observer>> {
        self.observers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn transact<T>(
        &mut self,
        durability: Durability,
        work: impl FnOnce(&Transaction<'_>) -> std::result::Result<T, Failure>,
    ) -> std::result::Result<T, Failure> {
        if self.durability != durability {
            self.connection.prepare_cached(synchronous(durability))?.raw_execute()?;
            self.durability = durability;
        }
        // Immediate: a transaction that reads first and writes later can be refused half-way.
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        let result = work(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }
}

/// In WAL mode, NORMAL writes to the operating system and FULL flushes to the disk at each commit.
fn synchronous(durability: Durability) -> &'static str {
    match durability {
        Durability::Process => "PRAGMA synchronous = NORMAL",
        Durability::Power => "PRAGMA synchronous = FULL",
    }
}

/// Appends one event.
fn insert(
    transaction: &Transaction<'_>,
    session: &SessionId,
    now_ms: u64,
    body: &EventBody,
    place: Option<&str>,
) -> std::result::Result<Event, Failure> {
    const INSERT: &str = "INSERT INTO events (session, recorded_at_ms, kind, change_set, undoes, place, body) \
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let text = serde_json::to_string(body).map_err(Failure::Json)?;
    let (kind, change_set, undoes) = landmark(body);
    let now = i64::try_from(now_ms).unwrap_or(i64::MAX);
    let mut statement = transaction.prepare_cached(INSERT)?;
    let sequence = statement.insert(params![session.as_str(), now, kind, change_set, undoes, place, text])?;
    Ok(Event {
        sequence: sequence.cast_unsigned(),
        session: session.clone(),
        recorded_at_ms: now_ms,
        body: body.clone(),
    })
}

/// Returns what an event is looked up by.
fn landmark(body: &EventBody) -> (Option<&'static str>, Option<&str>, Option<&str>) {
    match body {
        EventBody::SessionOpened { .. } | EventBody::SessionForked { .. } => (Some("session_opened"), None, None),
        EventBody::SessionNamed { .. } => (Some("session_named"), None, None),
        EventBody::TurnOpened { .. } => (Some("turn_opened"), None, None),
        EventBody::TurnClosed { .. } => (Some("turn_closed"), None, None),
        EventBody::CommitIntended { change_set, undoes, .. } => {
            (Some("commit_intended"), Some(change_set.as_str()), undoes.as_ref().map(ChangeSetId::as_str))
        }
        EventBody::CommitFinished { change_set, .. } => (Some("commit_finished"), Some(change_set.as_str()), None),
        _ => (None, None, None),
    }
}

/// A failure inside a transaction, before it is known where.
#[derive(Debug)]
enum Failure {
    Sqlite(rusqlite::Error),
    Json(serde_json::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Failure {
    fn at(self, path: &Path) -> JournalError {
        match self {
            Self::Sqlite(error) => failed(path, &error),
            Self::Json(error) => JournalError::Unwritable(error),
        }
    }
}

fn failed(path: &Path, error: &rusqlite::Error) -> JournalError {
    let (path, reason) = (path.to_owned(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => JournalError::Foreign { path, reason },
        Some(ErrorCode::DatabaseCorrupt) => JournalError::Damaged { path, reason },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => JournalError::Busy { path },
        _ => JournalError::Failed { path, reason },
    }
}

/// The writing end of one session.
#[derive(Debug, Clone)]
pub struct SessionJournal<'a> {
    journal: &'a Journal,
    session: SessionId,
}

impl SessionJournal<'_> {
    /// Appends `bodies` in one transaction and returns them as events.
    pub fn append(&self, bodies: &[EventBody], durability: Durability) -> Result<Vec<Event>> {
        self.journal.append(&self.session, bodies, durability)
    }
}

impl Recorder for SessionJournal<'_> {
    type Error = JournalError;

    fn record(&self, event: EventBody) -> Result<()> {
        self.append(&[event], Durability::Process).map(drop)
    }
}

#[cfg(test)]
mod tests;
