//! Taking back any selection of any change sets, against the trees that stood before and after each.

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use protocol::{Change, ChangeSet, CommitOutcome, Node};
use stage::Stage;

use super::support::{Place, Tree, carry_out, chmod, commit_changes, set, stage, stage_write, undo, undo_all};
use crate::Workspace;

/// Parents before what is in them.
const PATHS: [&str; 8] = ["a", "b", "d", "d/a", "d/e", "d/e/a", "run.sh", "x"];

/// Text, none, bytes that are no text, and what is too large to lie in the journal.
fn content(number: u8) -> String {
    match number % 4 {
        0 => String::new(),
        1 => format!("text {number}\n"),
        2 => format!("\0\u{1}\u{7f}{number}\0"),
        _ => format!("{number}").repeat(140 << 10),
    }
}

#[derive(Debug, Clone)]
enum Op {
    Write(usize, u8),
    Remove(usize),
    Directory(usize),
    Link(usize, usize),
    Rename(usize, usize),
    /// The permission bits of what stands there in the end.
    Mode(usize, u32),
}

fn op() -> impl Strategy<Value = Op> {
    let path = || 0..PATHS.len();
    prop_oneof![
        4 => (path(), any::<u8>()).prop_map(|(path, content)| Op::Write(path, content)),
        2 => path().prop_map(Op::Remove),
        2 => path().prop_map(Op::Directory),
        2 => (path(), path()).prop_map(|(path, target)| Op::Link(path, target)),
        1 => (path(), path()).prop_map(|(from, to)| Op::Rename(from, to)),
        2 => (path(), prop_oneof![Just(0o755), Just(0o644), Just(0o700)]).prop_map(|(path, mode)| Op::Mode(path, mode)),
    ]
}

/// Removes whatever stands at a path, with all that is in it.
fn clear(stage: &Stage, path: &str) {
    let below = |other: &&&str| other.starts_with(&format!("{path}/"));
    PATHS.iter().rev().filter(below).for_each(|inner| clear_one(stage, inner));
    clear_one(stage, path);
}

fn clear_one(stage: &Stage, path: &str) {
    let root = stage.root();
    let _ = root.unlink_file(path).or_else(|_| root.remove_directory(path));
}

fn is_directory(stage: &Stage, path: &str) -> bool {
    stage.root().open(path, stage::OpenHow { directory: true, ..stage::OpenHow::default() }).is_ok()
}

/// Makes room at a path, unless it has no parent, or is a directory that more came into than can be named here.
fn has_room(stage: &Stage, path: &str) -> bool {
    let has_parent = path.rsplit_once('/').is_none_or(|(parent, _)| is_directory(stage, parent));
    if has_parent {
        clear(stage, path);
    }
    has_parent && !is_directory(stage, path)
}

fn perform(stage: &Stage, op: &Op) {
    let root = stage.root();
    match op {
        Op::Write(at, number) if has_room(stage, PATHS[*at]) => {
            stage_write(stage, PATHS[*at], &content(*number));
        }
        Op::Remove(at) => clear(stage, PATHS[*at]),
        Op::Directory(at) => {
            let _ = root.unlink_file(PATHS[*at]);
            let _ = root.create_directory(PATHS[*at]);
        }
        Op::Link(at, target) if has_room(stage, PATHS[*at]) => root.symlink(PATHS[*target], PATHS[*at]).unwrap(),
        Op::Rename(from, to) => drop(root.rename(PATHS[*from], &root, PATHS[*to])),
        _ => {}
    }
}

/// Gives the changed nodes, and others, the modes that `ops` want: no guest can, but a person's tools will.
fn set_modes(workspace: &Workspace, changes: &mut ChangeSet, ops: &[Op]) {
    for op in ops {
        let Op::Mode(at, mode) = op else { continue };
        let path = PATHS[*at];
        let stands = workspace.base("/work").unwrap().node(path).unwrap();
        let place = changes.changes.binary_search_by(|change| change.path.as_str().cmp(path));
        let at = place.unwrap_or_else(|at| {
            let change = Change { path: path.into(), before: stands.clone(), after: stands, renamed_from: None };
            changes.changes.insert(at, change);
            at
        });
        if let Node::File { mode: old, .. } | Node::Directory { mode: old } = &mut changes.changes[at].after {
            *old = *mode;
        }
    }
    changes.changes.retain(|change| change.before != change.after);
}

/// Commits one set of ops; tells whether there was anything to commit.
fn change(workspace: &Workspace, id: u64, ops: &[Op]) -> bool {
    let stage = stage(workspace, "/work");
    for op in ops {
        perform(&stage, op);
    }
    let mut changes = stage.changes().unwrap();
    set_modes(workspace, &mut changes, ops);
    if changes.is_empty() {
        return false;
    }
    let outcome = commit_changes(workspace, &set(id), &stage, &changes).unwrap().outcome;
    assert_eq!(outcome, CommitOutcome::Committed);
    true
}

