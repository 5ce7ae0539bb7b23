//! What a search found, as text.

use std::fmt::Write as _;

use kit::counted;

/// Longer lines are cut here.
const LINE_LIMIT_CHARS: usize = 500;
/// The search ends when the text is this long: the runtime caps results, and context may multiply matches.
const TEXT_LIMIT_BYTES: usize = 256 * 1024;

/// What was found so far.
#[derive(Default)]
pub struct Report {
    /// The lines for the model.
    pub text: String,
    /// Matching lines, or files where only those are wanted.
    pub matches: usize,
    /// Files that were searched to their end, or to the limit.
    pub searched: usize,
    /// Files and directories that could not be read.
    pub unreadable: usize,
    /// Whether the limit ended the search.
    pub stopped: bool,
    files: usize,
    last_file: String,
    only_files: bool,
}

/// A state of a report to go back to.
pub struct Mark {
    text: usize,
    matches: usize,
    files: usize,
}

impl Report {
    /// Returns whether nothing more fits.
    pub fn is_full(&self, limit: usize) -> bool {
        self.matches >= limit || self.text.len() >= TEXT_LIMIT_BYTES
    }

    /// Adds a line of `path`; `mark` is `:` for a match and `-` for context.
    pub fn line(&mut self, path: &str, mark: char, number: Option<u64>, bytes: &[u8]) {
        let line = String::from_utf8_lossy(bytes);
        let line = line.trim_end_matches(['\n', '\r']);
        let cut = line.char_indices().nth(LINE_LIMIT_CHARS).map_or(line.len(), |(index, _)| index);
        let ending = if cut < line.len() { " … (line cut)" } else { "" };
        let number = number.unwrap_or_default();
        writeln!(self.text, "{path}{mark}{number}{mark} {}{ending}", &line[..cut]).expect("writing to a string");
        if mark == ':' {
            self.matches += 1;
            self.count_file(path);
        }
    }

    /// Adds a file that matches.
    pub fn file(&mut self, path: &str) {
        writeln!(self.text, "{path}").expect("writing to a string");
        self.only_files = true;
        self.matches += 1;
        self.count_file(path);
    }

    /// Parts two groups of lines.
    pub fn gap(&mut self) {
        self.text.push_str("--\n");
    }

    /// Returns the state to which [`Report::undo`] goes back.
    pub fn mark(&self) -> Mark {
        Mark { text: self.text.len(), matches: self.matches, files: self.files }
    }

    /// Forgets what was added since `mark`.
    pub fn undo(&mut self, mark: &Mark) {
        self.text.truncate(mark.text);
        self.matches = mark.matches;
        self.files = mark.files;
    }

    /// Returns what the lines do not say, after a newline; empty when they say it all.
    pub fn notes(&self) -> String {
        let mut notes = String::new();
        if self.stopped {
            let what = if self.only_files { "files" } else { "matching lines" };
            let found = self.matches;
            write!(notes, "\n(stopped at {found} {what}; narrow `pattern`, `path` or `glob`, or raise `limit`)")
                .expect("writing to a string");
        }
        if self.unreadable > 0 {
            write!(notes, "\n({} could not be read)", counted(self.unreadable, "place")).expect("writing to a string");
        }
        notes
    }

    /// Returns the line for a person.
    pub fn summary(&self) -> String {
        let files = counted(self.files, "file");
        match self.matches {
            0 => format!("no match in {}", counted(self.searched, "file")),
            _ if self.only_files => files,
            1 => format!("1 match in {files}"),
            count => format!("{count} matches in {files}"),
        }
    }

    fn count_file(&mut self, path: &str) {
        if self.last_file != path {
            self.files += 1;
            path.clone_into(&mut self.last_file);
        }
    }
}
