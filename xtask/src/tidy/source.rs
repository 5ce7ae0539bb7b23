//! A Rust file seen as lines of code, lines of comment, and lines that are only for tests.
//!
//! It reads tokens, not syntax: what it concludes from indentation holds because `cargo fmt --check` holds.

/// One line of a Rust file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// The line without comments, and with empty literals.
    pub(super) code: String,
    /// What its comments say.
    pub(super) comment: String,
    /// In a test file, or in an item under `#[cfg(test)]`.
    pub(super) test: bool,
}

/// Returns the lines of `text`. `all_tests` says whether all of them are for tests.
pub(super) fn read(text: &str, all_tests: bool) -> Vec<Line> {
    let mut lines = Lexer::new(text).split();
    mark_tests(&mut lines);
    for line in &mut lines {
        line.test |= all_tests;
    }
    lines
}

/// Returns whether a file holds only tests, judging by its path.
pub(super) fn is_test_file(path: &str) -> bool {
    let mut folders = path.split('/').rev();
    let name = folders.next().unwrap_or_default();
    name == "tests.rs" || folders.any(|folder| matches!(folder, "tests" | "benches"))
}

/// Marks what stands under `#[cfg(test)]`, to the end of the item.
fn mark_tests(lines: &mut [Line]) {
    let mut index = 0;
    while index < lines.len() {
        if lines[index].code.trim() != "#[cfg(test)]" {
            index += 1;
            continue;
        }
        let indent = indent(&lines[index].code);
        let ends = |line: &Line| self::indent(&line.code) == indent && ends_item(&line.code);
        let length = lines[index..].iter().position(ends).map_or(lines.len() - index, |last| last + 1);
        lines[index..index + length].iter_mut().for_each(|line| line.test = true);
        index += length;
    }
}

fn ends_item(code: &str) -> bool {
    code.trim_end().ends_with(['}', ';'])
}

/// Returns how far a line is indented.
pub(super) fn indent(code: &str) -> usize {
    code.len() - code.trim_start().len()
}

/// What the lexer is inside of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Code,
    LineComment,
    /// With its nesting.
    BlockComment(u32),
    /// A string or a character, up to this quote, with escapes.
    Quoted(char),
    /// A raw string, up to a quote and this many `#`.
    Raw(usize),
}

struct Lexer {
    characters: Vec<char>,
    position: usize,
    inside: Inside,
    lines: Vec<Line>,
    line: Line,
}

impl Lexer {
    fn new(text: &str) -> Self {
        let characters = text.chars().collect();
        Self { characters, position: 0, inside: Inside::Code, lines: Vec::new(), line: Line::default() }
    }

    fn split(mut self) -> Vec<Line> {
        while let Some(character) = self.at(0) {
            match character {
                '\n' => self.end_line(),
                _ => self.step(character),
            }
        }
        if self.line != Line::default() {
            self.end_line();
        }
        self.lines
    }

