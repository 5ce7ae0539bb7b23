//! Quoting: where quoted text ends, `$'…'` escapes, and text quoted so that a shell reads it back.

use std::fmt::Write as _;

/// Returns where the text goes on behind what stands at `at`: a quoted string, an escape, a `$` expansion, or one character.
pub fn skip_quoted(chars: &[char], at: usize) -> usize {
    match (chars[at], chars.get(at + 1)) {
        ('\\', Some(_)) => at + 2,
        ('\'', _) => until(chars, at + 1, '\''),
        ('"', _) => double_quoted(chars, at + 1),
        ('`', _) => until(chars, at + 1, '`'),
        ('$', Some('{')) => nested(chars, at + 2, '{', '}'),
        ('$', Some('(')) => nested(chars, at + 2, '(', ')'),
        _ => at + 1,
    }
}

fn until(chars: &[char], from: usize, end: char) -> usize {
    let length = chars[from..].iter().position(|char| *char == end);
    length.map_or(chars.len(), |length| from + length + 1)
}

fn double_quoted(chars: &[char], from: usize) -> usize {
    let mut at = from;
    while at < chars.len() {
        match chars[at] {
            '"' => return at + 1,
            '\'' => at += 1,
            _ => at = skip_quoted(chars, at),
        }
    }
    at
}

fn nested(chars: &[char], from: usize, open: char, close: char) -> usize {
    let (mut depth, mut at) = (1_usize, from);
    while at < chars.len() {
        if chars[at] == close {
            depth -= 1;
            at += 1;
            if depth == 0 {
                return at;
            }
        } else if chars[at] == open {
            depth += 1;
            at += 1;
        } else {
            at = skip_quoted(chars, at);
        }
    }
    at
}

/// Returns the text of `$'text'`.
pub fn ansi_c(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let (mut decoded, mut at) = (Vec::new(), 0);
    let push = |decoded: &mut Vec<u8>, char: char| decoded.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    while at < chars.len() {
        let (char, next) = (chars[at], chars.get(at + 1).copied());
        at += 1;
        let Some(next) = next.filter(|_| char == '\\') else {
            push(&mut decoded, char);
            continue;
        };
        at += 1;
        match next {
            'a' => decoded.push(7),
            'b' => decoded.push(8),
            'e' | 'E' => decoded.push(27),
            'f' => decoded.push(12),
            'n' => decoded.push(b'\n'),
            'r' => decoded.push(b'\r'),
            't' => decoded.push(b'\t'),
            'v' => decoded.push(11),
            '\\' | '\'' | '"' | '?' => push(&mut decoded, next),
            '0'..='7' => {
                at -= 1;
                let value = number(&chars, &mut at, 8, 3);
                decoded.push((value & 0xff) as u8);
            }
            'x' => {
                let value = number(&chars, &mut at, 16, 2);
                decoded.push((value & 0xff) as u8);
            }
            'u' | 'U' => {
                let value = number(&chars, &mut at, 16, if next == 'u' { 4 } else { 8 });
                push(&mut decoded, char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            'c' => {
                if let Some(control) = chars.get(at) {
                    decoded.push((u32::from(*control) & 0x1f) as u8);
                    at += 1;
                }
            }
            _ => {
                decoded.push(b'\\');
                push(&mut decoded, next);
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn number(chars: &[char], at: &mut usize, radix: u32, most: usize) -> u32 {
    let mut value = 0_u32;
    for _ in 0..most {
        let Some(digit) = chars.get(*at).and_then(|char| char.to_digit(radix)) else { break };
        value = value.wrapping_mul(radix).wrapping_add(digit);
        *at += 1;
    }
    value
}

/// Returns `text` quoted as `declare -p` quotes it.
pub fn double(text: &str) -> String {
    if text.chars().any(char::is_control) {
        return dollar(text);
    }
    let mut quoted = String::from("\"");
    for char in text.chars() {
        if matches!(char, '"' | '\\' | '$' | '`') {
            quoted.push('\\');
        }
        quoted.push(char);
    }
    quoted + "\""
}

/// Returns `text` quoted as `${x@Q}` quotes it.
pub fn single(text: &str) -> String {
    if text.chars().any(char::is_control) {
        return dollar(text);
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Returns `text` as one word, quoted only when it must be.
pub fn word(text: &str) -> String {
    let plain = |char: char| char.is_alphanumeric() || "_-./:=@%+,^".contains(char);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { single(text) }
}

fn dollar(text: &str) -> String {
    let mut quoted = String::from("$'");
    for char in text.chars() {
        match char {
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            '\u{1b}' => quoted.push_str("\\E"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            '\'' | '\\' => {
                quoted.push('\\');
                quoted.push(char);
            }
            _ if char.is_control() => write!(quoted, "\\{:03o}", u32::from(char)).expect("a string takes text"),
            _ => quoted.push(char),
        }
    }
    quoted + "'"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ansi_c_escapes_decode() {
        assert_eq!(ansi_c(r"a\tb\n\x41\101\u00e9\'\q"), "a\tb\nAAé'\\q");
    }

    #[test]
    fn quoted_text_reads_back() {
        assert_eq!(single("it's"), r"'it'\''s'");
        assert_eq!(double("a\"$b"), r#""a\"\$b""#);
        assert_eq!(single("a\nb"), r"$'a\nb'");
        assert_eq!(word("a/b.c"), "a/b.c");
        assert_eq!(word(""), "''");
    }
}
