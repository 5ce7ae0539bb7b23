//! Preview 1's functions over handles that close themselves.

use wasip1::{
    Ciovec, Errno, FSTFLAGS_ATIM, FSTFLAGS_MTIM, Fd, Fdflags, Filestat, Iovec, LOOKUPFLAGS_SYMLINK_FOLLOW, Oflags,
    RIGHTS_FD_READ, RIGHTS_FD_READDIR, RIGHTS_FD_WRITE, Rights, Whence,
};

pub(crate) const READ: Rights = RIGHTS_FD_READ | RIGHTS_FD_READDIR;
pub(crate) const WRITE: Rights = RIGHTS_FD_WRITE;

/// The first descriptor that the host opened: the mount, as `.`.
pub(crate) const MOUNT_FD: Fd = 3;

pub(crate) type Result<T> = std::result::Result<T, Errno>;

/// An open file or directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Handle(pub(crate) Fd);

impl Drop for Handle {
    fn drop(&mut self) {
        if self.0 != MOUNT_FD {
            // A case may have closed it already.
            let _ = unsafe { wasip1::fd_close(self.0) };
        }
    }
}

/// Returns the mount.
pub(crate) fn mount() -> Handle {
    Handle(MOUNT_FD)
}

impl Handle {
    pub(crate) fn open_as(&self, path: &str, follow: u32, how: Oflags, rights: Rights, flags: Fdflags) -> Result<Self> {
        unsafe { wasip1::path_open(self.0, follow, path, how, rights, rights, flags) }.map(Self)
    }

    /// Opens without following a link at the end.
    pub(crate) fn open(&self, path: &str, how: Oflags, rights: Rights) -> Result<Self> {
        self.open_as(path, 0, how, rights, 0)
    }

    pub(crate) fn open_following(&self, path: &str, how: Oflags, rights: Rights) -> Result<Self> {
        self.open_as(path, LOOKUPFLAGS_SYMLINK_FOLLOW, how, rights, 0)
    }

    /// Makes a file with this in it.
    pub(crate) fn put(&self, path: &str, content: &[u8]) -> Result<()> {
        let file = self.open(path, wasip1::OFLAGS_CREAT | wasip1::OFLAGS_TRUNC, READ | WRITE)?;
        file.write(content).map(drop)
    }

    pub(crate) fn create_directory(&self, path: &str) -> Result<()> {
        unsafe { wasip1::path_create_directory(self.0, path) }
    }

    pub(crate) fn remove_directory(&self, path: &str) -> Result<()> {
        unsafe { wasip1::path_remove_directory(self.0, path) }
    }

