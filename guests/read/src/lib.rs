//! `read`: a text file with line numbers, a page at a time.

mod page;

use std::fs::{File, Metadata};
use std::io::BufReader;

use kit::{Failure, Output, Tool, counted, display, locate, refuse};
use page::{Page, PageError, Range};
use serde::Deserialize;

/// Lines shown when the call does not say how many.
const DEFAULT_LIMIT: usize = 2000;

struct Read;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    path: String,
    offset: Option<usize>,
    limit: Option<usize>,
}

impl Tool for Read {
    const NAME: &'static str = "read";
    const DESCRIPTION: &'static str = "Reads a text file and shows its lines with line numbers (number, tab, line). \
        Long files come in pages: pass `offset` and `limit` to continue. Line numbers are not part of the file.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Arguments = Arguments;

    fn call(arguments: Arguments) -> Result<Output, Failure> {
        let path = &arguments.path;
        let file = File::open(locate(path)).map_err(|error| refuse("read", path, &error))?;
        let metadata = file.metadata().map_err(|error| refuse("read", path, &error))?;
        check_kind(path, &metadata)?;
        let range = Range { offset: arguments.offset.unwrap_or(1), limit: arguments.limit.unwrap_or(DEFAULT_LIMIT) };
        let page = page::read(BufReader::new(file), &range, metadata.len())
            .map_err(|error| explain(path, metadata.len(), error))?;
        answer(path, &range, page)
    }
}

kit::export!(Read);

fn check_kind(path: &str, metadata: &Metadata) -> Result<(), Failure> {
    if metadata.is_dir() {
        return Err(Failure::rejected(format!("{} is a directory, use `list`", display(path))));
    }
    if !metadata.is_file() {
        return Err(Failure::rejected(format!("{} is not a regular file", display(path))));
    }
    Ok(())
}

fn explain(path: &str, size_bytes: u64, error: PageError) -> Failure {
    match error {
        PageError::Io(error) => refuse("read", path, &error),
        PageError::Binary(why) => Failure::rejected(format!(
            "{} is a binary file of {size_bytes} bytes ({why}); `read` shows text only",
            display(path)
        )),
    }
}

fn answer(path: &str, range: &Range, page: Page) -> Result<Output, Failure> {
    let path = display(path);
    if page.total_lines == Some(0) {
        return Ok(Output { text: format!("({path} is empty)"), summary: format!("{path} is empty") });
    }
    if page.shown == 0 {
        return Err(Failure::rejected(past_the_end(path, range.offset, page.total_lines)));
    }
    let summary = format!("{} of {path}", counted(page.shown, "line"));
    let note = page.note(range);
    Ok(Output { text: page.text + &note, summary })
}

fn past_the_end(path: &str, offset: usize, total_lines: Option<usize>) -> String {
    let total = total_lines.map_or_else(|| "fewer lines".to_owned(), |total| counted(total, "line"));
    format!("{path} has {total}; there is no line {offset}")
}
