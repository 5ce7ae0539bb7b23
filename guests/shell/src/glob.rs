//! Pathname expansion: the names that a pattern matches, in order.

use std::fs;
use std::path::Path;

use crate::pattern::Pattern;
use crate::shell::Options;

/// Names that one pattern may match; a workspace has fewer, and a list of more is of no use to a script.
const MAX_NAMES: usize = 200_000;

/// Folders inside each other that `**` goes down.
const MAX_DEPTH: usize = 64;

/// A search under way.
struct Search<'a> {
    options: &'a Options,
    cwd: &'a Path,
    found: Vec<String>,
}

/// Tells whether `pattern` is more than a text.
pub fn is_wild(pattern: &str) -> bool {
    Pattern::parse(pattern).is_wild()
}

/// Returns the paths below `cwd` that `pattern` matches, sorted; none when it is not a pattern.
pub fn names(cwd: &Path, pattern: &str, options: &Options) -> Vec<String> {
    if !is_wild(pattern) {
        return Vec::new();
    }
    let mut search = Search { options, cwd, found: Vec::new() };
    let components: Vec<&str> = pattern.split('/').collect();
    search.descend("", &components);
    search.found.sort();
    search.found
}

impl Search<'_> {
    /// Follows `components` from `prefix`, a path that ends with `/` or is empty.
    fn descend(&mut self, prefix: &str, components: &[&str]) {
        let Some((first, rest)) = components.split_first() else { return };
        if self.found.len() >= MAX_NAMES {
            return;
        }
        if *first == "**" && self.options.contains("globstar") {
            return self.below(prefix, rest, 0);
        }
        let pattern = Pattern::parse(first).folding(self.options.contains("nocaseglob"));
        match pattern.literal() {
            Some(literal) => self.literal(prefix, &literal, rest),
            None => {
                for name in self.entries(prefix) {
                    let hidden =
                        name.starts_with('.') && !pattern.starts_with_dot() && !self.options.contains("dotglob");
                    if !hidden && pattern.matches(&name) {
                        self.take(format!("{prefix}{name}"), rest);
                    }
                }
            }
        }
    }

    fn literal(&mut self, prefix: &str, literal: &str, rest: &[&str]) {
        let path = format!("{prefix}{literal}");
        if rest.is_empty() {
            // What a trailing `/` leaves: the folder itself.
            let exists = literal.is_empty() || fs::symlink_metadata(self.cwd.join(&path)).is_ok();
            self.found.extend(exists.then_some(path));
        } else if path.is_empty() || literal.is_empty() || self.is_folder(&path) {
            self.descend(&(path + "/"), rest);
        }
    }

    /// Goes on from a name that matched.
    fn take(&mut self, path: String, rest: &[&str]) {
        if rest.is_empty() {
            self.found.push(path);
        } else if self.is_folder(&path) {
            self.descend(&(path + "/"), rest);
        }
    }

    /// Follows `rest` from every folder below `prefix`, and from there.
    fn below(&mut self, prefix: &str, rest: &[&str], depth: usize) {
        if depth > MAX_DEPTH || self.found.len() >= MAX_NAMES {
            return;
        }
        if !rest.is_empty() {
            self.descend(prefix, rest);
        }
        for name in self.entries(prefix) {
            if name.starts_with('.') && !self.options.contains("dotglob") {
                continue;
            }
            let path = format!("{prefix}{name}");
            if rest.is_empty() {
                self.found.push(path.clone());
            }
            let real = fs::symlink_metadata(self.cwd.join(&path)).is_ok_and(|found| found.is_dir());
            if real {
                self.below(&(path + "/"), rest, depth + 1);
            }
        }
    }

    fn is_folder(&self, path: &str) -> bool {
        fs::metadata(self.cwd.join(path)).is_ok_and(|found| found.is_dir())
    }

    fn entries(&self, prefix: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.cwd.join(prefix)) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.take(MAX_NAMES).collect();
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["a.txt", "b.txt", ".hidden", "d/c.txt", "d/e/f.txt"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let names =
            |pattern: &str, options: &[&'static str]| names(folder.path(), pattern, &options.iter().copied().collect());
        assert_eq!(names("*", &[]), ["a.txt", "b.txt", "d"]);
        assert_eq!(names(".h*", &[]), [".hidden"]);
        assert_eq!(names("*/*.txt", &[]), ["d/c.txt"]);
        assert_eq!(names("*/", &[]), ["d/"]);
        assert_eq!(names("**/*.txt", &["globstar"]), ["a.txt", "b.txt", "d/c.txt", "d/e/f.txt"]);
        assert_eq!(names("[ab].t?t", &[]), ["a.txt", "b.txt"]);
        assert_eq!(names("x*", &[]), Vec::<String>::new());
        let absolute = format!("{}/d/*", folder.path().display());
        assert_eq!(names(&absolute, &[]).len(), 2);
    }
}
