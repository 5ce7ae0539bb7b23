//! Layer: between the tool interface and the sandbox. Verb: JUDGES.
//!
//! Says yes or no to one proposed effect, names the rule that said it, and makes the proof that an effect needs: a
//! [`Permit`] for a call, a [`CommitPermit`] for a change set. `tools` asks it; `sandbox` and `workspace` consume what it
//! makes; it asks only `protocol`.
//!
//! Invariants: a [`Grant`] only shrinks. A permit exists only after its decision was recorded, fits exactly one digest,
//! and is used up by redeeming it. Deny wins over everything, protection over every allowance.
//!
//! Deliberately absent: I/O, clocks, randomness, and any way to widen what was received.

#![warn(clippy::unwrap_used)]

mod budget;
mod capability;
mod case;
mod effect_class;
mod egress;
mod finding;
mod judge;
mod limits;
mod network;
mod path;
mod permit;
mod principal;
mod record;
mod rule;
mod secret;
mod trace;

pub use budget::{Budget, Exceeded, LEAST_OUTPUT_TOKENS, Need, Reservation, Room, reserve};
pub use capability::{Access, Authority, Capability, Grant, GrantSpec, Scope, SecretScope, ToolScope};
pub use case::{Case, Matter, RequestCase, Way};
pub use effect_class::EffectClass;
pub use egress::{Egress, Ruling, allowed_lookup, refuse_request};
pub use finding::COMMIT;
pub use judge::{Answer, CallRequest, CommitRequest, Decision, Denial, Judge, Judged, Question, Recorder};
pub use limits::{InvalidLimits, Limits, LimitsSpec};
pub use network::{
    HostPattern, InvalidBlock, InvalidPattern, InvalidTarget, NetworkRules, NetworkScope, Scheme, Target, UrlPattern,
    canonical_address, is_public,
};
pub use path::{InvalidPath, is_protected, resolve_argument};
pub use permit::{CommitPermit, Permit, PermitMismatch};
pub use principal::{InvalidPrincipal, Principal};
pub use record::{PolicyRecord, Request, ToolRecord};
pub use rule::{Effect, InvalidEffect, InvalidRule, Pattern, Rule, RuleSpec, default_rules};
pub use secret::{
    InvalidSecretName, InvalidSecretSpec, PLACEHOLDER_END, PLACEHOLDER_START, Placement, SecretName, SecretSpec,
    judge_secret, judge_secret_path, refuse_placeholder, refuse_placement,
};
pub use trace::{Considered, Explanation};
