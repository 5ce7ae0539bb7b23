//! What a `grep` is asked to do.

use crate::Invocation;
use crate::input;
use crate::name::Glob;
use crate::options::{Options, Spec};
use crate::pattern::{Dialect, Pattern, Syntax};
use crate::report::{Stop, name_of};

use super::FAILED;

const GREP: Spec = Spec::new(
    "E/extended-regexp F/fixed-strings G/basic-regexp P/perl-regexp e/regexp= f/file= i/ignore-case y no-ignore-case \
     v/invert-match w/word-regexp x/line-regexp c/count l/files-with-matches L/files-without-match o/only-matching \
     q/quiet/silent s/no-messages n/line-number b/byte-offset H/with-filename h/no-filename m/max-count= \
     A/after-context= B/before-context= C/context= r/recursive R/dereference-recursive include= exclude= exclude-dir= \
     a/text I binary-files= z/null-data Z/null color? colour? line-buffered d/directories= T/initial-tab label= U",
)
.fails_with(FAILED);

/// What is shown of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Lines,
    Count,
    Matching,
    NotMatching,
}

pub(super) struct Patterns {
    pub(super) list: Vec<Pattern>,
    pub(super) words: bool,
    pub(super) whole_lines: bool,
}

#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command")]
pub(super) struct Request {
    pub(super) patterns: Patterns,
    pub(super) inputs: Vec<String>,
    pub(super) invert: bool,
    pub(super) shown: Shown,
    pub(super) only: bool,
    pub(super) quiet: bool,
    pub(super) no_messages: bool,
    pub(super) numbers: bool,
    pub(super) offsets: bool,
    pub(super) with_names: bool,
    pub(super) null_names: bool,
    pub(super) null_data: bool,
    pub(super) text: bool,
    pub(super) skip_binary: bool,
    pub(super) most: u64,
    pub(super) before: usize,
    pub(super) after: usize,
    pub(super) recursive: bool,
    pub(super) follow: bool,
    pub(super) skip_folders: bool,
    include: Vec<Glob>,
    exclude: Vec<Glob>,
    pub(super) exclude_folders: Vec<Glob>,
}

impl Request {
    pub(super) fn read(invocation: &mut Invocation<'_>) -> Result<Self, Stop> {
        let args = with_context_numbers(invocation.args);
        let options = GREP.parse(&args)?;
        if options.has("P") {
            return Err(Stop::code(
                FAILED,
                "support for the -P option is not compiled into this --disable-perl-regexp binary",
            ));
        }
        let mut operands = options.operands.iter().map(|operand| (*operand).to_owned());
        let given = given_patterns(&options, invocation)?;
        let sources = match given {
            Some(sources) => sources,
            None => vec![operands.next().ok_or_else(usage)?],
        };
        let patterns = Patterns::new(&options, &sources, &name_of(invocation))?;
        let recursive = options.has("r") || options.has("R") || options.value("d") == Some("recurse");
        let inputs: Vec<String> = operands.collect();
        let many = inputs.len() > 1 || recursive;
        let inputs = match inputs.is_empty() {
            true if recursive => vec![String::new()],
            true => vec!["-".to_owned()],
            false => inputs,
        };
        let globs = |name: &str| {
            options.found.iter().filter(|found| found.name == name).map(|found| Glob::new(found.text())).collect()
        };
        Ok(Self {
            patterns,
            with_names: with_names(&options).unwrap_or(many),
            inputs,
            invert: options.has("v"),
            shown: shown(&options),
            only: options.has("o"),
            quiet: options.has("q"),
            no_messages: options.has("s"),
            numbers: options.has("n"),
            offsets: options.has("b"),
            null_names: options.has("Z"),
            null_data: options.has("z"),
            text: options.has("a") || options.value("binary-files") == Some("text"),
            skip_binary: options.has("I") || options.value("binary-files") == Some("without-match"),
            most: options.value("m").map_or(Ok(u64::MAX), most)?,
            before: context(&options, "B")?,
            after: context(&options, "A")?,
            recursive,
            follow: options.has("R"),
            skip_folders: options.value("d") == Some("skip"),
            include: globs("include"),
            exclude: globs("exclude"),
            exclude_folders: globs("exclude-dir"),
        })
    }

    pub(super) fn line_end(&self) -> u8 {
        if self.null_data { 0 } else { b'\n' }
    }

    pub(super) fn has_context(&self) -> bool {
        self.before > 0 || self.after > 0
    }

    /// Returns whether a recursive search looks into a file of this name.
    pub(super) fn wants(&self, name: &str) -> bool {
        let named = |globs: &[Glob]| globs.iter().any(|glob| glob.is_match(name));
        (self.include.is_empty() || named(&self.include)) && !named(&self.exclude)
    }
}

