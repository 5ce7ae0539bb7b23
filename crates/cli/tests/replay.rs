//! `boxagnts replay` through the real binary: whole sessions once more, offline, and what another tool would have done.

mod product;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

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
tools = ["write"]
paths = ["docs/**"]
"#;

/// A session with every kind of end that a call has without a person.
const SCRIPT: &str = r#"
[[reply]]
text = "I look first."
[[reply.call]]
tool = "read"
arguments = { path = "a.txt" }
[[reply.call]]
tool = "read"
arguments = { path = "secret.key" }
[[reply.call]]
tool = "teleport"
arguments = {}
[[reply.call]]
tool = "grep"
arguments = { pattern = "one" }

[[reply]]
[[reply.call]]
tool = "edit"
arguments = { path = "a.txt", edits = [{ old = "one", new = "two" }] }
[[reply.call]]
tool = "write"
arguments = { path = "docs/new.md", content = "x\n" }
[[reply.call]]
tool = "shell"
arguments = { script = "date +%s%N > /tmp/note; for i in 1 2 3; do echo $RANDOM >> a.txt; done; cat a.txt; seq 20000" }
[[reply.call]]
tool = "shell"
arguments = { script = "mkdir -p .git/hooks; echo x > .git/hooks/pre-commit" }
[[reply.call]]
tool = "shell"
arguments = { script = "cat /tmp/note a.txt; exit 3" }

[[reply]]
text = "Done."
"#;

/// Returns a workspace in which the script was run.
fn told() -> Product {
    let product = Product::new();
    product.write("boxagnts.toml", POLICY);
    product.write("a.txt", "one\n");
    product.write("secret.key", "value");
    product.write("script.toml", SCRIPT);
    let said = product.run(&["run", "--model", "script/script.toml", "--headless", "look around"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    product
}

fn session(product: &Product) -> String {
    let listed = product.run(&["session", "list"]);
    listed.stdout.split_whitespace().next().expect("there is a session").to_owned()
}

/// Replays the latest session.
fn replay(product: &Product, more: &[&str]) -> Said {
    let session = session(product);
    product.run(&[&["replay", session.as_str()], more].concat())
}

#[test]
fn a_session_is_replayed_without_its_world() {
    let product = told();
    for file in ["a.txt", "secret.key", "script.toml"] {
        fs::remove_file(product.root().join(file)).unwrap();
    }
    // Rules of now say nothing about then.
    product.write("boxagnts.toml", "[[rules]]\nname = \"nothing\"\nverdict = \"deny\"\ntools = [\"*\"]\n");
    let said = replay(&product, &[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.stdout
            .ends_with("9 calls: 6 the same, 0 different, 0 not replayable, 3 that never ran\n1 turns: 1 the same\n"),
        "{}",
        said.stdout
    );
    assert!(!product.root().join("a.txt").exists(), "a replay changes nothing");
    let said = replay(&product, &["--output", "json"]);
    let told: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&told["turns"][0]["result"], told["calls"].as_array().map(Vec::len)), (&json!("same"), Some(9)));
}

/// Answers each request with its number, and counts.
fn server() -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (at, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicU32::new(0)));
    let count = asked.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let number = count.fetch_add(1, Ordering::SeqCst);
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let head: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            // What a careless server does with what it was sent.
            let body = format!("number {number}: {}", head.join("; "));
            let length = body.len();
            let _ =
                write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{body}");
        }
    });
    (format!("http://{at}"), asked)
}

#[test]
fn no_server_is_asked_again_and_no_secret_is_kept() {
    const VALUE: &str = "a-value-that-nobody-guesses";
    let product = Product::new();
    let (at, asked) = server();
    let config = format!(
        "[network]\nallowed_outbound_hosts = [\"{at}\"]\nallow_private = [\"{at}\"]\n[secrets]\nallowed = [\"TOKEN\"]\n"
    );
    product.write("boxagnts.toml", &config);
    let mut set = product.command(&["secret", "set", "TOKEN", "--host", &at, "--header", "x-token"]);
    let mut child = set.stdin(std::process::Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(VALUE.as_bytes()).unwrap();
    let set: Said = child.wait_with_output().unwrap().into();
    assert_eq!(set.code, Some(0), "{set:?}");
    let input = json!({ "url": at, "headers": { "x-token": "{{secret:TOKEN}}" } }).to_string();
    let called = product.run(&["tool", "call", "fetch", "--input", &input]);
    assert_eq!(called.code, Some(0), "{called:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // Whoever replays needs no secret.
    assert_eq!(product.run(&["secret", "rm", "TOKEN"]).code, Some(0));
    let said = replay(&product, &[]);
    assert!(said.code == Some(0) && said.stdout.contains("1 the same"), "{said:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "nobody is asked again");
    assert!(!holds(&product.root().join(".boxagnts"), VALUE.as_bytes()), "a tape holds no secret");
}

/// Tells whether any file beneath `folder` holds `bytes`.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return holds(&path, bytes);
        }
        fs::read(&path).unwrap_or_default().windows(bytes.len()).any(|window| window == bytes)
    })
}

/// Copies the extension that `cargo xtask foreign` built to `folder`, with a change of its manifest.
fn extension(folder: &Path, change: impl Fn(&str) -> String) -> PathBuf {
    let built = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/foreign/count"));
    fs::create_dir_all(folder).unwrap();
    fs::copy(built.join("count.wasm"), folder.join("count.wasm")).expect("`cargo xtask foreign` builds it");
    let manifest = fs::read_to_string(built.join("tool.toml")).unwrap();
    fs::write(folder.join("tool.toml"), change(&manifest)).unwrap();
    folder.to_owned()
}

#[test]
fn another_version_shows_what_it_would_do() {
    let product = Product::new();
    product.write("a.txt", "one two\nthree\n");
    let first = extension(&product.data().join("first"), str::to_owned);
    let second = extension(&product.data().join("second"), |manifest| {
        manifest.replace("1.0.0", "2.0.0").replace("{ flag = \"only_lines\", items = [\"--lines\"] },", "\"--lines\",")
    });
    assert_eq!(product.run(&["tool", "add", first.to_str().unwrap(), "--yes"]).code, Some(0));
    let called = product.run(&["tool", "call", "count", "--input", r#"{"path":"a.txt"}"#]);
    assert_eq!(called.stdout, "2 3 14 a.txt\n", "{called:?}");
    let same = replay(&product, &["--with", "count@1.0.0"]);
    assert!(same.code == Some(0) && same.stdout.contains("1 the same"), "{same:?}");
    let other = replay(&product, &["--with", second.to_str().unwrap()]);
    assert_eq!(other.code, Some(9), "{other:?}");
    for line in ["another component: version 2.0.0, then 1.0.0", "-2 3 14 a.txt", "+2 a.txt", "instructions: "] {
        assert!(other.stdout.contains(line), "{line}: {}", other.stdout);
    }
    let missing = replay(&product, &["--with", "count@9"]);
    assert!(missing.code == Some(2) && missing.stderr.contains("version 1.0.0, not 9"), "{missing:?}");
    let uncalled = replay(&product, &["--with", "read"]);
    assert!(uncalled.code == Some(2) && uncalled.stderr.contains("it called: count"), "{uncalled:?}");
    assert_eq!(product.run(&["tool", "rm", "count"]).code, Some(0));
    let gone = replay(&product, &[]);
    assert!(gone.code == Some(9) && gone.stdout.contains("there is no tool `count` any more"), "{gone:?}");
}
