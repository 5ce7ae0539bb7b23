//! The executor: one permit, one instance, one call.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use policy::{Access, Authority, Limits, Permit};
use protocol::{CallUsage, StopCause};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use wasmtime::{Store, StoreContextMut, UpdateDeadline};

use crate::aside::{self, Epochs};
use crate::bindings::tool::ToolGuestPre;
use crate::bindings::tool::exports::boxagnts::tool::tool::{Definition, Failure, Output};
use crate::halt::{Halt, Panicked, ending};
use crate::host::{self, Files, Host, Preopen};
use crate::{Ending, LoadedTool, Mount, Outcome, Sandbox, Shared};

/// One call of a tool.
pub struct Call<'a> {
    /// The tool's name, as its definition says.
    pub tool: &'a str,
    /// The arguments that the permit was given for.
    pub arguments: &'a Value,
    /// What may be mounted; only what the permit's grant names is.
    pub mounts: Vec<Mount>,
    /// Ends the call within 100 ms, wherever it is.
    pub cancel: CancellationToken,
}

impl Sandbox {
    /// Consumes `permit` and runs `call` of `tool`; waits first while as many calls run as may.
    ///
    /// Needs a tokio runtime with its timer. Dropping the future ends the call.
    pub async fn run(&self, permit: Permit, tool: &LoadedTool, call: Call<'_>) -> Outcome {
        let authority = match permit.redeem(call.tool, call.arguments) {
            Ok(authority) => authority,
            Err(mismatch) => return unrun(Ending::HostFailed(mismatch.to_string()), call.mounts),
        };
        let (code, slot) = match self.admit(tool, &call.cancel).await {
            Ok(admitted) => admitted,
            Err(ending) => return unrun(ending, call.mounts),
        };
        let limits = authority.limits().meet(&self.0.ceiling);
        let files = Files::new(preopens(&authority, &call.mounts), limits.open_files);
        // A guest that moved to a thread of its own ends when this future is dropped.
        let cancel = call.cancel.child_token();
        let _dropped = cancel.clone().drop_guard();
        let running = Running::new(&self.0, limits, files, slot, cancel);
        for mount in &call.mounts {
            let bounds = running.bounds.clone();
            mount.stage.interrupt_when(move || bounds.reached().is_some());
        }
        let arguments = protocol::canonical(call.arguments);
        let epochs = running.bounds.epochs.clone();
        match aside::run(running.call(code.clone(), call.tool.to_owned(), arguments), &epochs).await {
            Some((running, result)) => running.finish(result, call.mounts),
            None => unrun(Ending::HostFailed("no thread could be started for the call".to_owned()), call.mounts),
        }
    }

    /// Waits for a free slot and the tool's code.
    async fn admit<'a>(
        &'a self,
        tool: &'a LoadedTool,
        cancel: &CancellationToken,
    ) -> Result<(&'a ToolGuestPre<Host>, OwnedSemaphorePermit), Ending> {
        let ready = async {
            let slot = self.0.slot().await;
            let code = tool.code().await.map_err(|error| Ending::HostFailed(error.to_string()))?;
            Ok((code, slot))
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Ending::Cancelled),
            ready = ready => ready,
        }
    }
}

/// Returns what the tools of `code` say they are.
pub(crate) async fn definitions(
    shared: &Shared,
    code: &ToolGuestPre<Host>,
    limits: Limits,
) -> Result<Vec<Definition>, Ending> {
    let slot = shared.slot().await;
    let cancel = CancellationToken::new();
    let _dropped = cancel.clone().drop_guard();
    let running = Running::new(shared, limits.meet(&shared.ceiling), Files::none(), slot, cancel);
    let epochs = running.bounds.epochs.clone();
    let ended = aside::run(running.definitions(code.clone()), &epochs).await;
    let (running, result) =
        ended.ok_or_else(|| Ending::HostFailed("no thread could be started for the call".to_owned()))?;
    result.map_err(|error| running.ending(&error))
}

impl Shared {
    /// Waits until one more guest may run.
    async fn slot(&self) -> OwnedSemaphorePermit {
        self.slots.clone().acquire_owned().await.expect("the semaphore is never closed")
    }
}

fn unrun(ending: Ending, mounts: Vec<Mount>) -> Outcome {
    Outcome { ending, usage: CallUsage::default(), mounts, printed: String::new() }
}

/// Returns the mounts that `authority` holds, with no more access than it holds.
fn preopens(authority: &Authority, mounts: &[Mount]) -> Vec<Preopen> {
    let granted = |mount: &Mount| {
        let access = authority.grant().file_access(&mount.name)?;
        Some(Preopen {
            name: mount.name.clone(),
            root: mount.stage.root(),
            writable: access >= Access::ReadWrite && mount.stage.is_writable(),
        })
    };
    mounts.iter().filter_map(granted).collect()
}

/// One guest, from its empty store to its end.
struct Running {
    store: Store<Host>,
    limits: Limits,
    started: Instant,
    bounds: Bounds,
    /// Given back after the store, which holds the pool's.
    _slot: OwnedSemaphorePermit,
}

impl Running {
    fn new(
        shared: &Shared,
        limits: Limits,
        files: Files,
        slot: OwnedSemaphorePermit,
        cancel: CancellationToken,
    ) -> Self {
        let started = Instant::now();
        let deadline = started + Duration::from_millis(limits.timeout_ms);
        let bounds = Bounds { deadline, cancel, epochs: Epochs::default() };
        let mut store = Store::new(&shared.engine, Host::new(&limits, files, started));
        store.limiter(|host| &mut host.limiter);
        store.set_fuel(limits.fuel).expect("the engine consumes fuel");
        store.set_hostcall_fuel(host::transfer_bytes(&limits));
        store.set_max_component_handles(host::handles(&limits));
        store.epoch_deadline_callback(each_epoch(bounds.clone()));
        store.set_epoch_deadline(1);
        Self { store, limits, started, bounds, _slot: slot }
    }

    async fn call(
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

    fn ending(&self, error: &wasmtime::Error) -> Ending {
        ending(error, self.store.data().limiter.refused())
    }

    fn finish(self, result: wasmtime::Result<Reply>, mounts: Vec<Mount>) -> Outcome {
        for mount in &mounts {
            mount.stage.interrupt_never();
        }
        let host = self.store.data();
        let returned = result.as_ref().map_or(0, length);
        let usage = CallUsage {
            fuel: self.limits.fuel - self.store.get_fuel().unwrap_or(0),
            wall_us: u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            memory_bytes: host.limiter.memory_bytes(),
            output_bytes: host.output.printed_bytes() + returned as u64,
            staged_bytes: mounts.iter().map(|mount| mount.stage.usage().bytes).sum(),
        };
        let ending = match result {
            Ok(Ok(Output { text, summary })) => Ending::Returned { text, summary },
            Ok(Err(Failure::Rejected(reason))) => Ending::Rejected(reason),
            Ok(Err(Failure::Internal(reason))) => Ending::Internal(reason),
            Err(error) => self.ending(&error),
        };
        Outcome { ending, usage, mounts, printed: host.output.printed() }
    }
}

type Reply = Result<Output, Failure>;

fn length(reply: &Reply) -> usize {
    match reply {
        Ok(Output { text, summary }) => text.len() + summary.len(),
        Err(Failure::Rejected(reason) | Failure::Internal(reason)) => reason.len(),
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
