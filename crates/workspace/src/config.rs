//! `boxagnts.toml`.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use policy::{Access, Limits, RuleSpec};
use serde::de::DeserializeOwned;

/// A directory that tools see beside the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapDir {
    /// Absolute.
    pub host: PathBuf,
    /// `/NAME`.
    pub guest: String,
    pub access: Access,
}

/// What the person configured, resolved. `P` is what `[providers.NAME]` holds; it should deny unknown fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Config<P> {
    /// `provider/name`; `None` when neither the file nor anything else says.
    pub model: Option<String>,
    pub max_turns: u32,
    /// What tools see as `/work`; absolute.
    pub work_dir: PathBuf,
    pub map_dirs: Vec<MapDir>,
    pub limits: Limits,
    /// Checked: [`policy::Judge::new`] takes them.
    pub rules: Vec<RuleSpec>,
    pub providers: BTreeMap<String, P>,
}

/// A configuration that is not used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `message` names the key; `hint` is a key that may have been meant.
    #[error("{path}:{line}: {message}")]
    Invalid { path: PathBuf, line: usize, message: String, hint: Option<String> },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
}

impl<P: DeserializeOwned> Config<P> {
    /// Reads `boxagnts.toml` of the workspace at `root`; without that file the defaults hold.
    pub fn load(_root: &Path) -> Result<Self, ConfigError> { todo!() }
    /// Reads the configuration at `path`, which must exist; relative directories are relative to it.
    pub fn load_from(_path: &Path) -> Result<Self, ConfigError> { todo!() }
    /// Reads `text` as if it stood at `path`.
    pub fn parse(_path: &Path, _text: &str) -> Result<Self, ConfigError> { todo!() }
}
