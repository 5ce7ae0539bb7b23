//! The corpus: every script does in the sandbox what bash does, in output, exit code and files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use testkit::Runtime;

use crate::{conformance, runtime, shell};

/// Fewer would mean that a file of the corpus is not found.
const LEAST_CASES: usize = 561;

/// Where `cargo xtask conformance` shows it.
const TABLE: &str = "shell corpus against bash";

/// What can be seen of a run.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// Standard output, then `[exit code N]` when it is not 0.
    said: String,
    tree: BTreeMap<String, String>,
}

struct Case {
    /// The file of the corpus that it is in.
    topic: String,
    name: String,
    script: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests/shell/corpus")
}

fn cases() -> Vec<Case> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "sh")).collect();
    files.sort();
    files.iter().flat_map(|path| cases_of(path)).collect()
}

fn cases_of(path: &Path) -> Vec<Case> {
    let text = fs::read_to_string(path).unwrap();
    let topic = path.file_stem().unwrap().display().to_string();
    let case = |case: &str| {
        let (name, script) = case.split_once('\n').unwrap();
        Case { topic: topic.clone(), name: name.to_owned(), script: script.to_owned() }
    };
    text.split("### ").skip(1).map(case).collect()
}

fn fill(target: &Path) {
    copy(&folder().join("fixture"), target);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Returns every path below `folder` with its content; the runtime's own are left out.
fn tree(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    walk(folder, "", &mut found);
    found
}

fn walk(folder: &Path, prefix: &str, into: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().display());
        if name == ".boxagnts" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), &format!("{name}/"), into);
            into.insert(name + "/", String::new());
        } else {
            let content = fs::read(entry.path()).unwrap();
            into.insert(name, String::from_utf8_lossy(&content).into_owned());
        }
    }
}

fn by_bash(script: &str) -> Seen {
    let place = tempfile::tempdir().unwrap();
    fill(place.path());
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).current_dir(place.path()).env_clear().stdin(Stdio::null());
    bash.envs([("PATH", "/usr/bin:/bin"), ("LANG", "C.UTF-8"), ("TMPDIR", "/tmp")]).env("HOME", place.path());
    let output = bash.output().unwrap();
    let root = place.path().display().to_string();
    let mut said = String::from_utf8_lossy(&output.stdout).replace(&root, "/work");
    let code = output.status.code().unwrap_or(-1);
    if code != 0 {
        said.push_str(if said.is_empty() || said.ends_with('\n') { "" } else { "\n" });
        said.extend(["[exit code ", &code.to_string(), "]\n"]);
    }
    if said.is_empty() {
        said.push_str("[no output]");
    }
    Seen { said, tree: tree(place.path()) }
}

/// Runs every script in a session of its own. Standard error has other words than bash's in places, and is left out.
async fn by_tool(runtime: &Runtime, script: &str) -> Seen {
    empty(runtime.root());
    fill(runtime.root());
    let said = shell(runtime, &runtime.session(), &format!("exec 2>/dev/null; {script}")).await;
    Seen { said, tree: tree(runtime.root()) }
}

/// Removes what an earlier script left.
fn empty(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with(".boxagnts") {
            continue;
        }
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_script_of_the_corpus_does_what_bash_does() {
    if Command::new("bash").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "bash is missing");
        return;
    }
    let (runtime, cases) = (runtime(), cases());
    assert!(cases.len() >= LEAST_CASES, "{} cases", cases.len());
    let mut topics: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for Case { topic, name, script } in &cases {
        let (expected, found) = (by_bash(script), by_tool(&runtime, script).await);
        let [same, all] = topics.entry(topic).or_default();
        *all += 1;
        if expected == found {
            *same += 1;
        } else {
            eprintln!("=== {topic}: {name}\n{script}bash: {expected:?}\nhere: {found:?}");
        }
    }
    for (topic, [same, all]) in &topics {
        let told = |count| format!("{count} of {all} scripts");
        conformance::write(TABLE, topic, &told(all), &told(same), same == all);
    }
    conformance::holds(TABLE, "all topics", cases.len(), topics.values().map(|[same, _]| same).sum());
}
