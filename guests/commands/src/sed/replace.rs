//! The right side of `s`.

use crate::escape::{self, Escape, Octal};
use crate::pattern::{Pattern, Span};

use super::parse::Substitution;

pub(super) struct Replacement(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(Vec<u8>),
    Group(usize),
    Case(Case),
}

/// What `\U`, `\L`, `\u`, `\l` and `\E` do to what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Upper,
    Lower,
    NextUpper,
    NextLower,
    End,
}

impl Replacement {
    pub(super) fn parse(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut parts = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let (part, length) = Self::part(&bytes[at..]);
            at += length;
            match (parts.last_mut(), part) {
                (Some(Part::Text(before)), Part::Text(more)) => before.extend(more),
                (_, part) => parts.push(part),
            }
        }
        Self(parts)
    }

    fn part(text: &[u8]) -> (Part, usize) {
        match text {
            [b'&', ..] => (Part::Group(0), 1),
            [b'\\', digit @ b'0'..=b'9', ..] => (Part::Group(usize::from(digit - b'0')), 2),
            [b'\\', b'U', ..] => (Part::Case(Case::Upper), 2),
            [b'\\', b'L', ..] => (Part::Case(Case::Lower), 2),
            [b'\\', b'u', ..] => (Part::Case(Case::NextUpper), 2),
            [b'\\', b'l', ..] => (Part::Case(Case::NextLower), 2),
            [b'\\', b'E', ..] => (Part::Case(Case::End), 2),
            [b'\\', b'n' | b't' | b'r' | b'f' | b'v' | b'a' | b'x', ..] => match escape::read(&text[1..], Octal::Plain)
            {
                (Escape::Byte(byte), length) => (Part::Text(vec![byte]), 1 + length),
                _ => (Part::Text(vec![text[1]]), 2),
            },
            [b'\\', other, ..] => (Part::Text(vec![*other]), 2),
            [other, ..] => (Part::Text(vec![*other]), 1),
            [] => (Part::Text(Vec::new()), 1),
        }
    }

    pub(super) fn highest_group(&self) -> Option<usize> {
        let groups = self.0.iter().filter_map(|part| if let Part::Group(group) = part { Some(*group) } else { None });
        groups.max()
    }

    fn append(&self, text: &[u8], groups: &[Option<Span>], output: &mut Vec<u8>) {
        let (mut lasting, mut once) = (None, None);
        for part in &self.0 {
            let piece = match part {
                Part::Text(text) => text.as_slice(),
                Part::Group(group) => {
                    groups.get(*group).copied().flatten().map_or(&[][..], |(from, to)| &text[from..to])
                }
                Part::Case(Case::End) => {
                    (lasting, once) = (None, None);
                    continue;
                }
                Part::Case(case @ (Case::Upper | Case::Lower)) => {
                    lasting = Some(*case);
                    continue;
                }
                Part::Case(case) => {
                    once = Some(*case);
                    continue;
                }
            };
            push(piece, lasting, &mut once, output);
        }
    }
}

fn push(piece: &[u8], lasting: Option<Case>, once: &mut Option<Case>, output: &mut Vec<u8>) {
    let start = output.len();
    match lasting {
        None => output.extend(piece),
        Some(case) => {
            let text = String::from_utf8_lossy(piece);
            output.extend(if case == Case::Upper { text.to_uppercase() } else { text.to_lowercase() }.bytes());
        }
    }
    if let Some(first) = output.get_mut(start)
        && let Some(case) = once.take()
    {
        *first = if case == Case::NextUpper { first.to_ascii_uppercase() } else { first.to_ascii_lowercase() };
    }
}

/// Returns the text with its matches replaced; none where nothing matched.
pub(super) fn substitute(substitution: &Substitution, pattern: &Pattern, text: &[u8]) -> Option<Vec<u8>> {
    let mut output = Vec::with_capacity(text.len());
    let (mut at, mut copied, mut count) = (0, 0, 0);
    let mut replaced = false;
    // An empty match right after another one is none.
    let mut last_end = None;
    while at <= text.len() {
        let Some(groups) = pattern.groups_at(text, at) else { break };
        let (from, to) = groups[0].expect("the whole match is always there");
        if from == to && last_end == Some(from) {
            at = to + 1;
            continue;
        }
        count += 1;
        last_end = Some(to);
        if count >= substitution.number {
            output.extend(&text[copied..from]);
            substitution.replacement.append(text, &groups, &mut output);
            copied = to;
            replaced = true;
            if !substitution.global {
                break;
            }
        }
        at = if to > from { to } else { to + 1 };
    }
    if !replaced {
        return None;
    }
    output.extend(&text[copied..]);
    Some(output)
}
