//! How a call ended.

use protocol::{CallUsage, StopCause};
use stage::Stage;

use crate::host::network::Refusal;

/// A staged directory tree as one call sees it.
pub struct Mount {
    /// The guest's name of it, absolute: `/work`.
    pub name: String,
    pub stage: Stage,
}

/// What a call left behind.
pub struct Outcome {
    pub ending: Ending,
    pub usage: CallUsage,
    /// The mounts of the call, with what the guest staged in them.
    pub mounts: Vec<Mount>,
    /// What the guest printed: its standard output, then its standard error; counted in the output limit.
    pub printed: String,
    /// Connections that were refused while it ran.
    pub refusals: Vec<Refusal>,
}

/// The ways in which a call ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    Returned {
        /// What the model reads.
        text: String,
        /// One short line for people.
        summary: String,
    },
    /// The arguments do not fit the world as it is; the model can act on the text.
    Rejected(String),
    /// The tool says that it is at fault.
    Internal(String),
    /// A limit ended it.
    Stopped(StopCause),
    /// The guest crashed; the text is wasmtime's.
    Trapped(String),
    Cancelled,
    /// The host could not run it: a permit for another call, no slot, a panic in host code.
    HostFailed(String),
}
