//! Loading a tool: its code from the cache or the compiler, its imports, its definitions.

use std::borrow::Cow;
use std::sync::Arc;

use policy::Limits;
use protocol::ToolDefinition;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use wasmtime::component::{Component, InstancePre};

use crate::artifacts::{Key, Kind};
use crate::bindings::tool::{ToolGuestPre, exports::boxagnts::tool::tool::Definition};
use crate::compile::Excess;
use crate::host::{self, Host};
use crate::{Ending, Sandbox, Shared, run};

/// Largest component that is accepted: compiling takes time and memory in proportion, and no real tool is near it.
pub const MAX_WASM_BYTES: usize = 64 << 20;

/// Tools in one component; each is shown to the model.
const MAX_DEFINITIONS: usize = 64;

/// Bytes of a tool's name, as the WIT says.
const MAX_NAME_BYTES: usize = 64;

/// What a component may use to say what it offers.
fn definition_limits() -> Limits {
    let default = Limits::default();
    let small = Limits {
        fuel: 100_000_000,
        timeout_ms: 5_000,
        memory_bytes: 64 << 20,
        output_bytes: 1 << 20,
        open_files: 0,
        staged_bytes: 0,
        staged_entries: 0,
        requests: 0,
        connections: 0,
        received_bytes: 0,
        ..default
    };
    default.meet(&small)
}

/// Why a component is not a tool that can run here.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the component has {found} bytes; the limit is {MAX_WASM_BYTES}")]
    TooLarge { found: usize },
    #[error("the component does not compile: {0:#}")]
    Invalid(wasmtime::Error),
    #[error("the component is too much for the compiler: {0}")]
    Excess(Excess),
    #[error("the component takes too long to compile")]
    TooSlow,
    #[error("too many components are being compiled")]
    CompilerBusy,
    #[error("the component imports what no tool may import: {}", .0.join(", "))]
    Imports(Vec<String>),
    #[error("the component does not fit this runtime's world: {0:#}")]
    World(wasmtime::Error),
    #[error("the component could not say what it offers: {0:?}")]
    Definitions(Ending),
    #[error("the component offers tools that cannot be registered: {0}")]
    InvalidDefinition(String),
    #[error("no thread to compile on: {0}")]
    Thread(std::io::Error),
    #[error("loading was interrupted")]
    Interrupted,
}

/// A tool that can run. Clones share it.
#[derive(Clone)]
pub struct LoadedTool(Arc<Tool>);

struct Tool {
    sandbox: Arc<Shared>,
    key: Key,
    /// Kept so that the code can be made again when the cached artifact is gone.
    wasm: Cow<'static, [u8]>,
    imports: Vec<String>,
    definitions: OnceCell<Vec<ToolDefinition>>,
    code: OnceCell<ToolGuestPre<Host>>,
}

/// What is cached about a tool, so that a process which does not run it need not load its code.
#[derive(Serialize, Deserialize)]
struct Facts {
    imports: Vec<String>,
    definitions: Vec<ToolDefinition>,
}

impl Sandbox {
    /// Returns the tool of the component `wasm`.
    ///
    /// Blocks: a component seen for the first time is compiled, which takes seconds. Of a known one only the facts are
    /// read; its code is loaded by its first call.
    pub fn load(&self, wasm: impl Into<Cow<'static, [u8]>>) -> Result<LoadedTool, LoadError> {
        let wasm = sized(wasm.into())?;
        let key = Key::new(&self.0.engine, &wasm);
        let (imports, definitions, code) = if let Some(facts) = self.0.facts(&key) {
            (facts.imports, OnceCell::from(facts.definitions), OnceCell::new())
        } else {
            let (code, imports) = self.0.code(&key, &wasm)?;
            (imports, OnceCell::new(), OnceCell::from(code))
        };
        let tool = Tool { sandbox: self.0.clone(), key, wasm, imports, definitions, code };
        Ok(LoadedTool(Arc::new(tool)))
    }
}

