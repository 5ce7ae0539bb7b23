//! The registry: which tools there are. A tool is loaded when it is first named; extensions come and go between calls.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policy::{Capability, Grant, InvalidLimits};
use protocol::{Level, ToolDefinition};
use sandbox::{LoadError, Sandbox};

use crate::approver::Approver;
use crate::command::InvalidCommand;
use crate::entry::{Entry, Tool};
use crate::extended::Extended;
use crate::extensions::{Extensions, Found};
use crate::manifest::{InvalidManifest, Manifest};
use crate::schema::InvalidSchema;
use crate::source::{Difference, ExtensionError, Source};

/// A component with its manifest, as it was built.
#[derive(Debug, Clone)]
pub struct Package {
    /// `tool.toml`.
    pub manifest: Cow<'static, str>,
    /// A WASI 0.2 component that exports `boxagnts:tool/tool`, or `wasi:cli/run` where the manifest has a `[command]`.
    pub component: Cow<'static, [u8]>,
}

/// Why a tool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error(transparent)]
    Manifest(#[from] InvalidManifest),
    #[error("two tools are called `{0}`")]
    Twice(String),
    #[error("tool `{tool}`: [command]: {source}")]
    Command { tool: String, source: InvalidCommand },
    #[error("tool `{tool}`: {source}")]
    Limits { tool: String, source: InvalidLimits },
    #[error("tool `{tool}`: {source}")]
    Schema { tool: String, source: InvalidSchema },
    #[error("tool `{tool}` cannot be loaded: {source}")]
    Load { tool: String, source: LoadError },
    #[error("tool `{tool}` imports `{import}`, which its manifest does not request: {hint}")]
    Import { tool: String, import: String, hint: &'static str },
    #[error("the component of tool `{0}` does not define a tool of that name")]
    Undefined(String),
    /// The same failure again: what cannot be loaded is not tried twice.
    #[error(transparent)]
    Known(Arc<RegistryError>),
    #[error(transparent)]
    Extension(#[from] ExtensionError),
    #[error("there is no extension `{0}`")]
    NoSuchExtension(String),
    #[error("there is no folder for extensions")]
    NoExtensions,
}

/// Every registered tool by its name.
pub struct Registry {
    sandbox: Sandbox,
    builtin: BTreeMap<String, Entry>,
    extended: Option<Extended>,
}

/// One extension as a person reads of it.
pub struct Listed {
    pub name: String,
    pub state: ExtensionState,
}

/// Whether an extension can be used.
pub enum ExtensionState {
    Ready {
        tool: Arc<Tool>,
        /// Whether its bytes or its manifest are not those that were approved, though it asks for no more.
        is_changed: bool,
    },
    /// It asks for more than was approved, and is offered to nobody.
    Waiting(Difference),
    /// It is offered to nobody; the text says why.
    Broken(String),
}

/// An extension that was checked, and is neither installed nor approved by that.
pub struct Candidate {
    source: Source,
    pub tool: Tool,
    pub difference: Difference,
    /// The version of something else that has its name.
    pub replaces: Option<String>,
}

impl Registry {
    /// Registers `packages`. Nothing is compiled or run yet.
    pub fn new(sandbox: Sandbox, packages: Vec<Package>) -> Result<Self, RegistryError> {
        let mut builtin = BTreeMap::new();
        for package in packages {
            let manifest = Manifest::parse(&package.manifest)?;
            let name = manifest.name.clone();
            let entry = Entry::new(manifest, package.component, None)
                .map_err(|source| RegistryError::Command { tool: name.clone(), source })?;
            if builtin.insert(name.clone(), entry).is_some() {
                return Err(RegistryError::Twice(name));
            }
        }
        Ok(Self { sandbox, builtin, extended: None })
    }

    /// Adds `extensions`; `approver` is asked about each that wants more than was approved.
    #[must_use]
    pub fn extended(mut self, mut extensions: Extensions, approver: Arc<dyn Approver>) -> Self {
        extensions.reserve(self.builtin.keys().cloned());
        self.extended = Some(Extended::new(extensions, approver));
        self
    }

    /// Returns the names of the tools that can be called, as they were when the registry last looked, sorted.
    pub fn names(&self) -> Vec<String> {
        let extensions = self.extended.iter().flat_map(|extended| extended.levels().into_keys());
        let names: BTreeSet<_> = self.builtin.keys().cloned().chain(extensions).collect();
        names.into_iter().collect()
    }

    /// Returns the level of the tool called `name`, as it was when the registry last looked.
    pub fn level(&self, name: &str) -> Option<Level> {
        let builtin = self.builtin.get(name).map(|entry| entry.manifest.level);
        builtin.or_else(|| self.extended.as_ref()?.levels().get(name).copied())
    }

    /// Returns the tool called `name`, loaded; `None` when there is none that can be used. An error means that a tool that
    /// ships with the runtime cannot be loaded.
    pub async fn tool(&self, name: &str) -> Result<Option<Arc<Tool>>, RegistryError> {
        if let Some(entry) = self.builtin.get(name) {
            return entry.tool(&self.sandbox).await.map(Some).map_err(RegistryError::Known);
        }
        let Some(extended) = &self.extended else { return Ok(None) };
        match extended.look().await.remove(name) {
            Some(found) => Ok(self.usable(extended, found).await),
            None => Ok(None),
        }
    }

    /// Returns the definitions of the tools that `grant` reaches, with the extensions that are there now.
    pub async fn definitions(&self, grant: &Grant) -> Result<Vec<ToolDefinition>, RegistryError> {
        let reached = |name: &String| grant.allows(&Capability::Tool { name: name.clone() });
        let mut definitions = Vec::new();
        for (_, entry) in self.builtin.iter().filter(|(name, _)| reached(name)) {
            let tool = entry.tool(&self.sandbox).await.map_err(RegistryError::Known)?;
            definitions.push(tool.definition.clone());
        }
        let Some(extended) = &self.extended else { return Ok(definitions) };
        for (_, found) in extended.look().await.into_iter().filter(|(name, _)| reached(name)) {
            definitions.extend(self.usable(extended, found).await.map(|tool| tool.definition.clone()));
        }
        Ok(definitions)
    }

    /// Returns the tool that was `found`, when it is whole, approved and can be loaded.
    async fn usable(&self, extended: &Extended, found: Found) -> Option<Arc<Tool>> {
        extended.approved(found).await?.entry.tool(&self.sandbox).await.ok()
    }

    /// Returns every extension with its state. Nobody is asked.
    pub async fn extensions(&self) -> Vec<Listed> {
        let Some(extended) = &self.extended else { return Vec::new() };
        let mut listed = Vec::new();
        for (name, found) in extended.look().await {
            listed.push(Listed { name, state: self.state(found).await });
        }
        listed
    }

    async fn state(&self, found: Found) -> ExtensionState {
        match found {
            Found::Broken(error) => ExtensionState::Broken(error.to_string()),
            Found::Whole(whole) if whole.difference.is_more() => ExtensionState::Waiting(whole.difference.clone()),
            Found::Whole(whole) => match self.ready(&whole.entry).await {
                Ok(tool) => ExtensionState::Ready { tool, is_changed: whole.is_changed },
                Err(error) => ExtensionState::Broken(error.to_string()),
            },
        }
    }

    /// Returns the tool of `entry` when it can be run, or why it cannot.
    async fn ready(&self, entry: &Entry) -> Result<Arc<Tool>, Arc<RegistryError>> {
        let tool = entry.tool(&self.sandbox).await?;
        tool.prepare().await?;
        Ok(tool)
    }

    fn watched(&self) -> Result<&Arc<Extensions>, RegistryError> {
        self.extended.as_ref().map(Extended::extensions).ok_or(RegistryError::NoExtensions)
    }

    /// Checks the extension at `path` as a call of it would, without installing it.
    pub async fn examine(&self, path: &Path) -> Result<Candidate, RegistryError> {
        let extensions = self.watched()?;
        let source = Source::read(path)?;
        let tool = extensions.entry(&source)?.load(&self.sandbox).await?;
        tool.prepare().await?;
        let difference = extensions.difference(&source)?;
        let replaces = match extensions.look().remove(&source.manifest.name) {
            Some(Found::Whole(whole)) if whole.source != source => Some(whole.source.manifest.version.clone()),
            _ => None,
        };
        Ok(Candidate { source, tool, difference, replaces })
    }

    /// Checks the installed extension `name`, whether it was approved or not.
    pub async fn examine_installed(&self, name: &str) -> Result<Candidate, RegistryError> {
        let extensions = self.watched()?;
        // A name that was found there is no path to elsewhere.
        let missing = || RegistryError::NoSuchExtension(name.to_owned());
        extensions.look().remove(name).ok_or_else(missing)?;
        self.examine(&extensions.folder().join(name)).await
    }

    /// Installs `candidate` and remembers that a person approved everything that it asks for.
    pub fn install(&self, candidate: &Candidate) -> Result<PathBuf, RegistryError> {
        // In this order an interruption leaves something that asks again, never an approval of what is not there.
        let path = self.watched()?.install(&candidate.source)?;
        self.approve(candidate)?;
        Ok(path)
    }

    /// Remembers that a person approved everything that `candidate` asks for.
    pub fn approve(&self, candidate: &Candidate) -> Result<(), RegistryError> {
        Ok(self.watched()?.approve(&candidate.source)?)
    }

    /// Removes the extension `name` with its approval.
    pub fn remove(&self, name: &str) -> Result<(), RegistryError> {
        let extensions = self.watched()?;
        let missing = || RegistryError::NoSuchExtension(name.to_owned());
        extensions.look().remove(name).ok_or_else(missing)?;
        Ok(extensions.remove(name)?)
    }
}
