//! Reading a whole journal to see whether it is what was written and signed. Memory does not grow with it, but for the accounts
//! and the names of contents that were freed.

mod moved;

use std::collections::{BTreeMap, VecDeque};

use protocol::{ContentHash, EventBody, Node};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use serde::Serialize;

use super::breaks::{Break, Standing};
use super::chain::{Head, JournalId, hex};
use super::checkpoint::{Checkpoint, PublicKey};
use super::recount::Recount;
use super::walk::{self, Entry};
use super::{Journal, Result, failed, open, standing, views};
use moved::Suspects;

/// Breaks that are told of; the others are counted.
const MAX_BREAKS: usize = 100;

/// Checkpoints that are read at once.
const PAGE: i64 = 256;

/// What reading a whole journal showed.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    /// What tells the journal from every other, in hex.
    pub journal: String,
    #[serde(flatten)]
    pub standing: Standing,
    pub records: i64,
    pub checkpoints: i64,
    /// Checkpoints by other keys, from before the journal was accepted here.
    pub foreign_checkpoints: i64,
    pub contents: i64,
    /// The last record, and its hash in hex.
    pub ends_at: i64,
    pub head: String,
    /// The last record that is signed.
    pub signed_to: i64,
    /// This workspace's public key in hex, if this machine has one.
    pub key: Option<String>,
    pub breaks: Vec<Break>,
    /// Breaks beyond those.
    pub more_breaks: u64,
}

impl Verification {
    /// Tells whether nothing is wrong and the key is known.
    pub fn is_verified(&self) -> bool {
        self.is_whole() && self.standing == Standing::Signed
    }

    /// Tells whether nothing is wrong, whosever it is.
    pub fn is_whole(&self) -> bool {
        self.breaks.is_empty()
    }

    /// Tells whether a person may accept it: what is there fits together.
    pub fn is_acceptable(&self) -> bool {
        self.more_breaks == 0 && self.breaks.iter().all(Break::is_acceptable)
    }

    fn add(&mut self, broken: Break) {
        if self.breaks.contains(&broken) {
            return;
        }
        if self.breaks.len() < MAX_BREAKS {
            self.breaks.push(broken);
        } else {
            self.more_breaks += 1;
        }
    }
}

impl Journal {
    /// Verifies every record, checkpoint and small content. `is_kept` tells whether a larger one of this size is kept.
    pub(crate) fn verify(&self, is_kept: &dyn Fn(&ContentHash, u64) -> bool) -> Result<Verification> {
        let key = match &self.custody {
            Some(custody) => custody.look()?.key.map(|key| key.public()),
            None => None,
        };
        let writer = self.writer();
        let mut verification = Verification {
            journal: writer.id.to_string(),
            standing: writer.standing.clone(),
            records: 0,
            checkpoints: 0,
            foreign_checkpoints: 0,
            contents: 0,
            ends_at: 0,
            head: String::new(),
            signed_to: 0,
            key: key.map(|key| hex(&key)),
            breaks: Vec::new(),
            more_breaks: 0,
        };
        if let Standing::Broken { broken } = &writer.standing {
            verification.add(broken.clone());
        }
        let read = verify(&writer.connection, writer.id, key, is_kept, &mut verification);
        match read.map_err(|error| failed(&self.path, &error)) {
            Err(super::JournalError::Damaged { reason, .. }) => verification.add(Break::Damaged { reason }),
            read => read?,
        }
        Ok(verification)
    }
}

fn verify(
    connection: &Connection,
    id: JournalId,
    key: Option<PublicKey>,
    is_kept: &dyn Fn(&ContentHash, u64) -> bool,
    verification: &mut Verification,
) -> rusqlite::Result<()> {
    // One state of the journal, whoever appends meanwhile.
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Deferred)?;
    check_schema(&transaction, verification)?;
    let mut reading = Reading::new(&transaction, id, key, is_kept, verification);
    walk::walk(&transaction, i64::MIN, |entry| reading.take(entry).map(|()| true))?;
    reading.end()?;
    check_contents(&transaction, verification)?;
    for session in views::altered(&transaction)? {
        verification.add(Break::ViewAltered { session });
    }
    check_database(&transaction, verification)
}