/// A tree to begin with, in a repository or in none.
fn place(is_repository: bool) -> Place {
    let place = Place::new(&[("a", "one\n"), ("run.sh", "#!\n"), ("d/e/a", "deep\n"), ("kept", "never touched\n")]);
    chmod(&place.path("run.sh"), 0o755);
    std::os::unix::fs::symlink("a", place.path("x")).unwrap();
    if is_repository {
        for (path, text) in
            [("HEAD", "ref: refs/heads/main\n"), ("index", "DIRC\0\0"), ("info/exclude", ".boxagnts/\n")]
        {
            place.write(&format!(".git/{path}"), text);
        }
        fs::create_dir_all(place.path(".git/objects")).unwrap();
    }
    place
}

/// What stands after the chosen sets are taken back where nothing else changed their paths: each path as it was before
/// the first of them that changed it, unless all of them together left it as it was.
fn expected(workspace: &Workspace, trees: &[Tree], chosen: &[u64]) -> Tree {
    let mut tree = trees[trees.len() - 1].clone();
    let mut spans: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for id in chosen {
        let record = workspace.journal().change_set(&set(*id)).unwrap().unwrap();
        let after = usize::try_from(*id).unwrap();
        for change in record.changes.changes {
            spans.entry(change.path).or_insert((after - 1, after)).1 = after;
        }
    }
    for (path, (before, after)) in spans {
        match trees[before].get(&path) {
            stood if stood == trees[after].get(&path) => {}
            Some(stood) => drop(tree.insert(path, stood.clone())),
            None => drop(tree.remove(&path)),
        }
    }
    tree
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::with_cases(60) })]

    /// Whatever the sets did: each end of the row can be taken back, any selection comes to what it should or is refused
    /// whole, and redoing restores every byte, mode, link and empty directory.
    #[test]
    fn any_selection_is_taken_back_exactly_or_not_at_all(
        rows in prop::collection::vec(prop::collection::vec(op(), 1..6), 1..6),
        from in 0_usize..6,
        picks in prop::collection::vec(any::<bool>(), 6),
        is_repository in any::<bool>(),
    ) {
        let place = place(is_repository);
        let workspace = place.open();
        let mut trees = vec![place.tree()];
        for ops in &rows {
            if change(&workspace, trees.len() as u64, ops) {
                trees.push(place.tree());
            }
        }
        let made = trees.len() as u64 - 1;
        prop_assume!(made > 0);
        let now = trees[trees.len() - 1].clone();

        // The last ones, up to all.
        let first = (from as u64 % made) + 1;
        let last: Vec<u64> = (first..=made).collect();
        let plan = workspace.undo_plans(&last.iter().map(|id| set(*id)).collect::<Vec<_>>()).unwrap().remove(0);
        if !plan.changes.is_empty() {
            undo_all(&workspace, 100, &last).unwrap();
            prop_assert_eq!(&place.tree(), &trees[usize::try_from(first).unwrap() - 1]);
            prop_assert_eq!(undo(&workspace, 101, 100).unwrap().outcome, CommitOutcome::Committed);
            prop_assert_eq!(&place.tree(), &now);
        }

        // Some, of which others may have changed the same since.
        let chosen: Vec<u64> = (1..=made).filter(|id| picks[usize::try_from(*id).unwrap()]).collect();
        prop_assume!(!chosen.is_empty());
        let ids: Vec<_> = chosen.iter().map(|id| set(*id)).collect();
        let plan = workspace.undo_plans(&ids).unwrap().remove(0);
        prop_assume!(!plan.changes.is_empty());
        let done = carry_out(&workspace, 102, &plan).unwrap().outcome;
        if plan.obstacles.is_empty() {
            prop_assert_eq!(&done, &CommitOutcome::Committed);
            prop_assert_eq!(&place.tree(), &expected(&workspace, &trees, &chosen));
            undo(&workspace, 103, 102).unwrap();
            prop_assert_eq!(&place.tree(), &now);
        } else {
            let is_conflict = matches!(done, CommitOutcome::Conflicted { .. });
            prop_assert!(is_conflict, "{:?}", done);
            prop_assert_eq!(&place.tree(), &now);
            // Without what is in the way, the rest can be taken back, and comes back.
            let plan = workspace.sparing(workspace.undo_plans(&ids).unwrap().remove(0)).unwrap();
            if !plan.changes.is_empty() {
                prop_assert_eq!(carry_out(&workspace, 104, &plan).unwrap().outcome, CommitOutcome::Committed);
                for path in &plan.spared {
                    prop_assert_eq!(place.tree().get(path).cloned(), now.get(path).cloned());
                }
                prop_assert_eq!(undo(&workspace, 105, 104).unwrap().outcome, CommitOutcome::Committed);
                prop_assert_eq!(&place.tree(), &now);
            }
        }
        prop_assert_eq!(place.leftovers(), Vec::<String>::new());
    }
}
