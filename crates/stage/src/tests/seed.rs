//! A stage that begins with staged changes. That it is the same stage again is among the properties in `model.rs`.

use std::collections::BTreeMap;
use std::io::Cursor;

use protocol::{ChangeSet, ContentHash};

use super::support::{World, contents, noon, options, text, write};
use crate::error::Result;
use crate::{Stage, StageError};

type Contents = BTreeMap<ContentHash, Vec<u8>>;

/// Returns another stage over the same base, with `changes` in it.
pub(crate) fn seeded(world: &World, changes: &ChangeSet, contents: &Contents) -> Result<Stage> {
    let stage = Stage::new(world.base.clone(), options(&world.folder));
    stage.seed(changes, noon(), |hash| {
        Ok(Box::new(Cursor::new(contents.get(hash).ok_or(StageError::NoContent)?.clone())))
    })?;
    Ok(stage)
}

/// Returns `changes` without where things came from, which a seeded stage cannot know.
pub(crate) fn unnamed(changes: &ChangeSet) -> ChangeSet {
    let mut changes = changes.clone();
    changes.changes.iter_mut().for_each(|change| change.renamed_from = None);
    changes
}

/// Returns a world over these entries, with what `work` staged in it.
fn staged(entries: &[&str], work: impl FnOnce(&World)) -> (World, ChangeSet, Contents) {
    let world = World::with(entries);
    work(&world);
    let changes = world.stage.changes().unwrap();
    let contents = contents(&world.stage, &world.base, &changes);
    (world, changes, contents)
}

/// Returns the paths in conflict when what `seeded` has now is committed.
fn conflicts(stage: &Stage) -> Vec<String> {
    let changes = stage.changes().unwrap();
    stage.conflicts(&changes).unwrap().into_iter().map(|conflict| conflict.path).collect()
}

#[test]
fn what_was_changed_beneath_since_is_a_conflict_and_shown_as_it_was_staged() {
    let (world, changes, contents) = staged(&["changed", "removed", "untouched"], |world| {
        write(&world.root, "changed", "staged").unwrap();
        write(&world.root, "made", "staged").unwrap();
        world.root.unlink_file("removed").unwrap();
    });
    let stage = seeded(&world, &changes, &contents).unwrap();
    assert_eq!(conflicts(&stage), [""; 0]);
    for path in ["changed", "removed", "made", "untouched"] {
        std::fs::write(world.real(path), "mine").unwrap();
    }
    let stage = seeded(&world, &changes, &contents).unwrap();
    assert_eq!(text(&stage.root(), "changed"), "staged");
    assert_eq!(text(&stage.root(), "made"), "staged");
    assert_eq!(text(&stage.root(), "untouched"), "mine");
    assert!(stage.root().stat("removed", false).is_err());
    assert_eq!(conflicts(&stage), ["changed", "made", "removed"]);
}

#[test]
fn what_went_away_beneath_since_does_not_come_back_unnoticed() {
    let (world, changes, contents) = staged(&["a"], |world| write(&world.root, "a", "staged").unwrap());
    std::fs::remove_file(world.real("a")).unwrap();
    let stage = seeded(&world, &changes, &contents).unwrap();
    assert_eq!(conflicts(&stage), ["a"]);
}

#[test]
fn a_content_that_is_not_there_is_an_error() {
    let (world, changes, _) = staged(&[], |world| write(&world.root, "a", "staged").unwrap());
    assert!(matches!(seeded(&world, &changes, &Contents::new()), Err(StageError::NoContent)));
}

#[test]
fn the_quota_counts_what_was_staged_before() {
    let (world, changes, contents) = staged(&[], |world| write(&world.root, "a", "staged").unwrap());
    assert_eq!(seeded(&world, &changes, &contents).unwrap().usage(), world.stage.usage());
}
