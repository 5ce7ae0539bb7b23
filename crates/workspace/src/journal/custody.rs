//! The folder of one workspace's key and anchor, among the person's own data and outside of every mount.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use protocol::ContentHash;
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};

use super::anchor::{Anchor, AnchorFile};
use super::checkpoint::SigningKey;
use super::{JournalError, Result};
use crate::lease::lock_file;
use crate::private::{self, Problem};

const KEY: &str = "key.pk8";
const ANCHOR: &str = "anchor";
const WORKSPACE: &str = "workspace.json";

/// More than any of the files has.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// Where the key and the anchor of one workspace lie.
#[derive(Debug, Clone)]
pub(crate) struct Custody {
    folder: PathBuf,
    workspace: WorkspaceText,
}

/// Whose folder it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WorkspaceText {
    root: String,
    /// What tells the workspace's directory from another one of the same name.
    directory: String,
}

/// What lies there.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) key: Option<SigningKey>,
    /// `None` when there is none that can be read.
    pub(crate) anchor: Option<(Anchor, AnchorFile)>,
    /// Whether it was made for this directory, and not for another one of the same name.
    pub(crate) is_same_directory: bool,
}

/// What signs and anchors while the journal is open.
#[derive(Debug)]
pub(crate) struct Keyring {
    pub(crate) key: SigningKey,
    pub(crate) anchor: AnchorFile,
}

impl Custody {
    /// Returns the place, below `keys`, of the workspace at `root`, which is the directory called `directory`.
    pub(crate) fn new(keys: &Path, root: &Path, directory: String) -> Self {
        let name = ContentHash::of(root.as_os_str().as_bytes());
        let folder = keys.join(&name.as_str()[..32]);
        Self { folder, workspace: WorkspaceText { root: root.to_string_lossy().into_owned(), directory } }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns what lies there; nothing is made.
    pub(crate) fn look(&self) -> Result<Found> {
        let Some(folder) = private::found(&self.folder).map_err(at(&self.folder))? else {
            return Ok(Found::default());
        };
        check(&self.folder, &folder, Metadata::is_dir)?;
        let workspace = self.read(WORKSPACE)?.and_then(|text| serde_json::from_slice::<WorkspaceText>(&text).ok());
        Ok(Found {
            key: self.key()?,
            anchor: self.anchor()?,
            is_same_directory: workspace.as_ref() == Some(&self.workspace),
        })
    }

    /// Returns the key, made if there is none. Two processes at once get the same one.
    pub(crate) fn make_key(&self) -> Result<SigningKey> {
        private::make_folder(&self.folder).map_err(at(&self.folder))?;
        let folder = fs::symlink_metadata(&self.folder).map_err(at(&self.folder))?;
        check(&self.folder, &folder, Metadata::is_dir)?;
        let name = self.folder.join("lock");
        let lock = lock_file(&name).map_err(at(&name))?;
        lock.lock().map_err(at(&name))?;
        if let Some(key) = self.key()? {
            return Ok(key);
        }
        let pkcs8 = SigningKey::generate().ok_or_else(|| self.damaged("the system gives no randomness for a key"))?;
        self.replace(KEY, &pkcs8)?;
        SigningKey::read(&pkcs8).ok_or_else(|| self.damaged("the key cannot be used"))
    }

    /// Writes down whose folder this is, and an anchor in the place of any other.
    pub(crate) fn anchor_at(&self, anchor: &Anchor) -> Result<AnchorFile> {
        let workspace = serde_json::to_vec_pretty(&self.workspace).expect("a path is plain data");
        self.replace(WORKSPACE, &workspace)?;
        self.replace(ANCHOR, &anchor.file())?;
        let path = self.folder.join(ANCHOR);
        private::open_in_place(&path).map(AnchorFile::new).map_err(at(&path))
    }

    fn key(&self) -> Result<Option<SigningKey>> {
        let Some(pkcs8) = self.read(KEY)? else { return Ok(None) };
        SigningKey::read(&pkcs8).map(Some).ok_or_else(|| self.damaged("its key.pk8 is no key"))
    }

    fn anchor(&self) -> Result<Option<(Anchor, AnchorFile)>> {
        let path = self.folder.join(ANCHOR);
        let Some(file) = open(&path, private::open_in_place)? else { return Ok(None) };
        let file = AnchorFile::new(file);
        let anchor = file.read().map_err(at(&path))?;
        Ok(anchor.filter(|anchor| anchor.checkpoint.is_signed(anchor.journal)).map(|anchor| (anchor, file)))
    }

    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let path = self.folder.join(name);
        let Some(file) = open(&path, |path| File::open(path))? else { return Ok(None) };
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(at(&path))?;
        Ok(Some(bytes))
    }

    fn replace(&self, name: &str, content: &[u8]) -> Result<()> {
        private::replace(&self.folder, name, content).map_err(at(&self.folder.join(name)))
    }

