//! The journal as evidence: verified, exported, refused when it is not whole.

mod product;

use std::fs;
use std::process::Command;

use product::{Product, Said};
use serde_json::Value;
use verify::{Expected, Report, Unreadable};

/// A workspace in which something was done.
fn used() -> Product {
    let product = Product::new();
    product.write("a.txt", "one\n");
    let said = product.run(&["tool", "call", "edit", "--input", EDIT]);
    assert_eq!(said.code, Some(0), "{said:?}");
    product
}

const EDIT: &str = r#"{"path": "a.txt", "edits": [{"old": "one", "new": "two"}]}"#;

fn read(product: &Product) -> Said {
    product.run(&["tool", "call", "read", "--input", "{\"path\": \"a.txt\"}"])
}

/// Returns the folder of the workspace's key.
fn keys(product: &Product) -> std::path::PathBuf {
    let mut folders = fs::read_dir(product.data().join("boxagnts/journals")).unwrap();
    let folder = folders.next().unwrap().unwrap().path();
    assert!(folders.next().is_none());
    folder
}

fn sql(product: &Product, statements: &str) {
    // The workspace's own crate is the only one that may use SQLite; the tests of the journal forge it there.
    let script = format!(
        "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\n\
         for (name,) in c.execute(\"SELECT name FROM sqlite_schema WHERE type = 'trigger'\").fetchall():\n\
         \x20   c.execute('DROP TRIGGER ' + name)\n\
         c.executescript({statements:?})\nc.commit()\n"
    );
    let done = Command::new("python3").args(["-c", &script]).arg(product.root().join(".boxagnts/journal.db")).status();
    assert!(done.unwrap().success());
}

#[test]
fn a_journal_is_verified_and_says_how_much_of_it() {
    let product = used();
    let said = product.run(&["audit", "verify"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("the chain is whole\nsigned to "), "{said:?}");
    let said = product.run(&["audit", "verify", "--output", "json"]);
    let found: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&found["standing"], &found["breaks"]), (&"signed".into(), &Value::Array(Vec::new())));
    let said = product.run(&["doctor"]);
    assert!(said.stdout.contains("ok    journal        signed and anchored in "), "{}", said.stdout);
    assert!(!said.stdout.contains("FAIL  journal"));
}

#[test]
fn processes_that_work_at_once_keep_one_chain() {
    let product = Product::new();
    product.write("a.txt", "one\n");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5).for_each(|_| assert_eq!(read(&product).code, Some(0))));
        }
    });
    let said = product.run(&["audit", "verify"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    keys(&product);
}

#[test]
fn a_broken_journal_is_read_and_not_added_to() {
    let product = used();
    sql(&product, "DELETE FROM events WHERE sequence = (SELECT max(sequence) FROM checkpoints)");
    sql(&product, "DELETE FROM events WHERE sequence >= (SELECT max(sequence) FROM checkpoints)");
    let refused = read(&product);
    assert_eq!(refused.code, Some(7), "{refused:?}");
    assert!(refused.stderr.contains("is broken, and nothing is added to it") && refused.stderr.contains("hint: "));
    assert_eq!(refused.stdout, "", "the tool did not run");
    let found = product.run(&["audit", "verify"]);
    assert_eq!(found.code, Some(7));
    assert!(found.stdout.contains("BROKEN  the end is cut off"), "{found:?}");
    for reading in [&["session", "list"][..], &["changes", "list"], &["audit", "export", "-"]] {
        let said = product.run(reading);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.stderr.contains("warning: the end is cut off"), "{said:?}");
    }
    assert!(product.run(&["doctor"]).stdout.contains("FAIL  journal        the end is cut off"));
}

#[test]
fn a_moved_a_deleted_and_a_foreign_journal_say_what_to_type() {
    let product = used();
    fs::remove_dir_all(keys(&product)).unwrap();
    let refused = read(&product);
    assert_eq!(refused.code, Some(7), "{refused:?}");
    assert!(refused.stderr.contains("hint: if it is yours") && refused.stderr.contains("boxagnts audit accept"));
    let found = product.run(&["audit", "verify"]);
    assert_eq!(found.code, Some(7));
    assert!(found.stdout.contains("the chain is whole\nthis machine has no key for it"), "{found:?}");
    let accepted = product.run(&["audit", "accept"]);
    assert_eq!(accepted.code, Some(0), "{accepted:?}");
    assert_eq!(read(&product).code, Some(0));
    assert_eq!(product.run(&["audit", "verify"]).code, Some(0));
    assert!(product.run(&["audit", "accept"]).stdout.contains("nothing to accept"));

    fs::remove_dir_all(product.root().join(".boxagnts")).unwrap();
    let refused = read(&product);
    assert_eq!(refused.code, Some(7));
    assert!(refused.stderr.contains("is gone") && refused.stderr.contains("boxagnts audit accept"), "{refused:?}");
    assert_eq!(product.run(&["audit", "accept"]).code, Some(0));
    assert_eq!(read(&product).code, Some(0));
}

