//! What the host does to its own tree.

use std::os::unix::fs::PermissionsExt as _;

use protocol::{Change, ChangeSet, ContentHash, Node};

use super::support::World;
use crate::{StageError, Standing, Step, Writer, steps};

fn leftovers(world: &World) -> usize {
    std::fs::read_dir(world.folder.path().join("temporaries")).unwrap().count()
}

#[test]
fn a_file_is_replaced_only_if_it_is_the_expected_one() {
    let world = World::with(&["file"]);
    let writer = world.writer();
    let changed = |path: &str| StageError::Changed { path: path.into() };
    assert_eq!(writer.put_file("file", &mut &b"x"[..], 0o644, None).unwrap_err(), changed("file"));
    let old = world.base.stamp("file").unwrap();
    let new = writer.put_file("file", &mut &b"new"[..], 0o600, old).unwrap();
    assert_eq!(world.base.standing("file").unwrap().stamp, Some(new));
    assert_eq!(writer.put_file("file", &mut &b"x"[..], 0o644, old).unwrap_err(), changed("file"));
    assert_eq!(writer.put_symlink("file", "x", old).unwrap_err(), changed("file"));
    assert_eq!(writer.remove_file("file", old.unwrap()).unwrap_err(), changed("file"));
    assert_eq!(std::fs::read(world.real("file")).unwrap(), b"new");
    assert_eq!(std::fs::metadata(world.real("file")).unwrap().permissions().mode() & 0o777, 0o600);
    let link = writer.put_symlink("file", "target", Some(new)).unwrap();
    assert_eq!(world.base.node("file").unwrap(), Node::Symlink { target: "target".into() });
    writer.remove_file("file", link).unwrap();
    let absent = Standing { node: Node::Absent, stamp: None };
    assert_eq!((world.base.standing("file").unwrap(), leftovers(&world)), (absent, 0));
}

#[test]
fn failures_name_the_path_and_leave_nothing() {
    let world = World::with(&["dir/x"]);
    let writer = world.writer();
    let host =
        |path: &str, errno: rustix::io::Errno| StageError::Host { path: path.into(), code: errno.raw_os_error() };
    let put = |path: &str| writer.put_file(path, &mut &b"x"[..], 0o644, None).unwrap_err();
    assert_eq!(put("none/x"), host("none/x", rustix::io::Errno::NOENT));
    assert_eq!(put("dir/x/y"), host("dir/x/y", rustix::io::Errno::NOTDIR));
    assert_eq!(writer.remove_directory("dir").unwrap_err(), host("dir", rustix::io::Errno::NOTEMPTY));
    assert_eq!(writer.make_directory("dir", 0o755).unwrap_err(), host("dir", rustix::io::Errno::EXIST));
    let broken = &mut std::io::Read::chain(&b"half"[..], Broken);
    assert_eq!(writer.put_file("new", broken, 0o644, None).unwrap_err(), host("new", rustix::io::Errno::IO));
    assert_eq!((world.base.stamp("new").unwrap(), leftovers(&world)), (None, 0));
    assert!(host("new", rustix::io::Errno::IO).to_string().starts_with("`new`: "));
}

struct Broken;

impl std::io::Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("broken"))
    }
}

/// A folder on another file system than the system's temporary directory, where there is one.
#[test]
fn temporaries_may_be_on_another_file_system() {
    let world = World::with(&["dir/old"]);
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else { return };
    let writer = Writer::new(world.base.clone(), other.path(), false).unwrap();
    let old = world.base.stamp("dir/old").unwrap();
    let stamp = writer.put_file("dir/old", &mut &b"new"[..], 0o640, old).unwrap();
    assert_eq!(world.base.stamp("dir/old").unwrap(), Some(stamp));
    assert_eq!(
        writer.put_file("dir/old", &mut &b"x"[..], 0o640, None).unwrap_err().to_string(),
        "`dir/old` changed underneath"
    );
    writer.put_symlink("dir/link", "old", None).unwrap();
    assert_eq!(world.list("dir"), ["link@", "old"]);
    assert_eq!(std::fs::read(world.real("dir/old")).unwrap(), b"new");
    assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 0);
}

