//! Tools written as WebAssembly text, for what no compiler emits.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Returns the component of a core module that has `fields` and answers a call with `body`, the code of a function from
/// `name` and `arguments` (two pairs of pointer and length) to a pointer at the result.
///
/// The result lies at 64: the tag of `ok`, then text and summary as pairs of pointer and length, both empty unless
/// written. The allocator starts at 4,096 and never frees.
pub(crate) fn component(fields: &str, body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            (global $next (mut i32) (i32.const 4096))
            {fields}
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
                (global.set $next (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            (func (export "boxagnts:tool/tool@0.1.0#definitions") (result i32) (i32.const 32))
            (func (export "boxagnts:tool/tool@0.1.0#call") (param i32 i32 i32 i32) (result i32)
                {body}
                (i32.const 64)))"#
    );
    encode(&text)
}

/// Returns the component of a whole core module in text, for the tool world.
pub(crate) fn encode(text: &str) -> Vec<u8> {
    encode_for(text, "package boxagnts:handmade; world guest { include boxagnts:tool/tool-guest@0.1.0; }")
}

/// Returns the component of a whole core module in text, for the world `guest` that `wit` describes.
pub(crate) fn encode_for(text: &str, wit: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).unwrap();
    let mut resolve = Resolve::default();
    resolve.push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit")).unwrap();
    let package = resolve.push_str("handmade.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

/// Returns the component of a plain command whose `run` has `body`, the code of a function to 0 (ok) or 1.
pub(crate) fn command(body: &str, fields: &str) -> Vec<u8> {
    let text = format!(r#"(module {fields} (func (export "wasi:cli/run@0.2.0#run") (result i32) {body}))"#);
    let wit = "package boxagnts:handmade;
        world guest { export wasi:cli/run@0.2.0; }
        package wasi:cli@0.2.0 { interface run { run: func() -> result; } }";
    encode_for(&text, wit)
}
