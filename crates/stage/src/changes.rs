//! The difference between a stage and its base.
//!
//! First a survey names every path at which the staged tree departs from the base, on either side, without reading any
//! content. Then each of these paths is judged: what stands there before and after, with hashes.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{Change, ChangeSet, ContentHash, Hasher, Node as Stands};
use rustix::io::Errno;

use crate::base::{Base, Reach, Standing};
use crate::content::Buffer;
use crate::error::{Result, StageError, at};
use crate::file::{Contents, File};
use crate::hidden::is_hidden;
use crate::meta::Kind;
use crate::quota::QuotaKind;
use crate::resolve::MAX_PATH_BYTES;
use crate::stage::{Shared, Stage};
use crate::tree::{Content, Findings, NodeId, NodeKind, ROOT, Seen, Source, Tree, join};

impl Stage {
    /// Returns the difference to the base: sorted, each path once, nothing that is the same at both ends. Every entry of a
    /// tree that was made, moved or removed is a change of its own, so that the inverse set restores it. Times are not
    /// part of it, and a second link to a file is a second file.
    ///
    /// Fails with [`StageError::Quota`] if there are more changes than the quota has entries, and with
    /// [`StageError::Unrepresentable`] if a moved or removed tree of the base holds what a change cannot say.
    pub fn changes(&self) -> Result<ChangeSet> {
        let shared = &self.0;
        let mut tree = shared.tree();
        let survey = Survey::of(shared, &tree)?;
        let mut judge = Judge { shared, tree: &tree, found: Findings::default() };
        let changes = judge.changes(&survey)?;
        let found = judge.found;
        tree.found = found;
        Ok(ChangeSet { mount: shared.options.mount.clone(), changes })
    }

    /// Returns an after-content of the last [`Self::changes`], as it is now; [`StageError::NoContent`] if that had none with
    /// this hash.
    pub fn content(&self, hash: &ContentHash) -> Result<Contents> {
        let mut tree = self.0.tree();
        match tree.found.sources.get(hash).cloned() {
            Some(Source::Base(path)) => Ok(Contents::base(self.0.base.read(&path)?)),
            Some(Source::Node(id)) if tree.is_live(id) => {
                self.0.ensure_open(&mut tree, id)?;
                tree.hold(id);
                Ok(Contents::staged(File::of_held(&self.0, id, true, false)))
            }
            _ => Err(StageError::NoContent),
        }
    }
}

/// What a path has after the changes.
#[derive(Debug, Clone)]
enum After {
    Node(NodeId),
    /// Untouched, but elsewhere: beneath a directory that moved.
    Base(String),
}

/// The paths that differ, or may.
struct Survey<'a> {
    base: &'a Base,
    limit: u64,
    before: BTreeSet<String>,
    after: BTreeMap<String, After>,
}

impl<'a> Survey<'a> {
    fn of(shared: &'a Shared, tree: &Tree) -> Result<Self> {
        let limit = tree.ledger.entry_limit();
        let mut survey = Self { base: &shared.base, limit, before: BTreeSet::new(), after: BTreeMap::new() };
        let mut in_place = vec![(String::new(), ROOT)];
        while let Some((directory, id)) = in_place.pop() {
            for (name, entry) in tree.children(id) {
                let path = join(&directory, name);
                let node = entry.node.map(|id| (id, tree.get(id)));
                let at_home = node.is_some_and(|(_, node)| node.base.as_ref() == Some(&path));
                match node {
                    Some((id, node)) if at_home && matches!(node.kind, NodeKind::Directory(_)) => {
                        in_place.push((path, id));
                        continue;
                    }
                    Some((_, node)) if at_home && !matches!(node.kind, NodeKind::File(Content::Staged(_))) => continue,
                    Some((id, _)) => survey.add_after(tree, &path, After::Node(id))?,
                    None => {}
                }
                if entry.shadows {
                    survey.add_before(&path)?;
                }
            }
        }
        Ok(survey)
    }

    /// Adds the base's tree at `path`.
    fn add_before(&mut self, path: &str) -> Result<()> {
        let mut todo = vec![path.to_owned()];
        while let Some(path) = todo.pop() {
            self.room(self.before.len(), &path)?;
            if let Some(names) = self.names(&path)? {
                todo.extend(names.iter().map(|name| join(&path, name)));
            }
            self.before.insert(path);
        }
        Ok(())
    }

    /// Adds the merged tree of a node that stands at `path`.
    fn add_after(&mut self, tree: &Tree, path: &str, after: After) -> Result<()> {
        let mut todo = vec![(path.to_owned(), after)];
        while let Some((path, after)) = todo.pop() {
            self.room(self.after.len(), &path)?;
            let (origin, children) = match &after {
                After::Base(origin) => (Some(origin), None),
                After::Node(id) => match &tree.get(*id).kind {
                    NodeKind::Directory(children) => (tree.get(*id).base.as_ref(), Some(children)),
                    _ => (None, None),
                },
            };
            for (name, entry) in children.into_iter().flatten() {
                todo.extend(entry.node.map(|id| (join(&path, name), After::Node(id))));
            }
            if let Some(origin) = origin {
                let names = self.names(origin)?.unwrap_or_default();
                let untouched = names.iter().filter(|name| children.is_none_or(|staged| !staged.contains_key(*name)));
                todo.extend(untouched.map(|name| (join(&path, name), After::Base(join(origin, name)))));
            }
            self.after.insert(path, after);
        }
        Ok(())
    }

