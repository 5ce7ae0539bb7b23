//! POSIX syntax to the syntax of the regex crates.

use crate::report::Stop;

/// How a pattern is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syntax {
    Basic,
    Extended,
    Fixed,
}

/// A syntax and what differs from command to command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect {
    pub(crate) syntax: Syntax,
    pub(crate) ignore_case: bool,
    /// `^` and `$` match at every line of the text.
    pub(crate) lines: bool,
    /// `\n` and `\t` are characters, as in sed and awk.
    pub(crate) controls: bool,
    /// A backslash escapes inside brackets, as in awk.
    pub(crate) bracket_escapes: bool,
}

impl Dialect {
    pub(crate) fn of(syntax: Syntax) -> Self {
        Self { syntax, ignore_case: false, lines: false, controls: false, bracket_escapes: false }
    }
}

/// A pattern for the regex crates.
pub(crate) struct Translated {
    pub(crate) text: String,
    pub(crate) groups: usize,
    pub(crate) alternation: bool,
    pub(crate) back_references: bool,
}

/// The most that POSIX lets an interval say; GNU has the same.
const MAX_REPEATS: u32 = 32_767;

pub(crate) fn translate(source: &str, dialect: Dialect) -> Result<Translated, Stop> {
    let mut translation = Translation {
        source: source.chars().collect(),
        at: 0,
        dialect,
        output: String::new(),
        atom: None,
        repeated: false,
        open: Vec::new(),
        groups: 0,
        alternation: false,
        back_references: false,
    };
    if dialect.syntax == Syntax::Fixed {
        translation.output = escaped_text(source);
    } else {
        translation.all()?;
    }
    Ok(Translated {
        text: translation.output,
        groups: translation.groups,
        alternation: translation.alternation,
        back_references: translation.back_references,
    })
}

struct Translation {
    source: Vec<char>,
    at: usize,
    dialect: Dialect,
    output: String,
    /// Where the last thing that can be repeated starts in the output.
    atom: Option<usize>,
    repeated: bool,
    open: Vec<usize>,
    groups: usize,
    alternation: bool,
    back_references: bool,
}

/// What a character or an escaped one means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Open,
    Close,
    Or,
    Repeat(char),
    Interval,
    Start,
    End,
    Any,
    Bracket,
    Escaped(char),
    Plain(char),
}

impl Translation {
    fn all(&mut self) -> Result<(), Stop> {
        while let Some(sign) = self.sign()? {
            self.take(sign)?;
        }
        if self.open.is_empty() { Ok(()) } else { Err(wrong("Unmatched ( or \\(")) }
    }

    fn is_basic(&self) -> bool {
        self.dialect.syntax == Syntax::Basic
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.source.get(self.at + ahead).copied()
    }

    fn sign(&mut self) -> Result<Option<Sign>, Stop> {
        let Some(character) = self.peek(0) else { return Ok(None) };
        self.at += 1;
        if character != '\\' {
            return Ok(Some(self.bare(character)));
        }
        let Some(escaped) = self.peek(0) else { return Err(wrong("Trailing backslash")) };
        self.at += 1;
        Ok(Some(self.escaped(escaped)))
    }

    fn bare(&self, character: char) -> Sign {
        match character {
            '*' => Sign::Repeat('*'),
            '.' => Sign::Any,
            '[' => Sign::Bracket,
            '^' if !self.is_basic() || self.at_start() => Sign::Start,
            '$' if !self.is_basic() || self.at_end() => Sign::End,
            '+' | '?' if !self.is_basic() => Sign::Repeat(character),
            '{' if !self.is_basic() => Sign::Interval,
            '(' if !self.is_basic() => Sign::Open,
            ')' if !self.is_basic() && !self.open.is_empty() => Sign::Close,
            '|' if !self.is_basic() => Sign::Or,
            other => Sign::Plain(other),
        }
    }

    /// In a basic pattern `^` is an anchor only where an expression begins.
    fn at_start(&self) -> bool {
        let before: String = self.source[..self.at - 1].iter().collect();
        before.is_empty() || ["\\(", "\\|", "\n"].iter().any(|end| before.ends_with(end))
    }

