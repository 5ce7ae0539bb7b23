//! What a file is, apart from its content.

use std::time::{Duration, SystemTime};

use protocol::Stamp;
use rustix::fs::{FileType, Stat};

/// The kind of a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

/// Returns the point in time that a `stat` field names, whatever integers the platform uses for it.
fn time(seconds: impl TryInto<i64>, nanoseconds: impl TryInto<u32>) -> SystemTime {
    let seconds = seconds.try_into().unwrap_or_default();
    let nanoseconds = Duration::from_nanos(u64::from(nanoseconds.try_into().unwrap_or_default()));
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let start = if seconds < 0 { SystemTime::UNIX_EPOCH - whole } else { SystemTime::UNIX_EPOCH + whole };
    start + nanoseconds
}

fn nanoseconds(seconds: impl TryInto<i64>, nanoseconds: impl TryInto<i64>) -> i64 {
    let whole = seconds.try_into().unwrap_or_default();
    whole.saturating_mul(1_000_000_000).saturating_add(nanoseconds.try_into().unwrap_or_default())
}

#[expect(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "the integer types of `stat` differ by platform")]
impl From<&Stat> for Metadata {
    fn from(stat: &Stat) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.st_mode).into(),
            size: stat.st_size as u64,
            links: stat.st_nlink as u64,
            mode: mode(stat),
            accessed: time(stat.st_atime, stat.st_atime_nsec),
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
            identity: Identity { device: stat.st_dev as u64, inode: stat.st_ino as u64 },
        }
    }
}

/// Returns the nine permission bits.
pub(crate) fn mode(stat: &Stat) -> u32 {
    stat.st_mode & 0o777
}

#[expect(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "the integer types of `stat` differ by platform")]
pub(crate) fn stamp(stat: &Stat) -> Stamp {
    Stamp {
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        size: stat.st_size as u64,
        modified_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
        changed_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
    }
}
