//! The product's binary, and what this process took.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// Returns the product's binary, built beside this one.
pub(crate) fn binary() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("boxagnts");
    path.is_file()
        .then_some(path)
        .context("the binary `boxagnts` is not built beside this bench; run `cargo xtask bench`")
}

/// Returns the most memory that this process had resident.
pub(crate) fn peak_memory() -> Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in /proc/self/status")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(format!("{} MiB", kib >> 10))
}
