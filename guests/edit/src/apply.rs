//! Applies edits to a text.

use std::borrow::Cow;
use std::fmt;

use kit::{Failure, counted};
use serde::Deserialize;

use crate::hint;

/// More line numbers than this help nobody.
const SHOWN_LINES: usize = 10;

/// One replacement.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The text to replace.
    pub old: String,
    /// What takes its place.
    pub new: String,
    /// Whether every occurrence is replaced, or exactly one.
    #[serde(default)]
    pub replace_all: bool,
}

/// A text after its edits.
#[derive(Debug, PartialEq, Eq)]
pub struct Applied {
    /// The new text.
    pub text: String,
    /// The line of each replacement, from 1, in the text as it was before that edit.
    pub lines: Vec<usize>,
}

/// Returns `text` with all of `edits`, or a rejection that names the edit that does not fit.
pub fn apply(text: &str, edits: &[Edit]) -> Result<Applied, Failure> {
    let mut applied = Applied { text: text.to_owned(), lines: Vec::new() };
    for (index, edit) in edits.iter().enumerate() {
        let name = format!("edit {} of {}", index + 1, edits.len());
        one(&mut applied, edit)
            .map_err(|misfit| Failure::Rejected(format!("nothing was changed: {name}: {misfit}")))?;
    }
    if applied.text == text {
        return Err(Failure::rejected("nothing was changed: the edits undo each other"));
    }
    Ok(applied)
}

/// Why an edit does not fit the text.
enum Misfit {
    EmptyOld,
    SameText,
    /// What to try instead.
    Missing(String),
    Ambiguous {
        lines: Vec<usize>,
    },
}

impl fmt::Display for Misfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyOld => {
                formatter.write_str("`old` is empty; give the text to replace, or use `write` for a new file")
            }
            Self::SameText => formatter.write_str("`old` and `new` are the same"),
            Self::Missing(advice) => write!(formatter, "`old` does not occur in the file; {advice}"),
            Self::Ambiguous { lines } => write!(
                formatter,
                "`old` occurs {} times, at {}; add lines around it until it occurs once, or set `replace_all`",
                lines.len(),
                name_lines(lines)
            ),
        }
    }
}

fn one(applied: &mut Applied, edit: &Edit) -> Result<(), Misfit> {
    if edit.old.is_empty() {
        return Err(Misfit::EmptyOld);
    }
    let text = &applied.text;
    let (old, new) = (fit_endings(text, &edit.old), fit_endings(text, &edit.new));
    if old == new {
        return Err(Misfit::SameText);
    }
    let found = occurrences(text, &old);
    if found.is_empty() {
        return Err(Misfit::Missing(hint::for_missing(text, &old)));
    }
    if found.len() > 1 && !edit.replace_all {
        return Err(Misfit::Ambiguous { lines: lines_of(text, &found) });
    }
    let replaced: Vec<usize> = text.match_indices(&*old).map(|(start, _)| start).collect();
    applied.lines.extend(lines_of(text, &replaced));
    applied.text = text.replace(&*old, &new);
    Ok(())
}

/// Returns `part` with the line endings of `text`: a model sees and writes `\n` only.
fn fit_endings<'a>(text: &str, part: &'a str) -> Cow<'a, str> {
    let ends_in_crlf = text.contains("\r\n") && text.matches('\n').count() == text.matches("\r\n").count();
    if ends_in_crlf { part.replace("\r\n", "\n").replace('\n', "\r\n").into() } else { part.into() }
}

/// Returns where `old` starts in `text`, overlapping occurrences included: `aa` is not unique in `aaa`.
fn occurrences(text: &str, old: &str) -> Vec<usize> {
    let step = old.chars().next().map_or(1, char::len_utf8);
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find(old) {
        found.push(from + start);
        from += start + step;
    }
    found
}

