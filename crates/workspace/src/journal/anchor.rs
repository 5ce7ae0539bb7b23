//! The anchor: the last checkpoint, kept where no tool comes, so that a journal whose end was cut off is known.
//!
//! Two slots of one sector each, overwritten in turn. Nothing waits for the disk: whatever the end of the machine
//! leaves, one of them is whole. So the anchor may be behind the journal. It is never ahead, because it is written after
//! the journal was flushed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use serde::{Deserialize, Serialize};

use super::chain::{Encoding, JournalId, hex, unhex};
use super::checkpoint::Checkpoint;

/// What disks write whole.
const SLOT_BYTES: usize = 512;

/// Hex digits of the checksum that begins a slot.
const SUM_DIGITS: usize = 16;

/// A checkpoint as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CheckpointText {
    number: i64,
    sequence: i64,
    hash: String,
    signed_at_ms: i64,
    key: String,
    signature: String,
}

impl From<&Checkpoint> for CheckpointText {
    fn from(checkpoint: &Checkpoint) -> Self {
        Self {
            number: checkpoint.number,
            sequence: checkpoint.sequence,
            hash: hex(&checkpoint.hash),
            signed_at_ms: checkpoint.signed_at_ms,
            key: hex(&checkpoint.key),
            signature: hex(&checkpoint.signature),
        }
    }
}

impl CheckpointText {
    fn parse(&self) -> Option<Checkpoint> {
        let Self { number, sequence, signed_at_ms, .. } = *self;
        let (hash, key, signature) = (unhex(&self.hash)?, unhex(&self.key)?, unhex(&self.signature)?);
        Some(Checkpoint { number, sequence, hash, signed_at_ms, key, signature })
    }
}

/// The last checkpoint of one journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) journal: JournalId,
    pub(crate) checkpoint: Checkpoint,
}

#[derive(Serialize, Deserialize)]
struct Slot {
    journal: String,
    #[serde(flatten)]
    checkpoint: CheckpointText,
}

impl Anchor {
    /// Returns the content of a file that says this twice.
    pub(crate) fn file(&self) -> Vec<u8> {
        self.slot().repeat(2)
    }

    fn slot(&self) -> Vec<u8> {
        let slot = Slot { journal: self.journal.to_string(), checkpoint: (&self.checkpoint).into() };
        let text = serde_json::to_string(&slot).expect("a slot is plain data");
        let width = SLOT_BYTES - SUM_DIGITS - 2;
        assert!(text.len() <= width, "an anchor fits into its slot");
        format!("{} {text:<width$}\n", sum(&text)).into_bytes()
    }

    fn parse(slot: &[u8]) -> Option<Self> {
        let (found, text) = std::str::from_utf8(slot).ok()?.split_once(' ')?;
        let text = text.trim_end();
        if found != sum(text) {
            return None;
        }
        let slot: Slot = serde_json::from_str(text).ok()?;
        Some(Self { journal: JournalId(unhex(&slot.journal)?), checkpoint: slot.checkpoint.parse()? })
    }
}

/// Returns what tells a slot from one that was cut short.
fn sum(text: &str) -> String {
    let mut encoding = Encoding::of("boxagnts journal anchor v1");
    encoding.field(text.as_bytes());
    hex(&encoding.hash()[..SUM_DIGITS / 2])
}

/// The file of an anchor. Several processes may have it open.
#[derive(Debug)]
pub(crate) struct AnchorFile(File);

impl AnchorFile {
    pub(crate) fn new(file: File) -> Self {
        Self(file)
    }

    /// Returns the later of the slots that are whole.
    pub(crate) fn read(&self) -> io::Result<Option<Anchor>> {
        self.0.lock_shared()?;
        let slots = self.slots();
        self.0.unlock()?;
        Ok(slots?.into_iter().flatten().max_by_key(|anchor| anchor.checkpoint.number))
    }

    /// Puts `anchor` into the place of the older slot. A later one, which another process may have put there, stays.
    pub(crate) fn advance(&self, anchor: &Anchor) -> io::Result<()> {
        self.0.lock()?;
        let written = self.replace_older(anchor);
        self.0.unlock()?;
        written
    }

    fn replace_older(&self, anchor: &Anchor) -> io::Result<()> {
        let numbers = self.slots()?.map(|slot| slot.map_or(-1, |anchor| anchor.checkpoint.number));
        let older = usize::from(numbers[1] < numbers[0]);
        self.0.write_all_at(&anchor.slot(), (older * SLOT_BYTES) as u64)
    }

    fn slots(&self) -> io::Result<[Option<Anchor>; 2]> {
        let mut bytes = [0; 2 * SLOT_BYTES];
        let mut length = 0;
        while length < bytes.len() {
            match self.0.read_at(&mut bytes[length..], length as u64)? {
                0 => break,
                count => length += count,
            }
        }
        let (first, second) = bytes.split_at(SLOT_BYTES);
        Ok([Anchor::parse(first), Anchor::parse(second)])
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Returns an anchor that differs from every other in each of its parts.
    fn anchor(number: i64) -> Anchor {
        let byte = number.to_be_bytes()[7];
        let checkpoint = Checkpoint {
            number,
            sequence: i64::MAX - number,
            hash: [byte; 32],
            signed_at_ms: i64::MAX - number,
            key: [byte; 32],
            signature: [byte; 64],
        };
        Anchor { journal: JournalId([4; 16]), checkpoint }
    }

    fn file(content: &[u8]) -> AnchorFile {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        AnchorFile::new(file)
    }

    #[test]
    fn an_anchor_only_goes_forward() {
        let file = file(&anchor(1).file());
        for (written, read) in [(1, 1), (2, 2), (3, 3), (2, 3), (i64::MAX, i64::MAX)] {
            file.advance(&anchor(written)).unwrap();
            assert_eq!(file.read().unwrap(), Some(anchor(read)));
        }
    }

    #[test]
    fn a_slot_that_was_cut_short_leaves_the_one_before() {
        for cut in 0..SLOT_BYTES {
            let place = file(&anchor(1).file());
            place.advance(&anchor(2)).unwrap();
            // What the disk did not take is still what stood there.
            let mut slot = anchor(3).slot();
            slot[cut..].copy_from_slice(&anchor(1).slot()[cut..]);
            place.0.write_all_at(&slot, SLOT_BYTES as u64).unwrap();
            let expected = if slot == anchor(3).slot() { 3 } else { 2 };
            assert_eq!(place.read().unwrap(), Some(anchor(expected)), "{cut}");
            place.advance(&anchor(4)).unwrap();
            assert_eq!(place.read().unwrap(), Some(anchor(4)), "{cut}");
        }
    }

    #[test]
    fn what_is_no_anchor_is_none() {
        for content in [&b""[..], b"x", &[0xff; 2 * SLOT_BYTES], &anchor(1).slot()[..100]] {
            assert_eq!(file(content).read().unwrap(), None);
        }
        assert_eq!(file(&anchor(1).slot()).read().unwrap(), Some(anchor(1)));
    }
}
