//! Records and fields.

use std::io::BufRead;

use crate::input;
use crate::pattern::Pattern;
use crate::report::Stop;

/// What ends a record.
#[derive(Clone)]
pub(super) enum RecordEnd {
    Byte(u8),
    /// Blank lines.
    Paragraph,
    Matching(Pattern),
}

impl RecordEnd {
    pub(super) fn of(text: &[u8]) -> Result<Self, Stop> {
        match text {
            [] => Ok(Self::Paragraph),
            [byte] => Ok(Self::Byte(*byte)),
            pattern => Ok(Self::Matching(super::parse::pattern(&String::from_utf8_lossy(pattern))?)),
        }
    }
}

/// What is left of an input whose records end with a pattern: that one must be seen whole.
#[derive(Default)]
pub(super) struct Rest {
    text: Vec<u8>,
    at: usize,
    filled: bool,
}

/// Reads one record without its end; none at the end of the input.
pub(super) fn read(reader: &mut dyn BufRead, end: &RecordEnd, rest: &mut Rest) -> Result<Option<Vec<u8>>, Stop> {
    match end {
        RecordEnd::Byte(byte) => {
            let mut record = Vec::new();
            Ok(input::bare_record(reader, *byte, &mut record)?.then_some(record))
        }
        RecordEnd::Paragraph => paragraph(reader),
        RecordEnd::Matching(pattern) => {
            if !rest.filled {
                rest.filled = true;
                reader.read_to_end(&mut rest.text).map_err(Stop::Read)?;
            }
            Ok(rest.next(pattern))
        }
    }
}

impl Rest {
    fn next(&mut self, pattern: &Pattern) -> Option<Vec<u8>> {
        if self.at >= self.text.len() {
            return None;
        }
        let found = pattern.find_at(&self.text, self.at).filter(|(from, to)| from < to);
        let (end, next) = found.unwrap_or_else(|| {
            let ended = self.text.ends_with(b"\n");
            (self.text.len() - usize::from(ended), self.text.len())
        });
        let record = self.text[self.at..end.max(self.at)].to_vec();
        self.at = next;
        Some(record)
    }
}

fn paragraph(reader: &mut dyn BufRead) -> Result<Option<Vec<u8>>, Stop> {
    let mut record: Option<Vec<u8>> = None;
    let mut line = Vec::new();
    while input::bare_record(reader, b'\n', &mut line)? {
        match (&mut record, line.is_empty()) {
            (None, true) => {}
            (None, false) => record = Some(std::mem::take(&mut line)),
            (Some(_), true) => break,
            (Some(record), false) => {
                record.push(b'\n');
                record.extend(&line);
            }
        }
    }
    Ok(record)
}

/// What stands between fields.
#[derive(Clone)]
pub(super) enum FieldEnd {
    Blanks,
    Byte(u8),
    /// Nothing: every character is a field.
    Characters,
    Matching(Pattern),
}

impl FieldEnd {
    pub(super) fn of(text: &[u8]) -> Result<Self, Stop> {
        match text {
            b" " => Ok(Self::Blanks),
            [] => Ok(Self::Characters),
            [byte] if *byte != b'\\' => Ok(Self::Byte(*byte)),
            pattern => Ok(Self::Matching(super::parse::pattern(&String::from_utf8_lossy(pattern))?)),
        }
    }

    /// Splits text; in a paragraph a newline separates too.
    pub(super) fn split(&self, text: &[u8], paragraph: bool) -> Vec<Vec<u8>> {
        if text.is_empty() {
            return Vec::new();
        }
        match self {
            Self::Blanks => {
                let parts = text.split(|byte| matches!(byte, b' ' | b'\t' | b'\n'));
                parts.filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect()
            }
            Self::Byte(separator) => {
                let ends = |byte: &u8| byte == separator || paragraph && *byte == b'\n';
                text.split(ends).map(<[u8]>::to_vec).collect()
            }
            Self::Characters => {
                let text = String::from_utf8_lossy(text);
                text.chars().map(|character| character.to_string().into_bytes()).collect()
            }
            Self::Matching(pattern) => {
                let lines: Vec<&[u8]> =
                    if paragraph { text.split(|byte| *byte == b'\n').collect() } else { vec![text] };
                lines.into_iter().flat_map(|line| split_by(pattern, line)).collect()
            }
        }
    }
}

fn split_by(pattern: &Pattern, text: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    while let Some((from, to)) = pattern.find_at(text, at) {
        if to == from {
            // What separates is something.
            at = to + 1;
            if at > text.len() {
                break;
            }
            continue;
        }
        parts.push(text[start..from].to_vec());
        (start, at) = (to, to);
    }
    parts.push(text[start..].to_vec());
    parts
}
