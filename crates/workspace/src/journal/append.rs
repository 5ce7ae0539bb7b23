//! Appending: the one place that links records, signs them and moves the anchor.

use std::path::Path;

use protocol::{ChangeSetId, ContentHash, Event, EventBody, SessionId};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::anchor::Anchor;
use super::breaks::{Break, Standing};
use super::chain::{Head, JournalId, Record};
use super::checkpoint::{Checkpoint, SigningKey};
use super::custody::Keyring;
use super::{Durability, JournalError, failed, walk};

/// The one writer of a process.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: Connection,
    /// What the connection's `synchronous` is set to.
    pub(super) durability: Durability,
    pub(super) id: JournalId,
    pub(super) standing: Standing,
    pub(super) keyring: Option<Keyring>,
    /// The last record that this process knows to follow from what was signed.
    pub(super) head: Head,
    /// A checkpoint that is in the journal and not yet in the anchor.
    pub(super) unanchored: Option<Checkpoint>,
}

/// One transaction that appends.
pub(super) struct Pen<'a> {
    transaction: Transaction<'a>,
    now_ms: u64,
    head: Head,
    wants_signature: bool,
}

type Result<T> = std::result::Result<T, Failure>;

impl Writer {
    /// Runs `work` in one transaction. Nothing is appended to a journal that is not known to be whole.
    pub(super) fn transact<T>(
        &mut self,
        durability: Durability,
        now_ms: u64,
        work: impl FnOnce(&mut Pen<'_>) -> Result<T>,
    ) -> Result<T> {
        self.admit()?;
        // A failure to anchor is told here: the append that it belonged to was made.
        self.anchor()?;
        self.set(durability)?;
        let result = self.append(durability, now_ms, work);
        if let Err(Failure::Broken(broken)) = &result {
            self.standing = Standing::Broken { broken: broken.clone() };
        }
        // Told at the next append, see above.
        let _ = self.anchor();
        result
    }

    fn admit(&self) -> Result<()> {
        match &self.standing {
            Standing::Signed | Standing::Unsigned => Ok(()),
            Standing::Unknown => Err(Failure::Unknown),
            Standing::Broken { broken } => Err(broken.clone().into()),
        }
    }

    fn set(&mut self, durability: Durability) -> Result<()> {
        if self.durability != durability {
            self.connection.prepare_cached(synchronous(durability))?.raw_execute()?;
            self.durability = durability;
        }
        Ok(())
    }

    fn append<T>(
        &mut self,
        durability: Durability,
        now_ms: u64,
        work: impl FnOnce(&mut Pen<'_>) -> Result<T>,
    ) -> Result<T> {
        let transaction = immediate(&self.connection)?;
        let head = catch_up(&transaction, self.id, self.head)?;
        let mut pen = Pen { transaction, now_ms, head, wants_signature: false };
        let result = work(&mut pen)?;
        let signed = match &self.keyring {
            Some(keyring) if durability == Durability::Power && pen.wants_signature => {
                Some(pen.sign(self.id, &keyring.key)?)
            }
            _ => None,
        };
        let head = pen.head;
        pen.transaction.commit()?;
        self.head = head;
        self.unanchored = signed.or(self.unanchored.take());
        Ok(result)
    }

    /// Moves the anchor to the last checkpoint. It was flushed: an anchor never knows more than the disk.
    fn anchor(&mut self) -> Result<()> {
        let (Some(keyring), Some(checkpoint)) = (&self.keyring, &self.unanchored) else { return Ok(()) };
        keyring.anchor.advance(&Anchor { journal: self.id, checkpoint: checkpoint.clone() })?;
        self.unanchored = None;
        Ok(())
    }
}

/// Begins a transaction that writes: one that reads first and writes later can be refused half-way.
pub(super) fn immediate(connection: &Connection) -> rusqlite::Result<Transaction<'_>> {
    Transaction::new_unchecked(connection, TransactionBehavior::Immediate)
}

/// Returns the journal's head. What other processes appended since `known` is verified on the way.
fn catch_up(transaction: &Transaction<'_>, id: JournalId, known: Head) -> Result<Head> {
    let (sequence, hash) = walk::last(transaction, id)?;
    if sequence < known.sequence {
        return Err(Break::Cut { ends_at: sequence, signed: known.sequence }.into());
    }
    let found = if sequence == known.sequence { hash } else { walk::hash_at(transaction, id, known.sequence)? };
    if found != Some(known.hash) {
        return Err(Break::Replaced { from: 1, to: known.sequence }.into());
    }
    if sequence == known.sequence { Ok(known) } else { Ok(walk::follow(transaction, known)??) }
}

impl Pen<'_> {
    /// Returns the transaction, for what lies beside the records.
    pub(super) fn transaction(&self) -> &Transaction<'_> {
        &self.transaction
    }

    /// Returns the moment that the transaction's records bear.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Keeps small contents.
    pub(super) fn keep(&self, contents: &[(ContentHash, Vec<u8>)]) -> Result<()> {
        let mut statement = self.transaction.prepare_cached("INSERT OR IGNORE INTO contents VALUES (?1, ?2)")?;
        for (hash, bytes) in contents {
            statement.execute(params![hash.as_str(), bytes])?;
        }
        Ok(())
    }

    /// Appends one event.
    pub(super) fn append(&mut self, session: &SessionId, body: &EventBody, place: Option<&str>) -> Result<Event> {
        let text = serde_json::to_string(body)?;
        let (kind, change_set, undoes) = landmark(body);
        let recorded_at_ms = i64::try_from(self.now_ms).unwrap_or(i64::MAX);
        let record = Record {
            session: session.as_str().as_bytes(),
            recorded_at_ms,
            kind: kind.map(str::as_bytes),
            change_set: change_set.map(str::as_bytes),
            undoes: undoes.map(str::as_bytes),
            place: place.map(str::as_bytes),
            body: text.as_bytes(),
        };
        let head = Head { sequence: self.head.sequence + 1, hash: self.head.link(&record.digest()) };
        let mut statement =
            self.transaction.prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
        let session_text = session.as_str();
        statement.execute(params![
            head.sequence,
            session_text,
            recorded_at_ms,
            kind,
            change_set,
            undoes,
            place,
            text,
            head.hash
        ])?;
        (self.head, self.wants_signature) = (head, true);
        let sequence = head.sequence.cast_unsigned();
        Ok(Event { sequence, session: session.clone(), recorded_at_ms: self.now_ms, body: body.clone() })
    }

    /// Has the transaction signed although it appends nothing, unless everything is signed already.
    pub(super) fn want_signature(&mut self) -> Result<()> {
        let last = walk::last_checkpoint(&self.transaction)?.and_then(|(_, checkpoint)| checkpoint);
        self.wants_signature = last.is_none_or(|last| last.sequence < self.head.sequence);
        Ok(())
    }

    /// Signs everything up to here.
    fn sign(&self, id: JournalId, key: &SigningKey) -> Result<Checkpoint> {
        let number = walk::last_checkpoint(&self.transaction)?.map_or(0, |(number, _)| number + 1);
        let checkpoint = key.sign(id, number, &self.head, i64::try_from(self.now_ms).unwrap_or(i64::MAX));
        walk::add_checkpoint(&self.transaction, &checkpoint)?;
        Ok(checkpoint)
    }
}

