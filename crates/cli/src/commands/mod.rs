//! One file for each command.

pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod changes;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod extension;
pub(crate) mod gc;
pub(crate) mod policy;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod secret;
pub(crate) mod session;
pub(crate) mod staged;
pub(crate) mod tool;
pub(crate) mod undo;

use std::io::{Write as _, stdout};

use protocol::Verdict;

use crate::exit::Failure;

/// Prints `text` on stdout; a reader that went away is not an error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    match writeln!(stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failure::internal(format!("stdout cannot be written: {error}"))),
    }
}

/// Returns `text`, or what stdin holds when it is `-`.
pub(crate) fn argument_or_stdin(text: &str) -> Result<String, Failure> {
    match text {
        "-" => std::io::read_to_string(std::io::stdin())
            .map_err(|error| Failure::usage(format!("stdin cannot be read: {error}"))),
        text => Ok(text.to_owned()),
    }
}

/// Returns a verdict as rules write it.
pub(crate) fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Ask => "ask",
        Verdict::Deny => "deny",
    }
}

/// Returns a time as people read it, in UTC: `2026-03-01 09:14:00Z`.
pub(crate) fn moment(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.map_or_else(|| "?".into(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_short_and_an_impossible_one_is_no_panic() {
        assert_eq!(moment(1_772_356_440_000), "2026-03-01 09:14:00Z");
        assert_eq!(moment(u64::MAX), "?");
    }
}
