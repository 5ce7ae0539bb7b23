//! The real directory tree under a stage.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use protocol::{Hasher, Node, Stamp};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2, readlinkat, statat};
use rustix::io::Errno;

use crate::error::{Result, StageError, at};
use crate::meta::{Kind, mode, stamp};
use crate::tape::{Facts, Link, Player, Recorder};
use crate::veil::Veil;

/// Bytes moved at once when a file is hashed or copied: large enough that the system call does not count.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;

/// Entries of a directory that are read before it is asked whether they are still wanted: about a millisecond.
const ENTRIES_BETWEEN: usize = 1024;

/// How often a file that changes while it is hashed is read again before the caller is told.
const HASH_ATTEMPTS: u32 = 3;

/// A real directory, opened once, and everything beneath it; reading only. Cloning is cheap.
///
/// Paths are relative, `/` between components, no `.`, `..` or empty component; the empty path is the directory itself.
/// No symbolic link is ever followed, so nothing outside is reached even if somebody replaces a directory by a link at
/// any moment. `.boxagnts` is visible here: a `Base` belongs to the host, a [`Stage`](crate::Stage) to the guest.
#[derive(Debug, Clone)]
pub struct Base {
    /// `None` where everything is on a tape.
    root: Option<Arc<Root>>,
    veil: Veil,
    tape: Option<Link>,
}

#[derive(Debug)]
struct Root {
    fd: OwnedFd,
    /// Whether the kernel has `openat2` (Linux 5.6) and lets us call it.
    openat2: bool,
}

/// What stands at a path: the node, and the stamp it had while it was read (`None` for [`Node::Absent`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub node: Node,
    pub stamp: Option<Stamp>,
}

/// Reads one file of the base.
#[derive(Debug)]
pub struct BaseReader(File);

impl Read for BaseReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

/// How far a lookup goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// What stands there, a link included, without opening it.
    Identity,
    /// Opened for reading. `O_NONBLOCK`: somebody may have put a FIFO there; the caller checks the kind and drops it.
    Content,
}

impl Reach {
    fn flags(self) -> OFlags {
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match self {
            Self::Identity => flags | OFlags::PATH,
            Self::Content => flags | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
        }
    }
}

/// What a lookup found.
#[derive(Debug)]
pub(crate) struct Hit {
    pub(crate) held: Held,
    pub(crate) facts: Facts,
}

impl Hit {
    pub(crate) fn kind(&self) -> Kind {
        self.facts.kind()
    }

    /// Returns the target of the link that an [`Reach::Identity`] lookup found.
    pub(crate) fn link_target(&self) -> Result<String> {
        self.held.link_target()
    }
}

/// Something of the base, held open; or its part of a tape.
#[derive(Debug)]
pub(crate) struct Held {
    path: String,
    from: Origin,
}

#[derive(Debug)]
enum Origin {
    Disk(OwnedFd),
    Recorded(OwnedFd, Recorder),
    Played(Player),
}

impl Held {
    /// Asks again what it is.
    pub(crate) fn facts(&self) -> rustix::io::Result<Facts> {
        let stat = |fd| fstat(fd).map(|stat| Facts::from(&stat));
        match &self.from {
            Origin::Disk(fd) => stat(fd),
            Origin::Recorded(fd, recorder) => {
                let facts = stat(fd);
                recorder.held(&self.path, facts);
                facts
            }
            Origin::Played(player) => player.held(&self.path),
        }
    }

    /// Reads at an offset; short only at the end.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> rustix::io::Result<usize> {
        match &self.from {
            Origin::Disk(fd) => read_at(fd.as_fd(), buffer, offset),
            Origin::Recorded(fd, recorder) => {
                let read = read_at(fd.as_fd(), buffer, offset)?;
                recorder.read(&self.path, offset, buffer.len(), &buffer[..read]);
                Ok(read)
            }
            Origin::Played(player) => player.read(&self.path, buffer, offset),
        }
    }

    fn link_target(&self) -> Result<String> {
        match &self.from {
            Origin::Disk(fd) => link_target(fd),
            Origin::Recorded(fd, recorder) => {
                let target = link_target(fd);
                recorder.target(&self.path, &target);
                target
            }
            Origin::Played(player) => player.target(&self.path),
        }
    }

    /// Returns the file of the disk.
    fn into_file(self) -> Result<File> {
        match self.from {
            Origin::Disk(fd) | Origin::Recorded(fd, _) => Ok(fd.into()),
            Origin::Played(_) => Err(StageError::Unsupported),
        }
    }
}

