//! `kill -9` and Ctrl-C in the middle of a run: nothing acknowledged is lost, nothing happens twice, and the session
//! goes on.

mod product;
mod wire;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use product::{Product, Said};
use serde_json::{Value, json};
use wire::{Step, Wire};

fn edit(old: &str, new: &str) -> Step {
    Step::Call("edit", json!({"path": "a.txt", "edits": [{"old": old, "new": new}]}))
}

fn start(product: &Product, wire: &Wire, arguments: &[&str]) -> Child {
    let command = &mut product.command(arguments);
    command.env("OPENAI_BASE_URL", wire.url("/v1")).env("OPENAI_API_KEY", "k").spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

const RUN: [&str; 7] = ["run", "--model", "openai/m", "change a.txt", "--headless", "--output", "json"];

#[test]
fn a_killed_run_is_shown_and_resumed_and_nothing_happens_twice() {
    let product = Product::new();
    product.allow_model("openai", "m");
    product.write("a.txt", "one\n");
    let hanging = Wire::serve(vec![edit("one", "one two"), Step::Hang]);
    let mut child = start(&product, &hanging, &RUN);
    hanging.wait_for(2);
    signal(&child, "-KILL");
    child.wait().unwrap();
    assert_eq!(product.read("a.txt"), "one two\n");

    let verified = product.run(&["audit", "verify"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let listed = product.run(&["session", "list"]);
    let id = listed.stdout.split_whitespace().next().unwrap().to_owned();
    assert!(listed.stdout.contains("unfinished") && listed.stdout.contains("change a.txt"), "{}", listed.stdout);
    let shown = product.run(&["session", "show", &id[..6]]);
    assert!(shown.stdout.contains("task: change a.txt") && shown.stdout.contains("commit"), "{}", shown.stdout);

    let working = Wire::serve(vec![Step::Fail(500), edit("one two", "one two three"), Step::Say("Done.")]);
    let said = Said::from(start(&product, &working, &["resume", "--headless"]).wait_with_output().unwrap());
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "Done.\n"), "{}", said.stderr);
    assert_eq!(product.read("a.txt"), "one two three\n");
    let events = Said::from(product.command(&["session", "show", &id, "--output", "json"]).output().unwrap()).events();
    let numbers: Vec<_> =
        events.iter().filter(|event| event["type"] == "model_called").map(|event| event["number"].clone()).collect();
    assert_eq!(numbers, [json!(1), json!(2), json!(3), json!(4)], "the count of model calls goes on");
    let commits = events.iter().filter(|event| event["type"] == "commit_finished").count();
    assert_eq!(commits, 2);
}

/// Returns how long the process lived after SIGINT, sent when `event` was seen on its stdout.
fn interrupted(child: &mut Child, event: &str) -> (Duration, Option<i32>) {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_event = |line: &String| serde_json::from_str::<Value>(line).unwrap()["type"] == event;
    assert!(lines.by_ref().map(Result::unwrap).any(|line| is_event(&line)), "no {event}");
    let sent = Instant::now();
    signal(child, "-INT");
    lines.for_each(|line| drop(line.unwrap()));
    let code = child.wait().unwrap().code();
    (sent.elapsed(), code)
}

/// The promise, with what a process needs to end on a busy machine.
const PROMPTLY: Duration = Duration::from_millis(100);

/// Tries until one is prompt: a shared machine may stall any single one, and a real delay stalls all.
fn assert_prompt(mut attempt: impl FnMut() -> (Duration, Option<i32>)) {
    let mut took = Vec::new();
    for _ in 0..5 {
        let (duration, code) = attempt();
        assert_eq!(code, Some(130));
        took.push(duration);
        if duration <= PROMPTLY {
            return;
        }
    }
    panic!("no cancellation within {PROMPTLY:?}: {took:?}");
}

#[test]
fn ctrl_c_ends_a_waiting_model_call_promptly_and_the_session_goes_on() {
    let product = Product::new();
    product.allow_model("openai", "m");
    product.write("a.txt", "one\n");
    assert_prompt(|| {
        let hanging = Wire::serve(vec![Step::Hang]);
        let mut child = start(&product, &hanging, &RUN);
        let ended = interrupted(&mut child, "model_called");
        drop(hanging);
        ended
    });
    let working = Wire::serve(vec![Step::Say("Done.")]);
    let said = Said::from(start(&product, &working, &["resume", "--headless"]).wait_with_output().unwrap());
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "Done.\n"), "{}", said.stderr);
}

#[test]
fn ctrl_c_ends_a_tool_call_promptly() {
    let product = Product::new();
    product.allow_model("openai", "m");
    let line = "a line that takes the search some time to look through, and then some more\n";
    product.write("large.txt", &line.repeat((256 << 20) / line.len()));
    let search = Step::Call(
        "grep",
        json!({"pattern": "(some|time|look|more|and|then|that|takes|line|the|search|through).*[0-9]{3}x"}),
    );
    assert_prompt(|| {
        let searching = Wire::serve(vec![search.clone(), Step::Hang]);
        let mut child = start(&product, &searching, &RUN);
        let ended = interrupted(&mut child, "call_decided");
        assert_eq!(searching.requests().len(), 1, "the call had ended before it was cancelled");
        ended
    });
}
