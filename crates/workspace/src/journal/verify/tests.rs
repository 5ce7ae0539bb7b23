use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use protocol::{ChangeSet, ChangeSetId, CommitOutcome, SessionId, TurnId, TurnOutcome};
use rusqlite::params;

use super::super::chain::{Hash, Record};
use super::super::{Custody, Durability, JournalError};
use super::*;

fn clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_234)
}

/// A workspace's journal, and the folder of its key beside it.
struct Place {
    folder: tempfile::TempDir,
    directory: &'static str,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), directory: "1:1" }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("journal.db")
    }

    fn custody(&self) -> Custody {
        Custody::new(&self.folder.path().join("keys"), Path::new("/a/workspace"), self.directory.into())
    }

    fn open(&self) -> Journal {
        Journal::open(&self.path(), clock, Some(self.custody())).unwrap()
    }

    /// Changes the database as its owner could with any other program.
    fn forge(&self, statement: &str) {
        let connection = Connection::open(self.path()).unwrap();
        let triggers: Vec<(String, String)> = connection
            .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        for (name, _) in &triggers {
            connection.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
        }
        connection.execute_batch(statement).unwrap();
        for (_, sql) in &triggers {
            connection.execute_batch(sql).unwrap();
        }
    }

    /// Returns what verifying finds, and what opening finds.
    fn found(&self) -> (Vec<Break>, Standing) {
        let journal = self.open();
        let found = journal.verify(&|_, _| true).unwrap();
        (found.breaks, journal.standing())
    }
}

fn session(number: u64) -> SessionId {
    SessionId::from_random(number)
}

fn turn(text: &str) -> EventBody {
    EventBody::TurnOpened { turn: TurnId::from_random(1), text: text.into() }
}

fn closed() -> EventBody {
    EventBody::TurnClosed {
        turn: TurnId::from_random(1),
        outcome: TurnOutcome::Done,
        spent: protocol::Spending::default(),
    }
}

fn intended(set: u64) -> EventBody {
    EventBody::CommitIntended {
        change_set: ChangeSetId::from_random(set),
        call: None,
        changes: ChangeSet { mount: "/work".into(), changes: Vec::new() },
        undoes: Some(ChangeSetId::from_random(99)),
    }
}

fn finished(set: u64) -> EventBody {
    EventBody::CommitFinished { change_set: ChangeSetId::from_random(set), outcome: CommitOutcome::Committed }
}

/// Twelve records; 4, 5, 6, 8 and 12 are signed.
fn grown() -> Place {
    let place = Place::new();
    let journal = place.open();
    let append = |bodies: &[EventBody], durability| {
        journal.append(&session(1), bodies, durability).unwrap();
    };
    append(&[turn("one"), turn("two"), turn("three")], Durability::Process);
    append(&[closed()], Durability::Power);
    journal.intend(&session(1), (&intended(1), &[]), "place", &[(ContentHash::of(b"x"), b"x".to_vec())]).unwrap();
    append(&[finished(1)], Durability::Power);
    append(&[turn("seven"), closed()], Durability::Power);
    append(&[turn("nine"), turn("ten"), turn("eleven"), closed()], Durability::Power);
    place
}

const ALTERED: fn(i64) -> Break = |sequence| Break::Altered { sequence, session: session(1).to_string() };

#[test]
fn a_journal_that_nobody_touched_is_verified() {
    let place = grown();
    let journal = place.open();
    let found = journal.verify(&|_, _| false).unwrap();
    assert_eq!(found.breaks, []);
    assert!(found.is_verified());
    assert_eq!((found.records, found.checkpoints, found.contents), (12, 6, 1));
    assert_eq!((found.ends_at, found.signed_to, found.foreign_checkpoints), (12, 12, 0));
    journal.append(&session(1), &[turn("x")], Durability::Process).unwrap();
    let found = journal.verify(&|_, _| false).unwrap();
    assert!(found.is_verified());
    assert_eq!((found.ends_at, found.signed_to), (13, 12));
}

