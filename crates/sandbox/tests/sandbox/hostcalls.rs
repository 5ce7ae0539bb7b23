//! The modes of the probe `hostcalls`: each ends as it must, in time, leaves what it must, and harms no neighbour.

use std::time::{Duration, Instant};

use policy::{Access, Limits};
use protocol::StopCause;
use sandbox::{Ending, Outcome};
use serde_json::json;
use stage::Quota;

use crate::conformance;
use crate::neighbour::beside_a_neighbour;
use crate::setting::{Given, Workspace, ceiling, shared, text, tool};

pub(crate) const PROBES: &[&str] = &["hostcalls"];

/// The deadline of what would go on for ever.
const DEADLINE: Duration = Duration::from_millis(150);

/// What a deadline may be late by.
const LATE: Duration = Duration::from_millis(100);

/// What ends by itself or by another limit ends before this: nothing waits or works in vain.
const SOON: Duration = Duration::from_secs(10);

const QUOTA: Quota = Quota { bytes: 1 << 20, entries: 100 };

/// A mode that is run: where, within which limits, and for how long it may take.
struct Run {
    mode: &'static str,
    limits: Limits,
    quota: Quota,
    files: Vec<(String, &'static str)>,
}

impl Run {
    fn new(mode: &'static str) -> Self {
        let files = [("f", "content"), ("d/x", "deep"), ("victim", "v"), (".boxagnts/journal.db", "j")];
        Self {
            mode,
            limits: ceiling(),
            quota: QUOTA,
            files: files.map(|(path, content)| (path.to_owned(), content)).into(),
        }
    }

    fn endless(mode: &'static str) -> Self {
        let timeout_ms = u64::try_from(DEADLINE.as_millis()).unwrap();
        Self { limits: Limits { timeout_ms, ..ceiling() }, ..Self::new(mode) }
    }

    fn workspace(&self) -> Workspace {
        let workspace = Workspace::new();
        for (path, content) in &self.files {
            workspace.put(path, content);
        }
        let outside = workspace.folder.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("secret"), "s").unwrap();
        workspace
    }

    /// Runs the mode beside a neighbour; what lies on the disk must be as it was.
    async fn run(self) -> Outcome {
        let workspace = self.workspace();
        let before = workspace.tree();
        let mount = workspace.mount("/work", true, self.quota);
        let given = Given { limits: self.limits, ..Given::files(Access::ReadWrite) };
        tool("hostcalls").prepare().await.unwrap();
        let arguments = json!({ "mode": self.mode });
        let call =
            async move { given.run_in(shared(), &tool("hostcalls"), "hostcalls", &arguments, vec![mount]).await };
        let outcome = beside_a_neighbour(call).await;
        assert_eq!(workspace.tree(), before, "the disk changed");
        let secret = std::fs::read_to_string(workspace.folder.path().join("outside/secret")).unwrap();
        assert_eq!(secret, "s", "what lies outside changed");
        outcome
    }
}

/// Paths that the call staged.
fn staged(outcome: &Outcome) -> Vec<String> {
    let changes = outcome.mounts[0].stage.changes().unwrap().changes;
    changes.into_iter().map(|change| change.path).collect()
}

fn wall(outcome: &Outcome) -> Duration {
    Duration::from_micros(outcome.usage.wall_us)
}

fn returned(text: &str) -> Ending {
    Ending::Returned { text: text.to_owned(), summary: "hostcalls".to_owned() }
}

#[track_caller]
fn ends(mode: &str, outcome: &Outcome, expected: Ending) {
    conformance::holds("probes", mode, expected, outcome.ending.clone());
}

/// What would go on for ever ends at its deadline, and has changed nothing.
async fn ends_at_its_deadline(mode: &'static str) {
    let outcome = Run::endless(mode).run().await;
    ends(mode, &outcome, Ending::Stopped(StopCause::Deadline));
    let wall = wall(&outcome);
    assert!(wall >= DEADLINE && wall < DEADLINE + LATE, "{wall:?}");
    assert_eq!((staged(&outcome), outcome.printed.as_str()), (Vec::new(), ""));
}

