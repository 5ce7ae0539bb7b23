//! Plain `wasi:cli/run` commands: what goes in, what comes out, and that no guard is missing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use policy::{Access, Limits};
use protocol::StopCause;
use sandbox::{Call, Ending, Invocation, LoadError, LoadedCommand, Mount, Outcome};
use serde_json::json;

use crate::setting::{Given, Workspace, files, fresh, shared, wasm};
use crate::{handmade, imports};

/// Returns the C program that `cargo xtask foreign` built.
fn count() -> LoadedCommand {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/foreign/count/count.wasm"));
    let bytes = std::fs::read(path).expect("`cargo xtask foreign` builds it");
    shared().load_command(bytes).unwrap()
}

async fn run(given: &Given, command: &LoadedCommand, argv: &[&str], stdin: &str, mounts: Vec<Mount>) -> Outcome {
    let arguments = json!({});
    let call = Call {
        tool: "program",
        arguments: &arguments,
        mounts,
        network: None,
        recording: None,
        cancel: given.cancel.clone(),
    };
    let argv = argv.iter().map(|item| (*item).to_owned()).collect();
    let invocation = Invocation { call, argv, stdin: stdin.as_bytes().to_vec() };
    shared().run_command(given.permit("program", &arguments), command, invocation).await
}

fn returned(text: &str) -> Ending {
    Ending::Returned { text: text.into(), summary: format!("{} lines", text.lines().count()) }
}

#[tokio::test]
async fn input_goes_in_and_standard_output_comes_out() {
    let given = Given::nothing();
    let outcome = run(&given, &count(), &[], "one two\nthree\n", Vec::new()).await;
    assert_eq!(outcome.ending, returned("2 3 14 -\n"));
    assert_eq!(outcome.usage.output_bytes, 9);
    let outcome = run(&given, &count(), &["--lines"], "one\n", Vec::new()).await;
    assert_eq!(outcome.ending, returned("1 -\n"));
    let large = "word ".repeat(200_000);
    let outcome = run(&given, &count(), &[], &large, Vec::new()).await;
    assert_eq!(outcome.ending, returned("0 200000 1000000 -\n"));
}

#[tokio::test]
async fn arguments_stay_whole_and_files_are_those_of_its_mounts() {
    let workspace = Workspace::with(&[("a b.txt", "x\n"), ("sub/c.txt", "x y\n")]);
    let given = Given::files(Access::Read);
    let outcome = run(&given, &count(), &["a b.txt", "/work/sub/c.txt"], "", vec![workspace.work()]).await;
    assert_eq!(outcome.ending, returned("1 1 2 a b.txt\n1 2 4 /work/sub/c.txt\n"));
    for path in ["/etc/passwd", "../../etc/passwd"] {
        let outcome = run(&given, &count(), &[path], "", vec![workspace.work()]).await;
        assert!(
            matches!(&outcome.ending, Ending::Rejected(text) if text.starts_with("exit code 1\ncount: ")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn another_exit_code_is_a_rejection_with_standard_error() {
    let outcome = run(&Given::nothing(), &count(), &["--evil"], "", Vec::new()).await;
    assert_eq!(outcome.ending, Ending::Rejected("exit code 1\ncount: there is no option --evil\n".into()));
    let failing = handmade::command("(i32.const 1)", "");
    let outcome = run(&Given::nothing(), &shared().load_command(failing).unwrap(), &[], "", Vec::new()).await;
    assert_eq!(outcome.ending, Ending::Rejected("exit code 1\n".into()));
    let succeeding = handmade::command("(i32.const 0)", "");
    let outcome = run(&Given::nothing(), &shared().load_command(succeeding).unwrap(), &[], "", Vec::new()).await;
    assert_eq!(outcome.ending, returned(""));
}

#[tokio::test]
async fn limits_and_crashes_end_a_command_as_they_end_a_tool() {
    let spin = shared().load_command(handmade::command("(loop $ever (br $ever)) (i32.const 0)", "")).unwrap();
    let given = Given::limits(Limits { fuel: 1_000_000, ..Limits::default() });
    assert_eq!(run(&given, &spin, &[], "", Vec::new()).await.ending, Ending::Stopped(StopCause::Fuel));
    let given = Given::limits(Limits { timeout_ms: 50, fuel: u64::MAX >> 8, ..Limits::default() });
    assert_eq!(run(&given, &spin, &[], "", Vec::new()).await.ending, Ending::Stopped(StopCause::Deadline));
    let crash = shared().load_command(handmade::command("unreachable", "")).unwrap();
    let outcome = run(&Given::nothing(), &crash, &[], "", Vec::new()).await;
    assert!(matches!(outcome.ending, Ending::Trapped(_)), "{:?}", outcome.ending);
    // A failed allocation that the program answers with an exit code is still the limit's doing.
    let grow =
        "(if (i32.eq (memory.grow (i32.const 60000)) (i32.const -1)) (then (return (i32.const 1)))) (i32.const 0)";
    let grow = shared().load_command(handmade::command(grow, "(memory (export \"memory\") 1)")).unwrap();
    assert_eq!(run(&Given::nothing(), &grow, &[], "", Vec::new()).await.ending, Ending::Stopped(StopCause::Memory));
}

#[tokio::test]
async fn printing_too_much_stops_it() {
    let given = Given::limits(Limits { output_bytes: 3, ..Limits::default() });
    let outcome = run(&given, &count(), &[], "x", Vec::new()).await;
    assert_eq!(outcome.ending, Ending::Stopped(StopCause::Output));
}

#[tokio::test]
async fn a_permit_for_other_arguments_runs_nothing() {
    let given = Given { files: BTreeMap::new(), ..Given::nothing() };
    let (approved, changed) = (json!({"a": 1}), json!({"a": 2}));
    let call = Call {
        tool: "program",
        arguments: &changed,
        mounts: Vec::new(),
        network: None,
        recording: None,
        cancel: given.cancel.clone(),
    };
    let invocation = Invocation { call, argv: Vec::new(), stdin: Vec::new() };
    let outcome = shared().run_command(given.permit("program", &approved), &count(), invocation).await;
    assert!(matches!(&outcome.ending, Ending::HostFailed(text) if text.contains("permit")), "{:?}", outcome.ending);
}

#[tokio::test]
async fn a_tool_is_no_command_and_a_command_no_tool() {
    let tool = shared().load_command(wasm("spin")).unwrap();
    assert!(matches!(tool.prepare().await, Err(LoadError::World(_))));
    assert!(matches!(shared().load(handmade::command("(i32.const 0)", "")), Err(LoadError::World(_))));
    assert!(matches!(shared().load_command(imports::importing("wasi:sockets/raw@0.2.0")), Err(LoadError::Imports(_))));
    let large = vec![0; sandbox::MAX_WASM_BYTES + 1];
    assert!(matches!(shared().load_command(large), Err(LoadError::TooLarge { .. })));
}

#[test]
fn a_command_is_not_compiled_to_say_what_it_imports() {
    let (folder, sandbox) = fresh(1);
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/foreign/count/count.wasm")).unwrap();
    let imports = sandbox.load_command(bytes).unwrap().imports().to_vec();
    assert!(imports.iter().any(|name| name.starts_with("wasi:filesystem/types@0.2.")), "{imports:?}");
    assert_eq!(files(&folder.path().join("cache"), "code"), 0);
}
