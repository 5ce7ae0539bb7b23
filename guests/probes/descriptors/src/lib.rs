//! Uses descriptors directly, with the lengths and offsets that a careless host would allocate or add up.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![cfg(target_arch = "wasm32")]

use bare::alloc::{format, string::String, vec::Vec};
use core::fmt::Debug;
use wasi::filesystem::preopens::get_directories;
use wasi::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};

mod bindings {
    wit_bindgen::generate!({ path: "../../bare/wit", world: "descriptors", generate_all });
}

use bindings::wasi;

bare::export!(
    "descriptors",
    "Makes the file `path` in the first mount and tries extreme reads, writes and sizes; one line for each. With \
     `beyond` it asks for more than any stage holds: `write` or `size`.",
    r#"{"type":"object","properties":{"path":{"type":"string"},"beyond":{"type":"string"}},"required":["path"],"additionalProperties":false}"#,
    descriptors
);

fn descriptors(arguments: &str) -> String {
    let path = bare::text(arguments, "path").unwrap_or_default();
    let mounts = get_directories();
    let Some((mount, _)) = mounts.first() else { return "no mount".into() };
    let create = OpenFlags::CREATE | OpenFlags::TRUNCATE;
    let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
    match mount.open_at(PathFlags::empty(), path, create, flags) {
        Ok(file) => match bare::text(arguments, "beyond") {
            Some("write") => said("write 1 at 1 << 62", file.write(b"x", 1 << 62)),
            Some(_) => said("set size to 1 << 62", file.set_size(1 << 62)),
            None => [extremes(&file), rights(mount, path)].concat().join("\n"),
        },
        Err(error) => format!("open: {error:?}"),
    }
}

fn extremes(file: &Descriptor) -> Vec<String> {
    let read = |length, offset| file.read(length, offset).map(|(bytes, end)| (bytes.len(), end));
    [
        said("write 5 at 0", file.write(b"hello", 0)),
        said("read 2 at 1", file.read(2, 1)),
        said("read 10 at 3", file.read(10, 3)),
        said("read at the end", read(10, 5)),
        said("read u64::MAX at 0", read(u64::MAX, 0)),
        said("read 1 at u64::MAX", read(1, u64::MAX)),
        said("write 1 at u64::MAX", file.write(b"x", u64::MAX)),
        said("set size to u64::MAX", file.set_size(u64::MAX)),
        said("set size to 3", file.set_size(3)),
        said("read 10 at 0", file.read(10, 0)),
    ]
    .into()
}

/// What a descriptor that was opened with fewer rights still does.
fn rights(mount: &Descriptor, path: &str) -> Vec<String> {
    let open = |flags| mount.open_at(PathFlags::empty(), path, OpenFlags::empty(), flags);
    let folder = |flags| mount.open_at(PathFlags::empty(), ".", OpenFlags::DIRECTORY, flags);
    [
        said("write to a reader", open(DescriptorFlags::READ).map(|file| file.write(b"x", 0))),
        said("resize a reader", open(DescriptorFlags::READ).map(|file| file.set_size(0))),
        said("read from a writer", open(DescriptorFlags::WRITE).map(|file| file.read(1, 0))),
        said("make a directory in a reader", folder(DescriptorFlags::READ).map(|at| at.create_directory_at("made"))),
        said("flags of a reader", folder(DescriptorFlags::READ).map(|at| at.get_flags())),
    ]
    .into()
}

fn said(what: &str, outcome: impl Debug) -> String {
    format!("{what}: {outcome:?}")
}
