//! The registry: which tools there are. A tool is loaded when it is first named.

use std::borrow::Cow;
use std::collections::BTreeMap;

use policy::{Capability, Grant, InvalidLimits, Limits};
use protocol::ToolDefinition;
use sandbox::{LoadError, LoadedTool, Sandbox};
use tokio::sync::OnceCell;

use crate::manifest::{FileAccess, InvalidManifest, Manifest};
use crate::schema::{InvalidSchema, Schema};

/// A component with its manifest, as it was built or installed.
#[derive(Debug, Clone)]
pub struct Package {
    /// `tool.toml`.
    pub manifest: Cow<'static, str>,
    /// A WASI 0.2 component that exports `boxagnts:tool/tool`.
    pub component: Cow<'static, [u8]>,
}

/// Why a tool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error(transparent)]
    Manifest(#[from] InvalidManifest),
    #[error("two tools are called `{0}`")]
    Twice(String),
    #[error("tool `{tool}`: {source}")]
    Limits { tool: String, source: InvalidLimits },
    #[error("tool `{tool}`: {source}")]
    Schema { tool: String, source: InvalidSchema },
    #[error("tool `{tool}` cannot be loaded: {source}")]
    Load { tool: String, source: LoadError },
    #[error("tool `{tool}` imports `{import}`, which its manifest does not request")]
    Import { tool: String, import: String },
    #[error("the component of tool `{0}` does not define a tool of that name")]
    Undefined(String),
}

/// A tool ready to be called.
pub struct Tool {
    pub manifest: Manifest,
    pub definition: ToolDefinition,
    /// The manifest's limits; never wider than the session's they are met with.
    pub(crate) limits: Limits,
    pub(crate) schema: Schema,
    pub(crate) component: LoadedTool,
}

struct Entry {
    manifest: Manifest,
    component: Cow<'static, [u8]>,
    tool: OnceCell<Tool>,
}

/// Every registered tool by its name.
pub struct Registry {
    sandbox: Sandbox,
    entries: BTreeMap<String, Entry>,
}

impl Registry {
    /// Registers `packages`. Nothing is compiled or run yet.
    pub fn new(sandbox: Sandbox, packages: Vec<Package>) -> Result<Self, RegistryError> {
        let mut entries = BTreeMap::new();
        for package in packages {
            let manifest = Manifest::parse(&package.manifest)?;
            let name = manifest.name.clone();
            let entry = Entry { manifest, component: package.component, tool: OnceCell::new() };
            if entries.insert(name.clone(), entry).is_some() {
                return Err(RegistryError::Twice(name));
            }
        }
        Ok(Self { sandbox, entries })
    }

    /// Returns the names of the tools, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Returns the manifest of the tool called `name`.
    pub fn manifest(&self, name: &str) -> Option<&Manifest> {
        self.entries.get(name).map(|entry| &entry.manifest)
    }

    /// Returns the tool called `name`, loaded; `None` when there is none.
    pub async fn tool(&self, name: &str) -> Result<Option<&Tool>, RegistryError> {
        match self.entries.get(name) {
            Some(entry) => entry.tool.get_or_try_init(|| self.load(entry)).await.map(Some),
            None => Ok(None),
        }
    }

    /// Returns the definitions of the tools that `grant` reaches.
    pub async fn definitions(&self, grant: &Grant) -> Result<Vec<ToolDefinition>, RegistryError> {
        let reached = |name: &&String| grant.allows(&Capability::Tool { name: (*name).clone() });
        let mut definitions = Vec::new();
        for (_, entry) in self.entries.iter().filter(|(name, _)| reached(name)) {
            definitions.push(entry.tool.get_or_try_init(|| self.load(entry)).await?.definition.clone());
        }
        Ok(definitions)
    }

    async fn load(&self, entry: &Entry) -> Result<Tool, RegistryError> {
        let manifest = entry.manifest.clone();
        let tool = || manifest.name.clone();
        let component = self.read(entry).await.map_err(|source| RegistryError::Load { tool: tool(), source })?;
        check_imports(&manifest, component.imports())?;
        let definition = definition(&manifest, &component).await?;
        let schema = Schema::compile(&definition.input_schema)
            .map_err(|source| RegistryError::Schema { tool: tool(), source })?;
        // Met with the session's limits at every call: a manifest can narrow them, never widen.
        let limits = manifest.limits.resolve(&Limits::MAX);
        let limits = limits.map_err(|source| RegistryError::Limits { tool: tool(), source })?;
        Ok(Tool { manifest, definition, limits, schema, component })
    }

    /// Reads the component on a thread that may block: one that is seen for the first time is compiled.
    async fn read(&self, entry: &Entry) -> Result<LoadedTool, LoadError> {
        let (sandbox, component) = (self.sandbox.clone(), entry.component.clone());
        tokio::task::spawn_blocking(move || sandbox.load(component)).await.unwrap_or(Err(LoadError::Interrupted))
    }
}

/// Refuses a component that imports more than its manifest requests. What every component may import is harmless by
/// itself: clocks, randomness, its own captured output, an empty environment.
fn check_imports(manifest: &Manifest, imports: &[String]) -> Result<(), RegistryError> {
    const FREE: [&str; 4] = ["wasi:io/", "wasi:clocks/", "wasi:random/", "wasi:cli/"];
    let requested = |import: &str| {
        FREE.iter().any(|prefix| import.starts_with(prefix))
            || (import.starts_with("wasi:filesystem/") && manifest.capabilities.files != FileAccess::None)
    };
    match imports.iter().find(|import| !requested(import)) {
        None => Ok(()),
        Some(import) => Err(RegistryError::Import { tool: manifest.name.clone(), import: import.clone() }),
    }
}

async fn definition(manifest: &Manifest, component: &LoadedTool) -> Result<ToolDefinition, RegistryError> {
    let load = |source| RegistryError::Load { tool: manifest.name.clone(), source };
    let definitions = component.definitions().await.map_err(load)?;
    let found = definitions.iter().find(|definition| definition.name == manifest.name);
    found.cloned().ok_or_else(|| RegistryError::Undefined(manifest.name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "name = \"x\"\nversion = \"1\"\nlevel = \"none\"\n[capabilities]\nfiles = \"FILES\"\n";

    fn check(files: &str, import: &str) -> Result<(), String> {
        let manifest = Manifest::parse(&MANIFEST.replace("FILES", files)).unwrap();
        check_imports(&manifest, &[import.to_owned()]).map_err(|error| error.to_string())
    }

    #[test]
    fn a_component_imports_only_what_its_manifest_requests() {
        assert_eq!(check("none", "wasi:clocks/monotonic-clock@0.2.6"), Ok(()));
        assert_eq!(check("read", "wasi:filesystem/types@0.2.6"), Ok(()));
        for (files, import) in [
            ("none", "wasi:filesystem/types@0.2.6"),
            ("read", "wasi:sockets/tcp@0.2.6"),
            ("read", "wasi:http/outgoing-handler@0.2.6"),
            ("read", "evil:io/streams"),
        ] {
            let message = format!("tool `x` imports `{import}`, which its manifest does not request");
            assert_eq!(check(files, import), Err(message));
        }
    }
}
