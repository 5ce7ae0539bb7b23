//! Layer: the ground. Verb: NAMES.
//!
//! What crosses a wire or a disk is named here: identifiers, messages, tool calls, change sets, amounts of money and the
//! journal's events, as plain data. Every crate may ask it; it asks nobody.
//!
//! Deliberately absent: I/O, clocks, randomness, and every decision. A `ToolCall` here is a proposal of an untrusted
//! planner, nothing more.

#![warn(clippy::unwrap_used)]

mod approval;
mod change;
mod event;
mod hash;
mod id;
mod json;
mod message;
mod money;
mod spending;
mod tool;

pub use approval::{ApprovalAnswer, ApprovalRequest, ApprovalSubject, HeldCall, HeldChanges};
pub use change::{Change, ChangeSet, CommitMode, Conflict, Node};
pub use event::{
    Basis, CallOutcome, CommitOutcome, DecisionRecord, Event, EventBody, ModelFailure, ModelFailureKind, Observation,
    Purpose, RequestOutcome, Stamp, StopCause, Taped, TurnOutcome, Verdict,
};
pub use hash::{ContentHash, Hasher, InvalidHash};
pub use id::{ApprovalId, CallId, ChangeSetId, InvalidId, SessionId, TurnId};
pub use json::{InvalidJson, MAX_JSON_DEPTH, canonical, digest, parse};
pub use message::{Arguments, Message, ModelReply, Part, Role, StopReason, TokenUsage, ToolCall, ToolResult};
pub use money::{InvalidUsd, MicroUsd};
pub use spending::{BudgetScope, Measure, Spending};
pub use tool::{CallUsage, Level, ToolDefinition};
