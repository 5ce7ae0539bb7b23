//! Taking many change sets back at once, redoing, and leaving alone what changed since.

use std::fs;

use protocol::{ChangeSetId, CommitOutcome, EventBody, TurnId};

use super::support::{
    Place, call, carry_out, clock, commit, commit_write, keys, session, set, stage, stage_write, undo, undo_all,
};
use crate::journal::{ChangeSetRole, ChangeSetState, LookupError, Undoable};
use crate::{CommitError, Durability, Mount, Workspace};

fn states(workspace: &Workspace) -> Vec<(ChangeSetRole, ChangeSetState)> {
    let sets = workspace.journal().change_sets(100).unwrap();
    sets.into_iter().rev().map(|set| (set.role, set.state)).collect()
}

fn in_effect() -> ChangeSetState {
    ChangeSetState::Ended(CommitOutcome::Committed)
}

fn undone(by: u64) -> ChangeSetState {
    ChangeSetState::Undone { by: set(by) }
}

#[test]
fn many_sets_are_one_commit_and_back_again() {
    use ChangeSetRole::{Change, Redo, Undo};
    let place = Place::new(&[("a.txt", "one\n")]);
    let workspace = place.open();
    let before = place.tree();
    commit_write(&workspace, 1, "a.txt", "two\n");
    commit_write(&workspace, 2, "b.txt", "new\n");
    commit_write(&workspace, 3, "a.txt", "three\n");
    let after = place.tree();
    undo_all(&workspace, 4, &[1, 2, 3]).unwrap();
    assert_eq!(place.tree(), before);
    assert_eq!(
        states(&workspace),
        [(Change, undone(4)), (Change, undone(4)), (Change, undone(4)), (Undo, in_effect())]
    );
    let record = workspace.journal().change_set(&set(4)).unwrap().unwrap();
    assert_eq!((record.undoes.clone(), record.of), (vec![set(1), set(2), set(3)], vec![set(1), set(2), set(3)]));
    assert_eq!(record.changes.changes.len(), 2);

    undo(&workspace, 5, 4).unwrap();
    assert_eq!(place.tree(), after);
    assert_eq!(states(&workspace)[3..], [(Undo, undone(5)), (Redo, in_effect())]);
    assert!(states(&workspace)[..3].iter().all(|(_, state)| *state == in_effect()));
    assert_eq!(workspace.journal().change_set(&set(5)).unwrap().unwrap().of, [set(1), set(2), set(3)]);

    // One of them, then the others, in another order than they came.
    undo(&workspace, 6, 2).unwrap();
    undo_all(&workspace, 7, &[3, 1]).unwrap();
    assert_eq!(place.tree(), before);
    let expected = [undone(7), undone(6), undone(7), undone(5), in_effect(), in_effect(), in_effect()];
    assert_eq!(states(&workspace).into_iter().map(|(_, state)| state).collect::<Vec<_>>(), expected);
    assert!(workspace.verify().unwrap().is_verified());
}

#[test]
fn the_last_set_in_effect_is_the_one_that_came_into_effect_last() {
    let place = Place::new(&[]);
    let workspace = place.open();
    let last = |role| workspace.journal().last_in_effect(role).unwrap().map(|set| set.change_set);
    assert_eq!(last(ChangeSetRole::Change), None);
    commit_write(&workspace, 1, "a.txt", "a\n");
    commit_write(&workspace, 2, "b.txt", "b\n");
    assert_eq!((last(ChangeSetRole::Change), last(ChangeSetRole::Undo)), (Some(set(2)), None));
    undo(&workspace, 3, 2).unwrap();
    undo(&workspace, 4, 1).unwrap();
    assert_eq!((last(ChangeSetRole::Change), last(ChangeSetRole::Undo)), (None, Some(set(4))));
    undo(&workspace, 5, 3).unwrap();
    undo(&workspace, 6, 4).unwrap();
    // What was redone last is undone first.
    assert_eq!((last(ChangeSetRole::Change), last(ChangeSetRole::Undo)), (Some(set(1)), None));
    // It is undone by itself, so that its redo brought nothing back that is left.
    undo(&workspace, 7, 1).unwrap();
    assert_eq!((last(ChangeSetRole::Change), last(ChangeSetRole::Undo)), (Some(set(2)), Some(set(7))));
}

