//! Where commands read from: files by name, and standard input as `-`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use crate::Invocation;
use crate::report::{Outcome, Stop, complain_at};

/// Opens an operand. The devices that scripts name are there, although the sandbox has no `/dev`.
pub(crate) fn open<'s>(cwd: &Path, stdin: &'s mut dyn BufRead, operand: &str) -> io::Result<Box<dyn BufRead + 's>> {
    match operand {
        "-" | "/dev/stdin" => Ok(Box::new(stdin)),
        "/dev/null" => Ok(Box::new(io::empty())),
        "/dev/zero" => Ok(Box::new(BufReader::new(io::repeat(0)))),
        "/dev/urandom" | "/dev/random" => Ok(Box::new(BufReader::new(crate::numbers::Random::default()))),
        _ => Ok(Box::new(file(&cwd.join(operand))?)),
    }
}

/// Opens a file, which a directory is not.
pub(crate) fn file(path: &Path) -> io::Result<BufReader<File>> {
    if path.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(BufReader::new(File::open(path)?))
}

/// Opens a file for writing; the devices that scripts name are there.
pub(crate) fn create(cwd: &Path, operand: &str, append: bool) -> io::Result<Box<dyn Write>> {
    if operand == "/dev/null" {
        return Ok(Box::new(io::sink()));
    }
    let path = cwd.join(operand);
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut options = File::options();
    options.create(true);
    let opened = if append { options.append(true) } else { options.write(true).truncate(true) };
    Ok(Box::new(opened.open(path)?))
}

/// Calls `body` for each input in turn. One that cannot be read is said, and the others are still done.
pub(crate) fn each(
    invocation: &mut Invocation<'_>,
    inputs: &[&str],
    mut body: impl FnMut(&str, &mut dyn BufRead, &mut dyn Write) -> Result<(), Stop>,
) -> Outcome {
    let mut code = 0;
    for operand in inputs {
        let done = match open(invocation.cwd, invocation.stdin, operand) {
            Ok(mut reader) => body(operand, &mut *reader, invocation.stdout),
            Err(error) => Err(Stop::Read(error)),
        };
        match done {
            Err(Stop::Read(error)) => {
                complain_at(invocation, operand, &error);
                code = 1;
            }
            other => other?,
        }
    }
    Ok(code)
}

/// Reads up to and with the next `end`, and tells whether there was anything.
pub(crate) fn record(reader: &mut dyn BufRead, end: u8, buffer: &mut Vec<u8>) -> Result<bool, Stop> {
    buffer.clear();
    reader.read_until(end, buffer).map(|length| length > 0).map_err(Stop::Read)
}

/// Reads the next record without its end.
pub(crate) fn bare_record(reader: &mut dyn BufRead, end: u8, buffer: &mut Vec<u8>) -> Result<bool, Stop> {
    let more = record(reader, end, buffer)?;
    if buffer.last() == Some(&end) {
        buffer.pop();
    }
    Ok(more)
}

/// Reads everything, for commands that need the end before they can begin.
pub(crate) fn everything(reader: &mut dyn BufRead) -> Result<Vec<u8>, Stop> {
    let mut all = Vec::new();
    reader.read_to_end(&mut all).map_err(Stop::Read)?;
    Ok(all)
}

/// Copies at most `limit` bytes, as they come.
pub(crate) fn copy(reader: &mut dyn BufRead, writer: &mut dyn Write, mut limit: u64) -> Result<u64, Stop> {
    let mut copied = 0;
    while limit > 0 {
        let part = match reader.fill_buf() {
            Ok(part) => part,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Stop::Read(error)),
        };
        let length = part.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
        if length == 0 {
            break;
        }
        writer.write_all(&part[..length])?;
        reader.consume(length);
        limit -= length as u64;
        copied += length as u64;
    }
    Ok(copied)
}

/// Copies everything, as it comes.
pub(crate) fn copy_all(reader: &mut dyn BufRead, writer: &mut dyn Write) -> Result<u64, Stop> {
    copy(reader, writer, u64::MAX)
}

/// Splits text into lines without their ends; a last line need not have one.
pub(crate) fn lines(text: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    lines
}

/// Several inputs, one after the other, for commands that go on over their borders.
pub(crate) struct Chain<'a> {
    cwd: &'a Path,
    stdin: &'a mut dyn BufRead,
    waiting: VecDeque<String>,
    source: Source,
}

enum Source {
    None,
    Stdin,
    File(BufReader<File>),
}

impl<'a> Chain<'a> {
    pub(crate) fn new(cwd: &'a Path, stdin: &'a mut dyn BufRead, names: impl IntoIterator<Item = String>) -> Self {
        Self { cwd, stdin, waiting: names.into_iter().collect(), source: Source::None }
    }

    /// Opens the next input, and returns its name with what came of it; none after the last.
    pub(crate) fn advance(&mut self) -> Option<(String, io::Result<()>)> {
        let name = self.waiting.pop_front()?;
        let done = self.open(&name);
        Some((name, done))
    }

    /// Leaves the current input for this one.
    pub(crate) fn open(&mut self, name: &str) -> io::Result<()> {
        self.source = Source::None;
        self.source = match name {
            "-" | "/dev/stdin" => Source::Stdin,
            "/dev/null" => Source::None,
            path => Source::File(file(&self.cwd.join(path))?),
        };
        Ok(())
    }

    /// Reads the next record of the current input, with its end.
    pub(crate) fn record(&mut self, end: u8, buffer: &mut Vec<u8>) -> Result<bool, Stop> {
        buffer.clear();
        match &mut self.source {
            Source::None => Ok(false),
            Source::Stdin => record(&mut *self.stdin, end, buffer),
            Source::File(file) => record(file, end, buffer),
        }
    }

    /// Returns the current input itself.
    pub(crate) fn reader(&mut self) -> Option<&mut dyn BufRead> {
        match &mut self.source {
            Source::None => None,
            Source::Stdin => Some(&mut *self.stdin),
            Source::File(file) => Some(file),
        }
    }
}
