//! What can go wrong, in the words of wasi:filesystem 0.2 (`error-code`) where it has one.

use rustix::io::Errno;

use crate::quota::QuotaKind;

/// Why an operation on a stage or its base failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    #[error("the host's permissions refuse it")]
    Access,
    #[error("the handle was not opened for this")]
    BadDescriptor,
    #[error("it is in use")]
    Busy,
    #[error("the two directories are of different mounts")]
    CrossDevice,
    #[error("it exists already")]
    Exist,
    #[error("the offset or size is beyond what a file can have")]
    FileTooLarge,
    #[error("a name or link target is not UTF-8")]
    IllegalByteSequence,
    /// The host's disk is full or its own disk quota spent; a stage's limits are [`StageError::Quota`].
    #[error("the host has no space left")]
    InsufficientSpace,
    /// A long copy was broken off because [`crate::Stage::interrupt_when`] said so; nothing changed.
    #[error("it was interrupted")]
    Interrupted,
    #[error("the request makes no sense")]
    Invalid,
    #[error("it is a directory")]
    IsDirectory,
    #[error("too many symbolic links, or one where none may be followed")]
    Loop,
    #[error("the name or path is too long")]
    NameTooLong,
    #[error("there is no such file or directory")]
    NoEntry,
    #[error("it is not a directory")]
    NotDirectory,
    #[error("the directory is not empty")]
    NotEmpty,
    /// The path leaves the directory, is absolute, names a hidden entry, or a FIFO, socket or device.
    #[error("the stage does not permit it")]
    NotPermitted,
    #[error("the mount is read-only")]
    ReadOnly,
    #[error("it is not supported")]
    Unsupported,
    /// A limit of the stage; the call that met it should be stopped and told so.
    #[error("the stage's limit on {0} is reached")]
    Quota(QuotaKind),
    /// A removed or renamed base tree holds something that a change set cannot name: a FIFO, socket, device, a hidden or
    /// non-UTF-8 name, or a path longer than 4,096 bytes.
    #[error("`{path}` cannot be part of a change set")]
    Unrepresentable { path: String },
    /// What stands at the path is not what the caller said it would replace or remove.
    #[error("`{path}` changed underneath")]
    Changed { path: String },
    /// No after-content of the last change set has this hash.
    #[error("the stage holds no such content")]
    NoContent,
    /// An operation of the host's on its own tree failed. `code` is the system's `errno`.
    #[error("`{path}`: {}", std::io::Error::from_raw_os_error(*code))]
    Host { path: String, code: i32 },
    /// Any other failure of the operating system. `code` is its `errno`.
    #[error("{}", std::io::Error::from_raw_os_error(*code))]
    Io { code: i32 },
}

impl From<Errno> for StageError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ACCESS | Errno::PERM => Self::Access,
            Errno::BADF => Self::BadDescriptor,
            Errno::BUSY => Self::Busy,
            Errno::EXIST => Self::Exist,
            Errno::FBIG | Errno::OVERFLOW => Self::FileTooLarge,
            Errno::NOSPC | Errno::DQUOT => Self::InsufficientSpace,
            Errno::CANCELED => Self::Interrupted,
            Errno::INVAL => Self::Invalid,
            Errno::ISDIR => Self::IsDirectory,
            Errno::LOOP => Self::Loop,
            Errno::NAMETOOLONG => Self::NameTooLong,
            Errno::NOENT => Self::NoEntry,
            Errno::NOTDIR => Self::NotDirectory,
            Errno::NOTEMPTY => Self::NotEmpty,
            // `RESOLVE_BENEATH` reports an attempt to leave so.
            Errno::XDEV => Self::NotPermitted,
            Errno::ROFS => Self::ReadOnly,
            Errno::NOTSUP | Errno::NXIO => Self::Unsupported,
            other => Self::Io { code: other.raw_os_error() },
        }
    }
}

impl From<std::io::Error> for StageError {
    fn from(error: std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(code) => Errno::from_raw_os_error(code).into(),
            None => Errno::IO.into(),
        }
    }
}

/// Shorthand within the crate.
pub(crate) type Result<T> = std::result::Result<T, StageError>;

/// Names the path at which the host's own operation failed.
pub(crate) fn at<T>(path: &str, result: rustix::io::Result<T>) -> Result<T> {
    result.map_err(|errno| StageError::Host { path: path.to_owned(), code: errno.raw_os_error() })
}
