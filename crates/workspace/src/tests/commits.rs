//! What a commit does, and what it refuses to do.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use protocol::{CommitOutcome, Conflict, ContentHash, Event, EventBody, Node, Observation, SessionId};

use super::support::{
    Place, call, chmod, clock, commit, commit_write, permit, session, set, stage, stage_read, stage_write,
};
use crate::journal::{ChangeSetRecord, ChangeSetRole, ChangeSetState};
use crate::{Commit, CommitError, Durability, Mount, Workspace, faults};

fn file(content: &str, mode: u32) -> Node {
    Node::File { hash: ContentHash::of(content.as_bytes()), size: content.len() as u64, mode }
}

fn kinds(events: &[Event]) -> Vec<&'static str> {
    let kind = |event: &Event| match event.body {
        EventBody::CommitDecided { .. } => "decided",
        EventBody::CommitIntended { .. } => "intended",
        EventBody::CommitFinished { .. } => "finished",
        _ => "other",
    };
    events.iter().map(kind).collect()
}

#[test]
fn a_commit_changes_the_tree_and_says_so() {
    let place = Place::new(&[("a.txt", "one\n"), ("gone/old.txt", "old\n")]);
    chmod(&place.path("a.txt"), 0o640);
    let workspace = place.open();
    let stage = stage(&workspace, "/work");
    stage_write(&stage, "a.txt", "two\n");
    stage.root().create_directory("made").unwrap();
    stage_write(&stage, "made/new.txt", "new\n");
    stage.root().symlink("new.txt", "made/link").unwrap();
    stage.root().unlink_file("gone/old.txt").unwrap();
    stage.root().remove_directory("gone").unwrap();
    let committed = commit(&workspace, &set(7), &stage).unwrap();

    assert_eq!(committed.outcome, CommitOutcome::Committed);
    assert_eq!(workspace.journal().last_durability(), Durability::Power);
    assert_eq!(fs::read_to_string(place.path("a.txt")).unwrap(), "two\n");
    assert_eq!(fs::metadata(place.path("a.txt")).unwrap().mode() & 0o777, 0o640);
    assert_eq!(fs::read_to_string(place.path("made/link")).unwrap(), "new\n");
    assert!(!place.path("gone").exists());
    let events = workspace.journal().events(&session()).unwrap();
    assert_eq!(kinds(&events), ["decided", "intended", "finished"]);
    let record = workspace.journal().change_set(&set(7)).unwrap();
    let expected = ChangeSetRecord {
        change_set: set(7),
        session: session(),
        call: Some(call()),
        intended_at_ms: 1_000_000_000,
        changes: stage.changes().unwrap(),
        undoes: Vec::new(),
        role: ChangeSetRole::Change,
        of: Vec::new(),
        spared: Vec::new(),
        state: ChangeSetState::Ended(CommitOutcome::Committed),
        sequence: 2,
        effective: 2,
    };
    // The stage's base moved on under it, so the record's own changes are what was staged.
    let record = record.unwrap();
    assert_eq!(ChangeSetRecord { changes: record.changes.clone(), ..expected }, record);
    assert_eq!(record.changes.changes.len(), 6);
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

#[test]
fn a_commit_tells_what_it_left_behind() {
    let place = Place::new(&[("a.txt", "one\n")]);
    let workspace = place.open();
    let seen = stage(&workspace, "/work");
    stage_read(&seen, "a.txt");
    let committed = commit_write(&workspace, 7, "a.txt", "two\n");
    let stamp = workspace.base("/work").unwrap().stamp("a.txt").unwrap().unwrap();
    assert_eq!(committed.observed, [Observation { mount: "/work".into(), path: "a.txt".into(), stamp }]);
    // To a session that only remembers what it read, its own write looks like somebody else's.
    let forgetful = stage(&workspace, "/work");
    forgetful.expect(&seen.observed());
    stage_write(&forgetful, "a.txt", "three\n");
    let outcome = commit(&workspace, &set(8), &forgetful).unwrap().outcome;
    assert!(matches!(outcome, CommitOutcome::Conflicted { .. }), "{outcome:?}");
    let next = stage(&workspace, "/work");
    next.expect(&committed.observed);
    stage_write(&next, "a.txt", "three\n");
    assert_eq!(commit(&workspace, &set(9), &next).unwrap().outcome, CommitOutcome::Committed);
    assert_eq!(fs::read_to_string(place.path("a.txt")).unwrap(), "three\n");
}

#[test]
fn a_file_that_changed_underneath_is_a_conflict_and_nothing_is_written() {
    let place = Place::new(&[("a.txt", "one\n"), ("b.txt", "one\n")]);
    let workspace = place.open();
    let stage = stage(&workspace, "/work");
    stage_read(&stage, "a.txt");
    stage_write(&stage, "a.txt", "two\n");
    stage_write(&stage, "b.txt", "two\n");
    let changes = stage.changes().unwrap();
    let permit = permit(&workspace, &set(7), &changes);
    place.write("b.txt", "a person's\n");
    let before = place.tree();
    let (session, call) = (&session(), &call());
    let committed = workspace.commit(Commit { session, call, permit, stage: &stage, changes: &changes }).unwrap();
    let mode = fs::metadata(place.path("b.txt")).unwrap().mode() & 0o777;
    let conflict = Conflict { path: "b.txt".into(), expected: file("one\n", mode), found: file("a person's\n", mode) };
    assert_eq!(committed.outcome, CommitOutcome::Conflicted { conflicts: vec![conflict] });
    assert_eq!(place.tree(), before);
    assert_eq!(kinds(&workspace.journal().events(session).unwrap()), ["decided", "finished"]);
}

#[test]
fn a_file_that_changes_while_it_is_kept_is_a_conflict() {
    let place = Place::new(&[("a.txt", "one\n")]);
    let workspace = place.open();
    let stage = stage(&workspace, "/work");
    stage_write(&stage, "a.txt", "two\n");
    let changes = stage.changes().unwrap();
    let permit = permit(&workspace, &set(7), &changes);
    let path = place.path("a.txt");
    faults::at_each(move |point| {
        if point == "compared" {
            fs::write(&path, "a person's\n").unwrap();
        }
    });
    let (session, call) = (&session(), &call());
    let committed = workspace.commit(Commit { session, call, permit, stage: &stage, changes: &changes }).unwrap();
    assert!(matches!(committed.outcome, CommitOutcome::Conflicted { .. }), "{committed:?}");
    assert_eq!(fs::read_to_string(place.path("a.txt")).unwrap(), "a person's\n");
    assert_eq!(kinds(&workspace.journal().events(session).unwrap()), ["decided", "finished"]);
}

#[test]
fn a_permit_fits_one_change_set() {
    let place = Place::new(&[("a.txt", "one\n")]);
    let workspace = place.open();
    let (allowed, other) = (stage(&workspace, "/work"), stage(&workspace, "/work"));
    stage_write(&allowed, "a.txt", "two\n");
    stage_write(&other, "a.txt", "evil\n");
    let permit = permit(&workspace, &set(7), &allowed.changes().unwrap());
    let (session, call, changes) = (&session(), &call(), &other.changes().unwrap());
    let refused = workspace.commit(Commit { session, call, permit, stage: &other, changes });
    assert!(matches!(refused, Err(CommitError::Permit(_))));
    assert_eq!(fs::read_to_string(place.path("a.txt")).unwrap(), "one\n");
}

/// Runs a commit of `a.txt`, `b.txt` and `made/c.txt` and calls `meddle` before its second step.
fn meddled(place: &Place, meddle: impl Fn() + 'static) -> (CommitOutcome, Workspace) {
    let workspace = place.open();
    let stage = stage(&workspace, "/work");
    stage_write(&stage, "a.txt", "two\n");
    stage_write(&stage, "b.txt", "two\n");
    stage.root().create_directory("made").unwrap();
    stage_write(&stage, "made/c.txt", "two\n");
    let mut steps = 0;
    faults::at_each(move |point| {
        steps += u32::from(point == "step");
        if point == "step" && steps == 2 {
            meddle();
        }
    });
    let outcome = commit(&workspace, &set(7), &stage).unwrap().outcome;
    faults::at_each(|_| {});
    (outcome, workspace)
}

#[test]
fn an_error_half_way_takes_back_what_was_done() {
    let place = Place::new(&[("a.txt", "one\n"), ("b.txt", "one\n")]);
    let before = place.tree();
    let path = place.path("b.txt");
    let (outcome, workspace) = meddled(&place, move || fs::write(&path, "a person's\n").unwrap());
    let reason = "`b.txt` changed underneath; changed meanwhile and left as it is: b.txt".to_owned();
    assert_eq!(outcome, CommitOutcome::RolledBack { reason });
    let mut expected = before;
    expected.get_mut("b.txt").unwrap().1 = b"a person's\n".to_vec();
    assert_eq!(place.tree(), expected);
    assert_eq!(kinds(&workspace.journal().events(&session()).unwrap()), ["decided", "intended", "finished"]);
    assert!(matches!(workspace.undo_plans(&[set(7)]), Err(CommitError::NotCommitted(id)) if id == set(7)));
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

#[test]
fn taking_back_spares_what_a_person_put_into_a_new_directory() {
    let place = Place::new(&[("a.txt", "one\n"), ("b.txt", "one\n")]);
    let (made, late) = (place.path("made"), place.path("made/c.txt"));
    let workspace = place.open();
    let stage = stage(&workspace, "/work");
    stage_write(&stage, "a.txt", "two\n");
    stage.root().create_directory("made").unwrap();
    stage_write(&stage, "made/c.txt", "two\n");
    let mut steps = 0;
    faults::at_each(move |point| {
        steps += u32::from(point == "step");
        if point == "step" && steps == 3 {
            fs::write(made.join("mine.txt"), "mine\n").unwrap();
            fs::write(&late, "mine too\n").unwrap();
        }
    });
    let outcome = commit(&workspace, &set(7), &stage).unwrap().outcome;
    let reason = "`made/c.txt` changed underneath; changed meanwhile and left as it is: made, made/c.txt".to_owned();
    assert_eq!(outcome, CommitOutcome::RolledBack { reason });
    assert_eq!(fs::read_to_string(place.path("a.txt")).unwrap(), "one\n");
    assert_eq!(fs::read_to_string(place.path("made/mine.txt")).unwrap(), "mine\n");
    assert_eq!(fs::read_to_string(place.path("made/c.txt")).unwrap(), "mine too\n");
}

#[test]
fn a_commit_goes_to_the_mount_it_names() {
    let (place, library) = (Place::new(&[("a.txt", "one\n")]), Place::new(&[("a.txt", "one\n")]));
    let mounts = [("/work", place.root()), ("/lib", library.root())];
    let mounts = mounts.map(|(name, host)| Mount { name: name.into(), host });
    let workspace = Workspace::open(&place.root(), &mounts, Some(&super::support::keys(&place.root())), clock).unwrap();
    let stage = stage(&workspace, "/lib");
    stage_write(&stage, "a.txt", "two\n");
    commit(&workspace, &set(7), &stage).unwrap();
    assert_eq!(fs::read_to_string(place.path("a.txt")).unwrap(), "one\n");
    assert_eq!(fs::read_to_string(library.path("a.txt")).unwrap(), "two\n");
    assert_eq!(library.tree().len(), 1);
    let only_work = place.open();
    let undone = super::support::undo(&only_work, 8, 7);
    assert!(matches!(undone, Err(CommitError::NoMount(mount)) if mount == "/lib"));
}

#[test]
fn contents_of_every_size_are_kept() {
    let place = Place::new(&[("a.txt", "one\n")]);
    let workspace = place.open();
    for (id, size) in [0, 1, 128 << 10, (128 << 10) + 1, 300 << 10].into_iter().enumerate() {
        let content = "x".repeat(size);
        commit_write(&workspace, 10 + id as u64, "a.txt", &content);
        let mut kept = Vec::new();
        let hash = ContentHash::of(content.as_bytes());
        workspace.content(&hash).unwrap().read_to_end(&mut kept).unwrap();
        assert_eq!(kept.len(), size);
        assert_eq!(workspace.blobs().contains(&hash), size > 128 << 10);
    }
}

#[test]
fn threads_and_workspaces_commit_one_after_the_other() {
    let place = Place::new(&[]);
    let root = place.root();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let root = root.clone();
            scope.spawn(move || {
                let workspace = super::support::open(&root);
                for at in 0..4 {
                    let stage = stage(&workspace, "/work");
                    stage_write(&stage, &format!("{thread}-{at}.txt"), "x");
                    let outcome = commit(&workspace, &set(100 + thread * 10 + at), &stage).unwrap().outcome;
                    assert_eq!(outcome, CommitOutcome::Committed);
                }
            });
        }
    });
    assert_eq!(place.tree().len(), 16);
    let sequences: Vec<u64> =
        place.open().journal().tail(0, 1000).unwrap().iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=48).collect::<Vec<_>>());
    assert!(place.open().journal().events(&SessionId::from_random(99)).unwrap().is_empty());
}
