//! The copy-on-write view as a whole.
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use protocol::{ChangeSet, Conflict, ContentHash, Observation};

use crate::base::Base;
use crate::dir::Dir;
use crate::error::Result;
use crate::file::Contents;
use crate::quota::{Quota, Usage};

/// Tells the time of staged changes.
pub type Clock = fn() -> SystemTime;

/// A host directory in which large staged contents are kept as unlinked files. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Scratch;

impl Scratch {
    /// Returns a scratch in the existing directory `path`. Nothing is opened before something spills.
    pub fn new(_path: impl Into<PathBuf> + AsRef<Path>) -> Self { todo!() }
}

/// What a stage is told when it is made.
#[derive(Debug, Clone)]
pub struct StageOptions {
    /// The guest's name of the mount, `/work` for the workspace; goes into change sets and observations.
    pub mount: String,
    /// Whether anything may change; otherwise every mutation is [`StageError::ReadOnly`](crate::StageError::ReadOnly).
    pub writable: bool,
    pub quota: Quota,
    pub scratch: Scratch,
    pub clock: Clock,
}

/// A copy-on-write view of a [`Base`]. `Send`, `Sync`; its handles keep it alive.
#[derive(Debug)]
pub struct Stage;

impl Stage {
    /// Returns an empty stage over `base`. Costs no system call.
    pub fn new(_base: Base, _options: StageOptions) -> Self { todo!() }
    pub fn mount(&self) -> &str { todo!() }
    pub fn is_writable(&self) -> bool { todo!() }
    /// Returns a handle to the mount's root.
    pub fn root(&self) -> Dir { todo!() }
    /// Returns what the stage holds now.
    pub fn usage(&self) -> Usage { todo!() }
    /// Tells what earlier calls saw; of several observations of a path the last counts.
    pub fn expect(&self, _observations: &[Observation]) { todo!() }
    /// Returns the base files that were opened, with the stamp each had when it was first opened, sorted by path.
    pub fn observed(&self) -> Vec<Observation> { todo!() }
    /// Returns the difference to the base.
    pub fn changes(&self) -> Result<ChangeSet> { todo!() }
    /// Returns where the base no longer is what `changes` assumes.
    pub fn conflicts(&self, _changes: &ChangeSet) -> Result<Vec<Conflict>> { todo!() }
    /// Returns an after-content of the last [`Self::changes`].
    pub fn content(&self, _hash: &ContentHash) -> Result<Contents> { todo!() }
}
