//! File handles.

use std::io::Read;
use std::sync::Arc;
use std::time::SystemTime;

use protocol::{Hasher, Node as Stands, Stamp};

use crate::base::{BaseReader, Reach, copy_chunks};
use crate::content::Buffer;
use crate::error::{Result, StageError};
use crate::meta::{Kind, Metadata, mode, stamp};
use crate::stage::Shared;
use crate::tree::{Content, NodeId, NodeKind, Tree};

/// The most that one read returns: one buffer's allocation in the host.
pub const MAX_READ_BYTES: usize = 1 << 20;

/// An open file. It stays valid when the file is renamed or unlinked. All handles to a file see one content.
#[derive(Debug)]
pub struct File {
    shared: Arc<Shared>,
    id: NodeId,
    readable: bool,
    writable: bool,
}

impl Drop for File {
    fn drop(&mut self) {
        self.shared.release(self.id);
    }
}

impl File {
    /// Returns a handle that gives back, when it is dropped, a hold that the caller made. Dropping takes the tree's lock, so
    /// a handle is made last, when nothing can fail any more.
    pub(crate) fn of_held(shared: &Arc<Shared>, id: NodeId, readable: bool, writable: bool) -> Self {
        Self { shared: Arc::clone(shared), id, readable, writable }
    }

    /// Returns whether the file was opened for reading.
    pub fn is_readable(&self) -> bool {
        self.readable
    }

    /// Returns whether the file was opened for writing.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Returns up to `len` bytes from `offset`, at most [`MAX_READ_BYTES`]; empty only at the end.
    pub fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        if !self.readable {
            return Err(StageError::BadDescriptor);
        }
        let tree = self.shared.tree();
        read_content(&tree, self.id, offset, len)
    }

    /// Writes all of `bytes` at `offset`, or fails without a change. A gap before them reads as zeros.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.write(|_| offset, bytes)
    }

    /// Writes all of `bytes` at the end, or fails without a change.
    pub fn append(&self, bytes: &[u8]) -> Result<()> {
        self.write(|len| len, bytes)
    }

    fn write(&self, offset: impl FnOnce(u64) -> u64, bytes: &[u8]) -> Result<()> {
        self.writable()?;
        if bytes.is_empty() {
            return Ok(());
        }
        let mut tree = self.shared.tree();
        let len = tree.metadata(self.id, &self.shared.base)?.size;
        let offset = offset(len);
        let end = offset.checked_add(bytes.len() as u64).ok_or(StageError::FileTooLarge)?;
        self.shared.copy_up(&mut tree, self.id)?;
        self.shared.edit(&mut tree, self.id, end, |buffer| buffer.write_at(offset, bytes, &self.shared.options.scratch))
    }

    /// Cuts the file, or extends it with zeros.
    pub fn set_len(&self, len: u64) -> Result<()> {
        self.writable()?;
        let mut tree = self.shared.tree();
        self.shared.set_len(&mut tree, self.id, len)
    }

    fn writable(&self) -> Result<()> {
        if self.writable { Ok(()) } else { Err(StageError::BadDescriptor) }
    }

    /// Returns the file's metadata.
    pub fn metadata(&self) -> Result<Metadata> {
        self.shared.tree().metadata(self.id, &self.shared.base)
    }

    /// Sets times in the stage (`None`: leave). They are not part of a change set.
    pub fn set_times(&self, accessed: Option<SystemTime>, modified: Option<SystemTime>) -> Result<()> {
        let mut tree = self.shared.tree();
        self.shared.set_times(&mut tree, self.id, accessed, modified)
    }

    /// Returns whether both handles are of the same file.
    pub fn is_same(&self, other: &File) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared) && self.id == other.id
    }

    /// Returns another handle to the same file.
    #[must_use]
    pub fn duplicate(&self) -> File {
        self.shared.tree().hold(self.id);
        Self::of_held(&self.shared, self.id, self.readable, self.writable)
    }
}

fn read_content(tree: &Tree, id: NodeId, offset: u64, len: usize) -> Result<Vec<u8>> {
    let NodeKind::File(content) = &tree.get(id).kind else { unreachable!("file handles hold files") };
    let len = len.min(MAX_READ_BYTES);
    match content {
        Content::Base(Some(file)) => {
            let mut bytes = vec![0; len];
            // Beyond what the system can address there is only the end.
            let read = if i64::try_from(offset).is_ok() { file.read_at(&mut bytes, offset)? } else { 0 };
            bytes.truncate(read);
            Ok(bytes)
        }
        Content::Base(None) => unreachable!("a held file is open"),
        Content::Staged(buffer) => {
            let left = usize::try_from(buffer.len().saturating_sub(offset)).unwrap_or(usize::MAX);
            let mut bytes = vec![0; len.min(left)];
            buffer.read_at(offset, &mut bytes)?;
            Ok(bytes)
        }
    }
}

impl Shared {
    /// Opens the base file behind a node, if its content still is there and is not open.
    pub(crate) fn ensure_open(&self, tree: &mut Tree, id: NodeId) -> Result<()> {
        let node = tree.get(id);
        if !matches!(node.kind, NodeKind::File(Content::Base(None))) {
            return Ok(());
        }
        let path = node.base.as_deref().expect("base content has a path");
        let hit = self.base.lookup(path, Reach::Content)?;
        if hit.kind() != Kind::File {
            return Err(StageError::NotPermitted);
        }
        tree.get_mut(id).kind = NodeKind::File(Content::Base(Some(hit.held)));
        Ok(())
    }

