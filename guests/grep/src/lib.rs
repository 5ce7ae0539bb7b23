//! `grep`: lines that match a regular expression.

mod report;
mod search;

use std::fs;
use std::path::Path;

use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use kit::{Failure, Output, Tool, display, locate, refuse};
use report::Report;
use search::Question;
use serde::Deserialize;
use walk::Pattern;

/// Matches returned when the call does not say how many.
const DEFAULT_LIMIT: usize = 100;

struct Grep;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    pattern: String,
    path: Option<String>,
    glob: Option<String>,
    #[serde(default)]
    context: usize,
    #[serde(default)]
    case_insensitive: bool,
    limit: Option<usize>,
    #[serde(default)]
    files_only: bool,
}

impl Tool for Grep {
    const NAME: &'static str = "grep";
    const DESCRIPTION: &'static str = "Searches the lines of files for a regular expression. Matches are \
        `path:line: text`, context lines `path-line- text`. Binary files, and files that .gitignore leaves out unless \
        `path` names them, are not searched; hidden files are.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Arguments = Arguments;

    fn call(arguments: Arguments) -> Result<Output, Failure> {
        let path = arguments.path.as_deref().unwrap_or(".");
        let place = locate(path);
        let question = Question {
            matcher: matcher(&arguments.pattern, arguments.case_insensitive)?,
            glob: arguments.glob.as_deref().map(Pattern::new).transpose()?,
            context: arguments.context,
            limit: arguments.limit.unwrap_or(DEFAULT_LIMIT),
            files_only: arguments.files_only,
        };
        fs::metadata(&place).map_err(|error| refuse("searched", path, &error))?;
        let report = search::search(Path::new(&place), &question);
        Ok(answer(&arguments.pattern, display(path), &report))
    }
}

kit::export!(Grep);

fn matcher(pattern: &str, case_insensitive: bool) -> Result<RegexMatcher, Failure> {
    RegexMatcherBuilder::new()
        .case_insensitive(case_insensitive)
        .line_terminator(Some(b'\n'))
        .build(pattern)
        .map_err(|error| Failure::rejected(format!("`pattern` is no regular expression that works here: {error}")))
}

fn answer(pattern: &str, path: &str, report: &Report) -> Output {
    let text = if report.matches == 0 {
        format!("(no match for `{pattern}` in {path}){}", report.notes())
    } else {
        format!("{}{}", report.text, report.notes())
    };
    Output { text, summary: report.summary() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_pattern_is_rejected_with_the_parsers_words() {
        let Err(Failure::Rejected(reason)) = matcher("a(", false) else { panic!("accepted") };
        assert!(reason.contains("unclosed group"), "{reason}");
        let Err(Failure::Rejected(reason)) = matcher("a\nb", false) else { panic!("accepted") };
        assert!(reason.contains("\\n"), "{reason}");
    }
}