fn link_target(fd: &OwnedFd) -> Result<String> {
    let target = readlinkat(fd, "", Vec::new())?;
    target.into_string().map_err(|_| StageError::IllegalByteSequence)
}

/// One name of a base directory; not necessarily UTF-8.
#[derive(Debug)]
pub(crate) struct RawEntry {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: Kind,
    /// Not to be shown; but a directory that holds it is not empty, and cannot be moved.
    pub(crate) veiled: bool,
}

impl Base {
    /// Opens the directory at `path`. This is where the host's ambient authority becomes a handle: everything else is
    /// resolved beneath it.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = at(&path.display().to_string(), openat(CWD, path, flags, Mode::empty()))?;
        let openat2 = beneath(fd.as_fd(), ".", Reach::Identity.flags()).is_ok();
        Ok(Self { root: Some(Arc::new(Root { fd, openat2 })), veil: Veil::none(), tape: None })
    }

    /// Returns the same tree; `recorder` notes what it answers.
    #[must_use]
    pub fn recorded(self, recorder: Recorder) -> Self {
        Self { tape: Some(Link::Recorded(recorder)), ..self }
    }

    /// Returns the tree that `player` remembers. Nothing of the disk is looked at.
    pub fn played(player: Player) -> Self {
        Self { root: None, veil: Veil::none(), tape: Some(Link::Played(player)) }
    }

    /// Returns the same tree without what `veil` hides: as if it were not there.
    #[must_use]
    pub(crate) fn veiled(self, veil: Veil) -> Self {
        Self { veil, ..self }
    }

    /// Returns the same tree with everything in it, of which nothing is recorded.
    #[must_use]
    pub(crate) fn unveiled(&self) -> Self {
        self.unrecorded().veiled(Veil::none())
    }

    fn unrecorded(&self) -> Self {
        Self { tape: None, ..self.clone() }
    }

    /// Returns what stands at `path`, its content hashed in chunks; the stamp belongs to exactly that content. A path
    /// whose parent is not a directory (any more) is absent. Fails with [`StageError::Unrepresentable`] for a FIFO,
    /// socket, device or a link whose target is not UTF-8, and [`StageError::Changed`] for a file that never rests.
    pub fn standing(&self, path: &str) -> Result<Standing> {
        check(path)?;
        match &self.tape {
            None => self.standing_on_disk(path),
            Some(Link::Recorded(recorder)) => {
                let standing = self.unrecorded().standing_on_disk(path);
                recorder.stood(path, &standing);
                standing
            }
            Some(Link::Played(player)) => player.standing(path),
        }
    }

    fn standing_on_disk(&self, path: &str) -> Result<Standing> {
        for _ in 0..HASH_ATTEMPTS {
            if let Some(standing) = self.standing_once(path)? {
                return Ok(standing);
            }
        }
        Err(StageError::Changed { path: path.to_owned() })
    }

    /// Returns the node at `path`; errors as for [`Self::standing`].
    pub fn node(&self, path: &str) -> Result<Node> {
        Ok(self.standing(path)?.node)
    }

    /// Returns the stamp of what is at `path`, not following a symlink; `None` if nothing is there.
    pub fn stamp(&self, path: &str) -> Result<Option<Stamp>> {
        check(path)?;
        Ok(self.identity(path)?.map(|hit| stamp(&hit.facts)))
    }

    /// Opens the regular file at `path` for reading.
    pub fn read(&self, path: &str) -> Result<BaseReader> {
        check(path)?;
        let hit = at(path, self.lookup(path, Reach::Content))?;
        match hit.kind() {
            Kind::File => Ok(BaseReader(hit.held.into_file()?)),
            _ => Err(StageError::Unrepresentable { path: path.to_owned() }),
        }
    }

    /// Looks `path` up without following any link. A link on the way is [`Errno::LOOP`].
    pub(crate) fn lookup(&self, path: &str, reach: Reach) -> rustix::io::Result<Hit> {
        #[cfg(test)]
        tally::count();
        let held = |from| Held { path: path.to_owned(), from };
        match &self.tape {
            None => self.look(path, reach).map(|(fd, facts)| Hit { held: held(Origin::Disk(fd)), facts }),
            Some(Link::Recorded(recorder)) => {
                let looked = self.look(path, reach);
                recorder.looked(path, reach, looked.as_ref().map(|(_, facts)| *facts).map_err(|errno| *errno));
                looked.map(|(fd, facts)| Hit { held: held(Origin::Recorded(fd, recorder.clone())), facts })
            }
            Some(Link::Played(player)) => {
                let facts = player.looked(path, reach)?;
                Ok(Hit { held: held(Origin::Played(player.clone())), facts })
            }
        }
    }

    fn look(&self, path: &str, reach: Reach) -> rustix::io::Result<(OwnedFd, Facts)> {
        let fd = self.open_at(path, reach.flags())?;
        let facts = Facts::from(&fstat(&fd)?);
        Ok((fd, facts))
    }

    /// Opens the directory at `path` so that names can be made in it.
    pub(crate) fn directory(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC)
    }

    /// Returns the names in the directory at `path`, without `.` and `..`, in the directory's own order.
    pub(crate) fn list(&self, path: &str) -> rustix::io::Result<Vec<RawEntry>> {
        self.list_while(path, || Ok(()))
    }

    /// The same, until `wanted` fails; it is asked every [`ENTRIES_BETWEEN`] entries.
    pub(crate) fn list_while(
        &self,
        path: &str,
        wanted: impl Fn() -> rustix::io::Result<()>,
    ) -> rustix::io::Result<Vec<RawEntry>> {
        #[cfg(test)]
        tally::count();
        match &self.tape {
            None => self.list_on_disk(path, wanted),
            Some(Link::Recorded(recorder)) => {
                let listed = self.list_on_disk(path, wanted);
                recorder.listed(path, &listed);
                listed
            }
            Some(Link::Played(player)) => player.listed(path),
        }
    }

    fn list_on_disk(
        &self,
        path: &str,
        wanted: impl Fn() -> rustix::io::Result<()>,
    ) -> rustix::io::Result<Vec<RawEntry>> {
        let mut directory = rustix::fs::Dir::new(self.directory(path)?)?;
        let mut entries = Vec::new();
        while let Some(entry) = directory.read() {
            if entries.len() % ENTRIES_BETWEEN == 0 {
                wanted()?;
            }
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems leave the type out.
                FileType::Unknown => match statat(directory.fd()?, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(Errno::NOENT) => continue,
                    Err(errno) => return Err(errno),
                },
                known => known,
            };
            let veiled = name.to_str().is_ok_and(|name| self.veil.covers_entry(path, name));
            entries.push(RawEntry { name: name.to_bytes().to_vec(), kind: kind.into(), veiled });
        }
        Ok(entries)
    }

    /// Returns what is at `path`, or `None` where nothing can be reached.
    fn identity(&self, path: &str) -> Result<Option<Hit>> {
        match self.lookup(path, Reach::Identity) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            other => at(path, other).map(Some),
        }
    }

    /// Returns `None` if the file changed while it was read.
    fn standing_once(&self, path: &str) -> Result<Option<Standing>> {
        let Some(hit) = self.identity(path)? else {
            return Ok(Some(Standing { node: Node::Absent, stamp: None }));
        };
        let unrepresentable = || StageError::Unrepresentable { path: path.to_owned() };
        let node = match hit.kind() {
            Kind::Other => return Err(unrepresentable()),
            Kind::Directory => Node::Directory { mode: mode(&hit.facts) },
            Kind::Symlink => Node::Symlink { target: hit.link_target().map_err(|_| unrepresentable())? },
            Kind::File => return self.hashed(path, &hit),
        };
        Ok(Some(Standing { node, stamp: Some(stamp(&hit.facts)) }))
    }

    fn hashed(&self, path: &str, seen: &Hit) -> Result<Option<Standing>> {
        let hit = match self.lookup(path, Reach::Content) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => return Ok(None),
            other => at(path, other)?,
        };
        let before = stamp(&hit.facts);
        if before != stamp(&seen.facts) {
            return Ok(None);
        }
        let mut hasher = Hasher::default();
        let size = at(
            path,
            copy_chunks(&hit.held, u64::MAX, |bytes| {
                hasher.update(bytes);
                Ok(())
            }),
        )?;
        let rested = stamp(&at(path, hit.held.facts())?) == before;
        let node = Node::File { hash: hasher.finish(), size, mode: mode(&hit.facts) };
        Ok(rested.then_some(Standing { node, stamp: Some(before) }))
    }

    fn open_at(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        if self.veil.covers(path) {
            return Err(Errno::NOENT);
        }
        let path = if path.is_empty() { "." } else { path };
        let root = self.root.as_ref().ok_or(Errno::NOENT)?;
        if !root.openat2 {
            return walk(root.fd.as_fd(), path, flags);
        }
        match beneath(root.fd.as_fd(), path, flags) {
            // The kernel could not rule a race out; one component at a time it can.
            Err(Errno::AGAIN) => walk(root.fd.as_fd(), path, flags),
            result => result,
        }
    }

    /// Returns a base that resolves as on a kernel without `openat2`.
    #[cfg(test)]
    pub(crate) fn without_openat2(path: &Path) -> Self {
        let fd = openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        Self { root: Some(Arc::new(Root { fd, openat2: false })), veil: Veil::none(), tape: None }
    }
}

