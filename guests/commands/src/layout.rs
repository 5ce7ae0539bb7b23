//! Lines of another shape: `fold`, `fmt`, `expand`, `unexpand`, `column`, `split`.

use std::io::Write;

use crate::Invocation;
use crate::input;
use crate::numbers;
use crate::options::{Options, Spec};
use crate::report::{Outcome, Stop};

/// Wider lines than these are a mistake.
const MAX_WIDTH: usize = 1 << 20;

fn width(options: &Options<'_>, name: &str, usual: usize) -> Result<usize, Stop> {
    match options.value(name) {
        Some(text) => {
            let width = text.parse().ok().filter(|width| (1..=MAX_WIDTH).contains(width));
            width.ok_or_else(|| Stop::failed(format!("invalid width: '{text}'")))
        }
        None => Ok(usual),
    }
}

/// Rewrites `-20` to `-w20`, as the old spelling of fold and fmt has it.
fn with_modern_width(args: &[String]) -> Vec<String> {
    let is_old = |word: &String| {
        word.strip_prefix('-')
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    args.iter().map(|word| if is_old(word) { format!("-w{}", &word[1..]) } else { word.clone() }).collect()
}

const FOLD: Spec = Spec::new("w/width= s/spaces b/bytes c/characters");

pub(crate) fn fold(invocation: &mut Invocation<'_>) -> Outcome {
    let args = with_modern_width(invocation.args);
    let options = FOLD.parse(&args)?;
    let (width, at_blanks, bytes) = (width(&options, "w", 80)?, options.has("s"), options.has("b"));
    input::each(invocation, &options.inputs(), |_, reader, writer| {
        let mut line = Vec::new();
        while input::record(reader, b'\n', &mut line)? {
            writer.write_all(&folded(&line, width, at_blanks, bytes))?;
        }
        Ok(())
    })
}

fn folded(line: &[u8], width: usize, at_blanks: bool, bytes: bool) -> Vec<u8> {
    let mut output = Vec::with_capacity(line.len() + line.len() / width);
    let mut piece: Vec<u8> = Vec::new();
    let mut column = 0;
    for byte in line {
        if *byte == b'\n' {
            piece.push(b'\n');
            break;
        }
        let mut next = advanced(column, *byte, bytes);
        if next > width && !piece.is_empty() {
            let blank = piece.iter().rposition(|byte| matches!(byte, b' ' | b'\t')).filter(|_| at_blanks);
            let rest = piece.split_off(blank.map_or(piece.len(), |at| at + 1));
            output.append(&mut piece);
            output.push(b'\n');
            column = rest.iter().fold(0, |column, byte| advanced(column, *byte, bytes));
            piece = rest;
            next = advanced(column, *byte, bytes);
        }
        piece.push(*byte);
        column = next;
    }
    output.append(&mut piece);
    output
}

fn advanced(column: usize, byte: u8, bytes: bool) -> usize {
    match byte {
        _ if bytes => column + 1,
        b'\t' => column / 8 * 8 + 8,
        8 => column.saturating_sub(1),
        b'\r' => 0,
        // What continues a character takes no room.
        byte if byte & 0xC0 == 0x80 => column,
        _ => column + 1,
    }
}

const FMT: Spec =
    Spec::new("w/width= g/goal= s/split-only u/uniform-spacing c/crown-margin t/tagged-paragraph p/prefix=");

pub(crate) fn fmt(invocation: &mut Invocation<'_>) -> Outcome {
    let args = with_modern_width(invocation.args);
    let options = FMT.parse(&args)?;
    let width = width(&options, "w", 75)?;
    let split_only = options.has("s");
    input::each(invocation, &options.inputs(), |_, reader, writer| {
        let mut paragraph: Option<(String, Vec<Word>)> = None;
        let mut line = Vec::new();
        while input::bare_record(reader, b'\n', &mut line)? {
            let text = String::from_utf8_lossy(&line).into_owned();
            let indent: String = text.chars().take_while(|c| c.is_whitespace()).collect();
            let words = spaced_words(&text);
            let goes_on =
                !words.is_empty() && !split_only && paragraph.as_ref().is_some_and(|(before, _)| *before == indent);
            if !goes_on && let Some((indent, words)) = paragraph.take() {
                writer.write_all(filled(&indent, &words, width).as_bytes())?;
            }
            if words.is_empty() {
                writer.write_all(b"\n")?;
            } else {
                paragraph.get_or_insert_with(|| (indent, Vec::new())).1.extend(words);
            }
        }
        if let Some((indent, words)) = paragraph {
            writer.write_all(filled(&indent, &words, width).as_bytes())?;
        }
        Ok(())
    })
}

/// A word, and how many blanks follow it within a line: two after a sentence.
struct Word {
    text: String,
    blanks: usize,
}

fn spaced_words(line: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (text, after) = rest.split_at(end);
        rest = after.trim_start();
        let ends_sentence = text.trim_end_matches([')', ']', '\'', '"']).ends_with(['.', '?', '!']);
        let is_apart = rest.is_empty() || after.len() - rest.len() > 1;
        words.push(Word { text: text.to_owned(), blanks: if ends_sentence && is_apart { 2 } else { 1 } });
    }
    words
}

