//! `glob`: files by name.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use kit::{Failure, Output, Tool, counted, display, locate, refuse};
use serde::Deserialize;
use walk::Pattern;

/// Paths returned when the call does not say how many.
const DEFAULT_LIMIT: usize = 200;

struct Glob;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    pattern: String,
    path: Option<String>,
    limit: Option<usize>,
}

impl Tool for Glob {
    const NAME: &'static str = "glob";
    const DESCRIPTION: &'static str = "Finds files whose path matches a glob pattern, in sorted order. Files that \
        .gitignore leaves out are not found unless `path` names their directory; hidden files are. To search what \
        files contain, use `grep`.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Arguments = Arguments;

    fn call(arguments: Arguments) -> Result<Output, Failure> {
        let path = arguments.path.as_deref().unwrap_or(".");
        let place = locate(path);
        let pattern = Pattern::new(&arguments.pattern)?;
        let metadata = fs::metadata(&place).map_err(|error| refuse("searched", path, &error))?;
        if !metadata.is_dir() {
            return Err(Failure::rejected(format!("{} is a file; `glob` searches a directory", display(path))));
        }
        let found = search(Path::new(&place), &pattern, arguments.limit.unwrap_or(DEFAULT_LIMIT));
        Ok(found.answer(&arguments.pattern, display(path)))
    }
}

kit::export!(Glob);

#[derive(Default)]
struct Search {
    paths: Vec<String>,
    cut: bool,
    unreadable: usize,
}

fn search(place: &Path, pattern: &Pattern, limit: usize) -> Search {
    let mut search = Search::default();
    for file in walk::files(place) {
        let Some(file) = file else {
            search.unreadable += 1;
            continue;
        };
        if pattern.matches(&file.relative) {
            search.cut = search.paths.len() == limit;
            if search.cut {
                break;
            }
            search.paths.push(display(&file.path.to_string_lossy()).to_owned());
        }
    }
    search
}

impl Search {
    fn answer(&self, pattern: &str, path: &str) -> Output {
        let count = self.paths.len();
        let mut text = self.paths.join("\n") + "\n";
        if count == 0 {
            text = format!("(no file in {path} matches `{pattern}`)\n");
        }
        if self.cut {
            writeln!(text, "(the first {count}; there are more: narrow the pattern or raise `limit`)")
                .expect("writing to a string");
        }
        if self.unreadable > 0 {
            let places = counted(self.unreadable, "place");
            writeln!(text, "({places} could not be read)").expect("writing to a string");
        }
        let more = if self.cut { " or more" } else { "" };
        Output { text, summary: format!("{}{more}", counted(count, "file")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_one_path_a_line_and_says_when_there_are_more() {
        let search = Search { paths: vec!["a".into(), "b".into()], cut: true, unreadable: 0 };
        let text = "a\nb\n(the first 2; there are more: narrow the pattern or raise `limit`)\n";
        assert_eq!(search.answer("*", "."), Output { text: text.into(), summary: "2 files or more".into() });
    }

    #[test]
    fn nothing_found_says_so() {
        let text = "(no file in src matches `*.x`)\n";
        let expected = Output { text: text.into(), summary: "0 files".into() };
        assert_eq!(Search::default().answer("*.x", "src"), expected);
    }

    #[test]
    fn a_search_stops_at_its_limit() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
        let pattern = Pattern::new("*").unwrap();
        let found = search(sources, &pattern, 2);
        assert_eq!((found.paths.len(), found.cut), (2, true));
        assert!(!search(sources, &Pattern::new("src/lib.rs").unwrap(), 1).cut);
    }
}
