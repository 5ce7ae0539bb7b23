//! Asks the host for any number of random bytes in one request, which the host must bound.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![cfg(target_arch = "wasm32")]

use bare::alloc::{format, string::String};
use wasi::random::random::get_random_bytes;

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package boxagnts:probe;

            world random-fill {
                import wasi:random/random@0.2.0;
            }

            package wasi:random@0.2.0 {
                interface random {
                    get-random-bytes: func(len: u64) -> list<u8>;
                }
            }
        ",
        generate_all,
    });
}

use bindings::wasi;

bare::export!(
    "random_fill",
    "Asks for `bytes` random bytes and says how many distinct values they have.",
    r#"{"type":"object","properties":{"bytes":{"type":"integer","minimum":0}},"required":["bytes"],"additionalProperties":false}"#,
    random_fill
);

fn random_fill(arguments: &str) -> String {
    let mut seen = [false; 256];
    for byte in get_random_bytes(bare::number(arguments)) {
        seen[usize::from(byte)] = true;
    }
    format!("{} distinct values", seen.iter().filter(|seen| **seen).count())
}
