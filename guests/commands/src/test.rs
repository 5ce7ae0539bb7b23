//! `test` and `[`.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::Path;

use crate::Invocation;
use crate::facts;
use crate::report::{Outcome, Stop};

/// Exit code of an expression that cannot be understood.
const WRONG: i32 = 2;
/// Deeper brackets than these are no condition that somebody wrote.
const MAX_DEPTH: usize = 64;

pub(crate) fn test(invocation: &mut Invocation<'_>) -> Outcome {
    let words: Vec<&str> = invocation.args.iter().skip(1).map(String::as_str).collect();
    answer(invocation, &words)
}

/// `[`, whose last word is `]`.
pub(crate) fn bracket(invocation: &mut Invocation<'_>) -> Outcome {
    let words: Vec<&str> = invocation.args.iter().skip(1).map(String::as_str).collect();
    match words.split_last() {
        Some((&"]", words)) => answer(invocation, words),
        _ => Err(Stop::code(WRONG, "missing `]'")),
    }
}

fn answer(invocation: &Invocation<'_>, words: &[&str]) -> Outcome {
    let expression = Expression { cwd: invocation.cwd, env: invocation.env, words, at: 0, depth: 0 };
    expression.whole().map(|holds| i32::from(!holds))
}

struct Expression<'e> {
    cwd: &'e Path,
    env: &'e BTreeMap<String, String>,
    words: &'e [&'e str],
    at: usize,
    depth: usize,
}

impl<'e> Expression<'e> {
    /// POSIX says what up to four words mean; more are read by precedence.
    fn whole(mut self) -> Result<bool, Stop> {
        match self.words {
            [] => Ok(false),
            [word] => Ok(!word.is_empty()),
            ["!", rest @ ..] if rest.len() < 4 => Expression { words: rest, ..self }.whole().map(|holds| !holds),
            [left, operator, right] if is_binary(operator) => self.binary(left, operator, right),
            ["(", word, ")"] => Ok(!word.is_empty()),
            [operator, operand] if is_unary(operator) => Ok(self.unary(operator, operand)),
            [operator, _] => Err(Stop::code(WRONG, format!("{operator}: unary operator expected"))),
            [_, operator, _] if !matches!(*operator, "-a" | "-o") => {
                Err(Stop::code(WRONG, format!("{operator}: binary operator expected")))
            }
            _ => {
                let holds = self.either()?;
                match self.words.get(self.at) {
                    None => Ok(holds),
                    Some(_) => Err(Stop::code(WRONG, "too many arguments")),
                }
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<&'e str> {
        self.words.get(self.at + ahead).copied()
    }

    fn either(&mut self) -> Result<bool, Stop> {
        let mut holds = self.both()?;
        while self.peek(0) == Some("-o") {
            self.at += 1;
            holds |= self.both()?;
        }
        Ok(holds)
    }

    fn both(&mut self) -> Result<bool, Stop> {
        let mut holds = self.not()?;
        while self.peek(0) == Some("-a") {
            self.at += 1;
            holds &= self.not()?;
        }
        Ok(holds)
    }

    fn not(&mut self) -> Result<bool, Stop> {
        let mut turned = false;
        while self.peek(0) == Some("!") && self.peek(1).is_some() {
            self.at += 1;
            turned = !turned;
        }
        self.one().map(|holds| holds != turned)
    }

    fn one(&mut self) -> Result<bool, Stop> {
        let missing = || Stop::code(WRONG, "argument expected");
        let first = self.peek(0).ok_or_else(missing)?;
        if let (Some(operator), Some(right)) = (self.peek(1).filter(|word| is_binary(word)), self.peek(2)) {
            self.at += 3;
            return self.binary(first, operator, right);
        }
        if first == "(" {
            return self.bracketed();
        }
        if let Some(operand) = self.peek(1).filter(|_| is_unary(first)) {
            self.at += 2;
            return Ok(self.unary(first, operand));
        }
        self.at += 1;
        Ok(!first.is_empty())
    }

    fn bracketed(&mut self) -> Result<bool, Stop> {
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Stop::code(WRONG, "brackets are nested too deeply"));
        }
        let holds = self.either()?;
        self.depth -= 1;
        if self.peek(0) != Some(")") {
            return Err(Stop::code(WRONG, "`)' expected"));
        }
        self.at += 1;
        Ok(holds)
    }

    fn unary(&self, operator: &str, operand: &str) -> bool {
        let path = self.cwd.join(operand);
        let is = |check: fn(&Metadata) -> bool| !operand.is_empty() && path.metadata().is_ok_and(|found| check(&found));
        match operator {
            "-n" => !operand.is_empty(),
            "-z" => operand.is_empty(),
            "-v" => self.env.contains_key(operand),
            "-L" | "-h" => path.symlink_metadata().is_ok_and(|found| found.is_symlink()),
            "-f" => is(Metadata::is_file),
            "-d" => is(Metadata::is_dir),
            "-s" => is(|found| found.len() > 0),
            "-e" | "-r" | "-O" | "-G" | "-a" => is(|_| true),
            "-w" => is(|found| !found.permissions().readonly()),
            "-x" => !operand.is_empty() && facts::is_executable(&path),
            // There are no terminals, pipes, sockets, devices or marked modes in the sandbox.
            _ => false,
        }
    }

    fn binary(&self, left: &str, operator: &str, right: &str) -> Result<bool, Stop> {
        match operator {
            "=" | "==" => return Ok(left == right),
            "!=" => return Ok(left != right),
            "<" => return Ok(left < right),
            ">" => return Ok(left > right),
            "-a" => return Ok(!left.is_empty() && !right.is_empty()),
            "-o" => return Ok(!left.is_empty() || !right.is_empty()),
            "-nt" | "-ot" | "-ef" => return Ok(self.files(left, operator, right)),
            _ => {}
        }
        let order = integer(left)?.cmp(&integer(right)?);
        Ok(match operator {
            "-eq" => order == Ordering::Equal,
            "-ne" => order != Ordering::Equal,
            "-lt" => order == Ordering::Less,
            "-le" => order != Ordering::Greater,
            "-gt" => order == Ordering::Greater,
            _ => order != Ordering::Less,
        })
    }

    fn files(&self, left: &str, operator: &str, right: &str) -> bool {
        let (left, right) = (self.cwd.join(left), self.cwd.join(right));
        if operator == "-ef" {
            return facts::is_same(&left, &right);
        }
        let changed = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
        let (newer, older) = if operator == "-nt" { (left, right) } else { (right, left) };
        match (changed(&newer), changed(&older)) {
            (Some(newer), Some(older)) => newer > older,
            (Some(_), None) => true,
            _ => false,
        }
    }
}

fn is_unary(word: &str) -> bool {
    let mut letters = word.strip_prefix('-').unwrap_or_default().chars();
    letters.next().is_some_and(|letter| "abcdefghknoprstuvwxzGLNOS".contains(letter)) && letters.next().is_none()
}

fn is_binary(word: &str) -> bool {
    ["=", "==", "!=", "<", ">", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt", "-ot", "-ef"].contains(&word)
}

fn integer(word: &str) -> Result<i64, Stop> {
    word.trim().parse().map_err(|_| Stop::code(WRONG, format!("{word}: integer expression expected")))
}
