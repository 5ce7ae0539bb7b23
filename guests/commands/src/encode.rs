//! Bytes as text: `base64`, `base32`, `od`, `xxd`, `strings`.

mod dump;

use std::io::{BufRead, Write};

use data_encoding::{BASE32, BASE64, DecodeKind, Encoding};

use crate::Invocation;
use crate::input;
use crate::options::Spec;
use crate::report::{Outcome, Stop, name_of};

pub(crate) use dump::{od, xxd};

const BASE: Spec = Spec::new("d/D/decode i/ignore-garbage w/wrap=");

pub(crate) fn base(invocation: &mut Invocation<'_>) -> Outcome {
    let options = BASE.parse(invocation.args)?;
    let name = name_of(invocation);
    if let Some(extra) = options.operands.get(1) {
        return Err(BASE.wrong(&name, &format!("extra operand '{extra}'")));
    }
    let (encoding, alphabet): (&Encoding, fn(u8) -> bool) = if name == "base32" {
        (&BASE32, |byte| byte.is_ascii_uppercase() || matches!(byte, b'2'..=b'7' | b'='))
    } else {
        (&BASE64, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
    };
    let wrap = match options.value("w") {
        Some(text) => text.parse().map_err(|_| Stop::failed(format!("invalid wrap size: '{text}'")))?,
        None => 76,
    };
    let operand = options.inputs()[0];
    let mut reader =
        input::open(invocation.cwd, invocation.stdin, operand).map_err(|error| Stop::at(operand, &error))?;
    if options.has("d") {
        let ignored = |byte: &u8| options.has("i") && !alphabet(*byte);
        return decode(&mut *reader, invocation.stdout, encoding, &ignored);
    }
    encode(&mut *reader, invocation.stdout, encoding, wrap)
}

/// Bytes that are encoded at once: whole groups of both encodings.
const GROUP: usize = 15 * 512;

fn encode(reader: &mut dyn BufRead, writer: &mut dyn Write, encoding: &Encoding, wrap: usize) -> Outcome {
    let mut column = 0;
    loop {
        let mut part = Vec::with_capacity(GROUP);
        input::copy(reader, &mut part, GROUP as u64)?;
        if part.is_empty() {
            break;
        }
        let text = encoding.encode(&part);
        if wrap == 0 {
            writer.write_all(text.as_bytes())?;
            continue;
        }
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(wrap - column));
            writer.write_all(line)?;
            column += line.len();
            rest = after;
            if column == wrap {
                writer.write_all(b"\n")?;
                column = 0;
            }
        }
    }
    if column > 0 {
        writer.write_all(b"\n")?;
    }
    Ok(0)
}

fn decode(
    reader: &mut dyn BufRead,
    writer: &mut dyn Write,
    encoding: &Encoding,
    ignored: &dyn Fn(&u8) -> bool,
) -> Outcome {
    let mut held = Vec::new();
    loop {
        let mut part = Vec::with_capacity(GROUP);
        input::copy(reader, &mut part, GROUP as u64)?;
        let at_end = part.is_empty();
        held.extend(part.into_iter().filter(|byte| *byte != b'\n' && !ignored(byte)));
        // Both encodings have groups that eight characters hold whole.
        let whole = if at_end { held.len() } else { held.len() / 8 * 8 };
        match encoding.decode(&held[..whole]) {
            Ok(bytes) => writer.write_all(&bytes)?,
            Err(error) => {
                // What is before the mistake is still written.
                let position = if error.kind == DecodeKind::Length { held.len() } else { error.position };
                writer.write_all(&decodable(encoding, &held[..position]))?;
                return Err(Stop::failed("invalid input"));
            }
        }
        held.drain(..whole);
        if at_end {
            return Ok(0);
        }
    }
}

/// Returns what can be read of text that breaks off: whole groups, and the whole bytes of a broken one.
fn decodable(encoding: &Encoding, text: &[u8]) -> Vec<u8> {
    let (group, bits) = if encoding.bit_width() == 6 { (4, 6) } else { (8, 5) };
    let whole = text.len() / group * group;
    let mut bytes = encoding.decode(&text[..whole]).unwrap_or_default();
    let rest = &text[whole..];
    let mut filled = rest.to_vec();
    filled.resize(group, b'A');
    let last = encoding.decode(&filled).unwrap_or_default();
    bytes.extend(last.iter().take(rest.len() * bits / 8));
    bytes
}

const STRINGS: Spec = Spec::new("a/all n/bytes= t/radix= f/print-file-name o 1 2 3 4 5 6 7 8 9");

pub(crate) fn strings(invocation: &mut Invocation<'_>) -> Outcome {
    let options = STRINGS.parse(invocation.args)?;
    let least = match options.value("n") {
        Some(text) => text.parse().map_err(|_| Stop::failed(format!("invalid minimum string length {text}")))?,
        None => options.found.iter().rev().find_map(|found| found.name.parse().ok()).unwrap_or(4),
    };
    let radix = options.value("t").or(options.has("o").then_some("o"));
    input::each(invocation, &options.inputs(), |operand, reader, writer| {
        let mut text = Vec::new();
        let (mut offset, mut start) = (0_u64, 0_u64);
        let mut flush = |text: &mut Vec<u8>, start: u64| -> Result<(), Stop> {
            if text.len() >= least {
                let name = if options.has("f") { format!("{operand}: ") } else { String::new() };
                let place = match radix {
                    Some("d") => format!("{start:7} "),
                    Some("x") => format!("{start:7x} "),
                    Some(_) => format!("{start:7o} "),
                    None => String::new(),
                };
                writer.write_all(&[name.as_bytes(), place.as_bytes(), text, b"\n"].concat())?;
            }
            text.clear();
            Ok(())
        };
        loop {
            let part = reader.fill_buf().map_err(Stop::Read)?;
            if part.is_empty() {
                return flush(&mut text, start);
            }
            for byte in part {
                if matches!(byte, b' '..=b'~' | b'\t') {
                    if text.is_empty() {
                        start = offset;
                    }
                    text.push(*byte);
                } else {
                    flush(&mut text, start)?;
                }
                offset += 1;
            }
            let length = part.len();
            reader.consume(length);
        }
    })
}
