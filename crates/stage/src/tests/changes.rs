//! Change sets and conflicts.

use std::os::unix::fs::PermissionsExt as _;

use protocol::{Change, ChangeSet, Conflict, ContentHash, Node, Observation};

use super::support::{CREATE, READ, WRITE, World, apply, contents, dir, open, read, snapshot, text, write};
use crate::StageError;

fn file(text: &str, mode: u32) -> Node {
    Node::File { hash: ContentHash::of(text.as_bytes()), size: text.len() as u64, mode }
}

fn change(path: &str, before: Node, after: Node) -> Change {
    Change { path: path.into(), before, after, renamed_from: None }
}

fn replace(world: &World, path: &str, content: &str) {
    let fresh = world.folder.path().join("fresh");
    std::fs::write(&fresh, content).unwrap();
    std::fs::rename(fresh, world.real(path)).unwrap();
}

#[test]
fn a_change_set_says_what_was_and_what_is() {
    let world = World::with(&["edit", "gone", "keep", "run.sh", "link -> keep", "dir/"]);
    std::fs::set_permissions(world.real("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    write(&world.root, "edit", "edited").unwrap();
    write(&world.root, "keep", "keep").unwrap();
    write(&world.root, "run.sh", "#!").unwrap();
    write(&world.root, "dir/new", "new").unwrap();
    world.root.unlink_file("gone").unwrap();
    world.root.unlink_file("link").unwrap();
    world.root.symlink("edit", "link").unwrap();
    world.root.create_directory("made").unwrap();
    let expected = vec![
        change("dir/new", Node::Absent, file("new", 0o644)),
        change("edit", file("edit", 0o644), file("edited", 0o644)),
        change("gone", file("gone", 0o644), Node::Absent),
        change("link", Node::Symlink { target: "keep".into() }, Node::Symlink { target: "edit".into() }),
        change("made", Node::Absent, Node::Directory { mode: 0o755 }),
        change("run.sh", file("run.sh", 0o755), file("#!", 0o755)),
    ];
    assert_eq!(world.stage.changes().unwrap(), ChangeSet { mount: "/work".into(), changes: expected });
    assert_eq!(world.stage.content(&ContentHash::of(b"nothing")).unwrap_err(), StageError::NoContent);
}

#[test]
fn a_moved_tree_is_named_entry_by_entry_and_comes_back() {
    let world = World::with(&["tree/a", "tree/sub/b", "tree/sub/c", "other"]);
    let original = snapshot(&world.real(""));
    world.root.rename("tree", &world.root, "moved").unwrap();
    world.root.rename("moved/sub/c", &world.root, "c").unwrap();
    world.root.unlink_file("other").unwrap();
    write(&world.root, "moved/a", "changed").unwrap();
    let expected = [
        "+c<tree/sub/c",
        "+moved<tree",
        "+moved/a<tree/a",
        "+moved/sub<tree/sub",
        "+moved/sub/b<tree/sub/b",
        "-other",
        "-tree",
        "-tree/a",
        "-tree/sub",
        "-tree/sub/b",
        "-tree/sub/c",
    ];
    assert_eq!(world.changed(), expected);
    let changes = world.stage.changes().unwrap();
    let contents = contents(&world.stage, &world.base, &changes);
    apply(&world.writer(), &changes, &contents).unwrap();
    assert_eq!(std::fs::read_to_string(world.real("moved/a")).unwrap(), "changed");
    apply(&world.writer(), &changes.inverse(), &contents).unwrap();
    assert_eq!(snapshot(&world.real("")), original);
}

#[test]
fn a_kind_that_changes_is_applied_and_undone() {
    let world = World::with(&["file", "tree/x", "link -> file"]);
    let original = snapshot(&world.real(""));
    world.root.unlink_file("file").unwrap();
    world.root.create_directory("file").unwrap();
    write(&world.root, "file/in", "in").unwrap();
    world.root.unlink_file("tree/x").unwrap();
    world.root.remove_directory("tree").unwrap();
    write(&world.root, "tree", "leaf").unwrap();
    world.root.unlink_file("link").unwrap();
    write(&world.root, "link", "no link").unwrap();
    let changes = world.stage.changes().unwrap();
    let contents = contents(&world.stage, &world.base, &changes);
    apply(&world.writer(), &changes, &contents).unwrap();
    assert_eq!(snapshot(&world.real("")), super::support::staged_snapshot(&world.root));
    apply(&world.writer(), &changes.inverse(), &contents).unwrap();
    assert_eq!(snapshot(&world.real("")), original);
}

#[test]
fn what_changed_underneath_is_a_conflict() {
    let world = World::with(&["edit", "cut", "gone", "dir/x", "made/"]);
    write(&world.root, "new", "mine").unwrap();
    write(&world.root, "made/in", "mine").unwrap();
    open(&world.root, "edit", WRITE).unwrap().append(b"!").unwrap();
    write(&world.root, "cut", "mine").unwrap();
    world.root.unlink_file("gone").unwrap();
    world.root.unlink_file("dir/x").unwrap();
    world.root.remove_directory("dir").unwrap();
    let changes = world.stage.changes().unwrap();
    assert_eq!(world.stage.conflicts(&changes).unwrap(), []);
    for path in ["new", "edit", "cut", "gone", "dir/more"] {
        replace(&world, path, "theirs");
    }
    std::fs::remove_dir(world.real("made")).unwrap();
    let theirs = || file("theirs", 0o644);
    let conflict = |path: &str, expected, found| Conflict { path: path.into(), expected, found };
    let expected = [
        conflict("cut", file("cut", 0o644), theirs()),
        conflict("dir/more", Node::Absent, theirs()),
        conflict("edit", file("edit", 0o644), theirs()),
        conflict("gone", file("gone", 0o644), theirs()),
        conflict("made", Node::Directory { mode: 0o755 }, Node::Absent),
        conflict("new", Node::Absent, theirs()),
    ];
    assert_eq!(world.stage.conflicts(&changes).unwrap(), expected);
}

#[test]
fn what_changed_between_reading_and_writing_is_a_conflict() {
    let world = World::with(&["read", "copied", "gone"]);
    assert_eq!(text(&world.root, "read"), "read");
    open(&world.root, "copied", WRITE).unwrap().append(b"!").unwrap();
    world.root.unlink_file("gone").unwrap();
    for path in ["read", "copied", "gone"] {
        replace(&world, path, "theirs");
    }
    write(&world.root, "read", "mine").unwrap();
    let changes = world.stage.changes().unwrap();
    let theirs = || file("theirs", 0o644);
    let conflict = |path: &str, expected, found| Conflict { path: path.into(), expected, found };
    let expected = [
        conflict("copied", file("copied", 0o644), theirs()),
        conflict("gone", theirs(), theirs()),
        conflict("read", theirs(), theirs()),
    ];
    assert_eq!(world.stage.conflicts(&changes).unwrap(), expected);
}

#[test]
fn what_an_earlier_call_saw_counts() {
    let world = World::with(&["a", "b", "c"]);
    let seen = |path: &str, mount: &str| Observation {
        mount: mount.into(),
        path: path.into(),
        stamp: world.base.stamp(path).unwrap().unwrap(),
    };
    let old = [seen("a", "/work"), seen("b", "/work"), seen("c", "/other")];
    for path in ["a", "b", "c"] {
        replace(&world, path, "theirs");
    }
    world.stage.expect(&old);
    world.stage.expect(&[seen("b", "/work")]);
    for path in ["a", "b", "c"] {
        write(&world.root, path, "mine").unwrap();
    }
    let changes = world.stage.changes().unwrap();
    let found = file("theirs", 0o644);
    let expected = Conflict { path: "a".into(), expected: found.clone(), found };
    assert_eq!(world.stage.conflicts(&changes).unwrap(), [expected], "b was seen again, c is another mount's");
}

#[test]
fn a_file_that_was_only_touched_is_no_conflict() {
    let world = World::with(&["file"]);
    open(&world.root, "file", WRITE).unwrap().append(b"!").unwrap();
    replace(&world, "file", "file");
    let changes = world.stage.changes().unwrap();
    assert_eq!(world.stage.conflicts(&changes).unwrap(), []);
    assert_eq!(changes.changes, [change("file", file("file", 0o644), file("file!", 0o644))]);
}

#[test]
fn observations_are_of_what_was_opened() {
    let world = World::with(&["a", "b", "dir/c", "d", "link -> b"]);
    read(&world.root, "link").unwrap();
    read(&world.root, "dir/c").unwrap();
    world.root.stat("a", true).unwrap();
    world.root.unlink_file("d").unwrap();
    dir(&world.root, "dir").entries().unwrap();
    open(&world.root, "new", CREATE).unwrap();
    open(&world.root, "new", READ).unwrap();
    let stamp = world.base.stamp("b").unwrap();
    let observed = world.stage.observed();
    assert_eq!(observed.iter().map(|seen| seen.path.as_str()).collect::<Vec<_>>(), ["b", "dir/c"]);
    assert_eq!((observed[0].mount.as_str(), Some(observed[0].stamp)), ("/work", stamp));
    replace(&world, "b", "theirs");
    read(&world.root, "b").unwrap();
    assert_eq!(world.stage.observed(), observed, "the first sight counts");
}

#[test]
fn spilled_contents_are_hashed_and_read_back() {
    let world = World::with(&[]);
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    open(&world.root, "big", CREATE).unwrap().write_at(0, &bytes).unwrap();
    let changes = world.stage.changes().unwrap();
    assert_eq!(contents(&world.stage, &world.base, &changes)[&ContentHash::of(&bytes)], bytes);
    world.root.unlink_file("big").unwrap();
    assert_eq!(world.stage.content(&ContentHash::of(&bytes)).unwrap_err(), StageError::NoContent);
}