    fn at(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.position + ahead).copied()
    }

    fn end_line(&mut self) {
        if self.inside == Inside::LineComment {
            self.inside = Inside::Code;
        }
        self.lines.push(std::mem::take(&mut self.line));
        self.position += 1;
    }

    fn step(&mut self, character: char) {
        match self.inside {
            Inside::Code => self.step_code(character),
            Inside::LineComment => self.comment(1),
            Inside::BlockComment(depth) => self.step_block_comment(character, depth),
            Inside::Quoted(quote) => self.step_quoted(character, quote),
            Inside::Raw(hashes) => self.step_raw(character, hashes),
        }
    }

    fn step_code(&mut self, character: char) {
        match (character, self.at(1)) {
            ('/', Some('/')) => self.open_comment(Inside::LineComment),
            ('/', Some('*')) => self.open_comment(Inside::BlockComment(1)),
            ('"', _) => self.open_literal(Inside::Quoted('"')),
            ('r', _) if self.raw_string().is_some() => self.open_raw(),
            ('\'', next) if next == Some('\\') || self.at(2) == Some('\'') => self.open_literal(Inside::Quoted('\'')),
            _ => self.code(1),
        }
    }

    /// Returns how many `#` open the raw string that starts here, if one does.
    fn raw_string(&self) -> Option<usize> {
        let before = self.position.checked_sub(1).map(|before| self.characters[before]);
        let in_word =
            before.is_some_and(|before| before.is_alphanumeric() && !matches!(before, 'b' | 'c') || before == '_');
        if in_word || self.at(0) != Some('r') {
            return None;
        }
        let hashes = self.characters[self.position + 1..].iter().take_while(|next| **next == '#').count();
        (self.at(hashes + 1) == Some('"')).then_some(hashes)
    }

    fn step_block_comment(&mut self, character: char, depth: u32) {
        match (character, self.at(1)) {
            ('/', Some('*')) => self.open_comment(Inside::BlockComment(depth + 1)),
            ('*', Some('/')) => {
                self.inside = if depth == 1 { Inside::Code } else { Inside::BlockComment(depth - 1) };
                self.comment(2);
            }
            _ => self.comment(1),
        }
    }

    fn step_quoted(&mut self, character: char, quote: char) {
        if character == quote {
            self.inside = Inside::Code;
            return self.code(1);
        }
        // An escaped line break still ends the line.
        let escapes = character == '\\' && self.at(1) != Some('\n');
        self.position += if escapes { 2 } else { 1 };
    }

    fn step_raw(&mut self, character: char, hashes: usize) {
        if character == '"' && (1..=hashes).all(|ahead| self.at(ahead) == Some('#')) {
            self.inside = Inside::Code;
            return self.code(hashes + 1);
        }
        self.position += 1;
    }

    fn open_comment(&mut self, inside: Inside) {
        self.inside = inside;
        self.comment(2);
    }

    fn open_literal(&mut self, inside: Inside) {
        self.inside = inside;
        self.code(1);
    }

    fn open_raw(&mut self) {
        let hashes = self.raw_string().expect("the caller saw it");
        self.inside = Inside::Raw(hashes);
        self.code(hashes + 2);
    }

    fn code(&mut self, count: usize) {
        let end = self.characters.len().min(self.position + count);
        self.line.code.extend(&self.characters[self.position..end]);
        self.position = end;
    }

    fn comment(&mut self, count: usize) {
        let end = self.characters.len().min(self.position + count);
        self.line.comment.extend(&self.characters[self.position..end]);
        self.position = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Vec<String> {
        read(text, false).into_iter().map(|line| line.code).collect()
    }

    fn comments(text: &str) -> Vec<String> {
        read(text, false).into_iter().map(|line| line.comment).collect()
    }

    #[test]
    fn comments_are_told_from_code() {
        let text = "let a = 1; // why /* not\n/* one /* two */\nthree */ let b = 2;\n";
        assert_eq!(code(text), ["let a = 1; ", "", " let b = 2;"]);
        assert_eq!(comments(text), ["// why /* not", "/* one /* two */", "three */"]);
    }

    #[test]
    fn literals_are_emptied() {
        let text = "f(\"a // \\\" b\", r#\"c \" d\"#, br\"e\", '\"', '\\'', b'/');\nlet s: &'a str = \"x\ny\";\n";
        assert_eq!(code(text), ["f(\"\", r#\"\"#, br\"\", '', '', b'');", "let s: &'a str = \"", "\";"]);
        assert_eq!(comments(text), ["", "", ""]);
    }

    #[test]
    fn names_that_end_in_r_open_no_raw_string() {
        assert_eq!(code("for\"a\""), ["for\"\""]);
        assert_eq!(code("r#type + bar"), ["r#type + bar"]);
    }

    #[test]
    fn items_under_cfg_test_are_marked_to_their_end() {
        let text =
            "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod more;\nfn d() {}\n";
        let marked: Vec<bool> = read(text, false).into_iter().map(|line| line.test).collect();
        assert_eq!(marked, [false, true, true, true, true, false, true, true, false]);
    }

    #[test]
    fn test_files_are_known_by_their_place() {
        assert!(is_test_file("crates/a/tests/run.rs"));
        assert!(is_test_file("crates/a/src/machine/tests.rs"));
        assert!(!is_test_file("crates/a/src/contest.rs"));
        assert!(!is_test_file("xtask/src/test.rs"));
    }
}
