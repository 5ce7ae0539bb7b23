//! Field splitting: from the parts that expansions leave to words.

use crate::pattern::escape;

/// What is left of a word after its expansions, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Quoted: neither split nor a pattern, and a word even when it is empty.
    Quoted(String),
    /// Written out and unquoted: a pattern, but not split.
    Bare(String),
    /// The unquoted result of an expansion: split, and a pattern.
    Split(String),
    /// Where `"$@"` goes on with the next word.
    Break,
}

/// A word before pathname expansion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Field {
    /// As it is when no name matches.
    pub text: String,
    /// The same, with what is quoted escaped.
    pub pattern: String,
    /// Whether something unquoted could be a pattern.
    pub is_wild: bool,
}

impl Field {
    fn quoted(&mut self, text: &str) {
        self.text.push_str(text);
        self.pattern.push_str(&escape(text));
    }

    fn bare(&mut self, text: &str) {
        self.is_wild |= text.contains(['*', '?', '[', '(']);
        self.text.push_str(text);
        self.pattern.push_str(text);
    }
}

/// Splits parts into fields.
struct Splitter<'a> {
    separators: &'a str,
    fields: Vec<Field>,
    current: Option<Field>,
    /// White space ended the last field, so that one other separator belongs to the same gap.
    after_space: bool,
}

/// Returns the fields of `parts`, split at the characters of `separators`.
pub fn split(parts: &[Part], separators: &str) -> Vec<Field> {
    let mut splitter = Splitter { separators, fields: Vec::new(), current: None, after_space: false };
    for part in parts {
        splitter.part(part);
    }
    splitter.end();
    splitter.fields
}

impl Splitter<'_> {
    fn part(&mut self, part: &Part) {
        match part {
            Part::Quoted(text) => self.open().quoted(text),
            Part::Bare(text) if text.is_empty() => {}
            Part::Bare(text) => self.open().bare(text),
            Part::Break => self.end(),
            Part::Split(text) => self.text(text),
        }
    }

    fn open(&mut self) -> &mut Field {
        self.after_space = false;
        self.current.get_or_insert_default()
    }

    fn end(&mut self) {
        self.fields.extend(self.current.take());
    }

    fn text(&mut self, text: &str) {
        let mut rest = text;
        while let Some(at) = rest.find(|char| self.separators.contains(char)) {
            if at > 0 {
                self.open().bare(&rest[..at]);
            }
            let separator = rest[at..].chars().next().expect("found above");
            self.separator(separator);
            rest = &rest[at + separator.len_utf8()..];
        }
        if !rest.is_empty() {
            self.open().bare(rest);
        }
    }

    fn separator(&mut self, separator: char) {
        let had = self.current.is_some();
        self.end();
        if matches!(separator, ' ' | '\t' | '\n') {
            self.after_space |= had;
        } else {
            if !had && !self.after_space {
                self.fields.push(Field::default());
            }
            self.after_space = false;
        }
    }
}

/// Returns `parts` as one text: what an assignment makes of a word.
pub fn join(parts: &[Part], between: &str) -> String {
    let text = |part: &Part| match part {
        Part::Quoted(text) | Part::Bare(text) | Part::Split(text) => text.clone(),
        Part::Break => between.to_owned(),
    };
    parts.iter().map(text).collect()
}

/// Returns `parts` as a pattern.
pub fn pattern(parts: &[Part]) -> String {
    let text = |part: &Part| match part {
        Part::Quoted(text) => escape(text),
        Part::Bare(text) | Part::Split(text) => text.clone(),
        Part::Break => " ".to_owned(),
    };
    parts.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str, separators: &str) -> Vec<String> {
        let fields = split(&[Part::Split(text.to_owned())], separators);
        fields.into_iter().map(|field| field.text).collect()
    }

    #[test]
    fn white_space_collapses_and_other_separators_do_not() {
        assert_eq!(texts("  a  b ", " \t\n"), ["a", "b"]);
        assert_eq!(texts("a::b:", ":"), ["a", "", "b"]);
        assert_eq!(texts(":a", ":"), ["", "a"]);
        assert_eq!(texts("a : b", " :"), ["a", "b"]);
        assert_eq!(texts("a b", ""), ["a b"]);
    }

    #[test]
    fn quoted_parts_stay_whole() {
        let parts = [
            Part::Bare("x".into()),
            Part::Split("1 2".into()),
            Part::Quoted(" y".into()),
            Part::Break,
            Part::Quoted(String::new()),
        ];
        let texts: Vec<_> = split(&parts, " ").into_iter().map(|field| field.text).collect();
        assert_eq!(texts, ["x1", "2 y", ""]);
    }
}
