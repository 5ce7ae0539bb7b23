//! `od` and `xxd`.

use std::io::{BufRead, Write};

use crate::Invocation;
use crate::input;
use crate::numbers;
use crate::options::Spec;
use crate::report::{Outcome, Stop};

const OD: Spec =
    Spec::new("A/address-radix= t/format= N/read-bytes= j/skip-bytes= v/output-duplicates w/width? a b c d o s x i l");

/// How the bytes of a line are shown.
#[derive(Clone, Copy)]
struct Format {
    kind: char,
    bytes: usize,
}

impl Format {
    fn named(text: &str) -> Option<Vec<Self>> {
        let mut formats = Vec::new();
        let mut letters = text.chars().peekable();
        while let Some(kind) = letters.next() {
            let size = letters.next_if(|c| c.is_ascii_digit() || "CSIL".contains(*c));
            let usual = if matches!(kind, 'a' | 'c') { 1 } else { 4 };
            let bytes = match size {
                None => usual,
                Some('C') => 1,
                Some('S') => 2,
                Some('I') => 4,
                Some('L') => 8,
                Some(digit) => usize::try_from(digit.to_digit(10)?).ok()?,
            };
            if !"acdoux".contains(kind) || ![1, 2, 4, 8].contains(&bytes) {
                return None;
            }
            formats.push(Self { kind, bytes });
        }
        Some(formats)
    }

    fn width(self) -> usize {
        match (self.kind, self.bytes) {
            ('a' | 'c', _) => 3,
            ('o', bytes) => (bytes * 8).div_ceil(3),
            ('x', bytes) => bytes * 2,
            ('u', 1) => 3,
            ('u', 2) => 5,
            ('u', 4) => 10,
            ('u', _) => 20,
            (_, 1) => 4,
            (_, 2) => 6,
            (_, 4) => 11,
            _ => 20,
        }
    }

    fn show(self, bytes: &[u8]) -> String {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        let number = u64::from_le_bytes(whole);
        let width = self.width();
        let shown = match self.kind {
            'c' => character(bytes[0]),
            'a' => named(bytes[0] & 0x7F),
            'o' => format!("{number:0width$o}"),
            'x' => format!("{number:0width$x}"),
            'u' => number.to_string(),
            _ => {
                let unused = 64 - 8 * u32::try_from(self.bytes).expect("eight at most");
                ((number << unused).cast_signed() >> unused).to_string()
            }
        };
        format!(" {shown:>width$}")
    }
}

fn character(byte: u8) -> String {
    match byte {
        0 => "\\0".into(),
        7 => "\\a".into(),
        8 => "\\b".into(),
        9 => "\\t".into(),
        10 => "\\n".into(),
        11 => "\\v".into(),
        12 => "\\f".into(),
        13 => "\\r".into(),
        b' '..=b'~' => char::from(byte).to_string(),
        other => format!("{other:03o}"),
    }
}

fn named(byte: u8) -> String {
    const NAMES: [&str; 33] = [
        "nul", "soh", "stx", "etx", "eot", "enq", "ack", "bel", "bs", "ht", "nl", "vt", "ff", "cr", "so", "si", "dle",
        "dc1", "dc2", "dc3", "dc4", "nak", "syn", "etb", "can", "em", "sub", "esc", "fs", "gs", "rs", "us", "sp",
    ];
    match byte {
        127 => "del".into(),
        byte => NAMES.get(usize::from(byte)).map_or_else(|| char::from(byte).to_string(), |name| (*name).to_owned()),
    }
}

