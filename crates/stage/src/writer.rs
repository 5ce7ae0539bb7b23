//! How the host changes the base: commit and undo.

use std::fs::File;
use std::io::{Read, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::{Change, ChangeSet, ContentHash, Node, Stamp};
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, fchmod, fstat, fsync, mkdirat, openat, renameat, renameat_with, statat,
    symlinkat, unlinkat,
};
use rustix::io::Errno;

use crate::base::{Base, CHUNK_BYTES, check};
use crate::error::{Result, StageError, at};
use crate::meta::stamp;
use crate::tape::Facts;

/// Names of half-written files start so; the rest is the process and a counter.
const TEMPORARY: &str = ".boxagnts-tmp-";

/// Names tried before giving up: more leftovers than any sequence of crashes makes between two sweeps.
const NAME_ATTEMPTS: u32 = 10_000;

/// Writes beneath a [`Base`], one atomic step at a time. Parents are resolved without following any symlink. Paths are
/// those of a change set: relative, no `.`, `..` or empty component. A replaced file's owner, ACLs and extended
/// attributes are not carried over.
#[derive(Debug)]
pub struct Writer {
    base: Base,
    temporaries: OwnedFd,
    durable: bool,
    counter: AtomicU64,
}

/// One step of applying a change set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Remove what `before` says.
    Remove(&'a Change),
    /// Make or replace so that `after` stands.
    Put(&'a Change),
}

/// Returns the steps that apply `changes`, in an order in which each can succeed: removals from the leaves up, then
/// the rest from the root down. A directory that becomes something else, or something that becomes one, is removed first.
pub fn steps(changes: &ChangeSet) -> Vec<Step<'_>> {
    let removed =
        |change: &&Change| change.before != Node::Absent && (change.after == Node::Absent || changes_shape(change));
    // A parent sorts before what is in it.
    let mut steps: Vec<_> = changes.changes.iter().rev().filter(removed).map(Step::Remove).collect();
    steps.extend(changes.changes.iter().filter(|change| change.after != Node::Absent).map(Step::Put));
    steps
}

/// Whether a directory becomes something else, or something that becomes one; neither can be replaced in one step.
fn changes_shape(change: &Change) -> bool {
    let directory = |node: &Node| matches!(node, Node::Directory { .. });
    directory(&change.before) != directory(&change.after)
}

/// The directory that a path's last name is in.
struct Parent<'a> {
    fd: OwnedFd,
    name: &'a str,
    path: &'a str,
}

impl Parent<'_> {
    fn stamp(&self) -> Result<Option<Stamp>> {
        match statat(&self.fd, self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stamp(&Facts::from(&stat)))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => at(self.path, Err(errno)),
        }
    }
}

