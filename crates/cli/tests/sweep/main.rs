//! The real binary, killed at every single change that it makes to the disk, and failed at them: nothing that was
//! acknowledged is lost, nothing happens twice, and the session goes on to the same end with a journal that is whole.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

#[path = "../product/mod.rs"]
mod product;
mod tracer;

use std::collections::BTreeMap;
use std::hash::{Hash as _, Hasher as _};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use nix::errno::Errno;
use product::{Product, Said};
use serde_json::Value;
use tempfile::TempDir;
use tracer::{Ended, Fault};

const SCRIPT: &str = include_str!("script.toml");

/// How the model fails in the middle; another takes its place at once. It costs nothing: what a call reserves depends on how long
/// the results before it are, and a call that was interrupted has another.
const FAILURE: &str = "[[reply]]\nfailure = { kind = \"unavailable\", message = \"busy\" }\n\n";

const CONFIG: &str = "max_retries = 0\nfallback_model = \"script/.script/f.toml\"\n";

/// A workspace with what the script works on, and the person's folder with the journal's key.
struct Place {
    product: Product,
    data: TempDir,
}

impl Place {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.product.command(arguments);
        command.env("XDG_DATA_HOME", self.data.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        Said::from(self.command(arguments).output().unwrap())
    }
}

fn place() -> Place {
    let product = Product::new();
    for (path, content) in [("b.txt", "one\n"), ("c.txt", "kept\n"), ("e.txt", "gone\n"), ("boxagnts.toml", CONFIG)] {
        product.write(path, content);
    }
    product.write(".script/s.toml", &SCRIPT.replace("FAILURE", FAILURE));
    product.write(".script/f.toml", &SCRIPT.replace("FAILURE", ""));
    Place { product, data: tempfile::tempdir().unwrap() }
}

fn run(place: &Place, fault: Fault) -> Ended {
    traced(place, &["run", "--model", "script/.script/s.toml", "--headless", "--output", "json", "do it"], fault)
}

fn traced(place: &Place, arguments: &[&str], fault: Fault) -> Ended {
    let folders = [place.product.root(), place.data.path()].map(|folder| folder.canonicalize().unwrap());
    tracer::run(&place.command(arguments), &folders, fault)
}

/// What a session left: the files, and what the journal says of them.
#[derive(Debug, PartialEq)]
struct Left {
    /// The hash of each file's content.
    files: BTreeMap<String, u64>,
    /// The paths of each change set that was committed, in order.
    commits: Vec<Vec<String>>,
    /// Each call with its end, in order.
    calls: Vec<(String, String)>,
    ended: String,
}

/// Returns the events of the session that has the task.
fn events(place: &Place) -> Vec<Value> {
    let id = session(place);
    Said::from(place.command(&["session", "show", &id, "--output", "json"]).output().unwrap()).events()
}

fn left(place: &Place, events: &[Value]) -> Left {
    let files = files(place);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of_type = |name: &'static str| events.iter().filter(move |event| event["type"] == name);
    let is_committed = |event: &&Value| event["outcome"]["outcome"] == "committed";
    let committed: Vec<&Value> =
        of_type("commit_finished").filter(is_committed).map(|event| &event["change_set"]).collect();
    let path = |change: &Value| text(&change["path"]);
    let paths = |event: &Value| event["changes"]["changes"].as_array().unwrap().iter().map(path).collect();
    let intended = of_type("commit_intended").filter(|event| committed.contains(&&event["change_set"]));
    let ended = |event: &Value| (text(&event["tool"]), text(&event["outcome"]["outcome"]));
    Left {
        files,
        commits: intended.map(paths).collect(),
        calls: of_type("call_finished").map(ended).collect(),
        ended: of_type("turn_closed").next_back().map(|event| text(&event["outcome"]["outcome"])).unwrap_or_default(),
    }
}

/// Returns the hash of each file's content.
fn files(place: &Place) -> BTreeMap<String, u64> {
    let mut files = BTreeMap::new();
    let root = place.product.root();
    collect(root, root, &mut files);
    files
}

/// All that the session did can be taken back, and brought back.
fn assert_undoable(place: &Place, before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) {
    for (arguments, expected) in [(&["changes", "undo", &session(place)][..], before), (&["changes", "redo"], after)] {
        let said = place.run(arguments);
        assert_eq!((said.code, &files(place)), (Some(0), expected), "{said:?}");
    }
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, u64>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        match path.is_dir() {
            _ if name == ".boxagnts" => {}
            true => collect(root, &path, files),
            false => drop(files.insert(name, hash(&path))),
        }
    }
}

fn hash(path: &Path) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    let executable = path.metadata().unwrap().permissions().mode() & 0o111 != 0;
    (executable, path.is_symlink(), std::fs::read(path).unwrap()).hash(&mut hasher);
    hasher.finish()
}

/// Returns the last session that has a task.
fn session(place: &Place) -> String {
    let listed = place.run(&["session", "list"]);
    listed.stdout.lines().find(|line| line.contains("do it")).map_or_else(String::new, |line| line[..12].to_owned())
}

/// Goes on as a person would: resumes, or says the task again where nothing of it is known.
fn go_on(place: &Place) {
    let resumed = place.run(&["resume", "--headless"]);
    if resumed.code == Some(0) {
        return;
    }
    assert_eq!(resumed.code, Some(2), "{resumed:?}");
    if session(place).is_empty() {
        let again = run(place, Fault::None);
        assert_eq!(again.code, Some(0), "{}", again.stderr);
    }
}

