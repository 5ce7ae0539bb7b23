//! Between the stage's words and WASI's.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, SystemTime};

use protocol::StopCause;
use stage::StageError;
use wasmtime::component::ResourceTableError;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;

use crate::bindings::wasi::filesystem::types::{
    DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use crate::halt::Halt;

pub(super) type FileResult<T> = Result<T, FileError>;

/// Why a file operation failed.
#[derive(Debug)]
pub enum FileError {
    /// The guest reads this.
    Code(ErrorCode),
    /// The call ends with this.
    Halt(wasmtime::Error),
}

impl From<ErrorCode> for FileError {
    fn from(code: ErrorCode) -> Self {
        Self::Code(code)
    }
}

impl From<StageError> for FileError {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Quota(_) => Halt::Limit(StopCause::Stage).into(),
            StageError::Interrupted => Halt::Interrupted.into(),
            error => Self::Code(code(&error)),
        }
    }
}

impl From<ResourceTableError> for FileError {
    fn from(error: ResourceTableError) -> Self {
        Self::Halt(error.into())
    }
}

impl From<Halt> for FileError {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt.into())
    }
}

/// Returns WASI's name of a stage's error.
pub(super) fn code(error: &StageError) -> ErrorCode {
    match error {
        StageError::Access => ErrorCode::Access,
        StageError::BadDescriptor => ErrorCode::BadDescriptor,
        StageError::Busy | StageError::Changed { .. } => ErrorCode::Busy,
        StageError::CrossDevice => ErrorCode::CrossDevice,
        StageError::Exist => ErrorCode::Exist,
        StageError::FileTooLarge => ErrorCode::FileTooLarge,
        StageError::IllegalByteSequence => ErrorCode::IllegalByteSequence,
        StageError::InsufficientSpace => ErrorCode::InsufficientSpace,
        StageError::Interrupted => ErrorCode::Interrupted,
        StageError::Invalid => ErrorCode::Invalid,
        StageError::IsDirectory => ErrorCode::IsDirectory,
        StageError::Loop => ErrorCode::Loop,
        StageError::NameTooLong => ErrorCode::NameTooLong,
        StageError::NoEntry | StageError::NoContent => ErrorCode::NoEntry,
        StageError::NotDirectory => ErrorCode::NotDirectory,
        StageError::NotEmpty => ErrorCode::NotEmpty,
        StageError::NotPermitted | StageError::Unrepresentable { .. } => ErrorCode::NotPermitted,
        StageError::ReadOnly => ErrorCode::ReadOnly,
        StageError::Unsupported => ErrorCode::Unsupported,
        StageError::Quota(_) => ErrorCode::Quota,
        StageError::Host { .. } | StageError::Io { .. } => ErrorCode::Io,
    }
}

/// Returns how to open a file that is asked for with these flags.
pub(super) fn open_how(path: PathFlags, open: OpenFlags, flags: DescriptorFlags) -> FileResult<stage::OpenHow> {
    let synchronised = DescriptorFlags::FILE_INTEGRITY_SYNC
        | DescriptorFlags::DATA_INTEGRITY_SYNC
        | DescriptorFlags::REQUESTED_WRITE_SYNC;
    if flags.intersects(synchronised) {
        return Err(ErrorCode::Unsupported.into());
    }
    let makes = OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::TRUNCATE;
    if open.contains(OpenFlags::DIRECTORY) && open.intersects(makes) {
        return Err(ErrorCode::Invalid.into());
    }
    Ok(stage::OpenHow {
        follow: path.contains(PathFlags::SYMLINK_FOLLOW),
        create: open.contains(OpenFlags::CREATE),
        exclusive: open.contains(OpenFlags::EXCLUSIVE),
        truncate: open.contains(OpenFlags::TRUNCATE),
        directory: open.contains(OpenFlags::DIRECTORY),
        read: flags.contains(DescriptorFlags::READ),
        write: flags.contains(DescriptorFlags::WRITE),
    })
}

pub(super) fn kind(kind: stage::Kind) -> DescriptorType {
    match kind {
        stage::Kind::File => DescriptorType::RegularFile,
        stage::Kind::Directory => DescriptorType::Directory,
        stage::Kind::Symlink => DescriptorType::SymbolicLink,
        stage::Kind::Other => DescriptorType::Unknown,
    }
}

pub(super) fn stat(metadata: &stage::Metadata) -> DescriptorStat {
    DescriptorStat {
        type_: kind(metadata.kind),
        link_count: metadata.links,
        size: metadata.size,
        data_access_timestamp: datetime(metadata.accessed),
        data_modification_timestamp: datetime(metadata.modified),
        status_change_timestamp: datetime(metadata.changed),
    }
}

/// Returns WASI's time, which begins in 1970.
fn datetime(time: SystemTime) -> Option<Datetime> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Datetime { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() })
}

/// Returns the time to set, `None` to leave it as it is.
pub(super) fn time(time: NewTimestamp) -> FileResult<Option<SystemTime>> {
    match time {
        NewTimestamp::NoChange => Ok(None),
        NewTimestamp::Now => Ok(Some(SystemTime::now())),
        NewTimestamp::Timestamp(at) => {
            let since = Duration::from_secs(at.seconds).checked_add(Duration::from_nanos(at.nanoseconds.into()));
            let at = since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
            at.map(Some).ok_or_else(|| ErrorCode::Overflow.into())
        }
    }
}

/// Returns what stands for a file's inode: equal for two names of one file, for its whole life in the call.
pub(super) fn hash(mount: usize, metadata: &stage::Metadata) -> MetadataHashValue {
    let half = |which: u8| {
        let mut hasher = DefaultHasher::new();
        (which, mount, metadata.identity).hash(&mut hasher);
        hasher.finish()
    };
    MetadataHashValue { lower: half(0), upper: half(1) }
}
