//! What a guest prints and returns, counted together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use protocol::StopCause;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::halt::Halt;

/// Bytes that a guest may hand over in one write.
const CHUNK_BYTES: usize = 64 << 10;

/// Where a guest prints to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Standard,
    Errors,
}

/// The printed bytes of one call, both channels.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    limit_bytes: u64,
    printed: Arc<Mutex<Printed>>,
}

#[derive(Debug, Default)]
struct Printed {
    standard: Vec<u8>,
    errors: Vec<u8>,
}

impl Printed {
    fn bytes(&self) -> usize {
        self.standard.len() + self.errors.len()
    }

    fn of(&mut self, channel: Channel) -> &mut Vec<u8> {
        match channel {
            Channel::Standard => &mut self.standard,
            Channel::Errors => &mut self.errors,
        }
    }
}

impl Output {
    pub(crate) fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, printed: Arc::default() }
    }

    /// Returns the stream that a guest prints to `channel` with.
    pub(crate) fn stream(&self, channel: Channel) -> Printer {
        Printer { output: self.clone(), channel }
    }

    /// Returns the bytes of everything printed and of `returned`, or the halt when that is over the limit.
    pub(crate) fn total(&self, returned: usize) -> Result<u64, Halt> {
        let total = (self.lock().bytes() + returned) as u64;
        if total > self.limit_bytes { Err(Halt::Limit(StopCause::Output)) } else { Ok(total) }
    }

    /// Returns what was printed to `channel`; what is not UTF-8 is replaced character by character.
    pub(crate) fn text(&self, channel: Channel) -> String {
        String::from_utf8_lossy(self.lock().of(channel)).into_owned()
    }

    /// Returns what was printed: standard output, then standard error.
    pub(crate) fn printed(&self) -> String {
        self.text(Channel::Standard) + &self.text(Channel::Errors)
    }

    /// Returns the bytes printed.
    pub(crate) fn printed_bytes(&self) -> u64 {
        self.lock().bytes() as u64
    }

    fn lock(&self) -> MutexGuard<'_, Printed> {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One channel as a guest holds it.
#[derive(Debug)]
pub(crate) struct Printer {
    output: Output,
    channel: Channel,
}

#[async_trait]
impl Pollable for Printer {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Printer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.output.total(bytes.len()).map_err(|halt| StreamError::Trap(halt.into()))?;
        self.output.lock().of(self.channel).extend_from_slice(&bytes);
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
        let (mut out, mut errors) = (output.stream(Channel::Standard), output.stream(Channel::Errors));
        out.write(Bytes::from_static(b"abc")).unwrap();
        let refused = errors.write(Bytes::from_static(b"de")).unwrap_err();
        let StreamError::Trap(cause) = refused else { panic!("{refused:?}") };
        assert_eq!(cause.downcast_ref(), Some(&Halt::Limit(StopCause::Output)));
        assert_eq!((output.printed(), output.total(1)), ("abc".to_owned(), Ok(4)));
        assert_eq!(output.total(2), Err(Halt::Limit(StopCause::Output)));
    }

    #[test]
    fn each_channel_is_told_apart() {
        let output = Output::new(9);
        for (channel, text) in [(Channel::Errors, "e1"), (Channel::Standard, "o"), (Channel::Errors, "e2")] {
            output.stream(channel).write(Bytes::from_static(text.as_bytes())).unwrap();
        }
        assert_eq!((output.text(Channel::Standard), output.text(Channel::Errors)), ("o".into(), "e1e2".into()));
        assert_eq!((output.printed(), output.printed_bytes()), ("oe1e2".into(), 5));
    }
}