    fn room(&self, used: usize, path: &str) -> Result<()> {
        if path.len() > MAX_PATH_BYTES {
            return Err(unrepresentable(path));
        }
        if used as u64 >= self.limit { Err(StageError::Quota(QuotaKind::Entries)) } else { Ok(()) }
    }

    /// Returns the names in a base directory, or `None` if `path` is none (any more).
    fn names(&self, path: &str) -> Result<Option<Vec<String>>> {
        let raw = match self.base.lookup(path, Reach::Identity) {
            Ok(hit) if hit.kind() == Kind::Directory => at(path, self.base.list(path))?,
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(errno) => return at(path, Err(errno)),
        };
        let mut names = Vec::with_capacity(raw.len());
        for entry in raw {
            let lossy = || join(path, &String::from_utf8_lossy(&entry.name));
            match std::str::from_utf8(&entry.name) {
                Ok(name) if !entry.veiled && !is_hidden(name) && entry.kind != Kind::Other => {
                    names.push(name.to_owned());
                }
                _ => return Err(unrepresentable(&lossy())),
            }
        }
        Ok(Some(names))
    }
}

fn unrepresentable(path: &str) -> StageError {
    StageError::Unrepresentable { path: path.to_owned() }
}

/// Finds out what stands at the surveyed paths.
struct Judge<'a> {
    shared: &'a Shared,
    tree: &'a Tree,
    found: Findings,
}

impl Judge<'_> {
    fn changes(&mut self, survey: &Survey<'_>) -> Result<Vec<Change>> {
        let paths: BTreeSet<&String> = survey.before.iter().chain(survey.after.keys()).collect();
        let mut changes = Vec::new();
        for path in paths {
            let before = if survey.before.contains(path) { self.before(path)? } else { self.gone(path) };
            let after = match survey.after.get(path) {
                Some(after) => self.after(after)?,
                None => Stands::Absent,
            };
            if before != after {
                let renamed_from = survey.after.get(path).and_then(|after| self.origin(survey, path, after));
                changes.push(Change { path: path.clone(), before, after, renamed_from });
            }
        }
        Ok(changes)
    }

    /// Returns what the guest changed: what it saw where that is known, what stands there otherwise.
    fn before(&mut self, path: &str) -> Result<Stands> {
        let now = self.standing(path)?;
        match self.tree.seen.get(path) {
            Some(Seen { node: Some(node), .. }) => Ok(node.clone()),
            Some(seen) if Some(seen.stamp) != now.stamp => {
                self.found.moved.insert(path.to_owned());
                Ok(now.node)
            }
            _ => Ok(now.node),
        }
    }

    /// Returns what stood at a path that the base does not have: nothing, or what went away since it was seen.
    fn gone(&self, path: &str) -> Stands {
        let seen = self.tree.seen.get(path).and_then(|seen| seen.node.clone());
        seen.unwrap_or(Stands::Absent)
    }

    fn after(&mut self, after: &After) -> Result<Stands> {
        let (node, source) = match after {
            After::Base(origin) => (self.standing(origin)?.node, Source::Base(origin.clone())),
            After::Node(id) => (self.node(*id)?, Source::Node(*id)),
        };
        if let Stands::File { hash, .. } = &node {
            self.found.sources.insert(hash.clone(), source);
        }
        Ok(node)
    }

    fn node(&mut self, id: NodeId) -> Result<Stands> {
        let node = self.tree.get(id);
        match &node.kind {
            NodeKind::Symlink(target) => Ok(Stands::Symlink { target: target.clone() }),
            NodeKind::Directory(_) => match &node.base {
                Some(origin) => Ok(self.standing(origin)?.node),
                None => Ok(Stands::Directory { mode: self.tree.mode(id) }),
            },
            NodeKind::File(Content::Base(_)) => {
                let origin = node.base.as_ref().expect("base content has a path");
                Ok(self.standing(origin)?.node)
            }
            NodeKind::File(Content::Staged(buffer)) => {
                Ok(Stands::File { hash: hash(buffer)?, size: buffer.len(), mode: self.tree.mode(id) })
            }
        }
    }

    /// Returns what stands at a base path, read once.
    fn standing(&mut self, path: &str) -> Result<Standing> {
        if let Some(known) = self.found.standings.get(path) {
            return Ok(known.clone());
        }
        let standing = self.shared.base.standing(path)?;
        self.found.standings.insert(path.to_owned(), standing.clone());
        Ok(standing)
    }

    /// Returns where the object at `path` came from, if it is not there any more.
    fn origin(&self, survey: &Survey<'_>, path: &str, after: &After) -> Option<String> {
        let origin = match after {
            After::Base(origin) => origin,
            After::Node(id) => self.tree.get(*id).base.as_ref()?,
        };
        let linked =
            matches!((survey.after.get(origin), after), (Some(After::Node(old)), After::Node(new)) if old == new);
        (origin != path && survey.before.contains(origin) && !linked).then(|| origin.clone())
    }
}

fn hash(buffer: &Buffer) -> Result<ContentHash> {
    let mut hasher = Hasher::default();
    let mut chunk = vec![0; crate::base::CHUNK_BYTES];
    let mut offset = 0;
    loop {
        let read = buffer.read_at(offset, &mut chunk)?;
        if read == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&chunk[..read]);
        offset += read as u64;
    }
}
