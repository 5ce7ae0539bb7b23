//! The person's secrets: what was said of them in one file, their values in the keychain or in another.
//!
//! The folder belongs to the person, not to a workspace, and lies outside every mount. Saying what there is needs no
//! value. A value is in the keychain where one works, else in `values.json`, which only its owner can read.
//!
//! A value is never beside what was said of another one: while it changes its name is not listed, and who reads waits.

mod files;
mod index;
mod keychain;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policy::{Placement, SecretName, SecretSpec};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use files::Folder;
use index::Index;
pub use keychain::{Keychain, KeychainError, SecretService};

/// Fewer bytes would be found by chance in what servers answer, and taken out of it.
const MIN_VALUE_BYTES: usize = 8;

/// Longer than any key or token, and short enough to be searched for.
const MAX_VALUE_BYTES: usize = 4096;

/// Secrets of one person; each is searched for in every response of a workspace that allows it.
const MAX_SECRETS: usize = 256;

/// Where a value is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    Keychain,
    File,
}

/// One secret without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSecret {
    #[serde(flatten)]
    pub spec: SecretSpec,
    pub kept: Kept,
}

/// Where a value was put, and why not in the keychain if one was tried.
#[derive(Debug, PartialEq, Eq)]
pub struct Stored {
    pub kept: Kept,
    pub not_in_keychain: Option<KeychainError>,
    /// Why the keychain may hold a value of this name all the same: the one before, or this one.
    pub left_in_keychain: Option<KeychainError>,
}

/// What was removed.
#[derive(Debug, PartialEq, Eq)]
pub struct Removed {
    /// False when there was nothing of this name, as far as is known without the keychain.
    pub was_there: bool,
    /// Why the keychain may still hold a value of this name.
    pub left_in_keychain: Option<KeychainError>,
}

/// Why secrets cannot be stored or read. No text of it holds a value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("{path}: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} {problem}", path = path.display())]
    NotPrivate { path: PathBuf, problem: &'static str },
    #[error("{path} is damaged at line {line}; restore it, or remove it and set the secrets again", path = path.display())]
    Damaged { path: PathBuf, line: usize },
    #[error("the value of {name} is in the keychain, which does not serve: {source}")]
    Keychain { name: SecretName, source: KeychainError },
    #[error("the value of {name} is gone from where it was kept")]
    Gone { name: SecretName },
    #[error("storing {name} was broken off, so it is not set")]
    Unfinished { name: SecretName },
    #[error("{name} was not stored, and is not set now; set it again: {source}")]
    NotSet { name: SecretName, source: Box<SecretError> },
    #[error("{0}")]
    Value(#[from] InvalidValue),
    #[error("there are {MAX_SECRETS} secrets already; remove one first: boxagnts secret rm NAME")]
    TooMany,
}

/// A value that is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValue {
    #[error("the value is empty; type it when asked, or pipe it in")]
    Empty,
    #[error("the value has {0} bytes; one of fewer than {MIN_VALUE_BYTES} could not be told from other text")]
    Short(usize),
    #[error("the value has more than {MAX_VALUE_BYTES} bytes")]
    Long,
    #[error("the value has a line break or another control character; it must be one line")]
    Control,
    #[error("the value begins or ends with white space, which HTTP does not keep")]
    Space,
    #[error("the value has characters that a header cannot carry; a header takes ASCII only")]
    Header,
}

/// The secrets of one person.
#[derive(Clone)]
pub struct SecretStore {
    folder: PathBuf,
    keychain: Option<Arc<dyn Keychain>>,
}

type Result<T> = std::result::Result<T, SecretError>;

impl SecretStore {
    /// Returns the store in `folder`, which is made when something is stored. Without a `keychain` values are in a file.
    pub fn new(folder: PathBuf, keychain: Option<Arc<dyn Keychain>>) -> Self {
        Self { folder, keychain }
    }

    /// Returns where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns every secret, sorted by name; no value is read.
    pub fn list(&self) -> Result<Vec<StoredSecret>> {
        Folder::at(&self.folder).index().map(Index::into_secrets)
    }

    /// Stores a secret in place of the one before of this name. Where that breaks off, there is none of this name.
    pub fn set(&self, spec: SecretSpec, value: &SecretString) -> Result<Stored> {
        check(value.expose_secret(), spec.placement())?;
        let folder = Folder::lock(&self.folder)?;
        let (mut index, values) = (folder.index()?, folder.values()?);
        let name = spec.name().clone();
        let was_in_keychain = index.may_be_in_keychain(&name);
        index.begin(&name, self.keychain.is_some());
        if index.secrets().len() >= MAX_SECRETS {
            return Err(SecretError::TooMany);
        }
        // First: the new value must never be beside the hosts of the old one.
        folder.write_index(&index)?;
        let finish = || {
            let (kept, not_in_keychain) = self.keep(&folder, values, &name, value)?;
            let refused = not_in_keychain.as_ref();
            let may_be_left = was_in_keychain || refused.is_some_and(KeychainError::may_have_kept);
            let must_clear = kept == Kept::File && may_be_left;
            let left_in_keychain = if must_clear { self.clear_keychain(&name, refused) } else { None };
            index.finish(spec, kept, left_in_keychain.is_some());
            // Last: what is listed has a value.
            folder.write_index(&index)?;
            Ok(Stored { kept, not_in_keychain, left_in_keychain })
        };
        finish().map_err(|source| SecretError::NotSet { name: name.clone(), source: Box::new(source) })
    }

