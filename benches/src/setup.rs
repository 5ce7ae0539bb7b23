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

/// Returns a figure of `/proc/self/status`: `VmHWM`, the most memory that was resident, or `VmRSS`, what is now.
pub(crate) fn memory(name: &str) -> Result<String> {
    Ok(format!("{} MiB", memory_kib(name)? >> 10))
}

/// Returns the same in KiB.
pub(crate) fn memory_kib(name: &str) -> Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let of = |line: &str| line.strip_prefix(name)?.strip_prefix(':').map(|rest| rest.trim().to_owned());
    let figure = status.lines().find_map(of).with_context(|| format!("no {name} in /proc/self/status"))?;
    Ok(figure.trim_end_matches(" kB").parse()?)
}
