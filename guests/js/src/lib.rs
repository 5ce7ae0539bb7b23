//! `js`: a JavaScript program, run by an interpreter inside the sandbox.
//!
//! The engine is Boa; what a program finds beyond the language (console, timers, files, modules) is here. Whatever the
//! program does to files is staged like the work of any other tool. Deliberately absent: processes, packages, `Intl`,
//! and any limit of its own on time and memory, which the sandbox holds.

mod address;
mod bytes;
mod console;
mod events;
mod files;
mod globals;
mod inspect;
mod library;
mod modules;
mod program;
mod report;
mod request;
mod source;

use kit::{Failure, Output, Tool, locate};
use program::Program;
use serde::Deserialize;

struct Js;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    code: Option<String>,
    path: Option<String>,
    #[serde(default)]
    args: serde_json::Value,
}

impl Tool for Js {
    const NAME: &'static str = "js";
    const DESCRIPTION: &'static str = "Runs a JavaScript program (ES2023) and shows what it prints, and its result: the \
        value of the last expression of `code`, or the default export of the module file `path`. Promises are awaited. \
        Of Node's modules there are `fs`, `fs/promises` and `path`; files are imported by their paths. `fetch` reaches the \
        hosts that the person allows. What the program writes is kept only when it ends without an uncaught error. There \
        are no packages, no processes and no `Intl`.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Arguments = Arguments;

    fn call(arguments: Arguments) -> Result<Output, Failure> {
        let program = match (arguments.code, arguments.path) {
            (Some(code), None) => Program::Code(code),
            (None, Some(path)) => Program::File(locate(&path)),
            _ => return Err(Failure::rejected("say either `code` or `path`, and not both")),
        };
        program.run(&arguments.args)
    }
}

kit::export!(Js);