    fn keep(
        &self,
        folder: &Folder<'_>,
        mut values: BTreeMap<SecretName, SecretString>,
        name: &SecretName,
        value: &SecretString,
    ) -> Result<(Kept, Option<KeychainError>)> {
        let tried = self.keychain.as_ref().map(|keychain| keychain.keep(&self.item(name), value));
        let in_keychain = matches!(tried, Some(Ok(())));
        let before = if in_keychain { values.remove(name) } else { values.insert(name.clone(), value.clone()) };
        if !in_keychain || before.is_some() {
            folder.write_values(&values)?;
        }
        let kept = if in_keychain { Kept::Keychain } else { Kept::File };
        Ok((kept, tried.and_then(std::result::Result::err)))
    }

    /// Removes what the keychain may hold after it `refused` a value; returns why it may hold it still.
    fn clear_keychain(&self, name: &SecretName, refused: Option<&KeychainError>) -> Option<KeychainError> {
        let removed = self.remove_from_keychain(name);
        // One that was silent may yet do what it was asked for before.
        let is_late = refused == Some(&KeychainError::Silent);
        removed.err().or_else(|| is_late.then_some(KeychainError::Silent))
    }

    fn remove_from_keychain(&self, name: &SecretName) -> std::result::Result<(), KeychainError> {
        self.keychain.as_ref().map_or(Err(KeychainError::None), |keychain| keychain.remove(&self.item(name)))
    }

    /// Removes a secret and its values, wherever one may be. What could not be taken out of the keychain is tried again
    /// by removing the same name again.
    pub fn remove(&self, name: &SecretName) -> Result<Removed> {
        let folder = Folder::lock(&self.folder)?;
        let mut index = folder.index()?;
        // The values first: what is listed no more must not lie around.
        let was_in_file = remove_from_file(&folder, name)?;
        let may_be_left = self.keychain.is_some() || index.may_be_in_keychain(name);
        let left_in_keychain = self.remove_from_keychain(name).err().filter(|_| may_be_left);
        if let (Some(Kept::Keychain), Some(source)) = (index.kept(name), &left_in_keychain) {
            return Err(SecretError::Keychain { name: name.clone(), source: source.clone() });
        }
        let was_known = index.forget(name, left_in_keychain.is_none());
        if was_known {
            folder.write_index(&index)?;
        }
        Ok(Removed { was_there: was_known || was_in_file, left_in_keychain })
    }

    /// Returns those of `names` that are stored, with their values.
    pub fn read(&self, names: &BTreeSet<SecretName>) -> Result<Vec<(SecretSpec, SecretString)>> {
        let Some(folder) = Folder::lock_shared(&self.folder)? else { return Ok(Vec::new()) };
        let index = folder.index()?;
        if let Some(name) = index.unfinished(names) {
            return Err(SecretError::Unfinished { name: name.clone() });
        }
        let mut wanted = index.into_secrets();
        wanted.retain(|secret| names.contains(secret.spec.name()));
        let in_file = wanted.iter().any(|secret| secret.kept == Kept::File);
        let mut values = if in_file { folder.values()? } else { BTreeMap::new() };
        let with_value = |secret: StoredSecret| {
            let name = secret.spec.name();
            let value = match secret.kept {
                Kept::File => values.remove(name),
                Kept::Keychain => self.in_keychain(name)?,
            };
            let value = value.ok_or_else(|| SecretError::Gone { name: name.clone() })?;
            // Somebody else may have written there.
            check(value.expose_secret(), secret.spec.placement())?;
            Ok((secret.spec, value))
        };
        wanted.into_iter().map(with_value).collect()
    }

    fn in_keychain(&self, name: &SecretName) -> Result<Option<SecretString>> {
        let keychain = self.keychain.as_ref().ok_or_else(|| unreachable_keychain(name))?;
        keychain.read(&self.item(name)).map_err(|source| SecretError::Keychain { name: name.clone(), source })
    }

    /// Returns what a value is called in the keychain, which other stores of this person share.
    fn item(&self, name: &SecretName) -> String {
        format!("{name} of {}", self.folder.display())
    }
}

/// Tells whether the file had a value of `name`.
fn remove_from_file(folder: &Folder<'_>, name: &SecretName) -> Result<bool> {
    let mut values = folder.values()?;
    let was_there = values.remove(name).is_some();
    if was_there {
        folder.write_values(&values)?;
    }
    Ok(was_there)
}

fn unreachable_keychain(name: &SecretName) -> SecretError {
    SecretError::Keychain { name: name.clone(), source: KeychainError::None }
}

fn check(value: &str, placement: &Placement) -> std::result::Result<(), InvalidValue> {
    let in_header = matches!(placement, Placement::Header { .. });
    match value.len() {
        0 => Err(InvalidValue::Empty),
        length @ ..MIN_VALUE_BYTES => Err(InvalidValue::Short(length)),
        length if length > MAX_VALUE_BYTES => Err(InvalidValue::Long),
        _ if value.contains(char::is_control) => Err(InvalidValue::Control),
        _ if value.trim().len() != value.len() => Err(InvalidValue::Space),
        _ if in_header && !value.is_ascii() => Err(InvalidValue::Header),
        _ => Ok(()),
    }
}
