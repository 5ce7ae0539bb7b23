//! Loading a tool: its imports, its definitions, and its code from the cache or the compiler.

use std::borrow::Cow;
use std::sync::Arc;

use policy::Limits;
use protocol::{ContentHash, ToolDefinition};
use tokio::sync::OnceCell;
use wasmtime::component::{Component, InstancePre};

use crate::artifacts::{Key, Kind};
use crate::bindings::tool::{ToolGuestPre, exports::boxagnts::tool::tool::Definition};
use crate::compile::Excess;
use crate::declared::Declared;
use crate::host::{self, Host};
use crate::wasm::Wasm;
use crate::{Ending, Sandbox, Shared, run};

/// Largest component that is accepted: compiling takes time and memory in proportion, and no real tool is near it.
pub const MAX_WASM_BYTES: usize = 64 << 20;

/// Tools in one component; each is shown to the model.
pub(crate) const MAX_DEFINITIONS: usize = 64;

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
    #[error("loading was interrupted")]
    Interrupted,
}

/// A tool that can run. Clones share it.
#[derive(Clone)]
pub struct LoadedTool(Arc<Tool>);

struct Tool {
    sandbox: Arc<Shared>,
    wasm: Wasm,
    imports: Vec<String>,
    definitions: OnceCell<Vec<ToolDefinition>>,
    code: OnceCell<ToolGuestPre<Host>>,
}

impl Sandbox {
    /// Returns the tool of the component `wasm`.
    ///
    /// Of a component that declares its tools only the declaration is read: its code is compiled, which takes seconds,
    /// or loaded from the cache by its first call. Any other is asked once ever what it offers; until it has been, this
    /// compiles it, and blocks.
    pub fn load(&self, wasm: impl Into<Cow<'static, [u8]>>) -> Result<LoadedTool, LoadError> {
        let wasm = Wasm::new(sized(wasm.into())?);
        let declared = declared(wasm.bytes())?;
        let (mut definitions, mut code) = (OnceCell::new(), OnceCell::new());
        if !declared.definitions.is_empty() {
            definitions = OnceCell::from(checked(declared.definitions)?);
        } else if let Some(answered) = self.0.answered(&wasm) {
            definitions = OnceCell::from(answered);
        } else {
            code = OnceCell::from(self.0.code(&wasm)?);
        }
        let tool = Tool { sandbox: self.0.clone(), wasm, imports: declared.imports, definitions, code };
        Ok(LoadedTool(Arc::new(tool)))
    }
}

/// Returns `wasm` unless it is too large to be compiled.
pub(crate) fn sized(wasm: Cow<'static, [u8]>) -> Result<Cow<'static, [u8]>, LoadError> {
    if wasm.len() > MAX_WASM_BYTES { Err(LoadError::TooLarge { found: wasm.len() }) } else { Ok(wasm) }
}

/// Returns what `wasm` says of itself, unless it imports what no tool may.
pub(crate) fn declared(wasm: &[u8]) -> Result<Declared, LoadError> {
    let declared = Declared::read(wasm)?;
    let refused = host::refused(&declared.imports);
    if refused.is_empty() { Ok(declared) } else { Err(LoadError::Imports(refused)) }
}

impl LoadedTool {
    /// Returns the hash of the component's bytes.
    pub fn content(&self) -> &ContentHash {
        self.0.wasm.content()
    }

    /// Returns the interfaces that the component imports, with their versions: `wasi:io/streams@0.2.6`.
    pub fn imports(&self) -> &[String] {
        &self.0.imports
    }

    /// Returns the tools that the component offers. One that does not declare them is run to say so, once ever: without
    /// mounts, under small limits.
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
        let load = move || tool.sandbox.code(&tool.wasm);
        tokio::task::spawn_blocking(load).await.unwrap_or(Err(LoadError::Interrupted))
    }

    async fn ask(&self) -> Result<Vec<ToolDefinition>, LoadError> {
        let code = self.code().await?;
        let definitions = run::definitions(&self.0.sandbox, code, definition_limits()).await;
        let definitions = checked(definitions.map_err(LoadError::Definitions)?)?;
        self.0.sandbox.remember(&self.0.wasm, &definitions);
        Ok(definitions)
    }
}

impl Shared {
    /// Returns what the component `wasm` answered when it was asked.
    fn answered(&self, wasm: &Wasm) -> Option<Vec<ToolDefinition>> {
        let bytes = self.artifacts.read(&Key::new(&self.engine, wasm.content()), Kind::Definitions)?;
        serde_json::from_slice(&bytes).ok()
    }

    fn remember(&self, wasm: &Wasm, definitions: &[ToolDefinition]) {
        let bytes = serde_json::to_vec(definitions).expect("definitions are plain data");
        // Without the cache the component is asked again next time.
        let _ = self.artifacts.write(&Key::new(&self.engine, wasm.content()), Kind::Definitions, &bytes);
    }

    fn code(&self, wasm: &Wasm) -> Result<ToolGuestPre<Host>, LoadError> {
        ToolGuestPre::new(self.linked(wasm)?).map_err(LoadError::World)
    }

    /// Returns the code of `wasm` with its imports answered.
    pub(crate) fn linked(&self, wasm: &Wasm) -> Result<InstancePre<Host>, LoadError> {
        let component = self.component(&Key::new(&self.engine, wasm.content()), wasm.bytes())?;
        self.linker.instantiate_pre(&component).map_err(LoadError::World)
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
        let shown: String = name.chars().take(MAX_NAME_BYTES).collect();
        return Err(LoadError::InvalidDefinition(format!("the name {shown:?}")));
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