/// Refuses paths that are not in the form of a change set's.
pub(crate) fn check(path: &str) -> Result<()> {
    let plain = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
    let valid = path.is_empty() || path.split('/').all(plain);
    if valid { Ok(()) } else { Err(StageError::Invalid) }
}

/// One system call: resolved beneath `root`, following nothing.
fn beneath(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags, Mode::empty(), resolve)
}

/// The same, one component at a time, for kernels without `openat2`. Each step starts at an open directory and takes one
/// name that is not `..`, so there is nothing to escape through.
fn walk(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let Some((parents, last)) = path.rsplit_once('/') else {
        return step(root, path, flags);
    };
    let mut at: Option<OwnedFd> = None;
    for name in parents.split('/') {
        let here = at.as_ref().map_or(root, AsFd::as_fd);
        at = Some(step(here, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC)?);
    }
    step(at.as_ref().map_or(root, AsFd::as_fd), last, flags)
}

fn step(directory: BorrowedFd<'_>, name: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    match openat(directory, name, flags, Mode::empty()) {
        // `O_DIRECTORY | O_NOFOLLOW` calls a link "not a directory"; the resolver needs to know the difference.
        Err(Errno::NOTDIR) => {
            let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
            Err(if link { Errno::LOOP } else { Errno::NOTDIR })
        }
        result => result,
    }
}

