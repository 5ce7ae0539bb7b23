//! Freeing what nothing needs any more.

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use protocol::{
    CallId, CallOutcome, CallUsage, CommitOutcome, ContentHash, EventBody, SessionId, ToolResult, TurnId, TurnOutcome,
};

use super::crash::{MOST_POINTS, kill, told};
use super::support::{Place, clock, commit, commit_write, open, open_at, session, set, stage, stage_write, undo};
use crate::journal::Durability;
use crate::{Collected, CommitError, JournalError, Retention, Workspace, WorkspaceError, faults};

const DAY_MS: u64 = 86_400_000;

/// Everything that is old enough goes.
const NOTHING: Retention = Retention { max_bytes: 0, keep_ms: 30 * DAY_MS };

fn after_days(days: u64) -> SystemTime {
    clock() + Duration::from_millis(days * DAY_MS)
}

fn later() -> SystemTime {
    after_days(100)
}

fn collector() -> SessionId {
    SessionId::from_random(77)
}

fn collect(workspace: &Workspace, retention: &Retention) -> Collected {
    workspace.collect(&collector(), retention, false).unwrap()
}

fn big(letter: &str) -> String {
    letter.repeat(200 << 10)
}

/// Makes every blob as old as the test's clock.
fn age_blobs(root: &Path) {
    for folder in fs::read_dir(root.join(".boxagnts/blobs")).unwrap() {
        for blob in fs::read_dir(folder.unwrap().path()).unwrap() {
            let file = fs::OpenOptions::new().write(true).open(blob.unwrap().path()).unwrap();
            file.set_modified(clock()).unwrap();
        }
    }
}

fn kept(workspace: &Workspace) -> (usize, usize) {
    (workspace.journal().content_sizes().unwrap().len(), workspace.blobs().list().unwrap().len())
}

/// Changes of two files, one large, long ago.
fn changed() -> Place {
    let place = Place::new(&[("a.txt", "one\n"), ("big", &big("x"))]);
    let workspace = place.open();
    let stage = stage(&workspace, "/work");
    stage_write(&stage, "a.txt", "two\n");
    stage_write(&stage, "big", &big("y"));
    commit(&workspace, &set(1), &stage).unwrap();
    age_blobs(&place.root());
    place
}

#[test]
fn old_contents_are_freed_and_an_undo_or_diff_says_so() {
    let place = changed();
    let before = place.tree();
    let workspace = open_at(&place.root(), later);
    assert_eq!(kept(&workspace), (2, 2));
    let events = workspace.journal().tail(0, 100).unwrap();
    let trial = workspace.collect(&collector(), &NOTHING, true).unwrap();
    assert_eq!((kept(&workspace), workspace.journal().tail(0, 100).unwrap()), ((2, 2), events));
    let collected = collect(&workspace, &NOTHING);
    let freed_bytes = 8 + (400 << 10);
    let expected = Collected { contents: 4, freed_bytes, ..Collected::default() };
    assert_eq!((&trial, &collected), (&expected, &expected));
    assert_eq!(kept(&workspace), (0, 0));
    assert_eq!(place.tree(), before);
    let said = workspace.journal().events(&collector()).unwrap();
    assert!(matches!(&said[0].body, EventBody::ContentsFreed { contents, .. } if contents.len() == 4), "{said:?}");
    assert!(workspace.verify().unwrap().is_verified());

    let refused = undo(&workspace, 2, 1);
    assert!(matches!(refused, Err(CommitError::Freed { at_ms, .. }) if at_ms == 1_000_000_000 + 100 * DAY_MS));
    let record = workspace.journal().change_set(&set(1)).unwrap().unwrap();
    let shown = workspace.diff(&record.changes).unwrap_err();
    assert!(matches!(shown, crate::DiffError::Content(CommitError::Freed { .. })), "{shown:?}");
    assert_eq!(place.tree(), before);
}

#[test]
fn what_is_young_or_fits_stays() {
    let place = changed();
    let workspace = open_at(&place.root(), || after_days(29));
    assert_eq!(collect(&workspace, &NOTHING), Collected { kept_bytes: 8 + (400 << 10), ..Collected::default() });
    let workspace = open_at(&place.root(), later);
    let roomy = Retention { max_bytes: 8 + (400 << 10), ..NOTHING };
    assert!(!workspace.is_over(&roomy).unwrap());
    assert_eq!(collect(&workspace, &roomy).contents, 0);
    let narrow = Retention { max_bytes: roomy.max_bytes - 1, ..NOTHING };
    assert!(workspace.is_over(&narrow).unwrap());
    assert_eq!(collect(&workspace, &narrow).contents, 1);
    assert_eq!(workspace.journal().events(&collector()).unwrap().len(), 1);
}

