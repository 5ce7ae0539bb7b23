//! One driver per session.
use protocol::SessionId;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    #[error("session {0} is being driven by another process")]
    Held(SessionId),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
}

/// The right to drive one session, until it is dropped or the process ends.
#[derive(Debug)]
pub struct SessionLease;

impl SessionLease {
    pub fn session(&self) -> &SessionId { todo!() }
}
