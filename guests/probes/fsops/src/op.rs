//! The operations of a script. Data is text: it is written as UTF-8 and read back lossily.

use serde::Deserialize;

/// One operation, for example `{"op": "write", "path": "a", "data": "x"}`.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// `fs::write`: creates or truncates.
    Write { path: String, data: String },
    /// Creates only where nothing is.
    CreateNew { path: String, data: String },
    /// Writes `length` bytes of `x`.
    Fill { path: String, length: u64 },
    /// Opens for appending; creates with `create`.
    Append {
        path: String,
        data: String,
        #[serde(default)]
        create: bool,
    },
    /// Writes at `offset` without truncating.
    WriteAt { path: String, offset: u64, data: String },
    /// The whole file as text.
    Read { path: String },
    /// Up to `length` bytes from `offset`.
    ReadAt { path: String, offset: u64, length: u64 },
    /// Opens for writing with truncation and writes nothing.
    Truncate { path: String },
    /// `File::set_len`.
    SetLen { path: String, length: u64 },
    /// `fs::create_dir`.
    Mkdir { path: String },
    /// `fs::create_dir_all`.
    MkdirAll { path: String },
    /// `fs::remove_dir`.
    Rmdir { path: String },
    /// `fs::remove_dir_all`.
    RmdirAll { path: String },
    /// `fs::remove_file`.
    Unlink { path: String },
    /// `fs::rename`.
    Rename { path: String, to: String },
    /// Makes `path` a symbolic link to `target`.
    Symlink { path: String, target: String },
    /// Returns the target of a symbolic link.
    Readlink { path: String },
    /// Makes `to` a hard link of `path`.
    Link { path: String, to: String },
    /// `{"kind", "length", "mtime_ns"}`, through symbolic links.
    Stat { path: String },
    /// The same of a link itself.
    Lstat { path: String },
    /// Names with their kinds, sorted: `["a", "dir/", "link@"]`.
    List { path: String },
    /// Like `list`, in the order in which the host gives them.
    ListUnsorted { path: String },
    /// `fs::exists`: false only where the path is known not to exist.
    Exists { path: String },
    /// `fs::canonicalize`.
    Canonicalize { path: String },
    /// `fs::copy`; returns the bytes.
    Copy { path: String, to: String },
    /// Sets both times, in nanoseconds since 1970.
    SetTimes { path: String, accessed_ns: u64, modified_ns: u64 },

    /// Opens a file and keeps it under the name `handle`.
    Open {
        handle: String,
        path: String,
        #[serde(flatten)]
        mode: Mode,
    },
    /// Drops a handle.
    Close { handle: String },
    /// Up to `length` bytes from the handle's position.
    HandleRead { handle: String, length: u64 },
    /// Writes at the handle's position.
    HandleWrite { handle: String, data: String },
    /// Moves the position; returns it.
    HandleSeek { handle: String, offset: u64 },
    /// `File::set_len`.
    HandleSetLen { handle: String, length: u64 },
    /// Like `stat`.
    HandleStat { handle: String },
    /// `File::sync_all`.
    HandleSync { handle: String },
}

/// How a file is opened. Names that are absent are off.
#[derive(Deserialize, Default)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "mirrors std's OpenOptions")]
pub struct Mode {
    pub read: bool,
    pub write: bool,
    pub append: bool,
    pub create: bool,
    pub create_new: bool,
    pub truncate: bool,
}
