//! Layer: the tool interface, the one door between the loop and every effect. Verb: ROUTES.
//!
//! Takes a proposal, resolves and validates it, has `policy` judge it, has `sandbox` run it, has `workspace` remember and
//! commit it, and says what came of it. `query` and the command line ask it.
//!
//! Invariants: nothing runs that was not judged and recorded; a call changes nothing unless its change set was judged and
//! recorded again; whatever a model sends comes back as a result, never as an error of the runtime.
//!
//! Deliberately absent: any path to an effect that skips a step; what to do next (the loop's), how a decision is made
//! (policy's), how a guest is held (the sandbox's).

#![warn(clippy::unwrap_used)]

mod approval;
mod approver;
mod builtin;
mod call;
mod cap;
mod command;
mod entry;
mod extended;
mod extensions;
mod held;
mod imports;
mod manifest;
mod past;
mod question;
mod registry;
mod replay;
mod schema;
mod session;
mod source;
mod staged;
mod tape;
mod tools;

pub use approval::ApprovalError;
pub use approver::{Approver, Asked, Attendance, Unattended, Waiting};
pub use builtin::builtin;
pub use call::{Called, Finished};
pub use cap::MAX_RESULT_BYTES;
pub use command::{CommandSpec, InvalidCommand, ItemSpec};
pub use entry::Tool;
pub use extensions::Extensions;
pub use manifest::{Capabilities, FileAccess, InvalidManifest, Manifest, PathAccess, PathArgument, UrlArgument};
pub use past::Past;
pub use registry::{Candidate, ExtensionState, Listed, Package, Registry, RegistryError};
pub use replay::{Difference as ReplayDifference, Replayer, Result as ReplayResult};
pub use schema::{InvalidSchema, Schema};
pub use session::ToolSession;
pub use source::{Difference, ExtensionError};
pub use staged::Uncommitted;
pub use tools::{Tools, ToolsError, ToolsOptions};
