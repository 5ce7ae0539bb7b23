//! `expr`.

use crate::Invocation;
use crate::pattern::{Dialect, Pattern, Syntax};
use crate::report::{Outcome, Stop};

/// Exit code of an expression that cannot be understood.
const WRONG: i32 = 2;
/// Deeper brackets than these are an attack on the stack.
const MAX_DEPTH: usize = 64;

pub(crate) fn expr(invocation: &mut Invocation<'_>) -> Outcome {
    let mut words: Vec<&str> = invocation.args.iter().skip(1).map(String::as_str).collect();
    if words.first() == Some(&"--") {
        words.remove(0);
    }
    if words.is_empty() {
        return Err(Stop::code(WRONG, "missing operand\nTry 'expr --help' for more information."));
    }
    let mut parser = Parser { words: &words, at: 0, depth: 0 };
    let value = parser.either()?;
    if let Some(word) = parser.peek() {
        return Err(Stop::code(WRONG, format!("syntax error: unexpected argument '{word}'")));
    }
    writeln!(invocation.stdout, "{value}")?;
    Ok(i32::from(is_null(&value)))
}

fn is_null(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    value.is_empty() || !digits.is_empty() && digits.bytes().all(|byte| byte == b'0')
}

struct Parser<'p> {
    words: &'p [&'p str],
    at: usize,
    depth: usize,
}

type Value = Result<String, Stop>;

impl<'p> Parser<'p> {
    fn peek(&self) -> Option<&'p str> {
        self.words.get(self.at).copied()
    }

    fn operator(&mut self, known: &[&str]) -> Option<&'p str> {
        let word = self.peek().filter(|word| known.contains(word))?;
        self.at += 1;
        Some(word)
    }

    fn either(&mut self) -> Value {
        let mut left = self.both()?;
        while self.operator(&["|"]).is_some() {
            let right = self.both()?;
            if is_null(&left) {
                left = if is_null(&right) { "0".to_owned() } else { right };
            }
        }
        Ok(left)
    }

    fn both(&mut self) -> Value {
        let mut left = self.comparison()?;
        while self.operator(&["&"]).is_some() {
            let right = self.comparison()?;
            if is_null(&left) || is_null(&right) {
                "0".clone_into(&mut left);
            }
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Value {
        let mut left = self.sum()?;
        while let Some(operator) = self.operator(&["=", "==", "!=", "<", "<=", ">", ">="]) {
            let right = self.sum()?;
            let order = match (left.parse::<i128>(), right.parse::<i128>()) {
                (Ok(left), Ok(right)) => left.cmp(&right),
                _ => left.cmp(&right),
            };
            let holds = match operator {
                "=" | "==" => order.is_eq(),
                "!=" => order.is_ne(),
                "<" => order.is_lt(),
                "<=" => order.is_le(),
                ">" => order.is_gt(),
                _ => order.is_ge(),
            };
            left = i32::from(holds).to_string();
        }
        Ok(left)
    }

    fn sum(&mut self) -> Value {
        let mut left = self.product()?;
        while let Some(operator) = self.operator(&["+", "-"]) {
            let (one, two) = (number(&left)?, number(&self.product()?)?);
            let result = if operator == "+" { one.checked_add(two) } else { one.checked_sub(two) };
            left = result.ok_or_else(out_of_range)?.to_string();
        }
        Ok(left)
    }

    fn product(&mut self) -> Value {
        let mut left = self.matching()?;
        while let Some(operator) = self.operator(&["*", "/", "%"]) {
            let (one, two) = (number(&left)?, number(&self.matching()?)?);
            if two == 0 && operator != "*" {
                return Err(Stop::code(WRONG, "division by zero"));
            }
            let result = match operator {
                "*" => one.checked_mul(two),
                "/" => one.checked_div(two),
                _ => one.checked_rem(two),
            };
            left = result.ok_or_else(out_of_range)?.to_string();
        }
        Ok(left)
    }

    fn matching(&mut self) -> Value {
        let mut left = self.primary()?;
        while self.operator(&[":"]).is_some() {
            let pattern = self.primary()?;
            left = matched(&left, &pattern)?;
        }
        Ok(left)
    }

    fn primary(&mut self) -> Value {
        let missing = |before: Option<&&str>| match before {
            Some(word) => Stop::code(WRONG, format!("syntax error: missing argument after '{word}'")),
            None => Stop::code(WRONG, "syntax error"),
        };
        let Some(word) = self.peek() else { return Err(missing(self.words.last())) };
        self.at += 1;
        match word {
            "(" => self.bracketed(),
            "+" if self.peek().is_some() => {
                self.at += 1;
                Ok(self.words[self.at - 1].to_owned())
            }
            "length" if self.peek().is_some() => Ok(self.primary()?.chars().count().to_string()),
            "match" if self.words.len() > self.at + 1 => {
                let (text, pattern) = (self.primary()?, self.primary()?);
                matched(&text, &pattern)
            }
            "index" if self.words.len() > self.at + 1 => {
                let (text, set) = (self.primary()?, self.primary()?);
                Ok(text.chars().position(|c| set.contains(c)).map_or(0, |at| at + 1).to_string())
            }
            "substr" if self.words.len() > self.at + 2 => {
                let (text, from, length) = (self.primary()?, self.primary()?, self.primary()?);
                let (Ok(from), Ok(length)) = (from.parse::<usize>(), length.parse::<usize>()) else {
                    return Ok(String::new());
                };
                let start = from.checked_sub(1);
                Ok(start.map(|start| text.chars().skip(start).take(length).collect()).unwrap_or_default())
            }
            ")" => Err(Stop::code(WRONG, "syntax error: unexpected ')'")),
            word => Ok(word.to_owned()),
        }
    }

    fn bracketed(&mut self) -> Value {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Stop::code(WRONG, "brackets are nested too deeply"));
        }
        let value = self.either()?;
        self.depth -= 1;
        match self.operator(&[")"]) {
            Some(_) => Ok(value),
            None => Err(Stop::code(WRONG, format!("syntax error: expecting ')' after '{}'", self.words[self.at - 1]))),
        }
    }
}

fn number(text: &str) -> Result<i128, Stop> {
    text.parse().map_err(|_| Stop::code(WRONG, "non-integer argument"))
}

fn out_of_range() -> Stop {
    Stop::code(WRONG, "the result is out of range")
}

/// Returns the first group of a match at the beginning, or its length.
fn matched(text: &str, pattern: &str) -> Value {
    let anchored = if pattern.starts_with('^') { pattern.to_owned() } else { format!("^{pattern}") };
    let pattern = Pattern::new(&anchored, Dialect::of(Syntax::Basic))?;
    let found = pattern.groups_at(text.as_bytes(), 0);
    Ok(match (pattern.groups(), found) {
        (0, Some(groups)) => groups[0].map_or(0, |(from, to)| text[from..to].chars().count()).to_string(),
        (0, None) => "0".to_owned(),
        (_, Some(groups)) => groups[1].map_or(String::new(), |(from, to)| text[from..to].to_owned()),
        (_, None) => String::new(),
    })
}
