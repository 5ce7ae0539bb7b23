//! The limits of one tool call. There is no "unlimited": every field is finite, and zero means none at all.

use serde::{Deserialize, Serialize};

/// What one call may use at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Fuel (wasmtime's unit: about one per WASM instruction).
    pub fuel: u64,
    /// Wall clock from the start of the call, in milliseconds; host calls included.
    pub timeout_ms: u64,
    /// Bytes over all linear memories of the call.
    pub memory_bytes: u64,
    /// Bytes of WASM stack.
    pub stack_bytes: u64,
    /// Bytes that the call may return and print.
    pub output_bytes: u64,
    /// Elements over all tables of the call.
    pub table_elements: u64,
    /// Core instances, and memories, and tables: at most so many of each.
    pub instances: u32,
    /// Handles that are open at the same time.
    pub open_files: u32,
    /// Bytes of staged content, by logical size.
    pub staged_bytes: u64,
    /// Paths in a stage.
    pub staged_entries: u64,
    /// HTTP requests, each hop of a redirect counted; TCP connections; destinations of datagrams; lookups of names.
    pub requests: u32,
    /// Connections and UDP sockets that are open at the same time.
    pub connections: u32,
    /// Bytes of all response bodies, after decompression, and of all that sockets receive.
    pub received_bytes: u64,
}

impl Default for Limits {
    /// Returns limits that a search through a large repository fits in and a runaway does not.
    fn default() -> Self {
        Self {
            fuel: 20_000_000_000,
            timeout_ms: 30_000,
            memory_bytes: 256 << 20,
            stack_bytes: 1 << 20,
            output_bytes: 4 << 20,
            table_elements: 100_000,
            instances: 32,
            open_files: 256,
            staged_bytes: 256 << 20,
            staged_entries: 100_000,
            requests: 32,
            connections: 8,
            received_bytes: 16 << 20,
        }
    }
}

impl Limits {
    /// The widest limits that this runtime enforces; only ever met with others, never in force by themselves.
    pub const MAX: Self = Self {
        fuel: 1 << 62,
        timeout_ms: 3_600_000,
        memory_bytes: 4 << 30,
        stack_bytes: 64 << 20,
        output_bytes: 64 << 20,
        table_elements: 10_000_000,
        instances: 1_000,
        open_files: 10_000,
        staged_bytes: 64 << 30,
        staged_entries: 10_000_000,
        requests: 10_000,
        connections: 256,
        received_bytes: 4 << 30,
    };

    /// Returns the smaller of each limit.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        Self {
            fuel: self.fuel.min(other.fuel),
            timeout_ms: self.timeout_ms.min(other.timeout_ms),
            memory_bytes: self.memory_bytes.min(other.memory_bytes),
            stack_bytes: self.stack_bytes.min(other.stack_bytes),
            output_bytes: self.output_bytes.min(other.output_bytes),
            table_elements: self.table_elements.min(other.table_elements),
            instances: self.instances.min(other.instances),
            open_files: self.open_files.min(other.open_files),
            staged_bytes: self.staged_bytes.min(other.staged_bytes),
            staged_entries: self.staged_entries.min(other.staged_entries),
            requests: self.requests.min(other.requests),
            connections: self.connections.min(other.connections),
            received_bytes: self.received_bytes.min(other.received_bytes),
        }
    }
}

/// Limits as a person or a manifest writes them; what is not written stays as it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsSpec {
    /// Fuel units.
    pub wasm_fuel: Option<u64>,
    /// Milliseconds.
    pub wasm_timeout: Option<u64>,
    /// Bytes.
    pub wasm_max_memory_size: Option<u64>,
    /// Bytes.
    pub wasm_max_wasm_stack: Option<u64>,
    /// Bytes.
    pub max_output_bytes: Option<u64>,
    pub max_table_elements: Option<u64>,
    pub max_instances: Option<u32>,
    pub max_open_files: Option<u32>,
    /// Bytes.
    pub max_staged_bytes: Option<u64>,
    pub max_staged_entries: Option<u64>,
    pub max_requests: Option<u32>,
    pub max_connections: Option<u32>,
    /// Bytes.
    pub max_received_bytes: Option<u64>,
}

