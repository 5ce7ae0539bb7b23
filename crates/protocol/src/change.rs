//! What a call would change, and what a commit changed.

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

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
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
