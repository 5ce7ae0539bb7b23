//! Who asks.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// Who stands behind a proposal. Schedules, executors and MCP clients become principals with the layers that speak for
/// them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Principal {
    /// The person at the terminal, asking directly.
    User,
    /// A model that works for the person.
    Planner,
}

/// A text that names no principal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no principal; write `user` or `planner`")]
pub struct InvalidPrincipal(pub String);

impl FromStr for Principal {
    type Err = InvalidPrincipal;

    fn from_str(text: &str) -> Result<Self, InvalidPrincipal> {
        let known = [Self::User, Self::Planner].into_iter().find(|principal| principal.to_string() == text);
        known.ok_or_else(|| InvalidPrincipal(text.to_owned()))
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::User => "user",
            Self::Planner => "planner",
        })
    }
}
