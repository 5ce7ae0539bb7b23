//! `edit`: exact replacements in one file, all of them or none.

mod apply;
mod hint;

use std::fs;

use apply::{Applied, Edit};
use kit::{Failure, Output, Tool, counted, display, locate, refuse};
use serde::Deserialize;

/// Larger files are edited by other means: the text is held in memory more than once.
const FILE_LIMIT_BYTES: u64 = 8 * 1024 * 1024;

struct EditTool;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    path: String,
    edits: Vec<Edit>,
}

impl Tool for EditTool {
    const NAME: &'static str = "edit";
    const DESCRIPTION: &'static str = "Replaces exact text in an existing file. Each `old` must occur exactly once, \
        unless `replace_all` is set. Several edits in one call are applied in order, all or none. Line endings are \
        kept. Read the file first and copy `old` from it, without the line numbers.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Arguments = Arguments;

    fn call(arguments: Arguments) -> Result<Output, Failure> {
        let path = &arguments.path;
        let before = load(path)?;
        let applied = apply::apply(&before, &arguments.edits)?;
        fs::write(locate(path), &applied.text).map_err(|error| refuse("written", path, &error))?;
        Ok(answer(display(path), arguments.edits.len(), &applied))
    }
}

kit::export!(EditTool);

fn load(path: &str) -> Result<String, Failure> {
    let place = locate(path);
    let metadata = fs::metadata(&place).map_err(|error| refuse("read", path, &error))?;
    if metadata.is_dir() {
        return Err(Failure::rejected(format!("{} is a directory; `edit` changes one file", display(path))));
    }
    if metadata.len() > FILE_LIMIT_BYTES {
        let size = metadata.len();
        let reason = format!("{} has {size} bytes; `edit` takes files up to {FILE_LIMIT_BYTES}", display(path));
        return Err(Failure::rejected(reason));
    }
    let bytes = fs::read(&place).map_err(|error| refuse("read", path, &error))?;
    String::from_utf8(bytes)
        .map_err(|_| Failure::rejected(format!("{} is not UTF-8 text; `edit` changes text only", display(path))))
}

fn answer(path: &str, edits: usize, applied: &Applied) -> Output {
    let replaced = counted(applied.lines.len(), "replacement");
    let summary = format!("edited {path}: {replaced}");
    let lines = apply::name_lines(&applied.lines);
    Output { text: format!("edited {path}: {}, {replaced} at {lines}", counted(edits, "edit")), summary }
}
