use std::path::Path;
use std::time::SystemTime;

use proptest::prelude::*;
use protocol::{Event, ModelReply, Part, Purpose, Spending, StopReason, TokenUsage, TurnId, TurnOutcome};
use rusqlite::Connection;

use super::super::{Break, Durability};
use super::*;
use crate::{Mount, SessionView, Workspace};

fn open(root: &Path) -> Workspace {
    let mounts = [Mount { name: "/work".into(), host: root.to_owned() }];
    Workspace::open(root, &mounts, None, SystemTime::now).unwrap()
}

fn session(number: u64) -> SessionId {
    SessionId::from_random(number)
}

fn opened() -> EventBody {
    EventBody::SessionOpened { principal: "planner".into(), model: "m".into() }
}

fn append(workspace: &Workspace, of: u64, bodies: &[EventBody]) {
    workspace.journal().append(&session(of), bodies, Durability::Process).unwrap();
}

/// Returns the events of a whole turn but its end: a reply, or a summary of what was said.
fn turn(number: u64, is_summary: bool) -> Vec<EventBody> {
    let turn = TurnId::from_random(number);
    let reply = ModelReply {
        parts: vec![Part::Text { text: format!("answer {number}") }],
        usage: TokenUsage::default(),
        stop: StopReason::EndTurn,
    };
    let purpose = if is_summary { Purpose::Compaction } else { Purpose::Reply };
    let called = EventBody::ModelCalled {
        turn: turn.clone(),
        number: 1,
        model: "m".into(),
        purpose,
        reserved: Spending::default(),
    };
    let summary =
        EventBody::Compacted { turn: turn.clone(), number: 1, summary: format!("all until {number}"), kept: 1 };
    let opened = EventBody::TurnOpened { turn: turn.clone(), text: format!("task {number}") };
    let replied = EventBody::ModelReplied { turn, number: 1, reply, spent: Spending::default() };
    [opened, called, replied].into_iter().chain(is_summary.then_some(summary)).collect()
}

fn close(workspace: &Workspace, of: u64, number: u64, kept: Option<&KeptView>) {
    let (turn, spent) = (TurnId::from_random(number), Spending::default());
    let closed = EventBody::TurnClosed { turn: turn.clone(), outcome: TurnOutcome::Done, spent };
    workspace.journal().close(&session(of), &turn, &spent, &closed, kept).unwrap();
}

fn work(workspace: &Workspace, of: u64, number: u64, keeps: bool) {
    append(workspace, of, &turn(number, false));
    let kept = keeps.then(|| workspace.view(&session(of)).unwrap().to_kept().unwrap());
    close(workspace, of, number, kept.as_ref());
}

fn told(workspace: &Workspace, of: u64) -> Vec<Event> {
    let mut events = Vec::new();
    workspace.journal().for_each_told(&session(of), |event| events.push(event)).unwrap();
    events
}

/// The view as it is read is the one that is replayed from the beginning.
fn assert_replayed(workspace: &Workspace, of: u64) {
    assert_eq!(workspace.view(&session(of)).unwrap(), SessionView::replay(&told(workspace, of)));
}

/// Changes the database as its owner could with any other program.
fn forge(root: &Path, statement: &str) {
    let connection = Connection::open(root.join(".boxagnts/journal.db")).unwrap();
    connection.execute_batch("DROP TRIGGER events_are_not_changed").unwrap();
    connection.execute_batch(statement).unwrap();
    connection
        .execute_batch(
            "CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END;",
        )
        .unwrap();
}

/// A session whose kept view says something else than its events, so that whoever reads it can be told from who replays.
fn telling(root: &Path) -> Workspace {
    let workspace = open(root);
    append(&workspace, 1, &[opened()]);
    append(&workspace, 1, &turn(1, false));
    let mut view = workspace.view(&session(1)).unwrap();
    view.answer = "from the kept view".into();
    close(&workspace, 1, 1, Some(&view.to_kept().unwrap()));
    workspace
}

fn answer(workspace: &Workspace, of: u64) -> String {
    workspace.view(&session(of)).unwrap().answer
}

#[test]
fn going_on_reads_the_kept_view_and_what_came_after() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = telling(folder.path());
    assert_eq!(answer(&workspace, 1), "from the kept view");
    work(&workspace, 1, 2, false);
    assert_eq!(answer(&workspace, 1), "answer 2");
    assert_eq!(workspace.view(&session(1)).unwrap().messages.len(), 4);
}

