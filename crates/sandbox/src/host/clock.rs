//! `wasi:clocks`: the host's clocks, and timers that end with the call.

use std::time::Duration;

use tokio::time::Instant;
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::Host;

/// What both clocks say about their resolution, in nanoseconds: that of the operating system's clocks.
const RESOLUTION_NS: u32 = 1;

/// Ready from an instant on; never when that is beyond what the host can represent.
enum Timer {
    At(Option<Instant>),
    /// Of a replay, in which nobody waits.
    Now,
}

#[async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {
        match self {
            Self::Now => {}
            Self::At(Some(until)) => tokio::time::sleep_until(*until).await,
            Self::At(None) => std::future::pending().await,
        }
    }
}

impl Host {
    fn timer(&mut self, until: Option<Instant>) -> wasmtime::Result<Resource<DynPollable>> {
        let timer = if self.deck.is_played() { Timer::Now } else { Timer::At(until) };
        let timer = self.table.push(timer)?;
        subscribe(&mut self.table, timer)
    }
}

impl monotonic_clock::Host for Host {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.deck.elapsed_ns())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(RESOLUTION_NS.into())
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.timer(Instant::from_std(self.deck.started).checked_add(Duration::from_nanos(when)))
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.timer(Instant::now().checked_add(Duration::from_nanos(duration)))
    }
}

impl wall_clock::Host for Host {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let since = self.deck.now();
        Ok(wall_clock::Datetime { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: RESOLUTION_NS })
    }
}