/// Fills lines as evenly as they go: each as near to the goal of 93 % as the sum of squares wants it.
fn filled(indent: &str, words: &[Word], width: usize) -> String {
    let goal = width * 187 / 200;
    let count = words.len();
    let mut best: Vec<(u64, usize)> = vec![(0, count); count + 1];
    for start in (0..count).rev() {
        let mut length = indent.chars().count();
        let mut chosen = (u64::MAX, start + 1);
        for end in start + 1..=count {
            let before = if end > start + 1 { words[end - 2].blanks } else { 0 };
            length += words[end - 1].text.chars().count() + before;
            if length >= width && end > start + 1 {
                break;
            }
            let away = goal.abs_diff(length) as u64;
            // The last line may be short.
            let cost = if end == count { 0 } else { away * away * 10 };
            let total = cost.saturating_add(best[end].0);
            if total < chosen.0 {
                chosen = (total, end);
            }
        }
        best[start] = chosen;
    }
    let mut text = String::new();
    let mut start = 0;
    while start < count {
        let end = best[start].1;
        text.push_str(indent);
        for (index, word) in words[start..end].iter().enumerate() {
            text.push_str(&word.text);
            let last = start + index + 1 == end;
            text.push_str(&" ".repeat(if last { 0 } else { word.blanks }));
        }
        text.push('\n');
        start = end;
    }
    text
}

/// Columns at which a tab ends: every so many, or a list.
struct Stops(Vec<usize>);

impl Stops {
    fn read(options: &Options<'_>) -> Result<Self, Stop> {
        let text = options.value("t").unwrap_or("8");
        let stops: Option<Vec<usize>> =
            text.split([',', ' ']).map(|part| part.parse().ok().filter(|stop| *stop > 0)).collect();
        stops.map(Self).ok_or_else(|| Stop::failed(format!("tab size contains invalid character(s): '{text}'")))
    }

    fn after(&self, column: usize) -> Option<usize> {
        match self.0.as_slice() {
            [every] => Some(column / every * every + every),
            list => list.iter().copied().find(|stop| *stop > column),
        }
    }
}

const EXPAND: Spec = Spec::new("t/tabs= i/initial");

pub(crate) fn expand(invocation: &mut Invocation<'_>) -> Outcome {
    let args: Vec<String> = with_modern_width(invocation.args)
        .into_iter()
        .map(|word| match word.strip_prefix("-w") {
            Some(digits) => format!("-t{digits}"),
            None => word,
        })
        .collect();
    let options = EXPAND.parse(&args)?;
    let (stops, initial) = (Stops::read(&options)?, options.has("i"));
    input::each(invocation, &options.inputs(), |_, reader, writer| {
        let mut line = Vec::new();
        while input::record(reader, b'\n', &mut line)? {
            let mut output = Vec::with_capacity(line.len());
            let (mut column, mut leading) = (0, true);
            for byte in &line {
                if *byte == b'\t' && (leading || !initial) {
                    let next = stops.after(column).unwrap_or(column + 1);
                    output.resize(output.len() + next - column, b' ');
                    column = next;
                    continue;
                }
                leading &= *byte == b' ';
                column = if *byte == 8 { column.saturating_sub(1) } else { column + 1 };
                output.push(*byte);
            }
            writer.write_all(&output)?;
        }
        Ok(())
    })
}

const UNEXPAND: Spec = Spec::new("t/tabs= a/all first-only");

