//! The words of `find` to an expression.

use std::path::Path;
use std::time::SystemTime;

use crate::Invocation;
use crate::facts::{Facts, Kind};
use crate::name::Glob;
use crate::pattern::{Dialect, Pattern, Syntax};
use crate::report::{Stop, reason};

pub(super) struct Request {
    pub(super) starts: Vec<String>,
    pub(super) expression: Expression,
    pub(super) max_depth: usize,
    pub(super) min_depth: usize,
    pub(super) depth_first: bool,
    pub(super) follow: bool,
    /// How many `-exec … +` there are.
    pub(super) batches: usize,
}

pub(super) enum Expression {
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Comma(Vec<Expression>),
    Not(Box<Expression>),
    Test(Test),
    Action(Action),
}

#[derive(Clone, Copy)]
pub(super) enum Compared {
    More(u64),
    Less(u64),
    Exactly(u64),
}

pub(super) enum Test {
    Constant(bool),
    Name(Glob),
    Path(Glob),
    LinkName(Glob),
    Regex(Box<Pattern>),
    Kinds(Vec<Kind>),
    /// A number of units of so many bytes.
    Size(Compared, u64),
    Empty,
    Newer(SystemTime),
    /// A number of units of so many seconds.
    Age(Compared, u64),
    SameFile(Box<Facts>),
    Links(Compared),
    Inode(Compared),
    Executable,
    Permissions(u32, char),
}

pub(super) enum Action {
    Print(char),
    Printf(String),
    List,
    Prune,
    Quit,
    Delete,
    /// The words, and whether the file is named from its folder.
    Run(Vec<String>, bool),
    RunMany(Vec<String>, usize),
}

impl Expression {
    /// Returns the words of each `-exec … +` and its number.
    pub(super) fn batches(&self) -> Vec<(usize, &[String])> {
        match self {
            Self::And(parts) | Self::Or(parts) | Self::Comma(parts) => parts.iter().flat_map(Self::batches).collect(),
            Self::Not(inner) => inner.batches(),
            Self::Action(Action::RunMany(words, batch)) => vec![(*batch, words)],
            _ => Vec::new(),
        }
    }

    fn acts(&self) -> bool {
        match self {
            Self::And(parts) | Self::Or(parts) | Self::Comma(parts) => parts.iter().any(Self::acts),
            Self::Not(inner) => inner.acts(),
            Self::Action(action) => !matches!(action, Action::Prune | Action::Quit),
            Self::Test(_) => false,
        }
    }
}

/// Deeper brackets than these are an attack on the stack.
const MAX_NESTING: usize = 64;

/// Returns whether a word names a place, and begins no expression.
fn is_start(word: &str) -> bool {
    let is_option = word.len() > 1 && word.starts_with('-');
    !is_option && !["(", ")", "!", ","].contains(&word)
}

pub(super) fn parse(invocation: &Invocation<'_>) -> Result<Request, Stop> {
    let mut parser = Parser {
        cwd: invocation.cwd,
        words: invocation.args.get(1..).unwrap_or_default(),
        at: 0,
        max_depth: usize::MAX,
        min_depth: 0,
        depth_first: false,
        follow: false,
        batches: 0,
        nesting: 0,
    };
    while let Some(word) = parser.peek().filter(|word| ["-L", "-P", "-H"].contains(word)) {
        parser.follow = word == "-L";
        parser.at += 1;
    }
    let mut starts = Vec::new();
    while let Some(word) = parser.peek().filter(|word| is_start(word)) {
        starts.push(word.to_owned());
        parser.at += 1;
    }
    if starts.is_empty() {
        starts.push(".".to_owned());
    }
    let expression = if parser.peek().is_some() { parser.comma()? } else { Expression::And(Vec::new()) };
    if let Some(word) = parser.peek() {
        let text = if word == ")" {
            "you have too many ')'".to_owned()
        } else {
            format!("paths must precede expression: `{word}'")
        };
        return Err(Stop::failed(text));
    }
    let expression = if expression.acts() {
        expression
    } else {
        Expression::And(vec![expression, Expression::Action(Action::Print('\n'))])
    };
    Ok(Request {
        starts,
        expression,
        max_depth: parser.max_depth,
        min_depth: parser.min_depth,
        depth_first: parser.depth_first,
        follow: parser.follow,
        batches: parser.batches,
    })
}

struct Parser<'p> {
    cwd: &'p Path,
    words: &'p [String],
    at: usize,
    max_depth: usize,
    min_depth: usize,
    depth_first: bool,
    follow: bool,
    batches: usize,
    nesting: usize,
}

