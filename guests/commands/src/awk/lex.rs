//! A program's text to tokens.

use crate::escape::{self, Escape, Octal};
use crate::format::leading_float;
use crate::report::Stop;

use super::FAILED;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Number(f64),
    Text(Vec<u8>),
    Regex(String),
    Name(String),
    /// A name with a bracket right behind it.
    Called(String),
    Sign(&'static str),
    Newline,
    End,
}

/// Longer signs come first.
const SIGNS: [&str; 46] = [
    "**=", "&&", "||", "++", "--", "+=", "-=", "*=", "/=", "%=", "^=", "**", "==", "<=", ">=", "!=", ">>", "!~", "{",
    "}", "(", ")", "[", "]", ";", ",", "+", "-", "*", "/", "%", "^", "!", "<", ">", "|", "?", ":", "~", "$", "=", "&",
    "#", "@", "'", "`",
];

pub(super) fn tokens(text: &str) -> Result<Vec<(Token, usize)>, Stop> {
    let mut lexer = Lexer { text: text.as_bytes(), at: 0, line: 1, tokens: Vec::new() };
    lexer.all()?;
    Ok(lexer.tokens)
}

struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
    line: usize,
    tokens: Vec<(Token, usize)>,
}

pub(super) fn wrong(line: usize, what: &str) -> Stop {
    Stop::code(FAILED, format!("line {line}: {what}"))
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn push(&mut self, token: Token) {
        self.tokens.push((token, self.line));
    }

    fn all(&mut self) -> Result<(), Stop> {
        while self.at < self.text.len() {
            self.one()?;
        }
        self.push(Token::Newline);
        self.push(Token::End);
        Ok(())
    }

    fn one(&mut self) -> Result<(), Stop> {
        match self.peek(0) {
            b' ' | b'\t' | b'\r' => self.at += 1,
            b'\n' => {
                self.push(Token::Newline);
                self.line += 1;
                self.at += 1;
            }
            b'\\' if self.peek(1) == b'\n' => {
                self.line += 1;
                self.at += 2;
            }
            b'\\' if self.peek(1) == b'\r' && self.peek(2) == b'\n' => {
                self.line += 1;
                self.at += 3;
            }
            b'#' => {
                while self.at < self.text.len() && self.peek(0) != b'\n' {
                    self.at += 1;
                }
            }
            b'"' => self.text()?,
            b'/' if self.may_be_regex() => self.regex()?,
            b'0'..=b'9' => self.number(),
            b'.' if self.peek(1).is_ascii_digit() => self.number(),
            byte if byte.is_ascii_alphabetic() || byte == b'_' => self.name(),
            _ => self.sign()?,
        }
        Ok(())
    }

    /// After an operand a slash divides.
    fn may_be_regex(&self) -> bool {
        match self.tokens.last().map(|(token, _)| token) {
            Some(Token::Number(_) | Token::Text(_) | Token::Regex(_) | Token::Called(_)) => false,
            Some(Token::Name(name)) => {
                ["print", "printf", "return", "case", "in", "else", "do", "getline"].contains(&name.as_str())
            }
            Some(Token::Sign(sign)) => ![")", "]", "$", "++", "--"].contains(sign),
            _ => true,
        }
    }

    fn number(&mut self) {
        let rest = &self.text[self.at..];
        let is_hex = rest.len() > 2 && rest[0] == b'0' && matches!(rest[1], b'x' | b'X') && rest[2].is_ascii_hexdigit();
        if is_hex {
            let digits: String =
                rest[2..].iter().take_while(|byte| byte.is_ascii_hexdigit()).map(|byte| char::from(*byte)).collect();
            let number = digits
                .chars()
                .filter_map(|digit| digit.to_digit(16))
                .fold(0.0, |sum, digit| sum * 16.0 + f64::from(digit));
            self.at += 2 + digits.len();
            self.push(Token::Number(number));
            return;
        }
        let (number, length) = leading_float(rest);
        self.at += length;
        self.push(Token::Number(number));
    }

    fn name(&mut self) {
        let start = self.at;
        while self.peek(0).is_ascii_alphanumeric() || self.peek(0) == b'_' {
            self.at += 1;
        }
        let name = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
        let token = if self.peek(0) == b'(' { Token::Called(name) } else { Token::Name(name) };
        self.push(token);
    }

    fn sign(&mut self) -> Result<(), Stop> {
        let rest = &self.text[self.at..];
        let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign.as_bytes()));
        let sign = sign.filter(|sign| !["&", "#", "@", "'", "`"].contains(sign));
        let sign = sign.ok_or_else(|| wrong(self.line, &format!("syntax error near {}", char::from(rest[0]))))?;
        self.at += sign.len();
        self.push(Token::Sign(match sign {
            "**" => "^",
            "**=" => "^=",
            sign => sign,
        }));
        Ok(())
    }

    fn text(&mut self) -> Result<(), Stop> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            match self.peek(0) {
                0 | b'\n' => return Err(wrong(self.line, "runaway string constant")),
                b'"' => break,
                b'\\' => self.escaped(&mut text),
                byte => {
                    text.push(byte);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        self.push(Token::Text(text));
        Ok(())
    }

    fn escaped(&mut self, text: &mut Vec<u8>) {
        self.at += 1;
        match self.peek(0) {
            b'\n' => {
                self.at += 1;
                self.line += 1;
                return;
            }
            b'/' => {
                text.push(b'/');
                self.at += 1;
                return;
            }
            b'c' | b'e' | b'u' | b'U' => {}
            _ => {
                let (escape, length) = escape::read(&self.text[self.at..], Octal::Plain);
                if escape != Escape::None {
                    escape::push(&escape, text);
                    self.at += length;
                    return;
                }
            }
        }
        // An unknown escape keeps its backslash, so that patterns in strings need no second one.
        text.push(b'\\');
        text.push(self.peek(0));
        self.at += 1;
    }

    fn regex(&mut self) -> Result<(), Stop> {
        self.at += 1;
        let mut source = Vec::new();
        let mut in_bracket = false;
        loop {
            let byte = self.peek(0);
            match byte {
                0 | b'\n' => return Err(wrong(self.line, "runaway regular expression")),
                b'/' if !in_bracket => break,
                b'[' if !in_bracket => {
                    in_bracket = true;
                    source.push(byte);
                    // A bracket that closes at once stands for itself.
                    for first in [b'^', b']'] {
                        if self.peek(1) == first {
                            source.push(first);
                            self.at += 1;
                        }
                    }
                }
                b']' => {
                    in_bracket = false;
                    source.push(byte);
                }
                b'\\' if self.peek(1) == b'/' => {
                    source.push(b'/');
                    self.at += 1;
                }
                b'\\' => {
                    source.extend([b'\\', self.peek(1)]);
                    self.at += 1;
                }
                byte => source.push(byte),
            }
            self.at += 1;
        }
        self.at += 1;
        self.push(Token::Regex(String::from_utf8_lossy(&source).into_owned()));
        Ok(())
    }
}
