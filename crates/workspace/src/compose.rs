//! What several change sets of one mount come to together.

use std::collections::BTreeMap;

use protocol::{Change, ChangeSet, Conflict, Node};

/// The change that takes several sets back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Composed {
    pub(crate) inverse: ChangeSet,
    /// Paths that something else changed between two of the sets, which taking them back would lose: what the first
    /// left, and what the next found.
    pub(crate) gaps: Vec<Conflict>,
}

/// A path on its way through the sets.
struct Course {
    before: Node,
    after: Node,
    gap: Option<(Node, Node)>,
}

/// Composes `sets`, which were in effect in this order, and returns what takes all of them back.
pub(crate) fn inverse_of<'a>(mount: &str, sets: impl IntoIterator<Item = &'a ChangeSet>) -> Composed {
    let mut courses: BTreeMap<&str, Course> = BTreeMap::new();
    for change in sets.into_iter().flat_map(|set| &set.changes) {
        match courses.get_mut(change.path.as_str()) {
            Some(course) => course.follow(change),
            None => drop(courses.insert(&change.path, Course::begin(change))),
        }
    }
    let gaps = courses.iter().filter_map(|(path, course)| course.conflict(path)).collect();
    let changes = courses.into_iter().filter_map(|(path, course)| course.taken_back(path)).collect();
    Composed { inverse: ChangeSet { mount: mount.to_owned(), changes }, gaps }
}

impl Course {
    fn begin(change: &Change) -> Self {
        Self { before: change.before.clone(), after: change.after.clone(), gap: None }
    }

    fn follow(&mut self, change: &Change) {
        if self.after != change.before && self.gap.is_none() {
            self.gap = Some((self.after.clone(), change.before.clone()));
        }
        self.after = change.after.clone();
    }

    fn conflict(&self, path: &str) -> Option<Conflict> {
        let (expected, found) = self.gap.clone()?;
        Some(Conflict { path: path.to_owned(), expected, found })
    }

    /// Returns the change back, if the path does not stand as before already.
    fn taken_back(self, path: &str) -> Option<Change> {
        let Self { before, after, .. } = self;
        (before != after).then(|| Change { path: path.to_owned(), before: after, after: before, renamed_from: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::ContentHash;

    fn file(text: &str) -> Node {
        Node::File { hash: ContentHash::of(text.as_bytes()), size: text.len() as u64, mode: 0o644 }
    }

    fn change(path: &str, before: Node, after: Node) -> Change {
        Change { path: path.to_owned(), before, after, renamed_from: None }
    }

    fn set(changes: Vec<Change>) -> ChangeSet {
        ChangeSet { mount: "/work".to_owned(), changes }
    }

    #[test]
    fn a_path_goes_from_the_last_after_to_the_first_before() {
        let sets = [
            set(vec![change("a", file("1"), file("2")), change("new", Node::Absent, file("n"))]),
            set(vec![change("a", file("2"), file("3")), change("b", file("b"), Node::Absent)]),
        ];
        let composed = inverse_of("/work", &sets);
        let back = vec![
            change("a", file("3"), file("1")),
            change("b", Node::Absent, file("b")),
            change("new", file("n"), Node::Absent),
        ];
        assert_eq!(composed, Composed { inverse: set(back), gaps: Vec::new() });
    }

    #[test]
    fn what_cancels_out_is_no_change() {
        let sets = [
            set(vec![change("a", file("1"), file("2")), change("t", Node::Absent, file("t"))]),
            set(vec![change("a", file("2"), file("1")), change("t", file("t"), Node::Absent)]),
        ];
        assert_eq!(inverse_of("/work", &sets), Composed { inverse: set(Vec::new()), gaps: Vec::new() });
    }

    #[test]
    fn what_changed_between_two_sets_is_a_gap() {
        let sets = [set(vec![change("a", file("1"), file("2"))]), set(vec![change("a", file("x"), file("3"))])];
        let gaps = vec![Conflict { path: "a".to_owned(), expected: file("2"), found: file("x") }];
        assert_eq!(inverse_of("/work", &sets).gaps, gaps);
    }
}