pub(crate) fn unexpand(invocation: &mut Invocation<'_>) -> Outcome {
    let options = UNEXPAND.parse(invocation.args)?;
    let stops = Stops::read(&options)?;
    let all = (options.has("a") || options.has("t")) && !options.has("first-only");
    input::each(invocation, &options.inputs(), |_, reader, writer| {
        let mut line = Vec::new();
        while input::record(reader, b'\n', &mut line)? {
            writer.write_all(&unexpanded(&line, &stops, all))?;
        }
        Ok(())
    })
}

fn unexpanded(line: &[u8], stops: &Stops, all: bool) -> Vec<u8> {
    let mut output = Vec::with_capacity(line.len());
    // Where a run of blanks began, and where it is now.
    let (mut start, mut column) = (0, 0);
    let mut run: Vec<u8> = Vec::new();
    let mut leading = true;
    for byte in line {
        match byte {
            b' ' | b'\t' if leading || all => {
                if run.is_empty() {
                    start = column;
                }
                column = if *byte == b' ' { column + 1 } else { stops.after(column).unwrap_or(column + 1) };
                run.push(*byte);
            }
            _ => {
                output.extend(blanks(start, column, &run, stops));
                run.clear();
                leading = false;
                output.push(*byte);
                column += 1;
            }
        }
    }
    output.extend(blanks(start, column, &run, stops));
    output
}

/// Returns the tabs and spaces that lead from one column to another. One blank alone stays a blank.
fn blanks(mut from: usize, to: usize, run: &[u8], stops: &Stops) -> Vec<u8> {
    if run.len() < 2 && run != b"\t" {
        return run.to_vec();
    }
    let mut output = Vec::new();
    while let Some(next) = stops.after(from).filter(|next| *next <= to) {
        output.push(b'\t');
        from = next;
    }
    output.resize(output.len() + to - from, b' ');
    output
}

const COLUMN: Spec = Spec::new(
    "t/table s/separator= o/output-separator= c/output-width= x/fillrows n R/table-right= N/table-columns= L e",
);

pub(crate) fn column(invocation: &mut Invocation<'_>) -> Outcome {
    let options = COLUMN.parse(invocation.args)?;
    let total = width(&options, "c", 80)?;
    let mut lines: Vec<String> = Vec::new();
    let code = input::each(invocation, &options.inputs(), |_, reader, _| {
        let mut line = Vec::new();
        while input::bare_record(reader, b'\n', &mut line)? {
            if !line.trim_ascii().is_empty() {
                lines.push(String::from_utf8_lossy(&line).into_owned());
            }
        }
        Ok(())
    })?;
    let text = if options.has("t") {
        let between = options.value("o").unwrap_or("  ");
        let names = options.value("N").map(|names| names.split(',').map(str::to_owned).collect());
        table(&lines, options.value("s"), between, names)
    } else {
        columns(&lines, total, options.has("x"))
    };
    invocation.stdout.write_all(text.as_bytes())?;
    Ok(code)
}

fn table(lines: &[String], separator: Option<&str>, between: &str, names: Option<Vec<String>>) -> String {
    let split = |line: &String| -> Vec<String> {
        match separator {
            Some(separators) => line.split(|c| separators.contains(c)).map(str::to_owned).collect(),
            None => line.split_whitespace().map(str::to_owned).collect(),
        }
    };
    let rows: Vec<Vec<String>> = names.into_iter().chain(lines.iter().map(split)).collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let wide = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(wide).collect();
    let mut text = String::new();
    for row in &rows {
        for (column, width) in widths.iter().enumerate() {
            let cell = row.get(column).map_or("", String::as_str);
            if column + 1 == count {
                text.push_str(cell);
            } else {
                text.extend([cell, &" ".repeat(width - cell.chars().count()), between]);
            }
        }
        let kept = text.trim_end_matches(' ').len();
        if row.len() < count || row.last().is_some_and(String::is_empty) {
            text.truncate(kept.max(text.rfind('\n').map_or(0, |at| at + 1)));
        }
        text.push('\n');
    }
    text
}

