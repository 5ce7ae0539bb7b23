//! What a stage was told by its base: recorded while a call runs, and played to the same call later.
//!
//! An answer is recorded where the base gives it, so that the same stage over the tape computes the same, byte for byte.
//! A base may change while a call looks at it: answers are kept in their order, and the last one is repeated.

mod extents;
mod play;
mod record;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use protocol::{ContentHash, Node, Stamp};
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::base::{RawEntry, Standing};
use crate::meta::Kind;

pub use play::{Contents as TapeContents, Left, Player};
pub use record::Recorder;

/// Everything that a stage was told about one directory tree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileTape {
    paths: BTreeMap<String, PathTape>,
}

impl FileTape {
    /// Returns the hashes of the contents that it names.
    pub fn contents(&self) -> impl Iterator<Item = &ContentHash> {
        self.paths.values().flat_map(|path| path.extents.iter().map(|extent| &extent.content))
    }
}

/// What was told of one path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct PathTape {
    /// What stands there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    seen: Answers<Found>,
    /// The same, to be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    opened: Answers<Found>,
    /// The same of the file that is open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    held: Answers<Found>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    listed: Answers<Listed>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    targets: Answers<Target>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    standings: Answers<Stood>,
    /// The parts of the content that were read, in their order, apart from each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    extents: Vec<Extent>,
    /// Where the content ends, if a read came so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<u64>,
}

/// Answers to one question in their order; those that are the same one after another are one.
type Answers<T> = Vec<Answer<T>>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Answer<T> {
    #[serde(rename = "is")]
    value: T,
    #[serde(default = "once", skip_serializing_if = "is_once")]
    times: u32,
}

fn once() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_once(times: &u32) -> bool {
    *times == 1
}

/// Adds an answer. Returns whether it is another than the last.
fn add<T: PartialEq>(answers: &mut Answers<T>, value: T) -> bool {
    match answers.last_mut() {
        Some(last) if last.value == value && last.times < u32::MAX => {
            last.times += 1;
            false
        }
        _ => {
            answers.push(Answer { value, times: 1 });
            true
        }
    }
}

/// What a lookup found, or the `errno` that it failed with.
type Found = Result<Facts, i32>;

/// The target of a link; [`Errno::ILSEQ`] where it is not UTF-8.
type Target = Result<String, i32>;

type Listed = Result<Vec<Name>, i32>;

/// What `stat` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// Kind and permission bits.
    pub(crate) mode: u32,
    pub(crate) links: u64,
    pub(crate) size: u64,
    /// Seconds and nanoseconds since the Unix epoch.
    pub(crate) accessed: (i64, u32),
    pub(crate) modified: (i64, u32),
    pub(crate) changed: (i64, u32),
}

#[expect(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "the integer types of `stat` differ by platform")]
impl From<&Stat> for Facts {
    fn from(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            mode: stat.st_mode as u32,
            links: stat.st_nlink as u64,
            size: stat.st_size as u64,
            accessed: (stat.st_atime as i64, nanoseconds(stat.st_atime_nsec)),
            modified: (stat.st_mtime as i64, nanoseconds(stat.st_mtime_nsec)),
            changed: (stat.st_ctime as i64, nanoseconds(stat.st_ctime_nsec)),
        }
    }
}

fn nanoseconds(field: impl TryInto<u32>) -> u32 {
    field.try_into().unwrap_or_default()
}

impl Facts {
    pub(crate) fn kind(&self) -> Kind {
        #[expect(clippy::useless_conversion, reason = "the integer type of a mode differs by platform")]
        FileType::from_raw_mode(self.mode.try_into().unwrap_or_default()).into()
    }
}

/// One name of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Name {
    #[serde(rename = "name")]
    bytes: Bytes,
    kind: Kind,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    veiled: bool,
}

/// A name as the disk has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Bytes {
    Text(String),
    Other(Vec<u8>),
}

impl From<&RawEntry> for Name {
    fn from(entry: &RawEntry) -> Self {
        let bytes = match str::from_utf8(&entry.name) {
            Ok(text) => Bytes::Text(text.to_owned()),
            Err(_) => Bytes::Other(entry.name.clone()),
        };
        Self { bytes, kind: entry.kind, veiled: entry.veiled }
    }
}

impl From<&Name> for RawEntry {
    fn from(name: &Name) -> Self {
        let bytes = match &name.bytes {
            Bytes::Text(text) => text.clone().into_bytes(),
            Bytes::Other(bytes) => bytes.clone(),
        };
        Self { name: bytes, kind: name.kind, veiled: name.veiled }
    }
}

/// What stood at a path when the change set was computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stood {
    node: Node,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stamp: Option<Stamp>,
}

impl From<&Standing> for Stood {
    fn from(standing: &Standing) -> Self {
        Self { node: standing.node.clone(), stamp: standing.stamp }
    }
}

impl From<&Stood> for Standing {
    fn from(stood: &Stood) -> Self {
        Self { node: stood.node.clone(), stamp: stood.stamp }
    }
}

/// A part of a content that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Extent {
    offset: u64,
    length: u64,
    content: ContentHash,
}

/// How much a tape may still hold, and why there is none in the end. Clones share it.
#[derive(Debug, Clone)]
pub struct Room(Arc<RoomLeft>);

#[derive(Debug)]
struct RoomLeft {
    bytes: AtomicU64,
    limit: u64,
    void: OnceLock<String>,
}

impl Room {
    /// Returns room for `bytes`.
    pub fn new(bytes: u64) -> Self {
        Self(Arc::new(RoomLeft { bytes: AtomicU64::new(bytes), limit: bytes, void: OnceLock::new() }))
    }

    /// Takes `bytes`; false when there is no tape, or none any more because they do not fit.
    pub fn take(&self, bytes: u64) -> bool {
        if self.void().is_some() {
            return false;
        }
        let taken = self.0.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        if taken.is_err() {
            self.spoil(&format!("it was given more than the {} bytes that a tape holds", self.0.limit));
        }
        taken.is_ok()
    }

    /// Says why there is no tape; the first reason counts.
    pub fn spoil(&self, reason: &str) {
        let _ = self.0.void.set(reason.to_owned());
    }

    /// Returns why there is no tape, if there is none.
    pub fn void(&self) -> Option<&str> {
        self.0.void.get().map(String::as_str)
    }
}

/// What a base does beside answering.
#[derive(Debug, Clone)]
pub(crate) enum Link {
    Recorded(Recorder),
    Played(Player),
}

fn errno(code: i32) -> Errno {
    Errno::from_raw_os_error(code)
}