#[test]
fn every_column_of_every_row_is_held() {
    for sequence in 1..=12 {
        for change in [
            "session = '000000000002'",
            "recorded_at_ms = recorded_at_ms + 1",
            "kind = CASE WHEN kind IS NULL THEN 'turn_opened' ELSE NULL END",
            "kind = coalesce(kind, '') || 'x'",
            "change_set = coalesce(change_set, '') || 'x'",
            "undoes = coalesce(undoes, '') || 'x'",
            "place = CASE WHEN place IS NULL THEN '' ELSE NULL END",
            "place = coalesce(place, '') || 'x'",
            "body = body || ' '",
            "hash = zeroblob(32)",
            "hash = x'00'",
        ] {
            let place = grown();
            place.forge(&format!("UPDATE events SET {change} WHERE sequence = {sequence}"));
            let (breaks, _) = place.found();
            let is_it = |broken: &Break| match broken {
                Break::Altered { sequence: found, .. } => *found == sequence,
                // A signed hash was altered.
                Break::Replaced { to, .. } => *to == sequence && change.starts_with("hash"),
                _ => false,
            };
            assert!(breaks.iter().any(|broken| matches!(broken, Break::Altered { .. })), "{change}: {breaks:?}");
            assert!(breaks.iter().all(is_it), "{sequence} {change}: {breaks:?}");
        }
    }
}

#[test]
fn a_missing_record_is_named() {
    for sequence in 2..=11 {
        let place = grown();
        place.forge(&format!("DELETE FROM events WHERE sequence = {sequence}"));
        let (breaks, _) = place.found();
        assert!(breaks.contains(&Break::Missing { from: sequence, to: sequence }), "{breaks:?}");
    }
    let place = grown();
    place.forge("UPDATE events SET sequence = 20 WHERE sequence = 12");
    assert!(place.found().0.contains(&Break::Missing { from: 12, to: 19 }));
}

#[test]
fn a_cut_end_is_noticed_at_once() {
    for sequence in 1..=12 {
        let place = grown();
        place.forge(&format!("DELETE FROM events WHERE sequence >= {sequence}"));
        let cut = Break::Cut { ends_at: sequence - 1, signed: 12 };
        let (breaks, standing) = place.found();
        assert_eq!(standing, Standing::Broken { broken: cut.clone() });
        assert!(breaks.contains(&cut), "{breaks:?}");
        // With the checkpoints too, only the anchor knows.
        let place = grown();
        place.forge(&format!(
            "DELETE FROM events WHERE sequence >= {sequence}; DELETE FROM checkpoints WHERE sequence >= {sequence}"
        ));
        let (breaks, standing) = place.found();
        assert_eq!((&breaks[0], &standing), (&cut, &Standing::Broken { broken: cut.clone() }));
        // A commit whose end is gone has not ended, as far as the rest knows.
        assert_eq!(breaks.len(), if sequence == 6 { 2 } else { 1 }, "{breaks:?}");
    }
}

#[test]
fn records_that_changed_places_are_told_from_altered_ones() {
    for (first, second) in [(2, 3), (2, 6), (9, 11), (1, 10)] {
        let place = grown();
        place.forge(&format!(
            "UPDATE events SET sequence = 0 WHERE sequence = {first};
             UPDATE events SET sequence = {first} WHERE sequence = {second};
             UPDATE events SET sequence = {second} WHERE sequence = 0"
        ));
        let moved = |sequence, belongs_at| Break::Moved { sequence, belongs_at, session: session(1).to_string() };
        let (breaks, _) = place.found();
        assert!(breaks.contains(&moved(first, second)) && breaks.contains(&moved(second, first)), "{breaks:?}");
        assert!(!breaks.iter().any(|broken| matches!(broken, Break::Altered { .. })), "{breaks:?}");
    }
}

/// Links every row anew, as anybody can who has no key.
fn relink(place: &Place) {
    let connection = Connection::open(place.path()).unwrap();
    connection.execute_batch("DROP TRIGGER events_are_not_changed").unwrap();
    let id = walk::id(&connection).unwrap().unwrap();
    walk::relink(&connection, id).unwrap();
    let trigger = "CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END;";
    connection.execute_batch(trigger).unwrap();
}

