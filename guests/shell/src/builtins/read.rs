//! `read`, `mapfile` and `getopts`.
#![expect(clippy::unnecessary_wraps, reason = "every built-in has the same type")]

use std::io::BufRead;

use crate::shell::Shell;
use crate::stop::{Complaint, Run};
use crate::variables::is_name;

/// Bytes of one line: more is no line of a text.
const MAX_LINE_BYTES: usize = 4 << 20;

/// Elements that `mapfile` reads.
const MAX_LINES: usize = 1_000_000;

/// What `read` was asked for.
struct Request<'a> {
    raw: bool,
    array: Option<&'a str>,
    delimiter: u8,
    /// Characters to read at most, and whether a delimiter ends it before.
    count: Option<(usize, bool)>,
    descriptor: i32,
    names: Vec<&'a str>,
}

/// Returns the value of an option: the rest of its word or the next one.
fn value<'a>(letters: &'a str, at: usize, rest: &mut &'a [String]) -> Option<&'a str> {
    let behind = &letters[at + 1..];
    if !behind.is_empty() {
        return Some(behind);
    }
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(first)
}

impl<'a> Request<'a> {
    fn parse(words: &'a [String]) -> Result<Self, Complaint> {
        let mut request =
            Self { raw: false, array: None, delimiter: b'\n', count: None, descriptor: 0, names: Vec::new() };
        let mut rest = &words[1..];
        while let [word, after @ ..] = rest {
            let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else { break };
            rest = after;
            if letters == "-" {
                break;
            }
            for (at, letter) in letters.char_indices() {
                if matches!(letter, 'r' | 's' | 'e') {
                    request.raw |= letter == 'r';
                    continue;
                }
                if !"adnNpitu".contains(letter) {
                    return Err(Complaint(format!("-{letter}: invalid option")));
                }
                let value = value(letters, at, &mut rest)
                    .ok_or_else(|| Complaint(format!("-{letter}: option requires an argument")))?;
                request.option(letter, value)?;
                break;
            }
        }
        request.names = rest.iter().map(String::as_str).collect();
        match request.names.iter().find(|name| !is_name(name.split('[').next().unwrap_or_default())) {
            Some(name) => Err(Complaint(format!("`{name}': not a valid identifier"))),
            None => Ok(request),
        }
    }

    fn option(&mut self, letter: char, value: &'a str) -> Result<(), Complaint> {
        let number = || value.parse::<usize>().map_err(|_| Complaint(format!("{value}: invalid number")));
        match letter {
            'a' => self.array = Some(value),
            'd' => self.delimiter = value.bytes().next().unwrap_or(0),
            'n' => self.count = Some((number()?, true)),
            'N' => self.count = Some((number()?, false)),
            'u' => {
                self.descriptor =
                    value.parse().map_err(|_| Complaint(format!("{value}: invalid file descriptor specification")))?;
            }
            // A prompt, a first text and a time mean something at a terminal.
            _ => {}
        }
        Ok(())
    }
}

/// `read`
pub fn read(shell: &mut Shell, words: &[String]) -> Run<i32> {
    let request = match Request::parse(words) {
        Ok(request) => request,
        Err(reason) => {
            shell.complain(format!("read: {reason}"));
            return Ok(2);
        }
    };
    let source = shell.state.descriptors.source(request.descriptor);
    let mut reader = source.take();
    let (line, ended) = line(&mut *reader, &request);
    source.put_back(reader);
    let stored = store(shell, &request, &line);
    if let Err(reason) = stored {
        shell.complain(format!("read: {reason}"));
        return Ok(1);
    }
    Ok(i32::from(!ended))
}

/// A character of a line, and whether a backslash stood before it.
type Read = Vec<(char, bool)>;

/// Returns what was read, and whether it ended before the input did.
fn line(reader: &mut dyn BufRead, request: &Request<'_>) -> (Read, bool) {
    let (mut bytes, mut literal) = (Vec::new(), Vec::new());
    let (mut ended, mut escaped) = (false, false);
    while bytes.len() < MAX_LINE_BYTES {
        if let Some((count, _)) = request.count {
            let complete = bytes.last().is_none_or(|_| std::str::from_utf8(&bytes).is_ok());
            if complete && String::from_utf8_lossy(&bytes).chars().count() >= count {
                ended = true;
                break;
            }
        }
        let Some(byte) = next(reader) else { break };
        let delimits = request.count.is_none_or(|(_, delimits)| delimits);
        if byte == request.delimiter && delimits && !escaped {
            ended = true;
            break;
        }
        if byte == b'\\' && !request.raw && !escaped {
            escaped = true;
            continue;
        }
        if !(escaped && byte == b'\n') {
            bytes.push(byte);
            literal.push(escaped);
        }
        escaped = false;
    }
    let text = String::from_utf8_lossy(&bytes);
    let of = |(at, char)| (char, literal.get(at).copied().unwrap_or(false));
    (text.char_indices().map(of).collect(), ended)
}