#[test]
fn what_does_not_fit_together_is_not_accepted_but_set_aside() {
    let product = used();
    sql(&product, "UPDATE events SET body = '{}' WHERE sequence = 2");
    fs::remove_dir_all(keys(&product)).unwrap();
    let refused = product.run(&["audit", "accept"]);
    assert_eq!(refused.code, Some(7), "{refused:?}");
    assert!(refused.stderr.contains("cannot be accepted") && refused.stderr.contains("set it aside: mv .boxagnts "));
    assert_eq!(read(&product).code, Some(7));
    fs::rename(product.root().join(".boxagnts"), product.data().join("set-aside")).unwrap();
    assert_eq!(product.run(&["audit", "accept"]).code, Some(0));
    assert_eq!(read(&product).code, Some(0));
}

#[test]
fn a_key_in_reach_of_tools_is_refused() {
    let product = used();
    let data = product.root().join("data");
    let said = Said::from(product.command(&["session", "list"]).env("XDG_DATA_HOME", data).output().unwrap());
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("the folder of journal keys"), "{said:?}");
}

#[test]
fn without_a_place_for_a_key_the_journal_is_chained_and_says_so() {
    let product = Product::new();
    product.write("a.txt", "one\n");
    let run = |arguments: &[&str]| Said::from(product.command(arguments).env_remove("XDG_DATA_HOME").output().unwrap());
    for _ in 0..2 {
        assert_eq!(run(&["tool", "call", "read", "--input", "{\"path\": \"a.txt\"}"]).code, Some(0));
    }
    let found = run(&["audit", "verify"]);
    assert_eq!(found.code, Some(0));
    assert!(found.stdout.contains("it is not signed: neither XDG_DATA_HOME nor HOME is set"), "{found:?}");
}

fn exported(product: &Product, more: &[&str]) -> Vec<u8> {
    let said = product.run(&[&["audit", "export", "-"][..], more].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    said.stdout.into_bytes()
}

fn verified(export: &[u8], expected: &Expected) -> Result<Report, Unreadable> {
    verify::verify(&mut &export[..], expected)
}

#[test]
fn an_export_is_verified_without_the_product() {
    let product = used();
    assert_eq!(read(&product).code, Some(0));
    let file = product.root().join("journal.jsonl");
    let said = product.run(&["audit", "export", "journal.jsonl"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let export = fs::read(&file).unwrap();
    let report = verified(&export, &Expected::default()).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!((report.signed_to, report.records), (report.ends_at, report.ends_at.cast_unsigned()));
    assert!(said.stderr.contains(&report.head) && said.stderr.contains(&format!("--key {}", report.key.unwrap())));
    // A file that is there is evidence too.
    let refused = product.run(&["audit", "export", "journal.jsonl"]);
    assert_eq!((refused.code, fs::read(&file).unwrap() == export), (Some(2), true), "{refused:?}");

    let expected = Expected { key: Some("0".repeat(64)), head: Some("1".repeat(64)) };
    assert_eq!(verified(&export, &expected).unwrap().findings.len(), 2);
}

#[test]
fn an_export_of_one_session_is_verified_and_shows_no_other() {
    let product = used();
    assert_eq!(read(&product).code, Some(0));
    let sessions = product.run(&["session", "list"]).stdout;
    let ids: Vec<&str> = sessions.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    let export = exported(&product, &["--session", ids[0]]);
    let text = String::from_utf8(export.clone()).unwrap();
    assert!(text.contains(ids[0]) && !text.contains(ids[1]), "{ids:?}");
    let report = verified(&export, &Expected::default()).unwrap();
    assert_eq!((report.findings.len(), report.signed_to), (0, report.ends_at));
    assert_eq!(report.head, verified(&exported(&product, &[]), &Expected::default()).unwrap().head);
}

/// Tells whether a verifier that knows the key and the head finds something.
fn is_found(export: &[u8], expected: &Expected) -> bool {
    verified(export, expected).map_or(true, |report| !report.findings.is_empty())
}

#[test]
fn every_changed_byte_of_an_export_is_found() {
    let product = Product::new();
    assert_eq!(product.run(&["tool", "call", "list", "--input", "{\"path\": \".\"}"]).code, Some(0));
    let export = exported(&product, &[]);
    let expected = Expected::default();
    assert!(!is_found(&export, &expected));
    for position in 0..export.len() {
        for change in [1, 2, 4, 0x20, 0x80] {
            let mut changed = export.clone();
            changed[position] ^= change;
            let around = String::from_utf8_lossy(&export[position.saturating_sub(20)..=position]).into_owned();
            assert!(is_found(&changed, &expected), "{position} ^ {change}: …{around}");
        }
    }
}

#[test]
fn lines_that_are_cut_off_left_out_or_moved_are_found() {
    let product = used();
    let export = exported(&product, &[]);
    let report = verified(&export, &Expected::default()).unwrap();
    let lines: Vec<&[u8]> = export.split_inclusive(|byte| *byte == b'\n').collect();
    let expected = Expected { key: report.key, head: Some(report.head) };
    for position in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(position);
        assert!(is_found(&without.concat(), &expected), "without line {position}");
        let mut twice = lines.clone();
        twice.insert(position, lines[position]);
        assert!(is_found(&twice.concat(), &expected), "line {position} twice");
        assert!(is_found(&lines[..position].concat(), &expected), "cut at line {position}");
        if position > 0 {
            let mut swapped = lines.clone();
            swapped.swap(position - 1, position);
            assert!(is_found(&swapped.concat(), &expected), "lines {position} and the one before");
        }
    }
    assert!(!is_found(&export, &expected));
}
