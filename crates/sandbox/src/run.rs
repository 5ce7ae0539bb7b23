//! The executor: one permit, one instance, one call.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use policy::{Access, Authority, Grant, Limits, Permit};
use protocol::{CallId, CallUsage, StopCause};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::{CancellationToken, DropGuard};
use wasmtime::{Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::p2::bindings::CommandPre;

use crate::aside::{self, Epochs};
use crate::bindings::tool::ToolGuestPre;
use crate::bindings::tool::exports::boxagnts::tool::tool::{Definition, Failure, Output};
use crate::halt::{Halt, Panicked, ending};
use crate::host::network::{Gate, Network};
use crate::host::{self, Channel, Files, Host, Preopen, Program};
use crate::tape::{Deck, Recording};
use crate::{Ending, LoadError, LoadedTool, Mount, Outcome, Sandbox, Shared};

/// One call of a tool.
pub struct Call<'a> {
    /// The tool's name, as its definition says.
    pub tool: &'a str,
    /// The arguments that the permit was given for.
    pub arguments: &'a Value,
    /// What may be mounted; only what the permit's grant names is.
    pub mounts: Vec<Mount>,
    /// What judges and records its connections; without it there are none. Only targets that the permit's grant names are
    /// reached at all.
    pub network: Option<Network>,
    /// Records what the call is given; its mounts were made with it.
    pub recording: Option<Recording>,
    /// Ends the call within 100 ms, wherever it is.
    pub cancel: CancellationToken,
}

impl Sandbox {
    /// Consumes `permit` and runs `call` of `tool`; waits first while as many calls run as may.
    ///
    /// Needs a tokio runtime with its timer. Dropping the future ends the call.
    pub async fn run(&self, permit: Permit, tool: &LoadedTool, call: Call<'_>) -> Outcome {
        let Started { running, code, dropped: _dropped } = match self.start(permit, &call, tool.code()).await {
            Ok(started) => started,
            Err(ending) => return unrun(ending, call.mounts),
        };
        let arguments = protocol::canonical(call.arguments);
        let epochs = running.epochs();
        match carry(Box::pin(running.call(code.clone(), call.tool.to_owned(), arguments)), &epochs).await {
            Ok((running, result)) => running.replied(result, call.mounts).await,
            Err(ending) => unrun(ending, call.mounts),
        }
    }

    /// Redeems `permit` for `call`, and returns what it starts with.
    pub(crate) async fn start<'a, C: 'a>(
        &'a self,
        permit: Permit,
        call: &Call<'_>,
        code: impl Future<Output = Result<&'a C, LoadError>>,
    ) -> Result<Started<'a, C>, Ending> {
        let authority = permit.redeem(call.tool, call.arguments);
        let authority = authority.map_err(|mismatch| Ending::HostFailed(mismatch.to_string()))?;
        let (code, slot) = self.admit(code, &call.cancel).await?;
        let limits = authority.limits().meet(&self.0.ceiling);
        let files = Files::new(preopens(&authority, &call.mounts), limits.open_files);
        let grant = Some(authority.grant());
        let gate = Arc::new(self.0.gate(authority.call().clone(), grant, call.network.clone(), &limits));
        let cancel = call.cancel.child_token();
        let dropped = cancel.clone().drop_guard();
        let deck = deck(call, &limits, &authority);
        let running = Running::new(&self.0, limits, files, gate, slot, cancel, deck);
        for mount in &call.mounts {
            let bounds = running.bounds.clone();
            mount.stage.interrupt_when(move || bounds.reached().is_some());
        }
        Ok(Started { running, code, dropped })
    }

    /// Waits for a free slot and the code.
    async fn admit<'a, C: 'a>(
        &'a self,
        code: impl Future<Output = Result<&'a C, LoadError>>,
        cancel: &CancellationToken,
    ) -> Result<(&'a C, OwnedSemaphorePermit), Ending> {
        let ready = async {
            let slot = self.0.slot().await;
            let code = code.await.map_err(|error| Ending::HostFailed(error.to_string()))?;
            Ok((code, slot))
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Ending::Cancelled),
            ready = ready => ready,
        }
    }
}

