//! Layer: between the tool interface and the host's resources. Verb: ACTS.
//!
//! Runs one call of one tool as a WASM component: a fresh instance, finite limits, files through a stage, the network
//! through a gate, and nothing else of the host. `tools` asks it; it asks `policy` for what a permit holds and `stage` for files; a call brings along what judges and records its connections.
//!
//! Invariants: nothing runs without a [`policy::Permit`], which is used up; a replay needs none, because it reaches nothing. A guest sees only the mounts that its grant
//! names, and writes only to their stages. Every call ends by its deadline, also in the middle of a host call. Machine
//! code is loaded only when this cache's own MAC fits it.
//!
//! Deliberately absent: sockets that serve, environment variables, processes, and any state between two calls. Arguments and
//! input are there for plain commands only (see [`Invocation`]).
//! Guests have the host's clocks, and randomness from a seed of the host's. What a call was given can be recorded on a
//! [`Tape`]. The stack limit belongs to the process (see [`SandboxOptions`]): wasmtime
//! knows one for each engine.

#![warn(clippy::unwrap_used)]

mod artifacts;
mod aside;
mod bindings;
mod command;
mod compile;
mod declared;
mod engine;
mod halt;
mod host;
mod limiter;
mod outcome;
mod replay;
mod run;
mod tape;
mod tool;
mod wasm;

use std::path::PathBuf;
use std::sync::Arc;

use policy::Limits;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Linker;

use artifacts::Artifacts;
use compile::Compiler;
use host::Host;

pub use command::{Invocation, LoadedCommand};
pub use compile::Excess;
pub use host::network::{
    InvalidRoots, Network, NotRecorded, Refusal, Resolver, Secrets, SystemResolver, Tls, Unsearchable,
};
pub use outcome::{Ending, Mount, Outcome};
pub use replay::{Replay, Replayed};
pub use run::Call;
pub use tape::{Contents, MAX_TAPE_BYTES, MountTape, NoTape, Recorded, Recording, Tape};
pub use tool::{LoadError, LoadedTool, MAX_WASM_BYTES};

/// How a sandbox is set up, once for a process.
#[derive(Clone)]
pub struct SandboxOptions {
    /// Folder of compiled components, private to this user and outside every mount. Made when missing.
    pub artifact_cache: PathBuf,
    /// Calls that run at the same time; more wait.
    pub max_concurrent: u32,
    /// What the pool is sized for. A permit's limits are cut to it, except that its `stack_bytes` is the stack of *every*
    /// call: wasmtime fixes the stack when the engine starts, so a permit cannot make it smaller.
    pub ceiling: Limits,
    /// What looks up the names that guests connect to.
    pub resolver: Arc<dyn Resolver>,
    /// Whom guests' TLS connections trust.
    pub tls: Tls,
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("the artifact cache {path} cannot be used: {source}", path = path.display())]
    ArtifactCache { path: PathBuf, source: std::io::Error },
    #[error("the WebAssembly engine cannot start: {0:#}")]
    Engine(wasmtime::Error),
    #[error("the epoch thread cannot start: {0}")]
    Ticker(std::io::Error),
}

/// The place where tools run. Clones share it.
#[derive(Clone)]
pub struct Sandbox(Arc<Shared>);

/// What every tool and call of a sandbox shares.
struct Shared {
    engine: Engine,
    compiler: Compiler,
    linker: Linker<Host>,
    artifacts: Artifacts,
    ceiling: Limits,
    slots: Arc<Semaphore>,
    resolver: Arc<dyn Resolver>,
    tls: Tls,
}

impl Sandbox {
    /// Starts the engine, its epoch thread and the artifact cache.
    pub fn new(options: SandboxOptions) -> Result<Self, SandboxError> {
        let SandboxOptions { artifact_cache: path, max_concurrent, ceiling, resolver, tls } = options;
        let artifacts =
            Artifacts::open(&path).map_err(|source| SandboxError::ArtifactCache { path: path.clone(), source })?;
        let engine = engine::start(max_concurrent, &ceiling)?;
        let compiler = Compiler::new(&engine);
        let linker = host::linker(&engine).map_err(SandboxError::Engine)?;
        let slots = Arc::new(Semaphore::new(max_concurrent as usize));
        Ok(Self(Arc::new(Shared { engine, compiler, linker, artifacts, ceiling, slots, resolver, tls })))
    }
}
