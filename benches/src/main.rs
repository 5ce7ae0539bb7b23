//! Measures what the runtime costs, against the bare floor and against its targets, in one run: `cargo xtask bench`.

mod cold;
mod commit;
mod floor;
mod read_call;
mod setup;
mod table;
mod turns;

use anyhow::Result;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut rows = Vec::new();
    rows.extend(runtime.block_on(read_call::measure())?);
    rows.extend(cold::measure()?);
    rows.extend(runtime.block_on(turns::measure())?);
    rows.extend(commit::measure()?);
    rows.push(table::Row::new("peak memory of this process", setup::peak_memory()?, ""));
    println!("{}", table::render(&rows));
    Ok(())
}
