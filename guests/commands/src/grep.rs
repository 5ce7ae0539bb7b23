//! `grep`, `egrep`, `fgrep`.

mod options;

use std::fs;
use std::io::{self, BufRead, Write};
use std::path::Path;

use crate::Invocation;
use crate::input;
use crate::pattern::Span;
use crate::report::{Outcome, Stop, complain, reason, say};

use options::{Patterns, Request, Shown};

/// Exit code when something went wrong.
const FAILED: i32 = 2;
/// A file with a NUL this early is binary.
const BINARY_SAMPLE: usize = 32 << 10;
/// Deeper folders than these are a loop of links, or an attack on the stack.
const MAX_DEPTH: usize = 256;

pub(crate) fn grep(invocation: &mut Invocation<'_>) -> Outcome {
    let request = Request::read(invocation)?;
    let mut search = Search { request: &request, matched: false, failed: false };
    for operand in &request.inputs {
        if search.quiet_done() {
            break;
        }
        search.operand(invocation, operand)?;
    }
    Ok(match (search.matched, search.failed) {
        (true, failed) if request.quiet || !failed => 0,
        (_, true) => FAILED,
        _ => 1,
    })
}

struct Search<'r> {
    request: &'r Request,
    matched: bool,
    failed: bool,
}

impl Search<'_> {
    fn quiet_done(&self) -> bool {
        self.request.quiet && self.matched
    }

    fn fail(&mut self, stderr: &mut dyn Write, args: &[String], name: &str, error: &io::Error) {
        self.failed = true;
        if !self.request.no_messages {
            say(stderr, args, format_args!("{name}: {}", reason(error)));
        }
    }

    fn operand(&mut self, invocation: &mut Invocation<'_>, operand: &str) -> Result<(), Stop> {
        let path = invocation.path(operand);
        if operand == "-" || !path.is_dir() {
            return self.input(invocation, operand);
        }
        if !self.request.recursive {
            if !self.request.skip_folders {
                self.fail_folder(invocation, operand);
            }
            return Ok(());
        }
        self.folder(invocation, &path, operand, 0)
    }

    fn fail_folder(&mut self, invocation: &mut Invocation<'_>, operand: &str) {
        self.failed = true;
        if !self.request.no_messages {
            complain(invocation, format_args!("{operand}: Is a directory"));
        }
    }

    fn folder(&mut self, invocation: &mut Invocation<'_>, path: &Path, shown: &str, depth: usize) -> Result<(), Stop> {
        if depth > MAX_DEPTH {
            return Ok(());
        }
        let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                self.fail(invocation.stderr, invocation.args, shown, &error);
                return Ok(());
            }
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if self.quiet_done() {
                break;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let below = if shown.is_empty() { name.clone() } else { format!("{}/{name}", shown.trim_end_matches('/')) };
            self.entry(invocation, &entry.path(), &name, &below, depth)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        invocation: &mut Invocation<'_>,
        path: &Path,
        name: &str,
        shown: &str,
        depth: usize,
    ) -> Result<(), Stop> {
        let is_link = path.is_symlink();
        if is_link && !self.request.follow {
            return Ok(());
        }
        if path.is_dir() {
            let excluded = self.request.exclude_folders.iter().any(|glob| glob.is_match(name));
            return if excluded { Ok(()) } else { self.folder(invocation, path, shown, depth + 1) };
        }
        if self.request.wants(name) { self.input(invocation, shown) } else { Ok(()) }
    }

    fn input(&mut self, invocation: &mut Invocation<'_>, operand: &str) -> Result<(), Stop> {
        let name = if operand == "-" { "(standard input)" } else { operand };
        let opened = input::open(invocation.cwd, invocation.stdin, operand);
        let mut reader = match opened {
            Ok(reader) => reader,
            Err(error) => {
                self.fail(invocation.stderr, invocation.args, operand, &error);
                return Ok(());
            }
        };
        let mut file = FileSearch::new(self.request, name);
        let done = file.run(&mut *reader, invocation.stdout);
        let is_binary = file.binary && file.selected > 0 && self.request.shown == Shown::Lines && !self.request.quiet;
        self.matched |= file.selected > 0;
        if is_binary {
            say(invocation.stderr, invocation.args, format_args!("{name}: binary file matches"));
        }
        match done {
            Err(Stop::Read(error)) => {
                self.fail(invocation.stderr, invocation.args, operand, &error);
                Ok(())
            }
            other => other,
        }
    }
}

