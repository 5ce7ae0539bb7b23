//! `wasi:random`: everything from the call's seed, which is the operating system's.

use wasmtime_wasi::p2::bindings::random::{insecure_seed, random};

use super::Host;

/// Random bytes in one request; real programs ask for a few dozen, and the host allocates them at once.
const MAX_RANDOM_BYTES: u64 = 64 << 10;

impl random::Host for Host {
    fn get_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        if length > MAX_RANDOM_BYTES {
            wasmtime::bail!("{length} random bytes in one request; the limit is {MAX_RANDOM_BYTES}");
        }
        let mut bytes = vec![0; usize::try_from(length)?];
        self.deck.random().fill(&mut bytes);
        Ok(bytes)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.deck.random().next_u64())
    }
}

impl insecure_seed::Host for Host {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        let mut random = self.deck.random();
        Ok((random.next_u64(), random.next_u64()))
    }
}
