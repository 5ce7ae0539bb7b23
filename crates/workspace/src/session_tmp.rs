//! A session's own folder, which its tools see as `/tmp`.
//!
//! It belongs to the runtime, not to the person: what a call left in it is decided about like every write, but has no
//! contents in the journal and cannot be taken back. What bounds it is room: what all calls together may leave there.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use policy::CommitPermit;
use protocol::{ChangeSet, Conflict, Node, SessionId};
use stage::{Base, Quota, Stage, StageError, Writer, steps};

use crate::commit::CommitError;
use crate::state::at;
use crate::workspace::{Workspace, WorkspaceError};

/// The folder of one session, with how much is in it.
#[derive(Debug)]
pub struct SessionTmp {
    base: Base,
    used: Mutex<Quota>,
}

impl SessionTmp {
    /// Opens the folder of `session`, making it if there is none.
    pub fn open(workspace: &Workspace, session: &SessionId) -> Result<Self, WorkspaceError> {
        let folder = workspace.state().session_tmp(session.as_str())?;
        let base = Base::open(&folder).map_err(|source| WorkspaceError::Mount { mount: "/tmp".to_owned(), source })?;
        let mut used = Quota { bytes: 0, entries: 0 };
        measure(&folder, &mut used)?;
        Ok(Self { base, used: Mutex::new(used) })
    }

    /// Returns the directory; stages are made over this.
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// Returns what of `whole` is left.
    pub fn room(&self, whole: Quota) -> Quota {
        let used = self.used();
        Quota { bytes: whole.bytes.saturating_sub(used.bytes), entries: whole.entries.saturating_sub(used.entries) }
    }

    fn used(&self) -> MutexGuard<'_, Quota> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, changes: &ChangeSet) {
        let mut used = self.used();
        for change in &changes.changes {
            let (before, after) = (size(&change.before), size(&change.after));
            used.bytes = used.bytes.saturating_sub(before.bytes).saturating_add(after.bytes);
            used.entries = used.entries.saturating_sub(before.entries).saturating_add(after.entries);
        }
    }
}

impl Workspace {
    /// Makes `changes`, what a call staged over `tmp` and `permit` was given for, true. Nothing is changed when there are
    /// conflicts. Blocks.
    pub fn apply_tmp(
        &self,
        permit: CommitPermit,
        tmp: &SessionTmp,
        stage: &Stage,
        changes: &ChangeSet,
    ) -> Result<Vec<Conflict>, CommitError> {
        permit.redeem(changes)?;
        // The folder of temporary files belongs to whoever holds the lock.
        let _lock = self.lock_commits()?;
        let conflicts = stage.conflicts(changes)?;
        if !conflicts.is_empty() {
            return Ok(conflicts);
        }
        let writer = Writer::new(tmp.base.clone(), &self.state().commit_temporaries(), false)?;
        for step in steps(changes) {
            writer.perform(&step, &mut |hash| Ok::<_, StageError>(Box::new(stage.content(hash)?)))?;
        }
        tmp.count(changes);
        Ok(Vec::new())
    }
}

fn size(node: &Node) -> Quota {
    match node {
        Node::Absent => Quota { bytes: 0, entries: 0 },
        Node::File { size, .. } => Quota { bytes: *size, entries: 1 },
        Node::Directory { .. } | Node::Symlink { .. } => Quota { bytes: 0, entries: 1 },
    }
}

/// Adds what lies below `folder`. Its own quota bounds how much that is.
pub(crate) fn measure(folder: &Path, used: &mut Quota) -> Result<(), WorkspaceError> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        let found = fs::symlink_metadata(&path).map_err(at(&path))?;
        used.entries = used.entries.saturating_add(1);
        if found.is_dir() {
            measure(&path, used)?;
        } else if found.is_file() {
            used.bytes = used.bytes.saturating_add(found.len());
        }
    }
    Ok(())
}