#[test]
fn a_record_that_was_replaced_with_all_hashes_after_it_does_not_lead_to_what_was_signed() {
    for (sequence, from, to) in [(1, 1, 4), (4, 1, 4), (7, 7, 8), (12, 9, 12)] {
        let place = grown();
        place.forge(&format!("UPDATE events SET body = '{{}}' WHERE sequence = {sequence}"));
        relink(&place);
        let (breaks, standing) = place.found();
        assert!(breaks.contains(&Break::Replaced { from, to }), "{breaks:?}");
        assert_eq!(standing, Standing::Broken { broken: Break::Replaced { from: 1, to: 12 } });
    }
}

#[test]
fn a_replaced_record_with_its_own_hash_made_anew_does_not_lead_to_the_next() {
    let place = grown();
    let connection = Connection::open(place.path()).unwrap();
    let previous: Hash = walk::hash_at(&connection, walk::id(&connection).unwrap().unwrap(), 8).unwrap().unwrap();
    let record = Record {
        session: b"000000000001",
        recorded_at_ms: 1_234,
        kind: None,
        change_set: None,
        undoes: None,
        place: None,
        body: b"{}",
    };
    let hash = hex(&super::super::chain::link(&previous, 9, &record.digest()));
    drop(connection);
    place.forge(&format!("UPDATE events SET kind = NULL, body = '{{}}', hash = x'{hash}' WHERE sequence = 9"));
    assert_eq!(place.found().0, [ALTERED(10)]);
}

#[test]
fn a_checkpoint_that_was_removed_or_altered_is_named() {
    for number in 0..=5 {
        let place = grown();
        place.forge(&format!("DELETE FROM checkpoints WHERE number = {number}"));
        assert!(place.found().0.contains(&Break::CheckpointMissing { number }), "{number}");
        for change in [
            "sequence = sequence - 1",
            "hash = zeroblob(32)",
            "signed_at_ms = 0",
            "key = zeroblob(32)",
            "signature = zeroblob(64)",
            "signature = x'00'",
            "number = number + 20",
        ] {
            let place = grown();
            place.forge(&format!("UPDATE checkpoints SET {change} WHERE number = {number}"));
            let is_named = |broken: &Break| match broken {
                Break::CheckpointAltered { number: found, .. } => [number, number + 20].contains(found),
                Break::CheckpointMissing { number: found } => *found == number,
                _ => false,
            };
            let (breaks, _) = place.found();
            assert!(breaks.iter().any(is_named), "{number} {change}: {breaks:?}");
        }
    }
}

#[test]
fn opening_looks_at_the_last_checkpoint() {
    for (change, ought) in [
        ("DELETE FROM checkpoints WHERE number = 5", Break::CheckpointMissing { number: 5 }),
        (
            "UPDATE checkpoints SET signature = zeroblob(64) WHERE number = 5",
            Break::CheckpointAltered { number: 5, sequence: 12 },
        ),
    ] {
        let place = grown();
        place.forge(change);
        assert_eq!(place.open().standing(), Standing::Broken { broken: ought });
    }
}

/// Signs the journal as somebody else, who has a key of their own.
fn sign_as_somebody_else(place: &Place) -> PublicKey {
    let other = super::super::checkpoint::SigningKey::generate().unwrap();
    let other = super::super::checkpoint::SigningKey::read(&other).unwrap();
    let connection = Connection::open(place.path()).unwrap();
    let id = walk::id(&connection).unwrap().unwrap();
    let (sequence, hash) = walk::last(&connection, id).unwrap();
    let number = walk::last_checkpoint(&connection).unwrap().unwrap().0 + 1;
    let checkpoint = other.sign(id, number, &Head { sequence, hash: hash.unwrap() }, 5);
    walk::add_checkpoint(&connection, &checkpoint).unwrap();
    other.public()
}

