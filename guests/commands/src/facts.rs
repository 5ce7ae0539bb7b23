//! What the file system knows about a file, as far as it does: the sandbox's has no modes, owners or devices.

use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// What listings show of a file.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) kind: Kind,
    /// Permission bits.
    pub(crate) mode: u32,
    pub(crate) links: u64,
    pub(crate) inode: u64,
    pub(crate) device: u64,
    pub(crate) size: u64,
    /// Of 512 bytes.
    pub(crate) blocks: u64,
    pub(crate) modified: SystemTime,
    pub(crate) accessed: SystemTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    Link,
    Other,
}

impl Kind {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        if metadata.is_symlink() {
            Self::Link
        } else if metadata.is_dir() {
            Self::Folder
        } else if metadata.is_file() {
            Self::File
        } else {
            Self::Other
        }
    }

    /// Returns the letter of `ls -l`.
    pub(crate) fn letter(self) -> char {
        match self {
            Self::File => '-',
            Self::Folder => 'd',
            Self::Link => 'l',
            Self::Other => '?',
        }
    }
}

impl Facts {
    pub(crate) fn read(path: &Path, follow: bool) -> io::Result<Self> {
        let metadata = if follow { path.metadata()? } else { path.symlink_metadata()? };
        let kind = Kind::of(&metadata);
        let time = |time: io::Result<SystemTime>| time.unwrap_or(UNIX_EPOCH);
        let Extra { mode, links, inode, device, blocks } = extra(path, follow, &metadata, kind)?;
        Ok(Self {
            kind,
            mode,
            links,
            inode,
            device,
            size: metadata.len(),
            blocks,
            modified: time(metadata.modified()),
            accessed: time(metadata.accessed()),
        })
    }

    /// Returns the ten characters of `ls -l`.
    pub(crate) fn mode_text(&self) -> String {
        let bit = |shift: u32, letter: char| if self.mode >> shift & 1 == 1 { letter } else { '-' };
        let bits = (0..9).rev().map(|shift| bit(shift, ['x', 'w', 'r'][shift as usize % 3]));
        std::iter::once(self.kind.letter()).chain(bits).collect()
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.inode == other.inode && self.device == other.device
    }
}

/// What the standard library tells on some systems only.
struct Extra {
    mode: u32,
    links: u64,
    inode: u64,
    device: u64,
    blocks: u64,
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it asks the file system again")]
fn extra(_: &Path, _: bool, metadata: &Metadata, _: Kind) -> io::Result<Extra> {
    use std::os::unix::fs::MetadataExt;
    Ok(Extra {
        mode: metadata.mode() & 0o7777,
        links: metadata.nlink(),
        inode: metadata.ino(),
        device: metadata.dev(),
        blocks: metadata.blocks(),
    })
}

#[cfg(not(unix))]
fn extra(path: &Path, follow: bool, metadata: &Metadata, kind: Kind) -> io::Result<Extra> {
    let found = if follow { rustix::fs::stat(path)? } else { rustix::fs::lstat(path)? };
    let mode = match kind {
        Kind::Folder => 0o755,
        Kind::Link => 0o777,
        _ => 0o644,
    };
    // Blocks are what a file of this size would take.
    let blocks = metadata.len().div_ceil(4096) * 8;
    Ok(Extra { mode, links: found.st_nlink, inode: found.st_ino, device: found.st_dev, blocks })
}

/// Returns whether two paths lead to one file.
pub(crate) fn is_same(left: &Path, right: &Path) -> bool {
    matches!((Facts::read(left, true), Facts::read(right, true)), (Ok(left), Ok(right)) if left.is_same(&right))
}

/// Returns whether somebody could run this. Where there are no modes, a script is what begins like one.
#[cfg(unix)]
pub(crate) fn is_executable(path: &Path) -> bool {
    Facts::read(path, true).is_ok_and(|found| found.mode & 0o111 != 0)
}

#[cfg(not(unix))]
pub(crate) fn is_executable(path: &Path) -> bool {
    use std::io::Read;
    let mut start = [0; 2];
    let mut is_script = || std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *b"#!";
    path.is_dir() || is_script()
}

/// Sets the permission bits, where there are any.
#[cfg(unix)]
pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
pub(crate) fn set_mode(path: &Path, _: u32) -> io::Result<()> {
    // The sandbox's files have no modes; what a script asks for is granted as far as it can be: not at all.
    path.metadata().map(drop)
}

/// Makes a symbolic link.
pub(crate) fn link(target: &str, path: &Path) -> io::Result<()> {
    Ok(rustix::fs::symlink(target, path)?)
}
