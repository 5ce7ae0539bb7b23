//! Whole files as they are: `cat`, `tac`, `head`, `tail`, `tee`, `wc`, `rev`, `nl`.

use std::collections::VecDeque;
use std::io::{self, BufRead, Seek, SeekFrom, Write};

use crate::Invocation;
use crate::input;
use crate::numbers;
use crate::options::{Options, Spec};
use crate::report::{Outcome, Stop, complain, complain_at, reason, say};

const CAT: Spec =
    Spec::new("n/number b/number-nonblank s/squeeze-blank E/show-ends T/show-tabs v/show-nonprinting A/show-all e t u");

pub(crate) fn cat(invocation: &mut Invocation<'_>) -> Outcome {
    let options = CAT.parse(invocation.args)?;
    let mut showing = Showing::new(&options);
    input::each(invocation, &options.inputs(), |_, reader, writer| {
        if showing.changes_nothing() { input::copy_all(reader, writer).map(drop) } else { showing.copy(reader, writer) }
    })
}

/// What `cat` does to lines; the numbers go on from file to file.
struct Showing {
    number: bool,
    number_filled: bool,
    squeeze: bool,
    ends: bool,
    tabs: bool,
    controls: bool,
    line: u64,
    blank_before: bool,
    in_line: bool,
}

impl Showing {
    fn new(options: &Options<'_>) -> Self {
        let any = |names: &[&str]| names.iter().any(|name| options.has(name));
        Self {
            number: any(&["n"]),
            number_filled: any(&["b"]),
            squeeze: any(&["s"]),
            ends: any(&["E", "A", "e"]),
            tabs: any(&["T", "A", "t"]),
            controls: any(&["v", "A", "e", "t"]),
            line: 0,
            blank_before: false,
            in_line: false,
        }
    }

    fn changes_nothing(&self) -> bool {
        !(self.number || self.number_filled || self.squeeze || self.ends || self.tabs || self.controls)
    }

    fn copy(&mut self, reader: &mut dyn BufRead, writer: &mut dyn Write) -> Result<(), Stop> {
        let mut line = Vec::new();
        while input::record(reader, b'\n', &mut line)? {
            if let Some(shown) = self.line(&line) {
                writer.write_all(&shown)?;
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        let ended = line.ends_with(b"\n");
        let blank = line == b"\n" && !self.in_line;
        if self.squeeze && blank && self.blank_before {
            return None;
        }
        self.blank_before = blank;
        let mut shown = Vec::with_capacity(line.len() + 8);
        if !self.in_line && (self.number_filled && !blank || self.number && !self.number_filled) {
            self.line += 1;
            shown.extend(format!("{:6}\t", self.line).bytes());
        }
        self.in_line = !ended;
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        for byte in text {
            self.show(*byte, &mut shown);
        }
        if ended {
            shown.extend(if self.ends { &b"$\n"[..] } else { b"\n" });
        }
        Some(shown)
    }

    fn show(&self, byte: u8, shown: &mut Vec<u8>) {
        match byte {
            b'\t' if self.tabs => shown.extend(b"^I"),
            b'\t' => shown.push(byte),
            _ if self.controls => visible(byte, shown),
            _ => shown.push(byte),
        }
    }
}

fn visible(byte: u8, shown: &mut Vec<u8>) {
    let byte = if byte >= 128 {
        shown.extend(b"M-");
        byte - 128
    } else {
        byte
    };
    match byte {
        0..32 => shown.extend([b'^', byte + 64]),
        127 => shown.extend(b"^?"),
        _ => shown.push(byte),
    }
}

const TAC: Spec = Spec::new("s/separator= b/before r/regex");

pub(crate) fn tac(invocation: &mut Invocation<'_>) -> Outcome {
    let options = TAC.parse(invocation.args)?;
    if options.has("r") {
        return Err(TAC.wrong("tac", "a separator that is a regular expression is not supported"));
    }
    let separator = options.value("s").unwrap_or("\n").as_bytes().to_vec();
    if separator.is_empty() {
        return Err(Stop::failed("separator cannot be empty"));
    }
    let before = options.has("b");
    input::each(invocation, &options.inputs(), |_, reader, writer| {
        let text = input::everything(reader)?;
        for record in records(&text, &separator, before).iter().rev() {
            writer.write_all(record)?;
        }
        Ok(())
    })
}

/// Splits text into records that keep their separator, which stands after or before each.
fn records<'a>(text: &'a [u8], separator: &[u8], before: bool) -> Vec<&'a [u8]> {
    let mut records = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < text.len() {
        if !text[at..].starts_with(separator) {
            at += 1;
            continue;
        }
        let cut = if before { at } else { at + separator.len() };
        records.push(&text[start..cut]);
        start = cut;
        at += separator.len();
    }
    records.push(&text[start..]);
    records.retain(|record| !record.is_empty());
    records
}

