//! Tries every way that std knows to reach one path, and says what became of each.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use kit::{Failure, Output, Tool};
use serde::Deserialize;

struct Escape;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The path to reach.
    path: String,
    /// A place inside the mount from which links and renames start.
    #[serde(default = "default_inside")]
    inside: String,
}

fn default_inside() -> String {
    "escape-inside".into()
}

impl Tool for Escape {
    const NAME: &'static str = "escape";
    const DESCRIPTION: &'static str = "Tries to reach `path` in every way; one line for each: the way, then `reached` \
        or the error.";
    const SCHEMA: &'static str = r#"{"type":"object","properties":{"path":{"type":"string"},"inside":{"type":"string"}},"required":["path"],"additionalProperties":false}"#;
    type Arguments = Arguments;

    fn call(arguments: Arguments) -> Result<Output, Failure> {
        let attempts = attempts(Path::new(&arguments.path), Path::new(&arguments.inside));
        let reached = attempts.iter().filter(|(_, result)| result.is_ok()).count();
        let lines: Vec<String> =
            attempts.into_iter().map(|(way, result)| format!("{way}: {}", outcome(result))).collect();
        Ok(Output { text: lines.join("\n"), summary: format!("{reached} ways reached it") })
    }
}

kit::export!(Escape);

type Attempt = (&'static str, io::Result<()>);

/// Tries in an order in which what destroys comes last.
fn attempts(path: &Path, inside: &Path) -> Vec<Attempt> {
    let mut attempts = looking(path);
    attempts.extend(linking(path, inside));
    attempts.extend(writing(path));
    attempts.extend(moving(path, inside));
    attempts
}

fn looking(path: &Path) -> Vec<Attempt> {
    vec![
        ("stat", fs::metadata(path).map(drop)),
        ("lstat", fs::symlink_metadata(path).map(drop)),
        ("read", fs::read(path).map(drop)),
        ("list", fs::read_dir(path).map(drop)),
        ("read_link", fs::read_link(path).map(drop)),
        ("canonicalize", fs::canonicalize(path).map(drop)),
        ("chdir", std::env::set_current_dir(path)),
    ]
}

#[expect(deprecated, reason = "the only stable way to a symbolic link on WASI")]
fn linking(path: &Path, inside: &Path) -> Vec<Attempt> {
    let link = inside.with_extension("link");
    let through = fs::soft_link(path, &link).and_then(|()| fs::read(&link).map(drop));
    let hard = inside.with_extension("hard");
    let linked = fs::hard_link(path, &hard);
    let copied = fs::copy(path, inside.with_extension("copy")).map(drop);
    vec![("read through a symbolic link", through), ("hard link", linked), ("copy from", copied)]
}

fn writing(path: &Path) -> Vec<Attempt> {
    let append = OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(b"x"));
    let update = OpenOptions::new().read(true).write(true).open(path).and_then(|mut file| file.write_all(b"x"));
    vec![
        ("open to append", append),
        ("open to update", update),
        ("create new", File::create_new(path).map(drop)),
        ("truncate", OpenOptions::new().write(true).truncate(true).open(path).map(drop)),
        ("write", fs::write(path, "x")),
        ("make directory", fs::create_dir(path)),
    ]
}

fn moving(path: &Path, inside: &Path) -> Vec<Attempt> {
    let onto = fs::write(inside, "x").and_then(|()| fs::rename(inside, path));
    vec![
        ("rename onto", onto),
        ("rename away", fs::rename(path, inside.with_extension("moved"))),
        ("remove file", fs::remove_file(path)),
        ("remove directory", fs::remove_dir(path)),
    ]
}

fn outcome(result: io::Result<()>) -> String {
    result.map_or_else(|error| format!("{:?} {:?}", error.kind(), error.raw_os_error()), |()| "reached".into())
}
