//! Somebody on the host swaps what a guest works on for a link to the outside, thousands of times, while it works.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use policy::Access;
use serde_json::json;
use stage::Quota;

use crate::conformance;
use crate::neighbour::beside_a_neighbour;
use crate::setting::{Given, Workspace, shared, text, tool};

pub(crate) const PROBES: &[&str] = &["races"];

/// Ten thousand rounds, in calls that are each far from their deadline.
const CALLS: u32 = 10;
const ROUNDS: u32 = 1_000;

/// Swaps that must have happened meanwhile for the race to have been one.
const SWAPS: u32 = 100;

/// What lies inside, what lies outside, and where.
struct Arena {
    workspace: Workspace,
    outside: PathBuf,
}

impl Arena {
    fn new() -> Self {
        let inside = [("swap/file", "inside"), ("swap/deep/file", "inside"), ("single", "inside")];
        let workspace = Workspace::with(&inside);
        let outside = workspace.folder.path().join("outside");
        fs::create_dir_all(outside.join("deep")).unwrap();
        for file in ["file", "deep/file", "only-outside"] {
            fs::write(outside.join(file), "outside").unwrap();
        }
        Self { workspace, outside }
    }

    fn outside(&self) -> BTreeMap<String, String> {
        let files = ["file", "deep/file", "only-outside"];
        let content = |file: &str| fs::read_to_string(self.outside.join(file)).unwrap();
        let mut seen: BTreeMap<_, _> = files.iter().map(|file| ((*file).to_owned(), content(file))).collect();
        let names = |folder: &Path| fs::read_dir(folder).unwrap().count().to_string();
        seen.insert("names".into(), names(&self.outside));
        seen.insert("deep names".into(), names(&self.outside.join("deep")));
        seen
    }
}

/// Swaps `name` in `root` for a link to `target` and back until told to stop; returns how often. It ends as it began.
fn swap(root: &Path, name: &str, target: &Path, stop: &AtomicBool) -> u32 {
    let (here, aside) = (root.join(name), root.with_file_name("aside"));
    let mut swaps = 0;
    while !stop.load(Ordering::Relaxed) {
        fs::rename(&here, &aside).unwrap();
        symlink(target, &here).unwrap();
        // The guest stages only: nobody else changes the disk.
        fs::remove_file(&here).unwrap();
        fs::rename(&aside, &here).unwrap();
        std::thread::yield_now();
        swaps += 1;
    }
    swaps
}

/// Runs the probe on `path` while `swapped` turns into a link to `target`, and returns what it saw, each kind once.
async fn race(swapped: &'static str, target: &str, arguments: serde_json::Value) -> (Arena, Vec<String>) {
    let arena = Arena::new();
    let (before, tree) = (arena.outside(), arena.workspace.tree());
    let (root, target) = (arena.workspace.root(), target.replace("OUTSIDE", arena.outside.to_str().unwrap()));
    let stop = Arc::new(AtomicBool::new(false));
    let host = std::thread::spawn({
        let stop = stop.clone();
        move || swap(&root, swapped, Path::new(&target), &stop)
    });
    let mount = || arena.workspace.mount("/work", true, Quota { bytes: 1 << 30, entries: 100_000 });
    let mounts: Vec<_> = (0..CALLS).map(|_| mount()).collect();
    let calls = async move {
        let mut seen = BTreeSet::new();
        for mount in mounts {
            let given = Given::files(Access::ReadWrite);
            let outcome = given.run_in(shared(), &tool("races"), "races", &arguments, vec![mount]).await;
            seen.extend(text(&outcome).lines().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()));
        }
        seen.into_iter().collect()
    };
    let seen = beside_a_neighbour(calls).await;
    stop.store(true, Ordering::Relaxed);
    let swaps = host.join().unwrap();
    assert!(swaps >= SWAPS, "only {swaps} swaps");
    assert_eq!(arena.outside(), before, "what lies outside changed");
    assert_eq!(arena.workspace.tree(), tree, "the disk changed");
    (arena, seen)
}

/// Fails if anything was seen that lies outside, or if nothing was seen at all.
fn only_inside(name: &str, seen: &[String], more: &[&str]) {
    let allowed = ["read inside", "listed file", "listed deep"];
    let strange = |line: &&String| !allowed.contains(&line.as_str()) && !more.iter().any(|more| line.starts_with(more));
    let strange: Vec<_> = seen.iter().filter(strange).collect();
    conformance::holds("probes", name, Vec::<&String>::new(), strange);
    assert!(seen.iter().any(|line| line.starts_with("read inside")), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_becomes_an_absolute_link() {
    let (_arena, seen) = race("swap", "OUTSIDE", json!({ "path": "swap", "rounds": ROUNDS })).await;
    only_inside("races directory absolute", &seen, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_becomes_a_relative_link() {
    let (_arena, seen) = race("swap", "../outside", json!({ "path": "swap", "rounds": ROUNDS })).await;
    // The link itself is in the mount, and may be read.
    only_inside("races directory relative", &seen, &["linked ../outside"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_written_to_becomes_a_link() {
    let arguments = json!({ "path": "swap", "rounds": ROUNDS, "write": true });
    let (_arena, seen) = race("swap", "OUTSIDE", arguments).await;
    only_inside("races directory written", &seen, &["listed m"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_above_becomes_a_link() {
    let arguments = json!({ "path": "swap/deep/..", "rounds": ROUNDS });
    let (_arena, seen) = race("swap", "OUTSIDE", arguments).await;
    only_inside("races directory above", &seen, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_becomes_a_link() {
    let arguments = json!({ "path": "single", "file": true, "rounds": ROUNDS });
    let (_arena, seen) = race("single", "OUTSIDE/file", arguments).await;
    only_inside("races file", &seen, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_written_to_becomes_a_link() {
    let arguments = json!({ "path": "single", "file": true, "write": true, "rounds": ROUNDS });
    let (_arena, seen) = race("single", "../outside/file", arguments).await;
    // What it appended itself.
    only_inside("races file written", &seen, &["read inside"]);
}