/// How much of each input is wanted.
#[derive(Clone, Copy)]
struct Amount {
    number: u64,
    unit: Unit,
    /// `-` for head, `+` for tail.
    turned: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Lines,
    Bytes,
}

fn amount(options: &Options<'_>, sign: char) -> Result<Amount, Stop> {
    let mut amount = Amount { number: 10, unit: Unit::Lines, turned: false };
    for found in &options.found {
        let unit = match found.name {
            "n" => Unit::Lines,
            "c" => Unit::Bytes,
            _ => continue,
        };
        let text = found.text();
        let turned = text.starts_with(sign);
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let what = if unit == Unit::Lines { "lines" } else { "bytes" };
        let wrong = || Stop::failed(format!("invalid number of {what}: '{text}'"));
        let number = numbers::size(digits).filter(|_| digits.starts_with(|c: char| c.is_ascii_digit()));
        amount = Amount { number: number.ok_or_else(wrong)?, unit, turned };
    }
    Ok(amount)
}

/// Rewrites `-5` to `-n5`, as the old spelling of head and tail has it.
fn with_modern_count(args: &[String]) -> Vec<String> {
    let mut args = args.to_vec();
    let Some(word) = args.get_mut(1) else { return args };
    let old = word.strip_prefix('-').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if let Some(rest) = old {
        let digits = rest.trim_end_matches(|c: char| !c.is_ascii_digit());
        let (unit, others) = match &rest[digits.len()..] {
            letters if letters.starts_with('c') => ('c', &letters[1..]),
            letters => ('n', letters.trim_start_matches('l')),
        };
        let others = if others.is_empty() { String::new() } else { format!("-{others}") };
        let modern = format!("-{unit}{digits}");
        *word = modern;
        if !others.is_empty() {
            args.insert(1, others);
        }
    }
    args
}

const HEAD: Spec = Spec::new("n/lines= c/bytes= q/quiet/silent v/verbose z/zero-terminated");

pub(crate) fn head(invocation: &mut Invocation<'_>) -> Outcome {
    let args = with_modern_count(invocation.args);
    let options = HEAD.parse(&args)?;
    let amount = amount(&options, '-')?;
    let end = if options.has("z") { 0 } else { b'\n' };
    parts(invocation, &options, |_, reader, writer| match (amount.unit, amount.turned) {
        (Unit::Bytes, false) => input::copy(reader, writer, amount.number).map(drop),
        (Unit::Lines, false) => first_lines(reader, writer, amount.number, end),
        (Unit::Bytes, true) => {
            let text = input::everything(reader)?;
            let length = text.len().saturating_sub(usize::try_from(amount.number).unwrap_or(usize::MAX));
            Ok(writer.write_all(&text[..length])?)
        }
        (Unit::Lines, true) => all_but_last_lines(reader, writer, amount.number, end),
    })
}

fn first_lines(reader: &mut dyn BufRead, writer: &mut dyn Write, count: u64, end: u8) -> Result<(), Stop> {
    let mut line = Vec::new();
    for _ in 0..count {
        if !input::record(reader, end, &mut line)? {
            break;
        }
        writer.write_all(&line)?;
    }
    Ok(())
}

