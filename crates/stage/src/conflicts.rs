//! Where the base no longer is what a change set assumes.

use std::collections::BTreeSet;

use protocol::{Change, ChangeSet, Conflict, Node as Stands};

use crate::base::Base;
use crate::error::{Result, StageError};
use crate::stage::Stage;
use crate::tree::{Tree, join};

impl Stage {
    /// Returns where the base no longer is what `changes`, the last result of [`Self::changes`], assumes:
    ///
    /// - something else stands at a changed path;
    /// - a file to be changed or removed is not the one that this call, or an earlier one ([`Self::expect`]), saw; what it
    ///   was then is not kept, so `expected` and `found` both say what it is now;
    /// - a directory to be removed holds more than the set removes, or one to be filled is gone (`expected` then has the
    ///   mode of a new directory).
    ///
    /// A file that only looks touched, with the content as before, is no conflict, unless only its stamp was remembered.
    pub fn conflicts(&self, changes: &ChangeSet) -> Result<Vec<Conflict>> {
        let tree = self.0.tree();
        let paths = changes.changes.iter().map(|change| change.path.as_str()).collect();
        // What the guest may not see is in its way all the same.
        let inspection = Inspection { base: &self.0.base.unveiled(), tree: &tree, paths };
        let mut conflicts = Vec::new();
        for change in &changes.changes {
            inspection.inspect(change, &mut conflicts)?;
        }
        conflicts.sort_by(|left: &Conflict, right| left.path.cmp(&right.path));
        conflicts.dedup_by(|left, right| left.path == right.path);
        Ok(conflicts)
    }
}

struct Inspection<'a> {
    base: &'a Base,
    tree: &'a Tree,
    paths: BTreeSet<&'a str>,
}

impl Inspection<'_> {
    fn inspect(&self, change: &Change, conflicts: &mut Vec<Conflict>) -> Result<()> {
        let path = &change.path;
        let stamp = self.base.stamp(path)?;
        let known = self.tree.found.standings.get(path).filter(|known| known.stamp == stamp);
        let found = match known {
            Some(known) => known.node.clone(),
            None => self.found(path)?,
        };
        let expected = self.tree.expected.get(path);
        let unseen = matches!(change.before, Stands::File { .. }) && expected.is_some_and(|seen| Some(*seen) != stamp);
        if found != change.before || unseen || self.tree.found.moved.contains(path) {
            conflicts.push(Conflict { path: path.clone(), expected: change.before.clone(), found });
        }
        match (&change.before, &change.after) {
            (Stands::Directory { .. }, Stands::Directory { .. }) => Ok(()),
            (Stands::Directory { .. }, _) => self.inspect_children(path, conflicts),
            (Stands::Absent, _) => self.inspect_parent(path, conflicts),
            _ => Ok(()),
        }
    }

    /// Looks for what would keep a directory from being removed.
    fn inspect_children(&self, directory: &str, conflicts: &mut Vec<Conflict>) -> Result<()> {
        let Ok(raw) = self.base.list(directory) else { return Ok(()) };
        for entry in raw {
            let path = join(directory, &String::from_utf8_lossy(&entry.name));
            if !self.paths.contains(path.as_str()) {
                let found = self.found(&path)?;
                conflicts.push(Conflict { path, expected: Stands::Absent, found });
            }
        }
        Ok(())
    }

    fn inspect_parent(&self, path: &str, conflicts: &mut Vec<Conflict>) -> Result<()> {
        let Some((parent, _)) = path.rsplit_once('/') else { return Ok(()) };
        if self.paths.contains(parent) {
            return Ok(());
        }
        let found = self.found(parent)?;
        if !matches!(found, Stands::Directory { .. }) {
            let expected = Stands::Directory { mode: 0o755 };
            conflicts.push(Conflict { path: parent.to_owned(), expected, found });
        }
        Ok(())
    }

    /// Returns what stands at `path`. A FIFO, socket or device is in the way, but a conflict cannot name it.
    fn found(&self, path: &str) -> Result<Stands> {
        match self.base.node(path) {
            Err(StageError::Unrepresentable { .. }) => Ok(Stands::Absent),
            other => other,
        }
    }
}