/// Every event that the process had told of is in the journal.
fn assert_kept(events: &[Value], stdout: &str) {
    let told = stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    // A session that never got its task is not the one that went on.
    for event in told.filter(|event| events.first().is_some_and(|first| first["session"] == event["session"])) {
        assert!(events.contains(&event), "lost: {event}");
    }
}

/// Returns what the events say was spent, in model calls and millionths of a dollar. No call is left of which nobody heard.
fn spent(events: &[Value]) -> [u64; 2] {
    let of_type = |name: &'static str| events.iter().filter(move |event| event["type"] == name);
    let ended = ["model_replied", "model_failed", "model_abandoned"].map(|name| of_type(name).count());
    assert_eq!(of_type("model_called").count(), ended.iter().sum::<usize>(), "{events:?}");
    ["model_calls", "micro_usd"].map(|measure| events.iter().filter_map(|event| event["spent"][measure].as_u64()).sum())
}

/// Whoever was interrupted has spent at least what an undisturbed run spends: what nobody heard of counts as if it had cost
/// all that was reserved. That the accounts hold exactly this, verification shows.
fn assert_paid(events: &[Value], expected: [u64; 2], what: &str) {
    let spent = spent(events);
    assert!(
        spent.iter().zip(expected).all(|(spent, expected)| *spent >= expected),
        "{what}: {spent:?} of {expected:?}"
    );
}

/// The journal is a whole chain that this machine signed, and its accounts are what its records add up to.
fn assert_whole(place: &Place) {
    let verified = place.run(&["audit", "verify"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

/// Returns what an undisturbed run leaves and spends, and its points.
fn undisturbed() -> (Left, [u64; 2], Vec<String>) {
    // The first run compiles the tools.
    run(&place(), Fault::None);
    let place = place();
    let ended = run(&place, Fault::None);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let events = events(&place);
    let planned = events.iter().filter(|event| event["type"] == "retry_planned").count();
    let cost = spent(&events);
    assert!(planned == 1 && cost[1] > 0, "{planned} retries, {cost:?}");
    (left(&place, &events), cost, ended.points)
}

/// Kills runs at `first` and every second point after it.
fn kill(first: usize) {
    let (expected, cost, points) = undisturbed();
    assert!(expected.ended == "done" && expected.commits.len() == 4, "{expected:?}");
    let mut tried = 0;
    for at in (first..=points.len() + 1).step_by(2 * every(1)) {
        let place = place();
        let before = files(&place);
        let killed = run(&place, Fault::KillAt(at));
        go_on(&place);
        let events = events(&place);
        assert_kept(&events, &killed.stdout);
        assert_whole(&place);
        let left = left(&place, &events);
        assert_eq!(left, expected, "killed at change {at}, {:?}", killed.points.last());
        assert_paid(&events, cost, &format!("killed at change {at}"));
        assert_undoable(&place, &before, &left.files);
        tried += 1;
    }
    tell(&format!("killed at {tried} of {} points, each resumed to the same end", points.len()));
}

// Two, so that two cores share the work.

#[test]
fn killed_at_any_odd_change_of_the_disk_a_session_comes_to_the_same_end() {
    kill(1);
}

#[test]
fn killed_at_any_even_change_of_the_disk_a_session_comes_to_the_same_end() {
    kill(2);
}

/// Says how much was tried, also when the test passes: what is printed is shown only of tests that fail.
fn tell(tried: &str) {
    std::io::stderr().write_all(format!("sweep: {tried}\n").as_bytes()).unwrap();
}

/// Returns every how many points something is tried: `SWEEP_EVERY`, so that a person in a hurry can thin a sweep out.
fn every(usual: usize) -> usize {
    std::env::var("SWEEP_EVERY").ok().and_then(|every| every.parse().ok()).unwrap_or(usual)
}

#[test]
fn failed_at_any_change_of_the_disk_a_run_says_so_and_can_go_on() {
    let (expected, cost, points) = undisturbed();
    let mut tried = 0;
    for (at, error) in (1..=points.len()).zip([Errno::ENOSPC, Errno::EIO].into_iter().cycle()).step_by(every(3)) {
        let place = place();
        let failed = run(&place, Fault::FailAt(at, error));
        assert!(failed.code.is_some(), "change {at} ({}) brought it down: {}", points[at - 1], failed.stderr);
        assert!(!failed.stderr.contains("panicked"), "change {at} ({}): {}", points[at - 1], failed.stderr);
        if failed.code != Some(0) {
            assert!(failed.stderr.contains("error:"), "change {at}: {}", failed.stderr);
        }
        go_on(&place);
        let events = events(&place);
        assert_kept(&events, &failed.stdout);
        assert_whole(&place);
        let left = left(&place, &events);
        assert_paid(&events, cost, &format!("{error} at change {at}"));
        // A call that could not do its work told the planner so; whatever said that it could has done it.
        let (at, name) = (at, &points[at - 1]);
        assert_eq!(left.ended, "done", "{error} at change {at}, {name}: {}", failed.stderr);
        if left.calls == expected.calls {
            assert_eq!(left.files, expected.files, "{error} at change {at}, {name}: {}", failed.stderr);
        } else {
            let unlike = left.calls.iter().zip(&expected.calls).filter(|(call, whole)| call != whole);
            assert!(
                left.calls.len() == expected.calls.len() && unlike.count() == 1,
                "{error} at change {at}, {name}: {left:?}"
            );
        }
        tried += 1;
    }
    tell(&format!("failed at {tried} of {} points", points.len()));
}