fn next(reader: &mut dyn BufRead) -> Option<u8> {
    let byte = *reader.fill_buf().ok()?.first()?;
    reader.consume(1);
    Some(byte)
}

fn text(chars: &[(char, bool)]) -> String {
    chars.iter().map(|(char, _)| char).collect()
}

fn store(shell: &mut Shell, request: &Request<'_>, line: &Read) -> Result<(), Complaint> {
    let separators = shell.separators();
    let exact = matches!(request.count, Some((_, false)));
    if let Some(array) = request.array {
        let fields = fields(line, &separators, usize::MAX);
        return shell.assign_list(array, fields);
    }
    if request.names.is_empty() {
        return shell.store("REPLY", None, text(line));
    }
    let mut fields = if exact { vec![text(line)] } else { fields(line, &separators, request.names.len()) }.into_iter();
    for name in &request.names {
        let value = fields.next().unwrap_or_default();
        match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
            Some((name, subscript)) => shell.store(name, Some(subscript), value)?,
            None => shell.store(name, None, value)?,
        }
    }
    Ok(())
}

/// Splits a line into at most `most` fields; the last one takes the rest as it stands.
fn fields(line: &Read, separators: &str, most: usize) -> Vec<String> {
    let is = |(char, escaped): &(char, bool)| !escaped && separators.contains(*char);
    let is_space = |read: &(char, bool)| is(read) && matches!(read.0, ' ' | '\t' | '\n');
    let skip = |mut at: usize| {
        while line.get(at).is_some_and(is_space) {
            at += 1;
        }
        at
    };
    let (mut found, mut at) = (Vec::new(), skip(0));
    while at < line.len() {
        if found.len() + 1 == most {
            found.push(text(trimmed(&line[at..], &is, &is_space)));
            break;
        }
        let end = line[at..].iter().position(is).map_or(line.len(), |length| at + length);
        found.push(text(&line[at..end]));
        at = skip(end);
        if line.get(at).is_some_and(|read| is(read) && !is_space(read)) {
            at = skip(at + 1);
        }
    }
    found
}

/// Returns what the last name gets: without the white space at its end, and without one separator that ends the line's
/// only field.
fn trimmed<'a>(
    rest: &'a [(char, bool)],
    is: &impl Fn(&(char, bool)) -> bool,
    is_space: &impl Fn(&(char, bool)) -> bool,
) -> &'a [(char, bool)] {
    let without_space = |rest: &'a [(char, bool)]| {
        let end = rest.iter().rposition(|read| !is_space(read)).map_or(0, |last| last + 1);
        &rest[..end]
    };
    let rest = without_space(rest);
    match rest.split_last() {
        Some((last, before)) if is(last) && !before.iter().any(is) => without_space(before),
        _ => rest,
    }
}

