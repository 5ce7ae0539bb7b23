//! What was considered on the way to a decision. Collecting it is the one difference between deciding and explaining.

use protocol::Verdict;
use serde::Serialize;

/// One rule or guard that was considered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Considered {
    /// What it was considered for: `write /work/a`.
    pub effect: String,
    /// Its name.
    pub rule: String,
    /// What it said; `None` where it does not object, or speaks of something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Why, for people.
    pub reason: String,
    /// Whether the decision is what it said.
    pub decided: bool,
}

/// A decision with everything that was considered for it, in order. It gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    pub verdict: Verdict,
    /// The rule that decided.
    pub rule: String,
    /// The effect that it decided about; empty where it is about all.
    pub effect: String,
    pub reason: String,
    pub considered: Vec<Considered>,
}

/// Takes note of what is considered. The one that decides and needs no notes is [`Untraced`], which costs nothing.
pub(crate) trait Trace {
    /// Takes a note, and returns its place among them.
    fn note(&mut self, considered: impl FnOnce() -> Considered) -> usize;
}

/// Takes no notes.
pub(crate) struct Untraced;

impl Trace for Untraced {
    fn note(&mut self, _: impl FnOnce() -> Considered) -> usize {
        0
    }
}

impl Trace for Vec<Considered> {
    fn note(&mut self, considered: impl FnOnce() -> Considered) -> usize {
        self.push(considered());
        self.len() - 1
    }
}
