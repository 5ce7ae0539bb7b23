//! The append-only journal: `SQLite` in WAL mode, one row an event, each linked to the one before by its hash.

mod anchor;
mod append;
mod approvals;
mod breaks;
mod calls;
mod chain;
mod checkpoint;
mod custody;
mod export;
mod freed;
mod ledger;
mod open;
mod read;
mod recount;
mod sessions;
mod standing;
mod undos;
mod verify;
mod views;
mod walk;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use policy::Recorder;
use protocol::{ContentHash, Event, EventBody, SessionId};
use rusqlite::ErrorCode;
use stage::Clock;

use append::{Failure, Pen, Writer};
pub use approvals::{ApprovalRecord, ApprovalState};
pub use breaks::{Break, Standing};
pub use chain::JournalId;
pub(crate) use custody::Custody;
pub use export::{ExportError, Exported};
pub(crate) use freed::{Need, Needs};
pub use ledger::{Balance, Held};
pub(crate) use read::Unfinished;
pub use read::{LookupError, SessionSummary};
pub use sessions::{Chapter, InvalidName, Passage, TurnPlace, session_name};
pub use undos::{ChangeSetRecord, ChangeSetRole, ChangeSetState, Undoable};
pub use verify::Verification;

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
    /// Nothing is appended to it any more; it can still be read.
    #[error("{path} is broken, and nothing is added to it: {broken}")]
    Broken { path: PathBuf, broken: Break },
    /// Nothing is appended to it before a person accepts it.
    #[error("{path} was not signed on this machine, or not in this folder: it is not known whose it is")]
    Unknown { path: PathBuf },
    /// The folder of the key and the anchor is not as the runtime made it.
    #[error("{path} cannot be used: {problem}")]
    Custody { path: PathBuf, problem: &'static str },
    #[error("what was signed last cannot be anchored: {source}")]
    NotAnchored { source: std::io::Error },
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
    custody: Option<Custody>,
    writer: Mutex<Writer>,
    observers: Mutex<Vec<Observer>>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Journal").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Journal {
    /// Returns whether the journal may be appended to, as far as is known without reading all of it.
    pub fn standing(&self) -> Standing {
        self.writer().standing.clone()
    }

    /// Returns what tells this journal from every other.
    pub fn id(&self) -> JournalId {
        self.writer().id
    }

    pub(crate) fn custody(&self) -> Option<&Custody> {
        self.custody.as_ref()
    }

    /// Returns this workspace's public key in hex, if this machine has one.
    pub fn public_key(&self) -> Result<Option<String>> {
        let Some(custody) = &self.custody else { return Ok(None) };
        Ok(custody.look()?.key.map(|key| chain::hex(&key.public())))
    }

    /// Returns the folder of its key and its anchor, if this machine has one.
    pub fn keys(&self) -> Option<&Path> {
        self.custody.as_ref().map(Custody::folder)
    }

    /// Returns the writing end for one session.
    pub fn session(&self, id: &SessionId) -> SessionJournal<'_> {
        SessionJournal { journal: self, session: id.clone() }
    }

    /// Appends `bodies` in one transaction and returns them as events.
    pub fn append(&self, session: &SessionId, bodies: &[EventBody], durability: Durability) -> Result<Vec<Event>> {
        self.write(durability, |pen| bodies.iter().map(|body| pen.append(session, body, None)).collect())
    }

    /// Signs what was appended since the last signature, if the journal is signed here.
    pub fn sign(&self) -> Result<()> {
        if self.standing() == Standing::Signed {
            self.write(Durability::Power, |pen| pen.want_signature().map(|()| Vec::new()))?;
        }
        Ok(())
    }

    /// Keeps small contents, without flushing them: the intent that follows does.
    pub(crate) fn keep(&self, contents: &[(ContentHash, Vec<u8>)]) -> Result<()> {
        self.write(Durability::Process, |pen| pen.keep(contents).map(|()| Vec::new()))?;
        Ok(())
    }

    /// Appends `bodies` with small contents that they name, in one transaction.
    pub(crate) fn append_with(
        &self,
        session: &SessionId,
        bodies: &[EventBody],
        contents: &[(ContentHash, Vec<u8>)],
        durability: Durability,
    ) -> Result<Vec<Event>> {
        self.write(durability, |pen| {
            pen.keep(contents)?;
            bodies.iter().map(|body| pen.append(session, body, None)).collect()
        })
    }

    /// Appends the intent of a commit to `place`, what belongs to it, and the small contents it needs; all of it is
    /// flushed at once.
    pub(crate) fn intend(
        &self,
        session: &SessionId,
        (intent, beside): (&EventBody, &[EventBody]),
        place: &str,
        contents: &[(ContentHash, Vec<u8>)],
    ) -> Result<()> {
        self.write(Durability::Power, |pen| {
            pen.keep(contents)?;
            let mut events = vec![pen.append(session, intent, Some(place))?];
            for body in beside {
                events.push(pen.append(session, body, None)?);
            }
            Ok(events)
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
        work: impl FnOnce(&mut Pen<'_>) -> std::result::Result<Vec<Event>, Failure>,
    ) -> Result<Vec<Event>> {
        let mut writer = self.writer();
        let events = writer.transact(durability, self.now_ms(), work);
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

    /// Returns the time by the host's clock, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
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