/// A limit outside the range that this runtime can enforce.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name} = {value}` is outside {least}..={most}")]
pub struct InvalidLimits {
    pub name: &'static str,
    pub value: u64,
    pub least: u64,
    pub most: u64,
}

impl LimitsSpec {
    /// Returns `base` with what is written here; a value beyond what the runtime can enforce is an error, never clamped.
    pub fn resolve(&self, base: &Limits) -> Result<Limits, InvalidLimits> {
        let wide = Limits::MAX;
        let narrow = |name, value: Option<u32>, base: u32, most: u32| {
            ranged(name, value.map(u64::from), u64::from(base), 1, u64::from(most))
                .map(|value| u32::try_from(value).expect("the range ends below u32::MAX"))
        };
        Ok(Limits {
            fuel: ranged("wasm_fuel", self.wasm_fuel, base.fuel, 1, wide.fuel)?,
            timeout_ms: ranged("wasm_timeout", self.wasm_timeout, base.timeout_ms, 1, wide.timeout_ms)?,
            memory_bytes: ranged(
                "wasm_max_memory_size",
                self.wasm_max_memory_size,
                base.memory_bytes,
                LEAST_MEMORY_BYTES,
                wide.memory_bytes,
            )?,
            stack_bytes: ranged(
                "wasm_max_wasm_stack",
                self.wasm_max_wasm_stack,
                base.stack_bytes,
                LEAST_STACK_BYTES,
                wide.stack_bytes,
            )?,
            output_bytes: ranged("max_output_bytes", self.max_output_bytes, base.output_bytes, 1, wide.output_bytes)?,
            table_elements: ranged(
                "max_table_elements",
                self.max_table_elements,
                base.table_elements,
                1,
                wide.table_elements,
            )?,
            instances: narrow("max_instances", self.max_instances, base.instances, wide.instances)?,
            open_files: narrow("max_open_files", self.max_open_files, base.open_files, wide.open_files)?,
            staged_bytes: ranged("max_staged_bytes", self.max_staged_bytes, base.staged_bytes, 0, wide.staged_bytes)?,
            staged_entries: ranged(
                "max_staged_entries",
                self.max_staged_entries,
                base.staged_entries,
                0,
                wide.staged_entries,
            )?,
            requests: narrow("max_requests", self.max_requests, base.requests, wide.requests)?,
            connections: narrow("max_connections", self.max_connections, base.connections, wide.connections)?,
            received_bytes: ranged(
                "max_received_bytes",
                self.max_received_bytes,
                base.received_bytes,
                0,
                wide.received_bytes,
            )?,
        })
    }
}

/// One WASM page: less cannot hold a memory.
const LEAST_MEMORY_BYTES: u64 = 64 << 10;

/// Less cannot run the runtime's own entry into a guest.
const LEAST_STACK_BYTES: u64 = 64 << 10;

fn ranged(name: &'static str, value: Option<u64>, base: u64, least: u64, most: u64) -> Result<u64, InvalidLimits> {
    let value = value.unwrap_or(base);
    let within = (least..=most).contains(&value);
    within.then_some(value).ok_or(InvalidLimits { name, value, least, most })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_their_own_ranges() {
        assert_eq!(LimitsSpec::default().resolve(&Limits::default()), Ok(Limits::default()));
    }

    #[test]
    fn a_limit_that_cannot_be_enforced_is_refused() {
        let spec = LimitsSpec { wasm_timeout: Some(u64::MAX), ..LimitsSpec::default() };
        let expected = InvalidLimits { name: "wasm_timeout", value: u64::MAX, least: 1, most: 3_600_000 };
        assert_eq!(spec.resolve(&Limits::default()), Err(expected));
    }

    #[test]
    fn meeting_takes_the_smaller_of_each() {
        let small = Limits { fuel: 5, open_files: 1, ..Limits::default() };
        let other = Limits { fuel: 9, timeout_ms: 7, ..Limits::default() };
        assert_eq!(small.meet(&other), Limits { fuel: 5, timeout_ms: 7, open_files: 1, ..Limits::default() });
    }
}
