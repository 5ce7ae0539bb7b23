//! Tools as the runtime names them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How much harm a tool could do, from nothing to never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Computes; touches nothing.
    None,
    /// Reads within its mounts.
    ReadOnly,
    /// Changes files, staged.
    Write,
    /// Runs code that the planner wrote.
    Execute,
    /// Has effects that cannot be undone.
    Dangerous,
    /// Is never run.
    Forbidden,
}

impl Level {
    /// Every level, least first.
    pub const ALL: [Self; 6] =
        [Self::None, Self::ReadOnly, Self::Write, Self::Execute, Self::Dangerous, Self::Forbidden];
}

impl std::fmt::Display for Level {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(match self {
            Self::None => "none",
            Self::ReadOnly => "read_only",
            Self::Write => "write",
            Self::Execute => "execute",
            Self::Dangerous => "dangerous",
            Self::Forbidden => "forbidden",
        })
    }
}

/// What a model is told about a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolDefinition {
    pub name: String,
    pub description: String,
    /// JSON Schema (draft 2020-12) of the arguments object.
    pub input_schema: Value,
}

/// What one call used, in the units of the limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallUsage {
    /// Fuel consumed (wasmtime's unit: roughly one per WASM instruction).
    pub fuel: u64,
    /// Wall clock, in microseconds.
    pub wall_us: u64,
    /// Largest linear memory, in bytes, over all memories of the call.
    pub memory_bytes: u64,
    /// Bytes returned or printed.
    pub output_bytes: u64,
    /// Bytes held by the stage.
    pub staged_bytes: u64,
}
