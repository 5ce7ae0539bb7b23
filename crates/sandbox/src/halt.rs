//! Why a call ended early: what the host raised, and what wasmtime reports.

use protocol::StopCause;
use wasmtime::Trap;
use wasmtime::component::ResourceTableError;

use crate::outcome::Ending;

/// Bytes of a crash's text: a backtrace names functions, and a component may name them as it likes.
const MAX_TEXT_BYTES: usize = 4 << 10;

/// What host code raises to end a guest at once. It travels through wasmtime as the error of a host call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Halt {
    #[error("a limit was reached: {0:?}")]
    Limit(StopCause),
    #[error("the call was cancelled")]
    Cancelled,
    /// The stage broke off a copy because a bound of the call was reached; which one, the call knows.
    #[error("a host call was interrupted")]
    Interrupted,
    #[error("the tool exited instead of returning")]
    Exited { code: u8 },
}

/// Host code panicked under a guest.
#[derive(Debug, thiserror::Error)]
#[error("host code panicked: {0}")]
pub(crate) struct Panicked(pub(crate) String);

/// Returns how a call ended that failed with `error`, after its limiter refused `refused`.
pub(crate) fn ending(error: &wasmtime::Error, refused: Option<StopCause>) -> Ending {
    match error.downcast_ref::<Halt>() {
        Some(Halt::Limit(cause)) => return Ending::Stopped(*cause),
        Some(Halt::Cancelled | Halt::Interrupted) => return Ending::Cancelled,
        Some(exited @ Halt::Exited { .. }) => {
            return refused.map_or_else(|| Ending::Trapped(exited.to_string()), Ending::Stopped);
        }
        None => {}
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
        return Ending::Stopped(StopCause::Resources);
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() || error.is::<Panicked>() {
        return Ending::HostFailed(error.to_string());
    }
    let cause = match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Some(StopCause::Fuel),
        Some(Trap::StackOverflow) => Some(StopCause::Stack),
        Some(Trap::Interrupt) => Some(StopCause::Deadline),
        Some(_) => refused,
        None => refused.or_else(|| untyped(error)),
    };
    cause.map_or_else(|| Ending::Trapped(cut(format!("{error:#}"))), Ending::Stopped)
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    text
}

/// Recognises the limits that wasmtime reports by text only; tests hold these texts to the version in use.
fn untyped(error: &wasmtime::Error) -> Option<StopCause> {
    let text = error.root_cause().to_string();
    let known = [
        ("resource limit exceeded", StopCause::Resources),
        ("store handle limit exceeded", StopCause::Resources),
        ("fuel allocated for hostcalls has been exhausted", StopCause::Output),
    ];
    known.iter().find(|(part, _)| text.contains(part)).map(|(_, cause)| *cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_says_no_more_than_its_share() {
        let error = wasmtime::Error::msg("é".repeat(MAX_TEXT_BYTES));
        assert_eq!(ending(&error, None), Ending::Trapped("é".repeat(MAX_TEXT_BYTES / 2)));
    }
}
