//! Returns as many bytes as it is asked for.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![cfg(target_arch = "wasm32")]

use bare::alloc::string::String;

bare::export!(
    "flood",
    "Returns a text of `bytes` bytes.",
    r#"{"type":"object","properties":{"bytes":{"type":"integer","minimum":0}},"required":["bytes"],"additionalProperties":false}"#,
    flood
);

fn flood(arguments: &str) -> String {
    "x".repeat(usize::try_from(bare::number(arguments)).unwrap_or(usize::MAX))
}
