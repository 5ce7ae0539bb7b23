//! Lines in order: `sort`, `uniq`, `shuf`, `tsort`.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, Write};

use crate::Invocation;
use crate::format;
use crate::input;
use crate::numbers::Random;
use crate::options::{Options, Spec};
use crate::report::{Outcome, Stop, complain, reason};

/// Exit code of a sort that did not happen.
const FAILED: i32 = 2;

const SORT: Spec = Spec::new(
    "n/numeric-sort g/general-numeric-sort h/human-numeric-sort M/month-sort V/version-sort r/reverse f/ignore-case \
     d/dictionary-order i/ignore-nonprinting b/ignore-leading-blanks u/unique k/key= t/field-separator= o/output= \
     c/check? C s/stable m/merge z/zero-terminated R/random-sort sort= S/buffer-size= T/temporary-directory= parallel= \
     files0-from= debug",
)
.fails_with(FAILED);

pub(crate) fn sort(invocation: &mut Invocation<'_>) -> Outcome {
    let options = SORT.parse(invocation.args)?;
    let order = Order::new(&options)?;
    let end = if options.has("z") { 0 } else { b'\n' };
    let inputs = options.inputs();
    if options.has("c") || options.has("C") {
        return check(invocation, &order, inputs[0], end, options.has("C"));
    }
    let mut lines = Vec::new();
    for operand in inputs {
        let failed = |error: &std::io::Error| {
            let verb = if error.kind() == std::io::ErrorKind::IsADirectory { "read failed" } else { "cannot read" };
            Stop::code(FAILED, format!("{verb}: {operand}: {}", reason(error)))
        };
        let mut reader = input::open(invocation.cwd, invocation.stdin, operand).map_err(|error| failed(&error))?;
        let mut line = Vec::new();
        while input::bare_record(&mut *reader, end, &mut line)? {
            lines.push(std::mem::take(&mut line));
        }
    }
    if options.has("R") {
        shuffle(&mut lines);
    } else {
        lines.sort_by(|left, right| order.whole(left, right));
    }
    if order.unique {
        lines.dedup_by(|left, right| order.keys(left, right).is_eq());
    }
    let mut file = match options.value("o") {
        Some(name) => Some(
            input::create(invocation.cwd, name, false)
                .map_err(|error| Stop::code(FAILED, format!("open failed: {name}: {}", reason(&error))))?,
        ),
        None => None,
    };
    let writer: &mut dyn Write = match &mut file {
        Some(file) => file,
        None => invocation.stdout,
    };
    for mut line in lines {
        line.push(end);
        writer.write_all(&line)?;
    }
    Ok(0)
}

fn check(invocation: &mut Invocation<'_>, order: &Order, operand: &str, end: u8, quiet: bool) -> Outcome {
    let mut reader = input::open(invocation.cwd, invocation.stdin, operand)
        .map_err(|error| Stop::code(FAILED, format!("cannot read: {operand}: {}", reason(&error))))?;
    let mut before: Option<Vec<u8>> = None;
    let mut line = Vec::new();
    let mut number = 0_u64;
    let mut wrong = None;
    while wrong.is_none() && input::bare_record(&mut *reader, end, &mut line)? {
        number += 1;
        let disordered = before.as_ref().is_some_and(|before| match order.whole(before, &line) {
            Ordering::Less => false,
            Ordering::Equal => order.unique,
            Ordering::Greater => true,
        } || order.unique && order.keys(before, &line).is_eq());
        if disordered {
            wrong = Some((number, String::from_utf8_lossy(&line).into_owned()));
        }
        before = Some(std::mem::take(&mut line));
    }
    drop(reader);
    if let Some((number, line)) = wrong.as_ref().filter(|_| !quiet) {
        complain(invocation, format_args!("{operand}:{number}: disorder: {line}"));
    }
    Ok(i32::from(wrong.is_some()))
}

/// How keys are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Numeric,
    General,
    Human,
    Month,
    Version,
}

#[derive(Clone, Copy)]
struct Style {
    kind: Kind,
    reverse: bool,
    fold: bool,
    dictionary: bool,
    printing: bool,
    skip_blanks: bool,
}

const PLAIN: Style =
    Style { kind: Kind::Text, reverse: false, fold: false, dictionary: false, printing: false, skip_blanks: false };

