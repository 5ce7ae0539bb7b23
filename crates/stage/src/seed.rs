//! A stage that begins with what earlier calls staged.

use std::io::Read;
use std::time::SystemTime;

use protocol::{Change, ChangeSet, ContentHash, Node, Stamp};

use crate::base::CHUNK_BYTES;
use crate::dir::{Dir, OpenHow, Opened};
use crate::error::{Result, StageError};
use crate::meta::Metadata;
use crate::resolve::Final;
use crate::stage::Stage;
use crate::tree::Seen;
use crate::writer::{Step, steps};

/// The stamp of nothing: what was there when it was staged is known by its node.
const NO_STAMP: Stamp = Stamp { device: 0, inode: 0, size: 0, modified_ns: 0, changed_ns: 0 };

impl Stage {
    /// Stages `changes` again, with their contents from `open`. What the base had beneath them then stays what they are
    /// compared with, so that what was changed there since is a conflict and not overwritten. To be called before any
    /// guest has the stage; after an error it is of no use. What it stages has the time `at`.
    pub fn seed(
        &self,
        changes: &ChangeSet,
        at: SystemTime,
        mut open: impl FnMut(&ContentHash) -> Result<Box<dyn Read>>,
    ) -> Result<()> {
        let root = self.root();
        for step in steps(changes) {
            match step {
                Step::Remove(change) => remove(&root, &change.path)?,
                Step::Put(change) => self.put(&root, change, &mut open)?,
            }
        }
        for change in changes.changes.iter().filter(|change| change.after != Node::Absent) {
            self.set_times(&root, &change.path, at)?;
        }
        let mut tree = self.0.tree();
        for change in &changes.changes {
            let seen = Seen { stamp: NO_STAMP, opened: false, node: Some(change.before.clone()) };
            tree.seen.insert(change.path.clone(), seen);
        }
        Ok(())
    }

    fn put(
        &self,
        root: &Dir,
        change: &Change,
        open: &mut impl FnMut(&ContentHash) -> Result<Box<dyn Read>>,
    ) -> Result<()> {
        let path = &change.path;
        match &change.after {
            Node::Absent => Ok(()),
            Node::Directory { mode } => {
                if !matches!(change.before, Node::Directory { .. }) {
                    root.create_directory(path)?;
                }
                self.set_mode(root, path, *mode)
            }
            Node::Symlink { target } => {
                remove(root, path)?;
                root.symlink(target, path)
            }
            Node::File { hash, mode, .. } => {
                remove(root, path)?;
                let how = OpenHow { write: true, create: true, exclusive: true, ..OpenHow::default() };
                let Opened::File(file) = root.open(path, how)? else { return Err(StageError::IsDirectory) };
                let (mut content, mut chunk) = (open(hash)?, vec![0; CHUNK_BYTES]);
                loop {
                    let read = content.read(&mut chunk)?;
                    if read == 0 {
                        return self.set_mode(root, path, *mode);
                    }
                    file.append(&chunk[..read])?;
                }
            }
        }
    }

    fn set_mode(&self, root: &Dir, path: &str, mode: u32) -> Result<()> {
        self.change_metadata(root, path, |meta| meta.mode = mode)
    }

    fn set_times(&self, root: &Dir, path: &str, at: SystemTime) -> Result<()> {
        self.change_metadata(root, path, |meta| (meta.accessed, meta.modified, meta.changed) = (at, at, at))
    }

    /// Changes what guests cannot of something that was just staged.
    fn change_metadata(&self, root: &Dir, path: &str, change: impl FnOnce(&mut Metadata)) -> Result<()> {
        let mut tree = self.0.tree();
        let found = root.find(&tree, path, Final::Entry)?;
        let id = tree.materialise(&found)?;
        tree.hold(id);
        if tree.is_dirty(id) {
            change(tree.meta_mut(id));
        }
        tree.release(id);
        Ok(())
    }
}

/// Takes away what is at `path`, if anything is.
fn remove(root: &Dir, path: &str) -> Result<()> {
    match root.unlink_file(path) {
        Err(StageError::NoEntry) => Ok(()),
        Err(StageError::IsDirectory) => root.remove_directory(path),
        result => result,
    }
}
