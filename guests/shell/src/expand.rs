//! Expansion: from a word as it is written to the words that it stands for.

use brush_parser::ast::Word;
use brush_parser::word::{TildeExpr, WordPiece, WordPieceWithSource};

use crate::fields::{self, Field, Part};
use crate::parse::Quoting;
use crate::pattern::Pattern;
use crate::quote::ansi_c;
use crate::shell::Shell;
use crate::stop::{Run, Stop};
use crate::streams::CAPTURE_BYTES;
use crate::{braces, glob};

/// Substitutions, functions and sourced files inside each other: the interpreter calls itself for each, and the stack
/// is finite.
pub const MAX_DEPTH: u32 = 50;

impl Shell {
    /// Returns the words that `words` stand for.
    pub fn words<'a>(&mut self, words: impl IntoIterator<Item = &'a Word>) -> Run<Vec<String>> {
        let mut expanded = Vec::new();
        for word in words {
            self.word(&word.value, &mut expanded)?;
        }
        Ok(expanded)
    }

    /// Adds the words that `word` stands for to `into`.
    pub fn word(&mut self, word: &str, into: &mut Vec<String>) -> Run<()> {
        if is_plain(word) {
            into.push(word.to_owned());
            return Ok(());
        }
        for word in braces::expand(word) {
            let parts = self.parts(&word, Quoting::Word)?;
            for field in fields::split(&parts, &self.separators()) {
                self.names(field, into)?;
            }
        }
        Ok(())
    }

    /// Adds the names that `field` matches, or itself.
    fn names(&mut self, field: Field, into: &mut Vec<String>) -> Run<()> {
        if !field.is_wild || self.is_set("noglob") {
            into.push(field.text);
            return Ok(());
        }
        let found = glob::names(&self.state.cwd, &field.pattern, &self.state.options);
        if !found.is_empty() {
            into.extend(found);
        } else if self.is_set("failglob") && glob::is_wild(&field.pattern) {
            self.complain(format!("no match: {}", field.text));
            return Err(Stop::Abort);
        } else if !(self.is_set("nullglob") && glob::is_wild(&field.pattern)) {
            into.push(field.text);
        }
        Ok(())
    }

    /// Returns `word` as one text: neither split nor matched against names.
    pub fn single(&mut self, word: &str) -> Run<String> {
        self.joined(word, Quoting::Word)
    }

    /// Returns the value of an assignment.
    pub fn value(&mut self, word: &str) -> Run<String> {
        self.joined(word, Quoting::Assignment)
    }

    /// Returns a here-document, or what stands in double quotes.
    pub fn document(&mut self, text: &str) -> Run<String> {
        self.joined(text, Quoting::Document)
    }

    /// Returns an arithmetic expression, expanded; its double quotes mean nothing.
    pub fn expression(&mut self, text: &str) -> Run<String> {
        self.document(text).map(|text| text.replace('"', ""))
    }

    fn joined(&mut self, word: &str, quoting: Quoting) -> Run<String> {
        if is_plain(word) {
            return Ok(word.to_owned());
        }
        let parts = self.parts(word, quoting)?;
        Ok(fields::join(&parts, " "))
    }

    /// Returns `word` as a pattern.
    pub fn pattern(&mut self, word: &str) -> Run<Pattern> {
        let parts = self.parts(word, Quoting::Word)?;
        Ok(Pattern::parse(&fields::pattern(&parts)).folding(self.is_set("nocasematch")))
    }

    /// Returns what the expansions of `word` leave.
    pub fn parts(&mut self, word: &str, quoting: Quoting) -> Run<Vec<Part>> {
        let pieces = self.parsed.word(word, quoting);
        let pieces = pieces.map_err(|error| {
            self.complain(&error);
            Stop::Abort
        })?;
        let mut parts = Vec::new();
        for piece in pieces.iter() {
            self.piece(&piece.piece, quoting == Quoting::Document, &mut parts)?;
        }
        Ok(parts)
    }

    fn piece(&mut self, piece: &WordPiece, quoted: bool, parts: &mut Vec<Part>) -> Run<()> {
        let expanded = match piece {
            WordPiece::Text(text) if quoted => Part::Quoted(text.clone()),
            WordPiece::Text(text) => Part::Bare(text.clone()),
            WordPiece::SingleQuotedText(text) => Part::Quoted(text.clone()),
            WordPiece::AnsiCQuotedText(text) => Part::Quoted(ansi_c(text)),
            WordPiece::EscapeSequence(text) => Part::Quoted(unescaped(text)),
            WordPiece::DoubleQuotedSequence(pieces) | WordPiece::GettextDoubleQuotedSequence(pieces) => {
                return self.double_quoted(pieces, parts);
            }
            WordPiece::TildeExpansion(tilde) => Part::Quoted(self.tilde(tilde)),
            WordPiece::ParameterExpansion(expression) => return self.parameter(expression, quoted, parts),
            WordPiece::CommandSubstitution(text) => result(self.substitute(text)?, quoted),
            WordPiece::BackquotedCommandSubstitution(text) => result(self.substitute(&unbackquoted(text))?, quoted),
            WordPiece::ArithmeticExpression(expression) => {
                let text = self.expression(&expression.value)?;
                result(self.arithmetic(&text)?.to_string(), quoted)
            }
        };
        parts.push(expanded);
        Ok(())
    }

    /// Quoted text is a word even when it is empty, unless all that it holds is a `$@` of nothing.
    fn double_quoted(&mut self, pieces: &[WordPieceWithSource], parts: &mut Vec<Part>) -> Run<()> {
        let before = parts.len();
        for piece in pieces {
            self.piece(&piece.piece, true, parts)?;
        }
        if parts.len() == before && pieces.is_empty() {
            parts.push(Part::Quoted(String::new()));
        }
        Ok(())
    }

    fn tilde(&mut self, tilde: &TildeExpr) -> String {
        match tilde {
            TildeExpr::Home => self.text("HOME").unwrap_or_else(|| "~".to_owned()),
            TildeExpr::UserHome(user) => format!("~{user}"),
            TildeExpr::WorkingDir => self.state.cwd.display().to_string(),
            TildeExpr::OldWorkingDir => self.text("OLDPWD").unwrap_or_else(|| "~-".to_owned()),
            TildeExpr::NthDirFromTopOfDirStack { n, plus_used } => format!("~{}{n}", if *plus_used { "+" } else { "" }),
            TildeExpr::NthDirFromBottomOfDirStack { n } => format!("~-{n}"),
        }
    }

    /// Returns what the script `text` prints in a subshell, without the newlines at its end.
    pub fn substitute(&mut self, text: &str) -> Run<String> {
        self.deeper()?;
        let quiet = !self.is_set("inherit_errexit");
        // `$(<file)` is the file's content.
        let is_file = text.trim_start().strip_prefix('<').is_some_and(|rest| !rest.starts_with(['<', '(', '&']));
        let reading = if is_file { format!("cat {text}") } else { String::new() };
        let text = if is_file { &reading } else { text };
        let (bytes, status) = self.capture(CAPTURE_BYTES, |shell| {
            shell.subshell(|shell| {
                if quiet {
                    shell.state.options.remove("errexit");
                }
                shell.script(text)
            })
        });
        self.depth -= 1;
        self.substituted = Some(status);
        self.status = status;
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.trim_end_matches('\n').replace('\0', ""))
    }

    /// Counts one level more of what the interpreter calls itself for.
    pub fn deeper(&mut self) -> Run<()> {
        if self.depth >= MAX_DEPTH {
            self.complain(format!("functions and substitutions nest deeper than {MAX_DEPTH}"));
            return Err(Stop::Exit(1));
        }
        self.depth += 1;
        Ok(())
    }
}

/// Tells whether a word is nothing but itself.
fn is_plain(word: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./,:=%+@".contains(&byte);
    !word.is_empty() && word.bytes().all(plain)
}

fn result(text: String, quoted: bool) -> Part {
    if quoted { Part::Quoted(text) } else { Part::Split(text) }
}

/// Returns what `\x` stands for; an escaped newline is nothing.
fn unescaped(text: &str) -> String {
    match text.strip_prefix('\\') {
        Some("\n") => String::new(),
        Some(rest) => rest.to_owned(),
        None => text.to_owned(),
    }
}

/// Returns the script within backquotes: a backslash there escapes `$`, `` ` `` and itself.
fn unbackquoted(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match chars.peek() {
            Some(next) if char == '\\' && "$`\\".contains(*next) => plain.extend(chars.next()),
            _ => plain.push(char),
        }
    }
    plain
}
