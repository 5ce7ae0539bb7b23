//! The workspace as a whole.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use protocol::{CallId, ChangeSet, ChangeSetId, ContentHash, EventBody, SessionId};
use stage::{Base, Clock, Stage, StageError};

use crate::blobs::{BlobError, Blobs};
use crate::commit::{CommitError, Committed};
use crate::diff::{DiffError, LineCount, line_counts, unified};
use crate::exclude::exclude;
use crate::gc::note_freed;
use crate::journal::{Chapter, Custody, Durability, Journal, JournalError, Standing, TurnPlace, Verification};
use crate::lease::{LeaseError, SessionLease};
use crate::projection::{KeptView, SessionView};
use crate::state::{State, at};

/// A directory of the host and the guest's name for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `/work`, `/NAME`.
    pub name: String,
    pub host: PathBuf,
}

/// What opening a workspace found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opening {
    /// Interrupted commits that were finished or taken back.
    pub settled: Vec<Committed>,
    /// Interrupted commits that could be neither, and why.
    pub unsettled: Vec<(ChangeSetId, String)>,
    /// Why `.boxagnts/` could not be added to the repository's `info/exclude`.
    pub not_excluded: Option<String>,
}

/// Why a workspace cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// `.boxagnts` or something in it is not what the runtime makes: a symbolic link, or a file.
    #[error("{path} is not the runtime's own: {reason}")]
    NotOurs { path: PathBuf, reason: String },
    #[error("{mount}: {source}")]
    Mount { mount: String, source: StageError },
    #[error("two directories are mounted at {0}")]
    MountedTwice(String),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error("there is no folder for a key, so there is nothing to accept the journal with")]
    NoKeys,
    /// What is in it does not fit together, whatever the reason; see [`Workspace::verify`].
    #[error("the journal is broken, and cannot be accepted")]
    NotAcceptable(Box<Verification>),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

type Result<T> = std::result::Result<T, WorkspaceError>;

/// What the runtime remembers of one folder and the work in it. `Send` and `Sync`; several processes may have it open.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    state: State,
    journal: Journal,
    blobs: Blobs,
    mounts: BTreeMap<String, Mounted>,
    clock: Clock,
    opening: Opening,
}

/// A mounted directory.
#[derive(Debug)]
pub(crate) struct Mounted {
    pub(crate) base: Base,
    /// What tells this directory from every other: its inode and when it was made. A commit that was interrupted is
    /// settled nowhere else, not even if a cloned repository brings a journal that says so.
    pub(crate) place: String,
}

impl Workspace {
    /// Opens the state of the workspace at `root`, making it if there is none, and settles commits that were
    /// interrupted. `mounts` are the directories that commits go to (`/work` and each `map_dirs`). `keys` is the person's
    /// folder of journal keys, outside of every mount; without one nothing is signed.
    pub fn open(root: &Path, mounts: &[Mount], keys: Option<&Path>, clock: Clock) -> Result<Self> {
        let root = fs::canonicalize(root).map_err(at(root))?;
        let mounts = mounted(mounts)?;
        let state = State::open(&root)?;
        let not_excluded = exclude(&root).err().map(|error| error.to_string());
        let journal = {
            // One process at a time makes a new journal.
            let _lock = lock(&state)?;
            let directory = place(&root)?;
            let custody = keys.map(|keys| Custody::new(keys, &root, directory));
            Journal::open(&state.journal(), clock, custody)?
        };
        let blobs = Blobs::new(state.blobs(), state.blob_temporaries());
        let mut workspace = Self { root, state, journal, blobs, mounts, clock, opening: Opening::default() };
        // Nothing is done because of a journal that nobody here wrote.
        let is_known = matches!(workspace.journal.standing(), Standing::Signed | Standing::Unsigned);
        if is_known && !workspace.journal.unfinished()?.is_empty() {
            let _lock = lock(&workspace.state)?;
            workspace.opening = workspace.settle()?;
        }
        workspace.opening.not_excluded = not_excluded;
        Ok(workspace)
    }

