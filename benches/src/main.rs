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

use anyhow::Result;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    show("one call through the whole tool path", || runtime.block_on(calls::measure()))?;
    show("the first call of an interpreter", || runtime.block_on(first::measure()))?;
    show("a new process", cold::measure)?;
    show("sessions", || runtime.block_on(turns::measure()))?;
    show("idle sessions", || runtime.block_on(idle::measure()))?;
    show("going on", resume::measure)?;
    show("a crowd", || runtime.block_on(crowd::measure()))?;
    show("commits", commit::measure)?;
    show("the journal", journal::measure)?;
    show("memory", || Ok(vec![table::Row::new("peak memory of this process", setup::memory("VmHWM")?, "")]))
}

/// Measures one part and prints it as soon as it is there: the large trees take their time. Parts may be named on the command
/// line; without a name all are measured.
fn show(part: &str, measure: impl FnOnce() -> Result<Vec<table::Row>>) -> Result<()> {
    let mut named = std::env::args().skip(1).peekable();
    if named.peek().is_none() || named.any(|name| name == part) {
        println!("{part}\n{}\n", table::render(&measure()?));
    }
    Ok(())
}
