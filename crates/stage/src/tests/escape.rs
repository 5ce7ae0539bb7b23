//! Nothing outside the base is ever reached.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, Mode, RenameFlags, mknodat, renameat_with};

use super::support::{CREATE, READ, WRITE, World, dir, folder, open, read, text, write};
use crate::{Base, OpenHow, Opened, StageError};

/// Rounds of the race: with the guard removed one in a few hundred gets through.
const ROUNDS: usize = 5000;

#[test]
fn paths_that_leave_are_refused() {
    let world = World::with(&["dir/nested/file", "other"]);
    let nested = dir(&world.root, "dir/nested");
    for path in ["..", "../base", "../base/other", "/", "/etc/passwd", "dir/../../base/other", "dir/nested/../../.."] {
        assert_eq!(world.root.stat(path, true).unwrap_err(), StageError::NotPermitted, "{path}");
        assert_eq!(read(&world.root, path).unwrap_err(), StageError::NotPermitted, "{path}");
        assert_eq!(world.root.create_directory(path).unwrap_err(), StageError::NotPermitted, "{path}");
    }
    assert_eq!(nested.stat("..", true).unwrap_err(), StageError::NotPermitted, "a handle is its own root");
    assert_eq!(world.root.rename("other", &nested, "../x").unwrap_err(), StageError::NotPermitted);
    assert_eq!(text(&world.root, "dir/.//nested/../../dir/nested/../nested///./file"), "dir/nested/file");
}

#[test]
fn links_that_leave_are_refused() {
    let base = [
        "abs -> /etc/passwd",
        "up -> ../secret",
        "chain -> dir/up",
        "dir/up -> ../../secret",
        "dir/in -> ../file",
        "file",
    ];
    let world = World::with(&base);
    std::fs::write(world.folder.path().join("secret"), "secret").unwrap();
    for path in ["abs", "up", "chain", "dir/up", "up/x"] {
        assert_eq!(read(&world.root, path).unwrap_err(), StageError::NotPermitted, "{path}");
        assert_eq!(open(&world.root, path, CREATE).unwrap_err(), StageError::NotPermitted, "{path}");
        assert_eq!(world.root.stat(path, true).unwrap_err(), StageError::NotPermitted, "{path}");
    }
    assert_eq!(world.root.read_link("abs").unwrap_err(), StageError::NotPermitted, "it tells of the host");
    assert_eq!(world.root.read_link("up").unwrap(), "../secret");
    assert_eq!(text(&world.root, "dir/in"), "file");
    assert_eq!(read(&dir(&world.root, "dir"), "in").unwrap_err(), StageError::NotPermitted, "a handle is its own root");
    assert_eq!(world.root.symlink("/etc/passwd", "x").unwrap_err(), StageError::NotPermitted);
    world.root.symlink("../secret", "x").unwrap();
    assert_eq!(read(&world.root, "x").unwrap_err(), StageError::NotPermitted);
}

#[test]
fn link_loops_end() {
    let world = World::with(&["a -> b", "b -> a", "deep -> deep/deep"]);
    world.root.symlink("self", "self").unwrap();
    for path in ["a", "b/x", "self", "deep"] {
        assert_eq!(world.root.stat(path, true).unwrap_err(), StageError::Loop, "{path}");
    }
    assert_eq!(open(&world.root, "a", OpenHow { follow: false, ..READ }).unwrap_err(), StageError::Loop);
}

