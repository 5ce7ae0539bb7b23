//! What a guest asks for is granted before it is made.

use super::support::{CREATE, QUOTA, READ, WRITE, World, dir, fill, folder, open, text, write};
use crate::{QuotaKind, StageError, Usage};

const FULL: StageError = StageError::Quota(QuotaKind::Bytes);
const MANY: StageError = StageError::Quota(QuotaKind::Entries);

fn small(entries: &[&str], bytes: u64, count: u64) -> World {
    let folder = folder();
    fill(&folder.path().join("base"), entries);
    World::over(folder, |options| options.quota = crate::Quota { bytes, entries: count })
}

#[test]
fn a_huge_size_fails_without_an_allocation() {
    let world = World::with(&["base"]);
    for path in ["base", "new"] {
        let file = open(&world.root, path, CREATE).unwrap();
        assert_eq!(file.set_len(1 << 62).unwrap_err(), FULL);
        assert_eq!(file.set_len(u64::MAX).unwrap_err(), FULL);
        assert_eq!(file.write_at(1 << 62, b"x").unwrap_err(), FULL);
        assert_eq!(file.write_at(u64::MAX, b"x").unwrap_err(), StageError::FileTooLarge);
        assert_eq!(file.read_at(u64::MAX, usize::MAX).unwrap(), b"");
    }
    assert_eq!(text(&world.root, "base"), "base");
    assert_eq!(world.changed(), ["+new"]);
}

#[test]
fn holes_cost_no_memory_and_no_disk() {
    let world = World::with(&[]);
    let file = open(&world.root, "sparse", CREATE).unwrap();
    file.set_len(QUOTA.bytes).unwrap();
    assert_eq!(file.append(b"x").unwrap_err(), FULL);
    assert_eq!(file.read_at(QUOTA.bytes - 3, 100).unwrap(), [0; 3]);
    assert_eq!(world.stage.usage(), Usage { bytes: QUOTA.bytes, entries: 1 });
    file.set_len(3).unwrap();
    assert_eq!(world.stage.usage(), Usage { bytes: 3, entries: 1 });
}

#[test]
fn a_base_file_beyond_the_quota_is_not_copied() {
    let world = small(&["0123456789"], 9, 10);
    let file = open(&world.root, "0123456789", WRITE).unwrap();
    assert_eq!(file.write_at(0, b"x").unwrap_err(), FULL);
    assert_eq!(text(&world.root, "0123456789"), "0123456789");
    file.set_len(0).unwrap();
    file.write_at(0, b"123456789").unwrap();
    assert_eq!(text(&world.root, "0123456789"), "123456789");
}

#[test]
fn every_kind_of_entry_counts() {
    let world = small(&["a", "d/x"], 100, 2);
    world.root.create_directory("new").unwrap();
    world.root.unlink_file("a").unwrap();
    let refused = [
        world.root.create_directory("more"),
        world.root.symlink("a", "link"),
        world.root.unlink_file("d/x"),
        world.root.rename("d", &world.root, "e"),
        world.root.link("d/x", &world.root, "x"),
        write(&world.root, "file", ""),
        write(&world.root, "d/x", "longer"),
        world.root.set_times_at("d/x", true, None, Some(super::support::noon())),
    ];
    assert_eq!(refused, [const { Err(MANY) }; 8]);
    world.stage.0.tree().audit();
    assert_eq!(text(&world.root, "d/x"), "d/x");
    world.root.remove_directory("new").unwrap();
    world.root.rename("d/x", &world.root, "x").unwrap_err();
    write(&world.root, "a", "again").unwrap();
    assert_eq!(world.stage.usage(), Usage { bytes: 5, entries: 1 }, "a file in the place of a whiteout");
}

#[test]
fn link_targets_count_as_bytes() {
    let world = small(&[], 5, 10);
    world.root.symlink("12345", "a").unwrap();
    assert_eq!(world.root.symlink("1", "b").unwrap_err(), FULL);
    world.root.unlink_file("a").unwrap();
    assert_eq!(world.stage.usage(), Usage::default());
}

#[test]
fn a_change_set_has_no_more_changes_than_entries() {
    let files: Vec<_> = (0..9).map(|number| format!("d/{number}")).collect();
    let world = small(&files.iter().map(String::as_str).collect::<Vec<_>>(), 100, 9);
    world.root.rename("d", &world.root, "e").unwrap();
    assert_eq!(world.stage.changes().unwrap_err(), MANY);
}

#[test]
fn room_comes_back_when_the_last_handle_closes() {
    let world = World::with(&[]);
    let file = open(&world.root, "a", CREATE).unwrap();
    file.write_at(0, b"12345").unwrap();
    world.root.unlink_file("a").unwrap();
    assert_eq!(world.stage.usage(), Usage { bytes: 5, entries: 1 });
    drop(file);
    assert_eq!(world.stage.usage(), Usage::default());
}

#[test]
fn names_and_paths_have_a_length() {
    let world = World::with(&[]);
    let name = "n".repeat(255);
    world.root.create_directory(&name).unwrap();
    assert_eq!(world.root.create_directory(&"n".repeat(256)).unwrap_err(), StageError::NameTooLong);
    assert_eq!(world.root.stat(&"a/".repeat(3000), true).unwrap_err(), StageError::NameTooLong);
    let mut at = dir(&world.root, &name);
    let mut depth = 1;
    while at.create_directory(&name).is_ok() {
        at = dir(&at, &name);
        depth += 1;
    }
    assert_eq!((at.create_directory(&name).unwrap_err(), depth), (StageError::NameTooLong, 16));
    assert_eq!(world.stage.changes().unwrap().changes.len(), 16);
}

#[test]
fn a_read_only_stage_changes_nothing() {
    let folder = folder();
    fill(&folder.path().join("base"), &["a", "d/x"]);
    let world = World::over(folder, |options| options.writable = false);
    let root = &world.root;
    let refused = [
        root.create_directory("n"),
        root.remove_directory("d"),
        root.unlink_file("a"),
        root.rename("a", root, "b"),
        root.link("a", root, "b"),
        root.symlink("a", "b"),
        root.set_times_at("a", true, None, None),
        root.set_times(None, None),
        open(root, "a", READ).unwrap().set_times(None, None),
        open(root, "a", WRITE).map(drop),
        open(root, "n", CREATE).map(drop),
        open(root, "a", crate::OpenHow { truncate: true, ..READ }).map(drop),
    ];
    assert_eq!(refused, [const { Err(StageError::ReadOnly) }; 12]);
    assert_eq!(text(root, "d/x"), "d/x");
    assert_eq!(open(root, "a", READ).unwrap().write_at(0, b"x").unwrap_err(), StageError::BadDescriptor);
}
