//! `cargo xtask COMMAND`: what a contributor and CI run. One file for each command.

mod checkout;
mod conformance;
mod demo;
mod deny;
mod edges;
mod foreign;
mod guests;
mod models;
mod sysroot;
mod test;
mod tidy;
mod wheel;

use std::fmt;
use std::process::ExitCode;

use anyhow::{Result, bail};

/// One command: its name, a line of help, and what it does with the arguments after its name.
struct Command {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const COMMANDS: &[Command] = &[
    test::COMMAND,
    conformance::COMMAND,
    demo::DEMO,
    demo::BENCH,
    guests::COMMAND,
    foreign::COMMAND,
    models::COMMAND,
    tidy::COMMAND,
    edges::COMMAND,
    deny::COMMAND,
];

/// A failure of which everything has been printed.
#[derive(Debug)]
struct Reported;

impl fmt::Display for Reported {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("see above")
    }
}

impl std::error::Error for Reported {}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is::<Reported>() {
                eprintln!("error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else { bail!("which command?\n\n{}", help()) };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        bail!("there is no command `{name}`\n\n{}", help())
    };
    (command.run)(rest)
}

fn help() -> String {
    let line = |command: &Command| format!("  cargo xtask {:11} {}", command.name, command.about);
    COMMANDS.iter().map(line).collect::<Vec<_>>().join("\n")
}