pub(crate) fn od(invocation: &mut Invocation<'_>) -> Outcome {
    let options = OD.parse(invocation.args)?;
    let mut formats = Vec::new();
    for found in &options.found {
        let text = match found.name {
            "t" => found.text(),
            "a" => "a",
            "b" => "o1",
            "c" => "c",
            "d" => "u2",
            "o" => "o2",
            "s" => "d2",
            "x" => "x2",
            "i" => "d4",
            "l" => "d8",
            _ => continue,
        };
        formats.extend(Format::named(text).ok_or_else(|| Stop::failed(format!("invalid type string '{text}'")))?);
    }
    if formats.is_empty() {
        formats.push(Format { kind: 'o', bytes: 2 });
    }
    let size = |name: &str| match options.value(name) {
        Some(text) => numbers::size(text).map(Some).ok_or_else(|| Stop::failed(format!("invalid argument '{text}'"))),
        None => Ok(None),
    };
    let (limit, skip) = (size("N")?.unwrap_or(u64::MAX), size("j")?.unwrap_or(0));
    let width = match options.value("w") {
        Some("") => 32,
        Some(text) => text
            .parse()
            .ok()
            .filter(|width| *width > 0)
            .ok_or_else(|| Stop::failed(format!("invalid -w argument '{text}'")))?,
        None => 16,
    };
    let radix = options.value("A").unwrap_or("o").to_owned();
    let mut content = Vec::new();
    let wanted = limit.saturating_add(skip);
    let code = input::each(invocation, &options.inputs(), |_, reader, _| {
        let left = wanted.saturating_sub(content.len() as u64);
        input::copy(reader, &mut content, left).map(drop)
    })?;
    let skipped = usize::try_from(skip).unwrap_or(usize::MAX);
    if skipped > content.len() {
        return Err(Stop::failed("cannot skip past end of combined input"));
    }
    let dump = Dump { formats, width, radix, all: options.has("v") };
    dump.write(&content, skipped, invocation.stdout)?;
    Ok(code)
}

struct Dump {
    formats: Vec<Format>,
    width: usize,
    radix: String,
    all: bool,
}

impl Dump {
    fn address(&self, at: usize) -> String {
        match self.radix.as_str() {
            "n" => String::new(),
            "x" => format!("{at:06x}"),
            "d" => format!("{at:07}"),
            _ => format!("{at:07o}"),
        }
    }

    fn write(&self, content: &[u8], skipped: usize, writer: &mut dyn Write) -> Result<(), Stop> {
        let mut before: Option<&[u8]> = None;
        let mut starred = false;
        let mut at = skipped;
        for line in content[skipped..].chunks(self.width) {
            let same = before == Some(line) && !self.all;
            if same && !starred {
                writer.write_all(b"*\n")?;
            }
            starred = same;
            if !same {
                self.line(at, line, writer)?;
            }
            before = Some(line);
            at += line.len();
        }
        if self.radix != "n" {
            writeln!(writer, "{}", self.address(at))?;
        }
        Ok(())
    }

    fn line(&self, at: usize, line: &[u8], writer: &mut dyn Write) -> Result<(), Stop> {
        // Several formats stand below each other: the widest says how wide a block of eight bytes is.
        let width = |format: &Format| 8 / format.bytes * (format.width() + 1);
        let widest = self.formats.iter().map(width).max().unwrap_or(0);
        for (index, format) in self.formats.iter().enumerate() {
            let address = self.address(at);
            let start = if index == 0 { address } else { " ".repeat(address.len()) };
            let count = 8 / format.bytes;
            let missing = widest - width(format);
            // What is missing is spread evenly.
            let before = |place: usize| {
                missing * (count - place % count) / count - missing * (count - place % count - 1) / count
            };
            let cells = line.chunks(format.bytes).enumerate();
            let shown: String =
                cells.flat_map(|(place, bytes)| [" ".repeat(before(place)), format.show(bytes)]).collect();
            writeln!(writer, "{start}{shown}")?;
        }
        Ok(())
    }
}

const XXD: Spec = Spec::new("p/ps/postscript/plain r/revert l/len= s/seek= c/cols= g/groupsize= u b/bits i/include e");

