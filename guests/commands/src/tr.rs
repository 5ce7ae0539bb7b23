//! `tr`: bytes to bytes.

use std::io::{BufRead, Write};

use crate::Invocation;
use crate::escape::{self, Escape, Octal};
use crate::options::Spec;
use crate::report::{Outcome, Stop};

const TR: Spec = Spec::new("c/C/complement d/delete s/squeeze-repeats t/truncate-set1").operand_ends();

pub(crate) fn tr(invocation: &mut Invocation<'_>) -> Outcome {
    let options = TR.parse(invocation.args)?;
    let wrong = |text: &str| TR.wrong("tr", text);
    let (delete, squeeze) = (options.has("d"), options.has("s"));
    let (one, two) = match options.operands.as_slice() {
        [] => return Err(wrong("missing operand")),
        [one] if delete != squeeze => (*one, None),
        [one] => {
            let why = if delete {
                "Two strings must be given when both deleting and squeezing repeats."
            } else {
                "Two strings must be given when translating."
            };
            return Err(wrong(&format!("missing operand after '{one}'\n{why}")));
        }
        [one, two] if delete && !squeeze => {
            let why = "Only one string may be given when deleting without squeezing repeats.";
            return Err(wrong(&format!("extra operand '{two}'\n{why} {one}")));
        }
        [one, two] => (*one, Some(*two)),
        [_, _, extra, ..] => return Err(wrong(&format!("extra operand '{extra}'"))),
    };
    let mut from = set(one, None)?;
    if options.has("c") {
        from = (0..=255).filter(|byte| !from.contains(byte)).collect();
    }
    let to = two.map(|two| set(two, Some(from.len()))).transpose()?;
    let translation = Translation::new(&from, to, delete, squeeze, options.has("t"))?;
    translation.run(invocation.stdin, invocation.stdout)?;
    Ok(0)
}

struct Translation {
    map: [u8; 256],
    deleted: [bool; 256],
    squeezed: [bool; 256],
}

impl Translation {
    fn new(from: &[u8], to: Option<Vec<u8>>, delete: bool, squeeze: bool, truncate: bool) -> Result<Self, Stop> {
        let mut map = [0; 256];
        for (byte, place) in (0..=255).zip(&mut map) {
            *place = byte;
        }
        let mut translation = Self { map, deleted: [false; 256], squeezed: [false; 256] };
        let squeezed = match &to {
            Some(to) => to.clone(),
            None => from.to_vec(),
        };
        if squeeze {
            for byte in squeezed {
                translation.squeezed[usize::from(byte)] = true;
            }
        }
        if delete {
            for byte in from {
                translation.deleted[usize::from(*byte)] = true;
            }
        } else if let Some(to) = to {
            translation.translate(from, &to, truncate)?;
        }
        Ok(translation)
    }

    fn translate(&mut self, from: &[u8], to: &[u8], truncate: bool) -> Result<(), Stop> {
        let Some(last) = to.last() else {
            let text = "when not truncating set1, string2 must be non-empty";
            return if truncate || from.is_empty() { Ok(()) } else { Err(Stop::failed(text)) };
        };
        for (index, byte) in from.iter().enumerate() {
            match to.get(index) {
                Some(target) => self.map[usize::from(*byte)] = *target,
                None if truncate => break,
                None => self.map[usize::from(*byte)] = *last,
            }
        }
        Ok(())
    }

    fn run(&self, reader: &mut dyn BufRead, writer: &mut dyn Write) -> Result<(), Stop> {
        let mut last = None;
        loop {
            let part = reader.fill_buf().map_err(Stop::Read)?;
            if part.is_empty() {
                return Ok(());
            }
            let mut output = Vec::with_capacity(part.len());
            for byte in part.iter().filter(|byte| !self.deleted[usize::from(**byte)]) {
                let byte = self.map[usize::from(*byte)];
                if !self.squeezed[usize::from(byte)] || last != Some(byte) {
                    output.push(byte);
                }
                last = Some(byte);
            }
            let length = part.len();
            reader.consume(length);
            writer.write_all(&output)?;
        }
    }
}