/// Feeds at most `limit` bytes of `file`, from its start, to `take`, until that fails. Returns how many there were.
pub(crate) fn copy_chunks(
    file: &Held,
    limit: u64,
    mut take: impl FnMut(&[u8]) -> rustix::io::Result<()>,
) -> rustix::io::Result<u64> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut offset = 0;
    while offset < limit {
        let wanted = usize::try_from(limit - offset).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        let read = file.read_at(&mut buffer[..wanted], offset)?;
        if read == 0 {
            break;
        }
        take(&buffer[..read])?;
        offset += read as u64;
    }
    Ok(offset)
}

/// Reads at an offset, again if a signal came between.
fn read_at(file: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> rustix::io::Result<usize> {
    loop {
        match rustix::io::pread(file, &mut *buffer, offset) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Counts lookups and listings, so that tests can hold that cost follows what is touched.
#[cfg(test)]
pub(crate) mod tally {
    use std::cell::Cell;

    thread_local!(static COUNT: Cell<u64> = const { Cell::new(0) });

    pub(crate) fn count() {
        COUNT.set(COUNT.get() + 1);
    }

    /// Returns how many lookups `work` makes on this thread.
    pub(crate) fn during<T>(work: impl FnOnce() -> T) -> (T, u64) {
        let start = COUNT.get();
        let result = work();
        (result, COUNT.get() - start)
    }
}
