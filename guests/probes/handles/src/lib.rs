//! Opens one file over and over and closes none of them.
//!
//! Without `std`, whose adapter would give up at 128 descriptors by itself.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![cfg(target_arch = "wasm32")]

use bare::alloc::{format, string::String, vec::Vec};
use wasi::filesystem::preopens::get_directories;
use wasi::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};

mod bindings {
    wit_bindgen::generate!({ path: "../../bare/wit", world: "descriptors", generate_all });
}

use bindings::wasi;

bare::export!(
    "handles",
    "Opens the file `path` of the first mount `count` times at once and says how many times that worked.",
    r#"{"type":"object","properties":{"count":{"type":"integer","minimum":0},"path":{"type":"string","pattern":"^[^0-9\"]*$"}},"required":["path","count"],"additionalProperties":false}"#,
    handles
);

fn handles(arguments: &str) -> String {
    let path = bare::text(arguments, "path").unwrap_or_default();
    let wanted = bare::number(arguments);
    let mounts = get_directories();
    let Some((mount, _)) = mounts.first() else { return "no mount".into() };
    let mut open = Vec::new();
    while (open.len() as u64) < wanted {
        match mount.open_at(PathFlags::empty(), path, OpenFlags::empty(), DescriptorFlags::READ) {
            Ok(file) => open.push(file),
            Err(error) => return format!("{} open, then {error:?}", open.len()),
        }
    }
    format!("{} open", open.len())
}