/// Returns what answers `call`, whose stages tell the same time as its clocks if it is recorded.
fn deck(call: &Call<'_>, limits: &Limits, authority: &Authority) -> Arc<Deck> {
    let granted = call.mounts.iter().filter(|mount| authority.grant().file_access(&mount.name).is_some());
    let mounts = granted.map(|mount| (mount.name.clone(), is_writable(authority, mount), mount.stage.quota()));
    let deck = Arc::new(Deck::live(call.recording.as_ref(), limits, mounts.collect()));
    if call.recording.is_some() {
        call.mounts.iter().for_each(|mount| tell_time(mount, &deck));
    }
    deck
}

pub(crate) fn tell_time(mount: &Mount, deck: &Arc<Deck>) {
    let deck = deck.clone();
    mount.stage.tell_time(move || SystemTime::UNIX_EPOCH + deck.now());
}

/// Returns what the tools of `code` say they are.
pub(crate) async fn definitions(
    shared: &Shared,
    code: &ToolGuestPre<Host>,
    limits: Limits,
) -> Result<Vec<Definition>, Ending> {
    let slot = shared.slot().await;
    let limits = limits.meet(&shared.ceiling);
    // Nothing is asked for by a component that says what it offers, so no call has this name.
    let gate = Arc::new(shared.gate(CallId::from_random(0), None, None, &limits));
    let cancel = CancellationToken::new();
    let _dropped = cancel.clone().drop_guard();
    let deck = Arc::new(Deck::live(None, &limits, Vec::new()));
    let running = Running::new(shared, limits, Files::none(), gate, slot, cancel, deck);
    let epochs = running.epochs();
    let (running, result) = carry(Box::pin(running.definitions(code.clone())), &epochs).await?;
    result.map_err(|error| running.ending(&error))
}

/// A call that may begin.
pub(crate) struct Started<'a, C> {
    pub(crate) running: Running,
    pub(crate) code: &'a C,
    /// Ends a guest that moved to a thread of its own, when whoever waits for it is gone.
    pub(crate) dropped: DropGuard,
}

/// Carries `guest` to its end, wherever it runs.
pub(crate) async fn carry<T: Send + 'static>(guest: BoxFuture<'static, T>, epochs: &Epochs) -> Result<T, Ending> {
    let ended = aside::run(guest, epochs).await;
    ended.ok_or_else(|| Ending::HostFailed("no thread could be started for the call".to_owned()))
}

impl Shared {
    /// Waits until one more guest may run.
    pub(crate) async fn slot(&self) -> OwnedSemaphorePermit {
        self.slots.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    pub(crate) fn gate(&self, call: CallId, grant: Option<&Grant>, network: Option<Network>, limits: &Limits) -> Gate {
        Gate::new(call, grant, network, (self.resolver.clone(), self.tls.clone()), limits)
    }
}

pub(crate) fn unrun(ending: Ending, mounts: Vec<Mount>) -> Outcome {
    Outcome { ending, usage: CallUsage::default(), mounts, printed: String::new(), refusals: Vec::new() }
}

/// Returns the mounts that `authority` holds, with no more access than it holds.
fn preopens(authority: &Authority, mounts: &[Mount]) -> Vec<Preopen> {
    let granted = |mount: &&Mount| authority.grant().file_access(&mount.name).is_some();
    mounts.iter().filter(granted).map(|mount| preopen(mount, is_writable(authority, mount))).collect()
}

fn is_writable(authority: &Authority, mount: &Mount) -> bool {
    let access = authority.grant().file_access(&mount.name);
    access.is_some_and(|access| access >= Access::ReadWrite) && mount.stage.is_writable()
}

pub(crate) fn preopen(mount: &Mount, writable: bool) -> Preopen {
    Preopen { name: mount.name.clone(), root: mount.stage.root(), writable }
}

/// One guest, from its empty store to its end.
pub(crate) struct Running {
    store: Store<Host>,
    limits: Limits,
    gate: Arc<Gate>,
    started: Instant,
    bounds: Bounds,
    /// Given back after the store, which holds the pool's.
    _slot: OwnedSemaphorePermit,
}

impl Running {
    pub(crate) fn new(
        shared: &Shared,
        limits: Limits,
        files: Files,
        gate: Arc<Gate>,
        slot: OwnedSemaphorePermit,
        cancel: CancellationToken,
        deck: Arc<Deck>,
    ) -> Self {
        let started = deck.started;
        let deadline = started + Duration::from_millis(limits.timeout_ms);
        let bounds = Bounds { deadline, cancel, epochs: Epochs::default() };
        let mut store = Store::new(&shared.engine, Host::new(&limits, files, gate.clone(), deck));
        store.limiter(|host| &mut host.limiter);
        store.set_fuel(limits.fuel).expect("the engine consumes fuel");
        store.set_hostcall_fuel(host::transfer_bytes(&limits));
        store.set_max_component_handles(host::handles(&limits));
        store.epoch_deadline_callback(each_epoch(bounds.clone()));
        store.set_epoch_deadline(1);
        Self { store, limits, gate, started, bounds, _slot: slot }
    }

