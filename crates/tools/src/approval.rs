//! Approvals: what a person let an extension ask for. They lie beside the extensions, outside every mount.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use protocol::ContentHash;
use serde::{Deserialize, Serialize};

/// Raised when the file says something else.
const FORMAT: u32 = 1;

/// Bytes of an approval: its lines are the capabilities of one tool.
const MAX_BYTES: u64 = 64 << 10;

/// What a person approved, and of what: a file of its own for each extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approval {
    format: u32,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) component: ContentHash,
    pub(crate) manifest: ContentHash,
    pub(crate) asks: BTreeSet<String>,
}

/// An approval that cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    #[error("the approval {path} cannot be used: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the approval {path} cannot be understood: {reason}; remove it, and you are asked again", path = path.display())]
    Invalid { path: PathBuf, reason: String },
    #[error("the approval {path} could have been written by others; remove it, and you are asked again", path = path.display())]
    NotPrivate { path: PathBuf },
}

/// The folder of approvals.
#[derive(Debug)]
pub(crate) struct Approvals(PathBuf);

impl Approval {
    pub(crate) fn new(
        name: &str,
        version: &str,
        component: &ContentHash,
        manifest: &ContentHash,
        asks: BTreeSet<String>,
    ) -> Self {
        let (name, version) = (name.to_owned(), version.to_owned());
        Self { format: FORMAT, name, version, component: component.clone(), manifest: manifest.clone(), asks }
    }
}

impl Approvals {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Returns where the approval of `name` lies. `name` is a tool's.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.toml"))
    }

    /// Returns the approval of `name`, `None` when there is none.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Approval>, ApprovalError> {
        let path = self.path(name);
        let metadata = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(|source| ApprovalError::Io { path: path.clone(), source })?,
        };
        if !metadata.is_file() || metadata.mode() & 0o022 != 0 || metadata.len() > MAX_BYTES {
            return Err(ApprovalError::NotPrivate { path });
        }
        let text = fs::read_to_string(&path).map_err(|source| ApprovalError::Io { path: path.clone(), source })?;
        understood(&text, name, path).map(Some)
    }

    /// Keeps `approval` in place of the one before, at once and only for this user.
    pub(crate) fn write(&self, approval: &Approval) -> Result<(), ApprovalError> {
        let path = self.path(&approval.name);
        let text = toml::to_string(approval).expect("an approval is plain data");
        replace(&self.0, &path, text.as_bytes()).map_err(|source| ApprovalError::Io { path, source })
    }

    /// Forgets the approval of `name`, if there is one.
    pub(crate) fn remove(&self, name: &str) -> Result<(), ApprovalError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ApprovalError::Io { path, source: error }),
            _ => Ok(()),
        }
    }
}

/// Writes a new file (0600) and renames it over the old one.
fn replace(folder: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn understood(text: &str, name: &str, path: PathBuf) -> Result<Approval, ApprovalError> {
    let reason = match toml::from_str::<Approval>(text) {
        Err(error) => error.message().to_owned(),
        Ok(approval) if approval.format != FORMAT => {
            format!("it has format {}, this runtime knows {FORMAT}", approval.format)
        }
        Ok(approval) if approval.name != name => format!("it is of `{}`", approval.name),
        Ok(approval) => return Ok(approval),
    };
    Err(ApprovalError::Invalid { path, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn approvals() -> (tempfile::TempDir, Approvals) {
        let folder = tempfile::tempdir().unwrap();
        let approvals = Approvals::new(folder.path().join("approvals"));
        (folder, approvals)
    }

    fn approval(name: &str) -> Approval {
        let hash = ContentHash::of(b"x");
        Approval::new(name, "1", &hash, &hash, BTreeSet::from(["read files".into()]))
    }

    #[test]
    fn what_was_kept_is_read_back_and_private() {
        let (_folder, approvals) = approvals();
        assert_eq!(approvals.read("a").unwrap(), None);
        approvals.write(&approval("a")).unwrap();
        assert_eq!(approvals.read("a").unwrap(), Some(approval("a")));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&approvals.0), mode(&approvals.path("a"))), (0o700, 0o600));
        approvals.remove("a").unwrap();
        approvals.remove("a").unwrap();
        assert_eq!(approvals.read("a").unwrap(), None);
    }

    #[test]
    fn what_is_not_exactly_an_approval_is_refused() {
        let (_folder, approvals) = approvals();
        approvals.write(&approval("a")).unwrap();
        let (path, text) = (approvals.path("a"), fs::read_to_string(approvals.path("a")).unwrap());
        for (changed, message) in [
            (format!("more = 1\n{text}"), "unknown field `more`"),
            (text.replace("format = 1", "format = 2"), "it has format 2"),
            (text.replace("name = \"a\"", "name = \"b\""), "it is of `b`"),
            (String::new(), "missing field"),
        ] {
            fs::write(&path, changed).unwrap();
            let error = approvals.read("a").unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn an_approval_that_others_could_write_is_refused() {
        let (folder, approvals) = approvals();
        approvals.write(&approval("a")).unwrap();
        fs::set_permissions(approvals.path("a"), fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(approvals.read("a"), Err(ApprovalError::NotPrivate { .. })));
        let elsewhere = folder.path().join("elsewhere");
        fs::rename(approvals.path("a"), &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, approvals.path("a")).unwrap();
        assert!(matches!(approvals.read("a"), Err(ApprovalError::NotPrivate { .. })));
    }
}