#[test]
fn another_key_is_not_taken_for_this_workspace_s() {
    let place = grown();
    let key = hex(&sign_as_somebody_else(&place));
    let foreign = Break::CheckpointForeign { number: 6, sequence: 12, key };
    assert_eq!(place.found(), (vec![foreign.clone()], Standing::Broken { broken: foreign }));
}

/// Puts the journal of `other` into the place of this one.
fn swap(place: &Place, other: &Place) {
    for name in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        let _ = fs::remove_file(place.path().with_file_name(name));
    }
    fs::copy(other.path(), place.path()).unwrap();
}

#[test]
fn a_journal_of_another_workspace_is_not_taken_for_this_one() {
    let (place, other) = (grown(), grown());
    swap(&place, &other);
    let broken = Break::OtherJournal { signed: 12 };
    assert_eq!(place.open().standing(), Standing::Broken { broken: broken.clone() });
    assert!(place.found().0.contains(&broken));
}

#[test]
fn a_journal_that_is_gone_is_missed_unless_the_whole_folder_is_another() {
    let place = grown();
    fs::remove_file(place.path()).unwrap();
    let gone = Break::Gone { signed: 12 };
    assert_eq!(place.found(), (vec![gone.clone()], Standing::Broken { broken: gone }));
    // Nothing is lost where nothing was signed.
    let place = Place::new();
    drop(place.open());
    fs::remove_file(place.path()).unwrap();
    assert_eq!(place.found(), (vec![], Standing::Signed));
    // A repository that was cloned anew into the same name begins anew.
    let place = grown();
    fs::remove_file(place.path()).unwrap();
    let anew = Place { directory: "2:2", ..place };
    assert_eq!(anew.found(), (vec![], Standing::Signed));
    assert_eq!(anew.found(), (vec![], Standing::Signed));
}

#[test]
fn a_lost_anchor_is_missed_and_a_lost_key_makes_the_journal_unknown() {
    let place = grown();
    fs::remove_file(place.custody().folder().join("anchor")).unwrap();
    let missing = Break::AnchorMissing;
    assert_eq!(place.found(), (vec![missing.clone()], Standing::Broken { broken: missing }));
    let place = grown();
    fs::remove_file(place.custody().folder().join("key.pk8")).unwrap();
    assert_eq!(place.found(), (vec![], Standing::Unknown));
    let place = grown();
    fs::remove_dir_all(place.custody().folder()).unwrap();
    assert_eq!(place.found(), (vec![], Standing::Unknown));
    assert!(!place.custody().folder().exists(), "nothing is made for a journal that is not known");
}

#[test]
fn nothing_is_appended_to_what_is_not_known_to_be_whole() {
    let place = grown();
    fs::remove_dir_all(place.custody().folder()).unwrap();
    let refused = |journal: &Journal| {
        let before = journal.tail(0, 100).unwrap();
        let refused = journal.append(&session(1), &[turn("x")], Durability::Process).unwrap_err();
        journal.intend(&session(1), (&intended(7), &[]), "place", &[]).unwrap_err();
        journal.keep(&[]).unwrap_err();
        assert_eq!(journal.tail(0, 100).unwrap(), before);
        refused
    };
    assert!(matches!(refused(&place.open()), JournalError::Unknown { .. }));
    // Without a folder for keys, a signature cannot be known either.
    let without = Journal::open(&place.path(), clock, None).unwrap();
    assert!(matches!(refused(&without), JournalError::Unknown { .. }));
    let place = grown();
    place.forge("DELETE FROM events WHERE sequence = 12");
    let cut = Break::Cut { ends_at: 11, signed: 12 };
    assert!(matches!(refused(&place.open()), JournalError::Broken { broken, .. } if broken == cut));
}

#[test]
fn a_tail_that_nobody_signed_yet_is_verified_when_it_is_opened() {
    for (change, sequence) in [
        ("UPDATE events SET body = '{}' WHERE sequence = 13", 13),
        ("UPDATE events SET hash = zeroblob(32) WHERE sequence = 14", 14),
    ] {
        let place = grown();
        place.open().append(&session(1), &[turn("a"), turn("b")], Durability::Process).unwrap();
        place.forge(change);
        assert_eq!(place.open().standing(), Standing::Broken { broken: ALTERED(sequence) });
    }
}

