//! Plain commands: components that export `wasi:cli/run`, with arguments and input in and text out.
//!
//! They are run under the same permits, limits and mounts as tools of the typed world.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use policy::Permit;
use protocol::ContentHash;
use tokio::sync::OnceCell;
use wasmtime_wasi::p2::bindings::CommandPre;

use crate::host::{Channel, Host, Program};
use crate::run::{Running, Started, carry, unrun};
use crate::tool::{declared, sized};
use crate::wasm::Wasm;
use crate::{Call, Ending, LoadError, Mount, Outcome, Sandbox, Shared};

/// A command that can run. Clones share it.
#[derive(Clone)]
pub struct LoadedCommand(Arc<Command>);

struct Command {
    sandbox: Arc<Shared>,
    wasm: Wasm,
    imports: Vec<String>,
    code: OnceCell<CommandPre<Host>>,
}

/// One run of a command.
pub struct Invocation<'a> {
    /// What the permit was given for, what may be mounted, and what ends it.
    pub call: Call<'a>,
    /// The command's arguments, without its own name.
    pub argv: Vec<String>,
    pub stdin: Vec<u8>,
}

impl Sandbox {
    /// Returns the command of the component `wasm`, which exports `wasi:cli/run`.
    ///
    /// Its code is compiled or loaded by its first call.
    pub fn load_command(&self, wasm: impl Into<Cow<'static, [u8]>>) -> Result<LoadedCommand, LoadError> {
        let wasm = Wasm::new(sized(wasm.into())?);
        let imports = declared(wasm.bytes())?.imports;
        let command = Command { sandbox: self.0.clone(), wasm, imports, code: OnceCell::new() };
        Ok(LoadedCommand(Arc::new(command)))
    }

    /// Consumes `permit` and runs `command`; waits first while as many calls run as may.
    ///
    /// Exit code 0 is a success whose text is the standard output; any other is rejected with the standard error.
    pub async fn run_command(&self, permit: Permit, command: &LoadedCommand, invocation: Invocation<'_>) -> Outcome {
        let Invocation { call, argv, stdin } = invocation;
        let Started { running, code, dropped: _dropped } = match self.start(permit, &call, command.code()).await {
            Ok(started) => started,
            Err(ending) => return unrun(ending, call.mounts),
        };
        let arguments = std::iter::once(call.tool.to_owned()).chain(argv).collect();
        let (epochs, program) = (running.epochs(), Program { arguments, input: Bytes::from(stdin) });
        match carry(Box::pin(running.command(code.clone(), program)), &epochs).await {
            Ok((running, ran)) => running.exited(ran, call.mounts).await,
            Err(ending) => unrun(ending, call.mounts),
        }
    }
}

impl Running {
    /// Returns the outcome of a command that exited, or did not.
    pub(crate) async fn exited(self, ran: wasmtime::Result<u8>, mounts: Vec<Mount>) -> Outcome {
        let ending = ran.map_or_else(|error| self.ending(&error), |code| exited(&self, code));
        self.finish(ending, 0, mounts).await
    }
}

impl LoadedCommand {
    /// Returns the hash of the component's bytes.
    pub fn content(&self) -> &ContentHash {
        self.0.wasm.content()
    }

    /// Returns the interfaces that the component imports, with their versions: `wasi:io/streams@0.2.6`.
    pub fn imports(&self) -> &[String] {
        &self.0.imports
    }

    /// Loads the code now, so that the first call need not.
    pub async fn prepare(&self) -> Result<(), LoadError> {
        self.code().await.map(|_| ())
    }

    pub(crate) async fn code(&self) -> Result<&CommandPre<Host>, LoadError> {
        self.0.code.get_or_try_init(|| self.load_code()).await
    }

    /// Loads the code on a thread that may block.
    async fn load_code(&self) -> Result<CommandPre<Host>, LoadError> {
        let command = self.0.clone();
        let load = move || command.sandbox.command(&command.wasm);
        tokio::task::spawn_blocking(load).await.unwrap_or(Err(LoadError::Interrupted))
    }
}

impl Shared {
    fn command(&self, wasm: &Wasm) -> Result<CommandPre<Host>, LoadError> {
        CommandPre::new(self.linked(wasm)?).map_err(LoadError::World)
    }
}

/// Returns how a command ended that exited with `code`.
fn exited(running: &Running, code: u8) -> Ending {
    let (text, errors) = (running.printed(Channel::Standard), running.printed(Channel::Errors));
    if code == 0 {
        let summary = format!("{} lines", text.lines().count());
        return Ending::Returned { text, summary };
    }
    // A failed allocation ends most programs with an exit code of their own.
    if let Some(cause) = running.refused() {
        return Ending::Stopped(cause);
    }
    let said = if errors.trim().is_empty() { text } else { errors };
    Ending::Rejected(format!("exit code {code}\n{said}"))
}
