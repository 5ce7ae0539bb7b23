//! `kill -9` at every point of taking a whole session back.

use std::path::Path;

use protocol::CommitOutcome;

use super::crash::{MOST_POINTS, kill, told};
use super::support::{Place, commit, commit_write, open, set, stage, stage_write, undo, undo_all};
use crate::journal::ChangeSetState;

const SETS: [u64; 3] = [1, 2, 3];
const UNDO: u64 = 9;

/// A tree, and three change sets over it that have files in common.
fn changed() -> (Place, super::support::Tree) {
    let place = Place::new(&[("a.txt", "one\n"), ("d/old.txt", "old\n")]);
    let before = place.tree();
    let workspace = place.open();
    commit_write(&workspace, 1, "a.txt", "two\n");
    let second = stage(&workspace, "/work");
    second.root().unlink_file("d/old.txt").unwrap();
    second.root().remove_directory("d").unwrap();
    stage_write(&second, "d", "now a file\n");
    stage_write(&second, "big", &"x".repeat(200 << 10));
    commit(&workspace, &set(2), &second).unwrap();
    commit_write(&workspace, 3, "a.txt", "three\n");
    drop(workspace);
    (place, before)
}

/// The child: stops for ever at the point it is told. By itself it does nothing.
#[test]
fn child() {
    let Some(root) = told() else { return };
    let workspace = open(&root);
    if workspace.journal().change_set(&set(UNDO)).unwrap().is_none() {
        undo_all(&workspace, UNDO, &SETS).unwrap();
    }
}

fn kill_at(root: &Path, point: usize) -> Option<String> {
    kill("tests::undo_crash::child", root, point)
}

#[test]
fn a_session_s_undo_killed_anywhere_is_whole_or_never_was() {
    let mut points = Vec::new();
    for point in 1..MOST_POINTS {
        let (place, before) = changed();
        let after = place.tree();
        let Some(name) = kill_at(&place.root(), point) else { break };
        let workspace = place.open();
        let undone = workspace.journal().change_set(&set(UNDO)).unwrap().is_some();
        assert_eq!(place.tree(), if undone { before.clone() } else { after.clone() }, "{name}");
        let state = |id| workspace.journal().change_set(&set(id)).unwrap().unwrap().state;
        let expected = if undone {
            ChangeSetState::Undone { by: set(UNDO) }
        } else {
            ChangeSetState::Ended(CommitOutcome::Committed)
        };
        assert!(SETS.iter().all(|id| state(*id) == expected), "{name}");
        assert_eq!(place.leftovers(), Vec::<String>::new());
        assert!(workspace.verify().unwrap().is_verified());
        // Whatever came of it, it can be gone on with.
        if !undone {
            undo_all(&workspace, UNDO, &SETS).unwrap();
            assert_eq!(place.tree(), before);
        }
        undo(&workspace, 10, UNDO).unwrap();
        assert_eq!(place.tree(), after);
        points.push(name);
    }
    let steps = points.iter().filter(|name| *name == "step").count();
    assert!(steps >= 5 && points.len() == steps + 4, "{points:?}");
}

#[test]
fn its_recovery_killed_anywhere_is_begun_again() {
    for point in 1..MOST_POINTS {
        let (place, before) = changed();
        // In the middle of its steps.
        assert_eq!(kill_at(&place.root(), 6).as_deref(), Some("step"));
        let name = kill_at(&place.root(), point);
        drop(place.open());
        assert_eq!(place.tree(), before, "{name:?}");
        if name.is_none() {
            assert!(point > 3, "the recovery has points");
            break;
        }
    }
}