#[test]
fn the_oldest_goes_first_and_what_a_younger_set_needs_stays() {
    let place = changed();
    // Ninety days later the same file is changed on, from what the first set left.
    commit_write(&open_at(&place.root(), || after_days(90)), 2, "a.txt", "three\n");
    let workspace = open_at(&place.root(), later);
    assert_eq!(collect(&workspace, &NOTHING).contents, 3);
    assert_eq!(workspace.journal().content_sizes().unwrap().len(), 2);
    assert_eq!(undo(&workspace, 3, 2).unwrap().outcome, CommitOutcome::Committed);
    assert_eq!(fs::read_to_string(place.path("a.txt")).unwrap(), "two\n");
}

#[test]
fn an_unfinished_commit_keeps_what_it_needs() {
    let place = Place::new(&[("a.txt", "one\n")]);
    let workspace = place.open();
    let stage = stage(&workspace, "/work");
    stage_write(&stage, "a.txt", "two\n");
    faults::at_each(|point| assert_ne!(point, "intended", "the crash"));
    let crash = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| commit(&workspace, &set(1), &stage)));
    assert!(crash.is_err());
    faults::at_each(|_| {});
    // Its directory is not there, so that opening cannot settle it.
    let keys = super::support::keys(&place.root());
    let workspace = Workspace::open(&place.root(), &[], Some(&keys), later).unwrap();
    assert_eq!(collect(&workspace, &NOTHING).contents, 0);
    assert_eq!(kept(&workspace), (2, 0));
    assert_eq!(open_at(&place.root(), later).opening().settled.len(), 1);
    assert_eq!(fs::read_to_string(place.path("a.txt")).unwrap(), "two\n");
}

fn orphan(workspace: &Workspace, text: &str) -> ContentHash {
    workspace.blobs().put(text.as_bytes(), Durability::Process).unwrap()
}

