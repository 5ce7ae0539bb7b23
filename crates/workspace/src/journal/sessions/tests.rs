use std::time::{Duration, Instant, SystemTime};

use protocol::{ModelReply, Part, StopReason, TokenUsage, TurnOutcome};

use super::super::Durability;
use super::super::read::plans;
use super::*;

fn journal() -> (tempfile::TempDir, Journal) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("journal.db");
    let journal = Journal::open(&path, || SystemTime::UNIX_EPOCH + Duration::from_secs(1), None).unwrap();
    (folder, journal)
}

fn session(number: u64) -> SessionId {
    SessionId::from_random(number)
}

fn turn(number: u64) -> TurnId {
    TurnId::from_random(number)
}

fn append(journal: &Journal, number: u64, bodies: &[EventBody]) -> Vec<Event> {
    journal.append(&session(number), bodies, Durability::Process).unwrap()
}

fn opened() -> EventBody {
    EventBody::SessionOpened { principal: "planner".into(), model: "m".into() }
}

fn forked(parent: u64, at: u64, through: u64) -> EventBody {
    let (principal, model) = ("planner".into(), "m".into());
    EventBody::SessionForked { principal, model, parent: session(parent), turn: turn(at), through }
}

fn named(name: &str) -> EventBody {
    EventBody::SessionNamed { name: name.into() }
}

/// Returns the events of a whole turn.
fn whole(number: u64, text: &str) -> Vec<EventBody> {
    let part = Part::Text { text: format!("Answer to {text}.") };
    let reply = ModelReply { parts: vec![part], usage: TokenUsage::default(), stop: StopReason::EndTurn };
    vec![
        EventBody::TurnOpened { turn: turn(number), text: text.into() },
        EventBody::ModelReplied { turn: turn(number), number: 1, reply, spent: protocol::Spending::default() },
        EventBody::TurnClosed { turn: turn(number), outcome: TurnOutcome::Done, spent: protocol::Spending::default() },
    ]
}

fn told(journal: &Journal, number: u64) -> Vec<u64> {
    let mut sequences = Vec::new();
    journal.for_each_told(&session(number), |event| sequences.push(event.sequence)).unwrap();
    sequences
}

#[test]
fn a_fork_begins_with_what_it_goes_on_from_and_copies_nothing() {
    let (_folder, journal) = journal();
    append(&journal, 1, &[opened()]);
    append(&journal, 1, &whole(1, "one"));
    append(&journal, 1, &whole(2, "two"));
    append(&journal, 2, &[forked(1, 1, 4)]);
    append(&journal, 1, &whole(3, "three"));
    append(&journal, 2, &whole(4, "other"));
    append(&journal, 3, &[forked(2, 4, 14)]);
    append(&journal, 3, &whole(5, "last"));
    assert_eq!(told(&journal, 1), [1, 2, 3, 4, 5, 6, 7, 9, 10, 11]);
    assert_eq!(told(&journal, 2), [1, 2, 3, 4, 8, 12, 13, 14]);
    assert_eq!(told(&journal, 3), [1, 2, 3, 4, 8, 12, 13, 14, 15, 16, 17, 18]);
    let turns = journal.turns(&session(3)).unwrap();
    let places: Vec<_> = turns.iter().map(|place| (place.turn.clone(), place.chapter.clone())).collect();
    let chapter = |number, through| Chapter { session: session(number), through };
    assert_eq!(places, [(turn(1), chapter(1, 4)), (turn(4), chapter(2, 14)), (turn(5), chapter(3, 18))]);
    let listed = journal.sessions(10).unwrap();
    assert_eq!(listed[0].parent, Some((session(2), turn(4))));
    assert_eq!(journal.find_session(session(3).as_str()).unwrap(), session(3));
}

#[test]
fn a_turn_is_closed_where_it_was_closed_last() {
    let (_folder, journal) = journal();
    let closed =
        EventBody::TurnClosed { turn: turn(1), outcome: TurnOutcome::Cancelled, spent: protocol::Spending::default() };
    append(&journal, 1, &[opened(), whole(1, "one").remove(0), closed.clone()]);
    append(&journal, 1, &[EventBody::TurnResumed { turn: turn(1) }, closed, whole(2, "two").remove(0)]);
    let turns = journal.turns(&session(1)).unwrap();
    assert_eq!(
        turns.iter().map(|place| (place.chapter.through, place.is_closed)).collect::<Vec<_>>(),
        [(5, true), (6, false)]
    );
}

