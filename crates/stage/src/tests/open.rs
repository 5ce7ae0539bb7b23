//! The flags of `open`, each against each thing that may be there.

use super::support::{CREATE, READ, World};
use crate::error::Result;
use crate::{OpenHow, Opened, StageError};

/// How to open, and what comes of it.
type Case = (OpenHow, Result<&'static str>);

fn outcome(path: &str, how: OpenHow) -> Result<&'static str> {
    let world = World::with(&["file", "dir/inner", "tofile -> file", "todir -> dir", "dangling -> missing"]);
    match world.root.open(path, how)? {
        Opened::Dir(_) => Ok("dir"),
        Opened::File(file) if file.metadata().unwrap().size == 0 => Ok("empty"),
        Opened::File(_) => Ok("file"),
    }
}

#[test]
fn every_flag_on_everything() {
    use StageError::{Exist, IsDirectory, Loop, NoEntry, NotDirectory};
    let exclusive = OpenHow { exclusive: true, ..CREATE };
    let truncate = OpenHow { truncate: true, ..READ };
    let directory = OpenHow { directory: true, ..READ };
    let write = OpenHow { write: true, ..READ };
    let keep = OpenHow { follow: false, ..READ };
    let table: [(&str, [Case; 7]); 6] = [
        (
            "file",
            [
                (READ, Ok("file")),
                (write, Ok("file")),
                (CREATE, Ok("file")),
                (exclusive, Err(Exist)),
                (truncate, Ok("empty")),
                (directory, Err(NotDirectory)),
                (keep, Ok("file")),
            ],
        ),
        (
            "missing",
            [
                (READ, Err(NoEntry)),
                (write, Err(NoEntry)),
                (CREATE, Ok("empty")),
                (exclusive, Ok("empty")),
                (truncate, Err(NoEntry)),
                (directory, Err(NoEntry)),
                (keep, Err(NoEntry)),
            ],
        ),
        (
            "dir",
            [
                (READ, Ok("dir")),
                (write, Err(IsDirectory)),
                (CREATE, Err(IsDirectory)),
                (exclusive, Err(Exist)),
                (truncate, Err(IsDirectory)),
                (directory, Ok("dir")),
                (keep, Ok("dir")),
            ],
        ),
        (
            "tofile",
            [
                (READ, Ok("file")),
                (write, Ok("file")),
                (CREATE, Ok("file")),
                (exclusive, Err(Exist)),
                (truncate, Ok("empty")),
                (directory, Err(NotDirectory)),
                (keep, Err(Loop)),
            ],
        ),
        (
            "todir",
            [
                (READ, Ok("dir")),
                (write, Err(IsDirectory)),
                (CREATE, Err(IsDirectory)),
                (exclusive, Err(Exist)),
                (truncate, Err(IsDirectory)),
                (directory, Ok("dir")),
                (keep, Err(Loop)),
            ],
        ),
        (
            "dangling",
            [
                (READ, Err(NoEntry)),
                (write, Err(NoEntry)),
                (CREATE, Ok("empty")),
                (exclusive, Err(Exist)),
                (truncate, Err(NoEntry)),
                (directory, Err(NoEntry)),
                (keep, Err(Loop)),
            ],
        ),
    ];
    for (path, cases) in table {
        for (how, expected) in cases {
            assert_eq!(outcome(path, how), expected, "{path} {how:?}");
        }
    }
}

#[test]
fn directory_goes_with_nothing_that_makes_a_file() {
    let directory = OpenHow { directory: true, ..READ };
    for how in [
        OpenHow { create: true, ..directory },
        OpenHow { exclusive: true, ..directory },
        OpenHow { truncate: true, ..directory },
    ] {
        assert_eq!(outcome("dir", how), Err(StageError::Invalid));
        assert_eq!(outcome("missing", how), Err(StageError::Invalid));
    }
}

#[test]
fn a_file_that_nobody_may_write_stays_so() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::with(&["locked"]);
    std::fs::set_permissions(world.real("locked"), std::fs::Permissions::from_mode(0o444)).unwrap();
    for how in [CREATE, OpenHow { write: true, ..READ }, OpenHow { truncate: true, ..READ }] {
        assert_eq!(world.root.open("locked", how).unwrap_err(), StageError::Access);
    }
    world.root.open("locked", READ).unwrap();
    assert_eq!(world.stage.0.tree().node_count(), 1);
}
