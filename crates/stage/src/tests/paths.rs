//! Trailing slashes, kinds, renames and links, on base and staged things alike (after wasmtime's WASI test programs).

use super::support::{CREATE, READ, World, fill, folder, open, read, text, write};
use crate::StageError::{
    Busy, CrossDevice, Exist, IllegalByteSequence, Invalid, IsDirectory, NoEntry, NotDirectory, NotEmpty, NotPermitted,
};

const ENTRIES: [&str; 7] =
    ["file", "dir/inner", "empty/", "tofile -> file", "todir -> dir", "dangling -> none", "other"];

/// Runs `check` with the entries in the base, then with the same ones staged.
fn both(check: impl Fn(&World)) {
    check(&World::with(&ENTRIES));
    let folder = folder();
    fill(&folder.path().join("base"), &[]);
    let world = World::over(folder, |_| {});
    for entry in ENTRIES {
        match entry.split_once(" -> ") {
            Some((link, target)) => world.root.symlink(target, link).unwrap(),
            None if entry.ends_with('/') => world.root.create_directory(entry).unwrap(),
            None => {
                if let Some((parent, _)) = entry.split_once('/') {
                    world.root.create_directory(parent).unwrap();
                }
                write(&world.root, entry, entry).unwrap();
            }
        }
    }
    check(&world);
}

#[test]
fn slashes_ask_for_a_directory() {
    both(|world| {
        let root = &world.root;
        for path in ["dir/", "dir///", "todir/", "./dir/.", "todir/."] {
            assert_eq!(root.stat(path, false).unwrap().kind, crate::Kind::Directory, "{path}");
        }
        for path in ["file/", "file///", "tofile/", "file/.", "file/.."] {
            assert_eq!(root.stat(path, true).unwrap_err(), NotDirectory, "{path}");
            assert_eq!(read(root, path).unwrap_err(), NotDirectory, "{path}");
        }
        assert_eq!(open(root, "new/", CREATE).unwrap_err(), IsDirectory);
        assert_eq!(root.unlink_file("file/").unwrap_err(), NotDirectory);
        assert_eq!(root.unlink_file("tofile/").unwrap_err(), NotDirectory);
        assert_eq!(root.symlink("file", "new/").unwrap_err(), NoEntry);
        assert_eq!(root.link("file", root, "new/").unwrap_err(), NoEntry);
        assert_eq!(root.link("file/", root, "new").unwrap_err(), NotDirectory);
        assert_eq!(root.rename("file", root, "new/").unwrap_err(), NotDirectory);
        assert_eq!(root.rename("file/", root, "new").unwrap_err(), NotDirectory);
        root.create_directory("new/").unwrap();
        root.rename("new/", root, "newer/").unwrap();
        root.remove_directory("newer/").unwrap();
        assert_eq!(root.stat("", true).unwrap_err(), NoEntry);
        assert_eq!(root.stat("file\0", true).unwrap_err(), Invalid);
    });
}

#[test]
fn each_removal_takes_its_own_kind() {
    both(|world| {
        let root = &world.root;
        assert_eq!(root.unlink_file("dir").unwrap_err(), IsDirectory);
        assert_eq!(root.unlink_file(".").unwrap_err(), IsDirectory);
        assert_eq!(root.remove_directory("file").unwrap_err(), NotDirectory);
        assert_eq!(root.remove_directory("todir").unwrap_err(), NotDirectory);
        assert_eq!(root.remove_directory("dir").unwrap_err(), NotEmpty);
        assert_eq!(root.remove_directory(".").unwrap_err(), Invalid);
        assert_eq!(root.remove_directory("dir/..").unwrap_err(), NotEmpty);
        assert_eq!(root.unlink_file("none").unwrap_err(), NoEntry);
        assert_eq!(root.remove_directory("none").unwrap_err(), NoEntry);
        root.unlink_file("dir/inner").unwrap();
        root.remove_directory("dir").unwrap();
        root.unlink_file("todir").unwrap();
        root.unlink_file("dangling").unwrap();
        assert_eq!(world.list("."), ["empty/", "file", "other", "tofile@"]);
        root.create_directory("dir").unwrap();
        assert_eq!(world.list("dir"), [""; 0], "nothing shines through");
    });
}

#[test]
fn names_that_are_taken_are_refused() {
    both(|world| {
        for path in ["file", "dir", "tofile", "todir", "dangling", ".", "dir/..", "dir/", "tofile/"] {
            assert_eq!(world.root.create_directory(path).unwrap_err(), Exist, "{path}");
            assert_eq!(world.root.symlink("x", path).unwrap_err(), Exist, "{path}");
            assert_eq!(world.root.link("other", &world.root, path).unwrap_err(), Exist, "{path}");
        }
        assert_eq!(world.root.create_directory("none/x").unwrap_err(), NoEntry);
        assert_eq!(world.root.create_directory("file/x").unwrap_err(), NotDirectory);
        assert_eq!(world.root.symlink("", "x").unwrap_err(), NoEntry);
    });
}

