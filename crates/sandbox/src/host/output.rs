//! What a guest prints and returns, counted together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use protocol::StopCause;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::halt::Halt;

/// Bytes that a guest may hand over in one write.
const CHUNK_BYTES: usize = 64 << 10;

/// The printed bytes of one call, shared by its standard output and error.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    limit_bytes: u64,
    printed: Arc<Mutex<Vec<u8>>>,
}

impl Output {
    pub(crate) fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, printed: Arc::default() }
    }

    /// Returns the bytes of everything printed and of `returned`, or the halt when that is over the limit.
    pub(crate) fn total(&self, returned: usize) -> Result<u64, Halt> {
        let total = (self.lock().len() + returned) as u64;
        if total > self.limit_bytes { Err(Halt::Limit(StopCause::Output)) } else { Ok(total) }
    }

    /// Returns what was printed; text that is not UTF-8 is replaced character by character.
    pub(crate) fn printed(&self) -> String {
        String::from_utf8_lossy(&self.lock()).into_owned()
    }

    /// Returns the bytes printed.
    pub(crate) fn printed_bytes(&self) -> u64 {
        self.lock().len() as u64
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.total(bytes.len()).map_err(|halt| StreamError::Trap(halt.into()))?;
        self.lock().extend_from_slice(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_streams_share_one_limit() {
        let output = Output::new(4);
        let (mut out, mut error) = (output.clone(), output.clone());
        out.write(Bytes::from_static(b"abc")).unwrap();
        let refused = error.write(Bytes::from_static(b"de")).unwrap_err();
        let StreamError::Trap(cause) = refused else { panic!("{refused:?}") };
        assert_eq!(cause.downcast_ref(), Some(&Halt::Limit(StopCause::Output)));
        assert_eq!((output.printed(), output.total(1)), ("abc".to_owned(), Ok(4)));
        assert_eq!(output.total(2), Err(Halt::Limit(StopCause::Output)));
    }
}
