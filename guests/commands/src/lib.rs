//! The shell's commands: coreutils, `grep`, `sed`, `awk`, `find`, `jq`, `tar` and their like, as functions.
//!
//! A library for the shell guest, which looks a command up by its name and calls it with words, surroundings and three
//! streams. Commands ask only the file system, the clock and the streams that they are given; a command that runs
//! another (`xargs`, `find -exec`, `env`) asks the [`Runner`], so that functions and built-ins are found too.
//!
//! Deliberately absent: processes, signals, terminals, users and groups other than one, a locale other than
//! `C.UTF-8`, a time zone other than UTC, and everything that changes the state of an interpreter (`cd`, `export`, …).
//! Nothing here keeps state between two calls. What each command does not support stands in `README.md`.

#![expect(clippy::struct_excessive_bools, reason = "commands have that many options")]
#![expect(clippy::match_same_arms, reason = "tables of directives are read in their own order")]
#![expect(clippy::case_sensitive_file_extension_comparisons, reason = "names differ by case where scripts run")]

mod archive;
mod awk;
mod clock;
mod compare;
mod date;
mod encode;
mod escape;
mod expr;
mod facts;
mod fields;
mod files;
mod find;
mod format;
mod grep;
mod hash;
mod input;
mod jq;
mod layout;
mod name;
mod numbers;
mod options;
mod pattern;
mod report;
mod sed;
mod sort;
mod system;
mod table;
mod test;
mod text;
mod tr;
mod words;

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

pub use table::{lookup, names};

/// What a command is given: its words, its surroundings and its three streams.
pub struct Invocation<'a> {
    /// argv; `[0]` is the command's name.
    pub args: &'a [String],
    /// Exported variables.
    pub env: &'a BTreeMap<String, String>,
    /// Absolute directory that relative paths belong to (there is no process-wide one to change).
    pub cwd: &'a Path,
    pub stdin: &'a mut dyn BufRead,
    pub stdout: &'a mut dyn Write,
    pub stderr: &'a mut dyn Write,
    /// Runs another simple command (xargs, find -exec, env, timeout, nohup, time …).
    pub runner: &'a mut dyn Runner,
}

/// Whoever can run a command by its words.
pub trait Runner {
    /// Runs one simple command (function, built-in or command) with the given streams and returns its exit code.
    fn run(
        &mut self,
        argv: &[String],
        env: &BTreeMap<String, String>,
        stdin: &mut dyn BufRead,
        stdout: &mut dyn Write,
        stderr: &mut dyn Write,
    ) -> i32;
}

/// A command; returns its exit code.
pub type Command = fn(&mut Invocation<'_>) -> i32;

impl Invocation<'_> {
    /// Returns where `operand` lies: beneath the current directory, unless it is absolute.
    pub fn path(&self, operand: &str) -> PathBuf {
        self.cwd.join(operand)
    }
}
