//! The cache of compiled components, outside every mount.
//!
//! Compiled code is machine code: whoever can forge it owns the process. So a cached file is used only when its MAC
//! (HMAC-SHA-256 under a random key that only this user can read) fits its bytes, its kind and its name; its name is the
//! digest of the component, of everything that compilation depends on, and of this format. Anything else is compiled
//! again and written over. Files appear by rename, so that processes may share a folder.

use std::fs::{self, DirBuilder, File};
use std::hash::{Hash as _, Hasher};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use protocol::ContentHash;
use rand::Rng as _;
use sha2::Sha256;
use wasmtime::Engine;

/// Part of every name: raise it when what is stored changes.
const FORMAT: u32 = 1;

/// Bytes of the MAC key, and of a MAC.
const MAC_BYTES: usize = 32;

/// Largest file that is read back: several times what the largest accepted component compiles to.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Files that the folder keeps, newest first: a few versions of some dozen tools.
const MAX_FILES: usize = 256;

const KEY_FILE: &str = "key";

/// What a cached file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Machine code.
    Code,
    /// What a tool answered when it was asked what it offers.
    Definitions,
}

impl Kind {
    fn extension(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Definitions => "definitions",
        }
    }
}

/// The name of one component's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key(ContentHash);

impl Key {
    /// Returns the name for the component `content` as `engine` compiles it.
    pub(crate) fn new(engine: &Engine, content: &ContentHash) -> Self {
        let mut digest = Digest::default();
        FORMAT.hash(&mut digest);
        engine.precompile_compatibility_hash().hash(&mut digest);
        digest.0.field(content.as_str().as_bytes());
        Self(digest.0.finish())
    }
}

/// Lets std's `Hash` feed SHA-256: its usual 64 bits are too few for a name that must not collide.
#[derive(Default)]
struct Digest(protocol::Hasher);

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.0.field(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("only the full digest is taken")
    }
}

/// An open cache folder.
#[derive(Debug)]
pub(crate) struct Artifacts {
    folder: PathBuf,
    mac_key: [u8; MAC_BYTES],
}

impl Artifacts {
    /// Opens `folder`, making it (0700) and its key (0600) where they are missing.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        if fs::metadata(folder)?.mode() & 0o022 != 0 {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others can write to it"));
        }
        let mac_key = match read_key(folder) {
            Some(key) => key,
            None => make_key(folder)?,
        };
        Ok(Self { folder: folder.to_owned(), mac_key })
    }

    /// Returns the bytes stored under `key`, or nothing when there are none that this cache wrote.
    pub(crate) fn read(&self, key: &Key, kind: Kind) -> Option<Bytes> {
        let file = File::open(self.path(key, kind)).ok()?;
        let length = file.metadata().ok().filter(|metadata| metadata.len() <= MAX_FILE_BYTES)?.len();
        let mut bytes = Vec::with_capacity(usize::try_from(length).ok()?);
        file.take(length).read_to_end(&mut bytes).ok()?;
        let (tag, stored) = bytes.split_at_checked(MAC_BYTES)?;
        self.mac(key, kind, stored).verify_slice(tag).ok()?;
        Some(Bytes::from(bytes).slice(MAC_BYTES..))
    }

    /// Stores `bytes` under `key` in place of what was there.
    ///
    /// A cache that cannot be written costs time, never a call: the error is for tests.
    pub(crate) fn write(&self, key: &Key, kind: Kind, bytes: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&self.mac(key, kind, bytes).finalize().into_bytes())?;
        file.write_all(bytes)?;
        file.persist(self.path(key, kind))?;
        self.prune()
    }

    fn path(&self, key: &Key, kind: Kind) -> PathBuf {
        self.folder.join(format!("{}.{}", key.0, kind.extension()))
    }

    fn mac(&self, key: &Key, kind: Kind, bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.mac_key).expect("HMAC takes keys of any length");
        for field in [kind.extension().as_bytes(), key.0.as_str().as_bytes(), bytes] {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field);
        }
        mac
    }

    /// Removes the oldest files beyond [`MAX_FILES`]: artifacts of other versions, and what killed writers left.
    fn prune(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name() != KEY_FILE {
                files.push((entry.metadata().and_then(|metadata| metadata.modified()).ok(), entry.path()));
            }
        }
        files.sort_unstable_by(|left, right| right.cmp(left));
        for (_, path) in files.into_iter().skip(MAX_FILES) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// Returns the folder's key, unless it is missing, malformed or readable by others.
