//! How a command ends, and what it says when something is wrong.

use std::fmt::Display;
use std::io::{self, Write};

use crate::Invocation;

/// Exit code of a command whose reader has enough: 128 and the number of SIGPIPE.
const READER_GONE: i32 = 141;

/// Why a command stops before its work is done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// Standard output, or a file that the command writes, takes no more.
    #[error("write error: {}", reason(.0))]
    Write(#[from] io::Error),
    /// An input could not be read to its end.
    #[error("read error: {}", reason(.0))]
    Read(io::Error),
    /// The command cannot go on.
    #[error("{text}")]
    Failed { text: String, code: i32 },
    /// It has said why already, or there is nothing to say.
    #[error("exit code {0}")]
    Quiet(i32),
    /// `--help` was asked for.
    #[error("help")]
    Help,
    /// `--version` was asked for.
    #[error("version")]
    Version,
}

impl Stop {
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::Failed { text: text.into(), code: 1 }
    }

    /// The command was used wrongly: two is what grep, sort, diff and ls answer then.
    pub(crate) fn code(code: i32, text: impl Into<String>) -> Self {
        Self::Failed { text: text.into(), code }
    }

    /// What is the matter with `name`.
    pub(crate) fn at(name: impl Display, error: &io::Error) -> Self {
        Self::failed(format!("{name}: {}", reason(error)))
    }
}

/// What a command returns inside: its exit code, or why it stops.
pub(crate) type Outcome = Result<i32, Stop>;

/// Says what is to be said about an outcome, and returns the exit code.
pub(crate) fn settle(outcome: Outcome, invocation: &mut Invocation<'_>) -> i32 {
    let stop = match outcome {
        Ok(code) => return flushed(code, invocation),
        Err(stop) => stop,
    };
    match stop {
        Stop::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => READER_GONE,
        Stop::Quiet(code) => flushed(code, invocation),
        Stop::Help => tell(invocation, "Usage: ", " [OPTION]... [OPERAND]..."),
        Stop::Version => tell(invocation, "", concat!(" (BoxAgnts commands) ", env!("CARGO_PKG_VERSION"))),
        Stop::Failed { ref text, code } => {
            complain(invocation, text);
            code
        }
        Stop::Write(_) | Stop::Read(_) => {
            complain(invocation, stop);
            1
        }
    }
}

/// What is still on its way when a command ends is part of its output.
fn flushed(code: i32, invocation: &mut Invocation<'_>) -> i32 {
    match invocation.stdout.flush() {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => READER_GONE,
        Err(error) => {
            complain(invocation, Stop::Write(error));
            1
        }
        Ok(()) => code,
    }
}

fn tell(invocation: &mut Invocation<'_>, before: &str, after: &str) -> i32 {
    let name = name_of(invocation);
    i32::from(writeln!(invocation.stdout, "{before}{name}{after}").is_err())
}

/// Writes a line to standard error, after the command's name. Whether anybody reads it changes nothing.
pub(crate) fn complain(invocation: &mut Invocation<'_>, text: impl Display) {
    say(invocation.stderr, invocation.args, text);
}

/// The same, where another stream is still in use.
pub(crate) fn say(stderr: &mut dyn Write, args: &[String], text: impl Display) {
    let name = short_name(args);
    drop(writeln!(stderr, "{name}: {text}"));
}

/// Complains that `name` could not be used.
pub(crate) fn complain_at(invocation: &mut Invocation<'_>, name: impl Display, error: &io::Error) {
    complain(invocation, format_args!("{name}: {}", reason(error)));
}

pub(crate) fn name_of(invocation: &Invocation<'_>) -> String {
    short_name(invocation.args).to_owned()
}

fn short_name(args: &[String]) -> &str {
    let word = args.first().map_or("command", String::as_str);
    word.rsplit('/').next().unwrap_or(word)
}

/// Returns what the C library says about an error.
pub(crate) fn reason(error: &io::Error) -> String {
    use io::ErrorKind as Kind;
    let known = match error.kind() {
        Kind::NotFound => "No such file or directory",
        Kind::PermissionDenied => "Permission denied",
        Kind::AlreadyExists => "File exists",
        Kind::IsADirectory => "Is a directory",
        Kind::NotADirectory => "Not a directory",
        Kind::DirectoryNotEmpty => "Directory not empty",
        Kind::ReadOnlyFilesystem => "Read-only file system",
        Kind::StorageFull => "No space left on device",
        Kind::QuotaExceeded => "Disk quota exceeded",
        Kind::FileTooLarge => "File too large",
        Kind::CrossesDevices => "Invalid cross-device link",
        Kind::TooManyLinks => "Too many links",
        Kind::InvalidFilename => "File name too long",
        Kind::Unsupported => "Operation not supported",
        Kind::InvalidInput => "Invalid argument",
        _ => return without_number(&error.to_string()),
    };
    known.to_owned()
}

/// The standard library appends the number that the system gave.
fn without_number(text: &str) -> String {
    text.split_once(" (os error ").map_or(text, |(before, _)| before).to_owned()
}
