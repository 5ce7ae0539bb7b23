//! Embeds the hostile guests that the demo meets, which `cargo xtask guests` builds from source.

use std::path::PathBuf;
use std::{env, fs};

/// The probes that the demo meets.
const PROBES: [&str; 2] = ["spin", "hoard"];

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../..");
    let probes = root.join("target/guests/probes");
    let package = |probe: &&str| {
        let file = |extension: &str| {
            let path = probes.join(format!("{probe}.{extension}"));
            println!("cargo:rerun-if-changed={}", path.display());
            let path = path.canonicalize().unwrap_or_else(|_| {
                panic!("{} is not built yet\n\nhint: run `cargo xtask guests` first", path.display())
            });
            format!("{:?}", path.display().to_string())
        };
        format!("(include_str!({}), include_bytes!({})),", file("toml"), file("wasm"))
    };
    let source: String = PROBES.iter().map(package).collect();
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it")).join("probes.rs");
    fs::write(out, format!("[{source}]")).expect("the build folder takes files");
}
