//! What to say when the text to replace is not there.

use std::collections::BTreeMap;

/// Lines of a file that are quoted in a hint, at most.
const QUOTED_LINES: usize = 20;
/// Characters of a line that are quoted, at most.
const QUOTED_CHARS: usize = 200;
/// Two lines are near when at least this share, in percent, of their character pairs is common.
const NEAR_PERCENT: usize = 60;
/// Files with more lines are not searched for a near one: it would cost more than it helps.
const SEARCHED_LINES: usize = 50_000;

/// Returns what to try where `text` has no `old`.
pub fn for_missing(text: &str, old: &str) -> String {
    numbered(old)
        .or_else(|| differing_whitespace(text, old))
        .or_else(|| nearest(text, old))
        .unwrap_or_else(|| "read the file again and copy the text from it".into())
}

/// Notices the line numbers that `read` puts before each line.
fn numbered(old: &str) -> Option<String> {
    let (number, _) = old.split_once('\t')?;
    let is_number = !number.trim().is_empty() && number.trim().bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| "it starts with a line number, which is not part of the file: leave line numbers out".into())
}

fn differing_whitespace(text: &str, old: &str) -> Option<String> {
    let wanted: Vec<String> = old.trim().lines().map(squeeze).collect();
    let lines: Vec<&str> = text.lines().collect();
    let squeezed: Vec<String> = lines.iter().copied().map(squeeze).collect();
    let holds = |window: &[String]| window == wanted || (wanted.len() == 1 && contains(&window[0], &wanted[0]));
    let start = squeezed.windows(wanted.len().max(1)).position(holds)?;
    let end = start + wanted.len();
    let quoted = lines[start..end.min(start + QUOTED_LINES)].join("\n");
    let place = place(start + 1, end);
    Some(format!("{place} only in whitespace, copy the text exactly:\n{quoted}"))
}

fn contains(line: &str, part: &str) -> bool {
    !part.is_empty() && line.contains(part)
}

fn place(first: usize, last: usize) -> String {
    if first == last { format!("line {first} differs") } else { format!("lines {first}-{last} differ") }
}

fn squeeze(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn nearest(text: &str, old: &str) -> Option<String> {
    let wanted = old.lines().map(str::trim).find(|line| !line.is_empty())?;
    let pairs = pairs(wanted);
    let scored =
        text.lines().take(SEARCHED_LINES).enumerate().map(|(index, line)| (likeness(&pairs, line.trim()), index, line));
    let (score, index, line) = scored.max_by_key(|&(score, index, _)| (score, std::cmp::Reverse(index)))?;
    let quoted: String = line.chars().take(QUOTED_CHARS).collect();
    (score >= NEAR_PERCENT).then(|| format!("the nearest line is {}:\n{quoted}", index + 1))
}

type Pairs = BTreeMap<(char, char), usize>;

fn pairs(line: &str) -> Pairs {
    let mut pairs = Pairs::new();
    for pair in line.chars().take(QUOTED_CHARS).zip(line.chars().skip(1)) {
        *pairs.entry(pair).or_default() += 1;
    }
    pairs
}

/// Returns how much of two lines is common, in percent (Dice's coefficient over character pairs).
fn likeness(wanted: &Pairs, line: &str) -> usize {
    let found = pairs(line);
    let total = wanted.values().sum::<usize>() + found.values().sum::<usize>();
    let common: usize = wanted.iter().map(|(pair, count)| count.min(found.get(pair).unwrap_or(&0))).sum();
    (200 * common).checked_div(total).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_numbers_are_noticed() {
        assert!(for_missing("fn main() {}", "     1\tfn main() {}").contains("leave line numbers out"));
    }

    #[test]
    fn whitespace_that_differs_is_shown_as_it_is() {
        assert_eq!(
            for_missing("a\n\tif x {\n\t\ty\n", "    if x {\n        y"),
            "lines 2-3 differ only in whitespace, copy the text exactly:\n\tif x {\n\t\ty"
        );
    }

    #[test]
    fn whitespace_inside_a_line_is_noticed() {
        assert!(for_missing("let x  =  1; // one\n", "x = 1;").contains("line 1 differs only in whitespace"));
    }

    #[test]
    fn the_nearest_line_is_shown() {
        assert_eq!(
            for_missing("use std::fs;\nfn parse(text: &str) {}\n", "fn parse(test: &str) {}"),
            "the nearest line is 2:\nfn parse(text: &str) {}"
        );
    }

    #[test]
    fn nothing_near_says_to_read_again() {
        assert!(for_missing("alpha\n", "zzzz") == "read the file again and copy the text from it");
        assert!(for_missing("", "zzzz") == "read the file again and copy the text from it");
        assert!(for_missing("alpha\n\n", "\t\n") == "read the file again and copy the text from it");
    }
}
