//! How long functions are.

use super::source::{Line, indent};

/// What may stand before `fn`; blanks and brackets are taken away.
const QUALIFIERS: [&str; 9] = ["", "pub", "crate)", "super)", "const", "async", "unsafe", "extern", "\"\""];

/// Returns the length in lines of every function that is not a test's, signature and closing brace included.
pub(super) fn lengths(lines: &[Line]) -> Vec<usize> {
    let starts = lines.iter().enumerate().filter(|(_, line)| !line.test && is_function(&line.code));
    starts.filter_map(|(start, _)| length(&lines[start..])).collect()
}

/// Returns the middle one of `lengths`, or 0 of none.
pub(super) fn median(lengths: &mut [usize]) -> usize {
    lengths.sort_unstable();
    lengths.get(lengths.len() / 2).copied().unwrap_or(0)
}

fn is_function(code: &str) -> bool {
    let mut words = code.split([' ', '(']);
    words.find(|word| !QUALIFIERS.contains(word)) == Some("fn")
}

/// Returns the length of the function that starts `lines`, if it has a body.
fn length(lines: &[Line]) -> Option<usize> {
    let opens = lines.iter().position(|line| line.code.trim_end().ends_with(['{', '}', ';']))?;
    let last = lines[opens].code.trim_end();
    if last.ends_with('}') {
        return Some(opens + 1);
    }
    let indent_of_body = indent(&lines[0].code);
    let closes = |line: &Line| indent(&line.code) == indent_of_body && line.code.trim() == "}";
    last.ends_with('{').then(|| lines.iter().position(closes).map(|end| end + 1))?
}

#[cfg(test)]
mod tests {
    use super::super::source::read;
    use super::*;

    #[test]
    fn functions_are_measured_with_their_signature_and_brace() {
        let text = "fn a() {}\n\npub(crate) async fn b(\n    c: u8,\n) -> u8 {\n    if c > 0 {\n    }\n    c\n}\n";
        assert_eq!(lengths(&read(text, false)), [1, 7]);
    }

    #[test]
    fn declarations_and_tests_are_not_measured() {
        let text = "trait T {\n    fn a();\n}\n#[cfg(test)]\nfn b() {}\nlet f: fn() = c;\n";
        assert_eq!(lengths(&read(text, false)), [0; 0]);
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!([median(&mut [9, 1, 4]), median(&mut [])], [4, 0]);
    }
}
