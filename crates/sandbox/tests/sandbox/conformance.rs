//! Rows of the conformance table, which `cargo xtask conformance` prints.
//!
//! Each row is a file of its own in `target/conformance`, so that tests need not know of each other. A row is written
//! before anything is asserted: what fails is in the table as what it is.

use std::fmt::Debug;
use std::path::Path;

use serde_json::json;

/// Characters of a text in a row: it is a line of a table.
const SHOWN: usize = 100;

/// Writes the row `name` of `table` and fails unless `got` is `expected`.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "what is expected is written where it is passed")]
pub(crate) fn holds<T: Debug + PartialEq>(table: &str, name: &str, expected: T, got: T) {
    let holds = expected == got;
    write(table, name, &format!("{expected:?}"), &format!("{got:?}"), holds);
    assert_eq!(got, expected, "{name}");
}

pub(crate) fn write(table: &str, name: &str, expected: &str, got: &str, holds: bool) {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/conformance")).join(table);
    std::fs::create_dir_all(&folder).unwrap();
    let cut = |text: &str| text.replace('\n', " ").chars().take(SHOWN).collect::<String>();
    let row = json!({ "name": name, "expected": cut(expected), "got": cut(got), "holds": holds });
    let file = name.replace(|character: char| !character.is_ascii_alphanumeric(), "-");
    std::fs::write(folder.join(file).with_extension("json"), row.to_string()).unwrap();
}
