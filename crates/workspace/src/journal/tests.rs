use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use protocol::{
    CallId, ChangeSet, ChangeSetId, CommitOutcome, Event, EventBody, SessionId, Spending, TurnId, TurnOutcome,
};
use rusqlite::Connection;

use super::*;

fn clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_234)
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("journal.db")
    }

    fn open(&self) -> Result<Journal> {
        Journal::open(&self.path(), clock, Some(self.custody()))
    }

    /// Returns where the key and the anchor of the journal lie.
    fn custody(&self) -> Custody {
        Custody::new(&self.folder.path().join("keys"), self.folder.path(), "1:1".into())
    }
}

fn session(number: u64) -> SessionId {
    SessionId::from_random(number)
}

fn opened() -> EventBody {
    EventBody::SessionOpened { principal: "user".into(), model: "openai/x".into() }
}

fn turn(text: &str) -> EventBody {
    EventBody::TurnOpened { turn: TurnId::from_random(1), text: text.into() }
}

fn closed() -> EventBody {
    EventBody::TurnClosed { turn: TurnId::from_random(1), outcome: TurnOutcome::Done, spent: Spending::default() }
}

fn intended(set: u64) -> EventBody {
    EventBody::CommitIntended {
        change_set: ChangeSetId::from_random(set),
        call: Some(CallId::from_random(1)),
        changes: ChangeSet { mount: "/work".into(), changes: Vec::new() },
        undoes: None,
    }
}

fn finished(set: u64) -> EventBody {
    EventBody::CommitFinished { change_set: ChangeSetId::from_random(set), outcome: CommitOutcome::Committed }
}

fn event(sequence: u64, session: SessionId, body: EventBody) -> Event {
    Event { sequence, session, recorded_at_ms: 1_234, body }
}

#[test]
fn what_was_appended_is_read_back_in_order() {
    let place = Place::new();
    let journal = place.open().unwrap();
    let first = journal.append(&session(1), &[opened(), turn("a")], Durability::Process).unwrap();
    let other = journal.append(&session(2), &[opened()], Durability::Power).unwrap();
    journal.session(&session(1)).record(closed()).unwrap();
    let expected = [
        event(1, session(1), opened()),
        event(2, session(1), turn("a")),
        event(3, session(2), opened()),
        event(4, session(1), closed()),
    ];
    assert_eq!([first, other].concat(), expected[..3]);
    drop(journal);
    let journal = place.open().unwrap();
    assert_eq!(journal.tail(0, 100).unwrap(), expected);
    assert_eq!(journal.tail(1, 2).unwrap(), expected[1..3]);
    assert_eq!(journal.tail(4, 100).unwrap(), []);
    assert_eq!(journal.events(&session(2)).unwrap(), expected[2..3]);
    assert_eq!(journal.append(&session(1), &[], Durability::Process).unwrap(), []);
}

#[test]
fn durability_is_what_was_asked_for_each_time() {
    let journal = Place::new().open().unwrap();
    let synchronous =
        || -> i64 { journal.writer().connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap() };
    for (durability, expected) in
        [(Durability::Process, 1), (Durability::Power, 2), (Durability::Power, 2), (Durability::Process, 1)]
    {
        journal.append(&session(1), &[opened()], durability).unwrap();
        assert_eq!(synchronous(), expected);
    }
    journal.intend(&session(1), (&intended(1), &[]), "place", &[]).unwrap();
    assert_eq!(synchronous(), 2);
}

#[test]
fn nothing_is_changed_or_taken_away() {
    let place = Place::new();
    let journal = place.open().unwrap();
    let hash = ContentHash::of(b"x");
    journal.intend(&session(1), (&intended(1), &[]), "place", &[(hash, b"x".to_vec())]).unwrap();
    let connection = Connection::open(place.path()).unwrap();
    for statement in [
        "UPDATE events SET body = '{}'",
        "UPDATE events SET session = 'x'",
        "DELETE FROM events",
        "UPDATE contents SET bytes = x'00'",
        "DELETE FROM contents",
    ] {
        let error = connection.execute(statement, []).unwrap_err().to_string();
        assert_eq!(error, "the journal only grows", "{statement}");
    }
}

#[test]
fn an_append_is_whole_or_nothing() {
    let journal = Place::new().open().unwrap();
    journal.append(&session(1), &[intended(1)], Durability::Process).unwrap();
    // A set is about to be committed once at a time; the second event is refused and the first goes with it.
    let refused = journal.append(&session(1), &[turn("lost"), intended(1)], Durability::Process);
    assert!(matches!(refused, Err(JournalError::Failed { .. })), "{refused:?}");
    let next = journal.append(&session(1), &[turn("kept")], Durability::Process).unwrap();
    assert_eq!(next, [event(2, session(1), turn("kept"))]);
    assert_eq!(journal.tail(0, 10).unwrap().len(), 2);
}

