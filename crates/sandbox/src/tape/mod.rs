//! What a call was given by its host: recorded while it runs, and played to the same call later.
//!
//! A call computes the same from the same answers. Clocks, randomness, which waits ended, HTTP as the guest saw it, and
//! what its files were are all that it is told; the rest is its component, its arguments and its limits.

mod deck;
mod exchange;
mod failure;
mod seed;
mod waits;

use std::time::{Duration, SystemTime};

use policy::Limits;
use protocol::ChangeSet;
use serde::{Deserialize, Serialize};
use stage::{FileTape, Quota};

pub(crate) use deck::Deck;
pub use deck::{Contents, Recorded, Recording};
pub(crate) use exchange::answer;

use exchange::Exchange;
use seed::Seed;

/// The form of tapes. Others are not played.
const VERSION: u32 = 1;

/// Bytes that one call's tape and the contents that it names may have together: many times what a call usually looks
/// at, and little enough that no call fills a journal.
pub const MAX_TAPE_BYTES: u64 = 8 << 20;

/// Why a call cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoTape(pub String);

/// Everything that one call was given by its host. It holds no secret: requests are as the guest wrote them, with
/// placeholders, and responses as it saw them, without values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tape {
    version: u32,
    limits: Limits,
    /// Of the call's randomness.
    seed: Seed,
    /// The wall clock at its start, in seconds and nanoseconds since the Unix epoch.
    began: (u64, u32),
    /// Each reading of a clock, in nanoseconds since the one before. Wall clock and the times of staged files follow from
    /// it and `began`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    readings: Vec<u64>,
    /// Waits that left something unready, by their number: what was ready. After all others everything was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    waits: Vec<(u64, Vec<u32>)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exchanges: Vec<Exchange>,
    mounts: Vec<MountTape>,
}

/// One directory tree of the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountTape {
    /// The guest's name of it.
    pub name: String,
    /// Whether the call might write to it.
    pub writable: bool,
    bytes: u64,
    entries: u64,
    files: FileTape,
    /// What earlier calls had staged there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    staged: Option<StagedTape>,
}

/// What was staged in a mount before the call began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StagedTape {
    pub(crate) changes: ChangeSet,
    /// The time that all of it had, in seconds and nanoseconds since the Unix epoch.
    at: (u64, u32),
}

impl StagedTape {
    pub(crate) fn at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::new(self.at.0, self.at.1)
    }
}

impl MountTape {
    pub(crate) fn staged(&self) -> Option<&StagedTape> {
        self.staged.as_ref()
    }

    pub(crate) fn quota(&self) -> Quota {
        Quota { bytes: self.bytes, entries: self.entries }
    }
}

impl Tape {
    /// Returns the limits that the call had.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the names of the mounts that the call had, in their order.
    pub fn mounts(&self) -> &[MountTape] {
        &self.mounts
    }

    /// Tells whether this version plays such a tape.
    pub fn is_known(&self) -> bool {
        self.version == VERSION
    }
}