#[test]
fn what_nothing_refers_to_goes_unless_it_was_just_put_there() {
    let place = Place::new(&[]);
    let workspace = place.open();
    let (old, again) = (orphan(&workspace, "old"), orphan(&workspace, "again"));
    age_blobs(&place.root());
    let young = orphan(&workspace, "young");
    // Wanted once more, so that it is as good as new.
    orphan(&workspace, "again");
    place.write(".boxagnts/tmp/blobs/half", "half");
    place.write(".boxagnts/tmp/commits/half", "half");
    fs::File::options()
        .write(true)
        .open(place.path(".boxagnts/tmp/blobs/half"))
        .unwrap()
        .set_modified(clock())
        .unwrap();
    let other = open_at(&place.root(), later);
    let everything = Retention { max_bytes: u64::MAX, keep_ms: u64::MAX };
    assert_eq!(collect(&other, &everything).leftovers, 1);
    assert!(!other.blobs().contains(&old));
    assert!(other.blobs().contains(&young) && other.blobs().contains(&again));
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

/// Ends a call whose whole output is kept.
fn result(workspace: &Workspace, session: &SessionId, call: &CallId, text: &str) -> ContentHash {
    let hash = workspace.keep_result(session, call, text).unwrap();
    let result = ToolResult { call: call.clone(), wire_id: String::new(), text: "cut".into(), is_error: false };
    let finished = EventBody::CallFinished {
        call: call.clone(),
        tool: "read".into(),
        outcome: CallOutcome::Succeeded,
        result,
        summary: String::new(),
        full_output: Some(hash.clone()),
        usage: CallUsage::default(),
        observed: Vec::new(),
    };
    workspace.journal().append(session, &[finished], Durability::Process).unwrap();
    hash
}

fn open_turn(workspace: &Workspace, session: &SessionId) -> TurnId {
    let turn = TurnId::from_random(5);
    let opened = EventBody::SessionOpened { principal: String::new(), model: String::new() };
    let events = [opened, EventBody::TurnOpened { turn: turn.clone(), text: "do".into() }];
    workspace.journal().append(session, &events, Durability::Process).unwrap();
    turn
}

#[test]
fn what_a_session_changed_can_be_taken_back_as_long_as_it_can_go_on() {
    let place = changed();
    let turn = open_turn(&place.open(), &session());
    let workspace = open_at(&place.root(), later);
    assert_eq!(collect(&workspace, &NOTHING).contents, 0);
    assert_eq!(undo(&workspace, 2, 1).unwrap().outcome, CommitOutcome::Committed);
    close_turn(&workspace, &session(), turn, TurnOutcome::Done);
    age_blobs(&place.root());
    let still_later = open_at(&place.root(), || after_days(200));
    assert_eq!(collect(&still_later, &NOTHING).contents, 4);
}

fn close_turn(workspace: &Workspace, session: &SessionId, turn: TurnId, outcome: TurnOutcome) {
    let closed = EventBody::TurnClosed { turn, outcome, spent: protocol::Spending::default() };
    workspace.journal().append(session, &[closed], Durability::Process).unwrap();
}

#[test]
fn results_and_folders_go_when_their_session_is_over_and_nobody_drives_it() {
    let place = Place::new(&[]);
    let workspace = place.open();
    let call = CallId::from_random(9);
    let turn = open_turn(&workspace, &session());
    let hash = result(&workspace, &session(), &call, "a whole output");
    let own = workspace.state().session_tmp(session().as_str()).unwrap();
    fs::create_dir(own.join("d")).unwrap();
    fs::write(own.join("d/scratch"), "12345").unwrap();
    age_blobs(&place.root());
    let path = workspace.results(&session()).unwrap().join(format!("{call}.txt"));

    let workspace = open_at(&place.root(), later);
    assert_eq!(collect(&workspace, &NOTHING).freed_bytes, 0, "it can go on");
    close_turn(&open(&place.root()), &session(), turn.clone(), TurnOutcome::Cancelled);
    assert_eq!(collect(&workspace, &NOTHING).freed_bytes, 0, "it can be resumed");
    close_turn(&open(&place.root()), &session(), turn, TurnOutcome::Done);
    let lease = workspace.lease(&session()).unwrap();
    assert_eq!(collect(&workspace, &NOTHING).freed_bytes, 0, "it is driven");
    assert_eq!(fs::read_to_string(&path).unwrap(), "a whole output");
    drop(lease);
    let expected = Collected { results: 1, folders: 1, freed_bytes: 14 + 5, ..Collected::default() };
    assert_eq!(collect(&workspace, &NOTHING), expected);
    assert!(!workspace.blobs().contains(&hash) && !own.exists());
    assert!(fs::read_to_string(&path).unwrap().contains("freed to make room"));
    assert_eq!(fs::read_dir(workspace.state().freed()).unwrap().count(), 0);

    // A fork of it says the same.
    let from = workspace.journal().turns(&session()).unwrap().pop().unwrap();
    let fork = SessionId::from_random(3);
    workspace.fork(&fork, &from, "planner", "script/x").unwrap();
    let forked = fs::read_to_string(workspace.results(&fork).unwrap().join(format!("{call}.txt"))).unwrap();
    assert!(forked.contains("freed to make room"));
    assert!(workspace.verify().unwrap().is_verified());
}

#[test]
fn a_folder_that_was_used_an_hour_ago_stays_whatever_is_said() {
    let place = Place::new(&[]);
    let workspace = place.open();
    let opened = EventBody::SessionOpened { principal: String::new(), model: String::new() };
    workspace.journal().append(&session(), &[opened], Durability::Process).unwrap();
    let own = workspace.state().session_tmp(session().as_str()).unwrap();
    fs::write(own.join("scratch"), "12345").unwrap();
    let at_once = Retention { max_bytes: 0, keep_ms: 0 };
    let soon = open_at(&place.root(), || clock() + Duration::from_secs(3_599));
    assert_eq!(collect(&soon, &at_once), Collected { kept_bytes: 5, ..Collected::default() });
    let later = open_at(&place.root(), || clock() + Duration::from_hours(1));
    assert_eq!(collect(&later, &at_once), Collected { folders: 1, freed_bytes: 5, ..Collected::default() });
}

#[test]
fn a_result_that_its_call_has_not_named_yet_stays() {
    let place = Place::new(&[]);
    let workspace = place.open();
    let hash = workspace.keep_result(&session(), &CallId::from_random(9), "just put").unwrap();
    let other = open_at(&place.root(), SystemTime::now);
    collect(&other, &Retention { max_bytes: 0, keep_ms: 0 });
    assert!(other.blobs().contains(&hash));
}

#[test]
fn contents_that_no_event_freed_cannot_be_taken_away() {
    let place = changed();
    let workspace = open_at(&place.root(), later);
    let (hash, _) = workspace.journal().content_sizes().unwrap().remove(0);
    let refused = workspace.journal().remove_contents(std::slice::from_ref(&hash)).unwrap_err();
    assert!(refused.to_string().contains("the journal only grows"), "{refused}");
    // Nor one that was freed and is kept again.
    collect(&workspace, &NOTHING);
    workspace.journal().keep(&[(ContentHash::of(b"one\n"), b"one\n".to_vec())]).unwrap();
    assert!(workspace.journal().remove_contents(&[ContentHash::of(b"one\n")]).is_err());
}

#[test]
fn nothing_goes_beside_a_journal_that_is_not_known_here() {
    let place = changed();
    place.write(".boxagnts/tmp/commits/half", "half");
    fs::remove_dir_all(super::support::keys(&place.root())).unwrap();
    let workspace = open_at(&place.root(), later);
    for retention in [NOTHING, Retention { max_bytes: u64::MAX, ..NOTHING }] {
        let refused = workspace.collect(&collector(), &retention, false);
        assert!(matches!(refused, Err(WorkspaceError::Journal(JournalError::Unknown { .. }))), "{refused:?}");
    }
    assert_eq!((kept(&workspace), place.leftovers().len()), ((2, 2), 1));
}

#[test]
fn a_content_that_is_gone_and_was_not_said_to_be_is_a_damage() {
    let place = changed();
    let workspace = open_at(&place.root(), later);
    workspace.blobs().remove(&ContentHash::of(big("x").as_bytes())).unwrap();
    assert_eq!(workspace.verify().unwrap().breaks.len(), 1);
    // What was freed before a later commit needed it is a damage too.
    let place = changed();
    let workspace = open_at(&place.root(), later);
    collect(&workspace, &NOTHING);
    place.write("big", &big("x"));
    commit_write(&workspace, 2, "big", &big("z"));
    assert!(workspace.verify().unwrap().is_verified());
    workspace.blobs().remove(&ContentHash::of(big("x").as_bytes())).unwrap();
    assert_eq!(workspace.verify().unwrap().breaks.len(), 1);
}

/// The child: stops for ever at the point it is told. By itself it does nothing.
#[test]
fn child() {
    let Some(root) = told() else { return };
    collect(&open_at(&root, later), &NOTHING);
}

fn kill_at(root: &Path, point: usize) -> Option<String> {
    kill("tests::gc::child", root, point)
}

#[test]
fn freeing_killed_anywhere_does_no_harm_and_is_gone_on_with() {
    let mut points = Vec::new();
    for point in 1..MOST_POINTS {
        let (place, call) = (changed(), CallId::from_random(9));
        let workspace = place.open();
        let own = workspace.state().session_tmp(session().as_str()).unwrap();
        fs::write(own.join("scratch"), "12345").unwrap();
        result(&workspace, &session(), &call, "a whole output");
        age_blobs(&place.root());
        let told = || fs::read_to_string(place.path(&format!(".boxagnts/results/{}/{call}.txt", session()))).unwrap();
        drop(workspace);
        let before = place.tree();
        let Some(name) = kill_at(&place.root(), point) else { break };
        let workspace = open_at(&place.root(), later);
        assert!(workspace.verify().unwrap().is_verified(), "{name}");
        assert_eq!(place.tree(), before);
        assert!(told().starts_with("a whole output") || told().contains("freed to make room"), "{name}");
        collect(&workspace, &NOTHING);
        assert_eq!((kept(&workspace), own.exists()), ((0, 0), false), "{name}");
        assert!(told().contains("freed to make room"), "{name}");
        assert_eq!(place.leftovers(), Vec::<String>::new());
        assert!(workspace.verify().unwrap().is_verified(), "{name}");
        points.push(name);
    }
    assert_eq!(points, ["chosen", "said", "freeing", "freeing", "freeing", "noted", "freeing", "freeing", "freeing"]);
}

#[test]
fn freeing_waits_for_a_commit_that_is_being_prepared() {
    let place = Place::new(&[("big", &big("x"))]);
    let (workspace, other) = (place.open(), open_at(&place.root(), later));
    let stage = stage(&workspace, "/work");
    stage_write(&stage, "big", &big("y"));
    let (root, mut other) = (place.root(), Some(other));
    let (sender, receiver) = mpsc::channel();
    faults::at_each(move |point| {
        // Its contents are kept, and nothing refers to them yet.
        if point == "kept"
            && let Some(other) = other.take()
        {
            age_blobs(&root);
            let sender = sender.clone();
            std::thread::spawn(move || sender.send(collect(&other, &NOTHING)));
            std::thread::sleep(Duration::from_millis(300));
        }
    });
    assert_eq!(commit(&workspace, &set(1), &stage).unwrap().outcome, CommitOutcome::Committed);
    faults::at_each(|_| {});
    // It came after the intent: what it freed, it freed as old, not as left behind.
    assert_eq!(receiver.recv().unwrap().leftovers, 0);
    assert!(workspace.verify().unwrap().is_verified());
}

#[test]
fn a_result_is_not_put_while_contents_are_freed() {
    let place = Place::new(&[]);
    let (workspace, other) = (place.open(), place.open());
    let (sender, receiver) = mpsc::channel();
    let lock = workspace.lock_commits().unwrap();
    std::thread::spawn(move || sender.send(other.keep_result(&session(), &CallId::from_random(9), "x").unwrap()));
    assert_eq!(receiver.recv_timeout(Duration::from_millis(300)), Err(mpsc::RecvTimeoutError::Timeout));
    drop(lock);
    assert_eq!(receiver.recv().unwrap(), ContentHash::of(b"x"));
}
