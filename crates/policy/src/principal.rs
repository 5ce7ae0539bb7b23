//! Who asks.

use std::fmt;

/// Who stands behind a proposal. Schedules, executors and MCP clients become principals with the layers that speak for
/// them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Principal {
    /// The person at the terminal, asking directly.
    User,
    /// A model that works for the person.
    Planner,
}

impl fmt::Display for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::User => "user",
            Self::Planner => "planner",
        })
    }
}
