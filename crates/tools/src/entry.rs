//! A tool of the registry: its manifest and component, and what becomes of them when it is first named.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use policy::{Limits, Permit, ToolRecord};
use protocol::{CallUsage, ContentHash, ToolDefinition};
use sandbox::{
    Call, Ending, Invocation, LoadError, LoadedCommand, LoadedTool, Mount, Outcome, Replay, Replayed, Sandbox,
};
use serde_json::Value;
use stage::Left;
use tokio::sync::OnceCell;

use crate::command::{Command, InvalidCommand};
use crate::imports;
use crate::manifest::Manifest;
use crate::registry::RegistryError;
use crate::schema::Schema;

/// A tool ready to be called.
pub struct Tool {
    pub manifest: Manifest,
    pub definition: ToolDefinition,
    /// The manifest's limits; never wider than the session's they are met with.
    pub(crate) limits: Limits,
    pub(crate) schema: Schema,
    body: Body,
    /// What decisions about it are made by, worked out by the first.
    record: OnceLock<(ContentHash, Value)>,
}

/// How a tool is carried out.
enum Body {
    /// A component of the tool world.
    Typed(LoadedTool),
    /// A component that is a program.
    Command(LoadedCommand, Command),
}

impl Tool {
    /// Returns what the journal keeps of this tool, with its digest.
    pub(crate) fn stated(&self) -> &(ContentHash, Value) {
        self.record.get_or_init(|| {
            let component = self.component();
            let Manifest { name, version, level, .. } = self.manifest.clone();
            let request = self.manifest.asks_for();
            ToolRecord { name, version, component: component.clone(), level, request, limits: self.limits }.stated()
        })
    }

    /// Returns the hash of its component, as its record has it.
    pub fn component(&self) -> &ContentHash {
        match &self.body {
            Body::Typed(component) => component.content(),
            Body::Command(component, _) => component.content(),
        }
    }

    /// Compiles or loads the code now: whether it can be used at all.
    pub(crate) async fn prepare(&self) -> Result<(), RegistryError> {
        let prepared = match &self.body {
            Body::Typed(component) => component.prepare().await,
            Body::Command(component, _) => component.prepare().await,
        };
        prepared.map_err(|source| RegistryError::Load { tool: self.manifest.name.clone(), source })
    }

    /// Runs `call`, whose arguments fit the schema.
    pub(crate) async fn run(&self, sandbox: &Sandbox, permit: Permit, call: Call<'_>) -> Outcome {
        match &self.body {
            Body::Typed(component) => sandbox.run(permit, component, call).await,
            Body::Command(component, command) => match command.line(call.arguments) {
                Ok(line) => {
                    let invocation = Invocation { call, argv: line.argv, stdin: line.stdin };
                    Box::pin(sandbox.run_command(permit, component, invocation)).await
                }
                Err(unfit) => unfitting(&unfit.to_string(), call.mounts),
            },
        }
    }
}

impl Tool {
    /// Runs a call of it again, from its tape.
    pub(crate) async fn replay(&self, sandbox: &Sandbox, replay: Replay<'_>) -> Replayed {
        match &self.body {
            Body::Typed(component) => Box::pin(sandbox.replay(component, replay)).await,
            Body::Command(component, command) => match command.line(replay.arguments) {
                Ok(line) => Box::pin(sandbox.replay_command(component, replay, line.argv, line.stdin)).await,
                Err(unfit) => Replayed { outcome: unfitting(&unfit.to_string(), Vec::new()), left: Left::default() },
            },
        }
    }
}

/// Returns the end of a call whose arguments make no command line.
fn unfitting(reason: &str, mounts: Vec<Mount>) -> Outcome {
    let (usage, ending) = (CallUsage::default(), Ending::Rejected(reason.to_owned()));
    Outcome { ending, usage, mounts, printed: String::new(), refusals: Vec::new() }
}