#[test]
fn journals_of_several_processes_grow_together_without_gaps() {
    let place = Place::new();
    drop(place.open().unwrap());
    std::thread::scope(|scope| {
        for number in 0..4 {
            let place = &place;
            scope.spawn(move || {
                let journal = place.open().unwrap();
                for _ in 0..50 {
                    journal.append(&session(number), &[turn("a"), closed()], Durability::Process).unwrap();
                }
            });
        }
    });
    let events = place.open().unwrap().tail(0, 1_000).unwrap();
    let sequences: Vec<u64> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=400).collect::<Vec<_>>());
    assert!(events.chunks(2).all(|pair| pair[0].session == pair[1].session && pair[1].body == closed()));
}

#[test]
fn observers_see_every_event_once_in_order_and_after_it_is_kept() {
    let place = Place::new();
    let journal = Arc::new(place.open().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, reader) = (seen.clone(), place.open().unwrap());
    journal.observe(Box::new(move |event| {
        assert_eq!(reader.tail(event.sequence - 1, 1).unwrap(), std::slice::from_ref(event));
        log.lock().unwrap().push(event.sequence);
    }));
    std::thread::scope(|scope| {
        for number in 0..4 {
            let journal = &journal;
            scope.spawn(move || {
                for _ in 0..25 {
                    journal.append(&session(number), &[turn("a"), closed()], Durability::Process).unwrap();
                }
            });
        }
    });
    journal.append(&session(1), &[intended(1)], Durability::Process).unwrap();
    journal.append(&session(1), &[turn("lost"), intended(1)], Durability::Process).unwrap_err();
    journal.intend(&session(1), (&intended(2), &[]), "place", &[]).unwrap();
    assert_eq!(*seen.lock().unwrap(), (1..=202).collect::<Vec<_>>());
}

#[test]
fn a_long_session_is_read_while_it_grows() {
    let journal = Place::new().open().unwrap();
    let bodies = vec![turn("a"); 600];
    journal.append(&session(1), &bodies, Durability::Process).unwrap();
    let mut sequences = Vec::new();
    journal
        .for_each(&session(1), |event| {
            if event.sequence <= 10 {
                journal.append(&session(1), &[closed()], Durability::Process).unwrap();
            }
            sequences.push(event.sequence);
        })
        .unwrap();
    assert_eq!(sequences, (1..=610).collect::<Vec<_>>());
}

#[test]
fn sessions_are_listed_the_last_used_first() {
    let journal = Place::new().open().unwrap();
    let append = |number, bodies: &[EventBody]| journal.append(&session(number), bodies, Durability::Process).unwrap();
    append(1, &[opened(), turn("first"), closed(), turn("second")]);
    append(2, &[opened()]);
    append(3, &[opened(), turn("only")]);
    append(1, &[closed()]);
    let summary = |number, first_text: Option<&str>, last_outcome| SessionSummary {
        session: session(number),
        name: None,
        parent: None,
        model: "openai/x".into(),
        opened_at_ms: 1_234,
        last_at_ms: 1_234,
        first_text: first_text.map(str::to_owned),
        last_outcome,
    };
    let expected =
        [summary(1, Some("first"), Some(TurnOutcome::Done)), summary(3, Some("only"), None), summary(2, None, None)];
    assert_eq!(journal.sessions(10).unwrap(), expected);
    assert_eq!(journal.sessions(2).unwrap(), expected[..2]);
}

#[test]
fn a_prefix_names_one_or_says_what_it_may_mean() {
    let journal = Place::new().open().unwrap();
    for number in [1, 2, 1 << 59] {
        journal.append(&session(number), &[opened(), turn("a"), opened()], Durability::Process).unwrap();
    }
    assert_eq!(journal.find_session("g").unwrap(), session(1 << 59));
    assert_eq!(journal.find_session("000000000001").unwrap(), session(1));
    let ambiguous = journal.find_session("0").unwrap_err().to_string();
    assert_eq!(ambiguous, "`0` may mean 000000000001 or 000000000002");
    for prefix in ["1", "0000000000011", "G", "%", "'"] {
        assert!(matches!(journal.find_session(prefix), Err(LookupError::NoMatch(text)) if text == prefix));
    }
    journal.append(&session(1), &[intended(5), finished(5), finished(6)], Durability::Process).unwrap();
    assert_eq!(journal.find_change_set("00").unwrap(), ChangeSetId::from_random(5));
    assert!(matches!(journal.find_change_set("g"), Err(LookupError::NoMatch(_))));
}

#[test]
fn a_commit_is_unfinished_until_it_is_finished() {
    let place = Place::new();
    let journal = place.open().unwrap();
    for set in [1, 2, 3] {
        journal.intend(&session(set), (&intended(set), &[]), &format!("place {set}"), &[]).unwrap();
    }
    journal.append(&session(2), &[finished(2)], Durability::Power).unwrap();
    drop(journal);
    let unfinished = place.open().unwrap().unfinished().unwrap();
    let found: Vec<_> = unfinished
        .into_iter()
        .map(|unfinished| (unfinished.session, unfinished.change_set, unfinished.place))
        .collect();
    let expected = [1, 3].map(|set| (session(set), ChangeSetId::from_random(set), format!("place {set}")));
    assert_eq!(found, expected);
}