impl Style {
    /// Takes one letter of an option or of a key.
    fn take(&mut self, letter: char) -> bool {
        match letter {
            'n' => self.kind = Kind::Numeric,
            'g' => self.kind = Kind::General,
            'h' => self.kind = Kind::Human,
            'M' => self.kind = Kind::Month,
            'V' => self.kind = Kind::Version,
            'r' => self.reverse = true,
            'f' => self.fold = true,
            'd' => self.dictionary = true,
            'i' => self.printing = true,
            'b' => self.skip_blanks = true,
            _ => return false,
        }
        true
    }

    fn compare(self, left: &[u8], right: &[u8]) -> Ordering {
        let (left, right) =
            if self.skip_blanks { (left.trim_ascii_start(), right.trim_ascii_start()) } else { (left, right) };
        let order = match self.kind {
            Kind::Text => self.text(left, right),
            Kind::Numeric => numeric(left, right),
            Kind::General => general(left, right),
            Kind::Human => magnitude(left).cmp(&magnitude(right)).then_with(|| numeric(left, right)),
            Kind::Month => month(left).cmp(&month(right)),
            Kind::Version => version(left, right),
        };
        if self.reverse { order.reverse() } else { order }
    }

    fn text(self, left: &[u8], right: &[u8]) -> Ordering {
        if !self.fold && !self.dictionary && !self.printing {
            return left.cmp(right);
        }
        let counted = |byte: &u8| {
            (!self.dictionary || byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'\t'))
                && (!self.printing || (b' '..=b'~').contains(byte))
        };
        let folded = |byte: u8| if self.fold { byte.to_ascii_uppercase() } else { byte };
        let of = |text: &[u8]| text.iter().copied().filter(counted).map(folded).collect::<Vec<u8>>();
        of(left).cmp(&of(right))
    }
}

/// Where a key begins or ends: a field, and a character in it.
#[derive(Clone, Copy)]
struct Place {
    field: usize,
    character: usize,
    skip_blanks: bool,
}

struct Key {
    from: Place,
    to: Option<Place>,
    style: Style,
}

struct Order {
    keys: Vec<Key>,
    style: Style,
    separator: Option<u8>,
    unique: bool,
    stable: bool,
}

impl Order {
    fn new(options: &Options<'_>) -> Result<Self, Stop> {
        let mut style = PLAIN;
        for found in &options.found {
            let letter = match (found.name, found.text()) {
                ("sort", "numeric") => 'n',
                ("sort", "general-numeric") => 'g',
                ("sort", "human-numeric") => 'h',
                ("sort", "month") => 'M',
                ("sort", "version") => 'V',
                (name, _) => name.chars().next().filter(|_| name.len() == 1).unwrap_or(' '),
            };
            style.take(letter);
        }
        let separator = match options.value("t").map(str::as_bytes) {
            None => None,
            Some(b"\\0") => Some(0),
            Some([byte]) => Some(*byte),
            Some([]) => return Err(Stop::code(FAILED, "empty tab")),
            Some(_) => {
                return Err(Stop::code(FAILED, format!("multi-character tab '{}'", options.value("t").unwrap_or(""))));
            }
        };
        let keys = options.found.iter().filter(|found| found.name == "k");
        let keys = keys.map(|found| Key::parse(found.text(), style)).collect::<Result<_, _>>()?;
        Ok(Self { keys, style, separator, unique: options.has("u"), stable: options.has("s") })
    }

