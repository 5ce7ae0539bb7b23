//! Tools that say what they are in plain data.

use sandbox::LoadError;
use serde_json::json;

use crate::handmade;
use crate::setting::{Given, files, fresh, shared, text, wasm};

const SECTION: &str = "boxagnts:tool/definitions";

/// Appends a declaration to a component, as a custom section.
fn declaring(component: Vec<u8>, declaration: &[u8]) -> Vec<u8> {
    let name = [&leb(SECTION.len()), SECTION.as_bytes()].concat();
    [component, vec![0], leb(name.len() + declaration.len()), name, declaration.to_vec()].concat()
}

/// Returns `number` as WebAssembly writes it (LEB128).
fn leb(number: usize) -> Vec<u8> {
    let low = u8::try_from(number & 0x7f).unwrap();
    if number < 0x80 { vec![low] } else { [vec![low | 0x80], leb(number >> 7)].concat() }
}

fn declaration(told: [&str; 3]) -> Vec<u8> {
    let field = |text: &&str| [&u32::try_from(text.len()).unwrap().to_le_bytes(), text.as_bytes()].concat();
    told.iter().flat_map(field).collect()
}

/// A tool that traps when it is asked what it offers, and answers calls with an empty text.
fn silent() -> Vec<u8> {
    let text = r#"(module
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096)
        (func (export "boxagnts:tool/tool@0.1.0#definitions") (result i32) unreachable)
        (func (export "boxagnts:tool/tool@0.1.0#call") (param i32 i32 i32 i32) (result i32) i32.const 64))"#;
    handmade::encode(text)
}

#[tokio::test]
async fn a_tool_that_declares_itself_is_neither_run_nor_compiled_for_it() {
    let (folder, sandbox) = fresh(1);
    let cache = folder.path().join("cache");
    let tool = sandbox.load(declaring(silent(), &declaration(["any", "d", "{}"]))).unwrap();
    let [definition] = tool.definitions().await.unwrap() else { panic!("one tool is declared") };
    assert_eq!((definition.name.as_str(), definition.description.as_str()), ("any", "d"));
    assert_eq!((files(&cache, "code"), files(&cache, "definitions")), (0, 0));
    let outcome = Given::nothing().run_in(&sandbox, &tool, "any", &json!({}), Vec::new()).await;
    assert_eq!((text(&outcome), files(&cache, "code")), ("", 1));
}

#[tokio::test]
async fn the_tools_that_ship_declare_themselves() {
    let (folder, sandbox) = fresh(1);
    for name in ["edit", "fetch", "glob", "grep", "js", "list", "read", "shell", "write"] {
        let tool = sandbox.load(wasm(name)).unwrap();
        assert_eq!(tool.definitions().await.unwrap()[0].name, name);
    }
    assert_eq!(files(&folder.path().join("cache"), "code"), 0);
}

#[test]
fn a_declaration_is_checked_as_an_answer_is() {
    let refused = |declaration: &[u8]| match shared().load(declaring(silent(), declaration)) {
        Err(LoadError::InvalidDefinition(reason)) => reason,
        other => panic!("{:?}", other.err()),
    };
    assert!(refused(&declaration(["Not a name", "d", "{}"])).contains("Not a name"));
    assert!(refused(&declaration(["any", "d", "{\"a\":1,\"a\":2}"])).contains("the schema of `any`"));
    assert!(refused(&declaration(["any", "d", "{}"])[..9]).contains("cut off"));
    assert!(refused(&declaration(["any", "d", "{}"]).repeat(65)).contains("65 tools"));
}

#[tokio::test]
async fn what_declares_itself_and_is_no_tool_fails_when_it_is_prepared() {
    let command = handmade::command("(i32.const 0)", "");
    let tool = shared().load(declaring(command, &declaration(["any", "d", "{}"]))).unwrap();
    assert!(matches!(tool.prepare().await, Err(LoadError::World(_))));
}
