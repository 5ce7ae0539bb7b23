//! Calls the host directly, as no honest tool would: for ever, with absurd numbers, without giving back, by odd names.
//!
//! One component with many modes, because each mode is a line or two. Without `std`, whose adapter would refuse much of
//! it before the host sees it.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![cfg(target_arch = "wasm32")]

mod extremes;
mod fills;
mod hoards;
mod names;
mod storms;
mod waits;

use bare::alloc::{format, string::String};
use wasi::filesystem::preopens::get_directories;
use wasi::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags};

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "hostcalls", generate_all });
}

use bindings::wasi;

bare::export!(
    "hostcalls",
    "Calls the host as `mode` says. The modes are listed by the mode `modes`, one in a line.",
    r#"{"type":"object","properties":{"mode":{"type":"string"}},"required":["mode"],"additionalProperties":false}"#,
    hostcalls
);

/// One mode: its name, and what it does.
struct Mode {
    name: &'static str,
    run: fn() -> String,
}

/// A mode that calls the host over and over.
macro_rules! endless {
    ($name:literal, $call:expr) => {
        crate::Mode { name: $name, run: || crate::for_ever($call) }
    };
}
use endless;

const MODES: [&[Mode]; 6] = [storms::MODES, waits::MODES, hoards::MODES, extremes::MODES, fills::MODES, names::MODES];

fn hostcalls(arguments: &str) -> String {
    let wanted = bare::text(arguments, "mode").unwrap_or_default();
    let mut modes = MODES.iter().copied().flatten();
    match modes.find(|mode| mode.name == wanted) {
        Some(mode) => (mode.run)(),
        None => MODES.iter().copied().flatten().map(|mode| format!("{}\n", mode.name)).collect(),
    }
}

/// Only a limit ends it.
fn for_ever<T>(mut call: impl FnMut() -> T) -> ! {
    loop {
        drop(core::hint::black_box(call()));
    }
}

/// Returns the first mount.
fn mount() -> Descriptor {
    get_directories().swap_remove(0).0
}

/// Opens or makes a file.
fn make(folder: &Descriptor, path: &str) -> Result<Descriptor, ErrorCode> {
    folder.open_at(PathFlags::empty(), path, OpenFlags::CREATE, DescriptorFlags::READ | DescriptorFlags::WRITE)
}

fn folder(within: &Descriptor, path: &str) -> Result<Descriptor, ErrorCode> {
    let flags = DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY;
    within.open_at(PathFlags::empty(), path, OpenFlags::DIRECTORY, flags)
}

/// Returns the name of what went wrong, or `ok`.
fn said<T>(result: Result<T, ErrorCode>) -> String {
    result.map_or_else(|code| code.name().into(), |_| "ok".into())
}
