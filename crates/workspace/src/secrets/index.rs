//! What was said of the secrets, and what storing or removing one may have left behind.

use std::collections::BTreeSet;

use policy::{SecretName, SecretSpec};
use serde::{Deserialize, Serialize};

use super::{Kept, StoredSecret};

/// Raised when the file says something else.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Index {
    format: u32,
    secrets: Vec<StoredSecret>,
    /// Storing these began and did not end: a value may lie somewhere, and nothing says for which hosts.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    unfinished: BTreeSet<SecretName>,
    /// The keychain may hold a value of these too, though it is not where they are kept.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    left_in_keychain: BTreeSet<SecretName>,
}

impl Default for Index {
    fn default() -> Self {
        Self { format: FORMAT, secrets: Vec::new(), unfinished: BTreeSet::new(), left_in_keychain: BTreeSet::new() }
    }
}

impl Index {
    pub(super) fn is_known_format(&self) -> bool {
        self.format == FORMAT
    }

    pub(super) fn secrets(&self) -> &[StoredSecret] {
        &self.secrets
    }

    pub(super) fn into_secrets(self) -> Vec<StoredSecret> {
        self.secrets
    }

    pub(super) fn kept(&self, name: &SecretName) -> Option<Kept> {
        self.secrets.iter().find(|secret| secret.spec.name() == name).map(|secret| secret.kept)
    }

    /// Tells whether the keychain may hold a value of `name`.
    pub(super) fn may_be_in_keychain(&self, name: &SecretName) -> bool {
        self.left_in_keychain.contains(name) || self.kept(name) == Some(Kept::Keychain)
    }

    /// Returns one of `names` whose storing did not end.
    pub(super) fn unfinished<'a>(&'a self, names: &'a BTreeSet<SecretName>) -> Option<&'a SecretName> {
        self.unfinished.intersection(names).next()
    }

    /// Lists `name` no more: its value is about to change.
    pub(super) fn begin(&mut self, name: &SecretName, tries_keychain: bool) {
        if tries_keychain || self.may_be_in_keychain(name) {
            self.left_in_keychain.insert(name.clone());
        }
        self.secrets.retain(|secret| secret.spec.name() != name);
        self.unfinished.insert(name.clone());
    }

    /// Lists a secret whose value is where `kept` says.
    pub(super) fn finish(&mut self, spec: SecretSpec, kept: Kept, is_left_in_keychain: bool) {
        self.unfinished.remove(spec.name());
        if !is_left_in_keychain {
            self.left_in_keychain.remove(spec.name());
        }
        self.secrets.push(StoredSecret { spec, kept });
        self.secrets.sort_by(|left, right| left.spec.name().cmp(right.spec.name()));
    }

    /// Forgets `name`, and what the keychain may hold of it if that `is_out_of_keychain`; tells whether there was anything.
    pub(super) fn forget(&mut self, name: &SecretName, is_out_of_keychain: bool) -> bool {
        let was_listed = self.kept(name).is_some();
        self.secrets.retain(|secret| secret.spec.name() != name);
        let was_unfinished = self.unfinished.remove(name);
        let was_left = self.left_in_keychain.contains(name);
        if is_out_of_keychain {
            self.left_in_keychain.remove(name);
        }
        was_listed || was_unfinished || was_left
    }
}
