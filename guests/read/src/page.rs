//! One page of a text, read without ever holding more than the page.

use std::fmt::Write as _;
use std::io::{self, BufRead};

/// Longer lines are cut here, in characters: minified files would fill the model's context.
const LINE_LIMIT_CHARS: usize = 2000;
/// Enough bytes for [`LINE_LIMIT_CHARS`] of the longest UTF-8, and the start of one more.
const LINE_LIMIT_BYTES: usize = LINE_LIMIT_CHARS * 4 + 4;
/// A page ends here even when lines are left: the runtime caps results, and this stays well within a guest's memory.
const PAGE_LIMIT_BYTES: usize = 256 * 1024;
/// Lines after the page are counted only in files up to this size: counting costs a full read.
const COUNT_LIMIT_BYTES: u64 = 8 * 1024 * 1024;
/// A NUL this early means that the file is no text.
const PROBE_BYTES: usize = 8 * 1024;

/// Which lines to show.
pub struct Range {
    /// The first line, from 1.
    pub offset: usize,
    /// How many lines.
    pub limit: usize,
}

/// The lines that were shown.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// Numbered lines, each with its newline.
    pub text: String,
    /// How many lines `text` holds.
    pub shown: usize,
    /// How many lines the whole file has, where that is known.
    pub total_lines: Option<usize>,
}

/// Why there is no page.
#[derive(Debug)]
pub enum PageError {
    /// The file could not be read.
    Io(io::Error),
    /// The file is no text; says how that shows.
    Binary(String),
}

impl From<io::Error> for PageError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Page {
    /// Returns the line that says what else the file holds, empty when all of it was shown.
    pub fn note(&self, range: &Range) -> String {
        let last = range.offset + self.shown - 1;
        match self.total_lines {
            Some(total) if range.offset == 1 && last == total => String::new(),
            Some(total) if last == total => format!("\n(lines {}-{last} of {total}; end of file)", range.offset),
            Some(total) => {
                format!("\n(lines {}-{last} of {total}; continue with offset {})", range.offset, last + 1)
            }
            None => format!("\n(lines {}-{last}; more lines follow, continue with offset {})", range.offset, last + 1),
        }
    }
}

/// Returns the page of `reader` that `range` names. `size_bytes` decides whether the rest is counted.
pub fn read(mut reader: impl BufRead, range: &Range, size_bytes: u64) -> Result<Page, PageError> {
    let mut seen = 0;
    let mut page = Page { text: String::new(), shown: 0, total_lines: None };
    let mut probed = 0;
    let mut line = Line::default();
    while page.shown < range.limit && page.text.len() < PAGE_LIMIT_BYTES {
        if !line.fill(&mut reader)? {
            page.total_lines = Some(seen);
            return Ok(page);
        }
        seen += 1;
        if probed < PROBE_BYTES && memchr::memchr(0, &line.kept).is_some() {
            return Err(PageError::Binary(format!("line {seen} has a NUL byte")));
        }
        probed += line.length;
        if seen >= range.offset {
            push(&mut page, seen, &line)?;
        } else if probed <= PROBE_BYTES {
            decode(seen, &line)?;
        }
    }
    page.total_lines = count_rest(&mut reader, seen, size_bytes)?;
    Ok(page)
}

/// A line as far as it is shown; filled again and again.
#[derive(Default)]
struct Line {
    kept: Vec<u8>,
    /// The whole line in bytes, without its ending.
    length: usize,
}

impl Line {
    /// Becomes the next line without its ending, keeping at most [`LINE_LIMIT_BYTES`] of it; false when there is none.
    fn fill(&mut self, reader: &mut impl BufRead) -> io::Result<bool> {
        self.kept.clear();
        self.length = 0;
        let mut any = false;
        loop {
            let buffer = reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(any);
            }
            any = true;
            let end = memchr::memchr(b'\n', buffer);
            let part = &buffer[..end.unwrap_or(buffer.len())];
            self.keep(part);
            let consumed = part.len() + usize::from(end.is_some());
            reader.consume(consumed);
            if end.is_some() {
                self.drop_return();
                return Ok(true);
            }
        }
    }

    fn keep(&mut self, part: &[u8]) {
        let room = LINE_LIMIT_BYTES - self.kept.len();
        self.kept.extend_from_slice(&part[..part.len().min(room)]);
        self.length += part.len();
    }

    fn drop_return(&mut self) {
        if self.length == self.kept.len() && self.kept.last() == Some(&b'\r') {
            self.kept.pop();
            self.length -= 1;
        }
    }
}

