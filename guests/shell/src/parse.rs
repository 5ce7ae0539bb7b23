//! Parsing, which `brush-parser` does, and what was parsed before.

use crate::stop::Complaint;
use std::collections::HashMap;
use std::rc::Rc;

use brush_parser::ast::Program;
use brush_parser::word::{self, WordPieceWithSource};
use brush_parser::{Parser, ParserOptions};

/// Texts that are kept parsed. A loop parses the same few again and again; beyond this many all are forgotten.
const MAX_KEPT: usize = 1024;

/// Brackets that are open at the same time: the parser calls itself for each, and the stack is finite.
const MAX_NESTING: usize = 40;

/// What was parsed before. Shared by all subshells.
#[derive(Default)]
pub struct Parsed {
    programs: HashMap<String, Rc<Source>>,
    words: HashMap<(String, Quoting), Rc<Vec<WordPieceWithSource>>>,
}

/// How a word's quotes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quoting {
    /// As everywhere.
    Word,
    /// A scalar's value, where `~` also counts behind `:`.
    Assignment,
    /// In a here-document or double quotes: quotes are characters.
    Document,
}

/// A script with its text, which functions are cut from when they are kept.
pub struct Source {
    pub text: String,
    pub program: Program,
}

impl Default for Source {
    fn default() -> Self {
        Self { text: String::new(), program: Program { complete_commands: Vec::new() } }
    }
}

fn options() -> ParserOptions {
    ParserOptions::default()
}

impl Parsed {
    /// Returns the program of `text`, or what is wrong with it.
    pub fn program(&mut self, text: &str) -> Result<Rc<Source>, Complaint> {
        if let Some(source) = self.programs.get(text) {
            return Ok(source.clone());
        }
        let source = Rc::new(Source { text: text.to_owned(), program: program(text)? });
        make_room(&mut self.programs);
        self.programs.insert(text.to_owned(), source.clone());
        Ok(source)
    }

    /// Returns the pieces of `text`, a word as it is written.
    pub fn word(&mut self, text: &str, quoting: Quoting) -> Result<Rc<Vec<WordPieceWithSource>>, Complaint> {
        let key = (text.to_owned(), quoting);
        if let Some(pieces) = self.words.get(&key) {
            return Ok(pieces.clone());
        }
        check_nesting(text)?;
        let pieces = match quoting {
            Quoting::Word => word::parse(text, &options()),
            Quoting::Assignment => word::parse(text, &ParserOptions { tilde_expansion_after_colon: true, ..options() }),
            Quoting::Document => word::parse_heredoc(text, &options()),
        };
        let pieces = Rc::new(pieces.map_err(|_| Complaint(format!("{text}: bad substitution")))?);
        make_room(&mut self.words);
        self.words.insert(key, pieces.clone());
        Ok(pieces)
    }
}

fn make_room<K, V>(kept: &mut HashMap<K, V>) {
    if kept.len() >= MAX_KEPT {
        kept.clear();
    }
}

fn program(text: &str) -> Result<Program, Complaint> {
    check_nesting(text)?;
    let parse = |text: &str| Parser::new(text.as_bytes(), &options()).parse_program();
    parse(text).map_err(|error| Complaint(error.to_string())).or_else(|error| {
        // The parser takes the `;;` of an endless loop for the end of a `case` branch.
        let spaced = text.replace("((;;))", "(( ; ; ))");
        if spaced == text { Err(error) } else { parse(&spaced).map_err(|_| error) }
    })
}

/// Refuses a text whose brackets nest deeper than the parser's stack allows.
fn check_nesting(text: &str) -> Result<(), Complaint> {
    let mut depth = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'(' | b'{' => depth += 1,
            b')' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            return Err(Complaint(format!("syntax error: brackets nest deeper than {MAX_NESTING}")));
        }
    }
    Ok(())
}
