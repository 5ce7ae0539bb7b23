//! Files and folders outside of every mount that only their owner may reach.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

/// Why something is not what the runtime made for its owner alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// A link, or something else than the runtime made.
    Kind,
    /// It belongs to another user.
    Owner,
    /// Other users can reach it.
    Open,
    /// It was replaced while it was opened.
    Replaced,
}

/// Returns what is at `path`, not following a link; `None` when nothing is.
pub(crate) fn found(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Refuses what somebody else could read, or put there.
pub(crate) fn check(found: &Metadata, user: u32, is_kind: fn(&Metadata) -> bool) -> Result<(), Problem> {
    if !is_kind(found) {
        Err(Problem::Kind)
    } else if found.uid() != user {
        Err(Problem::Owner)
    } else if found.mode() & 0o077 != 0 {
        Err(Problem::Open)
    } else {
        Ok(())
    }
}

/// Refuses an open file that is not the one that was found under its name.
pub(crate) fn check_same(named: &Metadata, opened: &Metadata) -> Result<(), Problem> {
    let same = (opened.dev(), opened.ino()) == (named.dev(), named.ino());
    if same { Ok(()) } else { Err(Problem::Replaced) }
}

/// Returns the user that this process acts as (proc(5)).
pub(crate) fn own_user() -> io::Result<u32> {
    fs::metadata("/proc/self").map(|own| own.uid())
}

/// Makes a folder, and those above it, for its owner alone; one that is there stays as it is.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opens a file that is only ever read and overwritten in place.
pub(crate) fn open_in_place(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Writes a new file (0600) into `folder` and renames it to `name`, so that there is always one of them, whole.
pub(crate) fn replace(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(folder.join(name))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_another_user_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        make_folder(&folder.path().join("own")).unwrap();
        let found = fs::symlink_metadata(folder.path().join("own")).unwrap();
        assert_eq!(found.uid(), own_user().unwrap());
        assert_eq!(check(&found, found.uid(), Metadata::is_dir), Ok(()));
        assert_eq!(check(&found, found.uid() + 1, Metadata::is_dir), Err(Problem::Owner));
        assert_eq!(check(&found, found.uid(), Metadata::is_file), Err(Problem::Kind));
    }

    #[test]
    fn a_file_that_took_the_place_of_another_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&first, "").unwrap();
        fs::write(&second, "").unwrap();
        let named = fs::symlink_metadata(&first).unwrap();
        assert_eq!(check_same(&named, &File::open(&first).unwrap().metadata().unwrap()), Ok(()));
        assert_eq!(check_same(&named, &File::open(&second).unwrap().metadata().unwrap()), Err(Problem::Replaced));
    }
}
