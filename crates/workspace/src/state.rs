//! `.boxagnts/`: the folder that the runtime keeps its own things in.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::lease::lock_file;
use crate::workspace::WorkspaceError;

type Result<T> = std::result::Result<T, WorkspaceError>;

/// The folders within, each after the one that it is in.
const FOLDERS: [&str; 9] =
    ["blobs", "results", "locks", "tmp", "tmp/blobs", "tmp/commits", "tmp/freed", "tmp/scratch", "tmp/sessions"];

/// Where everything lies.
#[derive(Debug)]
pub(crate) struct State {
    folder: PathBuf,
    /// Locked, shared, as long as the workspace is open: whoever gets it alone knows that no temporary file is in use.
    _presence: File,
}

impl State {
    /// Opens the state in `root`, making what is not there. Everything belongs to its owner alone.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let folder = root.join(".boxagnts");
        private_folder(&folder)?;
        FOLDERS.iter().try_for_each(|name| private_folder(&folder.join(name)))?;
        let presence = lock(&folder.join("open.lock"))?;
        if presence.try_lock().is_ok() {
            sweep(&folder.join("tmp/blobs"))?;
            sweep(&folder.join("tmp/scratch"))?;
        }
        presence.lock_shared().map_err(at(&folder.join("open.lock")))?;
        Ok(Self { folder, _presence: presence })
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.join("journal.db")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    pub(crate) fn locks(&self) -> PathBuf {
        self.folder.join("locks")
    }

    pub(crate) fn blob_temporaries(&self) -> PathBuf {
        self.folder.join("tmp/blobs")
    }

    /// Used by whoever holds the commit lock, and nobody else.
    pub(crate) fn commit_temporaries(&self) -> PathBuf {
        self.folder.join("tmp/commits")
    }

    /// Where folders are on their way out.
    pub(crate) fn freed(&self) -> PathBuf {
        self.folder.join("tmp/freed")
    }

    /// Returns the folder that holds each session's own.
    pub(crate) fn session_folders(&self) -> PathBuf {
        self.folder.join("tmp/sessions")
    }

    /// Returns the folder that holds each session's whole outputs.
    pub(crate) fn all_results(&self) -> PathBuf {
        self.folder.join("results")
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.folder.join("tmp/scratch")
    }

    /// Returns the folder of one session's whole outputs, made if there is none.
    pub(crate) fn results(&self, session: &str) -> Result<PathBuf> {
        let folder = self.folder.join("results").join(session);
        private_folder(&folder)?;
        Ok(folder)
    }

    /// Returns the folder that one session's tools have for themselves, made if there is none.
    pub(crate) fn session_tmp(&self, session: &str) -> Result<PathBuf> {
        let folder = self.folder.join("tmp/sessions").join(session);
        private_folder(&folder)?;
        Ok(folder)
    }

    /// Waits until no other process, and no other thread, commits; nobody does until the file is dropped.
    pub(crate) fn lock_commits(&self) -> io::Result<File> {
        let lock = lock_file(&self.folder.join("commit.lock"))?;
        lock.lock()?;
        Ok(lock)
    }
}

/// Makes a folder, or takes one over that the runtime made. A link, which a cloned repository could bring along, would
/// let the runtime write and sweep somewhere else.
fn private_folder(path: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(at(path)(error)),
        _ => {}
    }
    let found = fs::symlink_metadata(path).map_err(at(path))?;
    if !found.is_dir() {
        let reason = "it is not a directory, or a symbolic link to one".to_owned();
        return Err(WorkspaceError::NotOurs { path: path.to_owned(), reason });
    }
    if found.mode() & 0o777 == 0o700 {
        return Ok(());
    }
    // Refused by the system for a folder of somebody else.
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(at(path))
}

/// Removes the files that a crash left behind.
fn sweep(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        fs::remove_file(&path).map_err(at(&path))?;
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File> {
    lock_file(path).map_err(at(path))
}

/// Names the path at which an operation failed.
pub(crate) fn at(path: &Path) -> impl Fn(io::Error) -> WorkspaceError {
    let path = path.to_owned();
    move |source| WorkspaceError::Io { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn the_state_belongs_to_its_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let state = State::open(root.path()).unwrap();
        state.lock_commits().unwrap();
        for name in ["", "blobs", "results", "locks", "tmp"] {
            assert_eq!(mode(&root.path().join(".boxagnts").join(name)), 0o700, "{name}");
        }
        for name in ["open.lock", "commit.lock"] {
            assert_eq!(mode(&root.path().join(".boxagnts").join(name)), 0o600, "{name}");
        }
    }

    #[test]
    fn a_state_that_others_can_read_is_closed_to_them() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(".boxagnts");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        State::open(root.path()).unwrap();
        assert_eq!(mode(&folder), 0o700);
    }

    #[test]
    fn links_and_files_in_the_place_of_folders_are_refused() {
        for name in ["", "blobs", "tmp", "tmp/scratch", "tmp/sessions"] {
            let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            fs::write(elsewhere.path().join("kept"), "").unwrap();
            let path = root.path().join(".boxagnts").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let trimmed = path.to_str().unwrap().trim_end_matches('/');
            symlink(elsewhere.path(), trimmed).unwrap();
            assert!(matches!(State::open(root.path()), Err(WorkspaceError::NotOurs { .. })), "{name}");
            assert!(elsewhere.path().join("kept").exists());
        }
    }

    #[test]
    fn leftovers_are_swept_only_when_nobody_can_be_using_them() {
        let root = tempfile::tempdir().unwrap();
        let first = State::open(root.path()).unwrap();
        let leftover = first.blob_temporaries().join("leftover");
        fs::write(&leftover, "").unwrap();
        let second = State::open(root.path()).unwrap();
        assert!(leftover.exists());
        drop((first, second));
        State::open(root.path()).unwrap();
        assert!(!leftover.exists());
    }
}
