//! `cargo xtask demo` and `cargo xtask bench`: builds what they show, and shows it.

use anyhow::Result;

use crate::checkout::{self, cargo};
use crate::guests;

pub(crate) const DEMO: crate::Command =
    crate::Command { name: "demo", about: "builds everything and shows the runtime at work", run: demo };

pub(crate) const BENCH: crate::Command =
    crate::Command { name: "bench", about: "measures the runtime and prints a table", run: bench };

fn demo(arguments: &[String]) -> Result<()> {
    guests::build()?;
    run(&["run", "--locked", "--package", "boxagnts", "--", "demo"], arguments)
}

fn bench(arguments: &[String]) -> Result<()> {
    guests::build()?;
    // The bench of a new process starts the program that lies beside it.
    let mut build = cargo();
    build.args(["build", "--locked", "--release", "--package", "boxagnts"]).current_dir(checkout::root()?);
    checkout::run(&mut build)?;
    run(&["run", "--locked", "--release", "--package", "boxagnts-benches", "--"], arguments)
}

fn run(cargo_run: &[&str], arguments: &[String]) -> Result<()> {
    let mut cargo = cargo();
    cargo.args(cargo_run).args(arguments).stdin(std::process::Stdio::inherit()).current_dir(checkout::root()?);
    checkout::run(&mut cargo)
}