impl<'p> Parser<'p> {
    fn peek(&self) -> Option<&'p str> {
        self.words.get(self.at).map(String::as_str)
    }

    fn take(&mut self, words: &[&str]) -> bool {
        let found = self.peek().is_some_and(|word| words.contains(&word));
        self.at += usize::from(found);
        found
    }

    fn comma(&mut self) -> Result<Expression, Stop> {
        let mut parts = vec![self.or()?];
        while self.take(&[","]) {
            parts.push(self.or()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::Comma(parts) })
    }

    fn or(&mut self) -> Result<Expression, Stop> {
        let mut parts = vec![self.and()?];
        while self.take(&["-o", "-or"]) {
            parts.push(self.and()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::Or(parts) })
    }

    fn and(&mut self) -> Result<Expression, Stop> {
        let mut parts = vec![self.not()?];
        loop {
            let explicit = self.take(&["-a", "-and"]);
            let ends = self.peek().is_none_or(|word| [")", "-o", "-or", ","].contains(&word));
            if ends && explicit {
                return Err(Stop::failed("expected an expression after '-a'"));
            }
            if ends {
                return Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::And(parts) });
            }
            parts.push(self.not()?);
        }
    }

    fn not(&mut self) -> Result<Expression, Stop> {
        if self.take(&["!", "-not"]) {
            return self.nested(Self::not).map(|inner| Expression::Not(Box::new(inner)));
        }
        if self.take(&["("]) {
            let inner = self.nested(Self::comma)?;
            return if self.take(&[")"]) {
                Ok(inner)
            } else {
                Err(Stop::failed("invalid expression; I was expecting to find a ')' somewhere but did not see one."))
            };
        }
        self.primary()
    }

    fn nested(&mut self, parse: fn(&mut Self) -> Result<Expression, Stop>) -> Result<Expression, Stop> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(Stop::failed("the expression is nested too deeply"));
        }
        let parsed = parse(self);
        self.nesting -= 1;
        parsed
    }

    fn value(&mut self, of: &str) -> Result<&'p str, Stop> {
        let value = self.peek().ok_or_else(|| Stop::failed(format!("missing argument to `{of}'")))?;
        self.at += 1;
        Ok(value)
    }

    fn number(&mut self, of: &str) -> Result<usize, Stop> {
        let text = self.value(of)?;
        text.parse().map_err(|_| {
            Stop::failed(format!("Expected a positive decimal integer argument to {of}, but got '{text}'"))
        })
    }

    fn compared(&mut self, of: &str) -> Result<Compared, Stop> {
        let text = self.value(of)?;
        compared(text).ok_or_else(|| Stop::failed(format!("invalid argument `{text}' to `{of}'")))
    }

    fn primary(&mut self) -> Result<Expression, Stop> {
        let Some(word) = self.peek() else { return Err(Stop::failed("expected an expression")) };
        self.at += 1;
        if let Some(action) = self.action(word)? {
            return Ok(Expression::Action(action));
        }
        self.test(word).map(Expression::Test)
    }

    fn action(&mut self, word: &str) -> Result<Option<Action>, Stop> {
        Ok(Some(match word {
            "-print" => Action::Print('\n'),
            "-print0" => Action::Print('\0'),
            "-printf" => Action::Printf(self.value(word)?.to_owned()),
            "-ls" => Action::List,
            "-prune" => Action::Prune,
            "-quit" => Action::Quit,
            "-delete" => {
                self.depth_first = true;
                Action::Delete
            }
            "-exec" | "-execdir" => self.command(word)?,
            "-ok" | "-okdir" => return Err(Stop::failed(format!("{word} asks a person, and nobody is there"))),
            _ => return Ok(None),
        }))
    }

    fn command(&mut self, word: &str) -> Result<Action, Stop> {
        let mut words: Vec<String> = Vec::new();
        loop {
            let next = self.value(word)?;
            if next == ";" {
                return if words.is_empty() {
                    Err(Stop::failed(format!("invalid argument `;' to `{word}'")))
                } else {
                    Ok(Action::Run(words, word == "-execdir"))
                };
            }
            if next == "+" && words.last().is_some_and(|last| last == "{}") {
                words.pop();
                self.batches += 1;
                return Ok(Action::RunMany(words, self.batches - 1));
            }
            words.push(next.to_owned());
        }
    }

    fn test(&mut self, word: &str) -> Result<Test, Stop> {
        Ok(match word {
            "-true" => Test::Constant(true),
            "-false" => Test::Constant(false),
            "-maxdepth" => {
                self.max_depth = self.number(word)?;
                Test::Constant(true)
            }
            "-mindepth" => {
                self.min_depth = self.number(word)?;
                Test::Constant(true)
            }
            "-depth" | "-d" => {
                self.depth_first = true;
                Test::Constant(true)
            }
            "-follow" => {
                self.follow = true;
                Test::Constant(true)
            }
            "-xdev" | "-mount" | "-noleaf" | "-daystart" | "-warn" | "-nowarn" | "-ignore_readdir_race" => {
                Test::Constant(true)
            }
            "-regextype" => {
                self.value(word)?;
                Test::Constant(true)
            }
            "-name" => Test::Name(Glob::new(self.value(word)?)),
            "-iname" => Test::Name(Glob::ignoring_case(self.value(word)?)),
            "-path" | "-wholename" => Test::Path(Glob::new(self.value(word)?)),
            "-ipath" | "-iwholename" => Test::Path(Glob::ignoring_case(self.value(word)?)),
            "-lname" => Test::LinkName(Glob::new(self.value(word)?)),
            "-regex" | "-iregex" => {
                let dialect = Dialect { ignore_case: word == "-iregex", ..Dialect::of(self.regex_syntax()) };
                Test::Regex(Box::new(Pattern::new(self.value(word)?, dialect)?))
            }
            "-type" | "-xtype" => Test::Kinds(self.kinds(word)?),
            "-size" => self.size(word)?,
            "-empty" => Test::Empty,
            "-newer" | "-anewer" | "-cnewer" => Test::Newer(self.reference(word)?.modified),
            "-newermt" => {
                let text = self.value(word)?;
                let time = crate::date::parse(text, crate::clock::now());
                let wrong = || Stop::failed(format!("I cannot figure out how to interpret '{text}' as a date or time"));
                Test::Newer(crate::clock::system(time.ok_or_else(wrong)?))
            }
            "-samefile" => Test::SameFile(Box::new(self.reference(word)?)),
            "-mtime" | "-atime" | "-ctime" => Test::Age(self.compared(word)?, 86_400),
            "-mmin" | "-amin" | "-cmin" => Test::Age(self.compared(word)?, 60),
            "-links" => Test::Links(self.compared(word)?),
            "-inum" => Test::Inode(self.compared(word)?),
            "-executable" => Test::Executable,
            "-readable" | "-writable" => Test::Constant(true),
            "-perm" => self.permissions(word)?,
            "-user" | "-group" | "-uid" | "-gid" => {
                let name = self.value(word)?;
                Test::Constant(name == "0" || name == crate::system::USER)
            }
            other if other.starts_with('-') => return Err(Stop::failed(format!("unknown predicate `{other}'"))),
            other => return Err(Stop::failed(format!("paths must precede expression: `{other}'"))),
        })
    }

    /// Emacs's syntax, the usual one, is nearest to the basic one with `+` and `?`; the others are extended.
    fn regex_syntax(&self) -> Syntax {
        let given =
            self.words[..self.at].windows(2).rev().find(|pair| pair[0] == "-regextype").map(|pair| pair[1].as_str());
        match given {
            Some("posix-basic" | "sed" | "grep" | "ed") => Syntax::Basic,
            _ => Syntax::Extended,
        }
    }

    fn kinds(&mut self, word: &str) -> Result<Vec<Kind>, Stop> {
        let text = self.value(word)?;
        let kind = |letter: &str| match letter {
            "f" => Some(Kind::File),
            "d" => Some(Kind::Folder),
            "l" => Some(Kind::Link),
            "b" | "c" | "p" | "s" => Some(Kind::Other),
            _ => None,
        };
        let kinds: Option<Vec<Kind>> = text.split(',').map(kind).collect();
        kinds.ok_or_else(|| Stop::failed(format!("Unknown argument to {word}: {text}")))
    }

    fn size(&mut self, word: &str) -> Result<Test, Stop> {
        let text = self.value(word)?;
        let (number, unit) = match text.char_indices().last() {
            Some((at, 'c')) => (&text[..at], 1),
            Some((at, 'w')) => (&text[..at], 2),
            Some((at, 'b')) => (&text[..at], 512),
            Some((at, 'k')) => (&text[..at], 1 << 10),
            Some((at, 'M')) => (&text[..at], 1 << 20),
            Some((at, 'G')) => (&text[..at], 1 << 30),
            _ => (text, 512),
        };
        let compared = compared(number).ok_or_else(|| Stop::failed(format!("invalid -size type `{text}'")))?;
        Ok(Test::Size(compared, unit))
    }

    fn reference(&mut self, word: &str) -> Result<Facts, Stop> {
        let name = self.value(word)?;
        Facts::read(&self.cwd.join(name), true).map_err(|error| Stop::failed(format!("'{name}': {}", reason(&error))))
    }

    fn permissions(&mut self, word: &str) -> Result<Test, Stop> {
        let text = self.value(word)?;
        let (how, digits) = match text.chars().next() {
            Some(how @ ('-' | '/')) => (how, &text[1..]),
            _ => (' ', text),
        };
        let symbolic = match digits {
            "u+x" | "u=x" => Some(0o100),
            "a+x" | "+x" | "a=x" => Some(0o111),
            _ => None,
        };
        let mode = symbolic.or_else(|| u32::from_str_radix(digits, 8).ok());
        mode.map(|mode| Test::Permissions(mode, how)).ok_or_else(|| Stop::failed(format!("invalid mode '{text}'")))
    }
}

fn compared(text: &str) -> Option<Compared> {
    match text.strip_prefix('+') {
        Some(rest) => rest.parse().ok().map(Compared::More),
        None => match text.strip_prefix('-') {
            Some(rest) => rest.parse().ok().map(Compared::Less),
            None => text.parse().ok().map(Compared::Exactly),
        },
    }
}