/// A tool that is there, loaded or not.
pub(crate) struct Entry {
    pub(crate) manifest: Manifest,
    component: Cow<'static, [u8]>,
    command: Option<Command>,
    /// A failure is kept too: what cannot be loaded is not compiled again before it changes.
    tool: OnceCell<Result<Arc<Tool>, Arc<RegistryError>>>,
}

impl Entry {
    /// Returns the entry of `manifest`; `schema_file` is the text of the file that a command's schema lies in.
    pub(crate) fn new(
        manifest: Manifest,
        component: Cow<'static, [u8]>,
        schema_file: Option<&str>,
    ) -> Result<Self, InvalidCommand> {
        let command = manifest.command.as_ref().map(|spec| Command::new(spec, schema_file)).transpose()?;
        Ok(Self { manifest, component, command, tool: OnceCell::new() })
    }

    /// Returns what the manifest says that it does; a typed tool says it itself, and is not run before it was approved.
    pub(crate) fn purpose(&self) -> &str {
        self.command.as_ref().map_or("", |command| &command.description)
    }

    /// Returns the tool, loaded once.
    pub(crate) async fn tool(&self, sandbox: &Sandbox) -> Result<Arc<Tool>, Arc<RegistryError>> {
        // Boxed, as in `run`: futures nest deeper than the compiler follows.
        let load = || async { Box::pin(self.load(sandbox)).await.map(Arc::new).map_err(Arc::new) };
        self.tool.get_or_init(load).await.clone()
    }

    /// Loads the tool: checks its imports, and learns what it is. What declares that is not compiled for it.
    pub(crate) async fn load(&self, sandbox: &Sandbox) -> Result<Tool, RegistryError> {
        let manifest = self.manifest.clone();
        let tool = || manifest.name.clone();
        let (body, definition) = self.body(sandbox).await?;
        let schema = Schema::compile(&definition.input_schema)
            .map_err(|source| RegistryError::Schema { tool: tool(), source })?;
        // Met with the session's limits at every call: a manifest can narrow them, never widen.
        let limits = manifest.limits.resolve(&Limits::MAX);
        let limits = limits.map_err(|source| RegistryError::Limits { tool: tool(), source })?;
        Ok(Tool { manifest, definition, limits, schema, body, record: OnceLock::new() })
    }

    async fn body(&self, sandbox: &Sandbox) -> Result<(Body, ToolDefinition), RegistryError> {
        match self.command.clone() {
            None => {
                let component = self.read(sandbox, Sandbox::load).await?;
                imports::check(&self.manifest, component.imports())?;
                let definition = definition(&self.manifest, &component).await?;
                Ok((Body::Typed(component), definition))
            }
            Some(command) => {
                let component = self.read(sandbox, Sandbox::load_command).await?;
                imports::check(&self.manifest, component.imports())?;
                let definition = ToolDefinition {
                    name: self.manifest.name.clone(),
                    description: command.description.clone(),
                    input_schema: command.input_schema.clone(),
                };
                Ok((Body::Command(component, command), definition))
            }
        }
    }

    /// Reads the component on a thread that may block: one that has to be asked is compiled.
    async fn read<T: Send + 'static>(
        &self,
        sandbox: &Sandbox,
        load: fn(&Sandbox, Cow<'static, [u8]>) -> Result<T, LoadError>,
    ) -> Result<T, RegistryError> {
        let (sandbox, component) = (sandbox.clone(), self.component.clone());
        let loaded = tokio::task::spawn_blocking(move || load(&sandbox, component)).await;
        let loaded = loaded.unwrap_or(Err(LoadError::Interrupted));
        loaded.map_err(|source| RegistryError::Load { tool: self.manifest.name.clone(), source })
    }
}

async fn definition(manifest: &Manifest, component: &LoadedTool) -> Result<ToolDefinition, RegistryError> {
    let load = |source| RegistryError::Load { tool: manifest.name.clone(), source };
    let definitions = component.definitions().await.map_err(load)?;
    let found = definitions.iter().find(|definition| definition.name == manifest.name);
    found.cloned().ok_or_else(|| RegistryError::Undefined(manifest.name.clone()))
}
