//! One limiter over all memories and tables of a call.

use policy::Limits;
use protocol::StopCause;
use wasmtime::ResourceLimiter;

/// Counts what a call's memories and tables hold together, and remembers what it refused.
///
/// A refused growth reaches the guest as a failed allocation and usually comes back as an `unreachable` trap; what was
/// refused is then the real cause.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_bytes: Gauge,
    table_elements: Gauge,
    instances: usize,
    refused: Option<StopCause>,
}

#[derive(Debug)]
struct Gauge {
    held: u64,
    limit: u64,
}

impl Gauge {
    fn new(limit: u64) -> Self {
        Self { held: 0, limit }
    }

    /// Takes what growing from `current` to `desired` adds, or nothing when it does not fit.
    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let held = self.held.saturating_add(desired.saturating_sub(current) as u64);
        let fits = held <= self.limit;
        if fits {
            self.held = held;
        }
        fits
    }
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory_bytes: Gauge::new(limits.memory_bytes),
            table_elements: Gauge::new(limits.table_elements),
            instances: limits.instances as usize,
            refused: None,
        }
    }

    /// Returns the limit that refused growth, if any did.
    pub(crate) fn refused(&self) -> Option<StopCause> {
        self.refused
    }

    /// Returns the bytes of all memories. Memories never shrink, so it is also the peak.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_bytes.held
    }

    fn note(&mut self, fits: bool, cause: StopCause) -> bool {
        if !fits {
            self.refused = Some(cause);
        }
        fits
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let fits = self.memory_bytes.grow(current, desired);
        Ok(self.note(fits, StopCause::Memory))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let fits = self.table_elements.grow(current, desired);
        Ok(self.note(fits, StopCause::Resources))
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.instances
    }

    fn memories(&self) -> usize {
        self.instances
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter() -> Limiter {
        Limiter::new(&Limits { memory_bytes: 100, table_elements: 10, ..Limits::default() })
    }

    #[test]
    fn memories_share_one_limit() {
        let mut limiter = limiter();
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(!limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(60, 100, None).unwrap());
        assert_eq!((limiter.memory_bytes(), limiter.refused()), (100, Some(StopCause::Memory)));
    }

    #[test]
    fn tables_share_one_limit() {
        let mut limiter = limiter();
        assert!(limiter.table_growing(0, 10, None).unwrap());
        assert!(!limiter.table_growing(0, 1, None).unwrap());
        assert_eq!(limiter.refused(), Some(StopCause::Resources));
    }
}
