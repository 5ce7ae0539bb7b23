//! The corpus against real bash, natively: the interpreter without the sandbox around it. `crates/tools` holds the same
//! scripts against the tool.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::shell::Shell;
use crate::streams::{Descriptors, Sink, Source};
use crate::surroundings;

/// What can be seen of a run.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    stdout: String,
    code: i32,
    tree: BTreeMap<String, String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Returns every case: its file and name, and its script.
fn cases() -> Vec<(String, String)> {
    let mut cases = Vec::new();
    let mut files: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files.iter().filter(|path| path.extension().is_some_and(|end| end == "sh")) {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(path).unwrap();
        for case in text.split("### ").skip(1) {
            let (name, script) = case.split_once('\n').unwrap();
            cases.push((format!("{stem}: {name}"), script.to_owned()));
        }
    }
    cases
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

fn tree(folder: &Path, prefix: &str, into: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            tree(&entry.path(), &format!("{name}/"), into);
            into.insert(name + "/", String::new());
        } else {
            into.insert(name, String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned());
        }
    }
}

fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    copy(&folder().join("fixture"), place.path());
    place
}

fn seen(place: &TempDir, stdout: &[u8], code: i32) -> Seen {
    let mut found = BTreeMap::new();
    tree(place.path(), "", &mut found);
    let stdout = String::from_utf8_lossy(stdout).replace(place.path().to_str().unwrap(), "/work");
    Seen { stdout, code, tree: found }
}

fn by_bash(script: &str) -> Seen {
    let place = place();
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).current_dir(place.path()).env_clear();
    bash.envs([("PATH", "/usr/bin:/bin"), ("LANG", "C.UTF-8"), ("TMPDIR", "/tmp")]).env("HOME", place.path());
    let output = bash.stdin(std::process::Stdio::null()).output().unwrap();
    seen(&place, &output.stdout, output.status.code().unwrap_or(-1))
}

fn by_shell(script: &str) -> Seen {
    let place = place();
    let (stdout, stderr) = (Sink::memory(1 << 20), Sink::memory(1 << 20));
    let descriptors = Descriptors::new(Source::empty(), stdout.clone(), stderr.clone());
    let mut shell = Shell::new(place.path().to_owned(), surroundings(), descriptors);
    for name in ["HOME", "PWD", "OLDPWD"] {
        shell.assign_text(name, place.path().to_str().unwrap().to_owned()).unwrap();
    }
    let code = shell.script(script);
    shell.state.descriptors.flush();
    drop(shell);
    let said = String::from_utf8_lossy(&stderr.take_bytes()).into_owned();
    eprint!("{said}");
    seen(&place, &stdout.take_bytes(), code)
}

#[test]
fn every_script_of_the_corpus_does_what_bash_does() {
    if Command::new("bash").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "bash is missing");
        return;
    }
    let only = std::env::var("CASE").unwrap_or_default();
    let cases = cases();
    assert!(cases.len() >= 250, "{}", cases.len());
    let mut wrong = Vec::new();
    for (name, script) in cases.iter().filter(|(name, _)| name.contains(&only)) {
        eprintln!("--- {name}");
        let (expected, found) = (by_bash(script), by_shell(script));
        if expected != found {
            wrong.push(format!("=== {name}\n{script}--- bash: {expected:?}\n--- here: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
