//! Reads, lists and writes through one name, round after round, while somebody changes what stands there.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};

use kit::{Failure, Output, Tool};
use serde::Deserialize;

/// Bytes of a file that are looked at.
const SEEN_BYTES: u64 = 64;

struct Races;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    rounds: u32,
    /// The name that changes: a directory, or a file with `file`.
    path: String,
    #[serde(default)]
    file: bool,
    /// Whether to write too.
    #[serde(default)]
    write: bool,
}

impl Tool for Races {
    const NAME: &'static str = "races";
    const DESCRIPTION: &'static str = "Reads, lists and writes through `path` for `rounds` rounds; one line for each thing \
        that was seen, with how often.";
    const SCHEMA: &'static str = r#"{"type":"object","properties":{"rounds":{"type":"integer","minimum":0},"path":{"type":"string"},"file":{"type":"boolean"},"write":{"type":"boolean"}},"required":["rounds","path"],"additionalProperties":false}"#;
    type Arguments = Arguments;

    fn call(arguments: Arguments) -> Result<Output, Failure> {
        let mut seen = Seen::default();
        for round in 0..arguments.rounds {
            if arguments.file {
                file_round(&arguments, &mut seen);
            } else {
                directory_round(&arguments, round, &mut seen);
            }
        }
        let lines: Vec<String> = seen.0.iter().map(|(what, times)| format!("{what} {times}")).collect();
        Ok(Output { text: lines.join("\n"), summary: format!("{} rounds", arguments.rounds) })
    }
}

kit::export!(Races);

/// What came back, and how often.
#[derive(Default)]
struct Seen(BTreeMap<String, u32>);

impl Seen {
    fn note(&mut self, what: String) {
        *self.0.entry(what).or_default() += 1;
    }
}

fn file_round(arguments: &Arguments, seen: &mut Seen) {
    read(&arguments.path, seen);
    if arguments.write
        && let Ok(mut file) = OpenOptions::new().append(true).open(&arguments.path)
    {
        // Only whether it lands outside matters, and that the host sees.
        let _ = file.write_all(b"w");
    }
}

fn directory_round(arguments: &Arguments, round: u32, seen: &mut Seen) {
    let path = &arguments.path;
    read(&format!("{path}/file"), seen);
    read(&format!("{path}/deep/file"), seen);
    read(&format!("{path}/../{path}/file"), seen);
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        seen.note(format!("listed {}", entry.file_name().display()));
    }
    if let Ok(target) = fs::read_link(path) {
        seen.note(format!("linked {}", target.display()));
    }
    if arguments.write {
        let made = format!("{path}/made-{round}");
        // As above.
        let _ = fs::write(&made, "w").and_then(|()| fs::rename(&made, format!("{path}/moved")));
    }
}

fn read(path: &str, seen: &mut Seen) {
    let mut text = String::new();
    if File::open(path).and_then(|file| file.take(SEEN_BYTES).read_to_string(&mut text)).is_ok() {
        seen.note(format!("read {text}"));
    }
}
