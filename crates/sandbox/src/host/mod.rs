//! What a guest may reach: one module for each WASI package, every interface linked by name.
//!
//! Nothing native is linked by default. A host function is listed in [`INTERFACES`] and added in [`linker`], or it does
//! not exist for guests. No environment.

mod cli;
mod clock;
mod files;
pub(crate) mod network;
mod output;
mod random;

use std::sync::Arc;

use policy::Limits;
use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::p2::bindings::{cli as wasi_cli, clocks, io, random as wasi_random};
use wasmtime_wasi_http::p2::bindings::{LinkOptions, http};
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtx, WasiHttpCtxView};

pub(crate) use cli::Program;
#[expect(unreachable_pub, reason = "the generated bindings re-export them")]
pub use files::{Descriptor, FileError, Listing};
pub(crate) use files::{Files, Preopen};
pub(crate) use network::sockets;
pub(crate) use output::{Channel, Output};

use crate::bindings::sockets as wasi_sockets;
use crate::bindings::wasi::filesystem;
use crate::limiter::Limiter;
use crate::tape::Deck;

/// The interfaces that a component may import, without their versions (all WASI 0.2).
pub(crate) const INTERFACES: [&str; 28] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// Handles beside files that a call may hold: its standard streams, pollables, errors, and one stream for each file.
const HANDLES_BESIDE_FILES: usize = 256;

/// Bytes that one host call may take from a guest at least, whatever its output limit: a large write, a long path.
const TRANSFER_BYTES: usize = 4 << 20;

/// The state of one call that host functions see.
pub(crate) struct Host {
    pub(crate) table: ResourceTable,
    pub(crate) limiter: Limiter,
    pub(crate) output: Output,
    pub(crate) program: Program,
    files: Files,
    http: WasiHttpCtx,
    hooks: network::Hooks,
    sockets: sockets::Sockets,
    /// What answers its questions about the world.
    pub(crate) deck: Arc<Deck>,
}

impl Host {
    pub(crate) fn new(limits: &Limits, files: Files, gate: Arc<network::Gate>, deck: Arc<Deck>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(handles(limits));
        Self {
            table,
            limiter: Limiter::new(limits),
            output: Output::new(limits.output_bytes),
            program: Program::default(),
            files,
            http: WasiHttpCtx::new(),
            hooks: network::Hooks(gate.clone(), deck.clone()),
            sockets: sockets::Sockets::new(gate),
            deck,
        }
    }

    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Returns the bytes that one host call, or the call's own result, may carry out of the guest.
pub(crate) fn transfer_bytes(limits: &Limits) -> usize {
    TRANSFER_BYTES.max(usize::try_from(limits.output_bytes).unwrap_or(usize::MAX))
}

/// Returns the handles that a call may hold: each file may have a stream and a pollable.
pub(crate) fn handles(limits: &Limits) -> usize {
    limits.open_files as usize * 3 + HANDLES_BESIDE_FILES
}

/// Returns the linker with every interface of [`INTERFACES`].
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
    type Own = HasSelf<Host>;
    type Table = HasSelf<ResourceTable>;
    let mut linker = Linker::new(engine);
    let to = &mut linker;
    io::error::add_to_linker::<_, Table>(to, |host: &mut Host| &mut host.table)?;
    io::poll::add_to_linker::<_, Own>(to, |host| host)?;
    io::streams::add_to_linker::<_, Own>(to, |host| host)?;
    clocks::monotonic_clock::add_to_linker::<_, Own>(to, |host| host)?;
    clocks::wall_clock::add_to_linker::<_, Own>(to, |host| host)?;
    wasi_random::random::add_to_linker::<_, Own>(to, |host| host)?;
    wasi_random::insecure_seed::add_to_linker::<_, Own>(to, |host| host)?;
    wasi_cli::environment::add_to_linker::<_, Own>(to, |host| host)?;
    wasi_cli::exit::add_to_linker::<_, Own>(to, |host| host)?;
    wasi_cli::stdin::add_to_linker::<_, Own>(to, |host| host)?;
    wasi_cli::stdout::add_to_linker::<_, Own>(to, |host| host)?;
    wasi_cli::stderr::add_to_linker::<_, Own>(to, |host| host)?;
    wasi_cli::terminal_input::add_to_linker::<_, Own>(to, |host| host)?;
    wasi_cli::terminal_output::add_to_linker::<_, Own>(to, |host| host)?;
    wasi_cli::terminal_stdin::add_to_linker::<_, Own>(to, |host| host)?;
    wasi_cli::terminal_stdout::add_to_linker::<_, Own>(to, |host| host)?;
    wasi_cli::terminal_stderr::add_to_linker::<_, Own>(to, |host| host)?;
    filesystem::types::add_to_linker::<_, Own>(to, |host| host)?;
    filesystem::preopens::add_to_linker::<_, Own>(to, |host| host)?;
    http::outgoing_handler::add_to_linker::<_, WasiHttp>(to, Host::http)?;
    http::types::add_to_linker::<_, WasiHttp>(to, &LinkOptions::default().into(), Host::http)?;
    wasi_sockets::network::add_to_linker::<_, Own>(to, |host| host)?;
    wasi_sockets::instance_network::add_to_linker::<_, Own>(to, |host| host)?;
    wasi_sockets::ip_name_lookup::add_to_linker::<_, Own>(to, |host| host)?;
    wasi_sockets::tcp::add_to_linker::<_, Own>(to, |host| host)?;
    wasi_sockets::tcp_create_socket::add_to_linker::<_, Own>(to, |host| host)?;
    wasi_sockets::udp::add_to_linker::<_, Own>(to, |host| host)?;
    wasi_sockets::udp_create_socket::add_to_linker::<_, Own>(to, |host| host)?;
    Ok(linker)
}

/// Returns the imports among `imports` that no interface of this host answers.
pub(crate) fn refused(imports: &[String]) -> Vec<String> {
    let known = |import: &str| INTERFACES.contains(&import.split('@').next().unwrap_or(import));
    imports.iter().filter(|import| !known(import)).cloned().collect()
}
