//! Taking back and bringing back, and what is freed of the past; through the real binary.

mod product;

use product::{Product, Said};

const SCRIPT: &str = r#"
[[reply]]
[[reply.call]]
tool = "write"
arguments = { path = "a.txt", content = "two\n" }
[[reply.call]]
tool = "write"
arguments = { path = "made/b.txt", content = "new\n" }
[[reply]]
[[reply.call]]
tool = "shell"
arguments = { script = "echo three > a.txt; ln -s a.txt link; mkdir empty; rm gone.txt" }
[[reply]]
text = "Done."
"#;

/// A workspace in which a session of several calls has worked. Returns the session.
fn worked() -> (Product, String) {
    let product = Product::new();
    product.write("a.txt", "one\n");
    product.write("gone.txt", "\0\u{1}binary\0");
    product.write("script.toml", SCRIPT);
    let said = product.run(&["run", "--model", "script/script.toml", "--headless", "--output", "json", "work"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let session = said.events()[0]["session"].as_str().unwrap().to_owned();
    assert_eq!(product.read("a.txt"), "three\n", "{said:?}");
    (product, session)
}

/// A workspace in which a session has written, and left nothing in its own folder.
fn written() -> (Product, String) {
    let product = Product::new();
    product.write("a.txt", "one\n");
    let writing = SCRIPT.split("[[reply]]").take(2).collect::<Vec<_>>().join("[[reply]]");
    product.write("script.toml", &format!("{writing}\n[[reply]]\ntext = \"Done.\"\n"));
    let said = product.run(&["run", "--model", "script/script.toml", "--headless", "--output", "json", "work"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let session = said.events()[0]["session"].as_str().unwrap().to_owned();
    (product, session)
}

/// Returns what stands in the workspace, beside what belongs to the test.
fn tree(product: &Product) -> Vec<String> {
    let command = "find . -path ./.boxagnts -prune -o -printf '%P %M %l\\n' | sort; cat a.txt gone.txt 2>/dev/null";
    let found = std::process::Command::new("sh").args(["-c", command]).current_dir(product.root()).output().unwrap();
    String::from_utf8(found.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn changes(product: &Product, arguments: &[&str]) -> Said {
    product.run(&[&["changes"], arguments].concat())
}

/// Returns the identifiers of the listed change sets, the oldest first.
fn listed(product: &Product) -> Vec<String> {
    let listed = changes(product, &["list"]).stdout;
    listed.lines().rev().map(|line| line[..12].to_owned()).collect()
}

/// Returns what was said with names in the place of identifiers and times.
fn told(product: &Product, session: &str, said: &Said) -> String {
    let mut text = said.shown(product).replace(session, "[session]");
    for (at, id) in listed(product).iter().enumerate() {
        text = text.replace(id, &format!("[set {}]", at + 1));
    }
    let is_date = |word: &str| word.len() == 10 && word.starts_with("20") && word.matches('-').count() == 2;
    let is_time = |word: &str| word.len() == 9 && word.ends_with('Z') && word.matches(':').count() == 2;
    let hidden = |word: &str| if is_date(word) || is_time(word) { "…".to_owned() } else { word.to_owned() };
    let line = |line: &str| line.split(' ').map(hidden).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_session_is_undone_and_redone_as_one() {
    let product = Product::new();
    product.write("a.txt", "one\n");
    product.write("gone.txt", "\0\u{1}binary\0");
    product.write("script.toml", SCRIPT);
    let before = tree(&product);
    let said = product.run(&["run", "--model", "script/script.toml", "--headless", "--output", "json", "work"]);
    let session = said.events()[0]["session"].as_str().unwrap().to_owned();
    let after = tree(&product);
    assert_ne!(before, after);
    let trial = changes(&product, &["undo", &session, "--dry-run"]);
    insta::assert_snapshot!("dry_run", told(&product, &session, &trial));
    assert_eq!(tree(&product), after);
    let undone = changes(&product, &["undo", &session[..8]]);
    insta::assert_snapshot!("undo_of_a_session", told(&product, &session, &undone));
    assert_eq!(tree(&product), before);
    let redone = changes(&product, &["redo"]);
    insta::assert_snapshot!("redo", told(&product, &session, &redone));
    assert_eq!(tree(&product), after);
    // Undone once more: of what it had undone before, and by what belongs to it.
    assert_eq!(changes(&product, &["undo", &session]).code, Some(0));
    assert_eq!(tree(&product), before);
    let first = listed(&product)[0].clone();
    assert_eq!(changes(&product, &["redo", &first]).code, Some(0));
    assert_eq!(tree(&product), after);
    insta::assert_snapshot!("list_of_a_chain", told(&product, &session, &changes(&product, &["list"])));
    assert_eq!(product.run(&["audit", "verify"]).code, Some(0));
}

#[test]
fn without_an_identifier_it_is_the_last_as_in_an_editor() {
    let (product, _) = worked();
    let mut trees = vec![tree(&product)];
    while changes(&product, &["undo"]).code == Some(0) {
        trees.push(tree(&product));
    }
    assert_eq!(trees.len(), 4);
    assert_eq!(product.read("a.txt"), "one\n");
    insta::assert_snapshot!("nothing_to_undo", changes(&product, &["undo"]).shown(&product));
    for tree_before in trees.iter().rev().skip(1) {
        assert_eq!(changes(&product, &["redo"]).code, Some(0));
        assert_eq!(&tree(&product), tree_before);
    }
    insta::assert_snapshot!("nothing_to_redo", changes(&product, &["redo"]).shown(&product));
}

#[test]
fn a_call_and_a_turn_are_undone_by_their_identifiers() {
    let (product, session) = worked();
    let events = product.run(&["session", "show", &session, "--output", "json"]).events();
    let of = |kind: &str, field: &str| {
        let found = events.iter().filter(|event| event["type"] == kind);
        found.map(|event| event[field].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let calls = of("call_finished", "call");
    assert_eq!(changes(&product, &["undo", &calls[1]]).stdout, "removed made\nremoved made/b.txt\n");
    assert_eq!(changes(&product, &["undo", &of("turn_opened", "turn")[0]]).code, Some(0));
    assert_eq!(product.read("a.txt"), "one\n");
    let again = changes(&product, &["undo", &session]);
    insta::assert_snapshot!("nothing_left_of_a_session", told(&product, &session, &again));
    let read = product.run(&["tool", "call", "read", "--input", r#"{"path": "a.txt"}"#]);
    assert_eq!(read.code, Some(0), "{read:?}");
    let reading = product.run(&["explain", "--output", "json"]).stdout;
    let call =
        serde_json::from_str::<serde_json::Value>(&reading).unwrap()["call"]["call"].as_str().unwrap().to_owned();
    let nothing = changes(&product, &["undo", &call]).stderr;
    assert!(nothing.contains(&format!("call {call} changed no files")), "{nothing}");
}

#[test]
fn what_changed_since_is_told_file_by_file_and_can_be_kept() {
    let (product, session) = worked();
    product.run(&["tool", "call", "write", "--input", r#"{"path": "a.txt", "content": "later\n"}"#]);
    product.write("made/b.txt", "mine\n");
    let before = tree(&product);
    let refused = changes(&product, &["undo", &session]);
    assert_eq!(refused.code, Some(6));
    insta::assert_snapshot!("undo_in_conflict", told(&product, &session, &refused));
    assert_eq!(tree(&product), before);
    let kept = changes(&product, &["undo", &session, "--keep-changed"]);
    insta::assert_snapshot!("undo_that_keeps", told(&product, &session, &kept));
    assert_eq!((product.read("a.txt").as_str(), product.read("made/b.txt").as_str()), ("later\n", "mine\n"));
    assert!(product.root().join("gone.txt").exists() && !product.root().join("link").is_symlink());
    insta::assert_snapshot!("list_with_what_was_kept", told(&product, &session, &changes(&product, &["list"])));
    // A redo over what a person put in its place meanwhile is a conflict too.
    product.write("gone.txt", "mine\n");
    let redone = changes(&product, &["redo"]);
    insta::assert_snapshot!("redo_in_conflict", told(&product, &session, &redone));
}

#[test]
fn git_is_never_touched() {
    let (product, session) = worked();
    product.write(".git/index", "DIRC");
    product.write(".git/HEAD", "ref: refs/heads/main\n");
    product.write(".git/info/exclude", ".boxagnts/\n");
    std::fs::create_dir_all(product.root().join(".git/objects")).unwrap();
    let git = || {
        let listing = "find .git -printf '%P %T@ %s\\n' | sort; cat .git/index .git/info/exclude";
        std::process::Command::new("sh").args(["-c", listing]).current_dir(product.root()).output().unwrap().stdout
    };
    let before = git();
    assert_eq!(changes(&product, &["undo", &session]).code, Some(0));
    assert_eq!(changes(&product, &["redo"]).code, Some(0));
    assert_eq!(git(), before);
}

#[test]
fn what_was_freed_says_so() {
    let (product, session) = written();
    insta::assert_snapshot!("gc_with_nothing_to_do", product.run(&["gc"]).shown(&product));
    insta::assert_snapshot!("gc_of_what_is_young", product.run(&["gc", "--max-size", "0"]).shown(&product));
    insta::assert_snapshot!("gc_of_a_wrong_size", product.run(&["gc", "--max-size", "2GB"]).shown(&product));
    let all = ["gc", "--max-size", "0", "--keep-days", "0"];
    insta::assert_snapshot!("gc_that_only_looks", product.run(&[&all[..], &["--dry-run"]].concat()).shown(&product));
    insta::assert_snapshot!("gc", product.run(&all).shown(&product));
    let refused = changes(&product, &["undo", &session]);
    insta::assert_snapshot!("undo_of_what_was_freed", told(&product, &session, &refused));
    assert_eq!(changes(&product, &["diff", &listed(&product)[0]]).code, Some(2));
    assert_eq!(product.read("a.txt"), "two\n");
    assert_eq!(product.run(&["audit", "verify"]).code, Some(0));
}

#[test]
fn what_is_too_much_is_freed_after_a_session() {
    let product = Product::new();
    product.write("a.txt", "one\n");
    product.write("gone.txt", "gone\n");
    product.write("script.toml", SCRIPT);
    product.write("boxagnts.toml", "[retention]\nmax_size = 0\nkeep_days = 0\n");
    let run = product.run(&["run", "--model", "script/script.toml", "--headless", "work"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("note: freed ") && run.stderr.contains("contents of old changes"), "{}", run.stderr);
    assert_eq!(changes(&product, &["undo"]).code, Some(2));
    assert_eq!(product.run(&["audit", "verify"]).code, Some(0));
}
