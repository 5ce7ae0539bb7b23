//! Questions that wait for a person, and what they were answered.

use serde::{Deserialize, Serialize};

use crate::change::ChangeSet;
use crate::event::Observation;
use crate::hash::ContentHash;
use crate::id::{CallId, ChangeSetId};
use crate::tool::CallUsage;

/// What exactly a person is asked. An answer counts for this and for nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRequest {
    pub call: CallId,
    pub tool: String,
    pub subject: ApprovalSubject,
    /// What the answer is bound to: that of the decision which asks.
    pub digest: ContentHash,
    /// The effects that were judged: `write /work/README.md`.
    pub effects: Vec<String>,
    /// The rule that wants an answer.
    pub rule: String,
    /// Why it is asked, for people.
    pub reason: String,
    /// What the call may use at most, for people.
    pub ceiling: String,
    /// Milliseconds since the Unix epoch; a yes is worth nothing from then on.
    pub expires_at_ms: u64,
}

/// Which step of a call waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "subject", rename_all = "snake_case")]
pub enum ApprovalSubject {
    /// Its start.
    Call,
    /// Making true what it staged.
    Commit { change_set: ChangeSetId },
    /// Running it again, although the first time may have had an effect.
    Repeat,
}

/// What a person answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalAnswer {
    pub allowed: bool,
    /// Whether the same effects of the same tool need no answer for the rest of the session.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remembered: bool,
}

/// A call that ran and whose effects wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldCall {
    /// What it staged, in the order in which it is committed. The contents are kept.
    pub changes: Vec<HeldChanges>,
    /// Whether a person was asked about the call's own effects, and allowed them.
    pub approved: bool,
    /// The whole text that it returns.
    pub text: ContentHash,
    pub summary: String,
    pub usage: CallUsage,
    pub observed: Vec<Observation>,
}

/// One change set that waits, for an answer or for its commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldChanges {
    pub change_set: ChangeSetId,
    #[serde(flatten)]
    pub changes: ChangeSet,
}