/// Returns the line of each of the ascending byte positions `starts`.
fn lines_of(text: &str, starts: &[usize]) -> Vec<usize> {
    let (mut line, mut at) = (1, 0);
    let mut number = |start: usize| {
        line += text[at..start].matches('\n').count();
        at = start;
        line
    };
    starts.iter().map(|&start| number(start)).collect()
}

/// Returns "line 3" or "lines 3, 5 and 2 more".
pub fn name_lines(lines: &[usize]) -> String {
    let shown: Vec<String> = lines.iter().take(SHOWN_LINES).map(ToString::to_string).collect();
    let noun = if lines.len() == 1 { "line" } else { "lines" };
    let rest = lines.len() - shown.len();
    let more = if rest == 0 { String::new() } else { format!(" and {} more", counted(rest, "place")) };
    format!("{noun} {}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(old: &str, new: &str) -> Edit {
        Edit { old: old.into(), new: new.into(), replace_all: false }
    }

    fn all(old: &str, new: &str) -> Edit {
        Edit { replace_all: true, ..edit(old, new) }
    }

    fn applied(text: &str, lines: &[usize]) -> Applied {
        Applied { text: text.into(), lines: lines.into() }
    }

    fn reason(text: &str, edits: &[Edit]) -> String {
        match apply(text, edits) {
            Err(Failure::Rejected(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn edits_apply_in_order_to_each_others_results() {
        assert_eq!(apply("a\nb\n", &[edit("b", "c"), edit("c", "d")]), Ok(applied("a\nd\n", &[2, 2])));
    }

    #[test]
    fn one_edit_that_does_not_fit_refuses_all() {
        let reason = reason("a\nb\n", &[edit("a", "x"), edit("q", "y")]);
        assert!(reason.starts_with("nothing was changed: edit 2 of 2: `old` does not occur"), "{reason}");
    }

    #[test]
    fn several_matches_are_counted_and_located() {
        assert_eq!(
            reason("x\ny\nx\nx", &[edit("x", "z")]),
            "nothing was changed: edit 1 of 1: `old` occurs 3 times, at lines 1, 3, 4; \
             add lines around it until it occurs once, or set `replace_all`"
        );
    }

    #[test]
    fn overlapping_matches_are_not_unique() {
        assert!(reason("aaa", &[edit("aa", "b")]).contains("`old` occurs 2 times"));
        assert!(reason("ééé", &[edit("éé", "b")]).contains("`old` occurs 2 times"));
    }

    #[test]
    fn replace_all_replaces_each() {
        assert_eq!(apply("x\ny\nx", &[all("x", "zz")]), Ok(applied("zz\ny\nzz", &[1, 3])));
    }

    #[test]
    fn an_empty_old_or_one_equal_to_new_is_refused() {
        assert!(reason("a", &[edit("", "b")]).contains("`old` is empty"));
        assert!(reason("a", &[edit("a", "a")]).contains("are the same"));
        assert!(reason("ab", &[edit("a", "c"), edit("c", "a")]).contains("undo each other"));
    }

    #[test]
    fn line_endings_are_kept() {
        assert_eq!(apply("a\r\nb\r\nc", &[edit("a\nb", "x\ny\nz")]), Ok(applied("x\r\ny\r\nz\r\nc", &[1])));
        assert_eq!(apply("a\nb\n", &[edit("b\n", "c\n")]), Ok(applied("a\nc\n", &[2])));
        assert_eq!(apply("a\nb", &[edit("b", "c")]), Ok(applied("a\nc", &[2])));
    }

    #[test]
    fn mixed_line_endings_are_left_as_they_are() {
        assert_eq!(apply("a\r\nb\nc\n", &[edit("b\nc", "d\ne")]), Ok(applied("a\r\nd\ne\n", &[2])));
    }

    #[test]
    fn many_lines_are_named_in_part() {
        assert_eq!(name_lines(&[3]), "line 3");
        assert_eq!(name_lines(&(1..=12).collect::<Vec<_>>()), "lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 places more");
    }
}
