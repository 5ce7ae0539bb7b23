//! What the commands do, line by line.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use crate::Invocation;
use crate::input::{self, Chain};
use crate::pattern::Pattern;
use crate::report::{Outcome, Stop, reason, say};

use super::parse::{Action, Address, Command, Program, Substitution};
use super::replace::substitute;

pub(super) struct Settings {
    pub(super) quiet: bool,
    /// The suffix of what was there before.
    pub(super) in_place: Option<String>,
    pub(super) separate: bool,
    pub(super) end: u8,
}

/// Exit code when an input could not be read.
const UNREADABLE: i32 = 2;
const FAILED: i32 = 4;

pub(super) fn run(
    invocation: &mut Invocation<'_>,
    program: &Program,
    settings: &Settings,
    inputs: Vec<String>,
) -> Outcome {
    let inputs = if inputs.is_empty() { vec!["-".to_owned()] } else { inputs };
    if settings.in_place.is_some() && inputs.iter().any(|input| input == "-") {
        return Err(Stop::code(FAILED, "couldn't edit -: not a regular file"));
    }
    let lines = Lines {
        chain: Chain::new(invocation.cwd, invocation.stdin, inputs),
        settings,
        next: None,
        stderr: invocation.stderr,
        args: invocation.args,
        current: String::new(),
        begun: Vec::new(),
        code: 0,
    };
    let mut machine = Machine {
        program,
        settings,
        cwd: invocation.cwd,
        lines,
        output: Output { writer: invocation.stdout, edited: None, missing_end: false },
        space: Vec::new(),
        ended: true,
        hold: Vec::new(),
        number: 0,
        ranges: vec![Range::Outside; program.commands.len()],
        replaced: false,
        queue: Vec::new(),
        last_pattern: None,
        files: HashMap::new(),
        readers: HashMap::new(),
        restart: false,
    };
    machine.open_files()?;
    machine.all()
}

/// The lines of all inputs, with the next one known already, so that the last one knows itself.
struct Lines<'i> {
    chain: Chain<'i>,
    settings: &'i Settings,
    next: Option<Vec<u8>>,
    stderr: &'i mut dyn Write,
    args: &'i [String],
    current: String,
    /// Files that were opened while looking ahead, or just now.
    begun: Vec<String>,
    code: i32,
}

impl Lines<'_> {
    /// Fills `next`. Where files are apart, only within the current one, unless `over` says otherwise.
    fn look(&mut self, over: bool) -> Result<bool, Stop> {
        let mut line = Vec::new();
        while self.next.is_none() {
            match self.chain.record(self.settings.end, &mut line) {
                Ok(true) => {
                    self.next = Some(line);
                    return Ok(true);
                }
                Ok(false) => {}
                Err(Stop::Read(error)) => self.complain(&format!("read error on {}: {}", self.current, reason(&error))),
                Err(other) => return Err(other),
            }
            if self.settings.separate && !over {
                return Ok(false);
            }
            let Some((name, opened)) = self.chain.advance() else { return Ok(false) };
            match opened {
                Ok(()) => self.begun.push(name),
                Err(error) if error.kind() == std::io::ErrorKind::IsADirectory => {
                    if self.settings.in_place.is_none() {
                        return Err(Stop::code(FAILED, format!("read error on {name}: Is a directory")));
                    }
                    self.complain(&format!("couldn't edit {name}: not a regular file"));
                    self.code = FAILED;
                }
                Err(error) => self.complain(&format!("can't read {name}: {}", reason(&error))),
            }
        }
        Ok(true)
    }

    fn complain(&mut self, text: &str) {
        say(self.stderr, self.args, text);
        self.code = UNREADABLE;
    }
}

/// Where lines go: to standard output, or to what becomes the file that is edited.
struct Output<'o> {
    writer: &'o mut dyn Write,
    edited: Option<Vec<u8>>,
    missing_end: bool,
}

