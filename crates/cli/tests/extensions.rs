//! Extensions through the real binary: added, listed, called, changed, removed, dropped in while a session runs.

mod product;
mod wire;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use product::{Product, Said};
use serde_json::{Value, json};
use tempfile::TempDir;
use wire::{Deed, Step, Wire};

/// A workspace, and a person's data folder outside it.
struct Person {
    product: Product,
    data: TempDir,
}

impl Person {
    fn new() -> Self {
        Self { product: Product::new(), data: tempfile::tempdir().unwrap() }
    }

    fn run(&self, arguments: &[&str]) -> Said {
        Said::from(self.product.command(arguments).env("XDG_DATA_HOME", self.data.path()).output().unwrap())
    }

    fn call(&self, tool: &str, input: &Value) -> Said {
        self.run(&["tool", "call", tool, "--input", &input.to_string()])
    }

    /// Returns the folder of the extension `name`.
    fn installed(&self, name: &str) -> PathBuf {
        self.data.path().join("boxagnts/extensions/tools").join(name)
    }

    /// Returns the line of the tool list that begins with `name`.
    fn listed(&self, name: &str) -> Option<String> {
        let said = self.run(&["tool", "list"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        said.stdout.lines().find(|line| line.split_whitespace().next() == Some(name)).map(str::to_owned)
    }

    fn add(&self, path: &Path) -> Said {
        self.run(&["tool", "add", path.to_str().unwrap(), "--yes"])
    }
}

/// Returns the folder of an extension in another language, as `cargo xtask foreign` built it.
fn foreign(name: &str) -> PathBuf {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/foreign")).join(name);
    assert!(folder.join("tool.toml").is_file(), "{} is not built: run `cargo xtask foreign`", folder.display());
    compile(&folder);
    folder
}

/// Has what lies in `folder` compiled into the cache that all tests share: once, instead of by each test beside the others.
fn compile(folder: &Path) {
    static COMPILED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if compiled.insert(folder.to_owned()) {
        assert_eq!(Person::new().add(folder).code, Some(0));
    }
}

/// Copies an extension to `to`, with a change of its manifest.
fn copy(name: &str, to: &Path, change: impl Fn(&str) -> String) {
    fs::create_dir_all(to).unwrap();
    fs::copy(foreign(name).join(format!("{name}.wasm")), to.join(format!("{name}.wasm"))).unwrap();
    let manifest = fs::read_to_string(foreign(name).join("tool.toml")).unwrap();
    fs::write(to.join("tool.toml"), change(&manifest)).unwrap();
}

#[test]
fn a_program_in_c_is_added_called_and_removed() {
    let person = Person::new();
    person.product.write("a b.txt", "one two\nthree\n");
    let path = foreign("count");
    let unattended = person.run(&["tool", "add", path.to_str().unwrap()]);
    assert_eq!(unattended.code, Some(4), "{unattended:?}");
    assert!(
        unattended.stderr.contains("+ read files") && unattended.stderr.contains("level read_only"),
        "{unattended:?}"
    );
    assert!(unattended.stderr.contains("--yes") && person.listed("count").is_none(), "{unattended:?}");
    let added = person.add(&path.join("count.wasm"));
    assert_eq!(added.code, Some(0), "{added:?}");
    let line = person.listed("count").unwrap();
    assert_eq!(line, "count      read_only  extension  Counts the lines, words and bytes of a file, or of a text.");
    assert!(person.listed("read").unwrap().contains("built-in"));
    for (input, printed) in [
        (json!({"path": "a b.txt"}), "2 3 14 a b.txt\n"),
        (json!({"path": "a b.txt", "only_lines": true}), "2 a b.txt\n"),
        (json!({"text": "x y"}), "0 2 3 -\n"),
    ] {
        let called = person.call("count", &input);
        assert_eq!((called.code, called.stdout.as_str()), (Some(0), printed), "{input}: {called:?}");
    }
    let rejected = person.call("count", &json!({"path": "absent.txt"}));
    assert_eq!(rejected.code, Some(2), "{rejected:?}");
    assert!(rejected.stderr.contains("exit code 1\ncount: absent.txt: "), "{rejected:?}");
    let outside = person.call("count", &json!({"path": "/etc/passwd"}));
    assert_eq!(outside.code, Some(4), "{outside:?}");
    assert_eq!(person.call("count", &json!({"pth": "x"})).code, Some(2));
    assert_eq!(person.run(&["tool", "rm", "count"]).code, Some(0));
    assert!(person.listed("count").is_none() && !person.installed("count").exists());
    let again = person.run(&["tool", "rm", "count"]);
    assert!(again.code == Some(2) && again.stderr.contains("there is no extension `count`"), "{again:?}");
}

/// What an extension was is recorded with its calls, so that they are explained when it is gone.
#[test]
fn a_policy_is_tested_with_an_extension_and_its_calls_are_explained_without_it() {
    let person = Person::new();
    person.product.write("a.txt", "one\n");
    person.product.write("boxagnts.toml", "[[rules]]\nname = \"keys\"\nverdict = \"deny\"\npaths = [\"**/*.key\"]\n");
    let case = "[[case]]\ntool = \"count\"\narguments = { path = \"a.key\" }\nexpect = \"deny\"\nrule = \"keys\"\n";
    person.product.write("cases.toml", case);
    assert_eq!(person.add(&foreign("count")).code, Some(0));
    assert_eq!(person.run(&["policy", "test", "cases.toml"]).stdout, "1 case: 1 passed, 0 failed\n");
    assert_eq!(person.call("count", &json!({"path": "a.txt"})).code, Some(0));
    assert_eq!(person.run(&["tool", "rm", "count"]).code, Some(0));
    let without = person.run(&["policy", "test", "cases.toml"]);
    assert!(
        without.code == Some(2) && without.stderr.contains("cases.toml:1: there is no tool `count`"),
        "{without:?}"
    );
    let explained = person.run(&["explain"]).stdout;
    assert!(
        explained.contains("they fit count 1.0.0, component ") && explained.contains("> default.read"),
        "{explained}"
    );
    let judged = person.run(&["policy", "what-if", "boxagnts.toml"]).stdout;
    assert!(judged.contains("1 decision, 0 differ, 0 could not be judged"), "{judged}");
}

#[test]
fn a_tool_in_javascript_that_asks_for_nothing_needs_no_approval() {
    let person = Person::new();
    let added = person.run(&["tool", "add", foreign("slug").to_str().unwrap()]);
    assert_eq!(added.code, Some(0), "{added:?}");
    let called = person.call("slug", &json!({"text": "The Sandbox, Governs!"}));
    assert_eq!((called.code, called.stdout.as_str()), (Some(0), "the-sandbox-governs\n"), "{called:?}");
    let rejected = person.call("slug", &json!({"text": "!!"}));
    assert!(rejected.code == Some(2) && rejected.stderr.contains("can stand in a slug"), "{rejected:?}");
    let shown = person.run(&["tool", "show", "slug"]);
    assert!(shown.stdout.starts_with("slug 1.0.0 (extension)\nlevel: none\nfiles: none\n"), "{shown:?}");
}

#[test]
fn a_tool_in_python_runs_programs_on_the_stage() {
    let person = Person::new();
    let added = person.run(&["tool", "add", foreign("python").to_str().unwrap(), "--yes"]);
    assert_eq!(added.code, Some(0), "{added:?}");
    person.product.write("lib/words.py", "def loud(word): return word.upper()\n");
    person.product.write("main.py", "import sys\nprint(sys.argv, args['n'] + 1)\nsys.exit(0)\n");
    for (arguments, expected) in [
        (json!({"code": "6 * 7"}), "result: 42\n"),
        (json!({"code": "print('a'); import sys; print('b', file=sys.stderr)"}), "a\nb\n"),
        (json!({"code": "import lib.words\nlib.words.loud('hi')"}), "result: 'HI'\n"),
        (json!({"code": "print('\\ud800')"}), "?\n"),
        (json!({"path": "main.py", "args": {"n": 1}}), "['main.py'] 2\n"),
        (
            json!({"code": "import json, re, datetime\njson.dumps(re.findall('[0-9]', 'a1b2'))"}),
            "result: '[\"1\", \"2\"]'\n",
        ),
        (json!({"code": "open('made.txt', 'w').write('new')"}), "result: 3\n"),
    ] {
        let said = person.call("python", &arguments);
        assert_eq!((said.code, said.stdout.as_str()), (Some(0), expected), "{arguments}: {said:?}");
    }
    assert_eq!(person.product.read("made.txt"), "new");
    let draw = || person.call("python", &json!({"code": "import random\nrandom.random()"})).stdout;
    assert_ne!(draw(), draw(), "what the interpreter drew when it was built is not drawn again");
    for (code, expected) in [
        ("def f():\n  return 1 / 0\nopen('lost.txt', 'w').write('x')\nf()", "line 4, in <module>"),
        ("raise SystemExit(3)", "exit code 3"),
        ("import subprocess", "No module named 'subprocess'"),
        ("open('/etc/passwd').read()", "Error"),
        ("import socket\nsocket.create_connection(('127.0.0.1', 9))", "refused by rule `grant.network`"),
        ("x = ", "SyntaxError"),
        ("class C:\n  def __repr__(self): raise ValueError('no')\nC()", "ValueError: no"),
    ] {
        let said = person.call("python", &json!({ "code": code }));
        assert!(said.code == Some(2) && said.stderr.contains(expected), "{code}: {said:?}");
    }
    assert!(!person.product.root().join("lost.txt").exists());
}

#[test]
fn a_new_version_that_wants_more_asks_again_and_shows_the_difference() {
    let (person, next) = (Person::new(), tempfile::tempdir().unwrap());
    person.product.write("a.txt", "one\n");
    assert_eq!(person.add(&foreign("count")).code, Some(0));
    let wider = |manifest: &str| {
        manifest.replace("1.0.0", "2.0.0").replace("\"read_only\"", "\"write\"").replacen(
            "\"read\"",
            "\"read_write\"",
            1,
        )
    };
    // Changed where it lies: it is not offered, and says what it wants.
    copy("count", &person.installed("count"), wider);
    let line = person.listed("count").unwrap();
    for part in ["waiting", "+ write files, staged", "- be judged as level read_only", "boxagnts tool approve count"] {
        assert!(line.contains(part), "{line}");
    }
    let refused = person.call("count", &json!({"path": "a.txt"}));
    assert!(refused.code == Some(4) && refused.stderr.contains("hint: look at it"), "{refused:?}");
    let unattended = person.run(&["tool", "approve", "count"]);
    assert!(unattended.code == Some(4) && unattended.stderr.contains("+ write files, staged"), "{unattended:?}");
    assert_eq!(person.run(&["tool", "approve", "count", "--yes"]).code, Some(0));
    assert_eq!(person.call("count", &json!({"path": "a.txt"})).code, Some(0));
    // What wants no more than was approved needs no answer, and another's place is not taken without one.
    copy("count", &person.installed("count"), |manifest| manifest.replace("\"read_only\"", "\"write\""));
    assert_eq!(person.call("count", &json!({"path": "a.txt"})).code, Some(0));
    assert!(person.listed("count").unwrap().contains("(changed since you approved it) Counts"));
    copy("count", next.path(), |manifest| wider(manifest).replace("2.0.0", "3.0.0"));
    let replacing = person.run(&["tool", "add", next.path().to_str().unwrap()]);
    assert!(replacing.code == Some(4) && replacing.stderr.contains("+ replace version 1.0.0"), "{replacing:?}");
    assert_eq!(person.add(next.path()).code, Some(0));
    assert!(person.run(&["tool", "show", "count"]).stdout.starts_with("count 3.0.0"));
}

#[test]
fn an_extension_that_is_dropped_in_is_offered_in_the_next_model_call_and_gone_when_it_is_removed() {
    let person = Person::new();
    let (to, from) = (person.installed("slug"), person.installed("slug"));
    let drop_in = Deed::new(move || copy("slug", &to, str::to_owned));
    let take_away = Deed::new(move || fs::remove_dir_all(&from).unwrap());
    let slug = || Box::new(Step::Call("slug", json!({"text": "A b"})));
    let wire = Wire::serve(vec![
        Step::After(drop_in, Box::new(Step::Call("list", json!({})))),
        *slug(),
        Step::After(take_away, slug()),
    ]);
    person.product.allow_model("openai", "m");
    let arguments = ["run", "--model", "openai/m", "go", "--headless", "--output", "json"];
    let mut command = person.product.command(&arguments);
    command.env("XDG_DATA_HOME", person.data.path());
    command.env("OPENAI_BASE_URL", wire.url("/v1")).env("OPENAI_API_KEY", "k");
    let said = Said::from(command.output().unwrap());
    assert_eq!(said.code, Some(0), "{said:?}");
    let is_offered = |request: &Value| request["tools"].to_string().contains("\"slug\"");
    let offered: Vec<_> = wire.requests().iter().map(is_offered).collect();
    assert_eq!(offered, [false, true, true, false]);
    let finished = said.events().into_iter().filter(|event| event["type"] == "call_finished");
    let outcomes: Vec<_> = finished.map(|event| event["outcome"]["outcome"].as_str().unwrap().to_owned()).collect();
    assert_eq!(outcomes, ["succeeded", "succeeded", "invalid"]);
}

#[test]
fn what_nobody_approved_is_not_offered_to_a_model() {
    let person = Person::new();
    copy("count", &person.installed("count"), str::to_owned);
    let wire = Wire::serve(vec![Step::Call("count", json!({"text": "x"}))]);
    person.product.allow_model("openai", "m");
    let mut command = person.product.command(&["run", "--model", "openai/m", "go", "--headless", "--output", "json"]);
    command.env("XDG_DATA_HOME", person.data.path());
    command.env("OPENAI_BASE_URL", wire.url("/v1")).env("OPENAI_API_KEY", "k");
    let said = Said::from(command.output().unwrap());
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(!wire.requests().iter().any(|request| request["tools"].to_string().contains("\"count\"")));
    assert!(said.stderr.contains("note: the extension `count` asks for more than was approved"), "{}", said.stderr);
    let finished = said.events().into_iter().find(|event| event["type"] == "call_finished").unwrap();
    assert_eq!(finished["outcome"]["outcome"], "invalid");
}

#[test]
fn a_broken_extension_is_listed_with_its_error_and_breaks_nothing() {
    let person = Person::new();
    person.product.write("a.txt", "one\n");
    copy("slug", &person.installed("slug"), str::to_owned);
    copy("slug", &person.installed("syntax"), |_| "name = ".into());
    copy("slug", &person.installed("read"), |manifest| manifest.replace("\"slug\"", "\"read\""));
    copy("slug", &person.installed("other"), str::to_owned);
    copy("slug", &person.installed("undefined"), |manifest| manifest.replace("\"slug\"", "\"undefined\""));
    fs::create_dir_all(person.installed("linked")).unwrap();
    fs::write(person.installed("linked/tool.toml"), "").unwrap();
    std::os::unix::fs::symlink(foreign("slug").join("slug.wasm"), person.installed("linked/slug.wasm")).unwrap();
    fs::create_dir_all(person.installed("garbage")).unwrap();
    fs::write(person.installed("garbage/garbage.wasm"), b"\0asm\x0d\0\x01\0 no component").unwrap();
    let garbage = fs::read_to_string(foreign("slug").join("tool.toml")).unwrap().replace("\"slug\"", "\"garbage\"");
    fs::write(person.installed("garbage/tool.toml"), garbage).unwrap();
    let said = person.run(&["tool", "list"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let broken = |name: &str, message: &str| {
        let is_it = |line: &&str| line.starts_with(&format!("{name} ")) && line.contains("broken");
        let line = said.stdout.lines().find(is_it).unwrap_or_else(|| panic!("{name}: {}", said.stdout));
        assert!(line.contains(message), "{line}");
    };
    broken("syntax", "tool.toml cannot be read");
    broken("read", "the name `read` is a built-in tool's");
    broken("other", "it calls itself `slug`");
    broken("undefined", "does not define a tool of that name");
    broken("garbage", "does not compile");
    assert!(said.stdout.lines().any(|line| line.starts_with("linked ") && line.contains("broken")), "{said:?}");
    assert_eq!(person.call("slug", &json!({"text": "A"})).stdout, "a\n");
    assert!(person.call("read", &json!({"path": "a.txt"})).stdout.contains("one"));
    let doctor = person.run(&["doctor"]);
    assert!(
        doctor.stdout.contains("FAIL  extensions") && doctor.stdout.contains("`syntax` cannot be used"),
        "{doctor:?}"
    );
}

#[test]
fn a_component_that_imports_what_its_manifest_does_not_request_is_refused_and_told_what_to_write() {
    let (person, folder) = (Person::new(), tempfile::tempdir().unwrap());
    let without_files = |manifest: &str| {
        let manifest = manifest.replace("[[paths]]\nargument = \"path\"\naccess = \"read\"\n", "");
        manifest.replace("files = \"read\"", "files = \"none\"")
    };
    copy("count", folder.path(), without_files);
    let message = "which its manifest does not request: write `files = \"read\"` (or \"read_write\", or \"empty\" to see none) under [capabilities]";
    let refused = person.add(folder.path());
    assert!(refused.code == Some(2) && refused.stderr.contains(message), "{refused:?}");
    assert!(!person.installed("count").exists());
    copy("count", &person.installed("count"), |manifest| without_files(manifest).replace("\"read_only\"", "\"none\""));
    let line = person.listed("count").unwrap();
    assert!(line.contains("broken") && line.contains(message), "{line}");
}

#[test]
fn extensions_and_mounts_lie_apart() {
    let person = Person::new();
    let inside = person.product.root().join("data");
    let list = |data: &Path| {
        Said::from(person.product.command(&["tool", "list"]).env("XDG_DATA_HOME", data).output().unwrap())
    };
    let refused = list(&inside);
    assert!(
        refused.code == Some(2) && refused.stderr.contains("hint: put it elsewhere: XDG_DATA_HOME="),
        "{refused:?}"
    );
    let link = person.data.path().join("link");
    std::os::unix::fs::symlink(person.product.root(), &link).unwrap();
    assert_eq!(list(&link).code, Some(2));
    assert_eq!(list(person.data.path()).code, Some(0));
    let mut without = person.product.command(&["tool", "add", foreign("slug").to_str().unwrap()]);
    let without = Said::from(without.env_remove("XDG_DATA_HOME").output().unwrap());
    assert!(without.code == Some(2) && without.stderr.contains("XDG_DATA_HOME"), "{without:?}");
}

#[test]
fn approvals_are_private_and_refuse_what_they_do_not_know() {
    use std::os::unix::fs::PermissionsExt as _;
    let person = Person::new();
    assert_eq!(person.add(&foreign("count")).code, Some(0));
    let approval = person.data.path().join("boxagnts/extensions/approvals/count.toml");
    assert_eq!(fs::metadata(&approval).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&approval).unwrap();
    fs::write(&approval, format!("everything = true\n{text}")).unwrap();
    let line = person.listed("count").unwrap();
    assert!(line.contains("broken") && line.contains("unknown field `everything`"), "{line}");
    fs::remove_file(&approval).unwrap();
    assert!(person.listed("count").unwrap().contains("waiting"));
}
