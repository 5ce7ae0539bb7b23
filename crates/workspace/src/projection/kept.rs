//! A view as data, so that going on with a session need not replay what is before it.

use super::SessionView;

/// How kept views begin, with the number of their format. A view of another is not read: its session is replayed.
const FORMAT: &[u8] = b"boxagnts view 1\n";

/// Events after which keeping a view is worth a write.
const LEAST_EVENTS: usize = 256;

/// Bytes of views that one event may pay for. A view is kept again when what came since has paid for it, so that keeping costs
/// every event the same, however long the session.
const BYTES_OF_EVENT: usize = 1024;

/// A view that is kept, or about to be.
#[derive(Debug)]
pub struct KeptView {
    /// The last event that it has applied.
    pub(crate) through: u64,
    pub(crate) bytes: Vec<u8>,
}

/// What came after a view was read. It is no part of what the view says.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Since {
    events: usize,
    /// Bytes of the view that was read.
    bytes: usize,
}

impl PartialEq for Since {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Since {
    pub(super) fn count(&mut self) {
        self.events += 1;
    }
}

impl SessionView {
    /// Returns the view that was kept, unless it was written in another format.
    pub(crate) fn of_kept(kept: &KeptView) -> Option<Self> {
        let view: Self = serde_json::from_slice(kept.bytes.strip_prefix(FORMAT)?).ok()?;
        let since = Since { events: 0, bytes: kept.bytes.len() };
        (view.last_sequence == kept.through).then_some(Self { since, ..view })
    }

    /// Returns the view as it is kept.
    pub(crate) fn to_kept(&self) -> serde_json::Result<KeptView> {
        let mut bytes = FORMAT.to_vec();
        serde_json::to_writer(&mut bytes, self)?;
        Ok(KeptView { through: self.last_sequence, bytes })
    }

    /// Tells whether so much came since the last view was kept that another is worth it.
    pub fn is_due(&self) -> bool {
        let Since { events, bytes } = self.since;
        events >= LEAST_EVENTS && events.saturating_mul(BYTES_OF_EVENT) >= bytes
    }
}