impl Output<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        match &mut self.edited {
            Some(edited) => edited.extend(bytes),
            None => self.writer.write_all(bytes)?,
        }
        Ok(())
    }

    /// Writes a line. One without an end gets it as soon as something follows.
    fn line(&mut self, line: &[u8], ended: bool, end: u8) -> Result<(), Stop> {
        self.complete(end)?;
        self.bytes(line)?;
        if ended {
            return self.bytes(&[end]);
        }
        self.missing_end = true;
        Ok(())
    }

    fn complete(&mut self, end: u8) -> Result<(), Stop> {
        if std::mem::take(&mut self.missing_end) { self.bytes(&[end]) } else { Ok(()) }
    }
}

/// Whether a range of lines has begun, and where it ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Range {
    Outside,
    Until(u64),
    Inside,
    /// It began before the first line, and ends nowhere else.
    Over,
}

enum Queued {
    Text(Vec<u8>),
    File(String),
}

/// What the next cycle begins with.
enum Flow {
    Next,
    Quit(i32),
    /// The next line is already in the pattern space.
    Restart,
    Jump(usize),
    GoOn,
}

struct Machine<'m> {
    program: &'m Program,
    settings: &'m Settings,
    cwd: &'m Path,
    lines: Lines<'m>,
    output: Output<'m>,
    space: Vec<u8>,
    /// Whether the line had an end.
    ended: bool,
    hold: Vec<u8>,
    number: u64,
    ranges: Vec<Range>,
    replaced: bool,
    queue: Vec<Queued>,
    last_pattern: Option<Pattern>,
    files: HashMap<String, Box<dyn Write>>,
    readers: HashMap<String, Option<BufReader<fs::File>>>,
    restart: bool,
}

