//! Server-sent events (WHATWG HTML § 9.2.6), reduced to their data, decoded within bounds.

use std::collections::VecDeque;

use crate::limits::{MAX_EVENT_BYTES, MAX_STREAM_BYTES};

/// A stream that is not decoded further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SseError {
    #[error("an event is larger than {MAX_EVENT_BYTES} bytes")]
    EventTooLarge,
    #[error("the stream is longer than {MAX_STREAM_BYTES} bytes")]
    StreamTooLong,
    #[error("the stream is not UTF-8")]
    NotUtf8,
}

/// Turns bytes into the data of events, whatever the chunks they come in.
#[derive(Debug, Default)]
pub(crate) struct SseDecoder {
    line: Vec<u8>,
    data: Option<String>,
    /// The last byte was a CR: an LF that follows belongs to it.
    after_cr: bool,
    taken_bytes: usize,
    lines: u64,
    ready: VecDeque<String>,
}

impl SseDecoder {
    /// Takes the next bytes.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<(), SseError> {
        self.taken_bytes = self.taken_bytes.saturating_add(chunk.len());
        if self.taken_bytes > MAX_STREAM_BYTES {
            return Err(SseError::StreamTooLong);
        }
        let mut rest = chunk;
        while !rest.is_empty() {
            rest = self.push_line(rest)?;
        }
        Ok(())
    }

    /// Returns the data of the next complete event.
    pub(crate) fn next(&mut self) -> Option<String> {
        self.ready.pop_front()
    }

    /// Returns how many lines were complete: the measure of progress.
    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    /// Takes bytes up to the end of a line and returns the rest.
    fn push_line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], SseError> {
        if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
            return Ok(&bytes[1..]);
        }
        let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let part = &bytes[..end.unwrap_or(bytes.len())];
        if self.line.len() + part.len() + self.data.as_ref().map_or(0, String::len) > MAX_EVENT_BYTES {
            return Err(SseError::EventTooLarge);
        }
        self.line.extend_from_slice(part);
        let Some(end) = end else { return Ok(&[]) };
        self.after_cr = bytes[end] == b'\r';
        self.end_line()?;
        Ok(&bytes[end + 1..])
    }

    fn end_line(&mut self) -> Result<(), SseError> {
        self.lines += 1;
        let line = std::str::from_utf8(&self.line).map_err(|_| SseError::NotUtf8)?;
        let mark = if self.lines == 1 { "\u{feff}" } else { "" };
        let line = line.strip_prefix(mark).unwrap_or(line);
        if line.is_empty() {
            self.ready.extend(self.data.take());
        } else if let Some(value) = data_of(line) {
            match &mut self.data {
                Some(data) => data.extend(["\n", value]),
                None => self.data = Some(value.to_owned()),
            }
        }
        self.line.clear();
        Ok(())
    }
}

/// Returns the value of a `data` line. Comments and every other field (`event`, `id`, `retry`) say nothing we need: each
/// of the wires names the event inside its data too.
fn data_of(line: &str) -> Option<&str> {
    let (field, value) = line.split_once(':').unwrap_or((line, ""));
    (field == "data").then(|| value.strip_prefix(' ').unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(chunks: &[&[u8]]) -> Result<Vec<String>, SseError> {
        let mut decoder = SseDecoder::default();
        for chunk in chunks {
            decoder.push(chunk)?;
        }
        Ok(std::iter::from_fn(|| decoder.next()).collect())
    }

    #[test]
    fn every_line_ending_and_field_of_the_standard_is_read() {
        let text =
            "\u{feff}event: a\ndata: one\n\n: comment\r\ndata:two\r\ndata: three\r\n\r\ndata\r\rid: 7\ndata:  x\n\n";
        assert_eq!(decode(&[text.as_bytes()]).unwrap(), ["one", "two\nthree", "", " x"]);
    }

    #[test]
    fn an_event_without_its_empty_line_is_not_dispatched() {
        assert_eq!(decode(&[b"data: a\n\ndata: b\n"]).unwrap(), ["a"]);
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_is_held() {
        let mut decoder = SseDecoder::default();
        let chunk = vec![b'x'; 1 << 20];
        let refused = (0..64).find_map(|at| decoder.push(&chunk).err().map(|error| (at, error)));
        assert_eq!(refused, Some((8, SseError::EventTooLarge)));
        assert!(decoder.line.len() <= MAX_EVENT_BYTES);
    }

    #[test]
    fn many_data_lines_of_one_event_are_one_event() {
        let mut decoder = SseDecoder::default();
        let line = [b"data: ".as_slice(), &vec![b'x'; 1 << 20], b"\n"].concat();
        assert!((0..64).any(|_| decoder.push(&line) == Err(SseError::EventTooLarge)));
    }

    #[test]
    fn an_endless_stream_ends() {
        let mut decoder = SseDecoder::default();
        let comments = [b":".as_slice(), &[b'x'; (1 << 10) - 2], b"\n"].concat().repeat(1 << 10);
        assert!((0..=64).any(|_| decoder.push(&comments) == Err(SseError::StreamTooLong)));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        assert_eq!(decode(&[b"data: \xff\n\n"]), Err(SseError::NotUtf8));
    }

    proptest! {
        #[test]
        fn chunk_boundaries_mean_nothing(cuts in prop::collection::vec(0..60_usize, 0..8)) {
            let text = "data: h\u{e9}llo\r\n\r\ndata: \u{1f980}\ndata: b\n\n: c\r\rdata: last\r\r".as_bytes();
            let mut at: Vec<usize> = cuts.into_iter().map(|cut| cut % text.len()).chain([0, text.len()]).collect();
            at.sort_unstable();
            let chunks: Vec<&[u8]> = at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(decode(&chunks), decode(&[text]));
        }
    }
}