    pub(crate) async fn call(
        mut self,
        code: ToolGuestPre<Host>,
        tool: String,
        arguments: String,
    ) -> (Self, wasmtime::Result<Reply>) {
        let store = &mut self.store;
        let guest = async move {
            let guest = code.instantiate_async(&mut *store).await?;
            let reply = guest.boxagnts_tool_tool().call_call(&mut *store, &tool, &arguments).await?;
            store.data().output.total(length(&reply))?;
            Ok(reply)
        };
        let result = self.bounds.hold(guest).await;
        (self, result)
    }

    async fn definitions(mut self, code: ToolGuestPre<Host>) -> (Self, wasmtime::Result<Vec<Definition>>) {
        let store = &mut self.store;
        let guest = async move {
            let guest = code.instantiate_async(&mut *store).await?;
            guest.boxagnts_tool_tool().call_definitions(&mut *store).await
        };
        let result = self.bounds.hold(guest).await;
        (self, result)
    }

    /// Runs `code` as `program`, and returns its exit code.
    pub(crate) async fn command(mut self, code: CommandPre<Host>, program: Program) -> (Self, wasmtime::Result<u8>) {
        let store = &mut self.store;
        store.data_mut().program = program;
        let guest = async move {
            let guest = code.instantiate_async(&mut *store).await?;
            guest.wasi_cli_run().call_run(&mut *store).await
        };
        let ran = self.bounds.hold(guest).await;
        (self, exit_code(ran))
    }

    /// Returns the bounds' count of epochs that the guest computed in.
    pub(crate) fn epochs(&self) -> Epochs {
        self.bounds.epochs.clone()
    }

    /// Returns what was printed to `channel`.
    pub(crate) fn printed(&self, channel: Channel) -> String {
        self.store.data().output.text(channel)
    }

    /// Returns the limit that refused growth, if any did.
    pub(crate) fn refused(&self) -> Option<StopCause> {
        self.store.data().limiter.refused()
    }

    pub(crate) fn ending(&self, error: &wasmtime::Error) -> Ending {
        ending(error, self.refused())
    }

    /// Returns the outcome of a call whose guest replied, or did not.
    pub(crate) async fn replied(self, result: wasmtime::Result<Reply>, mounts: Vec<Mount>) -> Outcome {
        let returned = result.as_ref().map_or(0, length);
        let ending = result.map_or_else(|error| self.ending(&error), replied);
        self.finish(ending, returned, mounts).await
    }

