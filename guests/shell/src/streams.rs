//! Streams: what file descriptors lead to. All of them live in this process.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufWriter, Cursor, ErrorKind, Read, Write};
use std::rc::Rc;

/// Bytes that one stage of a pipeline may hand to the next. Stages run one after the other, so that this much waits in
/// memory; a writer that goes on beyond it is told that nobody reads, which ends `yes | head`.
pub const PIPE_BYTES: usize = 8 << 20;

/// Bytes that a command substitution may capture.
pub const CAPTURE_BYTES: usize = 16 << 20;

/// A shared reader, so that a loop and the commands in it go on where the other stopped.
#[derive(Clone)]
pub struct Source(Rc<RefCell<Box<dyn BufRead>>>);

impl Source {
    pub fn new(reader: impl BufRead + 'static) -> Self {
        Self(Rc::new(RefCell::new(Box::new(reader))))
    }

    pub fn empty() -> Self {
        Self::new(io::empty())
    }

    /// Takes the reader out for one command; [`Self::put_back`] returns it.
    pub fn take(&self) -> Box<dyn BufRead> {
        self.0.replace(Box::new(io::empty()))
    }

    pub fn put_back(&self, reader: Box<dyn BufRead>) {
        self.0.replace(reader);
    }
}

/// Where a sink's bytes go.
enum Target {
    Null,
    Memory { bytes: Vec<u8>, most: usize },
    File(BufWriter<File>),
}

/// A shared writer.
#[derive(Clone)]
pub struct Sink {
    target: Rc<RefCell<Target>>,
    /// Set once a write was refused because nobody reads.
    broken: Rc<Cell<bool>>,
}

impl Sink {
    fn new(target: Target) -> Self {
        Self { target: Rc::new(RefCell::new(target)), broken: Rc::default() }
    }

    pub fn null() -> Self {
        Self::new(Target::Null)
    }

    /// Returns a sink that keeps up to `most` bytes.
    pub fn memory(most: usize) -> Self {
        Self::new(Target::Memory { bytes: Vec::new(), most })
    }

    pub fn file(file: File) -> Self {
        Self::new(Target::File(BufWriter::new(file)))
    }

    /// Tells whether a writer was told that nobody reads.
    pub fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// Takes the bytes that were kept.
    pub fn take_bytes(&self) -> Vec<u8> {
        match &mut *self.target.borrow_mut() {
            Target::Memory { bytes, .. } => std::mem::take(bytes),
            Target::Null | Target::File(_) => Vec::new(),
        }
    }

    /// Returns a reader of what was written. Where the writer was cut off, the end is an error instead of an end.
    pub fn into_source(self) -> Source {
        let cut = self.is_broken();
        Source::new(Pipe { bytes: Cursor::new(self.take_bytes()), cut })
    }
}

impl Write for Sink {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match &mut *self.target.borrow_mut() {
            Target::Null => Ok(buffer.len()),
            Target::File(file) => file.write(buffer),
            Target::Memory { bytes, most } => {
                let room = most.saturating_sub(bytes.len()).min(buffer.len());
                if room == 0 && !buffer.is_empty() {
                    self.broken.set(true);
                    return Err(ErrorKind::BrokenPipe.into());
                }
                bytes.extend_from_slice(&buffer[..room]);
                Ok(room)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut *self.target.borrow_mut() {
            Target::File(file) => file.flush(),
            Target::Null | Target::Memory { .. } => Ok(()),
        }
    }
}

/// What a stage of a pipeline wrote, for the next one.
struct Pipe {
    bytes: Cursor<Vec<u8>>,
    cut: bool,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Pipe {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let is_empty = self.bytes.fill_buf()?.is_empty();
        if is_empty && self.cut {
            // An end here would let a reader take a part for the whole.
            return Err(io::Error::other(format!("a pipe holds at most {PIPE_BYTES} bytes")));
        }
        self.bytes.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.bytes.consume(amount);
    }
}

/// What a closed descriptor reads.
struct Closed;

impl Read for Closed {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("Bad file descriptor"))
    }
}

impl BufRead for Closed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Err(io::Error::other("Bad file descriptor"))
    }

    fn consume(&mut self, _: usize) {}
}

/// What one descriptor leads to.
#[derive(Clone, Default)]
pub struct Handle {
    pub source: Option<Source>,
    pub sink: Option<Sink>,
}

/// Open descriptors.
#[derive(Clone)]
pub struct Descriptors(BTreeMap<i32, Handle>);

impl Descriptors {
    /// Returns the three standard streams.
    pub fn new(stdin: Source, stdout: Sink, stderr: Sink) -> Self {
        let output = |sink| Handle { source: None, sink: Some(sink) };
        let input = Handle { source: Some(stdin), sink: None };
        Self(BTreeMap::from([(0, input), (1, output(stdout)), (2, output(stderr))]))
    }

    pub fn get(&self, descriptor: i32) -> Option<&Handle> {
        self.0.get(&descriptor)
    }

    pub fn set(&mut self, descriptor: i32, handle: Handle) {
        self.0.insert(descriptor, handle);
    }

    pub fn close(&mut self, descriptor: i32) {
        self.0.remove(&descriptor);
    }

    pub fn set_source(&mut self, descriptor: i32, source: Source) {
        self.set(descriptor, Handle { source: Some(source), sink: None });
    }

    pub fn set_sink(&mut self, descriptor: i32, sink: Sink) {
        self.set(descriptor, Handle { source: None, sink: Some(sink) });
    }

    /// Returns the reader of `descriptor`; reading a closed one fails.
    pub fn source(&self, descriptor: i32) -> Source {
        self.get(descriptor).and_then(|handle| handle.source.clone()).unwrap_or_else(|| Source::new(Closed))
    }

    /// Returns the writer of `descriptor`; a closed one takes nothing in.
    pub fn sink(&self, descriptor: i32) -> Sink {
        self.get(descriptor).and_then(|handle| handle.sink.clone()).unwrap_or_else(Sink::null)
    }

    /// Writes out what buffers hold, so that the next command sees it in the files.
    pub fn flush(&self) {
        for sink in self.0.values().filter_map(|handle| handle.sink.as_ref()) {
            // A failed write shows when the file is next written or read.
            let _ = sink.clone().flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(source: &Source) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        let ended = source.take().read_to_end(&mut bytes).is_ok();
        (bytes, ended)
    }

    #[test]
    fn a_pipe_takes_so_much_and_its_cut_end_is_an_error() {
        let mut sink = Sink::memory(4);
        assert_eq!(sink.write_all(b"123456").unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert!(sink.is_broken());
        assert_eq!(read_all(&sink.into_source()), (b"1234".to_vec(), false));
    }

    #[test]
    fn a_pipe_that_was_not_cut_ends() {
        let mut sink = Sink::memory(4);
        sink.write_all(b"1234").unwrap();
        assert_eq!(read_all(&sink.into_source()), (b"1234".to_vec(), true));
    }

    #[test]
    fn a_reader_goes_on_where_the_last_one_stopped() {
        let source = Source::new(Cursor::new(b"a\nb\n".to_vec()));
        let mut line = String::new();
        let mut reader = source.take();
        reader.read_line(&mut line).unwrap();
        source.put_back(reader);
        assert_eq!(read_all(&source), (b"b\n".to_vec(), true));
    }

    #[test]
    fn a_closed_descriptor_cannot_be_read() {
        let mut open = Descriptors::new(Source::empty(), Sink::null(), Sink::null());
        open.close(0);
        assert_eq!(read_all(&open.source(0)), (Vec::new(), false));
    }
}
