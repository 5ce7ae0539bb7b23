//! Files as byte streams, always ready: the work is done in the call that asks for it.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::Slot;
use super::convert::FileError;

/// Bytes that one host call moves at most: the host allocates them, and no other guest runs meanwhile on this thread.
const CHUNK_BYTES: usize = 256 << 10;

/// Returns `length` cut to one chunk.
pub(super) fn chunk(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX).min(CHUNK_BYTES)
}

/// Largest offset that a file has (POSIX `off_t`).
const MAX_OFFSET: u64 = i64::MAX.cast_unsigned();

/// Refuses what would end beyond the largest file there can be, before any quota is asked.
pub(super) fn fits(offset: u64, length: usize) -> Result<(), stage::StageError> {
    let end = offset.checked_add(length as u64).filter(|end| *end <= MAX_OFFSET);
    end.map(drop).ok_or(stage::StageError::FileTooLarge)
}

/// Reads a file forward.
pub(super) struct Reader {
    file: stage::File,
    _slot: Arc<Slot>,
    position: u64,
}

impl Reader {
    pub(super) fn new(file: stage::File, slot: Arc<Slot>, position: u64) -> Self {
        Self { file, _slot: slot, position }
    }
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {}
}

#[async_trait]
impl InputStream for Reader {
    fn read(&mut self, length: usize) -> StreamResult<Bytes> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        let bytes = self.file.read_at(self.position, length.min(CHUNK_BYTES)).map_err(stream_error)?;
        if bytes.is_empty() {
            return Err(StreamError::Closed);
        }
        self.position += bytes.len() as u64;
        Ok(bytes.into())
    }
}

/// Writes a file forward, or at its end.
pub(super) struct Writer {
    file: stage::File,
    _slot: Arc<Slot>,
    /// `None` appends.
    position: Option<u64>,
}

impl Writer {
    pub(super) fn new(file: stage::File, slot: Arc<Slot>, position: Option<u64>) -> Self {
        Self { file, _slot: slot, position }
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        match &mut self.position {
            Some(position) => {
                fits(*position, bytes.len()).map_err(stream_error)?;
                self.file.write_at(*position, &bytes).map_err(stream_error)?;
                *position += bytes.len() as u64;
            }
            None => self.file.append(&bytes).map_err(stream_error)?,
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK_BYTES)
    }
}

/// Returns the stream's error: a reached limit ends the call, anything else is the guest's to read.
fn stream_error(error: stage::StageError) -> StreamError {
    match FileError::from(error.clone()) {
        FileError::Halt(halt) => StreamError::Trap(halt),
        FileError::Code(_) => StreamError::LastOperationFailed(error.into()),
    }
}