    /// Returns what opening found and did.
    pub fn opening(&self) -> &Opening {
        &self.opening
    }

    /// Returns the folder whose `.boxagnts` this is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Returns the directory mounted as `mount`; stages are made over this.
    pub fn base(&self, mount: &str) -> Option<&Base> {
        self.mounts.get(mount).map(|mounted| &mounted.base)
    }

    /// Returns the directory for a stage's scratch.
    pub fn scratch(&self) -> PathBuf {
        self.state.scratch()
    }

    /// Takes the right to drive `session`.
    pub fn lease(&self, session: &SessionId) -> std::result::Result<SessionLease, LeaseError> {
        SessionLease::take(&self.state.locks(), session)
    }

    /// Returns `session` as it is now: the last view that was kept of it or of what it goes on from, and what came since.
    pub fn view(&self, session: &SessionId) -> std::result::Result<SessionView, JournalError> {
        let story = self.journal.story(session)?;
        let (mut view, from) = self.begun(&story)?;
        let mut after = view.last_sequence;
        for chapter in &story[from..] {
            self.journal.read_chapter(chapter, after, &mut |event| view.apply(&event))?;
            // Those of the next one are of another session.
            after = 0;
        }
        Ok(view)
    }

    /// Returns the view to go on from, and the chapter that it ends in: an empty one and the first where none can be read.
    fn begun(&self, story: &[Chapter]) -> std::result::Result<(SessionView, usize), JournalError> {
        for (at, chapter) in story.iter().enumerate().rev() {
            let kept = self.journal.kept_view(chapter)?;
            if let Some(view) = kept.as_ref().and_then(SessionView::of_kept) {
                return Ok((view, at));
            }
        }
        Ok((SessionView::default(), 0))
    }

    /// Returns the view of `session` that is to be kept, when so much came since the last that it is worth it. It is read from
    /// the journal: `live` does not have what other processes appended meanwhile.
    pub fn to_keep(
        &self,
        session: &SessionId,
        live: &SessionView,
    ) -> std::result::Result<Option<KeptView>, JournalError> {
        if !live.is_due() {
            return Ok(None);
        }
        self.view(session)?.to_kept().map(Some).map_err(JournalError::Unwritable)
    }

    /// Opens the session `id`, which goes on from a turn of another. Its whole outputs are there too.
    pub fn fork(&self, id: &SessionId, from: &TurnPlace, principal: &str, model: &str) -> Result<()> {
        let (principal, model) = (principal.to_owned(), model.to_owned());
        let Chapter { session: parent, through } = from.chapter.clone();
        let forked = EventBody::SessionForked { principal, model, parent, turn: from.turn.clone(), through };
        self.journal.append(id, &[forked], Durability::Power)?;
        let mut kept = Vec::new();
        self.journal.for_each_told(id, |event| {
            if let EventBody::CallFinished { call, full_output: Some(hash), .. } = event.body {
                kept.push((call, hash));
            }
        })?;
        kept.iter().try_for_each(|(call, hash)| self.link_result(id, call, hash))
    }

    /// Reads the whole journal to see whether it is what was written and signed.
    pub fn verify(&self) -> Result<Verification> {
        Ok(self.journal.verify(&|hash, size| self.blobs.holds(hash, size))?)
    }

    /// Takes a journal that is not known here for this workspace's own, if what is in it fits together. A person said
    /// so. Returns the number of its records.
    pub fn accept(&self) -> Result<i64> {
        let custody = self.journal.custody().ok_or(WorkspaceError::NoKeys)?;
        let found = self.verify()?;
        if !found.is_acceptable() {
            return Err(WorkspaceError::NotAcceptable(Box::new(found)));
        }
        let _lock = lock(&self.state)?;
        Ok(self.journal.accept(custody)?)
    }

