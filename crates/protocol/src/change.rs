//! What a call would change, and what a commit changed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::hash::ContentHash;
use crate::json::digest;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "node", rename_all = "snake_case")]
pub enum Node {
    Absent,
    /// `mode` holds the nine permission bits (POSIX `st_mode & 0o777`); `size` is in bytes.
    File {
        hash: ContentHash,
        size: u64,
        mode: u32,
    },
    Directory {
        mode: u32,
    },
    Symlink {
        target: String,
    },
}

/// One path that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Relative to the mount, `/` between components, no `.`, `..` or empty component.
    pub path: String,
    pub before: Node,
    pub after: Node,
    /// Where the content came from when it was renamed; for people, the effect is in `before` and `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
}

/// The difference between a mount and its stage: `before ≠ after` for each change, sorted by path, each path once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSet {
    /// The guest's name of the mount, `/work` for the workspace.
    pub mount: String,
    pub changes: Vec<Change>,
}

impl ChangeSet {
    /// Returns the digest that a decision about these changes is bound to.
    pub fn digest(&self) -> ContentHash {
        digest("boxagnts.change_set", &json!(self))
    }

    /// Returns the changes that take these back: before and after exchanged.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let swap = |change: &Change| Change {
            path: change.path.clone(),
            before: change.after.clone(),
            after: change.before.clone(),
            renamed_from: None,
        };
        Self { mount: self.mount.clone(), changes: self.changes.iter().map(swap).collect() }
    }

    /// Returns these changes and then `later`, which were made on top of them, as one set.
    #[must_use]
    pub fn then(&self, later: &Self) -> Self {
        let mut paths: BTreeMap<&str, Change> = self.by_path().map(|(path, change)| (path, change.clone())).collect();
        for (path, change) in later.by_path() {
            paths
                .entry(path)
                .and_modify(|known| (known.after, known.renamed_from) = (change.after.clone(), None))
                .or_insert_with(|| change.clone());
        }
        let differs = |change: &Change| change.before != change.after;
        Self { mount: self.mount.clone(), changes: paths.into_values().filter(differs).collect() }
    }

    /// Returns what `whole` changes beyond these changes, which it contains or has changed further.
    #[must_use]
    pub fn increment(&self, whole: &Self) -> Self {
        let (known, all): (BTreeMap<_, _>, BTreeMap<_, _>) = (self.by_path().collect(), whole.by_path().collect());
        let paths: BTreeSet<&str> = known.keys().chain(all.keys()).copied().collect();
        let change = |path: &str| {
            let (before, after) = match (known.get(path), all.get(path)) {
                (Some(known), Some(change)) => (&known.after, &change.after),
                (Some(known), None) => (&known.after, &known.before),
                (None, Some(change)) => (&change.before, &change.after),
                (None, None) => return None,
            };
            let renamed_from = all.get(path).and_then(|change| change.renamed_from.clone());
            let change = Change { path: path.to_owned(), before: before.clone(), after: after.clone(), renamed_from };
            (change.before != change.after).then_some(change)
        };
        Self { mount: whole.mount.clone(), changes: paths.into_iter().filter_map(change).collect() }
    }

    /// Tells whether everything that `part` left behind is among these changes.
    pub fn contains(&self, part: &Self) -> bool {
        let own: BTreeMap<_, _> = self.by_path().collect();
        let has = |change: &Change| own.get(change.path.as_str()).is_some_and(|own| own.after == change.after);
        self.mount == part.mount && part.changes.iter().all(has)
    }

    fn by_path(&self) -> impl Iterator<Item = (&str, &Change)> {
        self.changes.iter().map(|change| (change.path.as_str(), change))
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// When what a session's calls stage is committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitMode {
    /// With each call.
    #[default]
    PerCall,
    /// At the end of each turn that is done.
    PerTurn,
    /// When a person says so.
    Manual,
}

/// A path that no longer is what the change set assumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    pub path: String,
    /// What the change set was made against.
    pub expected: Node,
    /// What stands there now.
    pub found: Node,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> ChangeSet {
        let file = |text: &str| Node::File { hash: ContentHash::of(text.as_bytes()), size: 1, mode: 0o644 };
        let change = Change { path: "a".into(), before: file("x"), after: file("y"), renamed_from: None };
        ChangeSet { mount: "/work".into(), changes: vec![change] }
    }

    #[test]
    fn the_inverse_of_the_inverse_is_the_set() {
        assert_ne!(set().inverse(), set());
        assert_eq!(set().inverse().inverse(), set());
    }

    fn change(path: &str, before: &str, after: &str) -> Change {
        let node = |text: &str| match text {
            "" => Node::Absent,
            text => Node::File { hash: ContentHash::of(text.as_bytes()), size: 1, mode: 0o644 },
        };
        Change { path: path.into(), before: node(before), after: node(after), renamed_from: None }
    }

    fn of(changes: &[(&str, &str, &str)]) -> ChangeSet {
        let changes = changes.iter().map(|(path, before, after)| change(path, before, after)).collect();
        ChangeSet { mount: "/work".into(), changes }
    }

    #[test]
    fn sets_add_up_and_come_apart() {
        let first = of(&[("changed", "1", "2"), ("gone", "1", ""), ("made", "", "1"), ("same", "1", "2")]);
        let later = of(&[("changed", "2", "3"), ("made", "1", ""), ("new", "", "1"), ("same", "2", "1")]);
        let whole = of(&[("changed", "1", "3"), ("gone", "1", ""), ("new", "", "1")]);
        assert_eq!(first.then(&later), whole);
        assert_eq!(first.increment(&whole), later);
        assert!(first.contains(&first) && !first.contains(&later) && whole.contains(&of(&[("new", "", "1")])));
        assert!(whole.increment(&whole).is_empty() && whole.then(&of(&[])) == whole);
    }

    #[test]
    fn the_digest_sees_every_field() {
        let mut other = set();
        other.changes[0].after = Node::Absent;
        assert_ne!(other.digest(), set().digest());
        other = set();
        other.mount = "/lib".into();
        assert_ne!(other.digest(), set().digest());
    }
}