/// Returns the kept part of `line` as text, and refuses what is not UTF-8.
fn decode(number: usize, line: &Line) -> Result<&str, PageError> {
    let cut_short = line.length > line.kept.len();
    match std::str::from_utf8(&line.kept) {
        Ok(text) => Ok(text),
        // The cut may have split the last character.
        Err(error) if cut_short && error.error_len().is_none() => {
            Ok(std::str::from_utf8(&line.kept[..error.valid_up_to()]).expect("valid up to there"))
        }
        Err(_) => Err(PageError::Binary(format!("line {number} is not valid UTF-8"))),
    }
}

fn push(page: &mut Page, number: usize, line: &Line) -> Result<(), PageError> {
    let text = decode(number, line)?;
    let cut = end_of_shown(text);
    write!(page.text, "{number:6}\t").expect("writing to a string");
    page.text.push_str(&text[..cut]);
    if cut < line.length {
        write!(page.text, " … (line cut, {} bytes in all)", line.length).expect("writing to a string");
    }
    page.text.push('\n');
    page.shown += 1;
    Ok(())
}

/// Returns where the shown part of a line ends.
fn end_of_shown(text: &str) -> usize {
    // No more characters than bytes: most lines need no count.
    if text.len() <= LINE_LIMIT_CHARS {
        return text.len();
    }
    text.char_indices().nth(LINE_LIMIT_CHARS).map_or(text.len(), |(index, _)| index)
}

/// Returns how many lines there are in all, or `None` where counting would cost too much and lines are left.
fn count_rest(reader: &mut impl BufRead, seen: usize, size_bytes: u64) -> io::Result<Option<usize>> {
    let mut total = seen;
    let mut in_line = false;
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(Some(total + usize::from(in_line)));
        }
        if size_bytes > COUNT_LIMIT_BYTES {
            return Ok(None);
        }
        total += memchr::memchr_iter(b'\n', buffer).count();
        in_line = buffer.last() != Some(&b'\n');
        let consumed = buffer.len();
        reader.consume(consumed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str, offset: usize, limit: usize) -> Page {
        read(text.as_bytes(), &Range { offset, limit }, text.len() as u64).unwrap()
    }

    #[test]
    fn lines_are_numbered_from_one() {
        assert_eq!(
            page("a\nb\n", 1, 10),
            Page { text: "     1\ta\n     2\tb\n".into(), shown: 2, total_lines: Some(2) }
        );
    }

    #[test]
    fn a_page_starts_at_its_offset_and_counts_the_rest() {
        let shown = page("a\nb\nc\nd", 2, 2);
        assert_eq!(shown, Page { text: "     2\tb\n     3\tc\n".into(), shown: 2, total_lines: Some(4) });
        assert_eq!(shown.note(&Range { offset: 2, limit: 2 }), "\n(lines 2-3 of 4; continue with offset 4)");
    }

    #[test]
    fn the_whole_file_needs_no_note() {
        assert_eq!(page("a\nb", 1, 2).note(&Range { offset: 1, limit: 2 }), "");
    }

    #[test]
    fn line_endings_are_not_shown() {
        assert_eq!(page("a\r\nb\r\n", 1, 10).text, "     1\ta\n     2\tb\n");
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let shown = page(&"é".repeat(LINE_LIMIT_CHARS * 3), 1, 1);
        let expected = format!("     1\t{} … (line cut, {} bytes in all)\n", "é".repeat(2000), 12_000);
        assert_eq!(shown, Page { text: expected, shown: 1, total_lines: Some(1) });
    }

    #[test]
    fn a_page_stays_within_its_bytes() {
        let shown = page(&"x".repeat(1000).add_line().repeat(1000), 1, 1000);
        assert!(shown.text.len() < PAGE_LIMIT_BYTES + LINE_LIMIT_BYTES);
        assert_eq!(shown.total_lines, Some(1000));
    }

    #[test]
    fn a_nul_or_bad_utf8_is_binary() {
        let range = Range { offset: 1, limit: 10 };
        assert!(matches!(read(&b"a\0b"[..], &range, 3), Err(PageError::Binary(why)) if why == "line 1 has a NUL byte"));
        let error = read(&b"a\n\xff\n"[..], &range, 4);
        assert!(matches!(error, Err(PageError::Binary(why)) if why == "line 2 is not valid UTF-8"));
    }

    #[test]
    fn the_rest_of_a_large_file_is_neither_read_nor_counted() {
        struct Endless(usize);
        impl io::Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 += buffer.len();
                buffer.fill(b'\n');
                Ok(buffer.len())
            }
        }
        let mut source = Endless(0);
        let shown = read(io::BufReader::new(&mut source), &Range { offset: 1, limit: 10 }, 1 << 30).unwrap();
        assert_eq!((shown.shown, shown.total_lines), (10, None));
        assert!(source.0 <= 16 * 1024);
    }

    trait AddLine {
        fn add_line(self) -> String;
    }

    impl AddLine for String {
        fn add_line(mut self) -> String {
            self.push('\n');
            self
        }
    }
}
