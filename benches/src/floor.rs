//! The floor: the same component and the same call with wasmtime alone, tuned as SANDBOX-style hosts tune it. Nothing is
//! validated, decided, recorded or staged; what the runtime costs is what comes on top.

use std::path::Path;
use std::time::{Duration, Instant};

use ::http::{Request, Response};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::{LinkOptions, http};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttp, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks};

mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "boxagnts:tool/tool-guest",
        exports: { default: async },
    });
}

use bindings::ToolGuestPre;

struct Host {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: NoNetwork,
    table: ResourceTable,
}

impl Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

/// No call that is measured here sends a request; what could is linked all the same, as in the runtime.
struct NoNetwork;

impl WasiHttpHooks for NoNetwork {
    fn send_request(&mut self, _: Request<WasiBody>, _: Option<RequestOptions>, _: Going) -> Sending {
        Box::new(std::future::ready(Err(Error::HttpRequestDenied)))
    }
}

type Going = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sending = Box<dyn Future<Output = Result<(Response<WasiBody>, Going), Error>> + Send>;

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// A component ready to run on bare wasmtime.
pub(crate) struct Floor {
    engine: Engine,
    code: ToolGuestPre<Host>,
}

impl Floor {
    pub(crate) fn new(component: &[u8]) -> wasmtime::Result<Self> {
        let engine = Engine::new(&config())?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        let component = Component::new(&engine, component)?;
        http::outgoing_handler::add_to_linker::<_, WasiHttp>(&mut linker, Host::http)?;
        http::types::add_to_linker::<_, WasiHttp>(&mut linker, &LinkOptions::default().into(), Host::http)?;
        let code = ToolGuestPre::new(linker.instantiate_pre(&component)?)?;
        Ok(Self { engine, code })
    }

    /// Returns how long one call takes, from an empty store to a dropped one, over the workspace and a folder as `/tmp`.
    pub(crate) async fn call(
        &self,
        [root, tmp]: [&Path; 2],
        tool: &str,
        arguments: &str,
    ) -> wasmtime::Result<Duration> {
        let started = Instant::now();
        let wasi = WasiCtxBuilder::new()
            .allow_blocking_current_thread(true)
            .preopened_dir(root, ".", FsPerms::ReadOnly)?
            .preopened_dir(root, "/work", FsPerms::ReadOnly)?
            .preopened_dir(tmp, "/tmp", FsPerms::ReadWrite)?
            .build();
        let mut store = Store::new(
            &self.engine,
            Host { wasi, http: WasiHttpCtx::new(), hooks: NoNetwork, table: ResourceTable::new() },
        );
        store.set_fuel(20_000_000_000)?;
        store.epoch_deadline_async_yield_and_update(1);
        let guest = self.code.instantiate_async(&mut store).await?;
        let output = guest.boxagnts_tool_tool().call_call(&mut store, tool, arguments).await?;
        wasmtime::ensure!(output.is_ok(), "the floor's call failed: {output:?}");
        drop(store);
        Ok(started.elapsed())
    }
}

fn config() -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.linear_memory_keep_resident(2 << 20)
        .table_keep_resident(64 << 10)
        .async_stack_keep_resident(64 << 10)
        .total_core_instances(100)
        .total_memories(100)
        .total_tables(100)
        .total_stacks(100)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config.consume_fuel(true).epoch_interruption(true).allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
