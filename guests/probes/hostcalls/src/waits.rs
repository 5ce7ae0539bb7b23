//! Waiting in the host, where neither fuel nor an epoch is looked at.

use bare::alloc::{string::String, vec::Vec};

use crate::wasi::cli::{stdin, stdout};
use crate::wasi::clocks::monotonic_clock::{self, subscribe_duration, subscribe_instant};
use crate::wasi::io::poll::poll;
use crate::wasi::io::streams::StreamError;
use crate::{Mode, endless};

const HOUR_NS: u64 = 3_600_000_000_000;

const MILLISECOND_NS: u64 = 1_000_000;

/// Timers that are polled together.
const TIMERS: u64 = 100;

pub(crate) const MODES: &[Mode] = &[
    Mode { name: "wait-duration", run: || waited(subscribe_duration(u64::MAX).block()) },
    Mode { name: "wait-instant", run: || waited(subscribe_instant(u64::MAX).block()) },
    Mode { name: "wait-hour", run: || waited(subscribe_duration(HOUR_NS).block()) },
    Mode { name: "wait-poll", run: poll_timers },
    endless!("wait-naps", || subscribe_duration(MILLISECOND_NS).block()),
    endless!("wait-past", || subscribe_instant(monotonic_clock::now()).block()),
    Mode { name: "wait-nothing", run: || waited(drop(poll(&[]))) },
    Mode { name: "wait-stdin", run: read_input },
    Mode { name: "wait-stdin-poll", run: || waited(stdin::get_stdin().subscribe().block()) },
    Mode { name: "wait-stdout-poll", run: || waited(stdout::get_stdout().subscribe().block()) },
];

fn waited((): ()) -> String {
    "waited".into()
}

fn poll_timers() -> String {
    let timers: Vec<_> = (0..TIMERS).map(|number| subscribe_duration(HOUR_NS + number)).collect();
    waited(drop(poll(&timers.iter().collect::<Vec<_>>())))
}

fn read_input() -> String {
    match stdin::get_stdin().blocking_read(u64::MAX) {
        Ok(_) => "bytes",
        Err(StreamError::Closed) => "closed",
        Err(StreamError::LastOperationFailed(_)) => "failed",
    }
    .into()
}
