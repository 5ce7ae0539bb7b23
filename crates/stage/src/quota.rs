//! How much a stage may hold.

use std::fmt;

use crate::error::{Result, StageError};

/// The limits of one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Logical bytes of staged contents and symlink targets; a hole counts like data.
    pub bytes: u64,
    /// Staged nodes, whiteouts and extra links; also the most changes that one change set may have.
    pub entries: u64,
}

/// Which limit was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaKind {
    Bytes,
    Entries,
}

impl fmt::Display for QuotaKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Bytes => "bytes",
            Self::Entries => "entries",
        })
    }
}

/// What a stage holds now, in the units of [`Quota`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub bytes: u64,
    pub entries: u64,
}

/// The account of one stage. Every growth asks here first.
#[derive(Debug)]
pub(crate) struct Ledger {
    quota: Quota,
    used: Usage,
}

impl Ledger {
    pub(crate) fn new(quota: Quota) -> Self {
        Self { quota, used: Usage::default() }
    }

    pub(crate) fn used(&self) -> Usage {
        self.used
    }

    pub(crate) fn entry_limit(&self) -> u64 {
        self.quota.entries
    }

    /// Takes room for `entries` and `bytes`, or nothing at all.
    pub(crate) fn take(&mut self, entries: u64, bytes: u64) -> Result<()> {
        let within = |used: u64, more: u64, limit: u64| used.checked_add(more).filter(|sum| *sum <= limit);
        let entries = within(self.used.entries, entries, self.quota.entries);
        let entries = entries.ok_or(StageError::Quota(QuotaKind::Entries))?;
        let bytes = within(self.used.bytes, bytes, self.quota.bytes);
        let bytes = bytes.ok_or(StageError::Quota(QuotaKind::Bytes))?;
        self.used = Usage { bytes, entries };
        Ok(())
    }

    /// Takes or gives back what a content of `old` bytes needs to have `new` bytes.
    pub(crate) fn resize(&mut self, old: u64, new: u64) -> Result<()> {
        if new > old {
            return self.take(0, new - old);
        }
        self.give(0, old - new);
        Ok(())
    }

    pub(crate) fn give(&mut self, entries: u64, bytes: u64) {
        self.used.entries = self.used.entries.checked_sub(entries).expect("no entry is given back twice");
        self.used.bytes = self.used.bytes.checked_sub(bytes).expect("no byte is given back twice");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_request_takes_nothing() {
        let mut ledger = Ledger::new(Quota { bytes: 10, entries: 1 });
        assert_eq!(ledger.take(0, 11), Err(StageError::Quota(QuotaKind::Bytes)));
        assert_eq!(ledger.take(2, 0), Err(StageError::Quota(QuotaKind::Entries)));
        assert_eq!(ledger.take(1, u64::MAX), Err(StageError::Quota(QuotaKind::Bytes)));
        assert_eq!(ledger.used(), Usage::default());
        ledger.take(1, 10).unwrap();
        assert_eq!(ledger.resize(10, 11), Err(StageError::Quota(QuotaKind::Bytes)));
        ledger.resize(10, 3).unwrap();
        assert_eq!(ledger.used(), Usage { bytes: 3, entries: 1 });
    }
}
