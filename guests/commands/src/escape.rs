//! Backslash escapes, as `echo -e`, `printf`, `tr`, `awk` and `sed` read them.

/// What a backslash meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Escape {
    Byte(u8),
    Char(char),
    /// `\c`: nothing more is to be written.
    Stop,
    /// No escape; the backslash stands for itself.
    None,
}

/// How many octal digits are read, and whether a zero leads them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Octal {
    /// `\NNN`
    Plain,
    /// `\0NNN`
    Zero,
}

/// Reads the escape that follows a backslash, and returns how many bytes it has.
pub(crate) fn read(text: &[u8], octal: Octal) -> (Escape, usize) {
    let Some(first) = text.first() else { return (Escape::None, 0) };
    let byte = match first {
        b'a' => 7,
        b'b' => 8,
        b'e' | b'E' => 27,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'\\' => b'\\',
        b'"' if octal == Octal::Plain => b'"',
        b'c' => return (Escape::Stop, 1),
        b'x' => return digits(text, 1, 2, 16),
        b'u' => return character(text, 4),
        b'U' => return character(text, 8),
        b'0' if octal == Octal::Zero => return zero_led(text),
        b'0'..=b'7' if octal == Octal::Plain => return digits(text, 0, 3, 8),
        _ => return (Escape::None, 0),
    };
    (Escape::Byte(byte), 1)
}

fn zero_led(text: &[u8]) -> (Escape, usize) {
    match digits(text, 1, 3, 8) {
        (Escape::None, _) => (Escape::Byte(0), 1),
        found => found,
    }
}

/// Reads at most `most` digits that start at `from`.
fn digits(text: &[u8], from: usize, most: usize, base: u32) -> (Escape, usize) {
    let (number, length) = number(&text[from..], most, base);
    if length == 0 {
        return (Escape::None, 0);
    }
    // Octal 777 is more than a byte; the C library keeps the low bits.
    let [low, ..] = number.to_le_bytes();
    (Escape::Byte(low), from + length)
}

fn character(text: &[u8], most: usize) -> (Escape, usize) {
    let (number, length) = number(&text[1..], most, 16);
    match char::from_u32(number) {
        Some(character) if length > 0 => (Escape::Char(character), 1 + length),
        _ => (Escape::None, 0),
    }
}

fn number(text: &[u8], most: usize, base: u32) -> (u32, usize) {
    let digit = |byte: &u8| char::from(*byte).to_digit(base);
    let length = text.iter().take(most).take_while(|byte| digit(byte).is_some()).count();
    let number = text[..length].iter().filter_map(digit).fold(0, |sum, digit| sum * base + digit);
    (number, length)
}

/// Replaces the escapes of `text`, and tells whether `\c` ended it.
pub(crate) fn expand(text: &[u8], octal: Octal) -> (Vec<u8>, bool) {
    let mut expanded = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let byte = text[at];
        at += 1;
        if byte != b'\\' {
            expanded.push(byte);
            continue;
        }
        let (escape, length) = read(&text[at..], octal);
        at += length;
        match escape {
            Escape::Stop => return (expanded, true),
            escape => push(&escape, &mut expanded),
        }
    }
    (expanded, false)
}

/// Appends what an escape means.
pub(crate) fn push(escape: &Escape, output: &mut Vec<u8>) {
    match escape {
        Escape::Byte(byte) => output.push(*byte),
        Escape::Char(character) => output.extend(character.encode_utf8(&mut [0; 4]).bytes()),
        Escape::None => output.push(b'\\'),
        Escape::Stop => {}
    }
}
