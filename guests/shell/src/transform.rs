//! What `${x…}` does to a text: cut, replace, change case, quote.

use std::ops::Range;

use brush_parser::word::{Parameter, ParameterTransformOp, SubstringMatchKind};

use crate::fields::Part;
use crate::parameter::Found;
use crate::pattern::Pattern;
use crate::quote;
use crate::shell::Shell;
use crate::stop::Run;
use crate::variables::{Attribute, Variable};

/// Which letters change to which case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    UpperFirst,
    Upper,
    LowerFirst,
    Lower,
}

/// Returns `text` without the part at one end that matches.
pub fn remove(text: &str, pattern: &Pattern, suffix: bool, longest: bool) -> String {
    let chars: Vec<char> = text.chars().collect();
    let cut = if suffix {
        let matches = |from: &usize| pattern.ends(&chars, *from).contains(&chars.len());
        let from = if longest { (0..=chars.len()).find(matches) } else { (0..=chars.len()).rev().find(matches) };
        from.map(|from| 0..from)
    } else {
        let ends = pattern.ends(&chars, 0);
        let end = if longest { ends.last() } else { ends.first() };
        end.map(|end| *end..chars.len())
    };
    cut.map_or_else(|| text.to_owned(), |kept| chars[kept].iter().collect())
}

/// Returns `text` with what matches replaced; an unquoted `&` in the replacement is what matched.
pub fn replace(text: &str, pattern: &Pattern, replacement: &[Part], kind: &SubstringMatchKind) -> String {
    let chars: Vec<char> = text.chars().collect();
    let (mut replaced, mut at, mut done) = (String::new(), 0, false);
    while at <= chars.len() {
        let found = if done { None } else { longest(pattern, &chars, at, kind) };
        match found {
            Some(end) if end > at || matches!(kind, SubstringMatchKind::Prefix | SubstringMatchKind::Suffix) => {
                insert(&mut replaced, replacement, &chars[at..end]);
                done = !matches!(kind, SubstringMatchKind::Anywhere);
                at = end;
                if at == chars.len() {
                    break;
                }
            }
            _ => {
                replaced.extend(chars.get(at));
                at += 1;
                done |= matches!(kind, SubstringMatchKind::Prefix);
            }
        }
    }
    replaced
}

/// Returns where the longest match from `at` ends that `kind` may take.
fn longest(pattern: &Pattern, chars: &[char], at: usize, kind: &SubstringMatchKind) -> Option<usize> {
    let ends = pattern.ends(chars, at);
    match kind {
        SubstringMatchKind::Suffix => ends.contains(&chars.len()).then_some(chars.len()),
        _ => ends.last().copied(),
    }
}

fn insert(into: &mut String, replacement: &[Part], matched: &[char]) {
    let matched: String = matched.iter().collect();
    for part in replacement {
        match part {
            Part::Quoted(text) => into.push_str(text),
            Part::Bare(text) | Part::Split(text) => into.push_str(&text.replace('&', &matched)),
            Part::Break => into.push(' '),
        }
    }
}

/// Returns `text` in another case, where `pattern` matches a letter.
pub fn recase(text: &str, pattern: Option<&Pattern>, case: Case) -> String {
    let change = |char: char| -> String {
        if pattern.is_some_and(|pattern| !pattern.matches(char.encode_utf8(&mut [0; 4]))) {
            return char.to_string();
        }
        match case {
            Case::UpperFirst | Case::Upper => char.to_uppercase().collect(),
            Case::LowerFirst | Case::Lower => char.to_lowercase().collect(),
        }
    };
    let first_only = matches!(case, Case::UpperFirst | Case::LowerFirst);
    let each = |(index, char)| if first_only && index > 0 { String::from(char) } else { change(char) };
    text.chars().enumerate().map(each).collect()
}

/// Returns the range of `${x:offset:length}` in `count` things; a negative length counts from the end of a text.
pub fn slice(count: usize, offset: i64, length: Option<i64>, is_text: bool) -> Option<Range<usize>> {
    let whole = i64::try_from(count).ok()?;
    let start = if offset < 0 { whole.checked_add(offset)? } else { offset };
    if start < 0 || start > whole {
        return None;
    }
    let end = match length {
        None => whole,
        Some(length) if length < 0 && is_text => whole.checked_add(length)?,
        Some(length) if length < 0 => return None,
        Some(length) => start.saturating_add(length).min(whole),
    };
    if end < start {
        return None;
    }
    Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}

