//! Measures what the runtime costs, against the bare floor and against its targets, in one run: `cargo xtask bench`.

mod call;
mod calls;
mod cold;
mod commit;
mod crowd;
mod first;
mod floor;
mod idle;
mod journal;
mod resume;
mod setup;
mod table;
mod turns;

use anyhow::{Result, ensure};
use tokio::runtime::Runtime;

/// The parts, as they are named on the command line.
const PARTS: [&str; 10] = [
    "one call through the whole tool path",
    "the first call of an interpreter",
    "a new process",
    "sessions",
    "idle sessions",
    "going on",
    "a crowd",
    "commits",
    "the journal",
    "memory",
];

fn main() -> Result<()> {
    let named: Vec<String> = std::env::args().skip(1).collect();
    for name in &named {
        ensure!(PARTS.contains(&name.as_str()), "there is no part `{name}`; there are: {}", PARTS.join(", "));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // Each is shown as soon as it is measured: the large trees take their time.
    for part in PARTS.into_iter().filter(|part| named.is_empty() || named.iter().any(|name| name == part)) {
        println!("{part}\n{}\n", table::render(&measure(part, &runtime)?));
    }
    Ok(())
}

fn measure(part: &str, runtime: &Runtime) -> Result<Vec<table::Row>> {
    match part {
        "one call through the whole tool path" => runtime.block_on(calls::measure()),
        "the first call of an interpreter" => runtime.block_on(first::measure()),
        "a new process" => cold::measure(),
        "sessions" => runtime.block_on(turns::measure()),
        "idle sessions" => runtime.block_on(idle::measure()),
        "going on" => resume::measure(),
        "a crowd" => runtime.block_on(crowd::measure()),
        "commits" => commit::measure(),
        "the journal" => journal::measure(),
        _ => Ok(vec![table::Row::new("peak memory of this process", setup::memory("VmHWM")?, "")]),
    }
}
