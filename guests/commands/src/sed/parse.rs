//! A script to a list of commands.

use std::collections::HashMap;

use crate::pattern::{Dialect, Pattern, Syntax};
use crate::report::Stop;

use super::replace::Replacement;

/// A script; blocks and branches are places in the list.
pub(super) struct Program {
    pub(super) commands: Vec<Command>,
}

pub(super) struct Command {
    pub(super) from: Option<Address>,
    pub(super) to: Option<Address>,
    pub(super) negated: bool,
    pub(super) action: Action,
}

#[derive(Clone)]
pub(super) enum Address {
    Line(u64),
    Last,
    /// `first~step`
    Step(u64, u64),
    /// None is the pattern that was used last.
    Matching(Option<Pattern>),
    /// `addr,+n`
    After(u64),
    /// `addr,~n`
    Multiple(u64),
}

pub(super) enum Action {
    /// `{`: to where a line goes that it does not select.
    Block(usize),
    Append(Vec<u8>),
    Insert(Vec<u8>),
    Change(Vec<u8>),
    Branch(usize),
    BranchIf(usize),
    BranchUnless(usize),
    Delete,
    DeleteFirst,
    FileName,
    Get,
    GetAppend,
    Hold,
    HoldAppend,
    List,
    Next,
    NextAppend,
    Print,
    PrintFirst,
    Quit(i32),
    QuitQuietly(i32),
    Read(String),
    ReadLine(String),
    Substitute(Box<Substitution>),
    Write(String),
    WriteFirst(String),
    Exchange,
    Translate(Pairs),
    Zap,
    Number,
}

/// Characters, and what they become.
pub(super) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

pub(super) struct Substitution {
    pub(super) pattern: Option<Pattern>,
    pub(super) replacement: Replacement,
    pub(super) global: bool,
    pub(super) print: bool,
    /// Which match is the first to be replaced, from 1.
    pub(super) number: usize,
    pub(super) write: Option<String>,
}

/// A script with more commands than these was not written by hand.
const MAX_COMMANDS: usize = 10_000;

pub(super) fn parse(script: &str, extended: bool, null_data: bool) -> Result<Program, Stop> {
    let mut parser = Parser {
        text: script.chars().collect(),
        at: 0,
        syntax: if extended { Syntax::Extended } else { Syntax::Basic },
        null_data,
        commands: Vec::new(),
        open: Vec::new(),
        labels: HashMap::new(),
        jumps: Vec::new(),
    };
    parser.all()?;
    parser.settle()
}

struct Parser {
    text: Vec<char>,
    at: usize,
    syntax: Syntax,
    null_data: bool,
    commands: Vec<Command>,
    open: Vec<usize>,
    labels: HashMap<String, usize>,
    jumps: Vec<(usize, String)>,
}

impl Parser {
    fn wrong(&self, what: &str) -> Stop {
        Stop::failed(format!("-e expression #1, char {}: {what}", self.at))
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += 1;
        Some(character)
    }

