//! Why something was allowed or refused, through the real binary: explained, tested, and judged by another policy.

mod product;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;

use product::{Product, Said};
use serde_json::{Value, json};

const POLICY: &str = r#"
[[rules]]
name = "no-keys"
verdict = "deny"
paths = ["**/*.key"]

[[rules]]
name = "ask-before-docs"
verdict = "ask"
tools = ["write", "edit"]
paths = ["docs/**"]
"#;

/// Returns a session in which every kind of decision was made.
const SCRIPT: &str = r#"
[[reply]]
[[reply.call]]
tool = "read"
arguments = { path = "a.txt" }
[[reply.call]]
tool = "read"
arguments = { path = "secret.key" }
[[reply.call]]
tool = "read"
arguments = { path = "/etc/passwd" }
[[reply.call]]
tool = "teleport"
arguments = {}
[[reply.call]]
tool = "read"
arguments = { pth = "a.txt" }
[[reply]]
[[reply.call]]
tool = "edit"
arguments = { path = "a.txt", edits = [{ old = "one", new = "two" }] }
[[reply.call]]
tool = "write"
arguments = { path = "docs/new.md", content = "x\n" }
[[reply.call]]
tool = "write"
arguments = { path = ".git/config", content = "x\n" }
[[reply.call]]
tool = "shell"
arguments = { script = "echo kept > /tmp/note; echo more >> a.txt; echo done" }
[[reply.call]]
tool = "shell"
arguments = { script = "mkdir -p .git/hooks; echo x > .git/hooks/pre-commit" }
[[reply.call]]
tool = "fetch"
arguments = { url = "http://127.0.0.1:PORT/page?q=1" }
[[reply.call]]
tool = "fetch"
arguments = { url = "http://127.0.0.1:PORT/admin/x" }
[[reply.call]]
tool = "js"
arguments = { code = "try { await fetch('http://127.0.0.1:PORT/js') } catch (e) {} try { await fetch('http://10.0.0.1:PORT/') } catch (e) {} try { await fetch('http://elsewhere.test/') } catch (e) {} 1" }
[[reply]]
text = "Enough."
"#;

fn network(port: u16) -> String {
    format!(
        "[network]\nallowed_outbound_hosts = [\"http://127.0.0.1:{port}\", \"http://10.0.0.1:{port}\"]\n\
         allow_private = [\"http://127.0.0.1:{port}\"]\nblock_url = [\"http://127.0.0.1:{port}/admin\"]\n"
    )
}

fn serve(requests: usize) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = std::thread::spawn(move || {
        for stream in listener.incoming().take(requests) {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nhi").unwrap();
        }
    });
    (port, serving)
}

