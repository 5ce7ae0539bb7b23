//! `kill -9` at every point of a commit, and of the recovery from it.
//!
//! The test starts itself again as a child that commits, or recovers, and stops at one point for ever; the parent kills
//! it there and looks at what is left.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use protocol::{CommitOutcome, EventBody};

use super::support::{Place, Tree, chmod, commit, open, session, set, stage, stage_write};
use crate::faults;
use crate::journal::{ChangeSetState, Standing};

const ROOT: &str = "BOXAGNTS_TEST_CRASH_ROOT";
const POINT: &str = "BOXAGNTS_TEST_CRASH_POINT";
const REACHED: &str = "reached ";

/// More points than a commit of this size has; a child that reaches none of them ends by itself.
pub(super) const MOST_POINTS: usize = 100;

fn big(letter: &str) -> String {
    letter.repeat(200 << 10)
}

/// A tree in which every kind of change can be made.
fn tree() -> Place {
    let place = Place::new(&[("a.txt", "one\n"), ("gone/old.txt", "old\n"), ("turns", "file\n"), ("big", &big("x"))]);
    place.write("back/into.txt", "x\n");
    chmod(&place.path("gone"), 0o750);
    std::os::unix::fs::symlink("a.txt", place.path("link")).unwrap();
    place
}

/// Makes every kind of change, unless they were made before.
fn change(root: &Path) {
    let workspace = open(root);
    let stage = stage(&workspace, "/work");
    let root = stage.root();
    stage_write(&stage, "a.txt", "two\n");
    stage_write(&stage, "big", &big("y"));
    root.unlink_file("gone/old.txt").unwrap();
    root.remove_directory("gone").unwrap();
    root.unlink_file("turns").unwrap();
    root.create_directory("turns").unwrap();
    stage_write(&stage, "turns/into.txt", "x");
    root.unlink_file("back/into.txt").unwrap();
    root.remove_directory("back").unwrap();
    stage_write(&stage, "back", "a file\n");
    root.unlink_file("link").unwrap();
    root.symlink("big", "link").unwrap();
    commit(&workspace, &set(7), &stage).unwrap();
}

/// Has this process stop for ever at the point that its parent told, and returns the workspace that it should work in.
pub(super) fn told() -> Option<PathBuf> {
    let (Ok(root), Ok(stop)) = (std::env::var(ROOT), std::env::var(POINT)) else { return None };
    let (mut at, stop) = (0, stop.parse::<usize>().unwrap());
    faults::at_each(move |name| {
        at += 1;
        if at == stop {
            println!("{REACHED}{name}");
            std::io::stdout().flush().unwrap();
            // The parent holds the other end, and says nothing.
            let _ = std::io::stdin().read(&mut [0]);
        }
    });
    Some(PathBuf::from(root))
}

/// The child of the other tests: stops for ever at the point it is told. By itself it does nothing.
#[test]
fn child() {
    let Some(root) = told() else { return };
    let root = root.as_path();
    let begun = open(root).journal().change_set(&set(7)).unwrap().is_some();
    if !begun {
        change(root);
    }
}

/// Runs the child until its `point`th point and kills it there. Returns the point's name, `None` if it ended before.
fn kill_at(root: &Path, point: usize) -> Option<String> {
    kill("tests::crash::child", root, point)
}

/// Runs this test in another process until its `point`th point and kills it there.
pub(super) fn kill(test: &str, root: &Path, point: usize) -> Option<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ROOT, root)
        .env(POINT, point.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    // The test harness may have begun a line.
    let name = lines.into_iter().find_map(|line| line.split_once(REACHED).map(|(_, name)| name.to_owned()));
    child.kill().unwrap();
    let ended = child.wait().unwrap();
    assert!(name.is_some() || ended.success(), "the child failed");
    name
}

/// What stands after everything was done.
fn changed() -> Tree {
    let place = tree();
    change(&place.root());
    place.tree()
}