    fn at_end(&self) -> bool {
        let after: String = self.source[self.at..].iter().take(2).collect();
        after.is_empty() || after.starts_with("\\)") || after.starts_with("\\|") || after.starts_with('\n')
    }

    fn escaped(&self, character: char) -> Sign {
        match character {
            '(' if self.is_basic() => Sign::Open,
            ')' if self.is_basic() => Sign::Close,
            '|' if self.is_basic() => Sign::Or,
            '+' | '?' if self.is_basic() => Sign::Repeat(character),
            '{' if self.is_basic() => Sign::Interval,
            other => Sign::Escaped(other),
        }
    }

    fn take(&mut self, sign: Sign) -> Result<(), Stop> {
        match sign {
            Sign::Open => {
                self.open.push(self.output.len());
                self.groups += 1;
                self.output.push('(');
                self.atom = None;
            }
            Sign::Close => {
                let start = self.open.pop().ok_or_else(|| wrong("Unmatched ) or \\)"))?;
                self.output.push(')');
                self.set_atom(start);
            }
            Sign::Or => {
                self.alternation = true;
                self.output.push('|');
                self.atom = None;
            }
            Sign::Start => self.anchor(if self.dialect.lines { "(?m:^)" } else { "^" }),
            Sign::End => self.anchor(if self.dialect.lines { "(?m:$)" } else { "$" }),
            Sign::Any => self.push("."),
            Sign::Bracket => self.bracket()?,
            Sign::Repeat(character) => self.repeat(character),
            Sign::Interval => self.interval()?,
            Sign::Escaped(character) => self.escape(character)?,
            Sign::Plain(character) => self.literal(character),
        }
        Ok(())
    }

    fn set_atom(&mut self, start: usize) {
        self.atom = Some(start);
        self.repeated = false;
    }

    fn push(&mut self, text: &str) {
        self.set_atom(self.output.len());
        self.output.push_str(text);
    }

    fn anchor(&mut self, text: &str) {
        self.output.push_str(text);
        self.atom = None;
    }

    fn literal(&mut self, character: char) {
        self.push(&escaped_text(character.encode_utf8(&mut [0; 4])));
    }

    fn escape(&mut self, character: char) -> Result<(), Stop> {
        match character {
            'w' => self.push("[0-9A-Za-z_]"),
            'W' => self.push("[^0-9A-Za-z_]"),
            's' => self.push("[ \\t-\\r]"),
            'S' => self.push("[^ \\t-\\r]"),
            'b' => self.anchor("\\b"),
            'B' => self.anchor("\\B"),
            '<' => self.anchor("\\b{start}"),
            '>' => self.anchor("\\b{end}"),
            '`' => self.anchor("\\A"),
            '\'' => self.anchor("\\z"),
            'n' if self.dialect.controls => self.push("\\n"),
            't' if self.dialect.controls => self.push("\\t"),
            'r' if self.dialect.controls => self.push("\\r"),
            'f' if self.dialect.controls => self.push("\\x0c"),
            'v' if self.dialect.controls => self.push("\\x0b"),
            'a' if self.dialect.controls => self.push("\\x07"),
            '1'..='9' => {
                let number = character.to_digit(10).map_or(0, |digit| digit as usize);
                if number > self.groups {
                    return Err(wrong("Invalid back reference"));
                }
                self.back_references = true;
                self.push(&format!("(?:\\{number})"));
            }
            other => self.literal(other),
        }
        Ok(())
    }

    /// A repetition of a repetition is one of what both say together; the regex crates would read `+?` as lazy.
    fn repeat(&mut self, character: char) {
        let Some(start) = self.atom else {
            // Nothing precedes it: a basic pattern means the character, an extended one nothing.
            if self.is_basic() {
                self.literal(character);
            }
            return;
        };
        self.apply(start, &character.to_string());
    }

    fn apply(&mut self, start: usize, repetition: &str) {
        if self.repeated {
            self.output.insert_str(start, "(?:");
            self.output.push(')');
        }
        self.output.push_str(repetition);
        self.repeated = true;
    }

