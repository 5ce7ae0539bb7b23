//! The two files of a store, and the lock beside them.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use policy::SecretName;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::index::Index;
use super::{Result, SecretError};
use crate::lease::lock_file;
use crate::private::{self, Problem};

/// Raised when the file of the values says something else.
const FORMAT: u32 = 1;

/// Bytes of either file: as many secrets as there may be, with room.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// The values of the secrets.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Values {
    format: u32,
    values: BTreeMap<SecretName, SecretString>,
}

/// The same, to be written.
#[derive(Serialize)]
struct ValuesRef<'a> {
    format: u32,
    values: BTreeMap<&'a SecretName, &'a str>,
}

/// The folder of a store. What is written goes through [`Folder::lock`], and what must fit together is read through
/// [`Folder::lock_shared`].
pub(super) struct Folder<'a> {
    path: &'a Path,
    _lock: Option<File>,
}

impl<'a> Folder<'a> {
    /// Returns the folder for reading; it need not be there.
    pub(super) fn at(path: &'a Path) -> Self {
        Self { path, _lock: None }
    }

    /// Makes the folder where it is missing, and waits until nobody else reads it or writes to it.
    pub(super) fn lock(path: &'a Path) -> Result<Self> {
        private::make_folder(path).map_err(at(path))?;
        check(path, &fs::symlink_metadata(path).map_err(at(path))?, own_user()?, Metadata::is_dir)?;
        let name = path.join("lock");
        let lock = lock_file(&name).map_err(at(&name))?;
        lock.lock().map_err(at(&name))?;
        Ok(Self { path, _lock: Some(lock) })
    }

    /// Waits until nobody writes to the folder, and keeps it so; `None` when there is no folder.
    pub(super) fn lock_shared(path: &'a Path) -> Result<Option<Self>> {
        let Some(found) = found(path)? else { return Ok(None) };
        check(path, &found, own_user()?, Metadata::is_dir)?;
        let name = path.join("lock");
        // A folder that is mounted read-only can be read too, if it has the file.
        let lock = File::open(&name).or_else(|_| lock_file(&name)).map_err(at(&name))?;
        lock.lock_shared().map_err(at(&name))?;
        Ok(Some(Self { path, _lock: Some(lock) }))
    }

    pub(super) fn index(&self) -> Result<Index> {
        let path = self.path.join("index.json");
        let Some(text) = self.read(&path)? else { return Ok(Index::default()) };
        let index: Index = parsed(&path, &text)?;
        if index.is_known_format() { Ok(index) } else { Err(SecretError::Damaged { path, line: 1 }) }
    }

    pub(super) fn write_index(&self, index: &Index) -> Result<()> {
        let text = serde_json::to_vec_pretty(index).expect("an index is plain data");
        self.replace("index.json", &text)
    }

    pub(super) fn values(&self) -> Result<BTreeMap<SecretName, SecretString>> {
        let path = self.path.join("values.json");
        let Some(text) = self.read(&path)? else { return Ok(BTreeMap::new()) };
        let Values { format, values } = parsed(&path, &text)?;
        if format == FORMAT { Ok(values) } else { Err(SecretError::Damaged { path, line: 1 }) }
    }

    pub(super) fn write_values(&self, values: &BTreeMap<SecretName, SecretString>) -> Result<()> {
        let values = values.iter().map(|(name, value)| (name, value.expose_secret())).collect();
        let text = serde_json::to_vec_pretty(&ValuesRef { format: FORMAT, values }).expect("values are plain data");
        self.replace("values.json", &Zeroizing::new(text))
    }

    /// Returns the content of a file that nobody else can read, `None` when there is none.
    fn read(&self, path: &Path) -> Result<Option<Zeroizing<String>>> {
        let Some(named) = found(path)? else { return Ok(None) };
        let user = own_user()?;
        let folder = fs::symlink_metadata(self.path).map_err(at(self.path))?;
        check(self.path, &folder, user, Metadata::is_dir)?;
        check(path, &named, user, Metadata::is_file)?;
        let file = File::open(path).map_err(at(path))?;
        let opened = file.metadata().map_err(at(path))?;
        private::check_same(&named, &opened).map_err(|problem| not_private(path, problem))?;
        let mut text = Zeroizing::new(String::new());
        file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(at(path))?;
        Ok(Some(text))
    }

    fn replace(&self, name: &str, content: &[u8]) -> Result<()> {
        private::replace(self.path, name, content).map_err(at(&self.path.join(name)))
    }
}

fn found(path: &Path) -> Result<Option<Metadata>> {
    private::found(path).map_err(at(path))
}

/// Refuses what somebody else could read, or put there.
fn check(path: &Path, found: &Metadata, user: u32, is_kind: fn(&Metadata) -> bool) -> Result<()> {
    private::check(found, user, is_kind).map_err(|problem| not_private(path, problem))
}

fn not_private(path: &Path, problem: Problem) -> SecretError {
    let problem = match problem {
        Problem::Kind => "is not what belongs there: a link, or something else than the runtime made",
        Problem::Owner => "belongs to another user; secrets are read from your own files only",
        Problem::Open => {
            "can be reached by other users; close it with chmod go= and change the values that they may have seen"
        }
        Problem::Replaced => "was replaced while it was read",
    };
    SecretError::NotPrivate { path: path.to_owned(), problem }
}

fn own_user() -> Result<u32> {
    private::own_user().map_err(at(Path::new("/proc/self")))
}

/// Reads JSON whose errors may quote it: only their place is told.
fn parsed<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| SecretError::Damaged { path: path.to_owned(), line: error.line() })
}

fn at(path: &Path) -> impl Fn(io::Error) -> SecretError {
    let path: PathBuf = path.to_owned();
    move |source| SecretError::Io { path: path.clone(), source }
}
