//! `write`: a whole file at once.

use std::fs;
use std::path::Path;

use kit::{Failure, Output, Tool, counted, display, locate, refuse};
use serde::Deserialize;

struct Write;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    path: String,
    content: String,
}

impl Tool for Write {
    const NAME: &'static str = "write";
    const DESCRIPTION: &'static str = "Writes a whole file: creates it, with missing parent directories, or replaces \
        everything in it. To change part of a file, use `edit`.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Arguments = Arguments;

    fn call(arguments: Arguments) -> Result<Output, Failure> {
        let path = &arguments.path;
        let existed =
            write(Path::new(&locate(path)), &arguments.content).map_err(|error| refuse("written", path, &error))?;
        let text = report(display(path), existed, &arguments.content);
        Ok(Output { summary: text.clone(), text })
    }
}

kit::export!(Write);

/// Writes `content` to `path` and returns whether there was a file before.
fn write(path: &Path, content: &str) -> std::io::Result<bool> {
    let existed = fs::symlink_metadata(path).is_ok();
    if let Some(parent) = path.parent().filter(|_| !existed) {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, content)?;
    Ok(existed)
}

fn report(path: &str, existed: bool, content: &str) -> String {
    let verb = if existed { "overwrote" } else { "created" };
    let size = counted(content.len(), "byte");
    format!("{verb} {path} ({size}, {})", counted(content.lines().count(), "line"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_gets_its_parents_and_an_old_one_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c.txt");
        let existed = [write(&path, "long content\n").unwrap(), write(&path, "short\n").unwrap()];
        assert_eq!((existed, fs::read_to_string(path).unwrap()), ([false, true], "short\n".to_owned()));
    }

    #[test]
    fn a_directory_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write(folder.path(), "x").is_err());
    }

    #[test]
    fn the_report_counts_bytes_and_lines() {
        assert_eq!(report("a.txt", false, "a\nb\n"), "created a.txt (4 bytes, 2 lines)");
        assert_eq!(report("a.txt", true, "é"), "overwrote a.txt (2 bytes, 1 line)");
    }
}