/// Returns `wasm` unless it is too large to be compiled.
pub(crate) fn sized(wasm: Cow<'static, [u8]>) -> Result<Cow<'static, [u8]>, LoadError> {
    if wasm.len() > MAX_WASM_BYTES { Err(LoadError::TooLarge { found: wasm.len() }) } else { Ok(wasm) }
}

impl LoadedTool {
    /// Returns the interfaces that the component imports, with their versions: `wasi:io/streams@0.2.6`.
    pub fn imports(&self) -> &[String] {
        &self.0.imports
    }

    /// Returns the tools that the component offers. The first time ever, the component is run to say so: without mounts,
    /// under small limits.
    pub async fn definitions(&self) -> Result<&[ToolDefinition], LoadError> {
        self.0.definitions.get_or_try_init(|| self.ask()).await.map(Vec::as_slice)
    }

    /// Loads the code now, so that the first call need not.
    pub async fn prepare(&self) -> Result<(), LoadError> {
        self.code().await.map(|_| ())
    }

    pub(crate) async fn code(&self) -> Result<&ToolGuestPre<Host>, LoadError> {
        self.0.code.get_or_try_init(|| self.load_code()).await
    }

    /// Loads the code on a thread that may block.
    async fn load_code(&self) -> Result<ToolGuestPre<Host>, LoadError> {
        let tool = self.0.clone();
        let load = move || tool.sandbox.code(&tool.key, &tool.wasm).map(|(code, _)| code);
        tokio::task::spawn_blocking(load).await.unwrap_or(Err(LoadError::Interrupted))
    }

    async fn ask(&self) -> Result<Vec<ToolDefinition>, LoadError> {
        let code = self.code().await?;
        let definitions = run::definitions(&self.0.sandbox, code, definition_limits()).await;
        let definitions = checked(definitions.map_err(LoadError::Definitions)?)?;
        self.0
            .sandbox
            .remember(&self.0.key, &Facts { imports: self.0.imports.clone(), definitions: definitions.clone() });
        Ok(definitions)
    }
}

impl Shared {
    fn facts(&self, key: &Key) -> Option<Facts> {
        let facts: Facts = serde_json::from_slice(&self.artifacts.read(key, Kind::Facts)?).ok()?;
        host::refused(&facts.imports).is_empty().then_some(facts)
    }

    fn remember(&self, key: &Key, facts: &Facts) {
        let bytes = serde_json::to_vec(facts).expect("facts are plain data");
        // Without the cache the component is asked again next time.
        let _ = self.artifacts.write(key, Kind::Facts, &bytes);
    }

    /// Returns the code of the tool `wasm`, checked and linked, and its imports.
    fn code(&self, key: &Key, wasm: &[u8]) -> Result<(ToolGuestPre<Host>, Vec<String>), LoadError> {
        let (linked, imports) = self.linked(key, wasm)?;
        Ok((ToolGuestPre::new(linked).map_err(LoadError::World)?, imports))
    }

    /// Returns the code of `wasm` with its imports checked and answered, and their names.
    pub(crate) fn linked(&self, key: &Key, wasm: &[u8]) -> Result<(InstancePre<Host>, Vec<String>), LoadError> {
        let component = self.component(key, wasm)?;
        let imports =
            component.component_type().imports(&self.engine).map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
        let refused = host::refused(&imports);
        if !refused.is_empty() {
            return Err(LoadError::Imports(refused));
        }
        Ok((self.linker.instantiate_pre(&component).map_err(LoadError::World)?, imports))
    }

    fn component(&self, key: &Key, wasm: &[u8]) -> Result<Component, LoadError> {
        let cached = self.artifacts.read(key, Kind::Code).and_then(|code| self.deserialize(&code));
        if let Some(component) = cached {
            return Ok(component);
        }
        let component = self.compiler.compile(wasm)?;
        // Without the cache the component is compiled again next time.
        let _ = component.serialize().map(|code| self.artifacts.write(key, Kind::Code, &code));
        Ok(component)
    }

    /// Returns the component of `code`, or nothing when another build of wasmtime wrote it.
    fn deserialize(&self, code: &[u8]) -> Option<Component> {
        #[expect(unsafe_code, reason = "the bytes are exactly those that this cache's MAC was checked over")]
        // SAFETY: `code` was written by `component` above: the MAC under a key that only this user can read says so.
        unsafe { Component::deserialize(&self.engine, code) }.ok()
    }
}

fn checked(definitions: Vec<Definition>) -> Result<Vec<ToolDefinition>, LoadError> {
    if definitions.is_empty() || definitions.len() > MAX_DEFINITIONS {
        let found = definitions.len();
        return Err(LoadError::InvalidDefinition(format!("{found} tools; one to {MAX_DEFINITIONS} are expected")));
    }
    definitions.into_iter().map(definition).collect()
}

fn definition(definition: Definition) -> Result<ToolDefinition, LoadError> {
    let Definition { name, description, input_schema } = definition;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(allowed) {
        return Err(LoadError::InvalidDefinition(format!("the name {name:?}")));
    }
    let invalid = |error| LoadError::InvalidDefinition(format!("the schema of `{name}`: {error}"));
    let input_schema = protocol::parse(&input_schema).map_err(invalid)?;
    Ok(ToolDefinition { name, description, input_schema })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(name: &str, schema: &str) -> Definition {
        Definition { name: name.into(), description: "d".into(), input_schema: schema.into() }
    }

    #[test]
    fn a_definition_is_checked_before_anyone_sees_it() {
        let good = ToolDefinition { name: "a-1_".into(), description: "d".into(), input_schema: serde_json::json!({}) };
        assert_eq!(checked(vec![offered("a-1_", "{}")]).unwrap(), [good]);
        for name in ["", "Read", "a b", "../a", "é", &"a".repeat(MAX_NAME_BYTES + 1)] {
            assert!(checked(vec![offered(name, "{}")]).is_err(), "{name}");
        }
        assert!(checked(vec![offered("a", "{\"a\":1,\"a\":2}")]).is_err());
        assert!(checked(Vec::new()).is_err());
        assert!(checked(vec![offered("a", "{}"); MAX_DEFINITIONS + 1]).is_err());
    }
}
