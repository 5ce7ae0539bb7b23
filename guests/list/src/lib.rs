//! `list`: what a directory holds.

mod tree;

use std::fs;
use std::path::Path;

use kit::{Failure, Output, Tool, display, locate, refuse};
use serde::Deserialize;
use tree::Listing;

struct List;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    path: Option<String>,
    depth: Option<usize>,
    #[serde(default)]
    hidden: bool,
}

impl Tool for List {
    const NAME: &'static str = "list";
    const DESCRIPTION: &'static str = "Lists a directory: one path a line, sorted, directories with a trailing `/`, \
        files with their size, symbolic links with their target. At most 1000 entries. To find files by name, use \
        `glob`.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Arguments = Arguments;

    fn call(arguments: Arguments) -> Result<Output, Failure> {
        let path = arguments.path.as_deref().unwrap_or(".");
        let place = locate(path);
        let metadata = fs::metadata(&place).map_err(|error| refuse("listed", path, &error))?;
        if !metadata.is_dir() {
            return Err(Failure::rejected(format!("{} is a file; use `read`", display(path))));
        }
        let listing = tree::list(Path::new(&place), arguments.depth.unwrap_or(1), arguments.hidden)
            .map_err(|error| refuse("listed", path, &error))?;
        Ok(answer(display(path), &listing))
    }
}

kit::export!(List);

fn answer(path: &str, listing: &Listing) -> Output {
    let count = listing.lines.len();
    let prefix = if path == "." { String::new() } else { format!("{}/", path.trim_end_matches('/')) };
    let mut lines: Vec<String> = listing.lines.iter().map(|line| format!("{prefix}{line}")).collect();
    if count == 0 {
        lines.push(format!("({path} is empty)"));
    }
    lines.extend(listing.notes().iter().map(|note| format!("({note})")));
    let text = lines.join("\n") + "\n";
    let entries = if count == 1 { "entry" } else { "entries" };
    Output { text, summary: format!("{count} {entries} in {path}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_paths_from_the_workspace() {
        let listing = Listing { lines: vec!["a/".into(), "b (1 byte)".into()], ..Listing::default() };
        let expected = Output { text: "src/a/\nsrc/b (1 byte)\n".into(), summary: "2 entries in src".into() };
        assert_eq!(answer("src/", &listing).text, expected.text);
        assert_eq!(answer("src", &listing), expected);
    }

    #[test]
    fn an_empty_directory_says_so() {
        let listing = Listing { hidden: 2, ..Listing::default() };
        let text = "(src is empty)\n(2 hidden names are not shown; pass `hidden` to see them)\n";
        assert_eq!(answer("src", &listing).text, text);
    }
}
