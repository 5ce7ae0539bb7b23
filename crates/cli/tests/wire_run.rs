//! A headless run against two wire formats, on a real source tree of more than a thousand files.

mod product;
mod wire;

use std::path::{Path, PathBuf};

use product::{Product, Said};
use serde_json::json;
use wire::{Step, Wire};

/// Files that the tree must have at least.
const FILES: usize = 1_000;

/// The model's way: search, read what was found, change one line, and say so.
fn steps() -> Vec<Step> {
    vec![
        Step::Call("grep", json!({"pattern": "MARK-OF-THE-TEST", "context": 1})),
        Step::Call("read", json!({"path": "needle/src/hidden.rs"})),
        Step::Call(
            "edit",
            json!({"path": "needle/src/hidden.rs", "edits": [{"old": "MARK-OF-THE-TEST", "new": "MARK-THAT-WAS-FOUND"}]}),
        ),
        Step::Say("I changed the mark in needle/src/hidden.rs."),
    ]
}

/// Copies the sources of dependencies until there are enough files, and hides one of our own among them.
fn tree() -> Product {
    let product = Product::new();
    let mut files = 0;
    for source in dependency_sources() {
        if files >= FILES {
            break;
        }
        files += copy(&source, &product.root().join(source.file_name().unwrap()));
    }
    assert!(files >= FILES, "only {files} files");
    product.write("needle/src/hidden.rs", "// one\nconst MARK: &str = \"MARK-OF-THE-TEST\";\n// three\n");
    product
}

/// Returns the folders of this build's dependencies, as cargo has them unpacked.
fn dependency_sources() -> Vec<PathBuf> {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let named = |name: &&serde_json::Value| {
        ["wasmtime", "rustix", "jiff", "clap_builder", "regex-automata"].contains(&name["name"].as_str().unwrap())
    };
    let external = packages.iter().filter(|package| !package["source"].is_null());
    let (first, rest): (Vec<_>, Vec<_>) = external.partition(named);
    let folder = |package: &serde_json::Value| {
        Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
    };
    first.into_iter().chain(rest).map(folder).collect()
}

fn copy(from: &Path, to: &Path) -> usize {
    std::fs::create_dir_all(to).unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (kind, target) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            files += copy(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).unwrap();
            files += 1;
        }
    }
    files
}

fn check(product: &Product, wire: &Wire, said: &Said) {
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(product.read("needle/src/hidden.rs"), "// one\nconst MARK: &str = \"MARK-THAT-WAS-FOUND\";\n// three\n");
    let turn = |types: &mut Vec<&str>, calls: &[&'static str]| {
        types.extend(["model_called", "model_replied"]);
        types.extend(calls);
    };
    let mut expected = vec!["session_opened", "turn_opened"];
    // What decisions are made by is said once: the policy, and each tool.
    turn(&mut expected, &["policy_stated", "tool_stated", "call_decided", "call_finished"]);
    turn(&mut expected, &["tool_stated", "call_decided", "call_finished"]);
    turn(&mut expected, &["tool_stated", "call_decided", "commit_decided", "commit_intended"]);
    expected.extend(["commit_finished", "call_finished"]);
    turn(&mut expected, &["turn_closed"]);
    assert_eq!(said.types(), expected);
    assert_eq!(said.stderr, "");
    let finished: Vec<_> = said.events().into_iter().filter(|event| event["type"] == "call_finished").collect();
    assert!(finished.iter().all(|event| event["outcome"]["outcome"] == "succeeded"), "{finished:#?}");
    assert!(finished[0]["result"]["text"].as_str().unwrap().contains("needle/src/hidden.rs:2"), "{}", finished[0]);
    let last = wire.requests().last().unwrap().to_string();
    assert_eq!(wire.requests().len(), 4);
    assert!(last.contains("needle/src/hidden.rs:2") && last.contains("MARK-OF-THE-TEST"), "{last}");
}

const TASK: [&str; 5] = ["--headless", "--output", "json", "--max-turns", "20"];

#[test]
fn a_model_behind_an_openai_compatible_server_searches_reads_edits_and_finishes() {
    let (product, wire) = (tree(), Wire::serve(steps()));
    let arguments = [&["run", "--model", "openai/any-name"], &TASK[..], &["change the mark"]].concat();
    let output =
        product.command(&arguments).env("OPENAI_BASE_URL", wire.url("/v1")).env("OPENAI_API_KEY", "k").output();
    check(&product, &wire, &Said::from(output.unwrap()));
    assert_eq!(wire.requests()[0]["model"], "any-name");
}

#[test]
fn a_model_behind_an_anthropic_compatible_server_does_the_same() {
    let (product, wire) = (tree(), Wire::serve(steps()));
    let arguments = [&["run", "--model", "anthropic/any-name"], &TASK[..], &["change the mark"]].concat();
    let command = &mut product.command(&arguments);
    let output = command.env("ANTHROPIC_BASE_URL", wire.url("")).env("ANTHROPIC_API_KEY", "k").output();
    check(&product, &wire, &Said::from(output.unwrap()));
}

#[test]
fn a_provider_of_the_configuration_needs_no_environment() {
    let (product, wire) = (Product::new(), Wire::serve(vec![Step::Say("Nothing to do.")]));
    let url = wire.url("/v1");
    product.write("boxagnts.toml", &format!("model = \"local/tiny\"\n[providers.local]\nbase_url = \"{url}\"\n"));
    let said = product.run(&["run", "say hello", "--headless"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "Nothing to do.\n"), "{}", said.stderr);
    assert_eq!(wire.requests()[0]["model"], "tiny");
}

#[test]
fn a_provider_that_fails_ends_the_run_with_its_own_code_and_the_session_goes_on_later() {
    let product = Product::new();
    product.write("a.txt", "one\n");
    let failing = Wire::serve(vec![Step::Call("read", json!({"path": "a.txt"})), Step::Fail(429)]);
    let run = |wire: &Wire, arguments: &[&str]| {
        let command = &mut product.command(arguments);
        Said::from(command.env("OPENAI_BASE_URL", wire.url("/v1")).env("OPENAI_API_KEY", "k").output().unwrap())
    };
    let said = run(&failing, &["run", "--model", "openai/m", "read a.txt", "--headless"]);
    assert_eq!(said.code, Some(5), "{}", said.stderr);
    assert!(said.stderr.contains("the provider asks to wait 7 s; then go on: boxagnts resume"), "{}", said.stderr);
    let working = Wire::serve(vec![Step::Fail(500), Step::Say("It says one.")]);
    let said = run(&working, &["resume", "--headless"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "It says one.\n"), "{}", said.stderr);
}
