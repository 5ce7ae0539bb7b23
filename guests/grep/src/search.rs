//! Runs a search over files, one after another.

use std::fs::File;
use std::io;
use std::path::Path;

use grep_regex::RegexMatcher;
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkContext, SinkFinish, SinkMatch};
use kit::display;
use walk::Pattern;

use crate::report::Report;

/// A line longer than this ends the search of its file: a guest's memory is limited.
const LINE_LIMIT_BYTES: usize = 8 * 1024 * 1024;

/// What is searched for.
pub struct Question {
    /// The expression.
    pub matcher: RegexMatcher,
    /// Which files are searched; all without one.
    pub glob: Option<Pattern>,
    /// Lines shown around each match.
    pub context: usize,
    /// Matches, or files, after which the search ends.
    pub limit: usize,
    /// Whether only the paths of files are wanted.
    pub files_only: bool,
}

/// Returns what is found beneath `place`.
pub fn search(place: &Path, question: &Question) -> Report {
    let mut report = Report::default();
    let mut searcher = searcher(question);
    for file in walk::files(place) {
        let Some(file) = file else {
            report.unreadable += 1;
            continue;
        };
        if question.glob.as_ref().is_some_and(|glob| !glob.matches(&file.relative)) {
            continue;
        }
        one(&file.path, question, &mut searcher, &mut report);
        if report.is_full(question.limit) {
            report.stopped = true;
            break;
        }
    }
    report
}

fn searcher(question: &Question) -> Searcher {
    let context = if question.files_only { 0 } else { question.context };
    SearcherBuilder::new()
        .binary_detection(BinaryDetection::quit(0))
        .heap_limit(Some(LINE_LIMIT_BYTES))
        .before_context(context)
        .after_context(context)
        .line_number(true)
        .build()
}

fn one(path: &Path, question: &Question, searcher: &mut Searcher, report: &mut Report) {
    // A link may lead to a directory, or out of the workspace; what it names inside is searched under its own name.
    if path.is_symlink() {
        return;
    }
    let shown = path.to_string_lossy();
    let before = report.mark();
    let mut lines = Lines { path: display(&shown), question, report, is_binary: false };
    let result = File::open(path).and_then(|file| searcher.search_reader(&question.matcher, file, &mut lines));
    let is_binary = lines.is_binary;
    if is_binary {
        report.undo(&before);
    }
    match result {
        Ok(()) => report.searched += 1,
        Err(_) => report.unreadable += 1,
    }
}

/// Takes the matches of one file.
struct Lines<'a> {
    path: &'a str,
    question: &'a Question,
    report: &'a mut Report,
    is_binary: bool,
}

impl Sink for Lines<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        if self.question.files_only {
            self.report.file(self.path);
            return Ok(false);
        }
        if self.report.is_full(self.question.limit) {
            return Ok(false);
        }
        self.report.line(self.path, ':', found.line_number(), found.bytes());
        Ok(self.question.context > 0 || !self.report.is_full(self.question.limit))
    }

    fn context(&mut self, _: &Searcher, found: &SinkContext<'_>) -> io::Result<bool> {
        self.report.line(self.path, '-', found.line_number(), found.bytes());
        Ok(true)
    }

    fn context_break(&mut self, _: &Searcher) -> io::Result<bool> {
        if self.report.is_full(self.question.limit) {
            return Ok(false);
        }
        self.report.gap();
        Ok(true)
    }

    fn finish(&mut self, _: &Searcher, finish: &SinkFinish) -> io::Result<()> {
        self.is_binary = finish.binary_byte_offset().is_some();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn question(pattern: &str) -> Question {
        let matcher = crate::matcher(pattern, false).unwrap();
        Question { matcher, glob: None, context: 0, limit: 100, files_only: false }
    }

    fn found(files: &[(&str, &str)], question: &Question) -> (String, Report) {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let report = search(folder.path(), question);
        let root = format!("{}/", folder.path().display());
        (report.text.replace(&root, ""), report)
    }

    #[test]
    fn matches_are_shown_by_path_and_line() {
        let (text, report) = found(&[("b.txt", "x\nfoo\n"), ("a.txt", "foo")], &question("fo+"));
        assert_eq!(text, "a.txt:1: foo\nb.txt:2: foo\n");
        assert_eq!(report.summary(), "2 matches in 2 files");
    }

    #[test]
    fn context_is_marked_and_groups_are_parted() {
        let question = Question { context: 1, ..question("x") };
        let (text, _) = found(&[("a", "1\nx\n3\n4\n5\nx\n7\n")], &question);
        assert_eq!(text, "a-1- 1\na:2: x\na-3- 3\n--\na-5- 5\na:6: x\na-7- 7\n");
    }

    #[test]
    fn a_search_stops_at_its_limit() {
        let files = [("a", "x\nx\nx\nafter\n"), ("b", "x\n")];
        let (text, report) = found(&files, &Question { limit: 2, ..question("x") });
        assert_eq!((text.as_str(), report.matches, report.stopped), ("a:1: x\na:2: x\n", 2, true));
        let (text, report) = found(&files, &Question { limit: 3, context: 1, ..question("x") });
        assert_eq!((text.as_str(), report.matches), ("a:1: x\na:2: x\na:3: x\na-4- after\n", 3));
        let apart = [("a", "x\n1\n2\n3\nx\n")];
        assert_eq!(found(&apart, &Question { limit: 1, context: 1, ..question("x") }).0, "a:1: x\na-2- 1\n");
    }

    #[test]
    fn binary_and_ignored_files_are_left_out() {
        let files = [(".gitignore", "out\n"), ("out", "x"), ("binary", "x\n\0"), ("text", "x")];
        assert_eq!(found(&files, &question("x")).0, "text:1: x\n");
    }

    #[test]
    fn files_can_be_chosen_and_only_named() {
        let files = [("a.rs", "x\nx\n"), ("b.md", "x"), ("c/d.rs", "x")];
        let glob = Some(Pattern::new("*.rs").unwrap());
        let (text, report) = found(&files, &Question { glob, files_only: true, ..question("x") });
        assert_eq!((text.as_str(), report.summary().as_str()), ("a.rs\nc/d.rs\n", "2 files"));
    }

    #[test]
    fn the_whole_answer_is_bounded() {
        let long = format!("x{}\n", "é".repeat(5000)).repeat(900);
        let (text, report) = found(&[("a", &long)], &Question { limit: 1000, ..question("x") });
        assert!(text.len() < 300 * 1024 && report.stopped, "{} {}", text.len(), report.matches);
    }
}
