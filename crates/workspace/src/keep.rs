//! Keeping the contents of one commit before it begins.

use std::collections::BTreeSet;
use std::io::{self, Read};

use protocol::{ContentHash, Event, EventBody, SessionId};

use crate::blobs::Blobs;
use crate::commit::CommitError;
use crate::journal::{Durability, Journal};
use crate::workspace::{Workspace, WorkspaceError, lock};

/// The largest content that lies in the journal, where it needs no flush of its own. Beyond this a file is cheaper to
/// write than a row (`SQLite`'s "Internal Versus External BLOBs" puts the border near 100 kB).
const SMALL_BYTES: u64 = 128 << 10;

/// Small contents that are held in memory before a part of them is written.
const BATCH_BYTES: usize = 8 << 20;

/// Collects the contents of one commit.
pub(crate) struct Keeper<'a> {
    journal: &'a Journal,
    blobs: &'a Blobs,
    seen: BTreeSet<ContentHash>,
    small: Vec<(ContentHash, Vec<u8>)>,
    small_bytes: usize,
    large: Vec<ContentHash>,
}

impl<'a> Keeper<'a> {
    pub(crate) fn new(journal: &'a Journal, blobs: &'a Blobs) -> Self {
        Self { journal, blobs, seen: BTreeSet::new(), small: Vec::new(), small_bytes: 0, large: Vec::new() }
    }

    /// Keeps the content of `hash`, read from `open` unless it is kept already. Returns false if that is not what the
    /// hash says.
    pub(crate) fn keep(
        &mut self,
        hash: &ContentHash,
        size: u64,
        open: impl FnOnce() -> Result<Box<dyn Read>, CommitError>,
    ) -> Result<bool, CommitError> {
        if !self.seen.insert(hash.clone()) {
            return Ok(true);
        }
        if size > SMALL_BYTES { self.keep_large(hash, size, open) } else { self.keep_small(hash, open) }
    }

    fn keep_small(
        &mut self,
        hash: &ContentHash,
        open: impl FnOnce() -> Result<Box<dyn Read>, CommitError>,
    ) -> Result<bool, CommitError> {
        if self.journal.has_content(hash)? {
            return Ok(true);
        }
        let mut bytes = Vec::new();
        // One byte more than fits shows that the size was not true.
        open()?.take(SMALL_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if ContentHash::of(&bytes) != *hash {
            return Ok(false);
        }
        self.small_bytes += bytes.len();
        self.small.push((hash.clone(), bytes));
        if self.small_bytes > BATCH_BYTES {
            self.journal.keep(&self.small)?;
            (self.small, self.small_bytes) = (Vec::new(), 0);
        }
        Ok(true)
    }

    fn keep_large(
        &mut self,
        hash: &ContentHash,
        size: u64,
        open: impl FnOnce() -> Result<Box<dyn Read>, CommitError>,
    ) -> Result<bool, CommitError> {
        let same = self.blobs.holds(hash, size) || self.blobs.put_from(&mut *open()?, Durability::Process)? == *hash;
        self.large.push(hash.clone());
        Ok(same)
    }

    /// Flushes the large contents and returns the small ones, which the intent takes with it.
    pub(crate) fn flush(self) -> Result<Vec<(ContentHash, Vec<u8>)>, CommitError> {
        self.blobs.flush(&self.large)?;
        Ok(self.small)
    }
}

impl Workspace {
    /// Appends `bodies` with the contents that they name. Nothing is flushed: what is lost with the machine is lost together.
    pub fn append_with_contents(
        &self,
        session: &SessionId,
        bodies: &[EventBody],
        contents: Vec<(ContentHash, Vec<u8>)>,
    ) -> Result<Vec<Event>, WorkspaceError> {
        let is_small = |(_, bytes): &(ContentHash, Vec<u8>)| bytes.len() as u64 <= SMALL_BYTES;
        // Until the event names them, nothing says that they are needed.
        let _lock = if contents.is_empty() { None } else { Some(lock(self.state())?) };
        let (small, large): (Vec<_>, Vec<_>) = contents.into_iter().partition(is_small);
        for (hash, bytes) in large {
            if !self.blobs().holds(&hash, bytes.len() as u64) {
                self.blobs().put(&bytes, Durability::Process)?;
            }
        }
        Ok(self.journal().append_with(session, bodies, &small, Durability::Process)?)
    }

    /// Returns a kept content whole; it is what its hash says.
    pub fn kept(&self, hash: &ContentHash) -> Result<Vec<u8>, WorkspaceError> {
        match self.journal().content(hash)? {
            Some(bytes) => Ok(bytes),
            None => Ok(self.blobs().get(hash)?),
        }
    }
}

fn unreadable(error: io::Error) -> CommitError {
    stage::StageError::from(error).into()
}
