//! Every guarantee that can be seen from the command line, through the real binary.

mod product;

use std::os::unix::fs::PermissionsExt as _;

use product::{Product, Said};
use serde_json::{Value, json};

fn call(product: &Product, tool: &str, input: &Value) -> Said {
    product.run(&["tool", "call", tool, "--headless", "--input", &input.to_string()])
}

/// Returns the last change set's identifier.
fn last_change(product: &Product) -> String {
    let listed = product.run(&["changes", "list"]);
    listed.stdout.split_whitespace().next().unwrap().to_owned()
}

fn edit(path: &str, old: &str, new: &str) -> Value {
    json!({"path": path, "edits": [{"old": old, "new": new}]})
}

#[test]
fn a_tool_reads_and_edits_and_a_person_takes_it_back() {
    let product = Product::new();
    product.write("a.txt", "one\ntwo\n");
    let read = call(&product, "read", &json!({"path": "a.txt"}));
    assert_eq!((read.code, read.stdout.contains("1\tone")), (Some(0), true), "{read:?}");
    assert_eq!(call(&product, "edit", &edit("a.txt", "two", "2")).code, Some(0));
    assert_eq!(product.read("a.txt"), "one\n2\n");
    let id = last_change(&product);
    let diff = product.run(&["changes", "diff", &id[..6]]);
    assert!(diff.stdout.contains("-two\n+2"), "{}", diff.stdout);
    let undone = product.run(&["changes", "undo", &id]);
    assert_eq!((undone.code, undone.stdout.as_str()), (Some(0), "restored a.txt\n"), "{undone:?}");
    assert_eq!(product.read("a.txt"), "one\ntwo\n");
    let again = product.run(&["changes", "undo", &id]);
    assert_eq!(again.code, Some(2), "{again:?}");
    assert!(again.stderr.contains("was already taken back"), "{}", again.stderr);
}

#[test]
fn an_undo_never_overwrites_what_a_person_changed_since() {
    let product = Product::new();
    product.write("a.txt", "one\n");
    call(&product, "edit", &edit("a.txt", "one", "two"));
    product.write("a.txt", "mine\n");
    let undone = product.run(&["changes", "undo", &last_change(&product)]);
    assert_eq!(undone.code, Some(6), "{undone:?}");
    assert!(undone.stderr.contains("a.txt"), "{}", undone.stderr);
    assert_eq!(product.read("a.txt"), "mine\n");
}

#[test]
fn protected_paths_are_not_written_when_nobody_can_be_asked() {
    let product = Product::new();
    product.write(".git/config", "[core]\n");
    product.write("boxagnts.toml", "max_turns = 5\n");
    for path in [
        ".git/config",
        ".GIT/config",
        ".git/hooks/pre-commit",
        "boxagnts.toml",
        "sub/.git/config",
        ".g\u{200c}it/config",
    ] {
        let said = call(&product, "write", &json!({"path": path, "content": "evil"}));
        assert_eq!(said.code, Some(4), "{path}: {said:?}");
        assert!(said.stderr.contains("`protected-paths`"), "{}", said.stderr);
    }
    assert_eq!(
        (product.read(".git/config"), product.read("boxagnts.toml")),
        ("[core]\n".into(), "max_turns = 5\n".into())
    );
    assert!(!product.root().join(".git/hooks/pre-commit").exists() && !product.root().join("sub").exists());
}

/// The argument names a harmless path, and a link makes it a protected one: the commit is judged by what was written.
#[test]
fn a_link_to_a_protected_path_does_not_get_around_the_rule() {
    let product = Product::new();
    product.write(".git/config", "[core]\n");
    std::os::unix::fs::symlink(".git", product.root().join("harmless")).unwrap();
    let said = call(&product, "write", &json!({"path": "harmless/config", "content": "evil"}));
    assert_eq!(said.code, Some(4), "{said:?}");
    assert_eq!(product.read(".git/config"), "[core]\n");
}

