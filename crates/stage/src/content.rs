//! Staged contents: small ones in memory, large ones in unlinked files.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Result;

/// The largest content that stays in memory. Beyond it one open file is held, so that the bytes of a quota divided by
/// this bound the open files of a stage.
pub(crate) const MEMORY_BYTES: u64 = 1 << 20;

/// A host directory in which large staged contents are kept as unlinked files. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Scratch(Arc<Path>);

impl Scratch {
    /// Returns a scratch in the existing directory `path`. Nothing is opened before something spills.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into().into())
    }
}

/// The bytes of one staged file. Whoever makes it longer has asked the ledger before.
#[derive(Debug)]
pub(crate) struct Buffer {
    len: u64,
    store: Store,
}

#[derive(Debug)]
enum Store {
    Memory(Vec<u8>),
    Spilled(File),
}

impl Buffer {
    pub(crate) fn empty() -> Self {
        Self { len: 0, store: Store::Memory(Vec::new()) }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Reads from `offset`; short only at the end.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let buffer = &mut buffer[..wanted];
        match &self.store {
            Store::Memory(bytes) => {
                let start = position(offset.min(self.len));
                buffer.copy_from_slice(&bytes[start..start + wanted]);
            }
            Store::Spilled(file) => file.read_exact_at(buffer, offset)?,
        }
        Ok(wanted)
    }

    /// Writes all of `bytes` at `offset`; a gap before them reads as zeros.
    pub(crate) fn write_at(&mut self, offset: u64, bytes: &[u8], scratch: &Scratch) -> Result<()> {
        let end = offset + bytes.len() as u64;
        if end > self.len {
            self.set_len(end, scratch)?;
        }
        match &mut self.store {
            Store::Memory(memory) => memory[position(offset)..position(end)].copy_from_slice(bytes),
            Store::Spilled(file) => file.write_all_at(bytes, offset)?,
        }
        Ok(())
    }

    /// Cuts, or extends with zeros; a large extension is a hole, not data.
    pub(crate) fn set_len(&mut self, len: u64, scratch: &Scratch) -> Result<()> {
        match &mut self.store {
            Store::Memory(memory) if len <= MEMORY_BYTES => {
                memory.resize(position(len), 0);
                if memory.capacity() as u64 > 2 * MEMORY_BYTES.min(len.max(64)) {
                    memory.shrink_to_fit();
                }
            }
            Store::Memory(memory) => {
                let kept = &memory[..memory.len().min(position(len))];
                let file = tempfile::tempfile_in(&scratch.0)?;
                file.write_all_at(kept, 0)?;
                file.set_len(len)?;
                self.store = Store::Spilled(file);
            }
            Store::Spilled(file) if len > MEMORY_BYTES => file.set_len(len)?,
            Store::Spilled(file) => {
                let mut memory = vec![0; position(len)];
                file.read_exact_at(&mut memory, 0)?;
                self.store = Store::Memory(memory);
            }
        }
        self.len = len;
        Ok(())
    }
}

/// Converts an offset into a content that is in memory.
fn position(offset: u64) -> usize {
    usize::try_from(offset).expect("contents in memory are small")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(buffer: &Buffer) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(buffer.len()).unwrap()];
        assert_eq!(buffer.read_at(0, &mut bytes).unwrap(), bytes.len());
        bytes
    }

    #[test]
    fn contents_spill_and_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(directory.path());
        let mut buffer = Buffer::empty();
        buffer.write_at(0, b"start", &scratch).unwrap();
        buffer.write_at(3 * MEMORY_BYTES, b"end", &scratch).unwrap();
        assert!(matches!(buffer.store, Store::Spilled(_)));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "spilled files have no name");
        let bytes = all(&buffer);
        assert_eq!((&bytes[..6], bytes.len()), (&b"start\0"[..], 3 * (1 << 20) + 3));
        buffer.set_len(5, &scratch).unwrap();
        assert!(matches!(buffer.store, Store::Memory(_)), "a small content holds no file open");
        assert_eq!(all(&buffer), b"start");
        assert_eq!(buffer.read_at(99, &mut [0; 4]).unwrap(), 0);
    }

    proptest! {
        // Each case compares megabytes.
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_a_vector(steps in prop::collection::vec((0..3_000_000_u64, prop::collection::vec(any::<u8>(), 0..99), any::<bool>()), 1..12)) {
            let directory = tempfile::tempdir().unwrap();
            let scratch = Scratch::new(directory.path());
            let (mut buffer, mut model) = (Buffer::empty(), Vec::new());
            for (offset, bytes, cut) in steps {
                let at = usize::try_from(offset).unwrap();
                if cut {
                    buffer.set_len(offset, &scratch).unwrap();
                    model.resize(at, 0);
                } else {
                    buffer.write_at(offset, &bytes, &scratch).unwrap();
                    let end = at + bytes.len();
                    model.resize(model.len().max(end), 0);
                    model[at..end].copy_from_slice(&bytes);
                }
                prop_assert!(all(&buffer) == model);
            }
        }
    }
}
