//! Patterns: `*`, `?`, `[…]` and the extended `?(…)`, `*(…)`, `+(…)`, `@(…)`, `!(…)`.
//!
//! Matching carries the set of positions that are reachable, so that no pattern takes exponential time.

use std::collections::BTreeSet;

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`
    One,
    /// `*`
    Many,
    Set {
        negated: bool,
        members: Vec<Member>,
    },
    Group(Repeat, Vec<Vec<Token>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Optional,
    Any,
    Some,
    Once,
    Not,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Member {
    Range(char, char),
    Class(String),
}

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<Token>,
    fold: bool,
}

/// Returns `text` as a pattern that matches exactly it.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        // A `/` separates names whether it is quoted or not.
        if char.is_ascii_punctuation() && char != '/' {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

impl Pattern {
    /// Returns the pattern of `text`; anything is one.
    pub fn parse(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let mut at = 0;
        Self { tokens: sequence(&chars, &mut at, false), fold: false }
    }

    /// Returns this pattern, matching either case.
    #[must_use]
    pub fn folding(self, fold: bool) -> Self {
        Self { fold, ..self }
    }

    /// Tells whether the pattern is more than a text.
    pub fn is_wild(&self) -> bool {
        !self.tokens.iter().all(|token| matches!(token, Token::Char(_)))
    }

    /// Returns the text that the pattern is, when it is not wild.
    pub fn literal(&self) -> Option<String> {
        let char = |token: &Token| if let Token::Char(char) = token { Some(*char) } else { None };
        self.tokens.iter().map(char).collect()
    }

    /// Tells whether a leading `.` is written out, as a hidden name demands.
    pub fn starts_with_dot(&self) -> bool {
        matches!(self.tokens.first(), Some(Token::Char('.')))
    }

    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        self.ends(&text, 0).contains(&text.len())
    }

    /// Returns every position at which a match that begins at `from` may end.
    pub fn ends(&self, text: &[char], from: usize) -> BTreeSet<usize> {
        self.run(&self.tokens, text, BTreeSet::from([from]))
    }

    fn run(&self, tokens: &[Token], text: &[char], from: BTreeSet<usize>) -> BTreeSet<usize> {
        let mut positions = from;
        for token in tokens {
            if positions.is_empty() {
                break;
            }
            positions = self.step(token, text, &positions);
        }
        positions
    }

    fn step(&self, token: &Token, text: &[char], positions: &BTreeSet<usize>) -> BTreeSet<usize> {
        match token {
            Token::Many => positions.first().map(|first| (*first..=text.len()).collect()).unwrap_or_default(),
            Token::Group(repeat, branches) => self.group(*repeat, branches, text, positions),
            _ => {
                let fits = |at: &&usize| text.get(**at).is_some_and(|char| self.fits(token, *char));
                positions.iter().filter(fits).map(|at| at + 1).collect()
            }
        }
    }

    fn fits(&self, token: &Token, char: char) -> bool {
        match token {
            Token::One => true,
            Token::Char(expected) => *expected == char || (self.fold && folded(*expected) == folded(char)),
            Token::Set { negated, members } => {
                let held = |char: char| members.iter().any(|member| member.holds(char));
                let held = held(char) || (self.fold && (held(folded(char)) || char.to_uppercase().any(held)));
                held != *negated
            }
            Token::Many | Token::Group(..) => false,
        }
    }

    fn group(&self, repeat: Repeat, branches: &[Vec<Token>], text: &[char], from: &BTreeSet<usize>) -> BTreeSet<usize> {
        let once = |from: &BTreeSet<usize>| -> BTreeSet<usize> {
            branches.iter().flat_map(|branch| self.run(branch, text, from.clone())).collect()
        };
        match repeat {
            Repeat::Once => once(from),
            Repeat::Optional => from | &once(from),
            Repeat::Any => closure(from.clone(), once),
            Repeat::Some => closure(once(from), once),
            Repeat::Not => {
                let not = |at: &usize| {
                    let taken = once(&BTreeSet::from([*at]));
                    (*at..=text.len()).filter(move |end| !taken.contains(end)).collect::<Vec<_>>()
                };
                from.iter().flat_map(not).collect()
            }
        }
    }
}

/// Returns what is reachable from `found` by any number of steps.
fn closure(mut found: BTreeSet<usize>, step: impl Fn(&BTreeSet<usize>) -> BTreeSet<usize>) -> BTreeSet<usize> {
    let mut fresh = found.clone();
    while !fresh.is_empty() {
        fresh = &step(&fresh) - &found;
        found.extend(fresh.iter().copied());
    }
    found
}

fn folded(char: char) -> char {
    char.to_lowercase().next().unwrap_or(char)
}

impl Member {
    fn holds(&self, char: char) -> bool {
        match self {
            Self::Range(first, last) => (*first..=*last).contains(&char),
            Self::Class(name) => in_class(name, char),
        }
    }
}

fn in_class(name: &str, char: char) -> bool {
    match name {
        "alnum" => char.is_alphanumeric(),
        "alpha" => char.is_alphabetic(),
        "blank" => char == ' ' || char == '\t',
        "cntrl" => char.is_control(),
        "digit" => char.is_ascii_digit(),
        "graph" => !char.is_whitespace() && !char.is_control(),
        "lower" => char.is_lowercase(),
        "print" => !char.is_control(),
        "punct" => char.is_ascii_punctuation(),
        "space" => char.is_whitespace(),
        "upper" => char.is_uppercase(),
        "xdigit" => char.is_ascii_hexdigit(),
        "word" => char.is_alphanumeric() || char == '_',
        _ => false,
    }
}

/// Reads a sequence up to the end or, `nested`, up to `|` or `)`.
fn sequence(chars: &[char], at: &mut usize, nested: bool) -> Vec<Token> {
    let mut tokens = Vec::new();
    while let Some(&char) = chars.get(*at) {
        if nested && (char == '|' || char == ')') {
            break;
        }
        *at += 1;
        let token = match char {
            '\\' => {
                let escaped = chars.get(*at).copied();
                *at += usize::from(escaped.is_some());
                Token::Char(escaped.unwrap_or('\\'))
            }
            '[' => set(chars, at).unwrap_or(Token::Char('[')),
            _ => match repeat(char).filter(|_| chars.get(*at) == Some(&'(')) {
                Some(repeat) => group(repeat, chars, at).unwrap_or_else(|| plain(char)),
                None => plain(char),
            },
        };
        if token != Token::Many || tokens.last() != Some(&Token::Many) {
            tokens.push(token);
        }
    }
    tokens
}

fn plain(char: char) -> Token {
    match char {
        '*' => Token::Many,
        '?' => Token::One,
        _ => Token::Char(char),
    }
}

fn repeat(char: char) -> Option<Repeat> {
    Some(match char {
        '?' => Repeat::Optional,
        '*' => Repeat::Any,
        '+' => Repeat::Some,
        '@' => Repeat::Once,
        '!' => Repeat::Not,
        _ => return None,
    })
}

/// Reads `(a|b)`; `at` stands on the parenthesis, and stays there when none closes it.
fn group(repeat: Repeat, chars: &[char], at: &mut usize) -> Option<Token> {
    let mut end = *at + 1;
    let mut branches = Vec::new();
    loop {
        branches.push(sequence(chars, &mut end, true));
        let closing = *chars.get(end)?;
        end += 1;
        if closing == ')' {
            *at = end;
            return Some(Token::Group(repeat, branches));
        }
    }
}

/// Reads a bracket expression behind its `[`; `at` stays where it is when none closes it.
fn set(chars: &[char], at: &mut usize) -> Option<Token> {
    let mut end = *at;
    let negated = matches!(chars.get(end), Some('!' | '^'));
    end += usize::from(negated);
    let mut members = Vec::new();
    let first = end;
    loop {
        match *chars.get(end)? {
            ']' if end > first => break,
            '[' if chars.get(end + 1) == Some(&':') => match class(&chars[end + 2..]) {
                Some((name, length)) => {
                    members.push(Member::Class(name));
                    end += length + 2;
                }
                None => members.push(single(chars, &mut end)?),
            },
            _ => members.push(single(chars, &mut end)?),
        }
    }
    *at = end + 1;
    Some(Token::Set { negated, members })
}

/// Returns a class's name and how many characters it takes with its `:]`.
fn class(chars: &[char]) -> Option<(String, usize)> {
    let length = chars.iter().position(|char| *char == ':').filter(|at| chars.get(at + 1) == Some(&']'))?;
    Some((chars[..length].iter().collect(), length + 2))
}

/// Reads a character or a range of them.
fn single(chars: &[char], end: &mut usize) -> Option<Member> {
    let first = set_char(chars, end)?;
    let is_range = chars.get(*end) == Some(&'-') && chars.get(*end + 1).is_some_and(|char| *char != ']');
    if !is_range {
        return Some(Member::Range(first, first));
    }
    *end += 1;
    Some(Member::Range(first, set_char(chars, end)?))
}

fn set_char(chars: &[char], end: &mut usize) -> Option<char> {
    if chars.get(*end) == Some(&'\\') {
        *end += 1;
    }
    let char = *chars.get(*end)?;
    *end += 1;
    Some(char)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(pattern: &str, texts: &[&str]) -> Vec<String> {
        let pattern = Pattern::parse(pattern);
        texts.iter().filter(|text| pattern.matches(text)).map(ToString::to_string).collect()
    }

    #[test]
    fn wildcards_and_sets_match_as_in_bash() {
        let texts = ["", "a", "ab", "abc", "b", "a]", "a-", "é", "A1"];
        assert_eq!(matching("a*", &texts), ["a", "ab", "abc", "a]", "a-"]);
        assert_eq!(matching("?", &texts), ["a", "b", "é"]);
        assert_eq!(matching("a[]-]", &texts), ["a]", "a-"]);
        assert_eq!(matching("[!a-z]*", &texts), ["é", "A1"]);
        assert_eq!(matching("[[:upper:]][[:digit:]]", &texts), ["A1"]);
        assert_eq!(matching("[a", &["[a", "a"]), ["[a"]);
        assert_eq!(matching("\\*", &["*", "a"]), ["*"]);
    }

    #[test]
    fn extended_groups_match_as_in_bash() {
        let texts = ["", "ab", "abab", "cd", "abcd", "x"];
        assert_eq!(matching("+(ab|cd)", &texts), ["ab", "abab", "cd", "abcd"]);
        assert_eq!(matching("*(ab)", &texts), ["", "ab", "abab"]);
        assert_eq!(matching("!(ab|x)", &texts), ["", "abab", "cd", "abcd"]);
        assert_eq!(matching("?(ab)cd", &texts), ["cd", "abcd"]);
        assert_eq!(matching("@(ab|x", &["@(ab|x"]), ["@(ab|x"]);
    }

    #[test]
    fn no_pattern_takes_exponential_time() {
        let pattern = Pattern::parse(&"*(*(a)*(a))".repeat(10));
        assert!(!pattern.matches(&format!("{}b", "a".repeat(200))));
    }

    #[test]
    fn an_escaped_text_matches_only_itself() {
        for text in ["a*b", "[x]", "+(a)", "\\", "é-ü"] {
            assert_eq!(Pattern::parse(&escape(text)).literal().as_deref(), Some(text));
        }
    }
}