/// Opens the workspace and checks that the tree and the journal agree, that nothing lies around, and that opening it
/// again changes nothing.
fn settled(place: &Place, before: &Tree, after: &Tree) -> bool {
    let state = place.open().journal().change_set(&set(7)).unwrap().map(|record| record.state);
    let committed = state == Some(ChangeSetState::Ended(CommitOutcome::Committed));
    assert!(committed || state.is_none(), "{state:?}");
    assert_eq!(place.tree(), if committed { after.clone() } else { before.clone() });
    assert_eq!(place.leftovers(), Vec::<String>::new());
    let events = place.open().journal().events(&session()).unwrap();
    let workspace = place.open();
    assert_eq!(workspace.opening(), &crate::Opening::default());
    let found = workspace.verify().unwrap();
    assert!(found.is_verified(), "{found:?}");
    assert_eq!(workspace.journal().events(&session()).unwrap(), events);
    let ends = events.iter().filter(|event| matches!(event.body, EventBody::CommitFinished { .. })).count();
    assert_eq!(ends, usize::from(committed));
    committed
}

#[test]
fn a_commit_killed_anywhere_is_whole_or_never_was() {
    let after = changed();
    let mut points = Vec::new();
    for point in 1..MOST_POINTS {
        let place = tree();
        let before = place.tree();
        let Some(name) = kill_at(&place.root(), point) else { break };
        let committed = settled(&place, &before, &after);
        // Once the intent is on the disk, the commit is finished by whoever comes next.
        let intended = !["compared", "kept"].contains(&name.as_str());
        assert_eq!(committed, intended, "{name}");
        points.push(name);
    }
    let steps = points.iter().filter(|name| *name == "step").count();
    assert_eq!(points.len(), steps + 4, "{points:?}");
    assert_eq!(steps, 11, "{points:?}");
}

#[test]
fn a_recovery_killed_anywhere_is_begun_again() {
    let after = changed();
    // After the third step something is as before, something as after, and something between.
    let third_step = 3 + 3 + 2;
    for point in 1..MOST_POINTS {
        let place = tree();
        let before = place.tree();
        assert_eq!(kill_at(&place.root(), third_step).as_deref(), Some("step"));
        let name = kill_at(&place.root(), point);
        assert!(settled(&place, &before, &after));
        let Some(name) = name else {
            assert!(point > 5, "the recovery has points");
            break;
        };
        assert!(["settling", "settled"].contains(&name.as_str()), "{name}");
    }
}

#[test]
fn a_person_s_edit_after_a_crash_is_left_alone_and_the_rest_taken_back() {
    // Killed before any step, in the middle, and after all.
    for point in [4, 8, 12, 15] {
        let place = tree();
        let mut expected = place.tree();
        kill_at(&place.root(), point).unwrap();
        place.write("a.txt", "a person's\n");
        expected.get_mut("a.txt").unwrap().1 = b"a person's\n".to_vec();
        let workspace = place.open();
        let state = workspace.journal().change_set(&set(7)).unwrap().unwrap().state;
        let reason = "it was interrupted; changed meanwhile and left as it is: a.txt".to_owned();
        assert_eq!(state, ChangeSetState::Ended(CommitOutcome::RolledBack { reason }));
        assert_eq!(place.tree(), expected, "{point}");
        assert_eq!(place.leftovers(), Vec::<String>::new());
        assert_eq!(place.open().opening(), &crate::Opening::default());
    }
}

