//! Which files a search sees: those beneath a directory that no `.gitignore` leaves out, in a fixed order.
//!
//! For `glob` and `grep`. `.git` is never entered, hidden files are seen, symbolic links are not followed, and there
//! need not be a repository. Deliberately absent: a person's own git configuration, which no mount holds.

mod pattern;

use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use ignore::{DirEntry, Match, WalkBuilder};

pub use pattern::Pattern;

/// A file that a search sees.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// How it is opened.
    pub path: PathBuf,
    /// How it is named: relative to the start of the search, with `/`.
    pub relative: String,
}

/// Returns the files and symbolic links beneath `start`, or `start` itself where it is a file. An entry that could not
/// be read is `None`.
pub fn files(start: &Path) -> impl Iterator<Item = Option<Found>> {
    let above = ignored_above(start);
    let root = start.to_owned();
    WalkBuilder::new(start)
        .standard_filters(false)
        .ignore(true)
        .git_ignore(true)
        .require_git(false)
        .sort_by_file_name(std::ffi::OsStr::cmp)
        .filter_entry(move |entry| is_seen(entry, &above))
        .build()
        .filter_map(move |entry| match entry {
            Ok(entry) => found(entry, &root).map(Some),
            Err(_) => Some(None),
        })
}

/// Returns the rules of each directory above `start`, the nearest first: a search in `src` obeys the root's rules too.
fn ignored_above(start: &Path) -> Vec<Gitignore> {
    let rules = |folder: &Path| {
        let mut builder = GitignoreBuilder::new(folder);
        // An error is a file that is not there, or a line that is no rule: neither hides anything.
        drop(builder.add(folder.join(".gitignore")));
        builder.build().unwrap_or_else(|_| Gitignore::empty())
    };
    start.ancestors().skip(1).map(rules).filter(|rules| !rules.is_empty()).collect()
}

fn is_seen(entry: &DirEntry, above: &[Gitignore]) -> bool {
    // What the call names is searched, whatever the rules say.
    if entry.depth() == 0 {
        return true;
    }
    let is_directory = entry.file_type().is_some_and(|kind| kind.is_dir());
    let verdict =
        above.iter().map(|rules| rules.matched(entry.path(), is_directory)).find(|verdict| !verdict.is_none());
    entry.file_name() != ".git" && !matches!(verdict, Some(Match::Ignore(_)))
}

fn found(entry: DirEntry, root: &Path) -> Option<Found> {
    let kind = entry.file_type()?;
    if kind.is_dir() {
        return None;
    }
    let path = entry.into_path();
    let relative = path.strip_prefix(root).unwrap_or(&path);
    let relative = if relative.as_os_str().is_empty() { path.file_name()?.as_ref() } else { relative };
    let relative = relative.to_string_lossy().into_owned();
    Some(Found { path, relative })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    fn names(start: &Path) -> Vec<String> {
        files(start).map(|found| found.unwrap().relative).collect()
    }

    #[test]
    fn ignored_files_are_not_seen_and_hidden_ones_are() {
        let tree = tree(&[
            (".gitignore", "target/\n*.log\n"),
            (".git/config", ""),
            ("target/x", ""),
            ("src/.gitignore", "!keep.log\nlocal\n"),
            ("src/keep.log", ""),
            ("src/local", ""),
            ("src/b", ""),
            ("src/a", ""),
        ]);
        assert_eq!(names(tree.path()), [".gitignore", "src/.gitignore", "src/a", "src/b", "src/keep.log"]);
    }

    #[test]
    fn rules_above_the_start_hold_except_for_the_start() {
        let tree = tree(&[(".gitignore", "out\n*.log\n"), ("out/a", ""), ("out/b.log", ""), ("out/out/c", "")]);
        assert_eq!(names(&tree.path().join("out")), ["a"]);
        assert_eq!(names(&tree.path().join("out/b.log")), ["b.log"]);
    }
}