fn all_but_last_lines(reader: &mut dyn BufRead, writer: &mut dyn Write, count: u64, end: u8) -> Result<(), Stop> {
    let mut held = VecDeque::new();
    let mut line = Vec::new();
    while input::record(reader, end, &mut line)? {
        held.push_back(std::mem::take(&mut line));
        if held.len() as u64 > count {
            writer.write_all(&held.pop_front().expect("one was just put in"))?;
        }
    }
    Ok(())
}

/// Calls `body` for each input, with the header that tells several apart.
fn parts(
    invocation: &mut Invocation<'_>,
    options: &Options<'_>,
    mut body: impl FnMut(&str, &mut dyn BufRead, &mut dyn Write) -> Result<(), Stop>,
) -> Outcome {
    let inputs = options.inputs();
    let headed = !options.has("q") && (options.has("v") || inputs.len() > 1);
    let mut first = true;
    let mut code = 0;
    for operand in inputs {
        let mut reader = match input::open(invocation.cwd, invocation.stdin, operand) {
            Ok(reader) => reader,
            Err(error) => {
                let verb = if error.kind() == io::ErrorKind::IsADirectory { "error reading" } else { "cannot open" };
                let how = if verb == "cannot open" { " for reading" } else { "" };
                say(invocation.stderr, invocation.args, format_args!("{verb} '{operand}'{how}: {}", reason(&error)));
                code = 1;
                continue;
            }
        };
        if headed {
            let gap = if first { "" } else { "\n" };
            let name = if operand == "-" { "standard input" } else { operand };
            writeln!(invocation.stdout, "{gap}==> {name} <==")?;
            first = false;
        }
        match body(operand, &mut *reader, invocation.stdout) {
            Err(Stop::Read(error)) => {
                drop(reader);
                complain(invocation, format_args!("error reading '{operand}': {}", reason(&error)));
                code = 1;
            }
            other => other?,
        }
    }
    Ok(code)
}

const TAIL: Spec =
    Spec::new("n/lines= c/bytes= q/quiet/silent v/verbose z/zero-terminated f/follow? F s/sleep-interval= pid= retry");

pub(crate) fn tail(invocation: &mut Invocation<'_>) -> Outcome {
    let args = with_modern_count(invocation.args);
    let options = TAIL.parse(&args)?;
    if options.has("f") || options.has("F") {
        return Err(Stop::failed("following is not supported: nothing changes a file while a call runs"));
    }
    let amount = amount(&options, '+')?;
    let end = if options.has("z") { 0 } else { b'\n' };
    let cwd = invocation.cwd;
    parts(invocation, &options, |operand, reader, writer| match (amount.unit, amount.turned) {
        (Unit::Bytes, true) => {
            input::copy(reader, &mut io::sink(), amount.number.saturating_sub(1))?;
            input::copy_all(reader, writer).map(drop)
        }
        (Unit::Lines, true) => {
            first_lines(reader, &mut io::sink(), amount.number.saturating_sub(1), end)?;
            input::copy_all(reader, writer).map(drop)
        }
        (Unit::Bytes, false) => last_bytes(cwd, operand, reader, writer, amount.number),
        (Unit::Lines, false) => last_lines(reader, writer, amount.number, end),
    })
}

/// A file is read from near its end; a stream must be read whole.
fn last_bytes(
    cwd: &std::path::Path,
    operand: &str,
    reader: &mut dyn BufRead,
    writer: &mut dyn Write,
    count: u64,
) -> Result<(), Stop> {
    if !operand.starts_with("/dev/") && operand != "-" {
        let mut file = input::file(&cwd.join(operand)).map_err(Stop::Read)?;
        let length = file.seek(SeekFrom::End(0)).map_err(Stop::Read)?;
        file.seek(SeekFrom::Start(length.saturating_sub(count))).map_err(Stop::Read)?;
        return input::copy_all(&mut file, writer).map(drop);
    }
    let mut held: VecDeque<u8> = VecDeque::new();
    let mut part = [0; 8192];
    loop {
        let length = reader.read(&mut part).map_err(Stop::Read)?;
        if length == 0 {
            break;
        }
        held.extend(&part[..length]);
        let surplus = held.len().saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
        held.drain(..surplus);
    }
    writer.write_all(held.make_contiguous())?;
    Ok(())
}