/// The search of one input.
struct FileSearch<'r> {
    request: &'r Request,
    name: &'r str,
    selected: u64,
    number: u64,
    offset: u64,
    binary: bool,
    /// Lines before, for context.
    held: std::collections::VecDeque<(u64, u64, Vec<u8>)>,
    /// Lines after that are still to be shown.
    owed: usize,
    /// Number of the line that was shown last.
    shown: Option<u64>,
}

impl<'r> FileSearch<'r> {
    fn new(request: &'r Request, name: &'r str) -> Self {
        Self {
            request,
            name,
            selected: 0,
            number: 0,
            offset: 0,
            binary: false,
            held: std::collections::VecDeque::new(),
            owed: 0,
            shown: None,
        }
    }

    fn run(&mut self, reader: &mut dyn BufRead, writer: &mut dyn Write) -> Result<(), Stop> {
        let sample = reader.fill_buf().map_err(Stop::Read)?;
        let sampled = &sample[..sample.len().min(BINARY_SAMPLE)];
        self.binary = !self.request.text && !self.request.null_data && sampled.contains(&0);
        if self.binary && self.request.skip_binary {
            return Ok(());
        }
        self.lines(reader, writer)?;
        self.summary(writer)
    }

    fn lines(&mut self, reader: &mut dyn BufRead, writer: &mut dyn Write) -> Result<(), Stop> {
        let end = self.request.line_end();
        let mut line = Vec::new();
        while !self.is_done() && input::record(reader, end, &mut line)? {
            let length = line.len() as u64;
            if line.last() == Some(&end) {
                line.pop();
            }
            self.number += 1;
            self.line(&line, writer)?;
            self.offset += length;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        let request = self.request;
        let enough =
            self.selected > 0 && (request.quiet || matches!(request.shown, Shown::Matching | Shown::NotMatching));
        let binary = self.binary && self.selected > 0 && request.shown == Shown::Lines;
        enough || binary || self.selected >= request.most && self.owed == 0
    }

    fn line(&mut self, line: &[u8], writer: &mut dyn Write) -> Result<(), Stop> {
        let request = self.request;
        let selects = self.selected < request.most && request.patterns.selects(line) != request.invert;
        if selects {
            self.selected += 1;
        }
        if request.quiet || request.shown != Shown::Lines || self.binary {
            return Ok(());
        }
        if selects {
            self.gap(writer)?;
            self.before(writer)?;
            self.selected_line(line, writer)?;
            self.owed = request.after;
        } else if self.owed > 0 {
            self.owed -= 1;
            self.show(b'-', self.number, self.offset, line, writer)?;
        } else if request.before > 0 {
            self.hold(line);
        }
        Ok(())
    }

    fn hold(&mut self, line: &[u8]) {
        if self.held.len() == self.request.before {
            self.held.pop_front();
        }
        self.held.push_back((self.number, self.offset, line.to_vec()));
    }

    /// Groups of lines that do not touch are told apart.
    fn gap(&mut self, writer: &mut dyn Write) -> Result<(), Stop> {
        let first = self.held.front().map_or(self.number, |(number, ..)| *number);
        let apart = self.shown.is_some_and(|shown| shown + 1 < first);
        if apart && self.request.has_context() && !self.request.only {
            writer.write_all(b"--\n")?;
        }
        Ok(())
    }

    fn before(&mut self, writer: &mut dyn Write) -> Result<(), Stop> {
        for (number, offset, line) in std::mem::take(&mut self.held) {
            self.show(b'-', number, offset, &line, writer)?;
        }
        Ok(())
    }

    fn selected_line(&mut self, line: &[u8], writer: &mut dyn Write) -> Result<(), Stop> {
        if !self.request.only {
            return self.show(b':', self.number, self.offset, line, writer);
        }
        self.shown = Some(self.number);
        if self.request.invert {
            return Ok(());
        }
        for (from, to) in self.request.patterns.all(line).into_iter().filter(|(from, to)| from < to) {
            self.write(b':', self.number, self.offset + from as u64, &line[from..to], writer)?;
        }
        Ok(())
    }

    fn show(&mut self, mark: u8, number: u64, offset: u64, line: &[u8], writer: &mut dyn Write) -> Result<(), Stop> {
        self.shown = Some(number);
        if self.request.only {
            return Ok(());
        }
        self.write(mark, number, offset, line, writer)
    }

    fn write(&self, mark: u8, number: u64, offset: u64, text: &[u8], writer: &mut dyn Write) -> Result<(), Stop> {
        let mut row = Vec::with_capacity(text.len() + 16);
        if self.request.with_names {
            row.extend(self.name.bytes());
            row.push(if self.request.null_names { 0 } else { mark });
        }
        if self.request.numbers {
            row.extend(format!("{number}{}", char::from(mark)).bytes());
        }
        if self.request.offsets {
            row.extend(format!("{offset}{}", char::from(mark)).bytes());
        }
        row.extend(text);
        row.push(self.request.line_end());
        writer.write_all(&row)?;
        Ok(())
    }

    fn summary(&self, writer: &mut dyn Write) -> Result<(), Stop> {
        let request = self.request;
        if request.quiet {
            return Ok(());
        }
        let end = if request.null_names { '\0' } else { '\n' };
        match request.shown {
            Shown::Matching if self.selected > 0 => write!(writer, "{}{end}", self.name)?,
            Shown::NotMatching if self.selected == 0 => write!(writer, "{}{end}", self.name)?,
            Shown::Count if request.with_names => {
                let mark = if request.null_names { '\0' } else { ':' };
                writeln!(writer, "{}{mark}{}", self.name, self.selected)?;
            }
            Shown::Count => writeln!(writer, "{}", self.selected)?,
            _ => {}
        }
        Ok(())
    }
}

impl Patterns {
    fn selects(&self, line: &[u8]) -> bool {
        if !self.words && !self.whole_lines {
            return self.list.iter().any(|pattern| pattern.is_match(line));
        }
        self.next(line, 0).is_some()
    }