    /// Cuts or extends the content. What is cut to nothing is not copied first.
    pub(crate) fn set_len(&self, tree: &mut Tree, id: NodeId, len: u64) -> Result<()> {
        if tree.metadata(id, &self.base)?.size == len {
            return Ok(());
        }
        if len == 0 {
            tree.stage(id)?;
            self.replace(tree, id, Buffer::empty())?;
        } else {
            self.copy_up(tree, id)?;
        }
        self.edit(tree, id, len, |buffer| buffer.set_len(len, &self.options.scratch))
    }

    /// Sets times of any node. They stay in the stage, which therefore keeps the node.
    pub(crate) fn set_times(
        &self,
        tree: &mut Tree,
        id: NodeId,
        accessed: Option<SystemTime>,
        modified: Option<SystemTime>,
    ) -> Result<()> {
        self.writable()?;
        tree.ensure_metadata(id, &self.base)?;
        tree.stage(id)?;
        let now = self.now();
        let meta = tree.meta_mut(id);
        meta.accessed = accessed.unwrap_or(meta.accessed);
        meta.modified = modified.unwrap_or(meta.modified);
        meta.changed = now;
        Ok(())
    }

    /// Changes a staged content to have at least (`write`) or exactly (`set_len`) `end` bytes, which the ledger grants
    /// before anything is allocated.
    fn edit(&self, tree: &mut Tree, id: NodeId, end: u64, edit: impl FnOnce(&mut Buffer) -> Result<()>) -> Result<()> {
        let now = self.now();
        let old = staged(tree, id).len();
        let reserved = old.max(end);
        tree.ledger.resize(old, reserved)?;
        let result = edit(staged(tree, id));
        let new = staged(tree, id).len();
        tree.ledger.resize(reserved, new).expect("it only gives back");
        tree.set_bytes(id, new);
        if result.is_ok() {
            let meta = tree.meta_mut(id);
            (meta.modified, meta.changed) = (now, now);
        }
        result
    }

    /// Makes the content the stage's own, copying it in chunks; asks the ledger for its size first.
    fn copy_up(&self, tree: &mut Tree, id: NodeId) -> Result<()> {
        let NodeKind::File(Content::Base(Some(file))) = &tree.get(id).kind else { return Ok(()) };
        let size = file.facts()?.size;
        tree.stage(id)?;
        tree.ledger.take(0, size)?;
        let copied = self.copy(tree, id, size);
        tree.ledger.give(0, size);
        let (buffer, before) = copied?;
        self.replace(tree, id, buffer)?;
        remember(tree, id, before);
        Ok(())
    }

    /// Returns at most `size` bytes of the base file, and what it was if it rested meanwhile.
    fn copy(&self, tree: &Tree, id: NodeId, size: u64) -> Result<(Buffer, Option<(Stamp, Stands)>)> {
        let NodeKind::File(Content::Base(Some(file))) = &tree.get(id).kind else { unreachable!("it was just seen") };
        let (mut buffer, mut hasher) = (Buffer::empty(), Hasher::default());
        let mut written = Ok(());
        let start = file.facts()?;
        copy_chunks(file, size, |bytes| {
            self.interrupt.check()?;
            hasher.update(bytes);
            if written.is_ok() {
                written = buffer.write_at(buffer.len(), bytes, &self.options.scratch);
            }
            Ok(())
        })?;
        written?;
        let rested = stamp(&file.facts()?) == stamp(&start);
        let node = Stands::File { hash: hasher.finish(), size: buffer.len(), mode: mode(&start) };
        Ok((buffer, rested.then(|| (stamp(&start), node))))
    }

    /// Puts a staged content, empty or with the ledger's room for it, in the place of what a staged node had.
    fn replace(&self, tree: &mut Tree, id: NodeId, buffer: Buffer) -> Result<()> {
        let meta = tree.metadata(id, &self.base)?;
        let old = match &tree.get(id).kind {
            NodeKind::File(Content::Staged(buffer)) => buffer.len(),
            _ => 0,
        };
        tree.ledger.resize(old, buffer.len())?;
        tree.set_bytes(id, buffer.len());
        *tree.meta_mut(id) = Metadata { links: tree.base_links(id), ..meta };
        tree.get_mut(id).kind = NodeKind::File(Content::Staged(buffer));
        Ok(())
    }
}

/// Keeps what the base file was, if that is what the stage saw first.
fn remember(tree: &mut Tree, id: NodeId, before: Option<(Stamp, Stands)>) {
    let Some((stamp, node)) = before else { return };
    let path = tree.get(id).base.clone().expect("it was copied from the base");
    if let Some(seen) = tree.seen.get_mut(&path)
        && seen.stamp == stamp
    {
        seen.node = Some(node);
    }
}

fn staged(tree: &mut Tree, id: NodeId) -> &mut Buffer {
    match &mut tree.get_mut(id).kind {
        NodeKind::File(Content::Staged(buffer)) => buffer,
        _ => unreachable!("the content was copied up"),
    }
}

/// Reads one content from its start.
#[derive(Debug)]
pub struct Contents(Reader);

#[derive(Debug)]
enum Reader {
    Staged { file: File, offset: u64 },
    Base(BaseReader),
}

impl Contents {
    pub(crate) fn staged(file: File) -> Self {
        Self(Reader::Staged { file, offset: 0 })
    }

    pub(crate) fn base(reader: BaseReader) -> Self {
        Self(Reader::Base(reader))
    }
}

impl Read for Contents {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.0 {
            Reader::Base(reader) => reader.read(buffer),
            Reader::Staged { file, offset } => {
                let bytes = file.read_at(*offset, buffer.len()).map_err(std::io::Error::other)?;
                buffer[..bytes.len()].copy_from_slice(&bytes);
                *offset += bytes.len() as u64;
                Ok(bytes.len())
            }
        }
    }
}