#[test]
fn a_content_is_what_its_hash_says_or_an_error() {
    let place = Place::new();
    let journal = place.open().unwrap();
    let (true_hash, false_hash) = (ContentHash::of(b"x"), ContentHash::of(b"y"));
    journal.keep(&[(true_hash.clone(), b"x".to_vec()), (false_hash.clone(), b"x".to_vec())]).unwrap();
    assert_eq!(journal.content(&true_hash).unwrap().as_deref(), Some(&b"x"[..]));
    assert_eq!(journal.content(&ContentHash::of(b"z")).unwrap(), None);
    assert!(matches!(journal.content(&false_hash), Err(JournalError::Damaged { .. })));
}

/// Opens what `make` made and checks that not a byte of it changed.
fn refused(make: impl FnOnce(&Path)) -> JournalError {
    let place = Place::new();
    make(&place.path());
    let before = fs::read(place.path()).unwrap();
    let error = place.open().unwrap_err();
    assert_eq!(fs::read(place.path()).unwrap(), before);
    error
}

#[test]
fn a_file_that_is_no_journal_is_refused_and_left_alone() {
    let text = refused(|path| fs::write(path, "not a database, but longer than a header".repeat(100)).unwrap());
    assert!(matches!(text, JournalError::Foreign { .. }), "{text:?}");
    let foreign = refused(|path| {
        Connection::open(path).unwrap().execute_batch("CREATE TABLE theirs (x); PRAGMA user_version = 1;").unwrap();
    });
    assert!(matches!(foreign, JournalError::Foreign { .. }), "{foreign:?}");
    let newer = refused(|path| {
        drop(Journal::open(path, clock, None).unwrap());
        let connection = Connection::open(path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA user_version = 99;").unwrap();
    });
    assert!(matches!(newer, JournalError::Newer { found: 99, .. }), "{newer:?}");
}

#[test]
fn an_empty_file_is_a_new_journal() {
    let place = Place::new();
    fs::write(place.path(), "").unwrap();
    place.open().unwrap().append(&session(1), &[opened()], Durability::Process).unwrap();
}

#[test]
fn a_damaged_journal_says_so() {
    let place = Place::new();
    let journal = place.open().unwrap();
    journal.append(&session(1), &vec![turn(&"a".repeat(2_000)); 100], Durability::Process).unwrap();
    drop(journal);
    let mut bytes = fs::read(place.path()).unwrap();
    let page = 4_096;
    // Everything but the header and the schema.
    let end = bytes.len();
    bytes[page * 20..end].fill(0xff);
    fs::write(place.path(), bytes).unwrap();
    let journal = place.open().unwrap();
    let damaged = journal.events(&session(1)).unwrap_err();
    assert!(matches!(damaged, JournalError::Damaged { .. }), "{damaged:?}");
}

#[test]
fn an_event_that_cannot_be_read_is_named() {
    let place = Place::new();
    let journal = place.open().unwrap();
    journal.append(&session(1), &[opened()], Durability::Process).unwrap();
    let insert =
        "INSERT INTO events (session, recorded_at_ms, body) VALUES ('000000000001', 0, '{\"type\":\"later\"}')";
    Connection::open(place.path()).unwrap().execute(insert, []).unwrap();
    let unreadable = journal.events(&session(1)).unwrap_err();
    assert!(matches!(unreadable, JournalError::Unreadable { sequence: 2, .. }), "{unreadable:?}");
}

#[test]
fn no_reading_goes_through_the_whole_journal() {
    let journal = Place::new().open().unwrap();
    let plans = read::plans::record(|| {
        let id = ChangeSetId::from_random(1);
        journal.append(&session(1), &[opened(), turn("a"), closed(), intended(1)], Durability::Process).unwrap();
        journal.append(&session(1), &[finished(1), intended(2)], Durability::Process).unwrap();
        journal.events(&session(1)).unwrap();
        journal.tail(0, 1).unwrap();
        journal.sessions(10).unwrap();
        journal.find_session("0").unwrap();
        journal.find_change_set("000000000001").unwrap();
        journal.change_sets(10).unwrap();
        journal.change_set(&id).unwrap();
        journal.has_ended(&id).unwrap();
        journal.unfinished().unwrap();
        journal.held(&session(1)).unwrap();
        journal.content(&ContentHash::of(b"x")).unwrap();
        journal.has_content(&ContentHash::of(b"x")).unwrap();
    });
    let plan_text: String = plans.iter().flat_map(|(_, plan)| plan.clone()).collect();
    let indices: Vec<String> = {
        let writer = journal.writer();
        let mut statement = writer
            .connection
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")
            .unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    };
    assert_eq!(indices.len(), 6);
    for index in indices {
        assert!(plan_text.contains(&index), "{index} is used by nothing");
    }
    for (query, plan) in plans {
        // The projection of unfinished commits has a row or none.
        let scans: Vec<_> = plan.iter().filter(|step| step.starts_with("SCAN") && *step != "SCAN unfinished").collect();
        assert!(scans.is_empty(), "{query}: {plan:?}");
    }
}
