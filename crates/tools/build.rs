//! Embeds the built-in tools, which `cargo xtask guests` builds from source.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The tools that ship with the runtime.
const TOOLS: [&str; 9] = ["edit", "fetch", "glob", "grep", "js", "list", "read", "shell", "write"];

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../..");
    let guests = root.join("target/guests");
    println!("cargo:rerun-if-changed={}", guests.display());
    let mut source = String::from("[\n");
    for tool in TOOLS {
        let (manifest, component) = (guests.join(format!("{tool}.toml")), guests.join(format!("{tool}.wasm")));
        let line = format!("    ({}, {}),", include("include_str", &manifest), include("include_bytes", &component));
        writeln!(source, "{line}").expect("a string takes text");
    }
    source.push(']');
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it")).join("builtin.rs");
    fs::write(out, source).expect("the build folder takes files");
}

fn include(how: &str, path: &Path) -> String {
    println!("cargo:rerun-if-changed={}", path.display());
    let path = path.canonicalize().unwrap_or_else(|_| {
        panic!("the built-in tool {} is not built yet\n\nhint: run `cargo xtask guests` first", path.display())
    });
    format!("{how}!({:?})", path.display().to_string())
}