/// Cancelled in its middle, it ends within the promise.
async fn is_cancelled_in_time(mode: &'static str) {
    let given = Given::files(Access::ReadWrite);
    let (workspace, hostcalls) = (Run::new(mode).workspace(), tool("hostcalls"));
    hostcalls.prepare().await.unwrap();
    let mount = workspace.mount("/work", true, QUOTA);
    let cancel = given.cancel.clone();
    let call = tokio::spawn(async move {
        given.run_in(shared(), &hostcalls, "hostcalls", &json!({ "mode": mode }), vec![mount]).await.ending
    });
    // Long enough to be in the middle; too short would test less, not fail.
    tokio::time::sleep(Duration::from_millis(30)).await;
    let asked = Instant::now();
    cancel.cancel();
    let (ending, took) = (call.await.unwrap(), asked.elapsed());
    assert_eq!(ending, Ending::Cancelled, "{mode}");
    assert!(took < LATE, "{mode}: {took:?}");
}

/// Names modes, and makes two tests of each: its deadline, and a cancellation.
macro_rules! endless {
    ($($name:ident: $mode:literal),* $(,)?) => {
        const ENDLESS: &[&str] = &[$($mode),*];
        $(
            mod $name {
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn ends_at_its_deadline() {
                    super::ends_at_its_deadline($mode).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn is_cancelled_in_time() {
                    super::is_cancelled_in_time($mode).await;
                }
            }
        )*
    };
}

endless!(
    storm_now: "storm-now",
    storm_resolution: "storm-resolution",
    storm_wall: "storm-wall",
    storm_random_word: "storm-random-word",
    storm_random_bytes: "storm-random-bytes",
    storm_random_nothing: "storm-random-nothing",
    storm_seed: "storm-seed",
    storm_environment: "storm-environment",
    storm_preopens: "storm-preopens",
    storm_subscribe: "storm-subscribe",
    storm_ready: "storm-ready",
    storm_poll: "storm-poll",
    storm_read_stdin: "storm-read-stdin",
    storm_write_nothing: "storm-write-nothing",
    storm_flush: "storm-flush",
    storm_check_write: "storm-check-write",
    storm_stat: "storm-stat",
    storm_stat_missing: "storm-stat-missing",
    storm_open: "storm-open",
    storm_list: "storm-list",
    storm_read_nothing: "storm-read-nothing",
    storm_stream: "storm-stream",
    storm_times: "storm-times",
    wait_duration: "wait-duration",
    wait_instant: "wait-instant",
    wait_hour: "wait-hour",
    wait_poll: "wait-poll",
    wait_naps: "wait-naps",
    wait_past: "wait-past",
);

/// What ends by itself or by a limit other than its deadline, with nothing staged.
async fn ends_soon(mode: &'static str, expected: Ending) -> Outcome {
    let outcome = Run::new(mode).run().await;
    ends(mode, &outcome, expected);
    assert!(wall(&outcome) < SOON, "{:?}", wall(&outcome));
    outcome
}

/// Names modes with their ending, and makes a test of each that nothing is staged.
macro_rules! ending {
    ($list:ident: $($name:ident: $mode:literal => $expected:expr),* $(,)?) => {
        const $list: &[&str] = &[$($mode),*];
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let outcome = ends_soon($mode, $expected).await;
                assert_eq!(staged(&outcome), [""; 0]);
            }
        )*
    };
}

ending!(
    RETURNING:
    wait_stdin: "wait-stdin" => returned("closed"),
    wait_stdin_poll: "wait-stdin-poll" => returned("waited"),
    wait_stdout_poll: "wait-stdout-poll" => returned("waited"),
    extreme_read: "extreme-read" => returned("7"),
    extreme_blocking_read: "extreme-blocking-read" => returned("7"),
    extreme_skip: "extreme-skip" => returned("7"),
    extreme_splice: "extreme-splice" => returned("7"),
    extreme_times: "extreme-times" => returned("overflow"),
    extreme_times_far: "extreme-times-far" => returned("ok"),
    extreme_path: "extreme-path" => returned("name-too-long"),
    extreme_name: "extreme-name" => returned("name-too-long"),
    extreme_target: "extreme-target" => returned("name-too-long"),
    name_above_opened: "name-above-opened" => returned("not-permitted"),
);

/// The file that it wanted to write is made, and empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extreme_splice_stdin() {
    let outcome = ends_soon("extreme-splice-stdin", returned("closed")).await;
    assert_eq!((staged(&outcome), outcome.usage.staged_bytes), (vec!["g".to_owned()], 0));
}

