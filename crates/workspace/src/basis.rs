//! Writing down what decisions are made by.

use policy::{PolicyRecord, Recorder as _};
use protocol::{ContentHash, EventBody};

use crate::journal::{JournalError, SessionJournal};

impl SessionJournal<'_> {
    /// Writes `policy` down and returns what decisions name it by.
    pub fn state_policy(&self, policy: &PolicyRecord) -> Result<ContentHash, JournalError> {
        let (digest, policy) = policy.stated();
        self.record(EventBody::PolicyStated { digest: digest.clone(), policy })?;
        Ok(digest)
    }
}