#[test]
fn nothing_outside_the_workspace_can_be_read_or_written() {
    // Not below `/tmp`: there a tool sees the session's own folder.
    let (product, outside) = (Product::new(), tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
    let secret = outside.path().join("secret.txt");
    std::fs::write(&secret, "the secret").unwrap();
    std::os::unix::fs::symlink(&secret, product.root().join("link")).unwrap();
    let secret = secret.to_str().unwrap();
    let up = format!("../../../../../../../../../../..{secret}");
    for (path, code) in [(secret, 4), (up.as_str(), 4), ("/proc/self/environ", 4), ("link", 2)] {
        for (tool, input) in [("read", json!({"path": path})), ("write", json!({"path": path, "content": "x"}))] {
            let said = call(&product, tool, &input);
            assert_eq!(said.code, Some(code), "{tool} {path}: {said:?}");
            assert!(!said.stdout.contains("the secret"));
        }
    }
    assert_eq!(std::fs::read_to_string(secret).unwrap(), "the secret");
    let found = call(&product, "grep", &json!({"pattern": "the secret"}));
    assert!(!found.stdout.contains("link"), "{found:?}");
}

#[test]
fn the_runtimes_own_state_is_private_and_invisible() {
    let product = Product::new();
    product.write("a.txt", "one\n");
    product.write(".git/HEAD", "ref: refs/heads/main\n");
    product.write(".git/objects/info/packs", "");
    product.write(".git/info/exclude", "# kept\n");
    let listed = call(&product, "list", &json!({"path": ".", "hidden": true}));
    assert!(listed.stdout.contains("a.txt") && !listed.stdout.contains("boxagnts"), "{}", listed.stdout);
    for path in [".boxagnts/journal.db", ".BOXAGNTS/journal.db"] {
        let said = call(&product, "read", &json!({"path": path}));
        assert_eq!(said.code, Some(2), "{said:?}");
    }
    let mode = std::fs::metadata(product.root().join(".boxagnts")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(product.read(".git/info/exclude"), "# kept\n.boxagnts/\n");
}

#[test]
fn rules_of_the_person_decide_also_about_what_a_search_meets() {
    let product = Product::new();
    product.write("secrets/key.txt", "needle one\n");
    product.write("open.txt", "needle two\n");
    product.write("boxagnts.toml", "[[rules]]\nname = \"no-secrets\"\nverdict = \"deny\"\npaths = [\"secrets/**\"]\n");
    let read = call(&product, "read", &json!({"path": "secrets/key.txt"}));
    assert_eq!((read.code, read.stderr.contains("`no-secrets`")), (Some(4), true), "{read:?}");
    let found = call(&product, "grep", &json!({"pattern": "needle"}));
    assert!(found.stdout.contains("open.txt") && !found.stdout.contains("needle one"), "{found:?}");
    std::os::unix::fs::symlink("secrets/key.txt", product.root().join("alias")).unwrap();
    let aliased = call(&product, "read", &json!({"path": "alias"}));
    assert!(aliased.code != Some(0) && !aliased.stdout.contains("needle"), "{aliased:?}");
}

#[test]
fn a_limit_of_the_configuration_is_in_force() {
    let product = Product::new();
    product.write("a.txt", &"line\n".repeat(100_000));
    product.write("boxagnts.toml", "[limits]\nwasm_fuel = 100_000\n");
    let said = call(&product, "grep", &json!({"pattern": "x"}));
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.stderr.contains("`wasm_fuel`"), "{}", said.stderr);
}

#[test]
fn the_whole_of_a_long_result_can_be_read() {
    let product = Product::new();
    for file in 0..400 {
        product.write(&format!("dir/file-{file:03}.txt"), &format!("needle {file:03} {}\n", "x".repeat(150)));
    }
    let script = r#"
        [[reply]]
        [[reply.call]]
        tool = "grep"
        arguments = { pattern = "needle", limit = 400 }
        [[reply]]
        [[reply.call]]
        tool = "grep"
        arguments = { pattern = "needle 399", path = "/results" }
        [[reply]]
        text = "Enough."
    "#;
    product.write("script.toml", script);
    let said = product.run(&["run", "--model", "script/script.toml", "search", "--headless", "--output", "json"]);
    let finished: Vec<_> = said.events().into_iter().filter(|event| event["type"] == "call_finished").collect();
    let text = |call: usize| finished[call]["result"]["text"].as_str().unwrap();
    assert!(text(0).contains("more bytes. The whole output is in /results/"), "{}", text(0));
    assert!(finished[0]["full_output"].is_string() && !text(0).contains("needle 399"));
    assert!(text(1).contains("needle 399"), "{}", text(1));
}

#[test]
fn mapped_folders_are_mounted_as_configured() {
    let (product, other) = (Product::new(), tempfile::tempdir().unwrap());
    std::fs::write(other.path().join("lib.txt"), "library\n").unwrap();
    let map = |guest: &str, access: &str| {
        format!("[[map_dirs]]\nhost = {:?}\nguest = \"{guest}\"\naccess = \"{access}\"\n", other.path())
    };
    product.write("boxagnts.toml", &(map("/lib", "read") + &map("/out", "read_write")));
    let read = call(&product, "read", &json!({"path": "/lib/lib.txt"}));
    assert!(read.stdout.contains("library"), "{read:?}");
    let refused = call(&product, "write", &json!({"path": "/lib/new.txt", "content": "x"}));
    assert_eq!((refused.code, refused.stderr.contains("`grant.files`")), (Some(4), true), "{refused:?}");
    assert_eq!(call(&product, "write", &json!({"path": "/out/new.txt", "content": "x"})).code, Some(0));
    assert_eq!(std::fs::read_to_string(other.path().join("new.txt")).unwrap(), "x");
    assert_eq!(product.run(&["changes", "undo", &last_change(&product)]).code, Some(0));
    assert!(!other.path().join("new.txt").exists());
}

#[test]
fn a_model_that_never_stops_is_stopped_and_one_that_is_only_refused_too() {
    let product = Product::new();
    let script = |path: &str| {
        format!("[[reply]]\nrepeat = true\n[[reply.call]]\ntool = \"read\"\narguments = {{ path = \"{path}\" }}\n")
    };
    product.write("loop.toml", &script("loop.toml"));
    product.write("refused.toml", &script("/etc/passwd"));
    let run = |name: &str| {
        let model = format!("script/{name}");
        product.run(&["run", "--model", &model, "go", "--headless", "--max-turns", "9", "--output", "json"])
    };
    let calls = |said: &Said| said.types().iter().filter(|kind| *kind == "model_called").count();
    let circling = run("loop.toml");
    assert_eq!((circling.code, calls(&circling)), (Some(3), 7), "{circling:?}");
    assert!(circling.stderr.contains("nothing new came of 6 steps in a row"), "{}", circling.stderr);
    product.write("boxagnts.toml", "max_repeats = 100\n");
    let looping = run("loop.toml");
    assert_eq!((looping.code, calls(&looping)), (Some(3), 9), "{looping:?}");
    assert!(looping.stderr.contains("stopped after 9 model calls"), "{}", looping.stderr);
    product.write("boxagnts.toml", "");
    let refused = run("refused.toml");
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.stderr.contains("8 refused calls in a row"), "{}", refused.stderr);
}