ending!(
    HOARDS:
    hoard_files: "hoard-files" => Ending::Stopped(StopCause::Resources),
    hoard_directories: "hoard-directories" => Ending::Stopped(StopCause::Resources),
    hoard_listings: "hoard-listings" => Ending::Stopped(StopCause::Resources),
    hoard_readers: "hoard-readers" => Ending::Stopped(StopCause::Resources),
    hoard_writers: "hoard-writers" => Ending::Stopped(StopCause::Resources),
    hoard_failures: "hoard-failures" => Ending::Stopped(StopCause::Resources),
    hoard_preopens: "hoard-preopens" => Ending::Stopped(StopCause::Resources),
    hoard_timers: "hoard-timers" => Ending::Stopped(StopCause::Resources),
    hoard_inputs: "hoard-inputs" => Ending::Stopped(StopCause::Resources),
    hoard_outputs: "hoard-outputs" => Ending::Stopped(StopCause::Resources),
    hoard_subscriptions: "hoard-subscriptions" => Ending::Stopped(StopCause::Resources),
);

/// Floods: a gigabyte is asked for, and no more than the limit is kept.
async fn is_cut_at_its_output(mode: &'static str) {
    let outcome = ends_soon(mode, Ending::Stopped(StopCause::Output)).await;
    let limit = ceiling().output_bytes;
    assert!(outcome.usage.output_bytes <= limit && outcome.printed.len() as u64 <= limit, "{:?}", outcome.usage);
}

macro_rules! floods {
    ($($name:ident: $mode:literal),* $(,)?) => {
        const FLOODS: &[&str] = &[$($mode),*];
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                is_cut_at_its_output($mode).await;
            }
        )*
    };
}

floods!(
    flood_stdout: "flood-stdout",
    flood_stderr: "flood-stderr",
    flood_zeroes: "flood-zeroes",
    flood_text: "flood-text",
    flood_at_once: "flood-at-once",
    extreme_write: "extreme-write",
);

/// What crashes says why, in words that hold these.
async fn crashes(mode: &'static str, why: &str) {
    let outcome = Run::new(mode).run().await;
    let Ending::Trapped(text) = &outcome.ending else { panic!("{mode}: {:?}", outcome.ending) };
    let said = text.lines().find(|line| line.contains(why)).unwrap_or(text).trim();
    conformance::write("probes", mode, &format!("Trapped: {why}"), &format!("Trapped: {said}"), text.contains(why));
    assert!(text.contains(why), "{text}");
    assert!(wall(&outcome) < SOON, "{:?}", wall(&outcome));
}

macro_rules! crashes {
    ($($name:ident: $mode:literal => $why:literal),* $(,)?) => {
        const CRASHES: &[&str] = &[$($mode),*];
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                crashes($mode, $why).await;
            }
        )*
    };
}

crashes!(
    wait_nothing: "wait-nothing" => "empty poll list",
    extreme_zeroes: "extreme-zeroes" => "cannot write more zeroes",
    extreme_file_zeroes: "extreme-file-zeroes" => "cannot write more zeroes",
    extreme_random: "extreme-random" => "limit is 65536",
    extreme_exit: "extreme-exit" => "exited instead of returning",
);

/// What fills the stage ends at the quota, which holds what was staged until then.
async fn ends_at_its_quota(mode: &'static str) -> Outcome {
    let bases = (0..200).map(|number| (format!("base-{number:04}"), "b"));
    let run = Run::new(mode);
    let files = run.files.iter().cloned().chain(bases).collect();
    let outcome = Run { files, ..run }.run().await;
    ends(mode, &outcome, Ending::Stopped(StopCause::Stage));
    assert!(wall(&outcome) < SOON, "{:?}", wall(&outcome));
    let usage = outcome.mounts[0].stage.usage();
    assert!(usage.bytes <= QUOTA.bytes && usage.entries <= QUOTA.entries, "{usage:?}");
    assert!(staged(&outcome).len() as u64 <= QUOTA.entries);
    outcome
}

macro_rules! fills {
    ($($name:ident: $mode:literal => $staged:literal entries, $bytes:literal bytes),* $(,)?) => {
        const FILLS: &[&str] = &[$($mode),*];
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let outcome = ends_at_its_quota($mode).await;
                let usage = outcome.mounts[0].stage.usage();
                assert_eq!((usage.entries, usage.bytes), ($staged, $bytes));
            }
        )*
    };
}

