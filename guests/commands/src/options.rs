//! Options as `getopt_long` reads them: bundled letters, abbreviated long names, values attached or apart, and `--`.

use crate::report::Stop;

/// The options of one command, separated by blanks: names joined by `/`, then `=` for a value or `?` for one that may be
/// attached. The first name is the one that is reported: `n/number c/bytes= color?`.
pub(crate) struct Spec {
    names: &'static str,
    /// Exit code of a wrong use.
    code: i32,
    /// Whether the first operand ends the options, as for commands that run other commands.
    operand_ends: bool,
}

impl Spec {
    pub(crate) const fn new(names: &'static str) -> Self {
        Self { names, code: 1, operand_ends: false }
    }

    pub(crate) const fn fails_with(self, code: i32) -> Self {
        Self { code, ..self }
    }

    pub(crate) const fn operand_ends(self) -> Self {
        Self { operand_ends: true, ..self }
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        self.names.split_ascii_whitespace().map(Entry::read)
    }

    fn letter(&self, letter: char) -> Option<Entry> {
        self.entries().find(|entry| entry.names.split('/').any(|name| name.chars().eq([letter])))
    }

    /// Returns the long options that `word` may stand for.
    fn long(&self, word: &str) -> Vec<(Entry, &'static str)> {
        let all = || self.entries().flat_map(|entry| entry.long_names().map(move |name| (entry, name)));
        let exact: Vec<_> = all().filter(|(_, name)| *name == word).collect();
        if exact.is_empty() { all().filter(|(_, name)| name.starts_with(word)).collect() } else { exact }
    }

    pub(crate) fn wrong(&self, command: &str, text: &str) -> Stop {
        Stop::code(self.code, format!("{text}\nTry '{command} --help' for more information."))
    }

    pub(crate) fn parse<'a>(&self, args: &'a [String]) -> Result<Options<'a>, Stop> {
        let mut reading = Reading { spec: self, args, at: 1, options: Options::default() };
        while let Some(word) = reading.next_word() {
            if word == "--" {
                reading.take_rest();
            } else if let Some(long) = word.strip_prefix("--") {
                reading.long(long)?;
            } else if word.len() > 1 && word.starts_with('-') {
                reading.letters(&word[1..])?;
            } else {
                reading.options.operands.push(word);
                if self.operand_ends {
                    reading.take_rest();
                }
            }
        }
        Ok(reading.options)
    }
}

#[derive(Clone, Copy)]
struct Entry {
    names: &'static str,
    value: Value,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    None,
    Needed,
    Attached,
}

impl Entry {
    fn read(text: &'static str) -> Self {
        if let Some(names) = text.strip_suffix('=') {
            Self { names, value: Value::Needed }
        } else if let Some(names) = text.strip_suffix('?') {
            Self { names, value: Value::Attached }
        } else {
            Self { names: text, value: Value::None }
        }
    }

    fn reported(self) -> &'static str {
        self.names.split('/').next().unwrap_or(self.names)
    }

    fn long_names(self) -> impl Iterator<Item = &'static str> {
        self.names.split('/').filter(|name| name.chars().count() > 1)
    }
}

/// What was found.
#[derive(Default)]
pub(crate) struct Options<'a> {
    pub(crate) found: Vec<Found<'a>>,
    pub(crate) operands: Vec<&'a str>,
}

/// One option, by its first name.
#[derive(Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) name: &'static str,
    pub(crate) value: Option<&'a str>,
}

impl<'a> Found<'a> {
    /// Returns the value of an option that has one.
    pub(crate) fn text(&self) -> &'a str {
        self.value.unwrap_or_default()
    }
}

impl<'a> Options<'a> {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.found.iter().any(|found| found.name == name)
    }

    /// Returns the value that was given last.
    pub(crate) fn value(&self, name: &str) -> Option<&'a str> {
        self.found.iter().rev().find(|found| found.name == name).map(Found::text)
    }

    /// Returns the operands, or standard input where there is none.
    pub(crate) fn inputs(&self) -> Vec<&'a str> {
        if self.operands.is_empty() { vec!["-"] } else { self.operands.clone() }
    }
}

struct Reading<'a, 's> {
    spec: &'s Spec,
    args: &'a [String],
    at: usize,
    options: Options<'a>,
}

impl<'a> Reading<'a, '_> {
    fn next_word(&mut self) -> Option<&'a str> {
        let word = self.args.get(self.at)?;
        self.at += 1;
        Some(word)
    }

    fn take_rest(&mut self) {
        let rest = self.args.get(self.at..).unwrap_or_default();
        self.options.operands.extend(rest.iter().map(String::as_str));
        self.at = self.args.len();
    }

    fn wrong(&self, text: &str) -> Stop {
        let command = self.args.first().map_or("command", String::as_str);
        self.spec.wrong(command, text)
    }

    fn add(&mut self, entry: Entry, value: Option<&'a str>) {
        self.options.found.push(Found { name: entry.reported(), value });
    }

    fn letters(&mut self, letters: &'a str) -> Result<(), Stop> {
        for (at, letter) in letters.char_indices() {
            let Some(entry) = self.spec.letter(letter) else {
                return Err(self.wrong(&format!("invalid option -- '{letter}'")));
            };
            let rest = &letters[at + letter.len_utf8()..];
            match entry.value {
                Value::None => self.add(entry, None),
                Value::Attached => {
                    self.add(entry, (!rest.is_empty()).then_some(rest));
                    return Ok(());
                }
                Value::Needed => return self.needed(entry, letter, rest),
            }
        }
        Ok(())
    }

    fn needed(&mut self, entry: Entry, letter: char, rest: &'a str) -> Result<(), Stop> {
        let value = if rest.is_empty() { self.next_word() } else { Some(rest) };
        if value.is_none() {
            return Err(self.wrong(&format!("option requires an argument -- '{letter}'")));
        }
        self.add(entry, value);
        Ok(())
    }

    fn long(&mut self, word: &'a str) -> Result<(), Stop> {
        let (name, attached) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let (entry, full) = self.one_of(name)?;
        let value = match entry.value {
            Value::None if attached.is_some() => {
                return Err(self.wrong(&format!("option '--{full}' doesn't allow an argument")));
            }
            Value::Needed if attached.is_none() => self.next_word(),
            _ => attached,
        };
        if entry.value == Value::Needed && value.is_none() {
            return Err(self.wrong(&format!("option '--{full}' requires an argument")));
        }
        self.add(entry, value);
        Ok(())
    }

    fn one_of(&self, name: &str) -> Result<(Entry, &'static str), Stop> {
        let candidates = self.spec.long(name);
        let first = candidates.first().ok_or_else(|| self.unknown(name))?;
        // Two names of one option are no choice.
        if candidates.iter().all(|(entry, _)| entry.names == first.0.names) {
            return Ok(*first);
        }
        let possible: Vec<String> = candidates.iter().map(|(_, name)| format!(" '--{name}'")).collect();
        Err(self.wrong(&format!("option '--{name}' is ambiguous; possibilities:{}", possible.concat())))
    }

    fn unknown(&self, name: &str) -> Stop {
        match name {
            "help" => Stop::Help,
            "version" => Stop::Version,
            _ => self.wrong(&format!("unrecognized option '--{name}'")),
        }
    }
}
