//! Measures what the runtime costs, against the bare floor and against its targets, in one run: `cargo xtask bench`.

mod call;
mod calls;
mod cold;
mod commit;
mod crowd;
mod first;
mod floor;
mod journal;
mod setup;
mod table;
mod turns;

use anyhow::Result;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    show("one call through the whole tool path", &runtime.block_on(calls::measure())?);
    show("the first call of an interpreter", &runtime.block_on(first::measure())?);
    show("a new process", &cold::measure()?);
    show("sessions", &runtime.block_on(turns::measure())?);
    show("a crowd", &runtime.block_on(crowd::measure())?);
    show("commits", &commit::measure()?);
    show("the journal", &journal::measure()?);
    show("memory", &[table::Row::new("peak memory of this process", setup::memory("VmHWM")?, "")]);
    Ok(())
}

/// Prints what was measured as soon as it is: the large trees take their time.
fn show(part: &str, rows: &[table::Row]) {
    println!("{part}\n{}\n", table::render(rows));
}
