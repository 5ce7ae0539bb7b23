//! Regular expressions of POSIX, basic and extended with GNU's additions, on top of the regex crates.
//!
//! A search without alternation and back-references is the linear one; the others are searched for the longest match
//! by the backtracking one, which gives up after a limit. What has no match for the linear one is never tried there.

mod translate;

use fancy_regex::BytesMode;
use regex::bytes::{Regex, RegexBuilder};

use crate::report::Stop;

pub(crate) use translate::{Dialect, Syntax};

/// Steps of one backtracking search: some tenths of a second.
const MAX_STEPS: usize = 1_000_000;
/// Bytes of one compiled pattern.
const MAX_SIZE: usize = 16 << 20;

/// A start and an end.
pub(crate) type Span = (usize, usize);

#[derive(Clone)]
pub(crate) struct Pattern {
    /// None where there are back-references.
    linear: Option<Regex>,
    /// Where the longest match may not be the first.
    longest: Option<Box<fancy_regex::Regex>>,
    groups: usize,
}

impl Pattern {
    pub(crate) fn new(source: &str, dialect: Dialect) -> Result<Self, Stop> {
        let translated = translate::translate(source, dialect)?;
        let wrong = || Stop::code(2, "Invalid regular expression");
        let linear = if translated.back_references {
            None
        } else {
            let mut builder = RegexBuilder::new(&translated.text);
            builder.case_insensitive(dialect.ignore_case).multi_line(dialect.lines).dot_matches_new_line(true);
            Some(builder.size_limit(MAX_SIZE).build().map_err(|_| wrong())?)
        };
        let longest = if translated.back_references || translated.alternation {
            let mut builder = fancy_regex::RegexBuilder::new(&translated.text);
            builder.case_insensitive(dialect.ignore_case).multi_line(dialect.lines).dot_matches_new_line(true);
            builder.bytes_mode(BytesMode::UnicodeBytes).backtrack_limit(MAX_STEPS).leftmost_longest(true);
            Some(Box::new(builder.build().map_err(|_| wrong())?))
        } else {
            None
        };
        Ok(Self { linear, longest, groups: translated.groups })
    }

    pub(crate) fn basic(source: &str, ignore_case: bool) -> Result<Self, Stop> {
        Self::new(source, Dialect { ignore_case, ..Dialect::of(Syntax::Basic) })
    }

    /// Returns how many groups the pattern has.
    pub(crate) fn groups(&self) -> usize {
        self.groups
    }

    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        match &self.linear {
            Some(linear) => linear.is_match(text),
            None => self.find_at(text, 0).is_some(),
        }
    }

    /// Returns the leftmost match that starts at `start` or later, and what is before it counts for `^` and words.
    pub(crate) fn find_at(&self, text: &[u8], start: usize) -> Option<Span> {
        let first = match &self.linear {
            Some(linear) => Some(linear.find_at(text, start)?),
            None => None,
        };
        let span = first.map(|found| (found.start(), found.end()));
        match &self.longest {
            // A search that gave up still has the first match.
            Some(longest) => match longest.find_from_pos(text, span.map_or(start, |(from, _)| from)) {
                Ok(found) => found.map(|found| (found.start(), found.end())),
                Err(_) => span,
            },
            None => span,
        }
    }

    /// Returns the match that [`Self::find_at`] finds, and its groups.
    pub(crate) fn groups_at(&self, text: &[u8], start: usize) -> Option<Vec<Option<Span>>> {
        if let Some(linear) = &self.linear
            && !linear.is_match_at(text, start)
        {
            return None;
        }
        if let Some(longest) = &self.longest
            && let Ok(found) = longest.captures_from_pos(text, start)
        {
            let found = found?;
            return Some((0..=self.groups).map(|at| found.get(at).map(|group| (group.start(), group.end()))).collect());
        }
        let found = self.linear.as_ref()?.captures_at(text, start)?;
        Some((0..=self.groups).map(|at| found.get(at).map(|group| (group.start(), group.end()))).collect())
    }
}
