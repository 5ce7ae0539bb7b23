//! `cargo xtask tidy`: the house rules that neither the compiler nor clippy holds.
//!
//! Every check is a function of the checkout's texts, so that each is tested on a few lines.

mod functions;
mod layout;
mod rust;
mod source;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::checkout;

pub(crate) const COMMAND: crate::Command =
    crate::Command { name: "tidy", about: "checks the house rules that no compiler holds", run };

const CHECKS: &[fn(&Tree) -> Vec<Finding>] = &[
    every_rust_file,
    rust::root_grant,
    rust::libraries,
    layout::modules,
    layout::manifests,
    layout::probes,
    layout::crate_map,
    layout::versions,
    layout::leftovers,
    text::whitespace,
    text::links,
];

fn run(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "`cargo xtask tidy` takes no arguments");
    let root = checkout::root()?;
    let tree = Tree::read(&root)?;
    let mut found: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&tree)).collect();
    found.extend(text::machine_paths(&tree, &machine_paths(&root)));
    if !found.is_empty() {
        let lines: Vec<String> = found.iter().map(Finding::to_string).collect();
        bail!("{} places are not tidy:\n  {}", lines.len(), lines.join("\n  "));
    }
    eprintln!("xtask: {}", statistics(&tree));
    Ok(())
}

/// Something that is against the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    path: String,
    /// From 1; none when the whole file is meant.
    line: Option<usize>,
    message: String,
}

impl Finding {
    fn file(path: &str, message: String) -> Self {
        Self { path: path.to_owned(), line: None, message }
    }

    fn line(path: &str, line: usize, message: String) -> Self {
        Self { path: path.to_owned(), line: Some(line), message }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "{}:{line}: {}", self.path, self.message),
            None => write!(formatter, "{}: {}", self.path, self.message),
        }
    }
}

/// The checkout's files by path from its root. What is no text is empty.
struct Tree(BTreeMap<String, String>);

/// Folders that hold what programs make.
const SKIPPED: [&str; 4] = [".git", ".boxagnts", "target", "node_modules"];

impl Tree {
    fn read(root: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        collect(root, "", &mut files)?;
        Ok(Self(files))
    }

    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }

    fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    fn with_extension(&self, extension: &str) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(move |(path, _)| has_extension(path, extension))
    }

    /// Returns whether there is a file or a folder of this path.
    fn has(&self, path: &str) -> bool {
        let beneath = format!("{path}/");
        self.0.contains_key(path) || self.paths().any(|other| other.starts_with(&beneath))
    }
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}

/// Adds the files beneath a folder, whose path from the root is `prefix`.
fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
            collect(&entry.path(), &path, files)?;
        } else if kind.is_file() {
            files.insert(path, String::from_utf8(fs::read(entry.path())?).unwrap_or_default());
        }
    }
    Ok(())
}

/// Returns the places that no text may name: those of any machine, and those of this one.
fn machine_paths(root: &Path) -> Vec<String> {
    let general = text::MACHINE_FOLDERS.into_iter().map(|folder| format!("/{folder}/"));
    let temporary = format!("{}/", std::env::temp_dir().display().to_string().trim_end_matches('/'));
    general.chain([root.display().to_string(), temporary]).collect()
}

fn every_rust_file(tree: &Tree) -> Vec<Finding> {
    let rust = tree.with_extension("rs");
    rust.flat_map(|(path, text)| rust::check(path, &source::read(text, source::is_test_file(path)))).collect()
}

/// Returns how much there is and how long its functions are, tests aside.
fn statistics(tree: &Tree) -> String {
    let read = |(path, text)| source::read(text, source::is_test_file(path));
    let files: Vec<_> = tree.with_extension("rs").map(read).collect();
    let tests: usize = files.iter().flatten().filter(|line| line.test).count();
    let code = files.iter().map(Vec::len).sum::<usize>() - tests;
    let mut lengths: Vec<usize> = files.iter().flat_map(|lines| functions::lengths(lines)).collect();
    let median = functions::median(&mut lengths);
    let longest = lengths.last().copied().unwrap_or(0);
    format!(
        "{code} lines of Rust and {tests} of tests are tidy; {} functions, median {median} lines, longest {longest}",
        lengths.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_are_there_and_others_are_not() {
        let tree = Tree::of(&[("docs/a.md", "")]);
        assert_eq!(["docs", "docs/a.md", "doc", "docs/b.md"].map(|path| tree.has(path)), [true, true, false, false]);
    }

    #[test]
    fn statistics_leave_tests_out() {
        let tree = Tree::of(&[
            ("a/src/lib.rs", "fn a() {\n}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n"),
            ("a/tests/b.rs", "\n"),
        ]);
        assert_eq!(
            statistics(&tree),
            "2 lines of Rust and 5 of tests are tidy; 1 functions, median 2 lines, longest 2"
        );
    }

    #[test]
    fn this_checkout_is_a_place_of_one_machine() {
        let places = machine_paths(Path::new("/builds/boxagnts"));
        assert!(places.contains(&"/builds/boxagnts".to_owned()), "{places:?}");
    }
}
