//! One driver for a session, whichever process it is in.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use protocol::SessionId;

/// Why a session cannot be driven.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    #[error("session {0} is being driven by another process")]
    Held(SessionId),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// The right to drive one session, until it is dropped or its process ends, however it ends.
#[derive(Debug)]
pub struct SessionLease {
    session: SessionId,
    _lock: File,
}

impl SessionLease {
    /// Takes the lease of `session`; its lock is a file in `locks` that stays there, because removing it would let a
    /// third process lock another file of the same name.
    pub(crate) fn take(locks: &Path, session: &SessionId) -> Result<Self, LeaseError> {
        let path = locks.join(session.as_str());
        let lock = lock_file(&path).map_err(|source| LeaseError::Io { path: path.clone(), source })?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { session: session.clone(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(LeaseError::Held(session.clone())),
            Err(TryLockError::Error(source)) => Err(LeaseError::Io { path, source }),
        }
    }

    /// Returns the session that may be driven.
    pub fn session(&self) -> &SessionId {
        &self.session
    }
}

/// Opens a file that is only ever locked. Each opening locks by itself, also within one process (flock(2)).
pub(crate) fn lock_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_one_driver_at_a_time() {
        let locks = tempfile::tempdir().unwrap();
        let (session, other) = (SessionId::from_random(1), SessionId::from_random(2));
        let lease = SessionLease::take(locks.path(), &session).unwrap();
        assert_eq!(lease.session(), &session);
        let refused = SessionLease::take(locks.path(), &session);
        assert!(matches!(refused, Err(LeaseError::Held(held)) if held == session));
        SessionLease::take(locks.path(), &other).unwrap();
        drop(lease);
        SessionLease::take(locks.path(), &session).unwrap();
    }
}