#[test]
fn a_journal_that_changes_under_a_process_takes_nothing_more_from_it() {
    let changes = [
        ("DELETE FROM events WHERE sequence = 13", Break::Cut { ends_at: 12, signed: 13 }),
        ("UPDATE events SET hash = zeroblob(32) WHERE sequence = 13", Break::Replaced { from: 1, to: 13 }),
        (
            "INSERT INTO events (session, recorded_at_ms, body, hash) VALUES ('000000000001', 0, '{}', zeroblob(32))",
            ALTERED(14),
        ),
    ];
    for (change, ought) in changes {
        let place = grown();
        let journal = place.open();
        journal.append(&session(1), &[turn("a")], Durability::Process).unwrap();
        place.forge(change);
        let refused = journal.append(&session(1), &[turn("b")], Durability::Process).unwrap_err();
        assert!(matches!(&refused, JournalError::Broken { broken, .. } if *broken == ought), "{change}: {refused:?}");
        assert_eq!(journal.standing(), Standing::Broken { broken: ought });
    }
}

#[test]
fn an_anchor_is_behind_after_a_crash_and_that_is_no_break() {
    let place = grown();
    let anchor = place.custody().folder().join("anchor");
    let before = fs::read(&anchor).unwrap();
    place.open().append(&session(1), &[closed()], Durability::Power).unwrap();
    assert_ne!(fs::read(&anchor).unwrap(), before);
    // As if the process had died between the flush and the anchor.
    fs::write(&anchor, &before).unwrap();
    assert_eq!(place.found(), (vec![], Standing::Signed));
    place.open().append(&session(1), &[closed()], Durability::Power).unwrap();
    place.forge("DELETE FROM events WHERE sequence = 14");
    assert_eq!(place.open().standing(), Standing::Broken { broken: Break::Cut { ends_at: 13, signed: 14 } });
}

#[test]
fn what_is_not_flushed_is_not_anchored() {
    let place = grown();
    let anchor = || fs::read(place.custody().folder().join("anchor")).unwrap();
    let (before, journal) = (anchor(), place.open());
    journal.append(&session(1), &[turn("a")], Durability::Process).unwrap();
    journal.keep(&[]).unwrap();
    drop(journal);
    assert_eq!(anchor(), before);
}

#[test]
fn an_anchor_that_cannot_be_written_is_told_before_the_next_append() {
    let place = grown();
    let journal = place.open();
    let unwritable = || {
        let file = fs::File::open(place.custody().folder().join("anchor")).unwrap();
        super::super::anchor::AnchorFile::new(file)
    };
    let kept = std::mem::replace(&mut journal.writer().keyring.as_mut().unwrap().anchor, unwritable());
    journal.append(&session(1), &[closed()], Durability::Power).unwrap();
    let refused = journal.append(&session(1), &[closed()], Durability::Process);
    assert!(matches!(refused, Err(JournalError::NotAnchored { .. })), "{refused:?}");
    journal.writer().keyring.as_mut().unwrap().anchor = kept;
    journal.append(&session(1), &[closed()], Durability::Process).unwrap();
    assert_eq!(place.found(), (vec![], Standing::Signed));
}

#[test]
fn a_person_may_accept_what_fits_together() {
    // Without its key, as after a move to another machine; with its end gone, as after a backup was restored.
    for (loss, foreign) in [("key", 6), ("end", 0)] {
        let place = grown();
        match loss {
            "key" => fs::remove_dir_all(place.custody().folder()).unwrap(),
            _ => place.forge("DELETE FROM events WHERE sequence > 8; DELETE FROM checkpoints WHERE sequence > 8"),
        }
        let journal = place.open();
        assert!(journal.verify(&|_, _| true).unwrap().is_acceptable(), "{loss}");
        journal.accept(&place.custody()).unwrap();
        journal.append(&session(1), &[turn("x"), closed()], Durability::Power).unwrap();
        drop(journal);
        let found = place.open().verify(&|_, _| true).unwrap();
        assert!(found.is_verified(), "{found:?}");
        assert_eq!(found.foreign_checkpoints, foreign);
    }
    let place = grown();
    place.forge("UPDATE events SET body = '{}' WHERE sequence = 3");
    fs::remove_dir_all(place.custody().folder()).unwrap();
    assert!(!place.open().verify(&|_, _| true).unwrap().is_acceptable());
}

