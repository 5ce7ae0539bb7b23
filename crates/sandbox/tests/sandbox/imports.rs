//! What a component may import, and what is no tool at all.

use sandbox::{LoadError, MAX_WASM_BYTES};

use crate::handmade;
use crate::setting::{shared, tool};

fn refused(wasm: Vec<u8>) -> LoadError {
    shared().load(wasm).err().expect("it is no tool for this host")
}

/// Returns a component that imports one interface, empty, and offers nothing.
pub(crate) fn importing(name: &str) -> Vec<u8> {
    wat::parse_str(format!(r#"(component (import "{name}" (instance)))"#)).unwrap()
}

#[test]
fn every_interface_beyond_the_list_is_refused() {
    for name in [
        "wasi:sockets/raw@0.2.0",
        "wasi:http/incoming-handler@0.2.0",
        "wasi:cli/run@0.2.0",
        "wasi:clocks/timezone@0.2.0",
        "wasi:random/insecure@0.2.0",
        "wasi:config/store@0.2.0",
        "wasi:filesystem/types-and-more@0.2.0",
        "boxagnts:tool/tool@0.1.0",
    ] {
        assert!(matches!(refused(importing(name)), LoadError::Imports(names) if names == [name]), "{name}");
    }
    let function = wat::parse_str(r#"(component (import "exec" (func)))"#).unwrap();
    assert!(matches!(refused(function), LoadError::Imports(names) if names == ["exec"]));
}

#[test]
fn an_allowed_interface_of_another_generation_is_refused() {
    let error = refused(importing("wasi:io/poll@0.9.0"));
    assert!(matches!(error, LoadError::World(_)), "{error:?}");
}

#[test]
fn imports_are_told_with_their_versions() {
    assert_eq!(tool("spin").imports(), [""; 0]);
    let imports = tool("fsops").imports().to_vec();
    assert!(imports.iter().any(|name| name.starts_with("wasi:filesystem/types@0.2.")), "{imports:?}");
}

#[test]
fn what_is_no_component_is_refused() {
    for bytes in [Vec::new(), b"#!/bin/sh".to_vec(), wat::parse_str("(module)").unwrap()] {
        assert!(matches!(refused(bytes), LoadError::Invalid(_)));
    }
    assert!(matches!(refused(wat::parse_str("(component)").unwrap()), LoadError::World(_)));
    assert!(
        matches!(refused(vec![0; MAX_WASM_BYTES + 1]), LoadError::TooLarge { found } if found == MAX_WASM_BYTES + 1)
    );
}

#[tokio::test]
async fn a_component_that_offers_nothing_is_refused() {
    let tool = shared().load(handmade::component(r#"(memory (export "memory") 1)"#, "")).unwrap();
    let error = tool.definitions().await.unwrap_err();
    assert!(matches!(error, LoadError::InvalidDefinition(_)), "{error:?}");
}

#[tokio::test]
async fn a_component_that_crashes_when_asked_is_refused() {
    let text = r#"(module
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "boxagnts:tool/tool@0.1.0#definitions") (result i32) (loop $ever (br $ever)) unreachable)
        (func (export "boxagnts:tool/tool@0.1.0#call") (param i32 i32 i32 i32) (result i32) unreachable))"#;
    let error = shared().load(handmade::encode(text)).unwrap().definitions().await.unwrap_err();
    assert!(matches!(error, LoadError::Definitions(sandbox::Ending::Stopped(protocol::StopCause::Fuel))), "{error:?}");
}