fn read_key(folder: &Path) -> Option<[u8; MAC_BYTES]> {
    let path = folder.join(KEY_FILE);
    let metadata = fs::symlink_metadata(&path).ok()?;
    let others = metadata.mode() & 0o077;
    let private = metadata.is_file() && others == 0 && metadata.len() == MAC_BYTES as u64;
    private.then(|| fs::read(&path).ok())??.try_into().ok()
}

fn make_key(folder: &Path) -> io::Result<[u8; MAC_BYTES]> {
    let mut key = [0; MAC_BYTES];
    rand::rng().fill_bytes(&mut key);
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&key)?;
    match file.persist_noclobber(folder.join(KEY_FILE)) {
        Ok(_) => Ok(key),
        // Another process was faster, or what stands there is no private key: in that case ours takes its place.
        Err(taken) => match read_key(folder) {
            Some(theirs) => Ok(theirs),
            None => taken.file.persist(folder.join(KEY_FILE)).map(|_| key).map_err(io::Error::from),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn key(text: &str) -> Key {
        Key(ContentHash::of(text.as_bytes()))
    }

    fn cache() -> (tempfile::TempDir, Artifacts) {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(&folder.path().join("cache")).unwrap();
        (folder, artifacts)
    }

    #[test]
    fn what_was_written_is_read_back_by_another_opening() {
        let (_folder, artifacts) = cache();
        artifacts.write(&key("a"), Kind::Code, b"code").unwrap();
        let again = Artifacts::open(&artifacts.folder).unwrap();
        assert_eq!(again.read(&key("a"), Kind::Code), Some(Bytes::from_static(b"code")));
        assert_eq!(again.read(&key("a"), Kind::Definitions), None);
        assert_eq!(fs::metadata(&artifacts.folder).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(artifacts.folder.join(KEY_FILE)).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn no_changed_byte_is_read() {
        let (_folder, artifacts) = cache();
        artifacts.write(&key("a"), Kind::Code, b"code").unwrap();
        let path = artifacts.path(&key("a"), Kind::Code);
        let written = fs::read(&path).unwrap();
        for at in 0..written.len() {
            let mut forged = written.clone();
            forged[at] ^= 1;
            fs::write(&path, forged).unwrap();
            assert_eq!(artifacts.read(&key("a"), Kind::Code), None, "byte {at}");
        }
        for length in [0, 31, 32, written.len() - 1] {
            fs::write(&path, &written[..length]).unwrap();
            assert_eq!(artifacts.read(&key("a"), Kind::Code), None, "cut to {length}");
        }
        fs::write(&path, &written).unwrap();
        assert_eq!(artifacts.read(&key("a"), Kind::Code), Some(Bytes::from_static(b"code")));
    }

    #[test]
    fn a_file_under_another_name_kind_or_key_is_not_read() {
        let (_folder, artifacts) = cache();
        artifacts.write(&key("a"), Kind::Code, b"code").unwrap();
        let bytes = fs::read(artifacts.path(&key("a"), Kind::Code)).unwrap();
        fs::write(artifacts.path(&key("b"), Kind::Code), &bytes).unwrap();
        fs::write(artifacts.path(&key("a"), Kind::Definitions), &bytes).unwrap();
        assert_eq!(artifacts.read(&key("b"), Kind::Code), None);
        assert_eq!(artifacts.read(&key("a"), Kind::Definitions), None);
        let (_other_folder, other) = cache();
        fs::write(other.path(&key("a"), Kind::Code), &bytes).unwrap();
        assert_eq!(other.read(&key("a"), Kind::Code), None);
    }

    #[test]
    fn a_key_that_others_could_read_is_replaced() {
        let (_folder, artifacts) = cache();
        let path = artifacts.folder.join(KEY_FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let again = Artifacts::open(&artifacts.folder).unwrap();
        assert_ne!(again.mac_key, artifacts.mac_key);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        let (_folder, artifacts) = cache();
        fs::set_permissions(&artifacts.folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(Artifacts::open(&artifacts.folder).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn racing_processes_agree_on_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Artifacts::open(folder.path()).unwrap().mac_key;
        let keys = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn the_folder_stays_small() {
        let (_folder, artifacts) = cache();
        for number in 0..MAX_FILES + 5 {
            artifacts.write(&key(&number.to_string()), Kind::Definitions, b"").unwrap();
        }
        assert_eq!(fs::read_dir(&artifacts.folder).unwrap().count(), MAX_FILES + 1);
        assert!(artifacts.read(&key(&(MAX_FILES + 4).to_string()), Kind::Definitions).is_some());
    }
}