/// A journal may have been written by anybody, also one that never ends.
#[test]
fn a_session_that_goes_on_from_itself_is_refused() {
    let (_folder, journal) = journal();
    append(&journal, 1, &[forked(2, 1, 2)]);
    append(&journal, 2, &[forked(1, 1, 1)]);
    append(&journal, 3, &[opened()]);
    append(&journal, 4, &[forked(3, 1, 99)]);
    append(&journal, 5, &[forked(6, 1, 1)]);
    append(&journal, 6, &[forked(5, 1, 5)]);
    for number in [1, 2, 4, 5, 6] {
        let error = journal.story(&session(number)).unwrap_err().to_string();
        assert!(error.contains("goes on from what comes later"), "{error}");
    }
}

#[test]
fn a_session_is_called_what_it_was_called_last() {
    let (_folder, journal) = journal();
    append(&journal, 1, &[opened(), named("first"), named("second")]);
    append(&journal, 2, &[opened()]);
    assert_eq!(journal.name(&session(1)).unwrap().as_deref(), Some("second"));
    assert_eq!(journal.named("first").unwrap(), None);
    assert_eq!(journal.find_session_or_name("second").unwrap(), session(1));
    assert_eq!(journal.find_session_or_name(session(2).as_str()).unwrap(), session(2));
    assert_eq!(journal.sessions(10).unwrap()[1].name.as_deref(), Some("second"));
    for name in ["", " a", "a\nb", "a\u{1b}", &"a".repeat(MAX_NAME_CHARS + 1)] {
        assert_eq!(session_name(name), Err(InvalidName), "{name:?}");
    }
}

#[test]
fn a_search_finds_tasks_and_replies_the_newest_first() {
    let (_folder, journal) = journal();
    append(&journal, 1, &[opened()]);
    append(&journal, 1, &whole(1, "Fix the \"Parser\"\nand more"));
    append(&journal, 2, &whole(2, "parse nothing"));
    let found = |text: &str, limit| {
        let passages = journal.search(text, limit).unwrap();
        passages.into_iter().map(|passage| (passage.turn, passage.line)).collect::<Vec<_>>()
    };
    assert_eq!(found("\"PARSER\"", 9)[1], (turn(1), "Fix the \"Parser\"".into()));
    assert_eq!(found("answer", 9).len(), 2);
    assert_eq!(found("answer", 1), [(turn(2), "Answer to parse nothing.".into())]);
    assert_eq!(found("turn_opened", 9), []);
}

/// What a session of 10,000 turns costs where it is appended to and looked at from its end: as much as one of ten.
#[test]
fn the_end_of_a_long_session_is_as_near_as_that_of_a_short_one() {
    const TURNS: u64 = 10_000;
    let (folder, journal) = journal();
    append(&journal, 1, &[opened()]);
    append(&journal, 1, &(0..TURNS).flat_map(|number| whole(number, "so")).collect::<Vec<_>>());
    append(&journal, 2, &[opened()]);
    append(&journal, 2, &(0..10).flat_map(|number| whole(TURNS + number, "so")).collect::<Vec<_>>());
    let last = |number| {
        let mut events = Vec::new();
        journal.for_each_of_last(&session(number), 3, |event| events.push(event)).unwrap();
        events
    };
    assert_eq!(last(1).len(), 9);
    assert_eq!(last(1)[0].body, whole(TURNS - 3, "so")[0]);
    let plans = plans::record(|| {
        drop(last(1));
        journal.story(&session(1)).unwrap();
        journal.name(&session(1)).unwrap();
        journal.sessions(10).unwrap();
        append(&journal, 1, &whole(1, "more"));
    });
    for (query, plan) in plans {
        assert!(!plan.iter().any(|step| step.starts_with("SCAN")), "{query}: {plan:?}");
    }
    // Generous: a look at everything takes hundreds of times as long as at the end.
    let time = |work: &dyn Fn()| {
        let started = Instant::now();
        work();
        started.elapsed()
    };
    let whole_story = time(&|| drop(told(&journal, 1)));
    let best = (0..5).map(|_| time(&|| drop(last(1)))).min().unwrap();
    assert!(best * 20 < whole_story, "{best:?} of {whole_story:?}");
    let path = folder.path().canonicalize().unwrap().join("journal.db");
    drop(journal);
    let best = (0..5).map(|_| time(&|| drop(Journal::open(&path, SystemTime::now, None).unwrap()))).min().unwrap();
    assert!(best * 20 < whole_story, "{best:?} of {whole_story:?}");
}