/// In WAL mode, NORMAL writes to the operating system and FULL flushes to the disk at each commit.
fn synchronous(durability: Durability) -> &'static str {
    match durability {
        Durability::Process => "PRAGMA synchronous = NORMAL",
        Durability::Power => "PRAGMA synchronous = FULL",
    }
}

/// Returns what an event is looked up by.
fn landmark(body: &EventBody) -> (Option<&'static str>, Option<&str>, Option<&str>) {
    match body {
        EventBody::SessionOpened { .. } | EventBody::SessionForked { .. } => (Some("session_opened"), None, None),
        EventBody::SessionNamed { .. } => (Some("session_named"), None, None),
        EventBody::ViewKept { .. } => (Some("view_kept"), None, None),
        EventBody::TurnOpened { .. } => (Some("turn_opened"), None, None),
        EventBody::TurnClosed { .. } => (Some("turn_closed"), None, None),
        EventBody::CommitIntended { change_set, undoes, .. } => {
            (Some("commit_intended"), Some(change_set.as_str()), undoes.as_ref().map(ChangeSetId::as_str))
        }
        EventBody::UndoExtended { change_set, undoes } => {
            (Some("undo_extended"), Some(change_set.as_str()), Some(undoes.as_str()))
        }
        EventBody::UndoSpared { change_set, .. } => (Some("undo_spared"), Some(change_set.as_str()), None),
        EventBody::CommitFinished { change_set, .. } => (Some("commit_finished"), Some(change_set.as_str()), None),
        EventBody::CallHeld { .. } => (Some("call_held"), None, None),
        EventBody::ChangesStaged { .. } => (Some("changes_staged"), None, None),
        EventBody::ApprovalAsked { .. } => (Some("approval_asked"), None, None),
        EventBody::ApprovalAnswered { .. } => (Some("approval_answered"), None, None),
        EventBody::ApprovalRevoked { .. } => (Some("approval_revoked"), None, None),
        EventBody::CallDecided { decision, .. } if decision.approval.is_some() => (Some("call_decided"), None, None),
        EventBody::CommitDecided { decision, .. } if decision.approval.is_some() => {
            (Some("commit_decided"), None, None)
        }
        EventBody::ContentsFreed { .. } => (Some("contents_freed"), None, None),
        _ => (None, None, None),
    }
}

/// A failure inside a transaction, before it is known where.
#[derive(Debug)]
pub(super) enum Failure {
    Sqlite(rusqlite::Error),
    Json(serde_json::Error),
    Broken(Break),
    Unknown,
    Anchor(std::io::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl From<Break> for Failure {
    fn from(broken: Break) -> Self {
        Self::Broken(broken)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Anchor(error)
    }
}

impl Failure {
    pub(super) fn at(self, path: &Path) -> JournalError {
        match self {
            Self::Sqlite(error) => failed(path, &error),
            Self::Json(error) => JournalError::Unwritable(error),
            Self::Broken(broken) => JournalError::Broken { path: path.to_owned(), broken },
            Self::Unknown => JournalError::Unknown { path: path.to_owned() },
            Self::Anchor(source) => JournalError::NotAnchored { source },
        }
    }
}