    fn keys(&self, left: &[u8], right: &[u8]) -> Ordering {
        if self.keys.is_empty() {
            return self.style.compare(left, right);
        }
        let compare = |key: &Key| key.style.compare(self.part(left, key), self.part(right, key));
        self.keys.iter().map(compare).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// The last resort among equal keys is the whole line.
    fn whole(&self, left: &[u8], right: &[u8]) -> Ordering {
        let order = self.keys(left, right);
        if order.is_ne() || self.stable || self.unique {
            return order;
        }
        let order = left.cmp(right);
        if self.style.reverse { order.reverse() } else { order }
    }

    fn part<'l>(&self, line: &'l [u8], key: &Key) -> &'l [u8] {
        let from = self.position(line, key.from);
        let to = key.to.map_or(line.len(), |to| self.end(line, to));
        &line[from.min(line.len())..to.clamp(from.min(line.len()), line.len())]
    }

    /// Returns where a field begins. Without a separator, blanks belong to the field after them.
    fn field(&self, line: &[u8], field: usize) -> usize {
        let mut at = 0;
        for _ in 1..field {
            at = self.field_end(line, at) + usize::from(self.separator.is_some());
        }
        at.min(line.len())
    }

    fn field_end(&self, line: &[u8], from: usize) -> usize {
        let rest = &line[from.min(line.len())..];
        let length = if let Some(separator) = self.separator {
            rest.iter().position(|byte| *byte == separator).unwrap_or(rest.len())
        } else {
            let blanks = blanks(rest);
            blanks + rest[blanks..].iter().take_while(|byte| !is_blank(**byte)).count()
        };
        from + length
    }

    fn position(&self, line: &[u8], place: Place) -> usize {
        let mut at = self.field(line, place.field);
        if place.skip_blanks {
            at += blanks(&line[at..]);
        }
        at + place.character.saturating_sub(1)
    }

    fn end(&self, line: &[u8], place: Place) -> usize {
        let start = self.field(line, place.field);
        if place.character == 0 {
            return self.field_end(line, start);
        }
        let start = if place.skip_blanks { start + blanks(&line[start..]) } else { start };
        start + place.character
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n')
}

fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|byte| is_blank(**byte)).count()
}

impl Key {
    /// Reads `2.3b,4n`. A key without letters has the command's.
    fn parse(text: &str, inherited: Style) -> Result<Self, Stop> {
        let wrong = || Stop::code(FAILED, format!("invalid number at field start: invalid count at start of '{text}'"));
        let (from, to) = text.split_once(',').map_or((text, None), |(from, to)| (from, Some(to)));
        let mut style = PLAIN;
        let (from, from_letters) = Place::parse(from, 1).ok_or_else(wrong)?;
        let to = to.map(|to| Place::parse(to, 0).ok_or_else(wrong)).transpose()?;
        let to_letters = to.map_or("", |(_, letters)| letters);
        for letter in from_letters.chars().chain(to_letters.chars()) {
            if !style.take(letter) {
                return Err(Stop::code(
                    FAILED,
                    format!("stray character in field spec: invalid field specification '{text}'"),
                ));
            }
        }
        let own = !from_letters.is_empty() || !to_letters.is_empty();
        let style = if own { style } else { inherited };
        let blanks = |letters: &str| if own { letters.contains('b') } else { inherited.skip_blanks };
        let from = Place { skip_blanks: blanks(from_letters), ..from };
        let to = to.map(|(to, letters)| Place { skip_blanks: blanks(letters), ..to });
        Ok(Self { from, to, style: Style { skip_blanks: false, ..style } })
    }
}

impl Place {
    fn parse(text: &str, character: usize) -> Option<(Self, &str)> {
        let letters = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let numbers = &text[..text.len() - letters.len()];
        let (field, character) = match numbers.split_once('.') {
            None => (numbers.parse().ok()?, character),
            Some((field, character)) => (field.parse().ok()?, character.parse().ok()?),
        };
        (field > 0).then_some((Self { field, character, skip_blanks: false }, letters))
    }
}

/// Compares decimal numbers of any length, by their digits.
fn numeric(left: &[u8], right: &[u8]) -> Ordering {
    let (left, right) = (Decimal::read(left), Decimal::read(right));
    match (left.negative, right.negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => left.magnitude(&right),
        (true, true) => right.magnitude(&left),
    }
}

struct Decimal<'t> {
    negative: bool,
    whole: &'t [u8],
    fraction: &'t [u8],
}

impl<'t> Decimal<'t> {
    fn read(text: &'t [u8]) -> Self {
        let text = text.trim_ascii_start();
        let (negative, rest) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
        let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (whole, rest) = rest.split_at(digits(rest));
        let fraction = rest.strip_prefix(b".").map_or(&[][..], |rest| &rest[..digits(rest)]);
        let zeros = whole.iter().take_while(|byte| **byte == b'0').count();
        let length = fraction.len() - fraction.iter().rev().take_while(|byte| **byte == b'0').count();
        let (whole, fraction) = (&whole[zeros..], &fraction[..length]);
        Self { negative: negative && !(whole.is_empty() && fraction.is_empty()), whole, fraction }
    }

