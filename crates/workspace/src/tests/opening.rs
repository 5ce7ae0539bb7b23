//! Opening a workspace.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use super::support::{Place, clock, commit_write, session};
use crate::{JournalError, Mount, Workspace, WorkspaceError};

#[test]
fn a_fresh_empty_directory_works() {
    let place = Place::new(&[]);
    let workspace = place.open();
    assert_eq!(workspace.root(), place.root());
    assert_eq!(workspace.opening(), &crate::Opening::default());
    assert!(place.tree().is_empty());
    for name in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        let found = fs::metadata(place.path(".boxagnts").join(name)).unwrap();
        assert_eq!(found.mode() & 0o777, 0o600, "{name}");
    }
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Workspace>();
};

#[test]
fn what_was_remembered_is_there_again() {
    let place = Place::new(&[("a.txt", "one\n")]);
    commit_write(&place.open(), 1, "a.txt", "two\n");
    let events = place.open().journal().events(&session()).unwrap();
    assert_eq!(events.len(), 3);
}

#[test]
fn git_is_told_and_a_failure_to_tell_it_is_reported() {
    let place = Place::new(&[(".git/HEAD", "ref: refs/heads/main\n"), (".git/objects/x", "")]);
    assert_eq!(place.open().opening().not_excluded, None);
    assert_eq!(fs::read_to_string(place.path(".git/info/exclude")).unwrap(), ".boxagnts/\n");
    fs::remove_dir_all(place.path(".git/info")).unwrap();
    symlink("/nowhere", place.path(".git/info")).unwrap();
    assert!(place.open().opening().not_excluded.as_deref().unwrap().contains("symbolic link"));
}

#[test]
fn a_linked_state_is_refused() {
    let (place, elsewhere) = (Place::new(&[]), tempfile::tempdir().unwrap());
    symlink(elsewhere.path(), place.path(".boxagnts")).unwrap();
    let mounts = [Mount { name: "/work".into(), host: place.root() }];
    let refused = Workspace::open(&place.root(), &mounts, None, clock);
    assert!(matches!(refused, Err(WorkspaceError::NotOurs { .. })));
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_linked_journal_is_refused() {
    let (place, elsewhere) = (Place::new(&[]), Place::new(&[]));
    drop(elsewhere.open());
    fs::create_dir(place.path(".boxagnts")).unwrap();
    symlink(elsewhere.path(".boxagnts/journal.db"), place.path(".boxagnts/journal.db")).unwrap();
    let mounts = [Mount { name: "/work".into(), host: place.root() }];
    let refused = Workspace::open(&place.root(), &mounts, None, clock);
    assert!(matches!(refused, Err(WorkspaceError::Journal(JournalError::Failed { .. }))), "{refused:?}");
}

#[test]
fn a_mount_must_be_there_and_have_a_name_of_its_own() {
    let place = Place::new(&[]);
    let mount = |name: &str, host: &str| Mount { name: name.into(), host: place.path(host) };
    let open = |mounts: &[Mount]| Workspace::open(&place.root(), mounts, None, clock);
    let missing = open(&[mount("/work", "missing")]);
    assert!(matches!(missing, Err(WorkspaceError::Mount { mount, .. }) if mount == "/work"));
    let twice = open(&[mount("/work", ""), mount("/work", "")]);
    assert!(matches!(twice, Err(WorkspaceError::MountedTwice(mount)) if mount == "/work"));
}