    /// Returns the leftmost match from `start` on, and the longest of those.
    fn next(&self, line: &[u8], start: usize) -> Option<Span> {
        let found = self.list.iter().filter_map(|pattern| self.fitting(pattern, line, start));
        found.min_by_key(|(from, to)| (*from, usize::MAX - *to))
    }

    fn fitting(&self, pattern: &crate::pattern::Pattern, line: &[u8], start: usize) -> Option<Span> {
        let mut at = start;
        loop {
            let (from, to) = pattern.find_at(line, at)?;
            if self.whole_lines {
                return (from == 0 && to == line.len()).then_some((from, to));
            }
            if !self.words {
                return Some((from, to));
            }
            // A shorter match at the same place may still be a word.
            let word =
                (from..=to).rev().find(|end| is_word(line, from, *end) && self.is_exact(pattern, line, from, *end));
            if let Some(end) = word {
                return Some((from, end));
            }
            at = from + 1;
            if at > line.len() {
                return None;
            }
        }
    }

    fn is_exact(&self, pattern: &crate::pattern::Pattern, line: &[u8], from: usize, to: usize) -> bool {
        debug_assert!(self.words);
        pattern.find_at(&line[..to], from) == Some((from, to))
    }

    fn all(&self, line: &[u8]) -> Vec<Span> {
        let mut spans = Vec::new();
        let mut at = 0;
        while let Some((from, to)) = self.next(line, at).filter(|_| at <= line.len()) {
            spans.push((from, to));
            at = if to > from { to } else { to + 1 };
        }
        spans
    }
}

fn is_word(line: &[u8], from: usize, to: usize) -> bool {
    let is_letter = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let before = from.checked_sub(1).and_then(|at| line.get(at));
    !is_letter(before) && !is_letter(line.get(to))
}