    /// Returns the directory of a session's whole outputs, made if there is none.
    pub fn results(&self, session: &SessionId) -> Result<PathBuf> {
        self.state.results(session.as_str())
    }

    /// Keeps a call's whole output as a blob, and as `CALL.txt` in [`Self::results`].
    pub fn keep_result(&self, session: &SessionId, call: &CallId, text: &str) -> Result<ContentHash> {
        // Whoever frees contents holds the lock, and sees the blob with its second name or not at all.
        let _lock = lock(&self.state)?;
        let hash = self.blobs.put(text.as_bytes(), Durability::Process)?;
        self.link_result(session, call, &hash)?;
        Ok(hash)
    }

    fn link_result(&self, session: &SessionId, call: &CallId, hash: &ContentHash) -> Result<()> {
        if !self.blobs.contains(hash) && self.journal.freed_at(hash)?.is_some() {
            return note_freed(&self.results(session)?, call);
        }
        let (blob, path) = (self.blobs.path(hash), self.results(session)?.join(format!("{call}.txt")));
        // A call that is carried out again after a crash says it anew; writing over the name would reach the old blob.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&path)(error)),
            _ => {}
        }
        // Not every file system has links.
        fs::hard_link(&blob, &path).or_else(|_| fs::copy(&blob, &path).map(drop)).map_err(at(&path))
    }

    /// Returns what a commit of `changes` would do, as unified text that is harmless on a terminal.
    pub fn diff_staged(&self, stage: &Stage, changes: &ChangeSet) -> std::result::Result<String, DiffError> {
        unified(changes, &mut |hash, path| match path {
            Some(path) => {
                let base = self.base(&changes.mount).ok_or_else(|| CommitError::NoMount(changes.mount.clone()))?;
                Ok(Box::new(base.read(path)?))
            }
            None => Ok(Box::new(stage.content(hash)?)),
        })
    }

    /// Returns what a change set did, as unified text that is harmless on a terminal.
    pub fn diff(&self, changes: &ChangeSet) -> std::result::Result<String, DiffError> {
        unified(changes, &mut |hash, _| Ok(self.content(hash)?))
    }

    /// Returns what each change of a change set added and removed; `None` of what is not compared line by line.
    pub fn line_counts(&self, changes: &ChangeSet) -> std::result::Result<Vec<Option<LineCount>>, DiffError> {
        line_counts(changes, &mut |hash, _| Ok(self.content(hash)?))
    }

    pub(crate) fn mounted(&self, name: &str) -> std::result::Result<&Mounted, CommitError> {
        self.mounts.get(name).ok_or_else(|| CommitError::NoMount(name.to_owned()))
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// Waits until nobody else commits.
    pub(crate) fn lock_commits(&self) -> std::result::Result<fs::File, CommitError> {
        let path = self.state.journal();
        self.state.lock_commits().map_err(|source| CommitError::Io { path, source })
    }
}

pub(crate) fn lock(state: &State) -> Result<fs::File> {
    state.lock_commits().map_err(at(&state.journal()))
}

fn mounted(mounts: &[Mount]) -> Result<BTreeMap<String, Mounted>> {
    let mut opened = BTreeMap::new();
    for Mount { name, host } in mounts {
        let base = Base::open(host).map_err(|source| WorkspaceError::Mount { mount: name.clone(), source })?;
        let mounted = Mounted { base, place: place(host)? };
        if opened.insert(name.clone(), mounted).is_some() {
            return Err(WorkspaceError::MountedTwice(name.clone()));
        }
    }
    Ok(opened)
}

fn place(host: &Path) -> Result<String> {
    let found = fs::metadata(host).map_err(at(host))?;
    // Not every file system knows it.
    let created = found.created().ok().and_then(|created| created.duration_since(UNIX_EPOCH).ok());
    Ok(format!("{}:{}", found.ino(), created.map_or(0, |since| since.as_nanos())))
}
