//! One case, run by the real program and by ours.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use commands::{Invocation, Runner, lookup};

use crate::fixture;

pub(crate) struct Case {
    pub(crate) words: Vec<String>,
    input: Option<String>,
    unordered: bool,
}

impl Case {
    pub(crate) fn parse(line: &str) -> Self {
        let (unordered, line) = line.strip_prefix('~').map_or((false, line), |rest| (true, rest));
        let mut words = split(line);
        let input = words.iter().rposition(|word| word == "\0<").map(|at| words.drain(at..).nth(1).unwrap());
        Self { words, input, unordered }
    }
}

/// Splits a line into words: blanks, both kinds of quotes, `$'…'`, and backslashes outside of quotes.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            ' ' => words.extend(word.take()),
            // What is quoted redirects nothing.
            '<' if word.is_none() => words.push("\0<".to_owned()),
            '\'' => word.get_or_insert_default().extend(characters.by_ref().take_while(|c| *c != '\'')),
            '"' => word.get_or_insert_default().extend(characters.by_ref().take_while(|c| *c != '"')),
            '\\' => word.get_or_insert_default().extend(characters.next()),
            '$' if characters.peek() == Some(&'\'') => {
                characters.next();
                let text: String = characters.by_ref().take_while(|c| *c != '\'').collect();
                let text = text.replace("\\n", "\n").replace("\\t", "\t").replace("\\0", "\0");
                word.get_or_insert_default().push_str(&text);
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    output: String,
    code: i32,
    complains: bool,
    files: BTreeMap<String, String>,
    /// Shown when something differs; what is said may be worded otherwise.
    said: String,
}

impl Outcome {
    fn new(case: &Case, folder: &Path, output: &[u8], said: &[u8], code: i32) -> Self {
        let named = |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| bytes.escape_ascii().to_string());
            text.replace(&folder.display().to_string(), "FOLDER")
        };
        let mut output = named(output);
        if case.unordered {
            let mut lines: Vec<&str> = output.lines().collect();
            lines.sort_unstable();
            output = lines.join("\n");
        }
        Self { output, code, complains: !said.is_empty(), files: fixture::snapshot(folder), said: named(said) }
    }

    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (&self.output, self.code, self.complains, &self.files)
            == (&other.output, other.code, other.complains, &other.files)
    }

    pub(crate) fn difference(real: &Self, ours: &Self) -> String {
        let mut text = String::new();
        if real.output != ours.output {
            write!(text, "real:\n{}\nours:\n{}\n", real.output, ours.output).unwrap();
        }
        if (real.code, real.complains) != (ours.code, ours.complains) {
            writeln!(text, "real: {} {:?}\nours: {} {:?}", real.code, real.said, ours.code, ours.said).unwrap();
        }
        for name in real.files.keys().chain(ours.files.keys()) {
            if real.files.get(name) != ours.files.get(name) {
                writeln!(text, "{name}: real {:?}\n   ours {:?}", real.files.get(name), ours.files.get(name)).unwrap();
            }
        }
        text
    }
}

fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
    let holder = tempfile::tempdir().unwrap();
    let folder = holder.path().canonicalize().unwrap().join("case");
    fs::create_dir(&folder).unwrap();
    fixture::fill(&folder);
    (holder, folder)
}

/// Runs the real program; none where this machine has none.
pub(crate) fn real(case: &Case) -> Option<Outcome> {
    let (_holder, folder) = folder();
    let mut command = Command::new(&case.words[0]);
    command.args(&case.words[1..]).current_dir(&folder).env_clear().envs(surroundings());
    match &case.input {
        Some(name) => command.stdin(fs::File::open(folder.join(name)).unwrap()),
        None => command.stdin(Stdio::null()),
    };
    let output = command.output().ok()?;
    Some(Outcome::new(case, &folder, &output.stdout, &output.stderr, output.status.code().unwrap_or(-1)))
}

fn surroundings() -> BTreeMap<String, String> {
    let variables = [
        ("LC_ALL", "C"),
        ("TZ", "UTC"),
        ("NAME", "World"),
        ("HOME", "/nowhere"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
    ];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub(crate) fn ours(case: &Case) -> Outcome {
    let (_holder, folder) = folder();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut stdin: Box<dyn BufRead> = match &case.input {
        Some(name) => Box::new(BufReader::new(fs::File::open(folder.join(name)).unwrap())),
        None => Box::new(std::io::empty()),
    };
    let mut table = Table { cwd: &folder };
    let code = table.run(&case.words, &surroundings(), &mut *stdin, &mut stdout, &mut stderr);
    Outcome::new(case, &folder, &stdout, &stderr, code)
}

/// Runs what the library has, as the shell does for what is neither function nor built-in.
pub(crate) struct Table<'t> {
    pub(crate) cwd: &'t Path,
}

impl Runner for Table<'_> {
    fn run(
        &mut self,
        argv: &[String],
        env: &BTreeMap<String, String>,
        stdin: &mut dyn BufRead,
        stdout: &mut dyn Write,
        stderr: &mut dyn Write,
    ) -> i32 {
        let Some(command) = lookup(&argv[0]) else {
            writeln!(stderr, "{}: command not found", argv[0]).unwrap();
            return 127;
        };
        let mut inner = Table { cwd: self.cwd };
        command(&mut Invocation { args: argv, env, cwd: self.cwd, stdin, stdout, stderr, runner: &mut inner })
    }
}
