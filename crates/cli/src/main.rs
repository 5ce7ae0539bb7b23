//! Layer: the outermost. Verb: ASSEMBLES.
//!
//! Wires the layers together and speaks to the terminal. It asks every layer; only people and scripts ask it. Boot mints
//! the one root grant. `exit.rs` and `translate.rs` are the one place where errors become words and exit codes.
//!
//! Deliberately absent: decisions, loops and effects of its own. A tool called from here takes the same way as a model's.

#![warn(clippy::unwrap_used)]

mod approve;
mod args;
mod boot;
mod commands;
mod exit;
mod interrupt;
mod place;
mod progress;
mod translate;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Approvals, Audit, Changes, Cli, Command, Policy, Secret, Session, Tool};
use crate::exit::{Exit, Failure};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(Err(Failure::internal(format!("the runtime cannot start: {error}")))),
    };
    let result = runtime.block_on(dispatch(cli));
    // What still blocks (a question nobody answers) must not keep the process alive.
    runtime.shutdown_background();
    report(result)
}

fn report(result: Result<Exit, Failure>) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit.into()
        }
    }
}

async fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    let place = &cli.place;
    match cli.command {
        Command::Run(run) => commands::run::run(place, run).await,
        Command::Resume(resume) => commands::run::resume(place, resume).await,
        Command::Tool(Tool::List) => commands::tool::list(place).await,
        Command::Tool(Tool::Show { name }) => commands::tool::show(place, &name).await,
        Command::Tool(Tool::Call { name, input, headless }) => {
            commands::tool::call(place, &name, &input, headless).await
        }
        Command::Tool(Tool::Add { path, yes }) => commands::extension::add(place, &path, yes).await,
        Command::Tool(Tool::Approve { name, yes }) => commands::extension::approve(place, &name, yes).await,
        Command::Tool(Tool::Rm { name }) => commands::extension::remove(place, &name),
        Command::Secret(Secret::Set { name, host, placed }) => commands::secret::set(place, &name, &host, &placed),
        Command::Secret(Secret::List) => commands::secret::list(place),
        Command::Secret(Secret::Rm { name }) => commands::secret::remove(place, &name),
        Command::Session(Session::List) => commands::session::list(place),
        Command::Session(Session::Show { id, turns, output }) => commands::session::show(place, &id, turns, output),
        Command::Session(Session::Name { id, name }) => commands::session::name(place, &id, &name),
        Command::Session(Session::Search { text }) => commands::session::search(place, &text),
        Command::Session(Session::Fork { id, at, name }) => {
            commands::session::fork(place, &id, at.as_deref(), name.as_deref())
        }
        Command::Session(Session::Export { id, format }) => commands::export::export(place, &id, format),
        Command::Changes(Changes::List) => commands::changes::list(place),
        Command::Changes(Changes::Diff { id }) => commands::staged::diff(place, id.as_deref()),
        Command::Changes(Changes::Commit { session }) => commands::staged::commit(place, session.as_deref()).await,
        Command::Changes(Changes::Discard { session }) => commands::staged::discard(place, session.as_deref()),
        Command::Changes(Changes::Undo { id, how }) => commands::undo::undo(place, id.as_deref(), how),
        Command::Changes(Changes::Redo { id, how }) => commands::undo::redo(place, id.as_deref(), how),
        Command::Gc(gc) => commands::gc::gc(place, &gc),
        Command::Approve { id, remember } => commands::approvals::answer(place, &id, true, remember),
        Command::Deny { id } => commands::approvals::answer(place, &id, false, false),
        Command::Approvals(Approvals::List { all }) => commands::approvals::list(place, all),
        Command::Approvals(Approvals::Show { id }) => commands::approvals::show(place, &id),
        Command::Approvals(Approvals::Revoke { id }) => commands::approvals::revoke(place, &id),
        Command::Explain { id, output } => commands::explain::explain(place, id.as_deref(), output),
        Command::Replay { id, with, output } => commands::replay::replay(place, &id, with.as_deref(), output).await,
        Command::Policy(Policy::Show) => commands::policy::show(place),
        Command::Policy(Policy::Test { file }) => commands::policy::test(place, &file).await,
        Command::Policy(Policy::WhatIf { file, session }) => {
            commands::policy::what_if(place, &file, session.as_deref())
        }
        Command::Audit(Audit::Verify { output }) => commands::audit::verify(place, output),
        Command::Audit(Audit::Export { file, session }) => commands::audit::export(place, &file, &session),
        Command::Audit(Audit::Accept) => commands::audit::accept(place),
        Command::Doctor => commands::doctor::doctor(place).await,
        Command::Demo => commands::demo::demo().await,
    }
}
