//! `cargo xtask conformance`: runs the tests that hold a table, and prints what was tried and what holds.
//!
//! A test writes a row as `target/conformance/TABLE/NAME.json` with `name`, `expected`, `got` and `holds`. A new table is a
//! new folder, named in [`TABLES`].

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::checkout::{self, cargo};

pub(crate) const COMMAND: crate::Command =
    crate::Command { name: "conformance", about: "prints what was tried against the sandbox and what holds", run };

/// The test programs that write rows: package and test.
const PROGRAMS: [(&str, &str); 2] = [("boxagnts-sandbox", "sandbox"), ("boxagnts-tools", "shell")];

/// The tables that they write, sorted: one that gets lost is noticed.
const TABLES: [&str; 4] = ["probes", "shell corpus against bash", "sockets", "wasi"];

/// Characters of a column that are shown.
const SHOWN: usize = 60;

fn run(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "`cargo xtask conformance` takes no arguments");
    let root = checkout::root()?;
    let folder = root.join("target/conformance");
    // Rows of tests that are gone would stay in the table.
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).context("removing the last table"),
        _ => {}
    }
    crate::guests::build()?;
    let failed: Vec<_> = PROGRAMS.iter().filter(|(package, test)| !passes(&root, package, test)).collect();
    let tables = read(&folder)?;
    let names: Vec<_> = tables.iter().map(|table| table.name.as_str()).collect();
    ensure!(names == TABLES, "the tests wrote the tables {names:?}, not {TABLES:?}");
    let text = tables.iter().map(render).collect::<Vec<_>>().join("\n");
    io::stdout().lock().write_all(text.as_bytes())?;
    ensure!(failed.is_empty(), "tests failed: {failed:?}");
    Ok(())
}

fn passes(root: &Path, package: &str, test: &str) -> bool {
    let mut cargo = cargo();
    if let Some(target) = std::env::var_os("CARGO_TARGET_DIR") {
        cargo.env("CARGO_TARGET_DIR", target);
    }
    cargo.args(["test", "--quiet", "--locked", "--no-fail-fast", "-p", package, "--test", test]).current_dir(root);
    checkout::run(&mut cargo).is_ok()
}

/// One table: its name and its rows, sorted by name.
#[derive(Debug, PartialEq, Eq)]
struct Table {
    name: String,
    rows: Vec<Row>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    name: String,
    expected: String,
    got: String,
    holds: bool,
}

fn read(folder: &Path) -> Result<Vec<Table>> {
    let mut tables = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let entry = entry?;
        let mut rows = fs::read_dir(entry.path())?.map(|file| row(&file?.path())).collect::<Result<Vec<_>>>()?;
        rows.sort();
        tables.push(Table { name: entry.file_name().to_string_lossy().into_owned(), rows });
    }
    tables.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(tables)
}

fn row(path: &Path) -> Result<Row> {
    let row: Value = serde_json::from_slice(&fs::read(path)?)?;
    let text = |name: &str| row[name].as_str().map(str::to_owned);
    let parsed = || {
        Some(Row {
            name: text("name")?,
            expected: text("expected")?,
            got: text("got")?,
            holds: row["holds"].as_bool()?,
        })
    };
    parsed().with_context(|| format!("{} is no row", path.display()))
}

/// Returns the table as lines: what holds, in short; what does not, with what came instead; and the count.
fn render(table: &Table) -> String {
    let width = table.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let held = table.rows.iter().filter(|row| row.holds).count();
    let mut text = format!("{}: {held} of {} hold\n", table.name, table.rows.len());
    for Row { name, expected, got, holds } in &table.rows {
        let (verdict, said) = if *holds {
            ("holds", shown(got))
        } else {
            ("DOES NOT", format!("{}, not {}", shown(got), shown(expected)))
        };
        writeln!(text, "  {name:<width$}  {verdict:<8}  {said}").expect("a string takes text");
    }
    text
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: &str, got: &str, holds: bool) -> Row {
        Row { name: name.into(), expected: "Stopped(Fuel)".into(), got: got.into(), holds }
    }

    #[test]
    fn a_table_says_what_holds_and_what_came_instead() {
        let rows = vec![written("spin", "Stopped(Fuel)", true), written("flood-text", "Cancelled", false)];
        let table = Table { name: "probes".into(), rows };
        let expected = "probes: 1 of 2 hold\n\
                        \x20 spin        holds     Stopped(Fuel)\n\
                        \x20 flood-text  DOES NOT  Cancelled, not Stopped(Fuel)\n";
        assert_eq!(render(&table), expected);
    }

    #[test]
    fn rows_are_read_from_the_folders_of_their_tables() {
        let folder = std::env::temp_dir().join(format!("conformance-{}", std::process::id()));
        fs::create_dir_all(folder.join("probes")).expect("a folder");
        let row = r#"{"name":"spin","expected":"Stopped(Fuel)","got":"Stopped(Fuel)","holds":true}"#;
        fs::write(folder.join("probes/spin.json"), row).expect("a row");
        let tables = read(&folder);
        fs::remove_dir_all(&folder).expect("it was made above");
        let expected = Table { name: "probes".into(), rows: vec![written("spin", "Stopped(Fuel)", true)] };
        assert_eq!(tables.expect("a table"), [expected]);
    }
}
