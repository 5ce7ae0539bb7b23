//! What a program reads and writes beside its main input: files and commands.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Write};
use std::path::Path;

use crate::Runner;
use crate::input;
use crate::report::{Stop, reason};

use super::FAILED;
use super::records::{self, RecordEnd, Rest};
use super::syntax::RedirectionKind;

/// More files at once than any program needs.
const MAX_OPEN: usize = 256;

pub(super) struct Streams<'a> {
    pub(super) cwd: &'a Path,
    pub(super) env: &'a BTreeMap<String, String>,
    pub(super) stdout: &'a mut dyn Write,
    pub(super) stderr: &'a mut dyn Write,
    pub(super) runner: &'a mut dyn Runner,
    readers: HashMap<Vec<u8>, (Reader, Rest)>,
    writers: HashMap<Vec<u8>, Writer>,
    /// In the order in which they were opened, which is that of their end.
    order: Vec<Vec<u8>>,
}

enum Reader {
    File(BufReader<File>),
    Text(Cursor<Vec<u8>>),
}

enum Writer {
    Stdout,
    Stderr,
    File(Box<dyn Write>),
    /// A command runs when its input is complete.
    Command(Vec<u8>),
}

impl<'a> Streams<'a> {
    pub(super) fn new(
        cwd: &'a Path,
        env: &'a BTreeMap<String, String>,
        stdout: &'a mut dyn Write,
        stderr: &'a mut dyn Write,
        runner: &'a mut dyn Runner,
    ) -> Self {
        Self { cwd, env, stdout, stderr, runner, readers: HashMap::new(), writers: HashMap::new(), order: Vec::new() }
    }

    pub(super) fn write(&mut self, name: &[u8], kind: RedirectionKind, text: &[u8]) -> Result<(), Stop> {
        if !self.writers.contains_key(name) {
            let writer = self.open(name, kind)?;
            self.writers.insert(name.to_vec(), writer);
            self.order.push(name.to_vec());
        }
        match self.writers.get_mut(name).expect("it was just put in") {
            Writer::Stdout => self.stdout.write_all(text)?,
            Writer::Stderr => self.stderr.write_all(text)?,
            Writer::File(file) => file.write_all(text)?,
            Writer::Command(held) => held.extend(text),
        }
        Ok(())
    }

    fn open(&self, name: &[u8], kind: RedirectionKind) -> Result<Writer, Stop> {
        if self.writers.len() >= MAX_OPEN {
            return Err(Stop::code(FAILED, "too many open files"));
        }
        let path = String::from_utf8_lossy(name);
        match (kind, name) {
            (RedirectionKind::Pipe, _) => Ok(Writer::Command(Vec::new())),
            (_, b"/dev/stdout" | b"-") => Ok(Writer::Stdout),
            (_, b"/dev/stderr") => Ok(Writer::Stderr),
            _ => {
                let file = input::create(self.cwd, &path, kind == RedirectionKind::Append);
                let failed = |error| Stop::code(FAILED, format!("cannot open \"{path}\" ({})", reason(&error)));
                file.map(Writer::File).map_err(failed)
            }
        }
    }

    /// Runs a command line, as `system` does.
    pub(super) fn system(&mut self, line: &[u8], input: &[u8]) -> i32 {
        let argv = words(line);
        self.runner.run(&argv, self.env, &mut Cursor::new(input), &mut *self.stdout, &mut *self.stderr)
    }

    /// Ends a stream, and returns what its command returned; minus one where there is none.
    pub(super) fn close(&mut self, name: &[u8]) -> f64 {
        self.order.retain(|open| open != name);
        let was_read = self.readers.remove(name).is_some();
        match self.writers.remove(name) {
            Some(Writer::Command(input)) => f64::from(self.system(name, &input)),
            Some(Writer::File(mut file)) => file.flush().map_or(-1.0, |()| 0.0),
            None if !was_read => -1.0,
            _ => 0.0,
        }
    }

    pub(super) fn close_all(&mut self) {
        for name in std::mem::take(&mut self.order) {
            self.close(&name);
        }
    }

    /// Opens a file for reading, unless it is open, and tells whether it is there.
    pub(super) fn is_readable(&mut self, name: &[u8]) -> bool {
        if !self.readers.contains_key(name) {
            let path = self.cwd.join(&*String::from_utf8_lossy(name));
            let Ok(file) = input::file(&path) else { return false };
            self.readers.insert(name.to_vec(), (Reader::File(file), Rest::default()));
        }
        true
    }

    /// Reads a record of what a command writes.
    pub(super) fn read_command(&mut self, line: &[u8], end: &RecordEnd) -> Result<Option<Vec<u8>>, Stop> {
        if !self.readers.contains_key(line) {
            let argv = words(line);
            let mut output = Vec::new();
            self.runner.run(&argv, self.env, &mut std::io::empty(), &mut output, &mut *self.stderr);
            self.readers.insert(line.to_vec(), (Reader::Text(Cursor::new(output)), Rest::default()));
        }
        self.read(line, end)
    }

    /// Reads a record of an open file.
    pub(super) fn read(&mut self, name: &[u8], end: &RecordEnd) -> Result<Option<Vec<u8>>, Stop> {
        let (reader, rest) = self.readers.get_mut(name).expect("the caller put it in");
        let reader: &mut dyn BufRead = match reader {
            Reader::File(file) => file,
            Reader::Text(text) => text,
        };
        records::read(reader, end, rest)
    }

    pub(super) fn flush(&mut self) -> Result<(), Stop> {
        self.stdout.flush()?;
        for writer in self.writers.values_mut() {
            if let Writer::File(file) = writer {
                file.flush()?;
            }
        }
        Ok(())
    }
}

/// A command line is the shell's to read.
fn words(line: &[u8]) -> Vec<String> {
    vec!["sh".to_owned(), "-c".to_owned(), String::from_utf8_lossy(line).into_owned()]
}