/// Returns the bytes that a set names, in order. `[c*]` fills up to `length`.
fn set(text: &str, length: Option<usize>) -> Result<Vec<u8>, Stop> {
    let text = text.as_bytes();
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if let Some((class, used)) = class(rest)? {
            bytes.extend(class);
            at += used;
        } else if let Some((byte, count, used)) =
            repeated(rest, length.map(|length| length.saturating_sub(bytes.len())))
        {
            bytes.resize(bytes.len() + count, byte);
            at += used;
        } else {
            let (first, used) = single(rest);
            at += used;
            if text.get(at) == Some(&b'-') && at + 1 < text.len() {
                let (last, used) = single(&text[at + 1..]);
                if last < first {
                    let shown = |byte: u8| char::from(byte);
                    let range = format!("{}-{}", shown(first), shown(last));
                    return Err(Stop::failed(format!(
                        "range-endpoints of '{range}' are in reverse collating sequence order"
                    )));
                }
                bytes.extend(first..=last);
                at += 1 + used;
            } else {
                bytes.push(first);
            }
        }
    }
    Ok(bytes)
}

fn single(text: &[u8]) -> (u8, usize) {
    if text[0] != b'\\' || text.len() == 1 {
        return (text[0], 1);
    }
    match escape::read(&text[1..], Octal::Plain) {
        (Escape::Byte(byte), length) if b"abfnrtv\\01234567".contains(&text[1]) => (byte, 1 + length),
        // A backslash before anything else is not there.
        _ => (text[1], 2),
    }
}

/// Reads `[:name:]` or `[=c=]`.
fn class(text: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Stop> {
    if text.starts_with(b"[=") && text.get(3..5) == Some(b"=]") {
        return Ok(Some((vec![text[2]], 5)));
    }
    let Some(rest) = text.strip_prefix(b"[:") else { return Ok(None) };
    let Some(end) = rest.windows(2).position(|pair| pair == b":]") else { return Ok(None) };
    let name = String::from_utf8_lossy(&rest[..end]).into_owned();
    let holds = class_of(&name).ok_or_else(|| Stop::failed(format!("invalid character class '{name}'")))?;
    Ok(Some(((0..=255).filter(holds).collect(), end + 4)))
}

/// Returns the test of a POSIX character class.
pub(crate) fn class_of(name: &str) -> Option<fn(&u8) -> bool> {
    Some(match name {
        "alpha" => u8::is_ascii_alphabetic,
        "digit" => u8::is_ascii_digit,
        "alnum" => u8::is_ascii_alphanumeric,
        "upper" => u8::is_ascii_uppercase,
        "lower" => u8::is_ascii_lowercase,
        "space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        "blank" => |byte| matches!(byte, b' ' | b'\t'),
        "punct" => u8::is_ascii_punctuation,
        "cntrl" => u8::is_ascii_control,
        "graph" => u8::is_ascii_graphic,
        "print" => |byte| matches!(byte, b' '..=b'~'),
        "xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    })
}

/// Reads `[c*n]` or, where the length of the other set is known, `[c*]`.
fn repeated(text: &[u8], room: Option<usize>) -> Option<(u8, usize, usize)> {
    let rest = text.strip_prefix(b"[")?;
    let (byte, used) = rest.first().map(|_| single(rest))?;
    let digits = rest.get(used..)?.strip_prefix(b"*")?;
    let end = digits.iter().position(|byte| *byte == b']')?;
    let number = std::str::from_utf8(&digits[..end]).ok()?;
    let base = if number.starts_with('0') { 8 } else { 10 };
    let count = if number.is_empty() { 0 } else { usize::from_str_radix(number, base).ok()? };
    let count = if count == 0 { room? } else { count };
    // More than there are bytes changes nothing.
    Some((byte, count.min(1 << 16), 1 + used + 1 + end + 1))
}