impl Shell {
    /// Returns `${x@op}`.
    pub fn transform(&mut self, parameter: &Parameter, indirect: bool, op: &ParameterTransformOp) -> Run<Found> {
        use ParameterTransformOp as Op;
        let found = self.find(parameter, indirect)?;
        let name = match parameter {
            Parameter::Named(name)
            | Parameter::NamedWithIndex { name, .. }
            | Parameter::NamedWithAllIndices { name, .. } => name.as_str(),
            Parameter::Positional(_) | Parameter::Special(_) => "",
        };
        let variable = self.state.variables.get(name).cloned();
        Ok(match op {
            Op::Quoted | Op::PossiblyQuoteWithArraysExpanded { .. } => each(found, quote::single),
            Op::ToUpperCase => each(found, str::to_uppercase),
            Op::ToLowerCase => each(found, str::to_lowercase),
            Op::CapitalizeInitial => each(found, |text| recase(text, None, Case::UpperFirst)),
            Op::ExpandEscapeSequences => each(found, quote::ansi_c),
            Op::PromptExpand => found,
            Op::ToAttributeFlags => Found::One(variable.as_ref().map(flags)),
            Op::ToAssignmentLogic => Found::One(variable.as_ref().map(|variable| assignment(name, variable))),
        })
    }
}

fn each(found: Found, change: impl Fn(&str) -> String) -> Found {
    match found {
        Found::One(text) => Found::One(text.map(|text| change(&text))),
        Found::Many { elements, star } => {
            Found::Many { elements: elements.iter().map(|text| change(text)).collect(), star }
        }
    }
}

fn assignment(name: &str, variable: &Variable) -> String {
    if variable.is_array() || !variable.attributes.is_empty() {
        return declaration(name, variable);
    }
    format!("{name}={}", quote::single(variable.text().unwrap_or_default()))
}

/// Returns a variable's attributes as `declare` takes them.
pub fn flags(variable: &Variable) -> String {
    let mut flags = String::new();
    match variable.value {
        Some(crate::variables::Value::Indexed(_)) => flags.push('a'),
        Some(crate::variables::Value::Associative(_)) => flags.push('A'),
        _ => {}
    }
    for (attribute, flag) in [
        (Attribute::Integer, 'i'),
        (Attribute::Lower, 'l'),
        (Attribute::Reference, 'n'),
        (Attribute::Readonly, 'r'),
        (Attribute::Upper, 'u'),
        (Attribute::Exported, 'x'),
    ] {
        if variable.has(attribute) {
            flags.push(flag);
        }
    }
    flags
}

/// Returns the line of `declare -p`.
pub fn declaration(name: &str, variable: &Variable) -> String {
    let flags = match flags(variable) {
        flags if flags.is_empty() => "--".to_owned(),
        flags => format!("-{flags}"),
    };
    let pairs = |open: &str, close: &str| {
        let pair = |(key, text): (&String, &String)| format!("[{}]={}", key_text(key), quote::double(text));
        let (keys, texts) = (variable.subscripts(), variable.elements());
        let pairs: Vec<_> = keys.iter().zip(&texts).map(pair).collect();
        format!("declare {flags} {name}={open}{}{close}", pairs.join(" "))
    };
    match &variable.value {
        None => format!("declare {flags} {name}"),
        Some(crate::variables::Value::Scalar(text)) => format!("declare {flags} {name}={}", quote::double(text)),
        Some(crate::variables::Value::Indexed(_)) => pairs("(", ")"),
        Some(crate::variables::Value::Associative(elements)) if elements.is_empty() => pairs("(", ")"),
        Some(crate::variables::Value::Associative(_)) => pairs("(", " )"),
    }
}

fn key_text(key: &str) -> String {
    let plain = |char: char| char.is_alphanumeric() || "_-./:%+,@".contains(char);
    if !key.is_empty() && key.chars().all(plain) { key.to_owned() } else { quote::double(key) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_removed_shortest_or_longest() {
        let star = Pattern::parse("*.");
        assert_eq!(remove("a.b.c", &star, false, false), "b.c");
        assert_eq!(remove("a.b.c", &star, false, true), "c");
        let dot = Pattern::parse(".*");
        assert_eq!(remove("a.b.c", &dot, true, false), "a.b");
        assert_eq!(remove("a.b.c", &dot, true, true), "a");
        assert_eq!(remove("abc", &dot, true, true), "abc");
    }

    #[test]
    fn replacing_takes_the_longest_match_of_its_kind() {
        let (pattern, dash) = (Pattern::parse("o*o"), [Part::Bare("-".into())]);
        assert_eq!(replace("foo boo", &pattern, &dash, &SubstringMatchKind::FirstOccurrence), "f-");
        let o = Pattern::parse("o");
        assert_eq!(replace("foo", &o, &dash, &SubstringMatchKind::Anywhere), "f--");
        assert_eq!(replace("foo", &o, &dash, &SubstringMatchKind::Suffix), "fo-");
        assert_eq!(replace("foo", &o, &dash, &SubstringMatchKind::Prefix), "foo");
        assert_eq!(replace("foo", &o, &[Part::Bare("<&>".into())], &SubstringMatchKind::FirstOccurrence), "f<o>o");
    }

    #[test]
    fn slices_count_from_either_end() {
        assert_eq!(slice(5, 1, Some(2), true), Some(1..3));
        assert_eq!(slice(5, -2, None, true), Some(3..5));
        assert_eq!(slice(5, 1, Some(-1), true), Some(1..4));
        assert_eq!(slice(5, 9, None, true), None);
        assert_eq!(slice(5, -9, None, true), None);
    }
}