    fn magnitude(&self, other: &Self) -> Ordering {
        let by_length = self.whole.len().cmp(&other.whole.len());
        by_length.then_with(|| self.whole.cmp(other.whole)).then_with(|| self.fraction.cmp(other.fraction))
    }
}

/// What is no number comes first, then what is not a number, then numbers.
fn general(left: &[u8], right: &[u8]) -> Ordering {
    let read = |text: &[u8]| {
        let (number, length) = format::leading_float(text);
        (length > 0).then_some(number)
    };
    match (read(left), read(right)) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(left), Some(right)) => {
            let by_nan = right.is_nan().cmp(&left.is_nan());
            by_nan.then_with(|| left.partial_cmp(&right).unwrap_or(Ordering::Equal))
        }
    }
}

/// Returns the sign and the power of a size: `-1K`, `2G`.
fn magnitude(text: &[u8]) -> i32 {
    let text = text.trim_ascii_start();
    let (sign, rest) = text.strip_prefix(b"-").map_or((1, text), |rest| (-1, rest));
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    if rest[..digits].iter().all(|byte| matches!(byte, b'0' | b'.')) {
        return 0;
    }
    let power = match rest.get(digits) {
        Some(b'k') => 1,
        Some(letter) => b" KMGTPEZY".iter().position(|known| known == letter).unwrap_or(0),
        None => 0,
    };
    sign * (1 + i32::try_from(power).unwrap_or(0))
}

fn month(text: &[u8]) -> usize {
    const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
    let start = text.trim_ascii_start().get(..3).unwrap_or_default().to_ascii_uppercase();
    MONTHS.iter().position(|month| month.as_bytes() == start).map_or(0, |index| index + 1)
}

/// Compares as Debian's versions and `ls -v`: runs of digits as numbers, `~` before the end, letters before the rest.
pub(crate) fn version(left: &[u8], right: &[u8]) -> Ordering {
    let (mut left, mut right) = (left, right);
    while !left.is_empty() || !right.is_empty() {
        let text = |text: &[u8]| text.iter().take_while(|byte| !byte.is_ascii_digit()).count();
        let (left_text, right_text) = (&left[..text(left)], &right[..text(right)]);
        let rank = |byte: Option<&u8>| match byte {
            Some(b'~') => -1,
            None => 0,
            Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
            Some(byte) => i32::from(*byte) + 256,
        };
        for index in 0..left_text.len().max(right_text.len()) {
            let order = rank(left_text.get(index)).cmp(&rank(right_text.get(index)));
            if order.is_ne() {
                return order;
            }
        }
        (left, right) = (&left[left_text.len()..], &right[right_text.len()..]);
        let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (left_digits, right_digits) = (digits(left), digits(right));
        let order = numeric(&left[..left_digits], &right[..right_digits]);
        if order.is_ne() {
            return order;
        }
        (left, right) = (&left[left_digits..], &right[right_digits..]);
    }
    Ordering::Equal
}

const UNIQ: Spec = Spec::new(
    "c/count d/repeated D/all-repeated? u/unique i/ignore-case f/skip-fields= s/skip-chars= w/check-chars= z/zero-terminated",
);

pub(crate) fn uniq(invocation: &mut Invocation<'_>) -> Outcome {
    let options = UNIQ.parse(invocation.args)?;
    let (from, to) = match options.operands.as_slice() {
        [] => ("-", None),
        [from] => (*from, None),
        [from, to] => (*from, Some(*to)),
        [_, _, extra, ..] => return Err(UNIQ.wrong("uniq", &format!("extra operand '{extra}'"))),
    };
    let picking = Picking::new(&options)?;
    let mut reader = input::open(invocation.cwd, invocation.stdin, from).map_err(|error| Stop::at(from, &error))?;
    let mut file = match to {
        Some(name) => Some(input::create(invocation.cwd, name, false).map_err(|error| Stop::at(name, &error))?),
        None => None,
    };
    let writer: &mut dyn Write = match &mut file {
        Some(file) => file,
        None => invocation.stdout,
    };
    picking.all(&mut *reader, writer)?;
    Ok(0)
}

