//! Handles outlive names.

use std::time::{Duration, SystemTime};

use super::support::{CREATE, READ, WRITE, World, dir, names, noon, open, read, read_all, text, write};
use crate::{Kind, MAX_READ_BYTES, OpenHow, StageError};

#[test]
fn an_unlinked_file_is_read_and_written_until_it_closes() {
    let world = World::with(&["base"]);
    write(&world.root, "staged", "staged").unwrap();
    for path in ["base", "staged"] {
        let file = open(&world.root, path, WRITE).unwrap();
        world.root.unlink_file(path).unwrap();
        assert_eq!(read(&world.root, path).unwrap_err(), StageError::NoEntry);
        assert_eq!(read_all(&file).unwrap(), path.as_bytes());
        file.append(b"!").unwrap();
        assert_eq!(read_all(&file).unwrap(), format!("{path}!").into_bytes());
        assert_eq!(file.metadata().unwrap().links, 0);
    }
    assert_eq!(world.changed(), ["-base"]);
}

#[test]
fn all_handles_see_one_content() {
    let world = World::with(&["file"]);
    let (reader, writer) = (open(&world.root, "file", READ).unwrap(), open(&world.root, "file", WRITE).unwrap());
    let identity = reader.metadata().unwrap().identity;
    assert!(reader.is_same(&writer) && reader.is_same(&reader.duplicate()));
    writer.write_at(0, b"F").unwrap();
    assert_eq!(read_all(&reader).unwrap(), b"File");
    world.root.rename("file", &world.root, "moved").unwrap();
    writer.set_len(1).unwrap();
    assert_eq!(read_all(&reader).unwrap(), b"F");
    assert_eq!(reader.metadata().unwrap().identity, identity);
    assert_eq!(world.root.stat("moved", true).unwrap().identity, identity);
    assert!(!reader.is_same(&open(&world.root, "file", CREATE).unwrap()));
}

#[test]
fn a_directory_handle_follows_a_rename() {
    let world = World::with(&["a/b/file"]);
    let inner = dir(&world.root, "a/b");
    world.root.rename("a", &world.root, "z").unwrap();
    assert_eq!(text(&inner, "file"), "a/b/file");
    write(&inner, "new", "new").unwrap();
    assert_eq!(world.list("z/b"), ["file", "new"]);
    assert!(inner.is_same(&dir(&world.root, "z/b")));
    assert!(!inner.is_same(&world.root));
}

#[test]
fn a_removed_directory_is_empty_and_takes_nothing() {
    let world = World::with(&["a/"]);
    let gone = dir(&world.root, "a");
    world.root.remove_directory("a").unwrap();
    assert_eq!(names(&gone), [""; 0]);
    assert_eq!(gone.create_directory("x").unwrap_err(), StageError::NoEntry);
    assert_eq!(open(&gone, "x", CREATE).unwrap_err(), StageError::NoEntry);
    assert_eq!(world.root.rename("b", &gone, "x").unwrap_err(), StageError::NoEntry);
    assert_eq!(gone.metadata().unwrap().kind, Kind::Directory);
    world.root.create_directory("a").unwrap();
    write(&world.root, "a/x", "x").unwrap();
    assert_eq!(names(&gone), [""; 0], "another directory of that name");
}

#[test]
fn handles_do_only_what_they_were_opened_for() {
    let world = World::with(&["file"]);
    let reader = open(&world.root, "file", READ).unwrap();
    let writer = open(&world.root, "file", OpenHow { read: false, ..WRITE }).unwrap();
    assert_eq!((reader.is_readable(), reader.is_writable()), (true, false));
    assert_eq!((writer.is_readable(), writer.is_writable()), (false, true));
    assert_eq!(reader.write_at(0, b"x").unwrap_err(), StageError::BadDescriptor);
    assert_eq!(reader.append(b"x").unwrap_err(), StageError::BadDescriptor);
    assert_eq!(reader.set_len(0).unwrap_err(), StageError::BadDescriptor);
    assert_eq!(writer.read_at(0, 1).unwrap_err(), StageError::BadDescriptor);
}

#[test]
fn one_read_is_bounded() {
    let world = World::with(&[]);
    let file = open(&world.root, "big", CREATE).unwrap();
    file.set_len(3 * MAX_READ_BYTES as u64).unwrap();
    assert_eq!(file.read_at(0, usize::MAX).unwrap().len(), MAX_READ_BYTES);
    std::fs::write(world.real("base"), vec![7; 3 * MAX_READ_BYTES]).unwrap();
    assert_eq!(open(&world.root, "base", READ).unwrap().read_at(1, usize::MAX).unwrap(), vec![7; MAX_READ_BYTES]);
}

#[test]
fn times_are_staged_and_no_change() {
    let world = World::with(&["file", "link -> file", "dir/"]);
    let late = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    let accessed = world.root.stat("file", true).unwrap().accessed;
    world.root.set_times_at("link", true, None, Some(late)).unwrap();
    let meta = world.root.stat("file", true).unwrap();
    assert_eq!((meta.modified, meta.accessed, meta.changed), (late, accessed, noon()));
    dir(&world.root, "dir").set_times(Some(late), None).unwrap();
    assert_eq!(world.root.stat("dir", true).unwrap().accessed, late);
    assert_ne!(world.root.stat("link", false).unwrap().modified, late);
    open(&world.root, "file", WRITE).unwrap().append(b"!").unwrap();
    assert_eq!(world.root.stat("file", true).unwrap().modified, noon());
    assert_eq!(world.changed(), ["~file"]);
}

#[test]
fn metadata_tells_kinds_sizes_links_and_modes() {
    let world = World::with(&["file", "sub/"]);
    world.root.symlink("file", "link").unwrap();
    world.root.link("file", &world.root, "second").unwrap();
    write(&world.root, "new", "four").unwrap();
    let shown = |path| {
        let meta = world.root.stat(path, false).unwrap();
        (meta.kind, if meta.kind == Kind::Directory { 0 } else { meta.size }, meta.mode)
    };
    assert_eq!(shown("file"), (Kind::File, 4, 0o644));
    assert_eq!(shown("link"), (Kind::Symlink, 4, 0o777));
    assert_eq!(shown("new"), (Kind::File, 4, 0o644));
    assert_eq!(shown("sub"), (Kind::Directory, 0, 0o755));
    let second = world.root.stat("second", false).unwrap();
    assert_eq!(second, world.root.stat("file", false).unwrap());
    assert_eq!(second.links, 2);
    world.root.unlink_file("file").unwrap();
    assert_eq!(world.root.stat("second", false).unwrap().links, 1);
}

#[test]
fn a_long_listing_is_broken_off_when_nobody_wants_it() {
    let world = World::with(&["d/"]);
    for number in 0..3_000 {
        std::fs::write(world.real(&format!("d/{number}")), "").unwrap();
    }
    let folder = dir(&world.root, "d");
    let asked = std::sync::atomic::AtomicU32::new(0);
    // Wanted when it begins, and not any more in its middle.
    world.stage.interrupt_when(move || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 0);
    assert_eq!(folder.entries(), Err(StageError::Interrupted));
    world.stage.interrupt_never();
    assert_eq!(folder.entries().unwrap().len(), 3_000);
}
