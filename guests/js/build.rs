//! Gives the component room for the parser's stack.

use std::env;

/// Bytes of the stack in linear memory. The engine's parser puts much there and little on the stack that the sandbox
/// limits; with this much room it is that limit that ends a deep recursion, and the call says so.
const STACK_BYTES: u32 = 8 << 20;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        println!("cargo:rustc-link-arg-cdylib=-zstack-size={STACK_BYTES}");
    }
}