#[test]
fn renames_replace_what_posix_lets_them() {
    both(|world| {
        let root = &world.root;
        assert_eq!(root.rename("none", root, "x").unwrap_err(), NoEntry);
        assert_eq!(root.rename("dir", root, "file").unwrap_err(), NotDirectory);
        assert_eq!(root.rename("file", root, "empty").unwrap_err(), IsDirectory);
        assert_eq!(root.rename("empty", root, "dir").unwrap_err(), NotEmpty);
        assert_eq!(root.rename("dir", root, "dir/inner/x").unwrap_err(), NotDirectory);
        assert_eq!(root.rename("dir", root, "dir/x").unwrap_err(), Invalid);
        assert_eq!(root.rename("dir", root, "todir/x").unwrap_err(), Invalid);
        assert_eq!(root.rename("dir/inner", root, "dir").unwrap_err(), NotEmpty, "an ancestor");
        assert_eq!(root.rename(".", root, "x").unwrap_err(), Busy);
        assert_eq!(root.rename("dir", root, ".").unwrap_err(), Busy);
        root.rename("file", root, "file").unwrap();
        root.rename("dir", root, "empty").unwrap();
        root.rename("file", root, "other").unwrap();
        root.rename("other", root, "dangling").unwrap();
        assert_eq!(world.list("."), ["dangling", "empty/", "todir@", "tofile@"]);
        assert_eq!((text(root, "dangling"), text(root, "empty/inner")), ("file".into(), "dir/inner".into()));
    });
}

#[test]
fn renames_go_there_and_back() {
    both(|world| {
        let before = super::support::staged_snapshot(&world.root);
        world.root.rename("dir", &world.root, "a").unwrap();
        world.root.rename("empty", &world.root, "dir").unwrap();
        world.root.rename("dir", &world.root, "empty").unwrap();
        world.root.rename("a", &world.root, "empty/b").unwrap();
        world.root.rename("empty/b", &world.root, "dir").unwrap();
        assert_eq!(super::support::staged_snapshot(&world.root), before);
    });
    let world = World::with(&ENTRIES);
    world.root.rename("dir", &world.root, "a").unwrap();
    world.root.rename("a", &world.root, "dir").unwrap();
    assert_eq!(world.changed(), [""; 0]);
}

#[test]
fn links_share_one_content() {
    both(|world| {
        let root = &world.root;
        assert_eq!(root.link("dir", root, "x").unwrap_err(), NotPermitted);
        root.link("file", root, "second").unwrap();
        root.link("dangling", root, "link").unwrap();
        assert_eq!(root.read_link("link").unwrap(), "none");
        open(root, "second", CREATE).unwrap().append(b"!").unwrap();
        assert_eq!(text(root, "file"), "file!");
        root.unlink_file("file").unwrap();
        assert_eq!(text(root, "second"), "file!");
        root.rename("second", root, "file").unwrap();
    });
    let world = World::with(&ENTRIES);
    world.root.link("file", &world.root, "second").unwrap();
    open(&world.root, "second", CREATE).unwrap().append(b"!").unwrap();
    assert_eq!(world.changed(), ["~file", "+second"], "two files for the base");
}

#[test]
fn staged_links_lead_through_base_and_back() {
    let world = World::with(&["a/b/file", "out -> a"]);
    world.root.symlink("../out/b", "a/loop").unwrap();
    assert_eq!(text(&world.root, "a/loop/file"), "a/b/file");
    world.root.rename("a", &world.root, "moved").unwrap();
    assert_eq!(read(&world.root, "out/b/file").unwrap_err(), NoEntry, "the link is followed on the merged view");
    world.root.symlink("moved", "a").unwrap();
    assert_eq!(text(&world.root, "out/b/file"), "a/b/file");
    write(&world.root, "out/loop/new", "new").unwrap();
    assert_eq!(world.list("moved/b"), ["file", "new"]);
}

#[test]
fn other_names_of_the_base_are_not_seen() {
    use std::os::unix::ffi::OsStrExt as _;
    let world = World::with(&["dir/"]);
    let bytes = std::ffi::OsStr::from_bytes(b"\xFF");
    std::fs::write(world.real("dir").join(bytes), "").unwrap();
    std::os::unix::fs::symlink(bytes, world.real("link")).unwrap();
    assert_eq!(world.list("dir"), [""; 0]);
    assert_eq!(world.root.remove_directory("dir").unwrap_err(), NotEmpty);
    assert_eq!(world.root.read_link("link").unwrap_err(), IllegalByteSequence);
    assert_eq!(world.root.unlink_file("link").unwrap_err(), IllegalByteSequence);
    assert_eq!(world.root.read_link("dir").unwrap_err(), Invalid);
}

#[test]
fn two_mounts_stay_apart() {
    let (one, other) = (World::with(&["file"]), World::with(&[]));
    assert_eq!(one.root.rename("file", &other.root, "file").unwrap_err(), CrossDevice);
    assert_eq!(one.root.link("file", &other.root, "file").unwrap_err(), CrossDevice);
    assert!(
        !one.root.is_same(&other.root)
            && !open(&one.root, "file", READ).unwrap().is_same(&open(&other.root, "x", CREATE).unwrap())
    );
}