fn last_lines(reader: &mut dyn BufRead, writer: &mut dyn Write, count: u64, end: u8) -> Result<(), Stop> {
    let mut held: VecDeque<Vec<u8>> = VecDeque::new();
    let mut line = Vec::new();
    while input::record(reader, end, &mut line)? {
        held.push_back(std::mem::take(&mut line));
        if held.len() as u64 > count {
            // The oldest line's memory serves for the next.
            line = held.pop_front().unwrap_or_default();
        }
    }
    for line in held {
        writer.write_all(&line)?;
    }
    Ok(())
}

const TEE: Spec = Spec::new("a/append i/ignore-interrupts p output-error?");

pub(crate) fn tee(invocation: &mut Invocation<'_>) -> Outcome {
    let options = TEE.parse(invocation.args)?;
    let mut code = 0;
    let mut files: Vec<(&str, Box<dyn Write>)> = Vec::new();
    for operand in &options.operands {
        match input::create(invocation.cwd, operand, options.has("a")) {
            Ok(file) => files.push((operand, file)),
            Err(error) => {
                complain_at(invocation, operand, &error);
                code = 1;
            }
        }
    }
    let mut part = vec![0; 8192];
    loop {
        let length = invocation.stdin.read(&mut part).map_err(Stop::Read)?;
        if length == 0 {
            return Ok(code);
        }
        invocation.stdout.write_all(&part[..length])?;
        let failed = write_to_each(&mut files, &part[..length]);
        for (name, error) in failed {
            complain_at(invocation, name, &error);
            code = 1;
        }
    }
}

/// Writes to every file; those that take no more are left out from now on, and returned.
fn write_to_each<'a>(files: &mut Vec<(&'a str, Box<dyn Write>)>, part: &[u8]) -> Vec<(&'a str, io::Error)> {
    let mut failed = Vec::new();
    files.retain_mut(|(name, file)| match file.write_all(part) {
        Ok(()) => true,
        Err(error) => {
            failed.push((*name, error));
            false
        }
    });
    failed
}

const REV: Spec = Spec::new("0/zero");

pub(crate) fn rev(invocation: &mut Invocation<'_>) -> Outcome {
    let options = REV.parse(invocation.args)?;
    let end = if options.has("0") { 0 } else { b'\n' };
    input::each(invocation, &options.inputs(), |_, reader, writer| {
        let mut line = Vec::new();
        while input::record(reader, end, &mut line)? {
            let ended = line.last() == Some(&end);
            let text = if ended { &line[..line.len() - 1] } else { &line };
            let mut turned = turned(text);
            turned.extend(ended.then_some(end));
            writer.write_all(&turned)?;
        }
        Ok(())
    })
}

fn turned(text: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(text) {
        Ok(text) => text.chars().rev().collect::<String>().into_bytes(),
        Err(_) => text.iter().rev().copied().collect(),
    }
}

const WC: Spec = Spec::new("l/lines w/words c/bytes m/chars L/max-line-length files0-from= total=");

