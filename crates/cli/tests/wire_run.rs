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
    product.allow_model("openai", "any-name");
    product.allow_model("anthropic", "any-name");
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
    turn(&mut expected, &["policy_stated", "tool_stated", "call_decided", "call_taped", "call_finished"]);
    turn(&mut expected, &["tool_stated", "call_decided", "call_taped", "call_finished"]);
    turn(&mut expected, &["tool_stated", "call_decided", "commit_decided", "commit_intended"]);
    expected.extend(["commit_finished", "call_taped", "call_finished"]);
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
    product.allow_model("local", "tiny");
    let said = product.run(&["run", "say hello", "--headless"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "Nothing to do.\n"), "{}", said.stderr);
    assert_eq!(wire.requests()[0]["model"], "tiny");
}

#[test]
fn a_provider_that_fails_ends_the_run_with_its_own_code_and_the_session_goes_on_later() {
    let product = Product::new();
    product.allow_model("openai", "m");
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

#[test]
fn a_session_stops_before_it_overspends_and_goes_on_with_more() {
    let product = Product::new();
    product.write("a.txt", "one\n");
    product.write(
        "boxagnts.toml",
        "[providers.openai.models.m]\ninput_usd_per_mtok = 3\noutput_usd_per_mtok = 15\ncontext_window = 200000\n",
    );
    let wire = Wire::serve(vec![Step::Call("read", json!({"path": "a.txt"})), Step::Say("It says one.")]);
    let run = |arguments: &[&str]| {
        let command = &mut product.command(arguments);
        Said::from(command.env("OPENAI_BASE_URL", wire.url("/v1")).env("OPENAI_API_KEY", "k").output().unwrap())
    };
    let poor = run(&["run", "--model", "openai/m", "--budget-usd", "0.001", "read a.txt", "--headless"]);
    assert_eq!((poor.code, wire.requests().len()), (Some(3), 0), "{}", poor.stderr);
    assert!(poor.stderr.contains("the session has $0.001000 of $0.001000 left, and the call needs $0."), "{poor:?}");

    let said = run(&["resume", "--headless", "--budget-usd", "$0.08", "--output", "json"]);
    assert_eq!((said.code, wire.requests().len()), (Some(0), 2), "{}", said.stderr);
    let shortened = wire.requests()[0]["max_tokens"].as_u64().or(wire.requests()[0]["max_completion_tokens"].as_u64());
    assert!((512..4_000).contains(&shortened.unwrap()), "{shortened:?}");
    let amount = |event: &serde_json::Value, of: &str| event[of]["micro_usd"].as_u64().unwrap_or(0);
    let mut spent = 0;
    for event in said.events() {
        let reserved = amount(&event, "reserved");
        assert!(spent + reserved <= 80_000 && (event["type"] != "model_called" || reserved > 0), "{event}");
        spent += amount(&event, "spent");
    }
    assert!((1..80_000).contains(&spent), "{spent}");
}

#[test]
fn what_a_person_allowed_a_session_holds_when_it_goes_on() {
    let product = Product::new();
    product.write("a.txt", "one\n");
    product.write(
        "boxagnts.toml",
        "max_retries = 0\n[providers.openai.models.m]\ninput_usd_per_mtok = 3\noutput_usd_per_mtok = 15\n",
    );
    let wire = Wire::serve(vec![Step::Call("read", json!({"path": "a.txt"})), Step::Say("It says one.")]);
    let run = |arguments: &[&str]| {
        let command = &mut product.command(arguments);
        Said::from(command.env("OPENAI_BASE_URL", wire.url("/v1")).env("OPENAI_API_KEY", "k").output().unwrap())
    };
    let poor = ["run", "--model", "openai/m", "--budget-usd", "0.001", "--max-time", "1h", "read a.txt", "--headless"];
    assert_eq!(run(&poor).code, Some(3));
    let again = run(&["resume", "--headless"]);
    assert_eq!((again.code, wire.requests().len()), (Some(3), 0), "{}", again.stderr);
    assert_eq!(run(&["resume", "--headless", "--budget-usd", "1"]).code, Some(0));
}

#[test]
fn another_model_takes_over_when_the_first_fails() {
    let (product, down) = (Product::new(), Wire::serve(vec![Step::Fail(503)]));
    let up = Wire::serve(vec![Step::Say("Here.")]);
    let (down_url, up_url) = (down.url("/v1"), up.url("/v1"));
    product.write(
        "boxagnts.toml",
        &format!(
            "model = \"down/m\"\nfallback_model = \"up/m\"\nmax_retries = 0\n\
             [providers.down]\nbase_url = \"{down_url}\"\n[providers.down.models.m]\nprice = \"free\"\n\
             [providers.up]\nbase_url = \"{up_url}\"\n[providers.up.models.m]\nprice = \"free\"\n"
        ),
    );
    let said = product.run(&["run", "say hello", "--headless"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "Here.\n"), "{}", said.stderr);
    assert_eq!((down.requests().len(), up.requests().len()), (1, 1));
    assert!(said.stderr.contains("up/m is called in"), "{}", said.stderr);
}

#[test]
fn a_model_whose_price_nobody_knows_is_not_called_unasked() {
    let (product, wire) = (Product::new(), Wire::serve(vec![Step::Say("Hello.")]));
    let command = &mut product.command(&["run", "--model", "openai/strange", "say hello", "--headless"]);
    let said = Said::from(command.env("OPENAI_BASE_URL", wire.url("/v1")).env("OPENAI_API_KEY", "k").output().unwrap());
    assert_eq!((said.code, wire.requests().len()), (Some(2), 0), "{}", said.stderr);
    assert!(said.stderr.contains("the price of openai/strange is not known"), "{}", said.stderr);
    assert!(said.stderr.contains("[providers.openai.models.\"strange\"]"), "{}", said.stderr);
    for (flag, value, problem) in [("--budget-usd", "lots", "write 2 or 2.50"), ("--max-time", "soon", "\"90s\"")] {
        let said = product.run(&["run", "--model", "openai/m", flag, value, "say hello"]);
        assert_eq!(said.code, Some(2), "{}", said.stderr);
        assert!(said.stderr.contains(problem), "{}", said.stderr);
    }
}