/// What is known while the records go by.
struct Reading<'a> {
    connection: &'a Connection,
    id: JournalId,
    key: Option<PublicKey>,
    is_kept: &'a dyn Fn(&ContentHash, u64) -> bool,
    found: &'a mut Verification,
    head: Head,
    /// What the head would be if its hash had not been altered.
    instead: Option<Head>,
    suspects: Suspects,
    /// Checkpoints that are read and whose record has not come yet.
    waiting: VecDeque<Checkpoint>,
    /// The last checkpoint that was read.
    number: i64,
    own_seen: bool,
    /// Once one checkpoint does not fit, those after it cannot.
    is_replaced: bool,
    unfinished: BTreeMap<String, i64>,
    recount: Recount,
    /// Contents that are not kept and were not said to be freed yet, with the last commit that needs them.
    missing: BTreeMap<ContentHash, (i64, String)>,
}

impl<'a> Reading<'a> {
    fn new(
        connection: &'a Connection,
        id: JournalId,
        key: Option<PublicKey>,
        is_kept: &'a dyn Fn(&ContentHash, u64) -> bool,
        found: &'a mut Verification,
    ) -> Self {
        Self {
            connection,
            id,
            key,
            is_kept,
            found,
            head: Head::start(id),
            instead: None,
            suspects: Suspects::default(),
            waiting: VecDeque::new(),
            number: -1,
            own_seen: false,
            is_replaced: false,
            unfinished: BTreeMap::new(),
            recount: Recount::default(),
            missing: BTreeMap::new(),
        }
    }

    fn take(&mut self, entry: &Entry<'_>) -> rusqlite::Result<()> {
        self.found.records += 1;
        self.check_checkpoints(entry.sequence)?;
        self.link(entry);
        self.recount.take(entry);
        self.note_freed(entry);
        self.check_commit(entry)
    }

    /// Takes what is said to be freed as not missing. A commit that comes later needs it all the same.
    fn note_freed(&mut self, entry: &Entry<'_>) {
        let Some(record) = entry.record.filter(|record| record.kind == Some(b"contents_freed")) else { return };
        if let Ok(EventBody::ContentsFreed { contents, .. }) = serde_json::from_slice(record.body) {
            for hash in &contents {
                self.missing.remove(hash);
            }
        }
    }

    /// Looks whether the record follows the one before, and takes it as the head as it is stored.
    fn link(&mut self, entry: &Entry<'_>) {
        let digest = entry.record.map(|record| record.digest());
        let fits = |head: &Head| entry.follows(head).is_some();
        let is_fine = fits(&self.head) || self.instead.as_ref().is_some_and(fits);
        let after_gap = entry.sequence > self.head.sequence.saturating_add(1);
        self.instead = None;
        if after_gap {
            self.found.add(entry.wrong_after(&self.head));
        } else if !is_fine {
            self.instead = digest.map(|digest| Head { sequence: entry.sequence, hash: self.head.link(&digest) });
            self.suspects.add(entry, &self.head, digest);
        }
        let computed = digest.map(|digest| self.head.link(&digest)).unwrap_or_default();
        self.head = Head { sequence: entry.sequence, hash: entry.hash.unwrap_or(computed) };
    }

    /// Compares the checkpoints of records before `sequence` with the hash of the head.
    fn check_checkpoints(&mut self, sequence: i64) -> rusqlite::Result<()> {
        while let Some(checkpoint) = self.next_checkpoint(sequence)? {
            self.found.checkpoints += 1;
            self.check_key(&checkpoint);
            if checkpoint.sequence != self.head.sequence {
                // The record itself is missing, which is told by itself, or the checkpoint's own signature is wrong.
            } else if checkpoint.hash == self.head.hash {
                self.found.signed_to = self.found.signed_to.max(checkpoint.sequence);
            } else if !self.is_replaced {
                self.is_replaced = true;
                let from = (self.found.signed_to + 1).min(checkpoint.sequence);
                self.found.add(Break::Replaced { from, to: checkpoint.sequence });
            }
        }
        Ok(())
    }

    fn check_key(&mut self, checkpoint: &Checkpoint) {
        let key = self.key.unwrap_or(checkpoint.key);
        self.own_seen |= self.key == Some(checkpoint.key);
        match standing::wrong_signature(checkpoint, self.id, key) {
            // Before the journal was accepted here.
            Some(Break::CheckpointForeign { .. }) if !self.own_seen => self.found.foreign_checkpoints += 1,
            Some(wrong) => self.found.add(wrong),
            None => {}
        }
    }

    /// Returns the next checkpoint of a record before `sequence`.
    fn next_checkpoint(&mut self, sequence: i64) -> rusqlite::Result<Option<Checkpoint>> {
        if self.waiting.is_empty() {
            for (number, checkpoint) in walk::checkpoints(self.connection, self.number, PAGE)? {
                (self.number + 1..number).take(MAX_BREAKS).for_each(|number| {
                    self.found.add(Break::CheckpointMissing { number });
                });
                self.number = number;
                match checkpoint {
                    Some(checkpoint) => self.waiting.push_back(checkpoint),
                    None => self.found.add(Break::CheckpointAltered { number, sequence: 0 }),
                }
            }
        }
        let is_due = self.waiting.front().is_some_and(|checkpoint| checkpoint.sequence < sequence);
        Ok(if is_due { self.waiting.pop_front() } else { None })
    }