    fn damaged(&self, problem: &'static str) -> JournalError {
        JournalError::Custody { path: self.folder.clone(), problem }
    }
}

/// Opens a file that only its owner can reach, not following a link.
fn open(path: &Path, open: impl FnOnce(&Path) -> io::Result<File>) -> Result<Option<File>> {
    let Some(named) = private::found(path).map_err(at(path))? else { return Ok(None) };
    check(path, &named, Metadata::is_file)?;
    let file = open(path).map_err(at(path))?;
    let opened = file.metadata().map_err(at(path))?;
    private::check_same(&named, &opened).map_err(|problem| not_private(path, problem))?;
    Ok(Some(file))
}

fn check(path: &Path, found: &Metadata, is_kind: fn(&Metadata) -> bool) -> Result<()> {
    let user = private::own_user().map_err(at(path))?;
    private::check(found, user, is_kind).map_err(|problem| not_private(path, problem))
}

fn not_private(path: &Path, problem: Problem) -> JournalError {
    let problem = match problem {
        Problem::Kind => "it is not what belongs there: a link, or something else than the runtime made",
        Problem::Owner => "it belongs to another user",
        Problem::Open => "other users can reach it; close it with chmod go=",
        Problem::Replaced => "it was replaced while it was read",
    };
    JournalError::Custody { path: path.to_owned(), problem }
}

fn at(path: &Path) -> impl Fn(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::super::chain::{Head, JournalId};
    use super::*;

    fn custody(keys: &Path) -> Custody {
        Custody::new(keys, Path::new("/a/workspace"), "1:2".into())
    }

    fn anchored(custody: &Custody) -> Anchor {
        let id = JournalId([1; 16]);
        let checkpoint = custody.make_key().unwrap().sign(id, 0, &Head::start(id), 5);
        let anchor = Anchor { journal: id, checkpoint };
        custody.anchor_at(&anchor).unwrap();
        anchor
    }

    #[test]
    fn what_is_kept_belongs_to_its_owner_alone_and_to_one_workspace() {
        let place = tempfile::tempdir().unwrap();
        let keys = place.path().join("journals");
        let custody = custody(&keys);
        let empty = custody.look().unwrap();
        assert!(empty.key.is_none() && empty.anchor.is_none() && !keys.exists());
        let anchor = anchored(&custody);
        let found = custody.look().unwrap();
        assert_eq!(found.key.unwrap().public(), anchor.checkpoint.key);
        assert_eq!(found.anchor.unwrap().0, anchor);
        assert!(found.is_same_directory);
        assert_eq!(fs::metadata(&keys).unwrap().mode() & 0o777, 0o700);
        for name in [KEY, ANCHOR, WORKSPACE, "lock"] {
            let path = custody.folder().join(name);
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o600, "{name}");
        }
        let moved = Custody::new(&keys, Path::new("/a/workspace"), "1:3".into());
        assert!(!moved.look().unwrap().is_same_directory);
        let other = Custody::new(&keys, Path::new("/a/workspace2"), "1:2".into());
        assert!(other.look().unwrap().key.is_none());
    }

    #[test]
    fn whoever_comes_at_once_gets_the_same_key() {
        let place = tempfile::tempdir().unwrap();
        let make = || custody(place.path()).make_key().unwrap().public();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn links_and_what_others_can_reach_are_refused() {
        for name in [KEY, ANCHOR, ""] {
            let keys = tempfile::tempdir().unwrap();
            let custody = custody(keys.path());
            anchored(&custody);
            let path = if name.is_empty() { custody.folder().to_owned() } else { custody.folder().join(name) };
            let mode = fs::metadata(&path).unwrap().permissions();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode.mode() | 0o040)).unwrap();
            let refused = custody.look().unwrap_err().to_string();
            assert!(refused.contains("other users can reach it"), "{name}: {refused}");
            fs::set_permissions(&path, mode).unwrap();
            let elsewhere = keys.path().join("elsewhere");
            fs::rename(&path, &elsewhere).unwrap();
            symlink(&elsewhere, &path).unwrap();
            let refused = custody.look().unwrap_err().to_string();
            assert!(refused.contains("it is not what belongs there"), "{name}: {refused}");
        }
    }

    #[test]
    fn a_key_that_is_none_is_no_reason_to_make_another() {
        let keys = tempfile::tempdir().unwrap();
        let custody = custody(keys.path());
        anchored(&custody);
        fs::write(custody.folder().join(KEY), "no key").unwrap();
        assert!(matches!(custody.look(), Err(JournalError::Custody { .. })));
        assert!(matches!(custody.make_key(), Err(JournalError::Custody { .. })));
    }

    #[test]
    fn an_anchor_that_nobody_signed_is_none() {
        let keys = tempfile::tempdir().unwrap();
        let custody = custody(keys.path());
        let mut anchor = anchored(&custody);
        anchor.checkpoint.sequence += 1;
        custody.anchor_at(&anchor).unwrap();
        assert!(custody.look().unwrap().anchor.is_none());
    }
}
