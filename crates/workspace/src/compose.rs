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
    let mut gaps: Vec<Conflict> = courses.iter().filter_map(|(path, course)| course.conflict(path)).collect();
    let changes: Vec<Change> = courses.into_iter().filter_map(|(path, course)| course.taken_back(path)).collect();
    gaps.extend(changes.iter().filter_map(|change| without_directory(change, &changes)));
    gaps.sort_by(|left, right| left.path.cmp(&right.path));
    gaps.dedup_by(|left, right| left.path == right.path);
    Composed { inverse: ChangeSet { mount: mount.to_owned(), changes }, gaps }
}

/// Returns what is wrong with the directory that `change` puts something into, where the set itself makes something else
/// of it: sets that are not taken back turned it into that, between.
fn without_directory(change: &Change, changes: &[Change]) -> Option<Conflict> {
    let (parent, _) = change.path.rsplit_once('/').filter(|_| change.after != Node::Absent)?;
    let at = changes.binary_search_by(|other| other.path.as_str().cmp(parent)).ok()?;
    let found = changes[at].after.clone();
    let expected = Node::Directory { mode: 0o755 };
    (!matches!(found, Node::Directory { .. })).then(|| Conflict { path: parent.to_owned(), expected, found })
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
    fn a_directory_that_is_none_any_more_between_two_sets_is_a_gap() {
        let directory = || Node::Directory { mode: 0o755 };
        // Between them another set turned `d/e` into a file.
        let sets = [
            set(vec![change("d/e/a", file("a"), Node::Absent)]),
            set(vec![change("d", directory(), file("d")), change("d/e", file("e"), Node::Absent)]),
        ];
        let gaps = vec![Conflict { path: "d/e".to_owned(), expected: directory(), found: file("e") }];
        assert_eq!(inverse_of("/work", &sets).gaps, gaps);
    }

    #[test]
    fn what_changed_between_two_sets_is_a_gap() {
        let sets = [set(vec![change("a", file("1"), file("2"))]), set(vec![change("a", file("x"), file("3"))])];
        let gaps = vec![Conflict { path: "a".to_owned(), expected: file("2"), found: file("x") }];
        assert_eq!(inverse_of("/work", &sets).gaps, gaps);
    }
}
