//! `shell`: a bash-compatible script, interpreted in this process.
//!
//! There are no processes: the stages of a pipeline run one after the other through memory, `&` runs in order, and a
//! command is a function of the crate `commands`. What the script does to files is staged like every other tool's.

mod arithmetic;
mod braces;
mod builtins;
mod condition;
#[cfg(test)]
mod corpus;
mod expand;
mod fields;
mod glob;
mod keep;
mod parameter;
mod parse;
mod pattern;
mod quote;
mod redirect;
mod run;
mod shell;
mod simple;
mod stop;
mod streams;
mod transform;
mod variables;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use kit::{Failure, Output, Tool};
use serde::Deserialize;

use shell::Shell;
use streams::{Descriptors, Sink, Source};
use variables::{Attribute, Variable, Variables};

/// Where a session begins.
const WORKSPACE: &str = "/work";

/// The session's own folder.
const TMP: &str = "/tmp";

/// What a session keeps between calls, in its own folder.
const STATE: &str = ".shell-state.json";

/// Bytes of output that are returned: a script that prints more should print to a file.
const MAX_OUTPUT_BYTES: usize = 2 << 20;

struct ShellTool;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    script: String,
    stdin: Option<String>,
}

impl Tool for ShellTool {
    const NAME: &'static str = "shell";
    const DESCRIPTION: &'static str = "Runs a bash script in the sandbox and returns what it printed (standard output \
        and standard error as written) and its exit code when that is not 0. The current folder (first /work, the \
        workspace), variables and functions persist within the session; /tmp is the session's own. There are no \
        processes and no network: pipelines run stage by stage, `&` runs in order, and only the built-in commands \
        exist (the usual coreutils, grep, sed, awk, find, xargs, jq, diff, tar and more; no git, compilers or \
        interpreters). Not supported: process substitution, coprocesses, aliases, job control, select.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Arguments = Arguments;

    fn call(arguments: Arguments) -> Result<Output, Failure> {
        let output = Sink::memory(MAX_OUTPUT_BYTES);
        let stdin = Source::new(Cursor::new(arguments.stdin.unwrap_or_default().into_bytes()));
        let descriptors = Descriptors::new(stdin, output.clone(), output.clone());
        let mut shell = Shell::new(PathBuf::from(WORKSPACE), surroundings(), descriptors);
        let state = Path::new(TMP).join(STATE);
        let mut notes: Vec<String> = keep::load(&mut shell, &state).into_iter().collect();
        let status = shell.script(&arguments.script);
        shell.state.descriptors.flush();
        notes.extend(keep::save(&shell, &state));
        if output.is_broken() {
            notes.push(format!("the script was stopped after {MAX_OUTPUT_BYTES} bytes of output"));
        }
        let text = String::from_utf8_lossy(&output.take_bytes()).into_owned();
        Ok(answer(text, status, &notes))
    }
}

kit::export!(ShellTool);

/// Returns the variables of a session that has just begun.
fn surroundings() -> Variables {
    let exported = [
        ("HOME", WORKSPACE),
        ("LANG", "C.UTF-8"),
        ("LOGNAME", "user"),
        ("OLDPWD", WORKSPACE),
        ("PATH", "/usr/bin:/bin"),
        ("PWD", WORKSPACE),
        ("SHELL", "/bin/bash"),
        ("TMPDIR", TMP),
        ("USER", "user"),
    ];
    let own =
        [("BASH_VERSION", "5.2.0(1)-boxagnts"), ("BASH", "/bin/bash"), ("HOSTNAME", "sandbox"), ("OSTYPE", "wasi")];
    let with = |attributes: &[Attribute]| {
        let attributes = attributes.iter().copied().collect();
        move |(name, text): (&str, &str)| {
            (
                name.to_owned(),
                Variable { attributes: std::collections::BTreeSet::clone(&attributes), ..Variable::scalar(text) },
            )
        }
    };
    let variables: BTreeMap<_, _> =
        exported.into_iter().map(with(&[Attribute::Exported])).chain(own.into_iter().map(with(&[]))).collect();
    Variables::from_map(variables)
}

/// Returns the result of a script that printed `text`.
fn answer(mut text: String, status: i32, notes: &[String]) -> Output {
    let lines = text.lines().count();
    for note in notes {
        line(&mut text, &format!("[note: {note}]"));
    }
    if status != 0 {
        line(&mut text, &format!("[exit code {status}]"));
    }
    if text.is_empty() {
        text.push_str("[no output]");
    }
    Output { text, summary: format!("exit code {status}, {}", kit::counted(lines, "line")) }
}

fn line(text: &mut String, line: &str) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_says_the_exit_code_when_it_is_not_zero() {
        assert_eq!(answer("a".into(), 0, &[]).text, "a");
        assert_eq!(answer("a".into(), 3, &[]).text, "a\n[exit code 3]\n");
        assert_eq!(answer(String::new(), 0, &[]).text, "[no output]");
        assert_eq!(answer("a\n".into(), 1, &["n".into()]).text, "a\n[note: n]\n[exit code 1]\n");
    }
}
