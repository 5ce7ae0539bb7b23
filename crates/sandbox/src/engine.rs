//! One wasmtime engine for the process, and the thread that drives its epochs.
//!
//! Fuel and epochs are part of how code is compiled, so an artifact without them cannot be loaded here.

use std::time::Duration;

use policy::Limits;
use wasmtime::{Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::SandboxError;

/// Time between two epochs: a guest that computes yields its thread this often, and a deadline or a cancellation reaches
/// it within two of them. Shorter would interrupt compute for nothing; the promise is 100 ms.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Address space for each linear memory. With all of 32 bits reserved, bounds checks cost nothing; it is not memory.
const FULL_RESERVATION_BYTES: u64 = 4 << 30;

/// Stack for host functions below a guest's own: they run on the guest's fiber, on top of what the guest used.
const HOST_STACK_BYTES: usize = 1 << 20;

/// Linear memories in one component. Typical components have one; every one reserves address space.
const MEMORIES_PER_CALL: u32 = 4;

/// Bytes of a used memory slot that stay resident for its next guest (reset, never shown).
const MEMORY_KEEP_RESIDENT_BYTES: usize = 2 << 20;

/// The same of a table or stack slot.
const SLOT_KEEP_RESIDENT_BYTES: usize = 64 << 10;

/// Largest address space that the pool asks for with full reservations; beyond it memories reserve only their ceiling.
const MAX_POOL_ADDRESS_BYTES: u64 = 1 << 40;

/// Returns the engine for `max_concurrent` calls at once, each within `ceiling`, with its epochs running.
///
/// Falls back to small reservations (explicit bounds checks) where address space is rationed.
pub(crate) fn start(max_concurrent: u32, ceiling: &Limits) -> Result<Engine, SandboxError> {
    let full = u64::from(max_concurrent) * u64::from(MEMORIES_PER_CALL) * FULL_RESERVATION_BYTES;
    let engine = if full <= MAX_POOL_ADDRESS_BYTES {
        Engine::new(&config(max_concurrent, ceiling, FULL_RESERVATION_BYTES))
            .or_else(|_| Engine::new(&config(max_concurrent, ceiling, pages(ceiling.memory_bytes))))
    } else {
        Engine::new(&config(max_concurrent, ceiling, pages(ceiling.memory_bytes)))
    }
    .map_err(SandboxError::Engine)?;
    tick(engine.weak())?;
    Ok(engine)
}

/// Returns `bytes` rounded up to whole WASM pages.
fn pages(bytes: u64) -> u64 {
    bytes.next_multiple_of(64 << 10)
}

fn config(max_concurrent: u32, ceiling: &Limits, reservation_bytes: u64) -> Config {
    let stack_bytes = size(ceiling.stack_bytes);
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(stack_bytes)
        .async_stack_size(stack_bytes + HOST_STACK_BYTES)
        .memory_reservation(reservation_bytes)
        .wasm_memory64(false)
        .relaxed_simd_deterministic(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(max_concurrent, ceiling)));
    config
}

fn pool(max_concurrent: u32, ceiling: &Limits) -> PoolingAllocationConfig {
    let instances = max_concurrent.saturating_mul(ceiling.instances);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(max_concurrent)
        .total_core_instances(instances)
        .max_core_instances_per_component(ceiling.instances)
        .total_memories(max_concurrent.saturating_mul(MEMORIES_PER_CALL))
        .max_memories_per_component(MEMORIES_PER_CALL)
        .max_memories_per_module(MEMORIES_PER_CALL)
        .max_memory_size(size(pages(ceiling.memory_bytes)))
        .total_tables(instances)
        .max_tables_per_component(ceiling.instances)
        .max_tables_per_module(ceiling.instances)
        .table_elements(size(ceiling.table_elements))
        .total_stacks(max_concurrent)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT_BYTES)
        .table_keep_resident(SLOT_KEEP_RESIDENT_BYTES)
        .async_stack_keep_resident(SLOT_KEEP_RESIDENT_BYTES)
        .pagemap_scan(Enabled::Auto);
    pool
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Advances the epoch every [`TICK`] until the engine is gone.
fn tick(engine: EngineWeak) -> Result<(), SandboxError> {
    let beat = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    };
    std::thread::Builder::new().name("epochs".into()).spawn(beat).map(drop).map_err(SandboxError::Ticker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_reservations_make_an_engine() {
        let ceiling = Limits::default();
        for reservation_bytes in [FULL_RESERVATION_BYTES, pages(ceiling.memory_bytes)] {
            Engine::new(&config(2, &ceiling, reservation_bytes)).unwrap();
        }
    }

    #[test]
    fn epochs_end_with_the_engine() {
        let engine = start(1, &Limits::default()).unwrap();
        let weak = engine.weak();
        drop(engine);
        while weak.upgrade().is_some() {
            std::thread::yield_now();
        }
    }
}