#[test]
fn contents_the_list_of_commits_and_the_schema_are_verified() {
    for (change, ought) in [
        ("UPDATE contents SET bytes = x'00'", Break::ContentAltered { hash: ContentHash::of(b"x").to_string() }),
        ("INSERT INTO unfinished VALUES ('000000000001', 5)", Break::Unfinished { change_set: "000000000001".into() }),
        ("CREATE TABLE theirs (x)", Break::Schema { name: "table theirs".into() }),
        ("DROP INDEX events_of_session", Break::Schema { name: "index events_of_session".into() }),
        ("UPDATE journal SET id = x'00'", Break::Schema { name: "journal".into() }),
    ] {
        let place = grown();
        place.forge(change);
        let (breaks, _) = place.found();
        assert!(breaks.contains(&ought), "{change}: {breaks:?}");
    }
    let place = grown();
    let connection = Connection::open(place.path()).unwrap();
    connection.execute_batch("DROP TRIGGER contents_are_not_changed").unwrap();
    drop(connection);
    assert!(place.found().0.contains(&Break::Schema { name: "trigger contents_are_not_changed".into() }));
}

#[test]
fn a_content_that_a_commit_names_and_nobody_keeps_is_named() {
    let place = Place::new();
    let journal = place.open();
    let (small, large) = (ContentHash::of(b"x"), ContentHash::of(b"large"));
    let node = |hash: &ContentHash| Node::File { hash: hash.clone(), size: 7, mode: 0o644 };
    let change = protocol::Change { path: "a".into(), before: node(&small), after: node(&large), renamed_from: None };
    let changes = ChangeSet { mount: "/work".into(), changes: vec![change] };
    let change_set = ChangeSetId::from_random(1);
    let intent = EventBody::CommitIntended { change_set, call: None, changes, undoes: None };
    journal.intend(&session(1), (&intent, &[]), "place", &[(small.clone(), b"x".to_vec())]).unwrap();
    let asked = std::cell::RefCell::new(Vec::new());
    let is_kept = |hash: &ContentHash, size| {
        asked.borrow_mut().push((hash.clone(), size));
        false
    };
    let missing = Break::ContentMissing { sequence: 1, session: session(1).to_string(), hash: large.to_string() };
    assert_eq!(journal.verify(&is_kept).unwrap().breaks, [missing]);
    assert_eq!(*asked.borrow(), [(large, 7)]);
}

#[test]
fn a_journal_of_the_first_schema_is_linked_and_waits_to_be_accepted() {
    let place = Place::new();
    let connection = Connection::open(place.path()).unwrap();
    connection.execute_batch(include_str!("../schema.sql")).unwrap();
    connection.execute_batch("PRAGMA application_id = 1115177319; PRAGMA user_version = 1;").unwrap();
    let insert = "INSERT INTO events (session, recorded_at_ms, kind, change_set, undoes, place, body) \
                  VALUES ('000000000001', ?1, ?2, ?3, NULL, ?4, ?5)";
    for (number, body) in [turn("one"), intended(1), finished(1), closed()].iter().enumerate() {
        let (kind, set, place) = match body {
            EventBody::CommitIntended { .. } => (Some("commit_intended"), Some("000000000001"), Some("place")),
            EventBody::CommitFinished { .. } => (Some("commit_finished"), Some("000000000001"), None),
            _ => (None, None, None),
        };
        let text = serde_json::to_string(body).unwrap();
        connection.execute(insert, params![i64::try_from(number).unwrap(), kind, set, place, text]).unwrap();
    }
    drop(connection);
    let journal = place.open();
    assert_eq!(journal.standing(), Standing::Unknown);
    let bodies: Vec<_> = journal.tail(0, 10).unwrap().into_iter().map(|event| event.body).collect();
    assert_eq!(bodies, [turn("one"), intended(1), finished(1), closed()]);
    let found = journal.verify(&|_, _| true).unwrap();
    assert_eq!((found.breaks.as_slice(), found.records), (&[][..], 4));
    journal.accept(&place.custody()).unwrap();
    drop(journal);
    place.open().append(&session(1), &[closed()], Durability::Power).unwrap();
    assert!(place.open().verify(&|_, _| true).unwrap().is_verified());
    place.forge("UPDATE events SET body = '{}' WHERE sequence = 2");
    assert!(place.found().0.contains(&ALTERED(2)));
}