#[test]
fn another_process_settles_before_it_commits() {
    let place = tree();
    // Opened before the crash, so that opening does not settle it.
    let workspace = place.open();
    kill_at(&place.root(), 8).unwrap();
    let stage = stage(&workspace, "/work");
    stage_write(&stage, "other.txt", "x");
    assert_eq!(commit(&workspace, &set(8), &stage).unwrap().outcome, CommitOutcome::Committed);
    let ended = |id| workspace.journal().change_set(&set(id)).unwrap().unwrap().state;
    assert_eq!(ended(7), ChangeSetState::Ended(CommitOutcome::Committed));
    assert_eq!(ended(8), ChangeSetState::Ended(CommitOutcome::Committed));
    let mut expected = changed();
    expected.insert("other.txt".into(), place.tree()["other.txt"].clone());
    assert_eq!(place.tree(), expected);
}

#[test]
fn an_interrupted_commit_is_settled_in_its_own_directory_only() {
    let place = tree();
    kill_at(&place.root(), 8).unwrap();
    // Another directory comes into its place, as after cloning a repository that brings `.boxagnts` along.
    let other = tree();
    std::fs::remove_dir_all(other.path(".boxagnts")).ok();
    let copied = Command::new("cp").arg("-r").arg(place.path(".boxagnts")).arg(other.folder.path()).status().unwrap();
    assert!(copied.success());
    let before = other.tree();
    // Nobody knows here whose journal it is, so nothing is done because of it.
    let workspace = other.open();
    assert_eq!((workspace.journal().standing(), workspace.opening()), (Standing::Unknown, &crate::Opening::default()));
    assert_eq!(other.tree(), before);
    // Not even when a person takes it for theirs.
    workspace.accept().unwrap();
    let workspace = other.open();
    assert_eq!(other.tree(), before);
    let reason =
        "the change set 000000000007 is neither finished nor taken back: /work is another directory than it was then";
    assert_eq!(workspace.opening().unsettled, [(set(7), reason.to_owned())]);
    let stage = stage(&workspace, "/work");
    stage_write(&stage, "a.txt", "x");
    let refused = commit(&workspace, &set(8), &stage);
    assert!(matches!(refused, Err(crate::CommitError::Unsettled { .. })), "{refused:?}");
    assert_eq!(other.tree(), before);
}

/// Interrupts a commit of what `change` stages, after all its steps, leaving everything as a crash does.
fn interrupt(place: &Place, change: impl FnOnce(&stage::Stage)) {
    let workspace = place.open();
    let stage = stage(&workspace, "/work");
    change(&stage);
    faults::at_each(|point| assert_ne!(point, "applied", "the crash"));
    let crash = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| commit(&workspace, &set(7), &stage)));
    assert!(crash.is_err());
    faults::at_each(|_| {});
}

#[test]
fn half_written_files_are_swept() {
    let place = Place::new(&[("d/a.txt", "one\n")]);
    interrupt(&place, |stage| stage_write(stage, "d/a.txt", "two\n"));
    place.write(".boxagnts/tmp/commits/.boxagnts-tmp-1-1", "half");
    // Where the mount is on another file system, they lie beside their place.
    place.write("d/.boxagnts-tmp-1-1", "half");
    assert_eq!(place.leftovers().len(), 2);
    place.open();
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

#[test]
fn a_folder_that_became_a_link_is_not_written_through() {
    let place = Place::new(&[("a.txt", "one\n"), ("b/c/old.txt", "old\n"), ("elsewhere/c/kept.txt", "kept\n")]);
    interrupt(&place, |stage| {
        stage_write(stage, "a.txt", "two\n");
        stage.root().unlink_file("b/c/old.txt").unwrap();
    });
    place.write("a.txt", "a person's\n");
    std::fs::rename(place.path("b"), place.path("moved")).unwrap();
    std::os::unix::fs::symlink("elsewhere", place.path("b")).unwrap();
    let before = place.tree();
    let workspace = place.open();
    let reason = "it was interrupted; changed meanwhile and left as it is: a.txt, b/c/old.txt".to_owned();
    let state = workspace.journal().change_set(&set(7)).unwrap().unwrap().state;
    assert_eq!(state, ChangeSetState::Ended(CommitOutcome::RolledBack { reason }));
    assert_eq!(place.tree(), before);
}