    pub(crate) fn unlink(&self, path: &str) -> Result<()> {
        unsafe { wasip1::path_unlink_file(self.0, path) }
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<()> {
        unsafe { wasip1::path_rename(self.0, from, self.0, to) }
    }

    pub(crate) fn symlink(&self, target: &str, path: &str) -> Result<()> {
        unsafe { wasip1::path_symlink(target, self.0, path) }
    }

    pub(crate) fn link(&self, from: &str, to: &str) -> Result<()> {
        unsafe { wasip1::path_link(self.0, 0, from, self.0, to) }
    }

    pub(crate) fn link_following(&self, from: &str, to: &str) -> Result<()> {
        unsafe { wasip1::path_link(self.0, LOOKUPFLAGS_SYMLINK_FOLLOW, from, self.0, to) }
    }

    /// Returns the target, cut to `bytes`.
    pub(crate) fn read_link(&self, path: &str, bytes: usize) -> Result<String> {
        let mut buffer = vec![0; bytes];
        let length = unsafe { wasip1::path_readlink(self.0, path, buffer.as_mut_ptr(), bytes) }?;
        buffer.truncate(length);
        Ok(String::from_utf8_lossy(&buffer).into_owned())
    }

    pub(crate) fn stat_at(&self, path: &str) -> Result<Filestat> {
        unsafe { wasip1::path_filestat_get(self.0, 0, path) }
    }

    pub(crate) fn stat_following(&self, path: &str) -> Result<Filestat> {
        unsafe { wasip1::path_filestat_get(self.0, LOOKUPFLAGS_SYMLINK_FOLLOW, path) }
    }

    pub(crate) fn set_times_at(&self, path: &str, accessed: u64, modified: u64) -> Result<()> {
        let both = FSTFLAGS_ATIM | FSTFLAGS_MTIM;
        unsafe { wasip1::path_filestat_set_times(self.0, 0, path, accessed, modified, both) }
    }

    pub(crate) fn stat(&self) -> Result<Filestat> {
        unsafe { wasip1::fd_filestat_get(self.0) }
    }

    pub(crate) fn size(&self) -> Result<u64> {
        self.stat().map(|stat| stat.size)
    }

    pub(crate) fn set_size(&self, size: u64) -> Result<()> {
        unsafe { wasip1::fd_filestat_set_size(self.0, size) }
    }

    pub(crate) fn flags(&self) -> Result<Fdflags> {
        unsafe { wasip1::fd_fdstat_get(self.0) }.map(|stat| stat.fs_flags)
    }

    pub(crate) fn set_flags(&self, flags: Fdflags) -> Result<()> {
        unsafe { wasip1::fd_fdstat_set_flags(self.0, flags) }
    }

    pub(crate) fn seek(&self, offset: i64, whence: Whence) -> Result<u64> {
        unsafe { wasip1::fd_seek(self.0, offset, whence) }
    }

    pub(crate) fn tell(&self) -> Result<u64> {
        unsafe { wasip1::fd_tell(self.0) }
    }

    pub(crate) fn read(&self, bytes: usize) -> Result<String> {
        self.reading(bytes, |iov| unsafe { wasip1::fd_read(self.0, iov) })
    }

    pub(crate) fn read_at(&self, bytes: usize, offset: u64) -> Result<String> {
        self.reading(bytes, |iov| unsafe { wasip1::fd_pread(self.0, iov, offset) })
    }

    fn reading(&self, bytes: usize, read: impl FnOnce(&[Iovec]) -> Result<usize>) -> Result<String> {
        let mut buffer = vec![0_u8; bytes];
        let length = read(&[Iovec { buf: buffer.as_mut_ptr(), buf_len: bytes }])?;
        buffer.truncate(length);
        Ok(String::from_utf8_lossy(&buffer).into_owned())
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> Result<usize> {
        unsafe { wasip1::fd_write(self.0, &[Ciovec { buf: bytes.as_ptr(), buf_len: bytes.len() }]) }
    }

    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize> {
        unsafe { wasip1::fd_pwrite(self.0, &[Ciovec { buf: bytes.as_ptr(), buf_len: bytes.len() }], offset) }
    }

    /// Returns the entries from `cookie` on that fit in `bytes`: name, type and the cookie after each.
    pub(crate) fn entries(&self, bytes: usize, cookie: u64) -> Result<(Vec<(String, u8, u64)>, usize)> {
        const HEAD_BYTES: usize = size_of::<wasip1::Dirent>();
        let mut buffer = vec![0_u8; bytes];
        let used = unsafe { wasip1::fd_readdir(self.0, buffer.as_mut_ptr(), bytes, cookie) }?;
        let (mut entries, mut at) = (Vec::new(), 0);
        while at + HEAD_BYTES <= used {
            // SAFETY: the host wrote a whole head here, and nothing says that it is aligned.
            let head: wasip1::Dirent = unsafe { buffer.as_ptr().add(at).cast::<wasip1::Dirent>().read_unaligned() };
            let end = at + HEAD_BYTES + head.d_namlen as usize;
            let Some(name) = buffer[..used].get(at + HEAD_BYTES..end) else { break };
            entries.push((String::from_utf8_lossy(name).into_owned(), head.d_type.raw(), head.d_next));
            at = end;
        }
        Ok((entries, used))
    }
}