#[test]
fn processes_that_append_at_once_keep_one_chain() {
    let place = Place::new();
    drop(place.open());
    std::thread::scope(|scope| {
        for number in 0..4 {
            let place = &place;
            scope.spawn(move || {
                for round in 0..200 {
                    // Opened while others sign.
                    let journal = place.open();
                    let durability = if round % 5 == 0 { Durability::Power } else { Durability::Process };
                    journal.append(&session(number), &[turn("a"), closed()], durability).unwrap();
                }
            });
        }
    });
    let found = place.open().verify(&|_, _| true).unwrap();
    assert!(found.is_verified(), "{found:?}");
    assert_eq!((found.records, found.checkpoints), (1_600, 161));
}

/// Opens what is left of a journal, and returns how many records it has, and whether it passes for whole, if it opens.
fn left_of(place: &Place) -> Option<(i64, bool)> {
    let journal = match Journal::open(&place.path(), clock, Some(place.custody())) {
        Ok(journal) => journal,
        Err(JournalError::Damaged { .. } | JournalError::Foreign { .. } | JournalError::Failed { .. }) => return None,
        Err(error) => panic!("{error:?}"),
    };
    let found = journal.verify(&|_, _| true).unwrap();
    Some((found.ends_at, found.is_verified()))
}

#[test]
fn a_torn_tail_is_a_shorter_journal_or_a_cut_end_and_never_a_panic() {
    let place = Place::new();
    let journal = place.open();
    journal.append(&session(1), &vec![turn(&"a".repeat(500)); 20], Durability::Process).unwrap();
    journal.append(&session(1), &[closed()], Durability::Power).unwrap();
    journal.append(&session(1), &[turn("after")], Durability::Process).unwrap();
    journal.append(&session(1), &[turn("after")], Durability::Process).unwrap();
    let files = ["journal.db", "journal.db-wal"].map(|name| fs::read(place.path().with_file_name(name)).unwrap());
    let [database, log] = files;
    let lay_out = |database: &[u8], log: &[u8]| {
        let torn = Place { folder: tempfile::tempdir().unwrap(), directory: "1:1" };
        fs::write(torn.path(), database).unwrap();
        fs::write(torn.path().with_file_name("journal.db-wal"), log).unwrap();
        let keys = std::process::Command::new("cp")
            .arg("-r")
            .arg(place.folder.path().join("keys"))
            .arg(torn.folder.path())
            .status();
        assert!(keys.unwrap().success());
        torn
    };
    let mut lengths = Vec::new();
    for length in (0..=log.len()).step_by(512) {
        let torn = lay_out(&database, &log[..length]);
        let (ends_at, is_whole) = left_of(&torn).expect("a log that is cut short is no damage");
        // What was flushed is missed, and what was not is not.
        assert_eq!(is_whole, ends_at >= 21, "{length}: {ends_at}");
        lengths.push(ends_at);
    }
    assert!(lengths.is_sorted() && lengths.contains(&21) && lengths.contains(&22), "{lengths:?}");
    // The same with everything in the database itself.
    drop(journal);
    let database = fs::read(place.path()).unwrap();
    for length in (0..database.len()).step_by(512) {
        let torn = lay_out(&database[..length], b"");
        // What is cut off may be empty.
        if let Some((ends_at, true)) = left_of(&torn) {
            assert_eq!(ends_at, 23, "{length}");
        }
    }
}

