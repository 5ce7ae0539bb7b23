//! What a file is, apart from its content.

use std::time::{Duration, SystemTime};

use protocol::Stamp;
use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use crate::tape::Facts;

/// The kind of a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    File,
    Directory,
    Symlink,
    /// A FIFO, socket or device: listed, never opened, moved or removed.
    Other,
}

/// Tells one object from another (POSIX `st_dev`, `st_ino`). What exists only in a stage has the device `u64::MAX`. An
/// object keeps its identity when it is renamed or written, as on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
}

/// What `stat` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    pub kind: Kind,
    /// Bytes; for a symbolic link the length of its target.
    pub size: u64,
    pub links: u64,
    /// The nine permission bits.
    pub mode: u32,
    pub accessed: SystemTime,
    pub modified: SystemTime,
    pub changed: SystemTime,
    pub identity: Identity,
}

impl From<FileType> for Kind {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            _ => Self::Other,
        }
    }
}

/// Returns the point in time that a `stat` field names.
fn time((seconds, nanoseconds): (i64, u32)) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let start = if seconds < 0 { SystemTime::UNIX_EPOCH - whole } else { SystemTime::UNIX_EPOCH + whole };
    start + Duration::from_nanos(nanoseconds.into())
}

fn nanoseconds((seconds, nanoseconds): (i64, u32)) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds.into())
}

impl From<&Facts> for Metadata {
    fn from(facts: &Facts) -> Self {
        Self {
            kind: facts.kind(),
            size: facts.size,
            links: facts.links,
            mode: mode(facts),
            accessed: time(facts.accessed),
            modified: time(facts.modified),
            changed: time(facts.changed),
            identity: Identity { device: facts.device, inode: facts.inode },
        }
    }
}

/// Returns the nine permission bits.
pub(crate) fn mode(facts: &Facts) -> u32 {
    facts.mode & 0o777
}

pub(crate) fn stamp(facts: &Facts) -> Stamp {
    Stamp {
        device: facts.device,
        inode: facts.inode,
        size: facts.size,
        modified_ns: nanoseconds(facts.modified),
        changed_ns: nanoseconds(facts.changed),
    }
}