#[test]
fn a_view_that_cannot_be_read_is_replayed_and_never_wrong() {
    let other_format = String::from("CAST(replace(CAST(bytes AS TEXT), 'view 1', 'view 2') AS BLOB)");
    for (statement, broken) in [
        ("DELETE FROM views".to_owned(), false),
        ("UPDATE views SET bytes = x'7b7d'".to_owned(), true),
        (format!("UPDATE views SET bytes = {other_format}"), true),
        ("UPDATE views SET bytes = CAST(replace(CAST(bytes AS TEXT), 'kept', 'forged') AS BLOB)".to_owned(), true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        drop(telling(folder.path()));
        forge(folder.path(), &statement);
        let workspace = open(folder.path());
        assert_eq!(answer(&workspace, 1), "answer 1", "{statement}");
        assert_replayed(&workspace, 1);
        let found = workspace.verify().unwrap().breaks;
        let altered = Break::ViewAltered { session: session(1).to_string() };
        assert_eq!(found, if broken { vec![altered] } else { vec![] }, "{statement}");
        // The next one takes its place.
        work(&workspace, 1, 2, true);
        assert_eq!(workspace.verify().unwrap().breaks, []);
    }
}

#[test]
fn a_view_of_another_format_is_not_read() {
    let kept = SessionView::default().to_kept().unwrap();
    assert!(SessionView::of_kept(&kept).is_some());
    let text = String::from_utf8(kept.bytes).unwrap();
    let other = |bytes: String| SessionView::of_kept(&KeptView { through: 0, bytes: bytes.into_bytes() });
    assert!(other(text.replace("view 1", "view 2")).is_none());
    assert!(
        SessionView::of_kept(&KeptView { through: 9, bytes: text.clone().into_bytes() }).is_none(),
        "of another end"
    );
    assert!(other(text[1..].to_owned()).is_none());
}

/// What another version wrote is told apart by its format. Whoever sees this fail changes the format too.
#[test]
fn the_format_of_kept_views_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = open(folder.path());
    append(&workspace, 1, &[opened()]);
    append(&workspace, 1, &turn(1, false));
    let kept = workspace.view(&session(1)).unwrap().to_kept().unwrap();
    insta::assert_snapshot!(String::from_utf8(kept.bytes).unwrap());
}

#[test]
fn one_view_of_a_session_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = open(folder.path());
    append(&workspace, 1, &[opened()]);
    (1..=3).for_each(|number| work(&workspace, 1, number, true));
    let rows = workspace.journal().rows("SELECT 1 FROM views", [], |_| Ok(())).unwrap();
    assert_eq!(rows.len(), 1);
    assert_replayed(&workspace, 1);
}

#[test]
fn a_fork_begins_with_a_view_that_is_not_beyond_its_point() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = telling(folder.path());
    let fork = |id: u64, at: usize| {
        let turns = workspace.journal().turns(&session(1)).unwrap();
        workspace.fork(&session(id), &turns[at], "planner", "m").unwrap();
    };
    fork(2, 0);
    assert_eq!(answer(&workspace, 2), "from the kept view");
    work(&workspace, 1, 2, true);
    fork(3, 0);
    fork(4, 1);
    assert_eq!(["answer 1", "answer 1", "answer 2"], [2, 3, 4].map(|id| answer(&workspace, id)));
    for id in 2..=4 {
        assert_replayed(&workspace, id);
        work(&workspace, id, 10 + id, true);
        assert_replayed(&workspace, id);
    }
}

#[test]
fn a_long_view_is_kept_as_rarely_as_it_is_long() {
    let mut long = SessionView::default();
    long.answer = "x".repeat(1 << 20);
    let mut view = SessionView::of_kept(&long.to_kept().unwrap()).unwrap();
    let named = EventBody::SessionNamed { name: "n".into() };
    let due = (1_u64..9_999).find(|sequence| {
        view.apply(&Event { sequence: *sequence, session: session(1), recorded_at_ms: 0, body: named.clone() });
        view.is_due()
    });
    assert_eq!(due, Some(1_025), "an event pays for a KiB, and the view is a MiB and a little more");
}

/// Which nobody does, and a journal may say.
#[test]
fn what_a_fork_said_before_it_was_one_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = telling(folder.path());
    append(&workspace, 2, &turn(9, false));
    work(&workspace, 1, 2, true);
    let turns = workspace.journal().turns(&session(1)).unwrap();
    workspace.fork(&session(2), &turns[1], "planner", "m").unwrap();
    assert_replayed(&workspace, 2);
    assert_eq!(answer(&workspace, 2), "answer 9");
}

