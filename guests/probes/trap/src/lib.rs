//! Executes `unreachable` at once.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![cfg(target_arch = "wasm32")]

use bare::alloc::string::String;

bare::export!("trap", "Traps.", r#"{"type":"object","properties":{},"additionalProperties":false}"#, trap);

fn trap(_: &str) -> String {
    core::arch::wasm32::unreachable()
}
