//! What opening a journal shows: whether it is the one that was signed here, and whether its end is whole.
//!
//! This reads the end of the journal only: what came after the last checkpoint, that checkpoint, and the anchor.

use std::fs::File;
use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::anchor::{Anchor, AnchorFile};
use super::append::Failure;
use super::breaks::{Break, Standing};
use super::chain::{Head, JournalId};
use super::checkpoint::{Checkpoint, SigningKey};
use super::custody::{Custody, Found, Keyring};
use super::{JournalError, Result, failed, walk};

/// Records that are read at most where nothing is signed.
const MAX_UNSIGNED_TAIL: i64 = 1_000;

/// What opening found.
pub(super) struct Judged {
    pub(super) standing: Standing,
    /// What signs; only of a journal that is signed on.
    pub(super) keyring: Option<Keyring>,
    pub(super) head: Head,
}

/// A journal that is being opened.
pub(super) struct Opened<'a> {
    pub(super) path: &'a Path,
    pub(super) connection: &'a Connection,
    pub(super) id: JournalId,
    pub(super) now_ms: i64,
}

impl Opened<'_> {
    /// Judges the journal by what lies in custody; a new journal is given a key and an anchor.
    pub(super) fn judge(&self, custody: Option<&Custody>) -> Result<Judged> {
        let judged = match custody {
            None => self.without_key(),
            Some(custody) => self.with(custody, custody.look()?),
        };
        judged.or_else(|error| match error {
            // Reading still works as far as it does.
            JournalError::Damaged { reason, .. } => Ok(self.broken(Break::Damaged { reason })),
            error => Err(error),
        })
    }

    fn without_key(&self) -> Result<Judged> {
        if self.sql(walk::last_checkpoint)?.is_some() {
            return Ok(self.refused(Standing::Unknown));
        }
        let (last, _) = self.sql(|connection| walk::last(connection, self.id))?;
        let from = (last - MAX_UNSIGNED_TAIL).max(0);
        let Some(hash) = self.sql(|connection| walk::hash_at(connection, self.id, from))? else {
            return Ok(self.broken(Break::Missing { from, to: from }));
        };
        Ok(match self.sql(|connection| walk::follow(connection, Head { sequence: from, hash }))? {
            Ok(head) => Judged { standing: Standing::Unsigned, keyring: None, head },
            Err(wrong) => self.broken(wrong),
        })
    }

    fn with(&self, custody: &Custody, found: Found) -> Result<Judged> {
        let (last, _) = self.sql(|connection| walk::last(connection, self.id))?;
        let Found { key, anchor, is_same_directory } = found;
        match (key, anchor) {
            (None, None) if last == 0 && self.sql(walk::last_checkpoint)?.is_none() => self.begin(custody),
            (None, _) => Ok(self.refused(Standing::Unknown)),
            (Some(_), None) if last == 0 => self.begin(custody),
            (Some(_), None) if self.sql(walk::last_checkpoint)?.is_none() => Ok(self.refused(Standing::Unknown)),
            (Some(_), None) => Ok(self.broken(Break::AnchorMissing)),
            (Some(_), Some((anchor, _))) if anchor.journal != self.id => {
                let signed = anchor.checkpoint.sequence;
                match last {
                    // Nothing that was signed is lost, or the whole directory is another one.
                    0 if signed == 0 || !is_same_directory => self.begin(custody),
                    0 => Ok(self.broken(Break::Gone { signed })),
                    _ => Ok(self.broken(Break::OtherJournal { signed })),
                }
            }
            (Some(key), Some((anchor, file))) => self.signed(key, &anchor.checkpoint, file),
        }
    }

    /// Compares the end of the journal with what was signed.
    fn signed(&self, key: SigningKey, anchor: &Checkpoint, file: AnchorFile) -> Result<Judged> {
        match self.sql(|connection| check_end(connection, self.id, &key, anchor))? {
            Err(wrong) => Ok(self.broken(wrong)),
            Ok(head) => Ok(Judged { standing: Standing::Signed, keyring: Some(Keyring { key, anchor: file }), head }),
        }
    }

    /// Signs the journal as it is, and anchors it, whatever was anchored before.
    pub(super) fn begin(&self, custody: &Custody) -> Result<Judged> {
        let key = custody.make_key()?;
        let (head, checkpoint) = self.sign(&key)?;
        // An anchor must not know of a journal that the end of the machine takes away.
        flush_folders(self.path)?;
        let anchor = custody.anchor_at(&Anchor { journal: self.id, checkpoint })?;
        Ok(Judged { standing: Standing::Signed, keyring: Some(Keyring { key, anchor }), head })
    }

    /// Adds a checkpoint over all records, and flushes everything.
    fn sign(&self, key: &SigningKey) -> Result<(Head, Checkpoint)> {
        let signed = || -> std::result::Result<_, Failure> {
            self.connection.execute_batch("PRAGMA synchronous = FULL")?;
            let transaction = super::append::immediate(self.connection)?;
            let (sequence, hash) = walk::last(&transaction, self.id)?;
            let number = walk::last_checkpoint(&transaction)?.map_or(0, |(number, _)| number + 1);
            let hash = hash.ok_or(Break::Altered { sequence, session: "?".to_owned() })?;
            let head = Head { sequence, hash };
            let checkpoint = key.sign(self.id, number, &head, self.now_ms);
            walk::add_checkpoint(&transaction, &checkpoint)?;
            transaction.commit()?;
            self.connection.execute_batch("PRAGMA synchronous = NORMAL")?;
            Ok((head, checkpoint))
        };
        signed().map_err(|failure| failure.at(self.path))
    }

    fn broken(&self, broken: Break) -> Judged {
        self.refused(Standing::Broken { broken })
    }

    fn refused(&self, standing: Standing) -> Judged {
        Judged { standing, keyring: None, head: Head::start(self.id) }
    }

    fn sql<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        read(self.connection).map_err(|error| failed(self.path, &error))
    }
}

