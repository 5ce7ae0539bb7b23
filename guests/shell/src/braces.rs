//! Brace expansion: `{a,b}`, `{1..9..2}`, `{01..10}`, `{a..e}`. Comes before every other expansion, on the words as written.

use crate::quote::skip_quoted;

/// Words that one word may become: `{1..1000000}` is a mistake, not a list.
const MAX_WORDS: usize = 100_000;

/// Returns the words that `word` stands for.
pub fn expand(word: &str) -> Vec<String> {
    if !word.contains('{') {
        return vec![word.to_owned()];
    }
    let chars: Vec<char> = word.chars().collect();
    within(&chars)
}

fn within(chars: &[char]) -> Vec<String> {
    let mut at = 0;
    while at < chars.len() {
        if chars[at] == '{' {
            if let Some(group) = Group::parse(chars, at) {
                return group.expand(chars, at);
            }
            at += 1;
        } else {
            at = skip_quoted(chars, at);
        }
    }
    vec![chars.iter().collect()]
}

/// A brace expression: what stands in it, and where it ends.
struct Group {
    members: Vec<Vec<String>>,
    end: usize,
}

impl Group {
    /// Reads the expression whose `{` stands at `start`.
    fn parse(chars: &[char], start: usize) -> Option<Self> {
        let (mut depth, mut at, mut commas) = (0_usize, start + 1, Vec::new());
        let end = loop {
            match *chars.get(at)? {
                '{' => depth += 1,
                '}' if depth == 0 => break at,
                '}' => depth -= 1,
                ',' if depth == 0 => commas.push(at),
                _ => {
                    at = skip_quoted(chars, at);
                    continue;
                }
            }
            at += 1;
        };
        let members = if commas.is_empty() {
            vec![range(&chars[start + 1..end].iter().collect::<String>())?]
        } else {
            let starts = std::iter::once(start + 1).chain(commas.iter().map(|comma| comma + 1));
            let ends = commas.iter().copied().chain([end]);
            starts.zip(ends).map(|(from, to)| within(&chars[from..to])).collect()
        };
        Some(Self { members, end: end + 1 })
    }

    fn expand(self, chars: &[char], start: usize) -> Vec<String> {
        let before: String = chars[..start].iter().collect();
        let after = within(&chars[self.end..]);
        let combine =
            |member: &String| after.iter().map(|after| format!("{before}{member}{after}")).collect::<Vec<_>>();
        self.members.iter().flatten().flat_map(combine).take(MAX_WORDS).collect()
    }
}

/// Returns the members of `first..last` or `first..last..step`.
fn range(text: &str) -> Option<Vec<String>> {
    let parts: Vec<&str> = text.split("..").collect();
    let (first, last, step) = match parts[..] {
        [first, last] => (first, last, 1),
        [first, last, step] => (first, last, step.parse().ok()?),
        _ => return None,
    };
    numbers(first, last, step).or_else(|| letters(first, last, step))
}

fn numbers(first: &str, last: &str, step: i64) -> Option<Vec<String>> {
    let (from, to): (i64, i64) = (first.parse().ok()?, last.parse().ok()?);
    let padded = |text: &str| text.trim_start_matches('-').len() > 1 && text.trim_start_matches('-').starts_with('0');
    let width = if padded(first) || padded(last) { first.len().max(last.len()) } else { 0 };
    Some(steps(from, to, step).map(|number| format!("{number:0width$}")).collect())
}

fn letters(first: &str, last: &str, step: i64) -> Option<Vec<String>> {
    let letter =
        |text: &str| text.parse::<char>().ok().filter(char::is_ascii_alphabetic).map(|char| i64::from(u32::from(char)));
    let letter_of = |code: i64| u8::try_from(code).map(|code| char::from(code).to_string()).unwrap_or_default();
    Some(steps(letter(first)?, letter(last)?, step).map(letter_of).collect())
}

/// Returns the numbers from `from` to `to`, whichever is greater.
fn steps(from: i64, to: i64, step: i64) -> impl Iterator<Item = i64> {
    let step = step.checked_abs().filter(|step| *step > 0).unwrap_or(1);
    let step = if from <= to { step } else { -step };
    let next =
        move |number: &i64| number.checked_add(step).filter(|next| if step > 0 { *next <= to } else { *next >= to });
    std::iter::successors(Some(from), next).take(MAX_WORDS)
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn lists_and_ranges_expand() {
        assert_eq!(expand("a{b,c}d"), ["abd", "acd"]);
        assert_eq!(expand("{1..5..2}"), ["1", "3", "5"]);
        assert_eq!(expand("{3..1}"), ["3", "2", "1"]);
        assert_eq!(expand("{08..10}"), ["08", "09", "10"]);
        assert_eq!(expand("{a..c}{1,2}"), ["a1", "a2", "b1", "b2", "c1", "c2"]);
        assert_eq!(expand("x{,y,{1..2}}"), ["x", "xy", "x1", "x2"]);
    }

    #[test]
    fn what_is_no_brace_expression_stays() {
        for word in ["{a}", "{}", "${x,y}", "'{a,b}'", "\"{a,b}\"", "\\{a,b}", "{a,b", "$(echo {a,b})", "{1..x2}"] {
            assert_eq!(expand(word), [word], "{word}");
        }
    }

    #[test]
    fn a_range_is_finite() {
        assert_eq!(expand("{1..9223372036854775807}").len(), super::MAX_WORDS);
    }
}