// A file of the base is copied before it changes: seven bytes. Ghosts give their room back when their handles go; the one
// that met the quota still had its name.
fills!(
    fill_size: "fill-size" => 1 entries, 7 bytes,
    fill_offset: "fill-offset" => 1 entries, 7 bytes,
    fill_write: "fill-write" => 1 entries, 1_048_576 bytes,
    fill_append: "fill-append" => 1 entries, 983_047 bytes,
    fill_holes: "fill-holes" => 1 entries, 1 bytes,
    fill_files: "fill-files" => 100 entries, 0 bytes,
    fill_directories: "fill-directories" => 100 entries, 0 bytes,
    fill_names: "fill-names" => 100 entries, 0 bytes,
    fill_links: "fill-links" => 100 entries, 400_000 bytes,
    fill_hard_links: "fill-hard-links" => 100 entries, 0 bytes,
    fill_ghosts: "fill-ghosts" => 1 entries, 0 bytes,
    fill_deep: "fill-deep" => 100 entries, 0 bytes,
    fill_whiteouts: "fill-whiteouts" => 100 entries, 0 bytes,
);

/// With a quota that lets it, a tree is only as deep as a path is long, and what comes of it can be computed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_is_only_as_deep_as_a_path_is_long() {
    let quota = Quota { bytes: 0, entries: 10_000 };
    let limits = Limits { open_files: 10_000, ..ceiling() };
    let run = Run { limits, quota, ..Run::new("fill-deep") };
    let outcome = run.run().await;
    // Each level costs two of the path's 4,096 bytes.
    assert_eq!(outcome.ending, returned("2048 deep, then name-too-long"));
    assert_eq!(staged(&outcome).len(), 2_048);
}

/// What changes without end and without growing ends at its deadline, and holds one thing at most.
async fn churns(mode: &'static str) {
    let run = Run { quota: Quota { bytes: 64 << 20, entries: 4 }, files: Vec::new(), ..Run::endless(mode) };
    let outcome = run.run().await;
    ends(mode, &outcome, Ending::Stopped(StopCause::Deadline));
    let wall = wall(&outcome);
    assert!(wall >= DEADLINE && wall < DEADLINE + LATE, "{wall:?}");
    assert!(outcome.mounts[0].stage.usage().entries <= 1, "{:?}", outcome.mounts[0].stage.usage());
}

macro_rules! churns {
    ($($name:ident: $mode:literal),* $(,)?) => {
        const CHURNS: &[&str] = &[$($mode),*];
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                churns($mode).await;
            }
        )*
    };
}

churns!(churn_rename: "churn-rename", churn_files: "churn-files", churn_size: "churn-size");

/// What the operations on an odd name come to: the ones that worked, by their own words.
async fn names(mode: &'static str, expected: &[&str]) {
    let outcome = Run::new(mode).run().await;
    let said = text(&outcome).to_owned();
    let worked: Vec<_> = said.lines().filter_map(|line| line.strip_suffix(": ok")).collect();
    conformance::holds("probes", mode, expected.to_vec(), worked);
}

macro_rules! names {
    ($($name:ident: $mode:literal => $worked:expr),* $(,)?) => {
        const NAMES: &[&str] = &[$($mode),*];
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                names($mode, &$worked).await;
            }
        )*
    };
}

/// A name like any other.
const PLAIN: [&str; 2] = ["mkdir", "rename"];

names!(
    name_empty: "name-empty" => [],
    name_nul: "name-nul" => [],
    name_nul_inside: "name-nul-inside" => [],
    name_absolute: "name-absolute" => [],
    name_slashes: "name-slashes" => [],
    name_parent: "name-parent" => [],
    name_parent_dots: "name-parent-dots" => [],
    name_parent_slash: "name-parent-slash" => [],
    name_missing_parent: "name-missing-parent" => [],
    name_backslash: "name-backslash" => PLAIN,
    name_drive: "name-drive" => PLAIN,
    name_through_file: "name-through-file" => [],
    name_file_slash: "name-file-slash" => [],
    name_file_dot: "name-file-dot" => [],
    name_beneath_file: "name-beneath-file" => [],
    name_state: "name-state" => [],
    name_state_folded: "name-state-folded" => [],
    name_state_unicode: "name-state-unicode" => [],
    name_state_ignorable: "name-state-ignorable" => [],
);

/// Every mode that the probe has is in a list above, and every list is of tests.
#[tokio::test]
async fn every_mode_has_a_test() {
    let arguments = json!({ "mode": "modes" });
    let outcome = Given::nothing().run("hostcalls", arguments).await;
    let mut modes: Vec<_> = text(&outcome).lines().collect();
    modes.sort_unstable();
    let mut tested =
        [ENDLESS, RETURNING, &["extreme-splice-stdin"], HOARDS, FLOODS, CRASHES, FILLS, CHURNS, NAMES].concat();
    tested.sort_unstable();
    assert_eq!(modes, tested);
}
