//! Calls itself until the stack ends.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![cfg(target_arch = "wasm32")]

use bare::alloc::string::{String, ToString as _};

bare::export!(
    "recurse",
    "Recurses for ever.",
    r#"{"type":"object","properties":{},"additionalProperties":false}"#,
    recurse
);

fn recurse(_: &str) -> String {
    descend(core::hint::black_box(0)).to_string()
}

/// Returns something that needs every frame: mixing `*` and `^` keeps the compiler from making a loop of it.
#[inline(never)]
#[expect(unconditional_recursion, reason = "the purpose of this probe")]
fn descend(depth: u64) -> u64 {
    descend(depth.wrapping_add(1)).wrapping_mul(3) ^ depth
}