#[test]
fn a_set_between_that_is_not_taken_back_is_a_conflict() {
    let place = Place::new(&[("a.txt", "one\n")]);
    let workspace = place.open();
    for (id, text) in [(1, "two\n"), (2, "three\n"), (3, "four\n")] {
        commit_write(&workspace, id, "a.txt", text);
    }
    let plan = workspace.undo_plans(&[set(1), set(3)]).unwrap().remove(0);
    let [obstacle] = plan.obstacles.as_slice() else { panic!("{plan:?}") };
    assert_eq!((obstacle.conflict.path.as_str(), &obstacle.by), ("a.txt", &Some(set(2))));
    let outcome = carry_out(&workspace, 4, &plan).unwrap().outcome;
    assert!(matches!(outcome, CommitOutcome::Conflicted { .. }), "{outcome:?}");
    assert_eq!(fs::read_to_string(place.path("a.txt")).unwrap(), "four\n");
    // One that is undone is not between.
    undo_all(&workspace, 5, &[2, 3]).unwrap();
    commit_write(&workspace, 6, "a.txt", "five\n");
    undo_all(&workspace, 7, &[1, 6]).unwrap();
    assert_eq!(fs::read_to_string(place.path("a.txt")).unwrap(), "one\n");
}

#[test]
fn who_changed_a_file_since_is_told() {
    let place = Place::new(&[("a.txt", "one\n"), ("b.txt", "one\n"), ("c.txt", "one\n")]);
    let workspace = place.open();
    let many = stage(&workspace, "/work");
    for path in ["a.txt", "b.txt", "c.txt"] {
        stage_write(&many, path, "two\n");
    }
    commit(&workspace, &set(1), &many).unwrap();
    commit_write(&workspace, 2, "a.txt", "by a set\n");
    place.write("b.txt", "by a person\n");
    let plan = workspace.undo_plans(&[set(1)]).unwrap().remove(0);
    let told: Vec<_> = plan.obstacles.iter().map(|found| (found.conflict.path.as_str(), found.by.clone())).collect();
    assert_eq!(told, [("a.txt", Some(set(2))), ("b.txt", None)]);
    // A person went over what the set had changed.
    place.write("a.txt", "by a person\n");
    let plan = workspace.undo_plans(&[set(1)]).unwrap().remove(0);
    assert!(plan.obstacles.iter().all(|found| found.by.is_none()), "{plan:?}");

    let plan = workspace.sparing(plan).unwrap();
    assert_eq!(plan.spared, ["a.txt", "b.txt"]);
    assert_eq!(carry_out(&workspace, 3, &plan).unwrap().outcome, CommitOutcome::Committed);
    let read = |path| fs::read_to_string(place.path(path)).unwrap();
    assert_eq!([read("a.txt"), read("b.txt"), read("c.txt")], ["by a person\n", "by a person\n", "one\n"]);
    assert_eq!(workspace.journal().change_set(&set(3)).unwrap().unwrap().spared, ["a.txt", "b.txt"]);
    // A redo brings back what was taken back, and that only.
    undo(&workspace, 4, 3).unwrap();
    assert_eq!([read("a.txt"), read("b.txt"), read("c.txt")], ["by a person\n", "by a person\n", "two\n"]);
}

#[test]
fn what_cannot_be_done_without_a_changed_file_is_left_too() {
    let place = Place::new(&[("gone/x.txt", "x\n"), ("gone/y.txt", "y\n"), ("other.txt", "one\n")]);
    let workspace = place.open();
    let stage = stage(&workspace, "/work");
    let root = stage.root();
    root.create_directory("made").unwrap();
    stage_write(&stage, "made/a.txt", "a\n");
    stage_write(&stage, "made/b.txt", "b\n");
    root.unlink_file("gone/x.txt").unwrap();
    root.unlink_file("gone/y.txt").unwrap();
    root.remove_directory("gone").unwrap();
    stage_write(&stage, "other.txt", "two\n");
    commit(&workspace, &set(1), &stage).unwrap();
    place.write("made/mine.txt", "mine\n");
    place.write("gone", "a file\n");
    let plan = workspace.sparing(workspace.undo_plans(&[set(1)]).unwrap().remove(0)).unwrap();
    // The directories cannot go and cannot come; what is beside them can.
    assert_eq!(plan.spared, ["gone", "gone/x.txt", "gone/y.txt", "made", "made/mine.txt"]);
    assert_eq!(carry_out(&workspace, 2, &plan).unwrap().outcome, CommitOutcome::Committed);
    let left: Vec<String> = place.tree().into_keys().collect();
    assert_eq!(left, ["gone", "made", "made/mine.txt", "other.txt"]);
    assert_eq!(fs::read_to_string(place.path("other.txt")).unwrap(), "one\n");
}

