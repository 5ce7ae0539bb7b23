//! Contents by their hash.
use std::io::Read;
use std::path::PathBuf;

use protocol::ContentHash;

use crate::journal::Durability;

/// Why a content cannot be kept or had.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("there is no content {0}")]
    Missing(ContentHash),
    #[error("the content {0} is damaged")]
    Damaged(ContentHash),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
}

/// Content-addressed files.
#[derive(Debug)]
pub struct Blobs;

impl Blobs {
    /// Keeps `bytes` and returns their hash.
    pub fn put(&self, _bytes: &[u8], _durability: Durability) -> Result<ContentHash, BlobError> { todo!() }
    /// Keeps what `content` reads, however long, and returns its hash.
    pub fn put_from(&self, _content: &mut dyn Read, _durability: Durability) -> Result<ContentHash, BlobError> { todo!() }
    /// Returns a whole content, verified.
    pub fn get(&self, _hash: &ContentHash) -> Result<Vec<u8>, BlobError> { todo!() }
    /// Returns a reader that fails at its end when the content is not what the hash says.
    pub fn open(&self, _hash: &ContentHash) -> Result<Box<dyn Read>, BlobError> { todo!() }
    pub fn contains(&self, _hash: &ContentHash) -> bool { todo!() }
}
