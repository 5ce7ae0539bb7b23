//! Allocates and touches memory until the host refuses, then traps as an allocator does.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![cfg(target_arch = "wasm32")]

use bare::alloc::{string::String, vec};

/// Large enough to reach any limit quickly, small enough to come close to it.
const BLOCK_BYTES: usize = 1 << 20;

bare::export!(
    "hoard",
    "Allocates without end.",
    r#"{"type":"object","properties":{},"additionalProperties":false}"#,
    hoard
);

fn hoard(_: &str) -> String {
    loop {
        core::hint::black_box(vec![1_u8; BLOCK_BYTES].leak());
    }
}
