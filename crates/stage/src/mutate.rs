//! Changes of the staged tree: the rules and the quota before, then the steps that cannot fail.

use crate::base::Base;
use crate::error::{Result, StageError};
use crate::meta::Kind;
use crate::resolve::{Found, Last, MAX_PATH_BYTES, Target};
use crate::stage::Shared;
use crate::tree::{NodeId, NodeKind, Tree};

/// Runs `work` on the node of what was found, which is clean and temporary if the base alone has it.
pub(crate) fn with_node<T>(
    tree: &mut Tree,
    found: &Found,
    work: impl FnOnce(&mut Tree, NodeId) -> Result<T>,
) -> Result<T> {
    let id = tree.materialise(found)?;
    tree.hold(id);
    let result = work(tree, id);
    tree.release(id);
    result
}

impl Shared {
    /// Makes a node under a name that is free.
    pub(crate) fn create(&self, tree: &mut Tree, found: &Found, kind: NodeKind, bytes: u64) -> Result<NodeId> {
        let name = enterable(tree, found)?;
        tree.ledger.take(1, bytes)?;
        let parent = tree.settle(found.place.dir, &found.place.rest);
        Ok(tree.create(parent, name, kind, bytes, self.now()))
    }

    /// Removes a file, a symbolic link or an empty directory.
    pub(crate) fn remove(&self, tree: &mut Tree, found: &Found) -> Result<()> {
        with_node(tree, found, |tree, id| {
            if tree.kind(id) == Kind::Directory && !is_empty(tree, &self.base, id)? {
                return Err(StageError::NotEmpty);
            }
            let (parent, name) = entry_of(tree, found);
            tree.ledger.take(whiteouts(tree, parent, name), 0)?;
            self.take_away(tree, parent, name);
            tree.prune(parent);
            Ok(())
        })
    }

    /// Takes a name away and ends the node if it was its last.
    fn take_away(&self, tree: &mut Tree, parent: NodeId, name: &str) {
        let id = tree.detach(parent, name, self.now());
        if tree.get(id).links == 0 {
            tree.discard(id);
        } else {
            // Each name beyond the first holds an entry.
            tree.ledger.give(1, 0);
        }
    }

    /// Moves the node `id` from where it was found to `target`.
    pub(crate) fn rename(&self, tree: &mut Tree, id: NodeId, source: &Found, target: &Found) -> Result<()> {
        if target.last == Last::Here || target.last == Last::Above {
            return Err(StageError::Busy);
        }
        let directory = tree.kind(id) == Kind::Directory;
        if target.slash && !directory {
            return Err(StageError::NotDirectory);
        }
        let new_name = enterable(tree, target)?;
        if directory && tree.is_within(target.place.dir, id) {
            return Err(StageError::Invalid);
        }
        match target.target {
            Target::Hidden => Err(StageError::NotPermitted),
            Target::Missing => self.relocate(tree, id, source, target, new_name),
            _ => with_node(tree, target, |tree, over| {
                if over == id {
                    return Ok(());
                }
                self.check_replacement(tree, id, over)?;
                self.relocate(tree, id, source, target, new_name)
            }),
        }
    }

    fn check_replacement(&self, tree: &Tree, id: NodeId, over: NodeId) -> Result<()> {
        match (tree.kind(id), tree.kind(over)) {
            _ if tree.is_within(id, over) => Err(StageError::NotEmpty),
            (Kind::Directory, Kind::Directory) if !is_empty(tree, &self.base, over)? => Err(StageError::NotEmpty),
            (Kind::Directory, Kind::Directory) => Ok(()),
            (Kind::Directory, _) => Err(StageError::NotDirectory),
            (_, Kind::Directory) => Err(StageError::IsDirectory),
            _ => Ok(()),
        }
    }

    fn relocate(&self, tree: &mut Tree, id: NodeId, source: &Found, target: &Found, new_name: &str) -> Result<()> {
        let (old_parent, old_name) = entry_of(tree, source);
        let new_parent = tree.settle(target.place.dir, &target.place.rest);
        let replaces = tree.children(new_parent).get(new_name).is_some_and(|entry| entry.node.is_some());
        let over = if replaces { whiteouts(tree, new_parent, new_name) } else { 0 };
        let more = whiteouts(tree, old_parent, old_name) + over + u64::from(!tree.is_dirty(id));
        if let Err(error) = tree.ledger.take(more, 0) {
            tree.prune(new_parent);
            return Err(error);
        }
        if replaces {
            self.take_away(tree, new_parent, new_name);
        }
        let now = self.now();
        tree.detach(old_parent, old_name, now);
        tree.mark_dirty(id);
        tree.attach(new_parent, new_name, id, now);
        tree.prune(old_parent);
        Ok(())
    }

    /// Gives the node `id` a further name.
    pub(crate) fn link(&self, tree: &mut Tree, id: NodeId, target: &Found) -> Result<()> {
        let name = enterable(tree, target)?;
        tree.ledger.take(1 + u64::from(!tree.is_dirty(id)), 0)?;
        tree.mark_dirty(id);
        let parent = tree.settle(target.place.dir, &target.place.rest);
        tree.attach(parent, name, id, self.now());
        Ok(())
    }
}

/// Returns the name to enter, if its directory still exists and the path from the root does not become too long.
fn enterable<'a>(tree: &Tree, found: &'a Found) -> Result<&'a str> {
    let Last::Name(name) = &found.last else { return Err(StageError::Exist) };
    if tree.is_gone(found.place.dir) {
        return Err(StageError::NoEntry);
    }
    if tree.path_bytes(found.place.dir) + found.place.rest.len() + 1 + name.len() > MAX_PATH_BYTES {
        return Err(StageError::NameTooLong);
    }
    Ok(name)
}

/// Returns the directory and name under which a materialised node was found.
fn entry_of<'a>(tree: &mut Tree, found: &'a Found) -> (NodeId, &'a str) {
    let Last::Name(name) = &found.last else { unreachable!("`.` and `..` are neither moved nor removed") };
    (tree.settle(found.place.dir, &found.place.rest), name)
}

/// Returns how many whiteouts taking the name away leaves: one, or none.
fn whiteouts(tree: &Tree, parent: NodeId, name: &str) -> u64 {
    u64::from(tree.children(parent).get(name).is_some_and(|entry| entry.shadows))
}

/// Whether a directory holds nothing, neither visible nor invisible.
fn is_empty(tree: &Tree, base: &Base, id: NodeId) -> Result<bool> {
    let children = tree.children(id);
    if children.values().any(|entry| entry.node.is_some()) {
        return Ok(false);
    }
    let Some(path) = &tree.get(id).base else { return Ok(true) };
    let covered = |name: &[u8]| std::str::from_utf8(name).is_ok_and(|name| children.contains_key(name));
    Ok(base.list(path)?.iter().all(|raw| covered(&raw.name)))
}