#[test]
fn each_mount_is_a_commit_of_its_own() {
    let (place, library) = (Place::new(&[("a.txt", "one\n")]), Place::new(&[("a.txt", "one\n")]));
    let mounts = [("/work", place.root()), ("/lib", library.root())];
    let mounts = mounts.map(|(name, host)| Mount { name: name.into(), host });
    let workspace = Workspace::open(&place.root(), &mounts, Some(&keys(&place.root())), clock).unwrap();
    commit_write(&workspace, 1, "a.txt", "two\n");
    let other = stage(&workspace, "/lib");
    stage_write(&other, "a.txt", "two\n");
    commit(&workspace, &set(2), &other).unwrap();
    let plans = workspace.undo_plans(&[set(1), set(2)]).unwrap();
    assert_eq!(plans.iter().map(|plan| plan.changes.mount.as_str()).collect::<Vec<_>>(), ["/lib", "/work"]);
    let mut both = plans[0].clone();
    both.undoes.extend(plans[1].undoes.clone());
    assert!(matches!(carry_out(&workspace, 9, &both), Err(CommitError::ManyMounts)));
    for (id, plan) in (3..).zip(&plans) {
        assert_eq!(carry_out(&workspace, id, plan).unwrap().outcome, CommitOutcome::Committed);
    }
    for place in [&place, &library] {
        assert_eq!(fs::read_to_string(place.path("a.txt")).unwrap(), "one\n");
    }
}

#[test]
fn a_plan_that_is_out_of_date_is_not_carried_out() {
    let place = Place::new(&[]);
    let workspace = place.open();
    commit_write(&workspace, 1, "a.txt", "a\n");
    let plan = workspace.undo_plans(&[set(1)]).unwrap().remove(0);
    undo(&workspace, 2, 1).unwrap();
    let again = carry_out(&workspace, 3, &plan);
    assert!(matches!(again, Err(CommitError::AlreadyUndone { .. })), "{again:?}");
    // Nor one that says it is about something else than its permit.
    undo(&workspace, 4, 2).unwrap();
    let mut forged = workspace.undo_plans(&[set(1)]).unwrap().remove(0);
    forged.changes.changes[0].path = "b.txt".into();
    assert!(matches!(carry_out(&workspace, 5, &forged), Err(CommitError::Permit(_))));
}

#[test]
fn calls_turns_and_sessions_are_found_with_their_sets() {
    let place = Place::new(&[]);
    let workspace = place.open();
    let journal = workspace.journal();
    let turn = |number: u64| TurnId::from_random(number << 40);
    let open = |number| EventBody::TurnOpened { turn: turn(number), text: "do".into() };
    let opened = EventBody::SessionOpened { principal: String::new(), model: String::new() };
    journal.append(&session(), &[opened, open(1)], Durability::Process).unwrap();
    commit_write(&workspace, 1 << 50, "a.txt", "a\n");
    commit_write(&workspace, 2 << 50, "b.txt", "b\n");
    journal.append(&session(), &[open(2)], Durability::Process).unwrap();
    commit_write(&workspace, 3 << 50, "c.txt", "c\n");
    undo(&workspace, 4 << 50, 3 << 50).unwrap();
    let sets = |of: &Undoable| -> Vec<ChangeSetId> {
        journal.change_sets_of(of).unwrap().into_iter().map(|set| set.change_set).collect()
    };
    let found = |prefix: &str| journal.find_undoable(prefix).unwrap();
    let (one, two, three) = (set(1 << 50), set(2 << 50), set(3 << 50));
    assert_eq!(found(turn(1).as_str()), Undoable::Turn(session(), turn(1)));
    assert_eq!(sets(&found(turn(1).as_str())), [one.clone(), two.clone()]);
    assert_eq!(sets(&found(turn(2).as_str())), std::slice::from_ref(&three));
    assert_eq!(sets(&found(session().as_str())), [one.clone(), two.clone(), three.clone()]);
    assert_eq!(found(call().as_str()), Undoable::Call(session(), call()));
    assert_eq!(sets(&found(call().as_str())), [one.clone(), two, three]);
    assert_eq!(found(one.as_str()), Undoable::ChangeSet(one));
    let ambiguous = journal.find_undoable("0");
    assert!(matches!(ambiguous, Err(LookupError::Ambiguous { .. })), "{ambiguous:?}");
    assert!(matches!(journal.find_undoable("zzz"), Err(LookupError::NoMatch(_))));
    assert!(matches!(journal.find_undoable("%\""), Err(LookupError::NoMatch(_))));
}