struct Picking {
    count: bool,
    repeated: bool,
    every_repeated: bool,
    unique: bool,
    ignore_case: bool,
    skip_fields: usize,
    skip_characters: usize,
    compared: usize,
    end: u8,
}

impl Picking {
    fn new(options: &Options<'_>) -> Result<Self, Stop> {
        let number = |name: &str, or: usize| match options.value(name) {
            Some(text) => text.parse().map_err(|_| Stop::failed(format!("{text}: invalid number"))),
            None => Ok(or),
        };
        Ok(Self {
            count: options.has("c"),
            repeated: options.has("d"),
            every_repeated: options.has("D"),
            unique: options.has("u"),
            ignore_case: options.has("i"),
            skip_fields: number("f", 0)?,
            skip_characters: number("s", 0)?,
            compared: number("w", usize::MAX)?,
            end: if options.has("z") { 0 } else { b'\n' },
        })
    }

    fn key(&self, line: &[u8]) -> Vec<u8> {
        let mut at = 0;
        for _ in 0..self.skip_fields {
            at += blanks(&line[at..]);
            at += line[at..].iter().take_while(|byte| !is_blank(**byte)).count();
        }
        let rest = &line[(at + self.skip_characters).min(line.len())..];
        let key = &rest[..rest.len().min(self.compared)];
        if self.ignore_case { key.to_ascii_lowercase() } else { key.to_vec() }
    }

    fn all(&self, reader: &mut dyn BufRead, writer: &mut dyn Write) -> Result<(), Stop> {
        let mut group: Option<(Vec<u8>, Vec<u8>, u64)> = None;
        let mut line = Vec::new();
        while input::bare_record(reader, self.end, &mut line)? {
            let key = self.key(&line);
            match &mut group {
                Some((same, first, count)) if *same == key => {
                    *count += 1;
                    if self.every_repeated {
                        if *count == 2 {
                            self.write(first, 1, writer)?;
                        }
                        self.write(&line, 1, writer)?;
                    }
                }
                _ => {
                    self.close(group.take(), writer)?;
                    group = Some((key, std::mem::take(&mut line), 1));
                }
            }
        }
        self.close(group, writer)
    }

    fn close(&self, group: Option<(Vec<u8>, Vec<u8>, u64)>, writer: &mut dyn Write) -> Result<(), Stop> {
        let Some((_, first, count)) = group else { return Ok(()) };
        let unwanted = self.every_repeated || self.repeated && count == 1 || self.unique && count > 1;
        if unwanted { Ok(()) } else { self.write(&first, count, writer) }
    }

    fn write(&self, line: &[u8], count: u64, writer: &mut dyn Write) -> Result<(), Stop> {
        let mut shown = if self.count { format!("{count:7} ").into_bytes() } else { Vec::new() };
        shown.extend(line);
        shown.push(self.end);
        writer.write_all(&shown)?;
        Ok(())
    }
}

fn shuffle<T>(items: &mut [T]) {
    let mut random = Random::default();
    for index in (1..items.len()).rev() {
        let other = random.below(index as u64 + 1);
        items.swap(index, usize::try_from(other).expect("below the length"));
    }
}

const SHUF: Spec = Spec::new("e/echo i/input-range= n/head-count= o/output= r/repeat z/zero-terminated random-source=");