/// Returns the head of a journal whose end is what was signed and anchored, else what is wrong with it.
fn check_end(
    connection: &Connection,
    id: JournalId,
    key: &SigningKey,
    anchor: &Checkpoint,
) -> rusqlite::Result<std::result::Result<Head, Break>> {
    // One snapshot: what another process signs meanwhile is beyond the end that was looked at.
    let snapshot = Transaction::new_unchecked(connection, TransactionBehavior::Deferred)?;
    let connection = &*snapshot;
    let (ends_at, _) = walk::last(connection, id)?;
    if let Err(wrong) = check_signed(connection, id, anchor, ends_at)? {
        return Ok(Err(wrong));
    }
    let last = match walk::last_checkpoint(connection)? {
        Some((number, Some(last))) if number >= anchor.number => last,
        Some((number, None)) if number >= anchor.number => {
            return Ok(Err(Break::CheckpointAltered { number, sequence: 0 }));
        }
        _ => return Ok(Err(Break::CheckpointMissing { number: anchor.number })),
    };
    if let Some(wrong) = wrong_signature(&last, id, key.public()) {
        return Ok(Err(wrong));
    }
    if let Err(wrong) = check_signed(connection, id, &last, ends_at)? {
        return Ok(Err(wrong));
    }
    walk::follow(connection, Head { sequence: last.sequence, hash: last.hash })
}

/// Returns what is wrong with a checkpoint by itself.
pub(super) fn wrong_signature(checkpoint: &Checkpoint, id: JournalId, key: [u8; 32]) -> Option<Break> {
    let Checkpoint { number, sequence, .. } = *checkpoint;
    if !checkpoint.is_signed(id) {
        return Some(Break::CheckpointAltered { number, sequence });
    }
    let foreign = || Break::CheckpointForeign { number, sequence, key: super::chain::hex(&checkpoint.key) };
    (checkpoint.key != key).then(foreign)
}

/// Looks whether the record that a checkpoint signs is there, and has the hash that was signed.
fn check_signed(
    connection: &Connection,
    id: JournalId,
    checkpoint: &Checkpoint,
    ends_at: i64,
) -> rusqlite::Result<std::result::Result<(), Break>> {
    let signed = checkpoint.sequence;
    if signed > ends_at {
        return Ok(Err(Break::Cut { ends_at, signed }));
    }
    Ok(match walk::hash_at(connection, id, signed)? {
        Some(hash) if hash == checkpoint.hash => Ok(()),
        Some(_) => Err(Break::Replaced { from: 1, to: signed }),
        None => Err(Break::Missing { from: signed, to: signed }),
    })
}

/// Flushes the names of the journal's file and of its folder.
fn flush_folders(path: &Path) -> Result<()> {
    for folder in path.ancestors().skip(1).take(2) {
        let flushed = File::open(folder).and_then(|folder| folder.sync_all());
        flushed.map_err(|source| JournalError::Io { path: folder.to_owned(), source })?;
    }
    Ok(())
}
