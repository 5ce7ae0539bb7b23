//! How the host changes the base: commit and undo.
use std::io::Read;
use std::path::Path;

use protocol::{Change, ChangeSet, ContentHash, Stamp};

use crate::base::Base;
use crate::error::Result;

/// Writes beneath a [`Base`], one atomic step at a time. Parents are resolved without following any symlink. Paths are
/// those of a change set: relative, no `.`, `..` or empty component.
#[derive(Debug)]
pub struct Writer;

/// One step of applying a change set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Remove what `before` says.
    Remove(&'a Change),
    /// Make or replace so that `after` stands.
    Put(&'a Change),
}

/// Returns the steps that apply `changes`, in an order in which each can succeed: removals from the leaves up, then
/// the rest from the root down.
pub fn steps(_changes: &ChangeSet) -> Vec<Step<'_>> { todo!() }

impl Writer {
    /// Returns a writer that prepares files in the existing directory `temporaries` and moves them into place. Only the
    /// writer may use that directory; on the base's file system nothing half-written ever appears in the tree.
    /// `durable`: flush each file and directory before reporting success.
    pub fn new(_base: Base, _temporaries: &Path, _durable: bool) -> Result<Self> { todo!() }
    /// Puts a file with this content and mode at `path`, atomically. `over`: the stamp of the file or symlink that it
    /// replaces, `None` if nothing may be there. Returns the new file's stamp.
    pub fn put_file(&self, _path: &str, _content: &mut dyn Read, _mode: u32, _over: Option<Stamp>) -> Result<Stamp> { todo!() }
    /// Puts a symbolic link at `path`, atomically; `over` as for [`Self::put_file`].
    pub fn put_symlink(&self, _path: &str, _target: &str, _over: Option<Stamp>) -> Result<Stamp> { todo!() }
    /// Makes a directory.
    pub fn make_directory(&self, _path: &str, _mode: u32) -> Result<()> { todo!() }
    /// Sets a directory's mode.
    pub fn set_directory_mode(&self, _path: &str, _mode: u32) -> Result<()> { todo!() }
    /// Removes the file or symlink at `path` if it still has this stamp.
    pub fn remove_file(&self, _path: &str, _stamp: Stamp) -> Result<()> { todo!() }
    /// Removes an empty directory.
    pub fn remove_directory(&self, _path: &str) -> Result<()> { todo!() }
    /// Performs one step if the base still is as the step's change assumes ([`StageError::Changed`](crate::StageError::Changed)
    /// otherwise), with contents from `content`. Returns the stamp of the file or symlink that it put.
    pub fn perform(&self, _step: &Step<'_>, _content: &mut dyn FnMut(&ContentHash) -> Result<Box<dyn Read>>) -> Result<Option<Stamp>> { todo!() }
    /// Removes what a crash left behind: everything in the temporaries directory, and this writer's temporary names in
    /// the parents of `paths` (used only where the base spans file systems).
    pub fn sweep<'a>(&self, _paths: impl IntoIterator<Item = &'a str>) -> Result<()> { todo!() }
}