pub(crate) fn wc(invocation: &mut Invocation<'_>) -> Outcome {
    let options = WC.parse(invocation.args)?;
    let columns = Columns::new(&options);
    let mut rows: Vec<(Counts, Option<&str>)> = Vec::new();
    let mut code = 0;
    for operand in options.inputs() {
        let counted = input::open(invocation.cwd, invocation.stdin, operand).map_err(Stop::Read);
        let name = (!options.operands.is_empty()).then_some(operand);
        match counted.and_then(|mut reader| Counts::of(&mut *reader)) {
            Ok(counts) => rows.push((counts, name)),
            Err(Stop::Read(error)) => {
                let is_folder = error.kind() == io::ErrorKind::IsADirectory;
                complain_at(invocation, operand, &error);
                code = 1;
                if is_folder {
                    rows.push((Counts::default(), name));
                }
            }
            Err(other) => return Err(other),
        }
    }
    let total = rows.iter().fold(Counts::default(), |sum, (counts, _)| sum.plus(counts));
    if options.operands.len() > 1 {
        rows.push((total, Some("total")));
    }
    let width = columns.width(&options, invocation, &total);
    for (counts, name) in rows {
        invocation.stdout.write_all(columns.row(&counts, name, width).as_bytes())?;
    }
    Ok(code)
}

#[derive(Default, Clone, Copy)]
struct Counts {
    lines: u64,
    words: u64,
    chars: u64,
    bytes: u64,
    longest: u64,
}

impl Counts {
    fn of(reader: &mut dyn BufRead) -> Result<Self, Stop> {
        let mut counts = Self::default();
        let (mut in_word, mut width) = (false, 0_u64);
        loop {
            let part = reader.fill_buf().map_err(Stop::Read)?;
            if part.is_empty() {
                counts.longest = counts.longest.max(width);
                return Ok(counts);
            }
            for &byte in part {
                counts.byte(byte, &mut in_word, &mut width);
            }
            let length = part.len();
            reader.consume(length);
        }
    }

    fn byte(&mut self, byte: u8, in_word: &mut bool, width: &mut u64) {
        let begins_character = byte & 0xC0 != 0x80;
        self.bytes += 1;
        self.chars += u64::from(begins_character);
        let blank = matches!(byte, b' ' | b'\t'..=b'\r');
        self.words += u64::from(!blank && !*in_word);
        *in_word = !blank;
        match byte {
            b'\n' | b'\r' | 12 => {
                self.lines += u64::from(byte == b'\n');
                self.longest = self.longest.max(*width);
                *width = 0;
            }
            b'\t' => *width += 8 - *width % 8,
            0..32 | 127 => {}
            _ => *width += u64::from(begins_character),
        }
    }

    fn plus(self, other: &Self) -> Self {
        Self {
            lines: self.lines + other.lines,
            words: self.words + other.words,
            chars: self.chars + other.chars,
            bytes: self.bytes + other.bytes,
            longest: self.longest.max(other.longest),
        }
    }
}

/// Which counts are shown, always in this order.
struct Columns(Vec<Count>);

type Count = fn(&Counts) -> u64;

impl Columns {
    fn new(options: &Options<'_>) -> Self {
        const ALL: [(&str, Count); 5] = [
            ("l", |counts| counts.lines),
            ("w", |counts| counts.words),
            ("m", |counts| counts.chars),
            ("c", |counts| counts.bytes),
            ("L", |counts| counts.longest),
        ];
        let none = !ALL.iter().any(|(name, _)| options.has(name));
        let shown = |name: &str| if none { "lwc".contains(name) } else { options.has(name) };
        Self(ALL.into_iter().filter(|(name, _)| shown(name)).map(|(_, count)| count).collect())
    }

    /// Wide enough for the total of bytes; a stream, whose length is not known before, counts as long.
    fn width(&self, options: &Options<'_>, invocation: &Invocation<'_>, total: &Counts) -> usize {
        if self.0.len() == 1 && options.operands.len() <= 1 {
            return 1;
        }
        let is_stream = |operand: &&str| invocation.path(operand).metadata().is_ok_and(|found| !found.is_file());
        let streams = options.inputs().iter().any(|operand| *operand == "-" || is_stream(operand));
        let least = if streams { 7 } else { 1 };
        total.bytes.to_string().len().max(least)
    }

