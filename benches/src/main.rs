//! Measures what the runtime costs, against the bare floor and against its targets, in one run: `cargo xtask bench`.

mod cold;
mod commit;
mod floor;
mod js_call;
mod read_call;
mod setup;
mod table;
mod turns;

use anyhow::Result;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    show("one call through the whole tool path", &runtime.block_on(read_call::measure())?);
    show("a program", &runtime.block_on(js_call::measure())?);
    show("a new process", &cold::measure()?);
    show("sessions", &runtime.block_on(turns::measure())?);
    show("commits", &commit::measure()?);
    show("memory", &[table::Row::new("peak memory of this process", setup::peak_memory()?, "")]);
    Ok(())
}

/// Prints what was measured as soon as it is: the large trees take their time.
fn show(part: &str, rows: &[table::Row]) {
    println!("{part}\n{}\n", table::render(rows));
}