/// As many columns as fit, each as wide as the widest entry up to the next tab.
fn columns(lines: &[String], total: usize, by_rows: bool) -> String {
    let widest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let width = (widest + 8) / 8 * 8;
    let count = (total / width).max(1);
    let rows = lines.len().div_ceil(count);
    let mut text = String::new();
    for row in 0..rows {
        let indices: Vec<usize> = (0..count)
            .map(|column| if by_rows { row * count + column } else { column * rows + row })
            .filter(|index| *index < lines.len())
            .collect();
        for (place, index) in indices.iter().enumerate() {
            let entry = &lines[*index];
            text.push_str(entry);
            if place + 1 < indices.len() {
                let missing = width - entry.chars().count();
                text.push_str(&"\t".repeat(missing.div_ceil(8)));
            }
        }
        text.push('\n');
    }
    text
}

const SPLIT: Spec = Spec::new(
    "l/lines= b/bytes= n/number= C/line-bytes= d/numeric-suffixes? x a/suffix-length= additional-suffix= verbose e/elide-empty-files filter= t/separator=",
);

pub(crate) fn split(invocation: &mut Invocation<'_>) -> Outcome {
    let args: Vec<String> = with_modern_width(invocation.args)
        .into_iter()
        .map(|word| word.strip_prefix("-w").map_or(word.clone(), |digits| format!("-l{digits}")))
        .collect();
    let options = SPLIT.parse(&args)?;
    if let Some(name) = ["C", "filter", "t"].into_iter().find(|name| options.has(name)) {
        return Err(SPLIT.wrong("split", &format!("option {name} is not supported")));
    }
    let number = |name: &str| match options.value(name) {
        Some(text) => numbers::size(text)
            .filter(|number| *number > 0)
            .map(Some)
            .ok_or_else(|| Stop::failed(format!("invalid number: '{text}'"))),
        None => Ok(None),
    };
    let operand = options.inputs()[0];
    let prefix = options.operands.get(1).copied().unwrap_or("x");
    let names = Names {
        prefix,
        suffix: options.value("additional-suffix").unwrap_or_default(),
        length: usize::try_from(number("a")?.unwrap_or(2)).unwrap_or(2),
        base: if options.has("d") {
            10
        } else if options.has("x") {
            16
        } else {
            26
        },
    };
    let (bytes, parts, lines) = (number("b")?, number("n")?, number("l")?.unwrap_or(1000));
    let cwd = invocation.cwd;
    let mut reader = input::open(cwd, invocation.stdin, operand).map_err(|error| {
        Stop::failed(format!("cannot open '{operand}' for reading: {}", crate::report::reason(&error)))
    })?;
    if let Some(parts) = parts {
        let content = input::everything(&mut *reader)?;
        let size = content.len() as u64 / parts;
        for index in 0..parts {
            let end = if index + 1 == parts { content.len() as u64 } else { size * (index + 1) };
            let place = |at: u64| usize::try_from(at).unwrap_or(content.len());
            names.create(cwd, index)?.write_all(&content[place(size * index)..place(end)])?;
        }
        return Ok(0);
    }
    for index in 0.. {
        let mut part = Vec::new();
        if let Some(bytes) = bytes {
            input::copy(&mut *reader, &mut part, bytes)?;
        } else {
            let mut line = Vec::new();
            for _ in 0..lines {
                if !input::record(&mut *reader, b'\n', &mut line)? {
                    break;
                }
                part.append(&mut line);
            }
        }
        if part.is_empty() {
            break;
        }
        names.create(cwd, index)?.write_all(&part)?;
    }
    Ok(0)
}

/// How the parts are called.
struct Names<'n> {
    prefix: &'n str,
    suffix: &'n str,
    length: usize,
    base: u32,
}

impl Names<'_> {
    fn create(&self, cwd: &std::path::Path, mut index: u64) -> Result<Box<dyn Write>, Stop> {
        let mut letters = Vec::new();
        for _ in 0..self.length {
            let digit = u32::try_from(index % u64::from(self.base)).expect("below the base");
            letters.push(
                if self.base == 26 { char::from_u32('a' as u32 + digit) } else { char::from_digit(digit, 16) }
                    .expect("a letter or a digit"),
            );
            index /= u64::from(self.base);
        }
        if index > 0 {
            return Err(Stop::failed("output file suffixes exhausted"));
        }
        let name: String = letters.iter().rev().collect();
        let name = format!("{}{name}{}", self.prefix, self.suffix);
        input::create(cwd, &name, false).map_err(|error| Stop::at(&name, &error))
    }
}
