//! What sessions spend on models.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is counted of model calls and the work between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    ModelCalls,
    /// Input and output together.
    Tokens,
    MicroUsd,
    /// Milliseconds of a turn's work, by a clock that never jumps.
    TimeMs,
}

impl Measure {
    pub const ALL: [Self; 4] = [Self::ModelCalls, Self::Tokens, Self::MicroUsd, Self::TimeMs];
}

/// For whom something is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetScope {
    /// One model call.
    Call,
    /// One message of a person, up to its answer.
    Turn,
    Session,
    /// All sessions of the workspace in one day, by UTC.
    Day,
}

impl fmt::Display for BudgetScope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Call => "model call",
            Self::Turn => "turn",
            Self::Session => "session",
            Self::Day => "day",
        })
    }
}

/// An amount of each [`Measure`]: spent, reserved, or at most to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spending {
    pub model_calls: u64,
    pub tokens: u64,
    pub micro_usd: u64,
    pub time_ms: u64,
}

impl Spending {
    /// Returns the amount of one measure.
    pub fn of(&self, measure: Measure) -> u64 {
        match measure {
            Measure::ModelCalls => self.model_calls,
            Measure::Tokens => self.tokens,
            Measure::MicroUsd => self.micro_usd,
            Measure::TimeMs => self.time_ms,
        }
    }

    /// Returns what `combine` makes of each measure of both.
    #[must_use]
    pub fn with(&self, other: &Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            model_calls: combine(self.model_calls, other.model_calls),
            tokens: combine(self.tokens, other.tokens),
            micro_usd: combine(self.micro_usd, other.micro_usd),
            time_ms: combine(self.time_ms, other.time_ms),
        }
    }

    /// Returns both together; what is too much to count is the most there is.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// Returns what is left when `other` is taken away, never less than nothing.
    #[must_use]
    pub fn less(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_sub)
    }

    /// Returns the first measure of which `self` has more than `limit`.
    pub fn beyond(&self, limit: &Self) -> Option<Measure> {
        Measure::ALL.into_iter().find(|measure| self.of(*measure) > limit.of(*measure))
    }
}