pub(crate) fn shuf(invocation: &mut Invocation<'_>) -> Outcome {
    /// More numbers than these are no list that somebody shuffles in memory.
    const MAX_RANGE: u64 = 1 << 24;
    let options = SHUF.parse(invocation.args)?;
    let end = if options.has("z") { 0 } else { b'\n' };
    let mut items: Vec<Vec<u8>> = if options.has("e") {
        options.operands.iter().map(|word| word.as_bytes().to_vec()).collect()
    } else if let Some(range) = options.value("i") {
        let wrong = || Stop::failed(format!("invalid input range: '{range}'"));
        let (from, to) = range.split_once('-').ok_or_else(wrong)?;
        let (from, to): (u64, u64) = (from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?);
        if from > to + 1 || to - from.min(to) > MAX_RANGE {
            return Err(wrong());
        }
        (from..=to).map(|number| number.to_string().into_bytes()).collect()
    } else {
        let operand = options.inputs()[0];
        let mut reader =
            input::open(invocation.cwd, invocation.stdin, operand).map_err(|error| Stop::at(operand, &error))?;
        let mut items = Vec::new();
        let mut line = Vec::new();
        while input::bare_record(&mut *reader, end, &mut line)? {
            items.push(std::mem::take(&mut line));
        }
        items
    };
    let count = match options.value("n") {
        Some(text) => text.parse().map_err(|_| Stop::failed(format!("invalid line count: '{text}'")))?,
        None => usize::MAX,
    };
    let mut file = match options.value("o") {
        Some(name) => Some(input::create(invocation.cwd, name, false).map_err(|error| Stop::at(name, &error))?),
        None => None,
    };
    let writer: &mut dyn Write = match &mut file {
        Some(file) => file,
        None => invocation.stdout,
    };
    for item in &mut items {
        item.push(end);
    }
    if options.has("r") {
        return repeat(&items, count, writer);
    }
    shuffle(&mut items);
    for item in items.iter().take(count) {
        writer.write_all(item)?;
    }
    Ok(0)
}

fn repeat(items: &[Vec<u8>], count: usize, writer: &mut dyn Write) -> Outcome {
    if items.is_empty() && count > 0 {
        return Err(Stop::failed("no lines to repeat"));
    }
    let mut random = Random::default();
    for _ in 0..count {
        let index = random.below(items.len() as u64);
        writer.write_all(&items[usize::try_from(index).expect("below the length")])?;
    }
    Ok(0)
}

const TSORT: Spec = Spec::new("");

pub(crate) fn tsort(invocation: &mut Invocation<'_>) -> Outcome {
    let options = TSORT.parse(invocation.args)?;
    let operand = options.inputs()[0];
    let mut reader =
        input::open(invocation.cwd, invocation.stdin, operand).map_err(|error| Stop::at(operand, &error))?;
    let text = input::everything(&mut *reader)?;
    drop(reader);
    let text = String::from_utf8_lossy(&text).into_owned();
    let words: Vec<&str> = text.split_whitespace().collect();
    if !words.len().is_multiple_of(2) {
        return Err(Stop::failed(format!("{operand}: input contains an odd number of tokens")));
    }
    let mut graph = Graph::new(&words);
    let mut code = 0;
    let mut order = Vec::new();
    while let Some(name) = graph.next() {
        order.push(name);
    }
    while let Some(name) = graph.rest() {
        if code == 0 {
            complain(invocation, format_args!("{operand}: input contains a loop:"));
        }
        complain(invocation, name);
        code = 1;
        order.push(name);
        while let Some(name) = graph.next() {
            order.push(name);
        }
    }
    for name in order {
        writeln!(invocation.stdout, "{name}")?;
    }
    Ok(code)
}

/// What must come before what.
struct Graph<'t> {
    waits_for: BTreeMap<&'t str, usize>,
    before: BTreeMap<&'t str, Vec<&'t str>>,
    ready: VecDeque<&'t str>,
}

impl<'t> Graph<'t> {
    fn new(words: &[&'t str]) -> Self {
        let mut waits_for: BTreeMap<&str, usize> = words.iter().map(|word| (*word, 0)).collect();
        let mut before: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for pair in words.chunks(2) {
            if pair[0] != pair[1] {
                *waits_for.get_mut(pair[1]).expect("every word is in the map") += 1;
                // The reverse of the input's order, which is how the real command walks them.
                before.entry(pair[0]).or_default().insert(0, pair[1]);
            }
        }
        let ready = waits_for.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
        Self { waits_for, before, ready }
    }

    fn next(&mut self) -> Option<&'t str> {
        let name = self.ready.pop_front()?;
        self.done(name);
        Some(name)
    }

    fn done(&mut self, name: &'t str) {
        self.waits_for.remove(name);
        for after in self.before.remove(name).unwrap_or_default() {
            if let Some(count) = self.waits_for.get_mut(after) {
                *count -= 1;
                if *count == 0 {
                    self.ready.push_back(after);
                }
            }
        }
    }

    /// Breaks a loop at its first name.
    fn rest(&mut self) -> Option<&'t str> {
        let name = *self.waits_for.keys().next()?;
        self.done(name);
        Some(name)
    }
}
