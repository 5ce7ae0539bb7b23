use super::support::{World, fill, folder, read};
use crate::{OpenHow, StageError, Veil};

/// A tree in which `secrets` and every `.env` are veiled.
fn veiled(entries: &[&str]) -> World {
    let folder = folder();
    fill(&folder.path().join("base"), entries);
    let hides = |path: &str| path == "secrets" || path.rsplit('/').next() == Some(".env");
    World::over(folder, |options| options.veil = Veil::new(hides))
}

#[test]
fn what_is_veiled_is_not_listed_and_cannot_be_opened() {
    let world = veiled(&["secrets/", "secrets/key", "a/", "a/.env", "a/open", "link -> secrets/key"]);
    assert_eq!(world.list("."), ["a/", "link@"]);
    assert_eq!(world.list("a"), ["open"]);
    let how = OpenHow { follow: true, read: true, ..OpenHow::default() };
    for path in ["secrets", "secrets/key", "a/.env", "link", "a/../secrets/key"] {
        assert_eq!(world.root.open(path, how).unwrap_err(), StageError::NoEntry, "{path}");
    }
    assert_eq!(read(&world.root, "a/open").unwrap(), b"a/open");
}

#[test]
fn a_staged_rename_does_not_uncover_what_is_veiled() {
    let world = veiled(&["a/", "a/.env", "a/open"]);
    world.root.rename("a", &world.root, "b").unwrap();
    assert_eq!(world.list("b"), ["open"]);
    let how = OpenHow { follow: true, read: true, ..OpenHow::default() };
    assert_eq!(world.root.open("b/.env", how).unwrap_err(), StageError::NoEntry);
}

#[test]
fn what_is_veiled_is_not_removed_moved_or_replaced() {
    let world = veiled(&["a/.env", "b/.env", "c/"]);
    assert_eq!(world.root.remove_directory("a").unwrap_err(), StageError::NotEmpty);
    super::support::write(&world.root, "a/.env", "mine").unwrap();
    let changes = world.stage.changes().unwrap();
    let conflicts = world.stage.conflicts(&changes).unwrap();
    assert_eq!(conflicts.iter().map(|conflict| conflict.path.as_str()).collect::<Vec<_>>(), ["a/.env"]);
    world.root.rename("b", &world.root, "c/b").unwrap();
    assert_eq!(world.stage.changes().unwrap_err(), StageError::Unrepresentable { path: "b/.env".into() });
}