    fn skip(&mut self, skipped: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&skipped) {
            self.at += 1;
        }
    }

    fn blanks(&mut self) {
        self.skip(|c| c.is_whitespace() && c != '\n');
    }

    fn all(&mut self) -> Result<(), Stop> {
        loop {
            self.skip(|c| c.is_whitespace() || c == ';');
            if self.peek().is_none() {
                return Ok(());
            }
            self.command()?;
            if self.commands.len() > MAX_COMMANDS {
                return Err(self.wrong("too many commands"));
            }
        }
    }

    /// Fills in the places that labels stand for.
    fn settle(mut self) -> Result<Program, Stop> {
        if !self.open.is_empty() {
            return Err(Stop::failed("-e expression #1, char 0: unmatched `{'"));
        }
        for (at, label) in std::mem::take(&mut self.jumps) {
            let end = self.commands.len();
            let known = if label.is_empty() { Some(end) } else { self.labels.get(&label).copied() };
            let place = known.ok_or_else(|| {
                Stop::failed(format!("-e expression #1, char {}: can't find label for jump to `{label}'", self.at))
            })?;
            if let Action::Branch(to) | Action::BranchIf(to) | Action::BranchUnless(to) = &mut self.commands[at].action
            {
                *to = place;
            }
        }
        Ok(Program { commands: self.commands })
    }

    fn number(&mut self) -> Option<u64> {
        let start = self.at;
        self.skip(|c| c.is_ascii_digit());
        self.text[start..self.at].iter().collect::<String>().parse().ok()
    }

    fn address(&mut self) -> Result<Option<Address>, Stop> {
        let Some(first) = self.peek() else { return Ok(None) };
        let address = match first {
            '0'..='9' => {
                let line = self.number().ok_or_else(|| self.wrong("invalid number"))?;
                if self.peek() == Some('~') {
                    self.at += 1;
                    Address::Step(line, self.number().unwrap_or(0))
                } else {
                    Address::Line(line)
                }
            }
            '$' => {
                self.at += 1;
                Address::Last
            }
            '/' | '\\' => {
                self.at += 1;
                let delimiter =
                    if first == '/' { '/' } else { self.next().ok_or_else(|| self.wrong("unexpected `,'"))? };
                let source = self.delimited(delimiter, true).ok_or_else(|| self.wrong("unterminated address regex"))?;
                let (mut fold, mut lines) = (false, false);
                while let Some(flag) = self.peek().filter(|c| matches!(c, 'I' | 'M')) {
                    fold |= flag == 'I';
                    lines |= flag == 'M';
                    self.at += 1;
                }
                Address::Matching(self.pattern(&source, fold, lines)?)
            }
            _ => return Ok(None),
        };
        Ok(Some(address))
    }

    /// An empty pattern is the one that was used last.
    fn pattern(&self, source: &str, ignore_case: bool, lines: bool) -> Result<Option<Pattern>, Stop> {
        if source.is_empty() {
            return Ok(None);
        }
        let dialect = Dialect { ignore_case, lines, controls: true, ..Dialect::of(self.syntax) };
        let compiled = Pattern::new(source, dialect);
        let compiled = compiled.map_err(|stop| self.wrong(&stop.to_string()))?;
        debug_assert!(compiled.groups() <= source.len());
        Ok(Some(compiled))
    }

    /// Reads up to the delimiter. One that is escaped is a plain character of the pattern.
    fn delimited(&mut self, delimiter: char, is_pattern: bool) -> Option<String> {
        let mut text = String::new();
        loop {
            let character = self.next()?;
            if character == delimiter {
                return Some(text);
            }
            if character != '\\' {
                text.push(character);
                continue;
            }
            let escaped = self.next()?;
            match escaped {
                escaped if escaped == delimiter => {
                    // In a replacement `\&` must stay escaped.
                    if !is_pattern && matches!(escaped, '&' | '\\') {
                        text.push('\\');
                    }
                    text.push(escaped);
                }
                '\n' if is_pattern => text.push('\n'),
                escaped => text.extend(['\\', escaped]),
            }
        }
    }

    fn range_end(&mut self) -> Result<Option<Address>, Stop> {
        if self.peek() != Some(',') {
            return Ok(None);
        }
        self.at += 1;
        self.blanks();
        let end = match self.peek() {
            Some('+') => {
                self.at += 1;
                self.number().map(Address::After)
            }
            Some('~') => {
                self.at += 1;
                self.number().map(Address::Multiple)
            }
            _ => self.address()?,
        };
        end.map(Some).ok_or_else(|| self.wrong("unexpected `,'"))
    }

    fn command(&mut self) -> Result<(), Stop> {
        let from = self.address()?;
        self.blanks();
        let to = if from.is_some() { self.range_end()? } else { None };
        if matches!(from, Some(Address::Line(0))) && !matches!(to, Some(Address::Matching(_))) {
            return Err(self.wrong("invalid usage of line address 0"));
        }
        self.blanks();
        let mut negated = false;
        while self.peek() == Some('!') {
            self.at += 1;
            negated = true;
            self.blanks();
        }
        let Some(letter) = self.next() else { return Err(self.wrong("missing command")) };
        if from.is_some() && matches!(letter, ':' | '}' | '#') {
            let what = match letter {
                ':' => ": doesn't want any addresses",
                '}' => "} doesn't want any addresses",
                _ => "comments don't accept any addresses",
            };
            return Err(self.wrong(what));
        }
        let Some(action) = self.action(letter)? else { return Ok(()) };
        self.commands.push(Command { from, to, negated, action });
        if !matches!(letter, '{' | 'a' | 'i' | 'c' | '}') {
            self.end()?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Stop> {
        self.blanks();
        match self.peek() {
            None | Some('\n' | ';' | '}' | '#') => Ok(()),
            Some(_) => {
                self.at += 1;
                Err(self.wrong("extra characters after command"))
            }
        }
    }

    /// Reads the rest of a command; none where nothing is to be done.
    fn action(&mut self, letter: char) -> Result<Option<Action>, Stop> {
        Ok(Some(match letter {
            '{' => {
                self.open.push(self.commands.len());
                Action::Block(usize::MAX)
            }
            '}' => {
                let open = self.open.pop().ok_or_else(|| self.wrong("unexpected `}'"))?;
                self.commands[open].action = Action::Block(self.commands.len());
                self.end()?;
                return Ok(None);
            }
            '#' => {
                self.skip(|c| c != '\n');
                return Ok(None);
            }
            ':' => {
                let label = self.label();
                if label.is_empty() {
                    return Err(self.wrong("\":\" lacks a label"));
                }
                self.labels.insert(label, self.commands.len());
                return Ok(None);
            }
            'b' | 't' | 'T' => {
                let label = self.label();
                self.jumps.push((self.commands.len(), label));
                match letter {
                    'b' => Action::Branch(0),
                    't' => Action::BranchIf(0),
                    _ => Action::BranchUnless(0),
                }
            }
            'a' => Action::Append(self.lines()?),
            'i' => Action::Insert(self.lines()?),
            'c' => Action::Change(self.lines()?),
            'd' => Action::Delete,
            'D' => Action::DeleteFirst,
            'F' => Action::FileName,
            'g' => Action::Get,
            'G' => Action::GetAppend,
            'h' => Action::Hold,
            'H' => Action::HoldAppend,
            'l' => {
                self.blanks();
                self.number();
                Action::List
            }
            'n' => Action::Next,
            'N' => Action::NextAppend,
            'p' => Action::Print,
            'P' => Action::PrintFirst,
            'q' => Action::Quit(self.code()),
            'Q' => Action::QuitQuietly(self.code()),
            'r' => Action::Read(self.file()?),
            'R' => Action::ReadLine(self.file()?),
            's' => Action::Substitute(Box::new(self.substitution()?)),
            'w' => Action::Write(self.file()?),
            'W' => Action::WriteFirst(self.file()?),
            'x' => Action::Exchange,
            'y' => Action::Translate(self.translation()?),
            'z' => Action::Zap,
            '=' => Action::Number,
            other => return Err(self.wrong(&format!("unknown command: `{other}'"))),
        }))
    }

    fn label(&mut self) -> String {
        self.blanks();
        let start = self.at;
        self.skip(|c| !matches!(c, '\n' | ';' | '}'));
        self.text[start..self.at].iter().collect::<String>().trim_end().to_owned()
    }

    fn code(&mut self) -> i32 {
        self.blanks();
        self.number().and_then(|code| i32::try_from(code).ok()).unwrap_or(0)
    }

    fn file(&mut self) -> Result<String, Stop> {
        self.blanks();
        let start = self.at;
        self.skip(|c| c != '\n');
        let name: String = self.text[start..self.at].iter().collect();
        if name.is_empty() { Err(self.wrong("missing filename in r/R/w/W commands")) } else { Ok(name) }
    }

    /// Reads the text of `a`, `i` and `c`: after a backslash and a newline, or on the same line.
    fn lines(&mut self) -> Result<Vec<u8>, Stop> {
        self.blanks();
        if self.peek() == Some('\\') {
            self.at += 1;
            let before = self.at;
            self.blanks();
            if self.peek().is_none() {
                return Ok(Vec::new());
            }
            if self.peek() == Some('\n') {
                self.at += 1;
            } else {
                self.at = before;
            }
        }
        if self.peek().is_none() {
            return Err(self.wrong("expected \\ after `a', `c' or `i'"));
        }
        let mut text = String::new();
        while let Some(character) = self.next() {
            match character {
                '\n' => break,
                '\\' => text.extend(self.next()),
                other => text.push(other),
            }
        }
        text.push('\n');
        Ok(text.into_bytes())
    }

    fn substitution(&mut self) -> Result<Substitution, Stop> {
        let unterminated = "unterminated `s' command";
        let delimiter = self.next().filter(|c| *c != '\n' && *c != '\\').ok_or_else(|| self.wrong(unterminated))?;
        let source = self.delimited(delimiter, true).ok_or_else(|| self.wrong(unterminated))?;
        let replacement = self.delimited(delimiter, false).ok_or_else(|| self.wrong(unterminated))?;
        let mut found = Substitution {
            pattern: None,
            replacement: Replacement::parse(&replacement),
            global: false,
            print: false,
            number: 1,
            write: None,
        };
        let (mut fold, mut lines) = (false, false);
        while let Some(flag) = self.peek() {
            match flag {
                'g' => found.global = true,
                'p' => found.print = true,
                'i' | 'I' => fold = true,
                'm' | 'M' => lines = true,
                'w' => {
                    self.at += 1;
                    found.write = Some(self.file()?);
                    break;
                }
                '0'..='9' => {
                    let number =
                        self.number().and_then(|number| usize::try_from(number).ok()).filter(|number| *number > 0);
                    found.number = number.ok_or_else(|| self.wrong("number option to `s' command may not be zero"))?;
                    continue;
                }
                '\n' | ';' | '}' | '#' => break,
                c if c.is_whitespace() => {}
                _ => {
                    self.at += 1;
                    return Err(self.wrong("unknown option to `s'"));
                }
            }
            self.at += 1;
        }
        found.pattern = self.pattern(&source, fold, lines)?;
        let groups = found.pattern.as_ref().map_or(9, Pattern::groups);
        if let Some(group) = found.replacement.highest_group().filter(|group| *group > groups) {
            return Err(self.wrong(&format!("invalid reference \\{group} on `s' command's RHS")));
        }
        debug_assert!(!self.null_data || found.number > 0);
        Ok(found)
    }

    fn translation(&mut self) -> Result<Pairs, Stop> {
        let unterminated = "unterminated `y' command";
        let delimiter = self.next().ok_or_else(|| self.wrong(unterminated))?;
        let from = self.delimited(delimiter, true).ok_or_else(|| self.wrong(unterminated))?;
        let to = self.delimited(delimiter, true).ok_or_else(|| self.wrong(unterminated))?;
        let (from, to) = (characters(&from), characters(&to));
        if from.len() != to.len() {
            return Err(self.wrong("strings for `y' command are different lengths"));
        }
        Ok(from.into_iter().zip(to).collect())
    }
}

/// Returns the characters that a string of `y` names.
fn characters(text: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        let meant = match character {
            '\\' => match rest.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        };
        found.push(meant.to_string().into_bytes());
    }
    found
}
