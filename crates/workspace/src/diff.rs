//! Change sets as unified text.
use crate::BlobError;
use stage::StageError;

/// Why a change set cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error(transparent)]
    Blob(#[from] BlobError),
}