#[test]
fn many_breaks_are_counted_and_not_all_told() {
    let place = Place::new();
    let journal = place.open();
    journal.append(&session(1), &vec![turn("a"); 400], Durability::Power).unwrap();
    drop(journal);
    place.forge("UPDATE events SET body = '{}' WHERE sequence % 2 = 0");
    let found = place.open().verify(&|_, _| true).unwrap();
    assert_eq!(found.breaks.len(), MAX_BREAKS);
    assert!(found.more_breaks > 0);
}

fn tokens(tokens: u64) -> protocol::Spending {
    protocol::Spending { tokens, ..protocol::Spending::default() }
}

/// A journal in which a turn has a settled call, one of which nobody heard, and an end.
fn spent() -> Place {
    let place = Place::new();
    let journal = place.open();
    let turn = TurnId::from_random(1);
    for number in 1..=2 {
        let reserved = tokens(50);
        let called = EventBody::ModelCalled {
            turn: turn.clone(),
            number,
            model: "m".into(),
            purpose: protocol::Purpose::Reply,
            reserved,
        };
        let decide = |_: &[super::super::Balance; 3]| Ok::<_, ()>((reserved, called));
        journal.reserve(&session(1), (&turn, number), decide).unwrap().unwrap();
    }
    let abandoned = EventBody::ModelAbandoned { turn: turn.clone(), number: 1, spent: tokens(20) };
    journal.settle(&session(1), (&turn, 1), &tokens(20), &[abandoned]).unwrap();
    let closed = EventBody::TurnClosed { turn: turn.clone(), outcome: TurnOutcome::Done, spent: tokens(3) };
    journal.close(&session(1), &turn, &tokens(3), &closed, None).unwrap();
    place
}

#[test]
fn accounts_are_what_the_records_add_up_to() {
    let place = spent();
    let [turn, session, day] = place.open().balances(&session(1), &TurnId::from_random(1)).unwrap();
    assert_eq!((turn.spent, turn.reserved), (tokens(23), tokens(50)));
    assert_eq!([session, day], [turn; 2]);
    assert_eq!(place.found(), (vec![], Standing::Signed));
}

#[test]
fn an_account_that_somebody_emptied_or_filled_is_named() {
    let (turn, session) = (format!("turn {}", TurnId::from_random(1)), format!("session {}", session(1)));
    let day = "day 0".to_owned();
    let less = r#"replace(spent, '"tokens":23', '"tokens":1')"#;
    for (statement, names) in [
        (format!("UPDATE accounts SET spent = {less} WHERE name LIKE 'day%'"), vec![&day]),
        ("UPDATE accounts SET reserved = spent WHERE name LIKE 'session%'".to_owned(), vec![&session]),
        ("UPDATE accounts SET spent = 'nothing' WHERE name LIKE 'session%'".to_owned(), vec![&session]),
        ("DELETE FROM accounts".to_owned(), vec![&day, &session, &turn]),
        ("INSERT INTO accounts SELECT 'day 9', spent, reserved FROM accounts LIMIT 1".to_owned(), vec![]),
        ("DELETE FROM reservations".to_owned(), vec![&turn]),
        ("UPDATE reservations SET number = 7".to_owned(), vec![&turn]),
        ("UPDATE reservations SET accounts = '[]'".to_owned(), vec![&turn]),
        ("UPDATE reservations SET session = 'other'".to_owned(), vec![&turn]),
    ] {
        let place = spent();
        place.forge(&statement);
        let mut names: Vec<_> = names.into_iter().cloned().collect();
        if names.is_empty() {
            names.push("day 9".to_owned());
        }
        let breaks: Vec<_> = names.into_iter().map(|name| Break::Account { name }).collect();
        assert_eq!(place.found(), (breaks, Standing::Signed), "{statement}");
    }
}
