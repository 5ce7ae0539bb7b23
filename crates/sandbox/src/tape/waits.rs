//! `wasi:io/poll` and `wasi:io/streams`: what was ready when, recorded and played.
//!
//! A guest that asks without waiting is told how far the world has come, which no second run repeats. Such answers are
//! numbered in their order, and only those are kept that are not "everything is ready".

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::io::{poll, streams};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult};

use crate::host::Host;

type Input = Resource<DynInputStream>;
type Output = Resource<DynOutputStream>;

impl poll::Host for Host {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        let played = if pollables.is_empty() { None } else { self.deck.ready(pollables.len()) };
        let Some(ready) = played else {
            let count = pollables.len();
            let ready = poll::Host::poll(&mut self.table, pollables).await?;
            self.deck.waited(count, &ready);
            return Ok(ready);
        };
        for at in &ready {
            let Some(pollable) = pollables.get(*at as usize) else { continue };
            poll::HostPollable::block(&mut self.table, Resource::new_borrow(pollable.rep())).await?;
        }
        Ok(ready)
    }
}

impl poll::HostPollable for Host {
    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::block(&mut self.table, pollable).await
    }

    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        let Some(ready) = self.deck.ready(1) else {
            let is_ready = poll::HostPollable::ready(&mut self.table, pollable).await?;
            self.deck.waited(1, if is_ready { &[0] } else { &[] });
            return Ok(is_ready);
        };
        if !ready.is_empty() {
            poll::HostPollable::block(&mut self.table, pollable).await?;
        }
        Ok(!ready.is_empty())
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(&mut self.table, pollable)
    }
}

impl streams::Host for Host {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<streams::StreamError> {
        streams::Host::convert_stream_error(&mut self.table, error)
    }
}

impl streams::HostInputStream for Host {
    fn read(&mut self, stream: Input, length: u64) -> StreamResult<Vec<u8>> {
        if self.deck.ready(1).is_some_and(|ready| ready.is_empty()) {
            return Ok(Vec::new());
        }
        let read = streams::HostInputStream::read(&mut self.table, stream, length);
        let is_empty = length > 0 && read.as_ref().is_ok_and(Vec::is_empty);
        self.deck.waited(1, if is_empty { &[] } else { &[0] });
        read
    }

    async fn blocking_read(&mut self, stream: Input, length: u64) -> StreamResult<Vec<u8>> {
        streams::HostInputStream::blocking_read(&mut self.table, stream, length).await
    }

    fn skip(&mut self, stream: Input, length: u64) -> StreamResult<u64> {
        // Through the one place that is recorded.
        streams::HostInputStream::read(self, stream, length).map(|bytes| bytes.len() as u64)
    }

    async fn blocking_skip(&mut self, stream: Input, length: u64) -> StreamResult<u64> {
        streams::HostInputStream::blocking_skip(&mut self.table, stream, length).await
    }

    fn subscribe(&mut self, stream: Input) -> wasmtime::Result<Resource<DynPollable>> {
        streams::HostInputStream::subscribe(&mut self.table, stream)
    }

    async fn drop(&mut self, stream: Input) -> wasmtime::Result<()> {
        streams::HostInputStream::drop(&mut self.table, stream).await
    }
}

impl streams::HostOutputStream for Host {
    fn check_write(&mut self, stream: Output) -> StreamResult<u64> {
        if self.deck.ready(1).is_some_and(|ready| ready.is_empty()) {
            return Ok(0);
        }
        let room = streams::HostOutputStream::check_write(&mut self.table, stream);
        let is_full = room.as_ref().is_ok_and(|room| *room == 0);
        self.deck.waited(1, if is_full { &[] } else { &[0] });
        room
    }

    fn write(&mut self, stream: Output, bytes: Vec<u8>) -> StreamResult<()> {
        streams::HostOutputStream::write(&mut self.table, stream, bytes)
    }

    async fn blocking_write_and_flush(&mut self, stream: Output, bytes: Vec<u8>) -> StreamResult<()> {
        streams::HostOutputStream::blocking_write_and_flush(&mut self.table, stream, bytes).await
    }

    fn flush(&mut self, stream: Output) -> StreamResult<()> {
        streams::HostOutputStream::flush(&mut self.table, stream)
    }

    async fn blocking_flush(&mut self, stream: Output) -> StreamResult<()> {
        streams::HostOutputStream::blocking_flush(&mut self.table, stream).await
    }

    fn subscribe(&mut self, stream: Output) -> wasmtime::Result<Resource<DynPollable>> {
        streams::HostOutputStream::subscribe(&mut self.table, stream)
    }

    fn write_zeroes(&mut self, stream: Output, length: u64) -> StreamResult<()> {
        streams::HostOutputStream::write_zeroes(&mut self.table, stream, length)
    }

    async fn blocking_write_zeroes_and_flush(&mut self, stream: Output, length: u64) -> StreamResult<()> {
        streams::HostOutputStream::blocking_write_zeroes_and_flush(&mut self.table, stream, length).await
    }

    fn splice(&mut self, to: Output, from: Input, length: u64) -> StreamResult<u64> {
        let room = streams::HostOutputStream::check_write(self, Resource::new_borrow(to.rep()))?;
        let bytes = streams::HostInputStream::read(self, from, length.min(room))?;
        let spliced = bytes.len() as u64;
        if spliced > 0 {
            streams::HostOutputStream::write(self, to, bytes)?;
        }
        Ok(spliced)
    }

    async fn blocking_splice(&mut self, to: Output, from: Input, length: u64) -> StreamResult<u64> {
        streams::HostOutputStream::blocking_splice(&mut self.table, to, from, length).await
    }

    async fn drop(&mut self, stream: Output) -> wasmtime::Result<()> {
        streams::HostOutputStream::drop(&mut self.table, stream).await
    }
}