impl Machine<'_> {
    /// Files that are written exist from the beginning on.
    fn open_files(&mut self) -> Result<(), Stop> {
        for command in &self.program.commands {
            let name = match &command.action {
                Action::Write(name) | Action::WriteFirst(name) => name,
                Action::Substitute(substitution) => match &substitution.write {
                    Some(name) => name,
                    None => continue,
                },
                _ => continue,
            };
            if !self.files.contains_key(name) && name != "/dev/stdout" {
                let file = input::create(self.cwd, name, false);
                let file =
                    file.map_err(|error| Stop::code(FAILED, format!("couldn't open file {name}: {}", reason(&error))))?;
                self.files.insert(name.clone(), file);
            }
        }
        Ok(())
    }

    fn all(&mut self) -> Outcome {
        let mut code = 0;
        // Before the first line, a range that begins at line zero has begun.
        for (range, command) in self.ranges.iter_mut().zip(&self.program.commands) {
            if matches!(command.from, Some(Address::Line(0))) {
                *range = Range::Inside;
            }
        }
        while self.restart || self.read(false)? {
            self.restart = false;
            match self.cycle()? {
                Flow::Quit(with) => {
                    code = with;
                    if self.settings.in_place.is_some() {
                        self.copy_rest()?;
                    }
                    break;
                }
                Flow::Restart => self.restart = true,
                _ => {}
            }
        }
        self.close_edited()?;
        Ok(if code == 0 { self.lines.code } else { code })
    }

    /// Reads the next line into the pattern space, or appends it.
    fn read(&mut self, append: bool) -> Result<bool, Stop> {
        if !self.lines.look(true)? {
            return Ok(false);
        }
        for name in std::mem::take(&mut self.lines.begun) {
            self.begin(name)?;
        }
        let mut line = self.lines.next.take().unwrap_or_default();
        self.ended = line.last() == Some(&self.settings.end);
        if self.ended {
            line.pop();
        }
        if append {
            self.space.push(self.settings.end);
            self.space.extend(line);
        } else {
            self.space = line;
        }
        self.number += 1;
        Ok(true)
    }

    fn begin(&mut self, name: String) -> Result<(), Stop> {
        if self.settings.in_place.is_some() {
            self.close_edited()?;
            self.output.edited = Some(Vec::new());
        }
        if self.settings.separate {
            self.number = 0;
        }
        self.lines.current = name;
        Ok(())
    }

    fn close_edited(&mut self) -> Result<(), Stop> {
        let Some(edited) = self.output.edited.take() else { return Ok(()) };
        self.output.missing_end = false;
        let path = self.cwd.join(&self.lines.current);
        let failed =
            |error: &std::io::Error| Stop::code(FAILED, format!("couldn't edit {}: {}", path.display(), reason(error)));
        if let Some(suffix) = self.settings.in_place.as_ref().filter(|suffix| !suffix.is_empty()) {
            fs::rename(&path, backup(&path, suffix)).map_err(|error| failed(&error))?;
        }
        fs::write(&path, edited).map_err(|error| failed(&error))
    }

    /// After `q` the rest of a file that is edited stays as it is.
    fn copy_rest(&mut self) -> Result<(), Stop> {
        while self.lines.look(false)? {
            let line = self.lines.next.take().unwrap_or_default();
            self.output.bytes(&line)?;
        }
        Ok(())
    }

    fn is_last(&mut self) -> Result<bool, Stop> {
        Ok(!self.lines.look(!self.settings.separate)?)
    }

    fn cycle(&mut self) -> Result<Flow, Stop> {
        self.replaced = false;
        let mut at = 0;
        let program = self.program;
        while let Some(command) = program.commands.get(at) {
            let selected = self.selects(at, command)? != command.negated;
            if !selected {
                at = if let Action::Block(end) = command.action { end } else { at + 1 };
                continue;
            }
            match self.perform(at, command)? {
                Flow::GoOn => at += 1,
                Flow::Jump(to) => at = to,
                Flow::Quit(code) => return Ok(Flow::Quit(code)),
                flow => {
                    self.flush()?;
                    return Ok(flow);
                }
            }
        }
        self.autoprint()?;
        self.flush()?;
        Ok(Flow::Next)
    }

    fn autoprint(&mut self) -> Result<(), Stop> {
        if self.settings.quiet { Ok(()) } else { self.print() }
    }

    fn print(&mut self) -> Result<(), Stop> {
        self.output.line(&self.space, self.ended, self.settings.end)
    }

    /// Writes what `a` and `r` queued.
    fn flush(&mut self) -> Result<(), Stop> {
        for queued in std::mem::take(&mut self.queue) {
            self.output.complete(self.settings.end)?;
            match queued {
                Queued::Text(text) => self.output.bytes(&text)?,
                // A file that is not there has no lines.
                Queued::File(name) => {
                    if let Ok(content) = fs::read(self.cwd.join(name)) {
                        self.output.bytes(&content)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn selects(&mut self, at: usize, command: &Command) -> Result<bool, Stop> {
        let Some(from) = &command.from else { return Ok(true) };
        let Some(to) = &command.to else { return self.matches(from) };
        match self.ranges[at] {
            Range::Over => Ok(false),
            Range::Until(line) => {
                if self.number >= line {
                    self.ranges[at] = Range::Outside;
                }
                Ok(self.number <= line || self.begins(at, from, to)?)
            }
            Range::Inside => {
                if self.ends(to)? {
                    self.ranges[at] = if matches!(from, Address::Line(0)) { Range::Over } else { Range::Outside };
                }
                Ok(true)
            }
            Range::Outside => self.begins(at, from, to),
        }
    }

    fn begins(&mut self, at: usize, from: &Address, to: &Address) -> Result<bool, Stop> {
        if !self.matches(from)? {
            return Ok(false);
        }
        self.ranges[at] = match to {
            Address::Line(line) if *line <= self.number => Range::Outside,
            Address::Line(line) => Range::Until(*line),
            Address::After(0) => Range::Outside,
            Address::After(count) => Range::Until(self.number + count),
            Address::Multiple(step) if *step == 0 || self.number.is_multiple_of(*step) => Range::Outside,
            Address::Multiple(step) => Range::Until(self.number.next_multiple_of(*step)),
            _ => Range::Inside,
        };
        Ok(true)
    }

    fn ends(&mut self, to: &Address) -> Result<bool, Stop> {
        self.matches(to)
    }

    fn matches(&mut self, address: &Address) -> Result<bool, Stop> {
        Ok(match address {
            Address::Line(line) => self.number == *line,
            Address::Last => self.is_last()?,
            Address::Step(first, 0) => self.number == *first,
            Address::Step(first, step) => self.number >= *first && (self.number - first).is_multiple_of(*step),
            Address::Matching(pattern) => self.pattern(pattern.as_ref())?.is_match(&self.space),
            Address::After(_) | Address::Multiple(_) => false,
        })
    }

    /// Returns a pattern, or the one that was used last.
    fn pattern(&mut self, pattern: Option<&Pattern>) -> Result<Pattern, Stop> {
        if let Some(pattern) = pattern {
            self.last_pattern = Some(pattern.clone());
        }
        self.last_pattern.clone().ok_or_else(|| Stop::failed("no previous regular expression"))
    }

    fn perform(&mut self, at: usize, command: &Command) -> Result<Flow, Stop> {
        match &command.action {
            Action::Block(_) => {}
            Action::Append(text) => self.queue.push(Queued::Text(text.clone())),
            Action::Insert(text) => {
                self.output.complete(self.settings.end)?;
                self.output.bytes(text)?;
            }
            Action::Change(text) => {
                let inside =
                    command.to.is_some() && !command.negated && self.ranges[at] != Range::Outside && !self.is_last()?;
                if !inside {
                    self.output.complete(self.settings.end)?;
                    self.output.bytes(text)?;
                }
                return Ok(Flow::Next);
            }
            Action::Branch(to) => return Ok(Flow::Jump(*to)),
            Action::BranchIf(to) => {
                if std::mem::take(&mut self.replaced) {
                    return Ok(Flow::Jump(*to));
                }
            }
            Action::BranchUnless(to) => {
                if !std::mem::take(&mut self.replaced) {
                    return Ok(Flow::Jump(*to));
                }
            }
            Action::Delete => return Ok(Flow::Next),
            Action::DeleteFirst => {
                let Some(end) = self.space.iter().position(|byte| *byte == self.settings.end) else {
                    return Ok(Flow::Next);
                };
                self.space.drain(..=end);
                return Ok(Flow::Restart);
            }
            Action::FileName => {
                let name = self.lines.current.clone();
                self.output.line(name.as_bytes(), true, b'\n')?;
            }
            Action::Get => self.space.clone_from(&self.hold),
            Action::GetAppend => {
                self.space.push(self.settings.end);
                self.space.extend(&self.hold);
            }
            Action::Hold => self.hold.clone_from(&self.space),
            Action::HoldAppend => {
                self.hold.push(self.settings.end);
                self.hold.extend(&self.space);
            }
            Action::Exchange => std::mem::swap(&mut self.space, &mut self.hold),
            Action::List => {
                let shown = listed(&self.space);
                self.output.complete(self.settings.end)?;
                self.output.bytes(&shown)?;
            }
            Action::Next => {
                if self.is_over()? {
                    return self.quit(0);
                }
                self.autoprint()?;
                self.flush()?;
                self.read(false)?;
            }
            Action::NextAppend => {
                if self.is_over()? {
                    return self.quit(0);
                }
                self.flush()?;
                self.read(true)?;
            }
            Action::Print => self.print()?,
            Action::PrintFirst => {
                let end = self.space.iter().position(|byte| *byte == self.settings.end).unwrap_or(self.space.len());
                let line = self.space[..end].to_vec();
                self.output.line(&line, true, self.settings.end)?;
            }
            Action::Quit(code) => return self.quit(*code),
            Action::QuitQuietly(code) => return Ok(Flow::Quit(*code)),
            Action::Read(name) => self.queue.push(Queued::File(name.clone())),
            Action::ReadLine(name) => self.queue_line(name)?,
            Action::Substitute(substitution) => self.substitute(substitution)?,
            Action::Write(name) => {
                let line = self.space.clone();
                self.write(name, &line)?;
            }
            Action::WriteFirst(name) => {
                let end = self.space.iter().position(|byte| *byte == self.settings.end).unwrap_or(self.space.len());
                let line = self.space[..end].to_vec();
                self.write(name, &line)?;
            }
            Action::Translate(pairs) => self.space = translated(&self.space, pairs),
            Action::Zap => self.space.clear(),
            Action::Number => {
                let number = self.number.to_string();
                self.output.line(number.as_bytes(), true, b'\n')?;
            }
        }
        Ok(Flow::GoOn)
    }

    fn is_over(&mut self) -> Result<bool, Stop> {
        Ok(!self.lines.look(true)?)
    }

    fn quit(&mut self, code: i32) -> Result<Flow, Stop> {
        self.autoprint()?;
        self.flush()?;
        Ok(Flow::Quit(code))
    }

    fn queue_line(&mut self, name: &str) -> Result<(), Stop> {
        let path = self.cwd.join(name);
        let reader = self.readers.entry(name.to_owned()).or_insert_with(|| input::file(&path).ok());
        let mut line = Vec::new();
        if let Some(reader) = reader
            && input::record(reader as &mut dyn BufRead, b'\n', &mut line)?
        {
            if line.last() != Some(&b'\n') {
                line.push(b'\n');
            }
            self.queue.push(Queued::Text(line));
        }
        Ok(())
    }

    fn substitute(&mut self, substitution: &Substitution) -> Result<(), Stop> {
        let pattern = self.pattern(substitution.pattern.as_ref())?;
        let Some(replaced) = substitute(substitution, &pattern, &self.space) else { return Ok(()) };
        self.space = replaced;
        self.replaced = true;
        if substitution.print {
            self.print()?;
        }
        if let Some(name) = &substitution.write {
            let line = self.space.clone();
            self.write(name, &line)?;
        }
        Ok(())
    }

    fn write(&mut self, name: &str, line: &[u8]) -> Result<(), Stop> {
        let line = [line, &[self.settings.end]].concat();
        match self.files.get_mut(name) {
            Some(file) => file.write_all(&line)?,
            None => self.output.bytes(&line)?,
        }
        Ok(())
    }
}

/// A star in the suffix stands for the file's name.
fn backup(path: &Path, suffix: &str) -> std::path::PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = if suffix.contains('*') { suffix.replace('*', &name) } else { format!("{name}{suffix}") };
    path.with_file_name(name)
}

fn translated(text: &[u8], pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut output = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        if let Some((from, to)) = pairs.iter().find(|(from, _)| text[at..].starts_with(from)) {
            output.extend(to);
            at += from.len();
        } else {
            output.push(text[at]);
            at += 1;
        }
    }
    output
}

/// Returns a line unambiguously, as `l` shows it: 69 characters and a backslash at most.
fn listed(text: &[u8]) -> Vec<u8> {
    const WIDTH: usize = 69;
    let mut shown = String::new();
    let mut column = 0;
    for byte in text {
        let piece = match byte {
            b'\\' => "\\\\".to_owned(),
            7 => "\\a".to_owned(),
            8 => "\\b".to_owned(),
            12 => "\\f".to_owned(),
            b'\n' => "\\n".to_owned(),
            b'\r' => "\\r".to_owned(),
            b'\t' => "\\t".to_owned(),
            11 => "\\v".to_owned(),
            b' '..=b'~' => char::from(*byte).to_string(),
            other => format!("\\{other:03o}"),
        };
        if column + piece.len() > WIDTH {
            shown.push_str("\\\n");
            column = 0;
        }
        column += piece.len();
        shown.push_str(&piece);
    }
    shown.push_str("$\n");
    shown.into_bytes()
}
