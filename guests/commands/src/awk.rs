//! `awk`: what POSIX says, and of gawk what most scripts use (`tolower`, `nextfile`, `**`, `length(array)`, `systime`,
//! `strftime`-less). What is missing stands in the README.

mod builtins;
mod interpret;
mod lex;
mod parse;
mod records;
mod streams;
mod syntax;
mod value;

use crate::Invocation;
use crate::escape::{self, Octal};
use crate::input;
use crate::options::Spec;
use crate::report::{Outcome, Stop};

/// Exit code of a program that cannot be read or goes wrong.
const FAILED: i32 = 2;

const AWK: Spec = Spec::new("F/field-separator= v/assign= f/file= W= version e/source= re-interval posix P S sandbox")
    .fails_with(FAILED)
    .operand_ends();

pub(crate) fn awk(invocation: &mut Invocation<'_>) -> Outcome {
    let options = AWK.parse(invocation.args)?;
    let mut operands = options.operands.iter().map(|operand| (*operand).to_owned());
    let mut sources = Vec::new();
    for found in &options.found {
        match found.name {
            "e" => sources.push(found.text().to_owned()),
            "f" => {
                let mut reader = input::open(invocation.cwd, invocation.stdin, found.text()).map_err(|error| {
                    Stop::code(
                        FAILED,
                        format!("couldn't open file {}: {}", found.text(), crate::report::reason(&error)),
                    )
                })?;
                sources.push(String::from_utf8_lossy(&input::everything(&mut *reader)?).into_owned());
            }
            _ => {}
        }
    }
    if sources.is_empty() {
        let usage = "usage: awk [-F fs][-v var=value][prog | -f progfile][file ...]";
        sources.push(operands.next().ok_or_else(|| Stop::code(FAILED, usage))?);
    }
    let mut assignments: Vec<(&str, &str)> = Vec::new();
    for found in options.found.iter().filter(|found| found.name == "v") {
        let wrong = || Stop::code(FAILED, format!("improper assignment: -v {}", found.text()));
        assignments.push(found.text().split_once('=').ok_or_else(wrong)?);
    }
    let separator = options.value("F").map(|text| if text == "t" { "\\t" } else { text });
    if let Some(separator) = separator {
        assignments.insert(0, ("FS", separator));
    }
    let mut program = parse::parse(&sources.join("\n"))?;
    let names: Vec<usize> = assignments.iter().map(|(name, _)| program.global(name)).collect();
    let operands: Vec<String> = operands.collect();
    let mut machine = interpret::Machine::new(invocation, &program, &operands);
    for (index, (_, text)) in names.into_iter().zip(assignments) {
        let (text, _) = escape::expand(text.as_bytes(), Octal::Plain);
        machine.assign_text(index, text)?;
    }
    machine.run()
}
