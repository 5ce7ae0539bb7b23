//! Sessions: named, found, gone on from, exported; through the real binary.

mod product;

use product::{Product, Said};
use serde_json::Value;

/// Replies in the order of a session: a scripted model counts those that it is shown.
fn script(replies: &[&str]) -> String {
    let read = "[[reply]]\n[[reply.call]]\ntool = \"read\"\narguments = { path = \"a.txt\" }\n";
    let answers = replies.iter().map(|text| format!("[[reply]]\ntext = \"{text}\"\n"));
    format!("{read}{}", answers.collect::<String>())
}

/// Runs one turn; the new session's identifier when `session` is none.
fn turn(product: &Product, session: Option<&str>, task: &str, replies: &[&str]) -> String {
    product.write("script.toml", &script(replies));
    let mut arguments = vec!["run", "--model", "script/script.toml", task, "--headless", "--output", "json"];
    arguments.extend(session.into_iter().flat_map(|session| ["--session", session]));
    let said = product.run(&arguments);
    assert_eq!(said.code, Some(0), "{said:?}");
    said.events()[0]["session"].as_str().unwrap().to_owned()
}

const REPLIES: [&str; 3] = ["It says `one`.", "Second answer.", "Third answer."];

fn three_turns(product: &Product) -> String {
    product.write("a.txt", "one\n");
    let session = turn(product, None, "Read the *file*", &REPLIES);
    turn(product, Some(&session), "Second task", &REPLIES);
    turn(product, Some(&session[..6]), "Third task", &REPLIES);
    session
}

fn said(product: &Product, arguments: &[&str]) -> Said {
    product.run(&[&["session"], arguments].concat())
}

#[test]
fn a_session_is_gone_on_from_any_turn() {
    let product = Product::new();
    let session = three_turns(&product);
    let forked = said(&product, &["fork", &session, "--at", "2", "--name", "other way"]);
    assert_eq!(forked.code, Some(0), "{forked:?}");
    let fork = forked.stdout.trim();
    assert!(forked.stderr.contains(&format!("begins with 2 turns of {session}")), "{forked:?}");
    // The model is shown the replies of two turns, and gives the next.
    let replies = ["It says `one`.", "Second answer.", "Fourth answer."];
    assert_eq!(turn(&product, Some("other way"), "Elsewhere", &replies), fork);
    let told = said(&product, &["show", "other way"]).stdout;
    for (text, is_there) in [("Second answer", true), ("Third answer", false), ("Fourth answer", true)] {
        assert_eq!(told.contains(text), is_there, "{text}: {told}");
    }
    assert!(!said(&product, &["show", &session]).stdout.contains("Fourth answer"));
    let own = said(&product, &["show", fork, "--turns", "1"]).stdout;
    assert!(own.contains("Elsewhere") && !own.contains("Second"), "{own}");
    let listed = said(&product, &["list"]).stdout;
    assert!(listed.lines().next().unwrap().contains(&format!("[other way] (from {session}) Elsewhere")), "{listed}");
    // Also from a turn that the fork itself only goes on from.
    let again = said(&product, &["fork", fork, "--at", "1"]);
    assert!(again.stderr.contains(&format!("1 turns of {fork}")), "{again:?}");
    let events = said(&product, &["show", again.stdout.trim(), "--output", "json"]).events();
    let opening = events.iter().find(|event| event["type"] == "session_forked").unwrap();
    assert_eq!(opening["parent"].as_str(), Some(session.as_str()));
    assert_eq!(events.iter().filter(|event| event["type"] == "turn_opened").count(), 1);
}

