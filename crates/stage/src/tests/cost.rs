//! Cost follows what is touched, never the size of the tree.

use super::support::{CREATE, READ, World, dir, open, read_all, text, write};
use crate::base::tally::during;
use crate::tree::ROOT;

fn nodes(world: &World) -> usize {
    world.stage.0.tree().node_count()
}

#[test]
fn a_file_is_found_with_one_lookup_however_deep() {
    let world = World::with(&["a/b/c/d/file"]);
    let (file, lookups) = during(|| open(&world.root, "a/b/c/d/file", READ).unwrap());
    assert_eq!(lookups, 1);
    assert_eq!(during(|| read_all(&file).unwrap()), (b"a/b/c/d/file".to_vec(), 0));
    assert_eq!(during(|| world.root.stat("a/b/c/d/file", true).unwrap()).1, 0, "an open file is known");
    drop(file);
    assert_eq!(during(|| world.root.stat("a/b/c/d/file", true).unwrap()).1, 1);
    assert_eq!(during(|| world.root.stat("a/b/c/d/none", true).unwrap_err()).1, 2);
}

#[test]
fn handles_leave_nothing_behind() {
    let world = World::with(&["a/b/c/file", "a/b/other"]);
    assert_eq!(nodes(&world), 1);
    let (file, other) = (open(&world.root, "a/b/c/file", READ).unwrap(), dir(&world.root, "a/b"));
    assert_eq!(nodes(&world), 5);
    drop(file);
    assert_eq!(nodes(&world), 3);
    drop(other);
    assert_eq!(nodes(&world), 1);
    world.root.unlink_file("a/none").unwrap_err();
    world.root.rename("a", &world.root, "a/b/x").unwrap_err();
    write(&world.root, "a/b/new", "x").unwrap();
    world.root.unlink_file("a/b/new").unwrap();
    assert_eq!(nodes(&world), 1);
}

#[test]
fn renaming_a_directory_touches_nothing_in_it() {
    let files: Vec<_> = (0..200).map(|number| format!("d/{number}/file")).collect();
    let world = World::with(&files.iter().map(String::as_str).collect::<Vec<_>>());
    let ((), lookups) = during(|| world.root.rename("d", &world.root, "e").unwrap());
    assert_eq!(lookups, 2);
    assert_eq!(nodes(&world), 2);
    assert_eq!(text(&world.root, "e/7/file"), "d/7/file");
    assert_eq!(world.root.stat("d", true).unwrap_err(), crate::StageError::NoEntry);
    assert_eq!(nodes(&world), 2);
}

#[test]
fn a_change_set_costs_what_changed() {
    let lookups = |count: usize| {
        let files: Vec<_> = (0..count).map(|number| format!("d/{number}")).collect();
        let world = World::with(&files.iter().map(String::as_str).collect::<Vec<_>>());
        write(&world.root, "d/1", "changed").unwrap();
        write(&world.root, "new", "made").unwrap();
        let (changes, lookups) = during(|| world.stage.changes().unwrap());
        assert_eq!(changes.changes.len(), 2);
        lookups + during(|| world.stage.conflicts(&changes).unwrap()).1
    };
    assert_eq!(lookups(3), lookups(300));
}

#[test]
fn a_stage_costs_no_system_call() {
    let world = World::with(&[]);
    let (stage, lookups) = during(|| crate::Stage::new(world.base.clone(), super::support::options(&world.folder)));
    assert_eq!(lookups, 0);
    assert_eq!(stage.0.tree().get(ROOT).links, 1);
}

#[test]
fn opening_for_writing_copies_nothing() {
    let world = World::with(&["file"]);
    let file = open(&world.root, "file", CREATE).unwrap();
    file.write_at(3, b"").unwrap();
    file.set_len(4).unwrap();
    assert_eq!((world.stage.usage(), world.changed()), (crate::Usage::default(), vec![]));
    file.write_at(0, b"F").unwrap();
    assert_eq!(text(&world.root, "file"), "File");
    file.write_at(0, b"f").unwrap();
    assert_eq!(world.changed(), [""; 0], "the same at both ends");
}

#[test]
fn a_closed_base_file_is_not_kept_open() {
    use crate::tree::{Content, NodeKind};
    let world = World::with(&["file"]);
    let file = open(&world.root, "file", READ).unwrap();
    world.root.rename("file", &world.root, "moved").unwrap();
    let is_open = || {
        let tree = world.stage.0.tree();
        let id = tree.children(ROOT)["moved"].node.unwrap();
        matches!(tree.get(id).kind, NodeKind::File(Content::Base(Some(_))))
    };
    assert!(is_open());
    drop(file);
    assert!(!is_open());
    assert_eq!(text(&world.root, "moved"), "file");
}