/// Runs the session, and takes one of its change sets back.
fn rich() -> (Product, u16) {
    let product = Product::new();
    let (port, serving) = serve(2);
    product.write("boxagnts.toml", &format!("{POLICY}{}", network(port)));
    product.write("a.txt", "one\n");
    product.write("secret.key", "k\n");
    product.write(".git/config", "[core]\n");
    product.write("script.toml", &SCRIPT.replace("PORT", &port.to_string()));
    let said = product.run(&["run", "--model", "script/script.toml", "go", "--headless", "--output", "json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    serving.join().unwrap();
    let listed = product.run(&["changes", "list"]);
    let last = listed.stdout.split_whitespace().next().unwrap();
    assert_eq!(product.run(&["changes", "undo", last]).code, Some(0));
    (product, port)
}

fn events(product: &Product) -> Vec<Value> {
    let listed = product.run(&["session", "list"]);
    let session = listed.stdout.split_whitespace().next().unwrap().to_owned();
    product.run(&["session", "show", &session, "--output", "json"]).events()
}

/// Returns the identifiers of the calls of `tool`, in order.
fn calls(product: &Product, tool: &str) -> Vec<String> {
    let finished =
        events(product).into_iter().filter(|event| event["type"] == "call_finished" && event["tool"] == tool);
    finished.map(|event| event["call"].as_str().unwrap().to_owned()).collect()
}

/// This is the check that everything which a decision is made by is recorded: without it, some would come out otherwise.
#[test]
fn the_policy_of_then_decides_every_recorded_decision_as_it_was() {
    let (product, _) = rich();
    let said = product.run(&["policy", "what-if", "boxagnts.toml"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let decided = events(&product)
        .iter()
        .filter(|event| {
            let kind = event["type"].as_str().unwrap();
            let is_answer =
                kind.ends_with("_decided") && kind != "request_decided" && event["decision"]["basis"].is_null();
            kind.ends_with("_decided") && !is_answer
        })
        .count();
    assert!(decided > 20, "{decided}");
    let summary = format!("{decided} decisions, 0 differ, 0 could not be judged, 0 would not be reached\n");
    assert!(said.stdout.ends_with(&summary) && said.stdout.lines().count() == 1, "{decided}: {}", said.stdout);
}

#[test]
fn another_policy_lists_exactly_what_it_decides_otherwise() {
    let (product, port) = rich();
    let changed = POLICY.replace("\"docs/**\"", "\"a.txt\"").replace("**/*.key", "**/*.pem");
    let narrower = network(port).replace("/admin\"", "/page\"");
    product.write("changed.toml", &format!("{changed}{narrower}"));
    let said = product.run(&["policy", "what-if", "changed.toml"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let becomes: Vec<&str> = said.stdout.lines().filter(|line| line.starts_with("    ")).map(str::trim).collect();
    for expected in [
        "deny (`no-keys`) → allow (`default.read`)",
        "allow (`default.staged-write`) → ask (`ask-before-docs`)",
        "ask (`ask-before-docs`) → allow (`default.staged-write`)",
        "allow (`default.staged-execute`) → deny (`network.block_url`)",
        "deny (`network.block_url`) → allow (`default.staged-execute`)",
    ] {
        assert!(becomes.contains(&expected), "{expected}: {becomes:#?}");
    }
    assert!(said.stdout.contains("0 could not be judged"), "{}", said.stdout);
}

#[test]
fn a_refused_call_makes_what_came_of_it_moot() {
    let (product, _) = rich();
    product.write("closed.toml", "[[rules]]\nname = \"nothing\"\nverdict = \"deny\"\n");
    let said = product.run(&["policy", "what-if", "closed.toml"]);
    assert!(said.stdout.contains("→ deny (`nothing`)") && !said.stdout.contains(" 0 would not be reached"), "{said:?}");
}

/// Returns what is the same in each run.
fn steady(said: &Said, product: &Product, port: u16) -> String {
    let mut shown = said.shown(product).replace(&port.to_string(), "[port]");
    let mut hide = |found: Vec<String>, name: &str| {
        for text in found {
            shown = shown.replace(&text, name);
        }
    };
    let listed = events(product);
    let strings = |keys: &[&str]| {
        let of =
            |event: &Value| keys.iter().filter_map(|key| event[*key].as_str().map(str::to_owned)).collect::<Vec<_>>();
        listed.iter().flat_map(of).collect::<Vec<_>>()
    };
    hide(strings(&["session"]), "[session]");
    hide(strings(&["turn"]), "[turn]");
    hide(strings(&["call"]), "[call]");
    hide(strings(&["change_set"]), "[change set]");
    let lines = shown.lines().map(|line| {
        let numbers = ["fuel ", "time ", "memory ", "output ", "staged "];
        let line = match line.split_once(", proposed ") {
            Some((before, _)) => format!("{before}, proposed [time]"),
            None => line.to_owned(),
        };
        let line = match line.split_once(", component ") {
            Some((before, _)) => format!("{before}, component [hash]"),
            None => line,
        };
        let line = match line.split_once(" after ") {
            Some((before, after)) => {
                format!("{before} after [time]: {}", after.split_once("Z: ").map_or("", |(_, rest)| rest))
            }
            None => line,
        };
        match line.split_once(" of ") {
            Some((before, after)) if numbers.iter().any(|name| before.trim().starts_with(name)) => {
                let limit = after.split_once(" (").map_or(after, |(limit, _)| limit);
                format!(
                    "{} [used] of {limit}",
                    before.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_').trim_end()
                )
            }
            _ => line,
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_call_is_explained_from_its_arguments_to_its_effects() {
    let (product, port) = rich();
    let explain = |call: &str| steady(&product.run(&["explain", call]), &product, port);
    insta::assert_snapshot!("edit", explain(&calls(&product, "edit")[0]));
    let reads = calls(&product, "read");
    insta::assert_snapshot!("denied", explain(&reads[1][..8]));
    insta::assert_snapshot!("misfit", explain(&reads[3]));
    insta::assert_snapshot!("unattended", explain(&calls(&product, "write")[0]));
    insta::assert_snapshot!("shell", explain(&calls(&product, "shell")[0]));
    insta::assert_snapshot!("fetch", explain(&calls(&product, "fetch")[0]));
    insta::assert_snapshot!("requests", explain(&calls(&product, "js")[0]));
}

#[test]
fn a_call_is_found_by_its_beginning_its_change_set_or_as_the_last() {
    let product = Product::new();
    product.write("a.txt", "one\n");
    let none = product.run(&["explain"]);
    assert_eq!((none.code, none.stderr.contains("no call was made yet")), (Some(2), true), "{none:?}");
    let input = json!({"path": "a.txt", "edits": [{"old": "one", "new": "two\u{1b}[2J"}]}).to_string();
    assert_eq!(product.run(&["tool", "call", "edit", "--headless", "--input", &input]).code, Some(0));
    let call = calls(&product, "edit").remove(0);
    let listed = product.run(&["changes", "list"]);
    let change_set = listed.stdout.split_whitespace().next().unwrap().to_owned();
    let whole = product.run(&["explain", &call]);
    assert!(whole.stdout.starts_with(&format!("call {call}: edit, level write\n")), "{whole:?}");
    assert!(whole.stdout.contains("called by hand") && whole.stdout.contains("/work/a.txt +1 -1"), "{whole:?}");
    assert!(whole.stdout.contains("\"new\": \"two\\u001b[2J\"") && !whole.stdout.contains('\u{1b}'), "{whole:?}");
    for id in [&call[..7], &change_set, &change_set[..7]] {
        assert_eq!(product.run(&["explain", id]).stdout, whole.stdout, "{id}");
    }
    assert_eq!(product.run(&["explain"]).stdout, whole.stdout);
    for id in ["zzz", "%", "", "*"] {
        let unknown = product.run(&["explain", id]);
        assert_eq!((unknown.code, unknown.stderr.contains("nothing begins with")), (Some(2), true), "{unknown:?}");
    }
    product.run(&["changes", "undo", &change_set]);
    let undo = product.run(&["changes", "list"]).stdout.split_whitespace().next().unwrap().to_owned();
    let by_hand = product.run(&["explain", &undo]);
    assert!(by_hand.stderr.contains("no call made that change set"), "{by_hand:?}");
}

#[test]
fn what_a_tool_or_a_planner_wrote_does_nothing_on_a_terminal() {
    let product = Product::new();
    product.write("a\u{202e}.txt", "\u{1b}]0;title\u{7}\u{202e}\n");
    let script = "[[reply]]\n[[reply.call]]\ntool = \"read\"\narguments = { path = \"a\\u202e.txt\" }\n\
                  [[reply.call]]\ntool = \"read\\u001b[2J\"\nmalformed = \"{\\u001b[2J\"\n[[reply]]\ntext = \"x\"\n";
    product.write("script.toml", script);
    let said = product.run(&["run", "--model", "script/script.toml", "go", "--headless", "--output", "json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    for event in said.events().iter().filter(|event| event["type"] == "call_finished") {
        let told = product.run(&["explain", event["call"].as_str().unwrap()]).stdout;
        assert!(told.contains("\\u{1b}") && !told.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{told:?}");
    }
    product.write("empty.toml", "[[rules]]\nname = \"no\"\nverdict = \"deny\"\n");
    let listed = product.run(&["policy", "what-if", "empty.toml"]).stdout;
    assert!(listed.contains("a\\u{202e}.txt") && !listed.contains('\u{202e}'), "{listed:?}");
}

#[test]
fn an_explanation_is_also_one_json_object() {
    let (product, _) = rich();
    let call = calls(&product, "edit").remove(0);
    let said = product.run(&["explain", &call, "--output", "json"]);
    let told: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(told["call"]["proposal"]["arguments"]["json"]["path"], "a.txt");
    assert_eq!(told["judged"][0]["explanation"]["rule"], told["judged"][0]["was"]["rule"]);
    assert_eq!(told["judged"][1]["subject"]["commit"], told["call"]["commits"][0]["change_set"]);
    let considered = told["judged"][1]["explanation"]["considered"].as_array().unwrap();
    assert_eq!(considered.iter().filter(|note| note["decided"] == true).count(), 1);
    assert_eq!(told["limits"]["fuel"], 20_000_000_000_u64);
    assert_eq!(told["tool"]["request"]["files"], "read_write");
    assert_eq!(told["policy"]["rules"][0]["name"], "no-keys");
}

const CASES: &str = r#"
policy = "boxagnts.toml"

[[case]]
name = "keys are nobody's"
tool = "read"
arguments = { path = "deep/a.key" }
expect = "deny"
rule = "no-keys"

[[case]]
tool = "edit"
effects = ["write docs/a.md", "read /work/a"]
expect = "ask"

[[case]]
principal = "user"
tool = "deploy"
level = "dangerous"
effects = ["connect https://a.test"]
expect = "deny"
rule = "grant.network"
"#;

#[test]
fn cases_are_held_against_a_policy() {
    let product = Product::new();
    product.write("boxagnts.toml", POLICY);
    product.write("cases.toml", CASES);
    let test = |text: &str| {
        product.write("cases.toml", text);
        product.run(&["policy", "test", "cases.toml"])
    };
    let passed = test(CASES);
    assert_eq!((passed.code, passed.stdout.as_str()), (Some(0), "3 cases: 3 passed, 0 failed\n"), "{passed:?}");
    let failing = CASES.replace("\"ask\"", "\"allow\"").replace("grant.network", "default.ask");
    insta::assert_snapshot!("cases_that_fail", test(&failing).shown(&product));
    let own = CASES.replace("policy = \"boxagnts.toml\"\n", "");
    assert_eq!(test(&own).stdout, passed.stdout);
    let within = own.clone() + "[[rules]]\nname = \"all\"\nverdict = \"deny\"\n";
    let said = test(&within);
    assert_eq!((said.code, said.stdout.contains("by rule `all`")), (Some(4), true), "{said:?}");
}

#[test]
fn a_file_of_cases_that_is_not_understood_says_where_and_what_to_write() {
    let product = Product::new();
    product.write("boxagnts.toml", POLICY);
    let shown = |text: &str| {
        product.write("cases.toml", text);
        product.run(&["policy", "test", "cases.toml"]).shown(&product)
    };
    insta::assert_snapshot!("no_cases", shown("policy = \"boxagnts.toml\"\n"));
    insta::assert_snapshot!("case_with_unknown_key", shown(&CASES.replace("expect = \"ask\"", "expects = \"ask\"")));
    insta::assert_snapshot!("case_with_unknown_verdict", shown(&CASES.replace("\"ask\"", "\"maybe\"")));
    insta::assert_snapshot!("case_with_unknown_effect", shown(&CASES.replace("read /work/a", "delete /work/a")));
    insta::assert_snapshot!("case_of_unknown_tool", shown(&CASES.replace("level = \"dangerous\"\n", "")));
    insta::assert_snapshot!(
        "case_with_both",
        shown(&CASES.replace("expect = \"ask\"", "arguments = {}\nexpect = \"ask\""))
    );
    insta::assert_snapshot!("two_policies", shown(&format!("{CASES}[[rules]]\nname = \"all\"\nverdict = \"deny\"\n")));
    insta::assert_snapshot!(
        "broken_policy",
        shown(&(CASES.replace("policy = \"boxagnts.toml\"\n", "") + "[network]\nallowed_outbound_host = []\n"))
    );
    insta::assert_snapshot!("what_if_broken", product.run(&["policy", "what-if", "cases.toml"]).shown(&product));
    insta::assert_snapshot!(
        "what_if_without_a_session",
        product.run(&["policy", "what-if", "boxagnts.toml"]).shown(&product)
    );
}

#[test]
fn the_policy_in_force_is_shown() {
    let product = Product::new();
    product.write("boxagnts.toml", &format!("{POLICY}{}", network(8080)));
    insta::assert_snapshot!("show", product.run(&["policy", "show"]).shown(&product));
}