#[test]
fn special_files_are_listed_and_nothing_else() {
    let world = World::with(&["file"]);
    mknodat(CWD, world.real("pipe"), FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(world.real("socket")).unwrap();
    assert_eq!(world.list("."), ["file", "pipe?", "socket?"]);
    for path in ["pipe", "socket"] {
        for how in [READ, WRITE, CREATE] {
            assert_eq!(open(&world.root, path, how).unwrap_err(), StageError::NotPermitted, "{path}");
        }
        assert_eq!(world.root.unlink_file(path).unwrap_err(), StageError::NotPermitted);
        assert_eq!(world.root.rename(path, &world.root, "x").unwrap_err(), StageError::NotPermitted);
        assert_eq!(world.root.rename("file", &world.root, path).unwrap_err(), StageError::NotPermitted);
        assert_eq!(world.root.link(path, &world.root, "x").unwrap_err(), StageError::NotPermitted);
        assert_eq!(world.root.create_directory(path).unwrap_err(), StageError::Exist);
    }
    assert_eq!(world.changed(), [""; 0]);
}

#[test]
fn the_state_directory_is_not_there() {
    let world = World::with(&[".boxagnts/journal.db", "sub/.BoxAgnts/x", "link -> .boxagnts", "file"]);
    assert_eq!(world.list("."), ["file", "link@", "sub/"]);
    assert_eq!(world.list("sub"), [""; 0]);
    for path in [
        ".boxagnts",
        ".boxagnts/",
        ".boxagnts/journal.db",
        "sub/.BoxAgnts/x",
        "link",
        "link/journal.db",
        ".boxagnts/..",
    ] {
        assert_eq!(read(&world.root, path).unwrap_err(), StageError::NoEntry, "{path}");
        assert_eq!(world.root.stat(path, true).unwrap_err(), StageError::NoEntry, "{path}");
    }
    for name in [".boxagnts", ".BOXAGNTS", ".boxagnts.", "\u{FEFF}.boxagnts", ".bo\u{200D}xagnts", "sub/.boxagnts"] {
        assert_eq!(open(&world.root, name, CREATE).unwrap_err(), StageError::NotPermitted, "{name:?}");
        assert_eq!(world.root.create_directory(name).unwrap_err(), StageError::NotPermitted, "{name:?}");
        assert_eq!(world.root.symlink("file", name).unwrap_err(), StageError::NotPermitted, "{name:?}");
        assert_eq!(world.root.rename("file", &world.root, name).unwrap_err(), StageError::NotPermitted, "{name:?}");
        assert_eq!(world.root.link("file", &world.root, name).unwrap_err(), StageError::NotPermitted, "{name:?}");
        assert_eq!(world.root.unlink_file(name).unwrap_err(), StageError::NoEntry, "{name:?}");
    }
    assert_eq!(world.root.remove_directory("sub").unwrap_err(), StageError::NotEmpty, "what is hidden is not removed");
    world.root.rename("sub", &world.root, "moved").unwrap();
    let error = world.stage.changes().unwrap_err();
    assert_eq!(error, StageError::Unrepresentable { path: "sub/.BoxAgnts".into() });
}

/// Ends the other thread, also when an assertion fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Somebody swaps a directory for a link to outside, and a file for one, again and again, while the guest reads and
/// writes through them.
fn race(base: impl Fn(&std::path::Path) -> Base) {
    let folder = folder();
    let root = folder.path().join("base");
    super::support::fill(&root, &["dir/file", "file"]);
    std::fs::create_dir(folder.path().join("outside")).unwrap();
    std::fs::write(folder.path().join("outside/file"), "SECRET").unwrap();
    symlink("../outside", root.join("spare-dir")).unwrap();
    symlink("../outside/file", root.join("spare-file")).unwrap();
    let world = World::on(folder, base(&root), |_| {});
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for (one, other) in [("dir", "spare-dir"), ("file", "spare-file")] {
                    renameat_with(CWD, root.join(one), CWD, root.join(other), RenameFlags::EXCHANGE).unwrap();
                }
            }
        });
        let _stop = Stop(&stop);
        for round in 0..ROUNDS {
            for path in ["dir/file", "file"] {
                if let Ok(bytes) = read(&world.root, path) {
                    assert_ne!(bytes, b"SECRET", "round {round}");
                }
                if let Ok(meta) = world.root.stat(path, true) {
                    assert_ne!(meta.size, 6, "round {round}");
                }
            }
            if let Ok(Opened::Dir(dir)) = world.root.open("dir", READ) {
                let _ = dir.entries();
                assert_ne!(read(&dir, "file").unwrap_or_default(), b"SECRET");
            }
        }
    });
}

#[test]
fn a_swapped_link_is_never_followed() {
    race(|root| Base::open(root).unwrap());
}

#[test]
fn nor_without_openat2() {
    race(Base::without_openat2);
}

#[test]
fn the_writer_does_not_follow_links_either() {
    let world = World::with(&["file"]);
    symlink("..", world.real("link")).unwrap();
    let writer = world.writer();
    let error = writer.put_file("link/x", &mut &b"x"[..], 0o644, None).unwrap_err();
    assert!(matches!(error, StageError::Host { ref path, .. } if path == "link/x"), "{error:?}");
    assert!(writer.make_directory("link/x", 0o755).is_err());
    for path in ["", "../x", "/x", "a//b", "a/./b", "x/"] {
        assert_eq!(writer.put_file(path, &mut &b"x"[..], 0o644, None).unwrap_err(), StageError::Invalid, "{path:?}");
    }
    write(&world.root, "file", "staged").unwrap();
    assert_eq!(std::fs::read_to_string(world.real("file")).unwrap(), "file", "a stage never writes");
}