/// Rewrites `-3` to `-C3`.
fn with_context_numbers(args: &[String]) -> Vec<String> {
    let is_number = |word: &str| {
        word.strip_prefix('-')
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut options = true;
    let rewritten = args.iter().map(|word| {
        options &= word != "--";
        if options && is_number(word) { format!("-C{}", &word[1..]) } else { word.clone() }
    });
    rewritten.collect()
}

fn usage() -> Stop {
    Stop::code(FAILED, "usage: grep [OPTION]... PATTERNS [FILE]...\nTry 'grep --help' for more information.")
}

/// Returns the patterns of `-e` and `-f`; none where the first operand is the pattern.
fn given_patterns(options: &Options<'_>, invocation: &mut Invocation<'_>) -> Result<Option<Vec<String>>, Stop> {
    let mut given = None;
    for found in &options.found {
        let list = given.get_or_insert_with(Vec::new);
        match found.name {
            "e" => list.push(found.text().to_owned()),
            "f" => {
                let failed = |error: &std::io::Error| {
                    Stop::code(FAILED, format!("{}: {}", found.text(), crate::report::reason(error)))
                };
                let mut reader =
                    input::open(invocation.cwd, invocation.stdin, found.text()).map_err(|error| failed(&error))?;
                let text = input::everything(&mut *reader)?;
                list.extend(input::lines(&text).iter().map(|line| String::from_utf8_lossy(line).into_owned()));
            }
            _ if list.is_empty() && !(options.has("e") || options.has("f")) => given = None,
            _ => {}
        }
    }
    Ok(given)
}

impl Patterns {
    fn new(options: &Options<'_>, sources: &[String], name: &str) -> Result<Self, Stop> {
        let syntax = options.found.iter().rev().find_map(|found| match found.name {
            "E" => Some(Syntax::Extended),
            "F" => Some(Syntax::Fixed),
            "G" => Some(Syntax::Basic),
            _ => None,
        });
        let usual = match name {
            "egrep" => Syntax::Extended,
            "fgrep" => Syntax::Fixed,
            _ => Syntax::Basic,
        };
        let ignore_case = (options.has("i") || options.has("y")) && !options.has("no-ignore-case");
        let dialect = Dialect { ignore_case, ..Dialect::of(syntax.unwrap_or(usual)) };
        let whole_lines = options.has("x");
        let compile = |line: &str| {
            if whole_lines {
                Pattern::new(&whole(line, dialect.syntax), Dialect { syntax: whole_syntax(dialect.syntax), ..dialect })
            } else {
                Pattern::new(line, dialect)
            }
        };
        let lines = sources.iter().flat_map(|source| source.split('\n'));
        let list = lines.map(compile).collect::<Result<_, _>>()?;
        Ok(Self { list, words: options.has("w") && !whole_lines, whole_lines })
    }
}

/// Returns the pattern that matches nothing less than a whole line.
fn whole(line: &str, syntax: Syntax) -> String {
    match syntax {
        Syntax::Basic => format!("^\\({line}\\)$"),
        Syntax::Extended => format!("^({line})$"),
        Syntax::Fixed => {
            let literal: String =
                line.chars().flat_map(|c| if c.is_ascii_punctuation() { vec!['\\', c] } else { vec![c] }).collect();
            format!("^({literal})$")
        }
    }
}

fn whole_syntax(syntax: Syntax) -> Syntax {
    if syntax == Syntax::Fixed { Syntax::Extended } else { syntax }
}

fn shown(options: &Options<'_>) -> Shown {
    let last = options.found.iter().rev().find_map(|found| match found.name {
        "l" => Some(Shown::Matching),
        "L" => Some(Shown::NotMatching),
        _ => None,
    });
    last.unwrap_or(if options.has("c") { Shown::Count } else { Shown::Lines })
}

fn with_names(options: &Options<'_>) -> Option<bool> {
    options.found.iter().rev().find_map(|found| match found.name {
        "H" => Some(true),
        "h" => Some(false),
        _ => None,
    })
}

fn most(text: &str) -> Result<u64, Stop> {
    let number: i64 = text.parse().map_err(|_| Stop::code(FAILED, "invalid max count"))?;
    // A negative count is none at all.
    Ok(u64::try_from(number).unwrap_or(u64::MAX))
}

fn context(options: &Options<'_>, side: &str) -> Result<usize, Stop> {
    let Some(text) = options.value(side).or(options.value("C")) else { return Ok(0) };
    text.parse().map_err(|_| Stop::code(FAILED, format!("{text}: invalid context length argument")))
}
