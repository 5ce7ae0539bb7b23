//! The real directory tree under a stage.
use std::io::Read;
use std::path::Path;

use protocol::{Node, Stamp};

use crate::error::Result;

/// A real directory, opened once, and everything beneath it; reading only. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Base;

/// What stands at a path: the node, and the stamp it had while it was read (`None` for [`Node::Absent`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub node: Node,
    pub stamp: Option<Stamp>,
}

/// Reads one file of the base.
#[derive(Debug)]
pub struct BaseReader;

impl Read for BaseReader {
    fn read(&mut self, _buffer: &mut [u8]) -> std::io::Result<usize> { todo!() }
}

impl Base {
    /// Opens the directory at `path`. This is where the host's ambient authority becomes a handle: everything else is
    /// resolved beneath it.
    pub fn open(_path: &Path) -> Result<Self> { todo!() }
    /// Returns what stands at `path`, its content hashed in chunks; the stamp belongs to exactly that content.
    pub fn standing(&self, _path: &str) -> Result<Standing> { todo!() }
    /// Returns the node at `path`.
    pub fn node(&self, _path: &str) -> Result<Node> { todo!() }
    /// Returns the stamp of what is at `path`, not following a symlink; `None` if nothing is there.
    pub fn stamp(&self, _path: &str) -> Result<Option<Stamp>> { todo!() }
    /// Opens the regular file at `path` for reading.
    pub fn read(&self, _path: &str) -> Result<BaseReader> { todo!() }
}