impl Writer {
    /// Returns a writer that prepares files in the existing directory `temporaries` and moves them into place. Only the
    /// writer may use that directory; on the base's file system nothing half-written ever appears in the tree.
    /// `durable`: flush each file and directory before reporting success.
    pub fn new(base: Base, temporaries: &Path, durable: bool) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let opened = openat(CWD, temporaries, flags, Mode::empty());
        let temporaries = at(&temporaries.display().to_string(), opened)?;
        Ok(Self { base, temporaries, durable, counter: AtomicU64::new(0) })
    }

    /// Puts a file with this content and mode at `path`, atomically. `over`: the stamp of the file or symlink that it
    /// replaces, `None` if nothing may be there; [`StageError::Changed`] if that is not so, looked at immediately before
    /// the file is moved into place. Returns the new file's stamp.
    pub fn put_file(&self, path: &str, content: &mut dyn Read, mode: u32, over: Option<Stamp>) -> Result<Stamp> {
        let parent = self.parent(path)?;
        let (file, name) = self.temporary(self.temporaries.as_fd(), path)?;
        let written = self.fill(&file, content, mode, path);
        let result = written.and_then(|()| self.place(self.temporaries.as_fd(), &name, &parent, over));
        let result = match result {
            Ok(()) => return Ok(stamp(&Facts::from(&at(path, fstat(&file))?))),
            Err(error) if is_other_system(&error) => self.put_across(&name, &parent, mode, over),
            Err(error) => Err(error),
        };
        discard(self.temporaries.as_fd(), &name);
        result
    }

    /// Puts a symbolic link at `path`, atomically; `over` and the result as for [`Self::put_file`].
    pub fn put_symlink(&self, path: &str, target: &str, over: Option<Stamp>) -> Result<Stamp> {
        let parent = self.parent(path)?;
        match self.put_link(self.temporaries.as_fd(), &parent, target, over) {
            Err(error) if is_other_system(&error) => self.put_link(parent.fd.as_fd(), &parent, target, over),
            result => result,
        }
    }

    fn put_link(&self, from: BorrowedFd<'_>, parent: &Parent<'_>, target: &str, over: Option<Stamp>) -> Result<Stamp> {
        let name = self.fresh_name(parent.path, |name| symlinkat(target, from, name))?;
        if let Err(error) = self.place(from, &name, parent, over) {
            discard(from, &name);
            return Err(error);
        }
        parent.stamp()?.ok_or_else(|| changed(parent.path))
    }

    /// Makes a directory with this mode, whatever the process's umask.
    pub fn make_directory(&self, path: &str, mode: u32) -> Result<()> {
        let parent = self.parent(path)?;
        at(path, mkdirat(&parent.fd, parent.name, Mode::from_raw_mode(0o700)))?;
        self.set_directory_mode(path, mode)?;
        self.flush(parent.fd.as_fd(), path)
    }

    /// Sets a directory's mode.
    pub fn set_directory_mode(&self, path: &str, mode: u32) -> Result<()> {
        check(path)?;
        let directory = at(path, self.base.directory(path))?;
        at(path, fchmod(&directory, Mode::from_raw_mode(mode & 0o777)))?;
        self.flush(directory.as_fd(), path)
    }

    /// Removes the file or symlink at `path` if it still has this stamp.
    pub fn remove_file(&self, path: &str, stamp: Stamp) -> Result<()> {
        let parent = self.parent(path)?;
        if parent.stamp()? != Some(stamp) {
            return Err(changed(path));
        }
        at(path, unlinkat(&parent.fd, parent.name, AtFlags::empty()))?;
        self.flush(parent.fd.as_fd(), path)
    }

    /// Removes an empty directory.
    pub fn remove_directory(&self, path: &str) -> Result<()> {
        let parent = self.parent(path)?;
        at(path, unlinkat(&parent.fd, parent.name, AtFlags::REMOVEDIR))?;
        self.flush(parent.fd.as_fd(), path)
    }

    /// Performs one step if the base still is as the step's change assumes ([`StageError::Changed`] otherwise), with
    /// contents from `content`. Returns the stamp of the file or symlink that it put.
    pub fn perform(
        &self,
        step: &Step<'_>,
        content: &mut dyn FnMut(&ContentHash) -> Result<Box<dyn Read>>,
    ) -> Result<Option<Stamp>> {
        let (Step::Remove(change) | Step::Put(change)) = step;
        let path = change.path.as_str();
        let standing = self.base.standing(path)?;
        let expected = match step {
            Step::Put(_) if changes_shape(change) => &Node::Absent,
            _ => &change.before,
        };
        if standing.node != *expected {
            return Err(changed(path));
        }
        match (step, &change.before, &change.after) {
            (Step::Remove(_), Node::Directory { .. }, _) => self.remove_directory(path).map(|()| None),
            (Step::Remove(_), ..) => {
                let stamp = standing.stamp.ok_or_else(|| changed(path))?;
                self.remove_file(path, stamp).map(|()| None)
            }
            (_, Node::Directory { .. }, Node::Directory { mode }) => {
                self.set_directory_mode(path, *mode).map(|()| None)
            }
            (_, _, Node::Directory { mode }) => self.make_directory(path, *mode).map(|()| None),
            (_, _, Node::Symlink { target }) => self.put_symlink(path, target, standing.stamp).map(Some),
            (_, _, Node::File { hash, mode, .. }) => {
                self.put_file(path, &mut *content(hash)?, *mode, standing.stamp).map(Some)
            }
            (_, _, Node::Absent) => unreachable!("what is absent after is removed"),
        }
    }

    /// Removes what a crash left behind: everything in the temporaries directory, and this writer's temporary names in
    /// the parents of `paths`.
    pub fn sweep<'a>(&self, paths: impl IntoIterator<Item = &'a str>) -> Result<()> {
        sweep_directory(self.temporaries.as_fd(), |_| true)?;
        for path in paths {
            match self.parent(path) {
                Ok(parent) => sweep_directory(parent.fd.as_fd(), |name| name.starts_with(TEMPORARY.as_bytes()))?,
                // Nothing is left in a directory that is gone.
                Err(StageError::Host { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn parent<'a>(&self, path: &'a str) -> Result<Parent<'a>> {
        check(path)?;
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        if name.is_empty() {
            return Err(StageError::Invalid);
        }
        Ok(Parent { fd: at(path, self.base.directory(parent))?, name, path })
    }

    fn temporary(&self, directory: BorrowedFd<'_>, path: &str) -> Result<(File, String)> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = None;
        let name = self.fresh_name(path, |name| {
            file = Some(openat(directory, name, flags, Mode::from_raw_mode(0o600))?);
            Ok(())
        })?;
        Ok((file.expect("the name was made by opening it").into(), name))
    }

    /// Makes something under a name that is not taken.
    fn fresh_name(&self, path: &str, mut make: impl FnMut(&str) -> rustix::io::Result<()>) -> Result<String> {
        for _ in 0..NAME_ATTEMPTS {
            let number = self.counter.fetch_add(1, Ordering::Relaxed);
            let name = format!("{TEMPORARY}{}-{number}", std::process::id());
            match make(&name) {
                Err(Errno::EXIST) => {}
                result => return at(path, result).map(|()| name),
            }
        }
        at(path, Err(Errno::EXIST))
    }

    fn fill(&self, mut file: &File, content: &mut dyn Read, mode: u32, path: &str) -> Result<()> {
        let host = |error: std::io::Error| StageError::Host {
            path: path.to_owned(),
            code: error.raw_os_error().unwrap_or(Errno::IO.raw_os_error()),
        };
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match content.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => file.write_all(&chunk[..read]).map_err(host)?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(host(error)),
            }
        }
        at(path, fchmod(file, Mode::from_raw_mode(mode & 0o777)))?;
        self.flush(file.as_fd(), path)
    }

    /// Moves a finished temporary into place, if that is still as `over` says.
    fn place(&self, from: BorrowedFd<'_>, name: &str, parent: &Parent<'_>, over: Option<Stamp>) -> Result<()> {
        if parent.stamp()? != over {
            return Err(changed(parent.path));
        }
        let moved = if over.is_some() {
            renameat(from, name, &parent.fd, parent.name)
        } else {
            match renameat_with(from, name, &parent.fd, parent.name, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => return Err(changed(parent.path)),
                // Not every file system can promise it; nothing was there a moment ago.
                Err(Errno::INVAL | Errno::NOSYS) => renameat(from, name, &parent.fd, parent.name),
                result => result,
            }
        };
        at(parent.path, moved)?;
        self.flush(parent.fd.as_fd(), parent.path)
    }

    /// Copies a finished temporary to the file system of its place, under a temporary name there, and moves it from it.
    fn put_across(&self, name: &str, parent: &Parent<'_>, mode: u32, over: Option<Stamp>) -> Result<Stamp> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut finished = File::from(at(parent.path, openat(&self.temporaries, name, flags, Mode::empty()))?);
        let (file, name) = self.temporary(parent.fd.as_fd(), parent.path)?;
        let written = self.fill(&file, &mut finished, mode, parent.path);
        if let Err(error) = written.and_then(|()| self.place(parent.fd.as_fd(), &name, parent, over)) {
            discard(parent.fd.as_fd(), &name);
            return Err(error);
        }
        Ok(stamp(&Facts::from(&at(parent.path, fstat(&file))?)))
    }

    fn flush(&self, fd: BorrowedFd<'_>, path: &str) -> Result<()> {
        if self.durable { at(path, fsync(fd)) } else { Ok(()) }
    }
}

/// Whether a rename met the border of a file system.
fn is_other_system(error: &StageError) -> bool {
    matches!(error, StageError::Host { code, .. } if *code == Errno::XDEV.raw_os_error())
}

/// Removes a temporary after a failure, which is what the caller hears of; what cannot be removed waits for a sweep.
fn discard(directory: BorrowedFd<'_>, name: &str) {
    let _ = unlinkat(directory, name, AtFlags::empty());
}

fn changed(path: &str) -> StageError {
    StageError::Changed { path: path.to_owned() }
}

fn sweep_directory(directory: BorrowedFd<'_>, is_leftover: impl Fn(&[u8]) -> bool) -> Result<()> {
    let mut entries = rustix::fs::Dir::read_from(directory)?;
    while let Some(entry) = entries.read() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." && is_leftover(name.to_bytes()) {
            match unlinkat(directory, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    Ok(())
}