    /// Looks whether the contents that a commit needs are kept, and keeps count of those that have not ended.
    fn check_commit(&mut self, entry: &Entry<'_>) -> rusqlite::Result<()> {
        let Some(record) = entry.record.filter(|record| record.change_set.is_some()) else { return Ok(()) };
        match serde_json::from_slice(record.body) {
            Ok(EventBody::CommitIntended { change_set, changes, .. }) => {
                self.unfinished.insert(change_set.to_string(), entry.sequence);
                let nodes = changes.changes.iter().flat_map(|change| [&change.before, &change.after]);
                for node in nodes {
                    self.check_kept(entry, node)?;
                }
            }
            Ok(EventBody::CommitFinished { change_set, .. }) => {
                self.unfinished.remove(change_set.as_str());
            }
            _ => {}
        }
        Ok(())
    }

    fn check_kept(&mut self, entry: &Entry<'_>, node: &Node) -> rusqlite::Result<()> {
        let Node::File { hash, size, .. } = node else { return Ok(()) };
        let mut statement = self.connection.prepare_cached("SELECT 1 FROM contents WHERE hash = ?1")?;
        if !statement.exists([hash.as_str()])? && !(self.is_kept)(hash, *size) {
            self.missing.insert(hash.clone(), (entry.sequence, entry.session()));
        }
        Ok(())
    }

    /// Says what only the end shows.
    fn end(mut self) -> rusqlite::Result<()> {
        self.check_checkpoints(self.head.sequence.saturating_add(1))?;
        if let Some(beyond) = self.next_checkpoint(i64::MAX)? {
            self.check_key(&beyond);
            self.found.add(Break::Cut { ends_at: self.head.sequence, signed: beyond.sequence });
        }
        self.check_unfinished()?;
        for (hash, (sequence, session)) in std::mem::take(&mut self.missing) {
            self.found.add(Break::ContentMissing { sequence, session, hash: hash.to_string() });
        }
        for name in std::mem::take(&mut self.recount).differing(self.connection)? {
            self.found.add(Break::Account { name });
        }
        (self.found.ends_at, self.found.head) = (self.head.sequence, hex(&self.head.hash));
        std::mem::take(&mut self.suspects).breaks().into_iter().for_each(|broken| self.found.add(broken));
        Ok(())
    }

    /// Compares the list of unfinished commits with what the records say.
    fn check_unfinished(&mut self) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare("SELECT change_set, intent FROM unfinished")?;
        let listed = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let listed: BTreeMap<String, i64> = listed.collect::<rusqlite::Result<_>>()?;
        let differs = |(change_set, intent): &(&String, &i64)| {
            listed.get(*change_set) != Some(*intent) || self.unfinished.get(*change_set) != Some(*intent)
        };
        let wrong: Vec<_> = self.unfinished.iter().chain(&listed).filter(differs).collect();
        for (change_set, _) in wrong {
            self.found.add(Break::Unfinished { change_set: change_set.clone() });
        }
        Ok(())
    }
}

/// Compares tables, indices and triggers with those of a new journal.
fn check_schema(connection: &Connection, found: &mut Verification) -> rusqlite::Result<()> {
    let (is, ought) = (open::definitions(connection)?, open::schema()?);
    let differing =
        is.iter().filter(|made| !ought.contains(made)).chain(ought.iter().filter(|made| !is.contains(made)));
    differing.for_each(|(name, _)| found.add(Break::Schema { name: name.clone() }));
    Ok(())
}

fn check_contents(connection: &Connection, found: &mut Verification) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT hash, bytes FROM contents")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        found.contents += 1;
        let hash: String = row.get(0)?;
        let is_true = row.get_ref(1)?.as_blob().is_ok_and(|bytes| ContentHash::of(bytes).as_str() == hash);
        if !is_true {
            found.add(Break::ContentAltered { hash });
        }
    }
    Ok(())
}

/// Has the database compare its indices with its tables: one that leaves a record out would hide it.
fn check_database(connection: &Connection, found: &mut Verification) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("PRAGMA integrity_check(10)")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match row.get::<_, String>(0)? {
            fine if fine == "ok" => {}
            reason => found.add(Break::Damaged { reason }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
