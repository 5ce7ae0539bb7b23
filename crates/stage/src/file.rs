//! File handles.
use std::io::Read;
use std::time::SystemTime;

use crate::error::Result;
use crate::meta::Metadata;

/// The most that one read returns: one buffer's allocation in the host.
pub const MAX_READ_BYTES: usize = 1 << 20;

/// An open file. It stays valid when the file is renamed or unlinked. All handles to a file see one content.
#[derive(Debug)]
pub struct File;

impl File {
    pub fn is_readable(&self) -> bool { todo!() }
    pub fn is_writable(&self) -> bool { todo!() }
    /// Returns up to `len` bytes from `offset`, at most [`MAX_READ_BYTES`]; empty only at the end.
    pub fn read_at(&self, _offset: u64, _len: usize) -> Result<Vec<u8>> { todo!() }
    /// Writes all of `bytes` at `offset`, or nothing.
    pub fn write_at(&self, _offset: u64, _bytes: &[u8]) -> Result<()> { todo!() }
    /// Writes all of `bytes` at the end, or nothing.
    pub fn append(&self, _bytes: &[u8]) -> Result<()> { todo!() }
    pub fn set_len(&self, _len: u64) -> Result<()> { todo!() }
    pub fn metadata(&self) -> Result<Metadata> { todo!() }
    pub fn set_times(&self, _accessed: Option<SystemTime>, _modified: Option<SystemTime>) -> Result<()> { todo!() }
    pub fn is_same(&self, _other: &File) -> bool { todo!() }
    /// Returns another handle to the same file.
    #[must_use]
    pub fn duplicate(&self) -> File { todo!() }
}

/// Reads a staged content from its start.
#[derive(Debug)]
pub struct Contents;

impl Read for Contents {
    fn read(&mut self, _buffer: &mut [u8]) -> std::io::Result<usize> { todo!() }
}