    fn row(&self, counts: &Counts, name: Option<&str>, width: usize) -> String {
        let numbers: Vec<String> = self.0.iter().map(|count| format!("{:width$}", count(counts))).collect();
        let name = name.map(|name| format!(" {name}")).unwrap_or_default();
        format!("{}{name}\n", numbers.join(" "))
    }
}

const NL: Spec = Spec::new(
    "b/body-numbering= n/number-format= w/number-width= s/number-separator= v/starting-line-number= \
     i/line-increment= p/no-renumber h/header-numbering= f/footer-numbering= d/section-delimiter= l/join-blank-lines=",
);

pub(crate) fn nl(invocation: &mut Invocation<'_>) -> Outcome {
    let options = NL.parse(invocation.args)?;
    let mut numbering = Numbering::new(&options)?;
    input::each(invocation, &options.inputs(), |_, reader, writer| {
        let mut line = Vec::new();
        while input::bare_record(reader, b'\n', &mut line)? {
            writer.write_all(&numbering.line(&line))?;
        }
        Ok(())
    })
}

/// What `nl` puts before lines.
struct Numbering {
    /// For header, body and footer.
    styles: [Style; 3],
    section: usize,
    start: i64,
    next: i64,
    step: i64,
    width: usize,
    separator: String,
    format: String,
    renumber: bool,
}

#[derive(Clone)]
enum Style {
    All,
    Filled,
    None,
    Matching(crate::pattern::Pattern),
}

impl Style {
    fn read(text: &str) -> Result<Self, Stop> {
        match text {
            "a" => Ok(Self::All),
            "t" => Ok(Self::Filled),
            "n" => Ok(Self::None),
            _ => match text.strip_prefix('p') {
                Some(pattern) => Ok(Self::Matching(crate::pattern::Pattern::basic(pattern, false)?)),
                None => Err(NL.wrong("nl", &format!("invalid body numbering style: '{text}'"))),
            },
        }
    }

    fn numbers(&self, line: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Filled => !line.is_empty(),
            Self::None => false,
            Self::Matching(pattern) => pattern.is_match(line),
        }
    }
}

impl Numbering {
    fn new(options: &Options<'_>) -> Result<Self, Stop> {
        let style = |name: &str, or: &str| Style::read(options.value(name).unwrap_or(or));
        let number = |name: &str, or: i64| match options.value(name) {
            Some(text) => text.parse().map_err(|_| Stop::failed(format!("invalid line number: '{text}'"))),
            None => Ok(or),
        };
        let format = options.value("n").unwrap_or("rn");
        if !["ln", "rn", "rz"].contains(&format) {
            return Err(NL.wrong("nl", &format!("invalid line numbering format: '{format}'")));
        }
        let start = number("v", 1)?;
        Ok(Self {
            styles: [style("h", "n")?, style("b", "t")?, style("f", "n")?],
            section: 1,
            start,
            next: start,
            step: number("i", 1)?,
            width: usize::try_from(number("w", 6)?).unwrap_or(6),
            separator: options.value("s").unwrap_or("\t").to_owned(),
            format: format.to_owned(),
            renumber: !options.has("p"),
        })
    }

    fn line(&mut self, line: &[u8]) -> Vec<u8> {
        let marks: [&[u8]; 3] = [b"\\:\\:\\:", b"\\:\\:", b"\\:"];
        if let Some(section) = marks.iter().position(|mark| *mark == line) {
            self.section = section;
            if self.renumber {
                self.next = self.start;
            }
            return b"\n".to_vec();
        }
        let mut shown = if self.styles[self.section].numbers(line) {
            let number = self.number();
            format!("{number}{}", self.separator).into_bytes()
        } else {
            vec![b' '; self.width + self.separator.len()]
        };
        shown.extend(line);
        shown.push(b'\n');
        shown
    }

    fn number(&mut self) -> String {
        let (number, width) = (self.next, self.width);
        self.next = number.saturating_add(self.step);
        match self.format.as_str() {
            "ln" => format!("{number:<width$}"),
            "rz" => format!("{number:0width$}"),
            _ => format!("{number:width$}"),
        }
    }
}