#[test]
fn what_another_process_appended_is_in_the_view_that_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = open(folder.path());
    append(&workspace, 1, &[opened()]);
    (1..200).for_each(|number| append(&workspace, 1, &turn(number, false)));
    let mut live = workspace.view(&session(1)).unwrap();
    let bounds = EventBody::BoundsSet { session_micro_usd: Some(7), turn_time_ms: None };
    append(&open(folder.path()), 1, &[bounds]);
    for event in workspace.journal().append(&session(1), &turn(200, false), Durability::Process).unwrap() {
        live.apply(&event);
    }
    let kept = workspace.to_keep(&session(1), &live).unwrap();
    assert!(kept.is_some());
    close(&workspace, 1, 200, kept.as_ref());
    assert_eq!(workspace.view(&session(1)).unwrap().session_micro_usd, Some(7));
    assert_replayed(&workspace, 1);
}

#[test]
fn a_view_is_kept_when_what_came_since_is_as_long() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = open(folder.path());
    append(&workspace, 1, &[opened()]);
    let (mut kept_bytes, mut kept, mut read_at_most) = (0, 0, 0);
    for number in 1..=2_000 {
        append(&workspace, 1, &turn(number, false));
        let view = if number % 10 == 0 { workspace.view(&session(1)).unwrap() } else { continue };
        let keep = workspace.to_keep(&session(1), &view).unwrap();
        let through = workspace.journal().kept_view(&workspace.journal().story(&session(1)).unwrap()[0]).unwrap();
        read_at_most = read_at_most.max(view.last_sequence - through.map_or(0, |kept| kept.through));
        (kept_bytes, kept) = keep.as_ref().map_or((kept_bytes, kept), |keep| (kept_bytes + keep.bytes.len(), kept + 1));
        close(&workspace, 1, number, keep.as_ref());
    }
    let view_bytes = workspace.view(&session(1)).unwrap().to_kept().unwrap().bytes.len();
    assert!((5..30).contains(&kept), "{kept}");
    assert!(kept_bytes < 20 * view_bytes, "{kept_bytes} for {view_bytes}");
    assert!(read_at_most < 1_000, "{read_at_most}");
    assert_replayed(&workspace, 1);
}

/// What happens to some session.
#[derive(Debug, Clone)]
enum Step {
    Work {
        keeps: bool,
    },
    Sum,
    Name,
    /// A process dies in the middle of a turn, and the next goes on with it.
    Break,
    Fork {
        at: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let step = prop_oneof![
        4 => any::<bool>().prop_map(|keeps| Step::Work { keeps }),
        1 => Just(Step::Sum),
        1 => Just(Step::Name),
        1 => Just(Step::Break),
        2 => (0_usize..8).prop_map(|at| Step::Fork { at }),
    ];
    prop::collection::vec((0_usize..8, step), 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever happens to which session, with views kept wherever: each is read as it is replayed.
    #[test]
    fn a_story_is_read_as_it_is_replayed(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let workspace = open(folder.path());
        append(&workspace, 0, &[opened()]);
        let mut sessions = 1;
        for (number, (of, step)) in (1_u64..).zip(steps) {
            let of = of as u64 % sessions;
            match step {
                Step::Work { keeps } => work(&workspace, of, number, keeps),
                Step::Sum => {
                    append(&workspace, of, &turn(number, true));
                    close(&workspace, of, number, None);
                }
                Step::Name => append(&workspace, of, &[EventBody::SessionNamed { name: number.to_string() }]),
                Step::Break => {
                    append(&workspace, of, &turn(number, false)[..2]);
                    append(&workspace, of, &[EventBody::TurnResumed { turn: TurnId::from_random(number) }]);
                }
                Step::Fork { at } => {
                    let turns = workspace.journal().turns(&session(of)).unwrap();
                    if let Some(place) = turns.get(at).filter(|place| place.is_closed) {
                        workspace.fork(&session(sessions), place, "planner", "m").unwrap();
                        sessions += 1;
                    }
                }
            }
            (0..sessions).for_each(|of| assert_replayed(&workspace, of));
        }
        prop_assert_eq!(workspace.verify().unwrap().breaks, []);
    }
}