pub(crate) fn xxd(invocation: &mut Invocation<'_>) -> Outcome {
    // Long names have one dash here.
    let args: Vec<String> = invocation
        .args
        .iter()
        .map(|word| match word.as_str() {
            "-ps" | "-plain" | "-postscript" => "-p".to_owned(),
            "-len" | "-cols" | "-seek" | "-revert" | "-include" | "-bits" => format!("-{word}"),
            _ => word.clone(),
        })
        .collect();
    let options = XXD.parse(&args)?;
    let number = |name: &str, or: usize| match options.value(name) {
        Some(text) => {
            let hex = text.strip_prefix("0x").map(|digits| usize::from_str_radix(digits, 16));
            hex.unwrap_or_else(|| text.parse()).map_err(|_| Stop::failed(format!("invalid number '{text}'")))
        }
        None => Ok(or),
    };
    if options.has("e") {
        return Err(Stop::failed("little-endian dumps are not supported"));
    }
    let operand = options.inputs()[0];
    let mut reader = input::open(invocation.cwd, invocation.stdin, operand)
        .map_err(|error| Stop::code(2, format!("{operand}: {}", crate::report::reason(&error))))?;
    let mut file = match options.operands.get(1) {
        Some(name) => Some(
            input::create(invocation.cwd, name, false)
                .map_err(|error| Stop::code(3, format!("{name}: {}", crate::report::reason(&error))))?,
        ),
        None => None,
    };
    let writer: &mut dyn Write = match &mut file {
        Some(file) => file,
        None => invocation.stdout,
    };
    let (plain, bits) = (options.has("p"), options.has("b"));
    if options.has("r") {
        return revert(&mut *reader, writer, plain);
    }
    input::copy(&mut *reader, &mut std::io::sink(), number("s", 0)? as u64)?;
    let columns = number(
        "c",
        if plain {
            30
        } else if bits {
            6
        } else if options.has("i") {
            12
        } else {
            16
        },
    )?
    .max(1);
    let group = match number("g", if bits { 1 } else { 2 })? {
        0 => columns,
        group => group,
    };
    let style = Style { plain, bits, upper: options.has("u"), columns, group };
    let limit = number("l", usize::MAX)? as u64;
    if options.has("i") {
        return include(&mut *reader, writer, operand, &style, limit);
    }
    style.dump(&mut *reader, writer, limit, number("s", 0)?)
}

struct Style {
    plain: bool,
    bits: bool,
    upper: bool,
    columns: usize,
    group: usize,
}

impl Style {
    fn byte(&self, byte: u8) -> String {
        match (self.bits, self.upper) {
            (true, _) => format!("{byte:08b}"),
            (_, true) => format!("{byte:02X}"),
            _ => format!("{byte:02x}"),
        }
    }

    fn dump(&self, reader: &mut dyn BufRead, writer: &mut dyn Write, mut limit: u64, mut at: usize) -> Outcome {
        loop {
            let mut line = Vec::with_capacity(self.columns);
            input::copy(reader, &mut line, limit.min(self.columns as u64))?;
            if line.is_empty() {
                return Ok(0);
            }
            limit -= line.len() as u64;
            if self.plain {
                let text: String = line.iter().map(|byte| self.byte(*byte)).collect();
                writeln!(writer, "{text}")?;
            } else {
                self.line(&line, at, writer)?;
            }
            at += line.len();
        }
    }

    fn line(&self, line: &[u8], at: usize, writer: &mut dyn Write) -> Result<(), Stop> {
        let digits = if self.bits { 8 } else { 2 };
        let full = self.columns * digits + self.columns.div_ceil(self.group) - 1;
        let groups: Vec<String> =
            line.chunks(self.group).map(|group| group.iter().map(|byte| self.byte(*byte)).collect()).collect();
        let shown: String = line
            .iter()
            .map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' })
            .collect();
        writeln!(writer, "{at:08x}: {:<full$}  {shown}", groups.join(" "))?;
        Ok(())
    }
}

fn include(reader: &mut dyn BufRead, writer: &mut dyn Write, operand: &str, style: &Style, limit: u64) -> Outcome {
    let mut content = Vec::new();
    input::copy(reader, &mut content, limit)?;
    let lines: Vec<String> = content
        .chunks(style.columns)
        .map(|line| {
            format!("  {}", line.iter().map(|byte| format!("0x{}", style.byte(*byte))).collect::<Vec<_>>().join(", "))
        })
        .collect();
    if operand == "-" {
        writeln!(writer, "{}", lines.join(",\n"))?;
        return Ok(0);
    }
    let name: String = operand.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    writeln!(
        writer,
        "unsigned char {name}[] = {{\n{}\n}};\nunsigned int {name}_len = {};",
        lines.join(",\n"),
        content.len()
    )?;
    Ok(0)
}

fn revert(reader: &mut dyn BufRead, writer: &mut dyn Write, plain: bool) -> Outcome {
    let mut line = Vec::new();
    while input::bare_record(reader, b'\n', &mut line)? {
        let text = String::from_utf8_lossy(&line).into_owned();
        let digits = if plain {
            text.as_str()
        } else {
            let Some((_, rest)) = text.split_once(':') else { continue };
            rest.trim_start().split("  ").next().unwrap_or_default()
        };
        let digits: Vec<u32> = digits.chars().filter(|c| !c.is_whitespace()).map_while(|c| c.to_digit(16)).collect();
        let bytes: Vec<u8> =
            digits.chunks_exact(2).filter_map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect();
        writer.write_all(&bytes)?;
    }
    Ok(0)
}