#[test]
fn a_fork_says_what_it_cannot_do() {
    let product = Product::new();
    let session = three_turns(&product);
    let refused = |arguments: &[&str], text: &str| {
        let said = said(&product, arguments);
        assert_eq!((said.code, said.stderr.contains(text)), (Some(2), true), "{text}: {said:?}");
    };
    refused(&["fork", &session, "--at", "4"], "has 3 turns, and no turn 4");
    refused(&["fork", &session, "--at", "0"], "no turn 0");
    refused(&["fork", &session, "--at", "zzzzzzzzzzz"], "begins with `zzzzzzzzzzz`");
    refused(&["fork", "zzz"], "nothing begins with `zzz`");
    refused(&["fork", &session, "--name", " x"], "a name has 1 to 64 characters");
    let failed = product.run(&["run", "--model", "script/script.toml", "Fourth", "--headless", "--session", &session]);
    assert_eq!(failed.code, Some(5));
    assert_eq!(said(&product, &["fork", &session]).code, Some(0), "a turn that failed has ended");
    assert_eq!(said(&product, &["name", &session, "mine"]).code, Some(0));
    refused(&["fork", &session, "--name", "mine"], "is called that");
    assert_eq!(said(&product, &["name", "mine", "mine"]).code, Some(0));
    // Nothing was left behind by what was refused.
    assert_eq!(said(&product, &["list"]).stdout.lines().count(), 2);
}

#[test]
fn a_turn_that_has_not_ended_is_not_gone_on_from() {
    let product = Product::new();
    product.write("slow.toml", "[[reply]]\ndelay_ms = 60000\ntext = \"late\"\n");
    let mut slow = product
        .command(&["run", "--model", "script/slow.toml", "go", "--headless", "--output", "json"])
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(slow.stdout.take().unwrap()));
    assert!(lines.by_ref().any(|line| line.unwrap().contains("model_called")));
    slow.kill().unwrap();
    slow.wait().unwrap();
    let listed = said(&product, &["list"]).stdout;
    let session = listed.split_whitespace().next().unwrap();
    let forked = said(&product, &["fork", session]);
    assert_eq!((forked.code, forked.stderr.contains("turn 1 of session")), (Some(2), true), "{forked:?}");
    assert!(forked.stderr.contains(&format!("hint: end it: boxagnts resume {session}\n")), "{forked:?}");
}

#[test]
fn tasks_and_replies_are_found() {
    let product = Product::new();
    let session = three_turns(&product);
    let found = said(&product, &["search", "SECOND"]);
    let lines: Vec<&str> = found.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{found:?}");
    assert!(lines[0].starts_with(&session) && lines[0].ends_with("Second answer."), "{lines:?}");
    assert_eq!(said(&product, &["search", "nowhere"]).stdout, "No task and no reply holds that.\n");
    assert_eq!(said(&product, &["search", " "]).code, Some(2));
}

#[test]
fn a_session_is_exported_whole() {
    let product = Product::new();
    let session = three_turns(&product);
    assert_eq!(said(&product, &["name", &session, "the *file*"]).code, Some(0));
    let exported: Value =
        serde_json::from_str(&said(&product, &["export", &session, "--format", "json"]).stdout).unwrap();
    let shown = said(&product, &["show", &session, "--output", "json"]).events();
    assert_eq!((exported["name"].as_str(), exported["events"].as_array()), (Some("the *file*"), Some(&shown)));
    let markdown = said(&product, &["export", "the *file*"]).shown(&product).replace(&session, "[session]");
    let hidden = |line: &str| match line.split_once(", 20") {
        Some((before, _)) => format!("{}, [time]", before.split_once('`').map_or(before, |(before, _)| before)),
        None if line.starts_with("**Result**") => "**Result** …".to_owned(),
        None => line.to_owned(),
    };
    let markdown: Vec<String> = markdown.lines().map(hidden).collect();
    insta::assert_snapshot!(markdown.join("\n"));
}

#[test]
fn a_turn_is_shown_with_what_it_spent() {
    let product = Product::new();
    let price = "[model]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 10\n";
    let reply = "[[reply]]\ntext = \"Done.\"\nusage = { input_tokens = 1000, output_tokens = 100 }\n";
    product.write("script.toml", &format!("{price}{reply}{reply}"));
    for task in ["one", "two"] {
        let session = ["--session", "priced"];
        let mut arguments = vec!["run", "--model", "script/script.toml", task, "--headless"];
        arguments.extend(session.into_iter().filter(|_| task == "two"));
        assert_eq!(product.run(&arguments).code, Some(0));
        let listed = said(&product, &["list"]).stdout;
        said(&product, &["name", &listed[..12], "priced"]);
    }
    let shown = said(&product, &["show", "priced"]).stdout;
    let ends = shown.lines().filter(|line| line.ends_with("ended: done (1 model call, 1100 tokens, $0.002000)"));
    assert_eq!(ends.count(), 2, "each turn has its own: {shown}");
}