    /// Returns the outcome of a call that ended with `ending` and returned `returned` bytes beside what it printed.
    pub(crate) async fn finish(self, ending: Ending, returned: usize, mounts: Vec<Mount>) -> Outcome {
        for mount in &mounts {
            mount.stage.interrupt_never();
        }
        let host = self.store.data();
        let usage = CallUsage {
            fuel: self.limits.fuel - self.store.get_fuel().unwrap_or(0),
            wall_us: u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            memory_bytes: host.limiter.memory_bytes(),
            output_bytes: host.output.printed_bytes() + returned as u64,
            staged_bytes: mounts.iter().map(|mount| mount.stage.usage().bytes).sum(),
        };
        let printed = host.output.printed();
        let Self { store, gate, _slot, .. } = self;
        // With the store everything ends that the guest left open; what came of it belongs to the call.
        drop(store);
        gate.quiet().await;
        let ending = gate.unrecorded().map_or(ending, Ending::HostFailed);
        Outcome { ending, usage, mounts, printed, refusals: gate.refusals() }
    }
}

pub(crate) type Reply = Result<Output, Failure>;

fn replied(reply: Reply) -> Ending {
    match reply {
        Ok(Output { text, summary }) => Ending::Returned { text, summary },
        Err(Failure::Rejected(reason)) => Ending::Rejected(reason),
        Err(Failure::Internal(reason)) => Ending::Internal(reason),
    }
}

fn length(reply: &Reply) -> usize {
    match reply {
        Ok(Output { text, summary }) => text.len() + summary.len(),
        Err(Failure::Rejected(reason) | Failure::Internal(reason)) => reason.len(),
    }
}

/// Returns the exit code of a command that returned or exited.
fn exit_code(ran: wasmtime::Result<Result<(), ()>>) -> wasmtime::Result<u8> {
    match ran {
        Ok(status) => Ok(u8::from(status.is_err())),
        Err(error) => match error.downcast_ref() {
            Some(Halt::Exited { code }) => Ok(*code),
            _ => Err(error),
        },
    }
}

/// Returns what a computing guest does at each epoch: end when it must, else let others run.
fn each_epoch(
    bounds: Bounds,
) -> impl FnMut(StoreContextMut<'_, Host>) -> wasmtime::Result<UpdateDeadline> + Send + Sync + 'static {
    move |_| {
        if let Some(halt) = bounds.reached() {
            return Err(halt.into());
        }
        bounds.epochs.count();
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    }
}

/// What ends a guest from outside, also while it waits in a host call.
#[derive(Clone)]
struct Bounds {
    deadline: Instant,
    cancel: CancellationToken,
    /// Those that the guest computed in.
    epochs: Epochs,
}

impl Bounds {
    /// Returns why the guest must end now, if it must.
    fn reached(&self) -> Option<Halt> {
        if self.cancel.is_cancelled() {
            return Some(Halt::Cancelled);
        }
        (Instant::now() >= self.deadline).then_some(Halt::Limit(StopCause::Deadline))
    }

    /// Runs `guest` until it returns, is cancelled or reaches its deadline; a panic of host code is its failure.
    async fn hold<T>(&self, guest: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
        let result = tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Halt::Cancelled.into()),
            // The store is only read and dropped after a panic.
            ended = AssertUnwindSafe(guest).catch_unwind() => ended.unwrap_or_else(|panic| Err(panicked(&*panic).into())),
            // After the guest: most end without waiting, and a timer that is set wakes a thread.
            () = tokio::time::sleep_until(self.deadline.into()) => Err(Halt::Limit(StopCause::Deadline).into()),
        };
        result.map_err(|error| match error.downcast_ref() {
            Some(Halt::Interrupted) => self.reached().unwrap_or(Halt::Interrupted).into(),
            _ => error,
        })
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Panicked {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Panicked(text.unwrap_or("no message").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_host_code_is_a_failure_of_the_host() {
        let deadline = Instant::now() + Duration::from_mins(1);
        let bounds = Bounds { deadline, cancel: CancellationToken::new(), epochs: Epochs::default() };
        let error = bounds.hold::<()>(async { panic!("number {}", 7) }).await.unwrap_err();
        assert_eq!(ending(&error, None), Ending::HostFailed("host code panicked: number 7".into()));
    }
}