#[test]
fn directories_get_their_mode() {
    let world = World::with(&[]);
    let writer = Writer::new(world.base.clone(), &world.folder.path().join("temporaries"), true).unwrap();
    writer.make_directory("open", 0o777).unwrap();
    assert_eq!(world.base.node("open").unwrap(), Node::Directory { mode: 0o777 });
    writer.set_directory_mode("open", 0o700).unwrap();
    assert_eq!(world.base.node("open").unwrap(), Node::Directory { mode: 0o700 });
    writer.put_file("open/file", &mut &b"x"[..], 0o640, None).unwrap();
    assert_eq!(std::fs::read(world.real("open/file")).unwrap(), b"x");
}

#[test]
fn leftovers_are_swept_and_nothing_else() {
    let world = World::with(&["dir/.boxagnts-tmp-1-2", "dir/keep", ".boxagnts-tmp-1-3"]);
    std::fs::write(world.folder.path().join("temporaries/.boxagnts-tmp-1-4"), "half").unwrap();
    world.writer().sweep(["dir/file", "gone/file"]).unwrap();
    assert_eq!(world.list("."), [".boxagnts-tmp-1-3", "dir/"], "a directory that was not named is not searched");
    assert_eq!((world.list("dir"), leftovers(&world)), (vec!["keep".to_owned()], 0));
}

#[test]
fn a_leftover_name_is_not_reused() {
    let world = World::with(&[]);
    let name = format!(".boxagnts-tmp-{}-0", std::process::id());
    std::fs::write(world.folder.path().join("temporaries").join(&name), "half").unwrap();
    world.writer().put_file("file", &mut &b"whole"[..], 0o644, None).unwrap();
    assert_eq!(std::fs::read(world.real("file")).unwrap(), b"whole");
}

#[test]
fn steps_remove_from_the_leaves_and_make_from_the_root() {
    let directory = || Node::Directory { mode: 0o755 };
    let link = || Node::Symlink { target: "x".into() };
    let change = |path: &str, before, after| Change { path: path.into(), before, after, renamed_from: None };
    let changes = ChangeSet {
        mount: "/work".into(),
        changes: vec![
            change("a", directory(), link()),
            change("a/b", link(), Node::Absent),
            change("c", link(), directory()),
            change("c/d", Node::Absent, link()),
            change("e", link(), link()),
        ],
    };
    let of = |at: usize| &changes.changes[at];
    let expected = [
        Step::Remove(of(2)),
        Step::Remove(of(1)),
        Step::Remove(of(0)),
        Step::Put(of(0)),
        Step::Put(of(2)),
        Step::Put(of(3)),
        Step::Put(of(4)),
    ];
    assert_eq!(steps(&changes), expected);
}

#[test]
fn a_step_is_not_performed_on_something_else() {
    let world = World::with(&["file", "dir/"]);
    let writer = world.writer();
    let file = |text: &str| Node::File { hash: ContentHash::of(text.as_bytes()), size: text.len() as u64, mode: 0o644 };
    let change = |path: &str, before, after| Change { path: path.into(), before, after, renamed_from: None };
    let directory = |mode| Node::Directory { mode };
    let steps = [
        Step::Put(&change("file", file("other"), file("new"))),
        Step::Put(&change("file", Node::Symlink { target: "x".into() }, Node::Symlink { target: "y".into() })),
        Step::Remove(&change("file", file("other"), Node::Absent)),
        Step::Remove(&change("dir", directory(0o700), Node::Absent)),
        Step::Put(&change("dir", directory(0o700), directory(0o711))),
    ];
    for step in steps {
        let mut content = |_: &ContentHash| -> Result<Box<dyn std::io::Read>, StageError> { Ok(Box::new(&b"new"[..])) };
        let error = writer.perform(&step, &mut content).unwrap_err();
        assert!(matches!(error, StageError::Changed { .. }), "{step:?}: {error:?}");
    }
    assert_eq!(world.base.node("file").unwrap(), file("file"));
    assert_eq!(world.base.node("dir").unwrap(), directory(0o755));
}

#[test]
fn a_base_reads_itself() {
    let world = World::with(&["file", ".boxagnts/journal"]);
    let mut text = String::new();
    std::io::Read::read_to_string(&mut world.base.read(".boxagnts/journal").unwrap(), &mut text).unwrap();
    assert_eq!(text, ".boxagnts/journal", "the host sees its own state");
    assert_eq!(world.base.node("").unwrap(), world.base.node("").unwrap());
    assert_eq!(world.base.node("file/x").unwrap(), Node::Absent);
    assert_eq!(world.base.node("../x").unwrap_err(), StageError::Invalid);
    assert!(matches!(crate::Base::open(&world.real("none")).unwrap_err(), StageError::Host { .. }));
}