    fn interval(&mut self) -> Result<(), Stop> {
        let Some((least, most, length)) = self.interval_here() else {
            if self.is_basic() {
                return Err(wrong("Invalid content of \\{\\}"));
            }
            self.literal('{');
            return Ok(());
        };
        if least.max(most.unwrap_or(0)) > MAX_REPEATS {
            return Err(wrong("Regular expression too big"));
        }
        if most.is_some_and(|most| most < least) {
            return Err(wrong("Invalid content of \\{\\}"));
        }
        self.at += length;
        if let Some(start) = self.atom {
            let most = most.map(|most| most.to_string()).unwrap_or_default();
            let repetition =
                if most == least.to_string() { format!("{{{least}}}") } else { format!("{{{least},{most}}}") };
            self.apply(start, &repetition);
        }
        Ok(())
    }

    /// Reads `2,5}`, and returns both numbers and the length.
    fn interval_here(&self) -> Option<(u32, Option<u32>, usize)> {
        let close = if self.is_basic() { "\\}" } else { "}" };
        let rest: String = self.source[self.at..].iter().take(16).collect();
        let end = rest.find(close)?;
        let inside = &rest[..end];
        let number = |text: &str| text.parse::<u32>().ok();
        let (least, most) = match inside.split_once(',') {
            None => (number(inside)?, Some(number(inside)?)),
            Some(("", most)) => (0, Some(number(most)?)),
            Some((least, "")) => (number(least)?, None),
            Some((least, most)) => (number(least)?, Some(number(most)?)),
        };
        Some((least, most, end + close.len()))
    }

    fn bracket(&mut self) -> Result<(), Stop> {
        let start = self.output.len();
        self.output.push('[');
        if self.peek(0) == Some('^') {
            self.at += 1;
            self.output.push('^');
        }
        let mut first = true;
        loop {
            let character = self.peek(0).ok_or_else(|| wrong("Unmatched [, [^, [:, [., or [="))?;
            self.at += 1;
            match character {
                ']' if !first => break,
                '[' if matches!(self.peek(0), Some(':' | '.' | '=')) => self.class()?,
                _ => self.range(character)?,
            }
            first = false;
        }
        self.output.push(']');
        self.set_atom(start);
        Ok(())
    }

    /// Reads what follows `[` in `[:alpha:]`, `[=a=]` or `[.a.]`.
    fn class(&mut self) -> Result<(), Stop> {
        let mark = self.peek(0).expect("the caller saw it");
        let rest: String = self.source[self.at + 1..].iter().collect();
        let Some(end) = rest.find(&format!("{mark}]")) else { return Err(wrong("Unmatched [, [^, [:, [., or [=")) };
        let name = &rest[..end];
        self.at += 1 + name.chars().count() + 2;
        if mark != ':' {
            self.output.push_str(&class_text(name));
            return Ok(());
        }
        if crate::tr::class_of(name).is_none() {
            return Err(wrong("Invalid character class name"));
        }
        self.output.extend(["[:", name, ":]"]);
        Ok(())
    }

    fn range(&mut self, character: char) -> Result<(), Stop> {
        let from = self.member(character);
        let is_range = self.peek(0) == Some('-') && self.peek(1).is_some_and(|next| next != ']');
        if !is_range {
            self.output.push_str(&class_text(from.encode_utf8(&mut [0; 4])));
            return Ok(());
        }
        self.at += 1;
        let next = self.peek(0).expect("the range has an end");
        self.at += 1;
        let to = self.member(next);
        if to < from {
            return Err(wrong("Invalid range end"));
        }
        let text = |character: char| class_text(character.encode_utf8(&mut [0; 4]));
        self.output.extend([text(from).as_str(), "-", text(to).as_str()]);
        Ok(())
    }

    fn member(&mut self, character: char) -> char {
        if character != '\\' || !(self.dialect.controls || self.dialect.bracket_escapes) {
            return character;
        }
        let Some(next) = self.peek(0) else { return character };
        let meant = match next {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'f' => '\u{c}',
            'v' => '\u{b}',
            other if self.dialect.bracket_escapes => other,
            _ => return character,
        };
        self.at += 1;
        meant
    }
}

/// Returns text that means itself.
fn escaped_text(text: &str) -> String {
    regex::escape(text)
}

/// Returns characters that mean themselves in brackets.
fn class_text(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        if character.is_ascii_punctuation() {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

fn wrong(text: &str) -> Stop {
    Stop::code(2, text)
}
