//! Directory handles and the operations on paths.
use std::time::SystemTime;

use crate::error::Result;
use crate::file::File;
use crate::meta::{Kind, Metadata};

/// How to open (wasi:filesystem `path-flags`, `open-flags`, `descriptor-flags`).
#[expect(clippy::struct_excessive_bools, reason = "they are the independent flags of the WASI call")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenHow {
    pub follow: bool,
    pub create: bool,
    pub exclusive: bool,
    pub truncate: bool,
    pub directory: bool,
    pub read: bool,
    pub write: bool,
}

/// What was opened.
#[derive(Debug)]
pub enum Opened {
    File(File),
    Dir(Dir),
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    pub name: String,
    pub kind: Kind,
}

/// An open directory. Paths are relative and resolved beneath it, on the merged view. It stays valid when the directory
/// is renamed (it follows) or removed (it is empty then).
#[derive(Debug)]
pub struct Dir;

impl Dir {
    pub fn open(&self, _path: &str, _how: OpenHow) -> Result<Opened> { todo!() }
    pub fn stat(&self, _path: &str, _follow: bool) -> Result<Metadata> { todo!() }
    /// Returns the directory's own metadata.
    pub fn metadata(&self) -> Result<Metadata> { todo!() }
    pub fn create_directory(&self, _path: &str) -> Result<()> { todo!() }
    pub fn remove_directory(&self, _path: &str) -> Result<()> { todo!() }
    pub fn unlink_file(&self, _path: &str) -> Result<()> { todo!() }
    pub fn rename(&self, _old: &str, _new_dir: &Dir, _new: &str) -> Result<()> { todo!() }
    pub fn symlink(&self, _target: &str, _path: &str) -> Result<()> { todo!() }
    pub fn read_link(&self, _path: &str) -> Result<String> { todo!() }
    pub fn link(&self, _old: &str, _new_dir: &Dir, _new: &str) -> Result<()> { todo!() }
    /// Sets times in the stage (`None`: leave). They are not part of a change set.
    pub fn set_times_at(&self, _path: &str, _follow: bool, _accessed: Option<SystemTime>, _modified: Option<SystemTime>) -> Result<()> { todo!() }
    pub fn set_times(&self, _accessed: Option<SystemTime>, _modified: Option<SystemTime>) -> Result<()> { todo!() }
    /// Returns the merged listing, sorted by name, without `.`, `..`, hidden and non-UTF-8 names.
    pub fn entries(&self) -> Result<Vec<DirEntry>> { todo!() }
    pub fn is_same(&self, _other: &Dir) -> bool { todo!() }
    /// Returns another handle to the same directory.
    #[must_use]
    pub fn duplicate(&self) -> Dir { todo!() }
}
