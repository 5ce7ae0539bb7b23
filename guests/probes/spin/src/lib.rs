//! Never returns and never calls the host: only fuel or the deadline ends it.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![cfg(target_arch = "wasm32")]

use bare::alloc::string::String;

bare::export!("spin", "Computes for ever.", r#"{"type":"object","properties":{},"additionalProperties":false}"#, spin);

fn spin(_: &str) -> String {
    let mut turns = 0_u64;
    loop {
        turns = core::hint::black_box(turns.wrapping_add(1));
    }
}