#[test]
fn what_a_model_sends_wrong_comes_back_to_it() {
    let product = Product::new();
    product.write("a.txt", "one\n");
    let script = r#"
        [[reply]]
        [[reply.call]]
        tool = "teleport"
        arguments = {}
        [[reply.call]]
        tool = "read"
        arguments = { pth = "a.txt" }
        [[reply.call]]
        tool = "read"
        malformed = "{\"path\": \"a.t"
        [[reply.call]]
        tool = "edit"
        arguments = { path = "a.txt", edits = [{ old = "absent", new = "x" }] }
        [[reply]]
        text = "I see."
    "#;
    product.write("script.toml", script);
    let said = product.run(&["run", "--model", "script/script.toml", "go", "--headless", "--output", "json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let outcomes: Vec<_> = said
        .events()
        .into_iter()
        .filter(|event| event["type"] == "call_finished")
        .map(|event| event["outcome"]["outcome"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(outcomes, ["invalid", "invalid", "invalid", "rejected"]);
    assert_eq!(product.read("a.txt"), "one\n");
}

#[test]
fn a_write_over_a_file_that_changed_since_it_was_read_is_a_conflict() {
    let product = Product::new();
    let script = product.root().join("script.toml");
    product.write("a.txt", "one\n");
    let read = "[[reply]]\n[[reply.call]]\ntool = \"read\"\narguments = { path = \"a.txt\" }\n";
    let write =
        "[[reply]]\n[[reply.call]]\ntool = \"write\"\narguments = { path = \"a.txt\", content = \"model\\n\" }\n";
    let end = "[[reply]]\ntext = \"Done.\"\n";
    let failing = "[[reply]]\nfailure = { kind = \"invalid_request\", message = \"down\" }\n";
    std::fs::write(&script, format!("{read}{failing}{end}")).unwrap();
    let model = format!("script/{}", script.display());
    assert_eq!(product.run(&["run", "--model", &model, "go", "--headless"]).code, Some(5));
    product.write("a.txt", "mine\n");
    std::fs::write(&script, format!("{read}{write}{end}")).unwrap();
    let said = product.run(&["resume", "--headless", "--output", "json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let conflicted = said.events().into_iter().find(|event| event["type"] == "call_finished").unwrap();
    assert_eq!(conflicted["outcome"]["outcome"], "conflicted", "{conflicted}");
    assert_eq!(product.read("a.txt"), "mine\n");
}

#[test]
fn a_session_driven_by_one_process_is_not_driven_by_another() {
    let product = Product::new();
    product.write("slow.toml", "[[reply]]\ndelay_ms = 60000\ntext = \"late\"\n");
    let mut slow = product
        .command(&["run", "--model", "script/slow.toml", "go", "--headless", "--output", "json"])
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(slow.stdout.take().unwrap()));
    let called = lines.by_ref().map(Result::unwrap).find(|line| line.contains("model_called")).unwrap();
    let id = serde_json::from_str::<Value>(&called).unwrap()["session"].as_str().unwrap().to_owned();
    product.write("quick.toml", "[[reply]]\ntext = \"Done.\"\n");
    let run = ["run", "--model", "script/quick.toml", "more", "--headless"];
    let refused = [product.run(&["resume", "--headless"]), product.run(&[&run[..], &["--session", &id]].concat())];
    let other = product.run(&run);
    slow.kill().unwrap();
    slow.wait().unwrap();
    for second in refused {
        assert_eq!(second.code, Some(2), "{second:?}");
        assert!(second.stderr.contains(&format!("session {id} is being driven by another process")), "{second:?}");
    }
    assert_eq!(
        (other.code, other.stdout.as_str()),
        (Some(0), "Done.\n"),
        "another session goes on beside it: {other:?}"
    );
}

#[test]
fn the_doctor_runs_a_real_call_and_says_what_is_missing() {
    let product = Product::new();
    let without = product.run(&["doctor"]);
    assert_eq!(without.code, Some(2), "{without:?}");
    assert!(without.stdout.contains("ok    sandbox        a call took"), "{}", without.stdout);
    assert!(
        without.stdout.contains("FAIL  model") && without.stdout.contains("hint: set one of"),
        "{}",
        without.stdout
    );
    let with = Said::from(product.command(&["doctor"]).env("OPENAI_API_KEY", "k").output().unwrap());
    assert_eq!((with.code, with.stdout.contains("FAIL")), (Some(0), false), "{with:?}");
}
