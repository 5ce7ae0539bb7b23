//! Taking change sets back.

use std::fs;

use protocol::{CommitOutcome, Conflict, ContentHash, Node};

use super::support::{Place, chmod, commit, commit_write, set, stage, stage_write, undo};
use crate::CommitError;
use crate::journal::ChangeSetState;

#[test]
fn an_undo_restores_every_kind_of_change() {
    let big = "x".repeat(200 << 10);
    let place = Place::new(&[("a.txt", "one\n"), ("gone/old.txt", "old\n"), ("turns", "file\n"), ("big", &big)]);
    chmod(&place.path("gone/old.txt"), 0o755);
    chmod(&place.path("gone"), 0o750);
    std::os::unix::fs::symlink("a.txt", place.path("link")).unwrap();
    let before = place.tree();
    let workspace = place.open();
    let stage = stage(&workspace, "/work");
    let root = stage.root();
    stage_write(&stage, "a.txt", "two\n");
    stage_write(&stage, "big", "small");
    root.unlink_file("gone/old.txt").unwrap();
    root.remove_directory("gone").unwrap();
    root.unlink_file("turns").unwrap();
    root.create_directory("turns").unwrap();
    stage_write(&stage, "turns/into.txt", "x");
    root.unlink_file("link").unwrap();
    root.symlink("big", "link").unwrap();
    assert_eq!(commit(&workspace, &set(7), &stage).unwrap().outcome, CommitOutcome::Committed);
    let after = place.tree();
    assert_ne!(after, before);

    assert_eq!(undo(&workspace, 8, 7).unwrap().outcome, CommitOutcome::Committed);
    assert_eq!(place.tree(), before);
    // An undo is a commit: taking it back brings the first one into effect again.
    assert_eq!(undo(&workspace, 9, 8).unwrap().outcome, CommitOutcome::Committed);
    assert_eq!(place.tree(), after);
    assert_eq!(undo(&workspace, 10, 7).unwrap().outcome, CommitOutcome::Committed);
    assert_eq!(place.tree(), before);
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

#[test]
fn a_set_is_undone_while_its_undo_is_in_effect() {
    let place = Place::new(&[("a.txt", "one\n")]);
    let workspace = place.open();
    let states = || {
        let sets = workspace.journal().change_sets(10).unwrap();
        sets.into_iter().rev().map(|set| set.state).collect::<Vec<_>>()
    };
    let committed = || ChangeSetState::Ended(CommitOutcome::Committed);
    let undone = |by| ChangeSetState::Undone { by: set(by) };
    commit_write(&workspace, 1, "a.txt", "two\n");
    assert_eq!(states(), [committed()]);
    undo(&workspace, 2, 1).unwrap();
    assert_eq!(states(), [undone(2), committed()]);
    undo(&workspace, 3, 2).unwrap();
    assert_eq!(states(), [committed(), undone(3), committed()]);
    undo(&workspace, 4, 1).unwrap();
    assert_eq!(states(), [undone(4), undone(3), committed(), committed()]);
}

#[test]
fn what_cannot_be_undone_says_why() {
    let place = Place::new(&[("a.txt", "one\n")]);
    let workspace = place.open();
    assert!(matches!(undo(&workspace, 20, 1), Err(CommitError::Unknown(id)) if id == set(1)));

    let conflicted = stage(&workspace, "/work");
    stage_write(&conflicted, "a.txt", "two\n");
    let changes = conflicted.changes().unwrap();
    let permit = super::support::permit(&workspace, &set(2), &changes);
    place.write("a.txt", "a person's\n");
    let (session, call) = (&super::support::session(), &super::support::call());
    workspace.commit(crate::Commit { session, call, permit, stage: &conflicted, changes: &changes }).unwrap();
    assert!(matches!(undo(&workspace, 21, 2), Err(CommitError::NotCommitted(id)) if id == set(2)));

    commit_write(&workspace, 3, "a.txt", "three\n");
    undo(&workspace, 22, 3).unwrap();
    let refused = undo(&workspace, 23, 3);
    assert!(matches!(refused, Err(CommitError::AlreadyUndone { ref by, .. }) if *by == set(22)), "{refused:?}");
}

#[test]
fn an_undo_over_a_changed_file_is_a_conflict_and_nothing_is_written() {
    let place = Place::new(&[("a.txt", "one\n"), ("b.txt", "one\n")]);
    let workspace = place.open();
    let stage = stage(&workspace, "/work");
    stage_write(&stage, "a.txt", "two\n");
    stage_write(&stage, "b.txt", "two\n");
    commit(&workspace, &set(7), &stage).unwrap();
    place.write("b.txt", "a person's\n");
    let before = place.tree();
    let CommitOutcome::Conflicted { conflicts } = undo(&workspace, 8, 7).unwrap().outcome else { panic!() };
    let paths: Vec<&str> = conflicts.iter().map(|conflict: &Conflict| conflict.path.as_str()).collect();
    assert_eq!(paths, ["b.txt"]);
    let found = Node::File { hash: ContentHash::of(b"a person's\n"), size: 11, mode: 0o644 };
    assert_eq!(conflicts[0].found, found);
    assert_eq!(place.tree(), before);
    // Still in effect, so it can be taken back once the file is as it was.
    place.write("b.txt", "two\n");
    assert_eq!(undo(&workspace, 9, 7).unwrap().outcome, CommitOutcome::Committed);
    assert_eq!(fs::read_to_string(place.path("b.txt")).unwrap(), "one\n");
}

#[test]
fn an_undo_spares_what_a_person_put_into_a_new_directory() {
    let place = Place::new(&[]);
    let workspace = place.open();
    let stage = stage(&workspace, "/work");
    stage.root().create_directory("made").unwrap();
    stage_write(&stage, "made/a.txt", "x");
    commit(&workspace, &set(7), &stage).unwrap();
    place.write("made/mine.txt", "mine\n");
    let before = place.tree();
    assert!(matches!(undo(&workspace, 8, 7).unwrap().outcome, CommitOutcome::Conflicted { .. }));
    assert_eq!(place.tree(), before);
}

#[test]
fn a_damaged_content_stops_an_undo_before_anything_is_written() {
    let place = Place::new(&[("a.txt", &"x".repeat(200 << 10)), ("b.txt", "one\n")]);
    let workspace = place.open();
    let stage = stage(&workspace, "/work");
    stage_write(&stage, "a.txt", "two\n");
    stage_write(&stage, "b.txt", "two\n");
    let committed = commit(&workspace, &set(7), &stage).unwrap();
    assert_eq!(committed.outcome, CommitOutcome::Committed);
    let before = place.tree();
    let hash = ContentHash::of("x".repeat(200 << 10).as_bytes());
    fs::write(workspace.blobs().path(&hash), "short").unwrap();
    assert!(undo(&workspace, 8, 7).is_err());
    // Right size, wrong content: only reading it shows the damage, and what was done is taken back.
    fs::write(workspace.blobs().path(&hash), "y".repeat(200 << 10)).unwrap();
    let outcome = undo(&workspace, 9, 7).unwrap().outcome;
    assert!(matches!(outcome, CommitOutcome::RolledBack { .. }), "{outcome:?}");
    assert_eq!(place.tree(), before);
}