/// `mapfile`
pub fn mapfile(shell: &mut Shell, words: &[String]) -> Run<i32> {
    let (mut strip, mut delimiter, mut descriptor, mut most, mut skip, mut origin) = (false, b'\n', 0, 0, 0, None);
    let mut rest = &words[1..];
    while let [word, after @ ..] = rest {
        let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else { break };
        rest = after;
        for (at, letter) in letters.char_indices() {
            if letter == 't' {
                strip = true;
                continue;
            }
            let value = value(letters, at, &mut rest).unwrap_or_default();
            let number = || value.parse::<usize>().unwrap_or(0);
            match letter {
                'd' => delimiter = value.bytes().next().unwrap_or(0),
                'n' => most = number(),
                'u' => descriptor = value.parse().unwrap_or(0),
                's' => skip = number(),
                'O' => origin = Some(number()),
                _ => {
                    shell.complain(format!("{}: -{letter}: invalid option", words[0]));
                    return Ok(2);
                }
            }
            break;
        }
    }
    let name = rest.first().map_or("MAPFILE", String::as_str);
    let source = shell.state.descriptors.source(descriptor);
    let mut reader = source.take();
    let mut lines = Vec::new();
    let limit = if most == 0 { MAX_LINES } else { most.saturating_add(skip).min(MAX_LINES) };
    while lines.len() < limit {
        let mut bytes = Vec::new();
        if !reader.read_until(delimiter, &mut bytes).is_ok_and(|count| count > 0) {
            break;
        }
        if strip && bytes.last() == Some(&delimiter) {
            bytes.pop();
        }
        lines.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    source.put_back(reader);
    let lines = lines.into_iter().skip(skip);
    let stored = match origin {
        None => shell.assign_list(name, lines.collect()),
        Some(origin) => shell.state.variables.get_mut(name).map(|variable| {
            variable.indexed().extend(lines.enumerate().map(|(index, line)| (origin + index, line)));
        }),
    };
    Ok(stored.map_or_else(
        |reason| {
            shell.complain(format!("{}: {}", words[0], reason.0));
            1
        },
        |()| 0,
    ))
}

/// `getopts`
pub fn getopts(shell: &mut Shell, words: &[String]) -> Run<i32> {
    let (Some(letters), Some(name)) = (words.get(1), words.get(2)) else {
        shell.complain("getopts: usage: getopts optstring name [arg ...]");
        return Ok(2);
    };
    let arguments = if words.len() > 3 { words[3..].to_vec() } else { shell.state.positional.clone() };
    let index = shell.text("OPTIND").and_then(|text| text.parse::<usize>().ok()).unwrap_or(1).max(1);
    let step = step(letters, &arguments, index, shell.option_at);
    let Step { option, value, index, at, message } = step;
    let silent = letters.starts_with(':');
    if let (Some(message), false) = (&message, silent) {
        let text = format!("{}: {message}\n", shell.name);
        shell.error(&text);
    }
    let stored = [
        (name.as_str(), Some(option.map_or_else(|| "?".to_owned(), |option| option.to_string()))),
        ("OPTARG", value.filter(|_| message.is_none() || silent)),
        ("OPTIND", Some(index.to_string())),
    ];
    for (name, text) in stored {
        let done = if let Some(text) = text {
            shell.assign_text(name, text)
        } else {
            shell.state.variables.remove(name);
            Ok(())
        };
        if let Err(reason) = done {
            shell.complain(format!("getopts: {}", reason.0));
            return Ok(1);
        }
    }
    shell.option_at = at;
    Ok(i32::from(option.is_none()))
}

/// One option found, and where to go on.
struct Step {
    /// What the name becomes; none at the end.
    option: Option<char>,
    value: Option<String>,
    index: usize,
    at: usize,
    message: Option<String>,
}

fn step(letters: &str, arguments: &[String], index: usize, at: usize) -> Step {
    let end = |index| Step { option: None, value: None, index, at: 0, message: None };
    let Some(word) = arguments.get(index - 1) else { return end(index) };
    if word == "--" {
        return end(index + 1);
    }
    let Some(cluster) = word.strip_prefix('-').filter(|cluster| !cluster.is_empty()) else { return end(index) };
    let Some(letter) = cluster.chars().nth(at) else { return end(index + 1) };
    let behind: String = cluster.chars().skip(at + 1).collect();
    let (next, next_at) = if behind.is_empty() { (index + 1, 0) } else { (index, at + 1) };
    let known = letters.trim_start_matches(':').find(letter).filter(|_| letter != ':');
    let Some(known) = known else {
        let (value, message) = (Some(letter.to_string()), Some(format!("illegal option -- {letter}")));
        return Step { option: Some('?'), value, index: next, at: next_at, message };
    };
    let takes = letters.trim_start_matches(':')[known + letter.len_utf8()..].starts_with(':');
    if !takes {
        return Step { option: Some(letter), value: None, index: next, at: next_at, message: None };
    }
    let (value, index) =
        if behind.is_empty() { (arguments.get(index).cloned(), index + 2) } else { (Some(behind), index + 1) };
    if let Some(value) = value {
        Step { option: Some(letter), value: Some(value), index, at: 0, message: None }
    } else {
        let option = if letters.starts_with(':') { ':' } else { '?' };
        let (value, message) = (Some(letter.to_string()), Some(format!("option requires an argument -- {letter}")));
        Step { option: Some(option), value, index: index - 1, at: 0, message }
    }
}
