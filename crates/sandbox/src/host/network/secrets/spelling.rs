//! How a value may be spelled in what a server answers: every form that a usual encoder makes of it, as one expression.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;

/// Bits of a character of base64.
const SEXTET: usize = 6;

/// A character of base64, in both alphabets.
const ANY_BASE64: &str = r"[A-Za-z0-9+/\-_]?";

/// Base64 in mails is broken into lines.
const BREAK: &str = r"(?:\r?\n)?";

/// Returns the expressions that find `value`, for a syntax of bytes without Unicode.
pub(super) fn spellings(value: &str) -> Vec<String> {
    let mut spellings = vec![escaped(value), hexadecimal(value)];
    let utf16: Vec<u16> = value.encode_utf16().collect();
    spellings.push(literal(utf16.iter().flat_map(|unit| unit.to_le_bytes())));
    spellings.push(literal(utf16.iter().flat_map(|unit| unit.to_be_bytes())));
    spellings.extend((0..3).map(|before| base64(value.as_bytes(), before)));
    spellings
}

/// Returns `value`, each of its characters as it is or in one of its escapes: as forms, JSON, JavaScript and HTML have
/// them, in any mixture.
fn escaped(value: &str) -> String {
    value.chars().map(|char| format!("(?:{})", forms(char).join("|"))).collect::<Vec<_>>().concat()
}

fn forms(char: char) -> Vec<String> {
    let (bytes, mut units) = (char.to_string().into_bytes(), [0; 2]);
    let percent: Vec<_> = bytes.iter().map(|byte| format!("%{}", hex(u32::from(*byte), 2))).collect();
    let json: Vec<_> =
        char.encode_utf16(&mut units).iter().map(|unit| format!(r"\\u{}", hex((*unit).into(), 4))).collect();
    let code = u32::from(char);
    let html = format!("&#0{{0,4}}{code};?|&#[xX]0{{0,4}}{};?", hex(code, 1));
    let mut forms = vec![literal(bytes), percent.concat(), json.concat(), html];
    if char.is_ascii() {
        forms.push(format!(r"\\x{}", hex(code, 2)));
    }
    let named = match char {
        ' ' => r"\+",
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '"' => r#"&quot;|\\""#,
        '\'' => r"&apos;|\\'",
        '\\' => r"\\\\",
        '/' => r"\\/",
        _ => return forms,
    };
    forms.push(named.to_owned());
    forms
}

/// Returns the expression of exactly these bytes.
fn literal(bytes: impl IntoIterator<Item = u8>) -> String {
    bytes.into_iter().fold(String::new(), |mut text, byte| {
        write!(text, r"\x{byte:02x}").expect("a string takes text");
        text
    })
}

/// Returns the expression of `number` in at least `digits` hexadecimal digits, in any case.
fn hex(number: u32, digits: usize) -> String {
    let digit = |digit: char| match digit {
        'a'..='f' => format!("[{digit}{}]", digit.to_ascii_uppercase()),
        digit => digit.to_string(),
    };
    format!("{number:0digits$x}").chars().map(digit).collect()
}

fn hexadecimal(value: &str) -> String {
    value.bytes().map(|byte| hex(byte.into(), 2)).collect()
}

/// Returns the expression of `value` inside of base64, behind `before` bytes modulo three: what of it depends on nothing
/// but the value, and the two characters beside that, which it shares with its neighbours.
fn base64(value: &[u8], before: usize) -> String {
    let encoded = BASE64_STANDARD_NO_PAD.encode([&vec![0; before][..], value].concat());
    let shared_before = (before * 8).div_ceil(SEXTET);
    let whole = (before + value.len()) * 8 / SEXTET;
    let core: Vec<String> = encoded[shared_before..whole].chars().map(base64_forms).collect();
    let head = if before == 0 { "" } else { ANY_BASE64 };
    let tail = if whole < encoded.len() { ANY_BASE64 } else { "" };
    format!("{head}{}{tail}", core.join(BREAK))
}

fn base64_forms(char: char) -> String {
    match char {
        '+' => format!("(?:-|{})", forms('+').join("|")),
        '/' => format!("(?:_|{})", forms('/').join("|")),
        char => char.to_string(),
    }
}
