//! How a run ends early.

/// Why a command did not simply end with an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// `break n`, with the loops still to leave.
    Break(u32),
    /// `continue n`, with the loops still to leave before one goes on.
    Continue(u32),
    /// `return`, out of a function or a sourced file.
    Return(i32),
    /// The shell, or the subshell, ends.
    Exit(i32),
    /// An expansion failed and was reported: what stands on the same line is not run.
    Abort,
}

/// What is wrong, in the words that a person or a model reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Complaint(pub String);

impl From<String> for Complaint {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Complaint {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// What a run returns.
pub type Run<T> = Result<T, Stop>;
