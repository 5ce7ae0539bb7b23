//! The copy-on-write view as a whole.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use protocol::{Observation, Stamp};
use rustix::io::Errno;

use crate::base::Base;
use crate::content::Scratch;
use crate::dir::Dir;
use crate::error::{Result, StageError};
use crate::quota::{Quota, Usage};
use crate::tree::{ROOT, Tree};
use crate::veil::Veil;

/// Tells the time of staged changes.
pub type Clock = fn() -> SystemTime;

/// What a stage is told when it is made.
#[derive(Debug, Clone)]
pub struct StageOptions {
    /// The guest's name of the mount, `/work` for the workspace; goes into change sets and observations.
    pub mount: String,
    /// Whether anything may change; otherwise every mutation is [`StageError::ReadOnly`].
    pub writable: bool,
    pub quota: Quota,
    pub scratch: Scratch,
    pub clock: Clock,
    /// What of the base is not shown.
    pub veil: Veil,
}

/// A copy-on-write view of a [`Base`]. `Send` and `Sync`; its handles keep it alive. One operation runs at a time.
///
/// Names compare byte by byte: over a base on a file system that folds case, a staged `A` and a base `a` are two names
/// until they are committed.
#[derive(Debug)]
pub struct Stage(pub(crate) Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) base: Base,
    pub(crate) options: StageOptions,
    pub(crate) interrupt: Interrupt,
    time: OnceLock<Time>,
    tree: Mutex<Tree>,
}

/// Tells the time in the place of [`StageOptions::clock`].
struct Time(Box<dyn Fn() -> SystemTime + Send + Sync>);

impl fmt::Debug for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Time")
    }
}

/// Tells whether a long operation is still wanted.
#[derive(Default)]
pub(crate) struct Interrupt(Mutex<Option<Box<dyn Fn() -> bool + Send>>>);

impl Interrupt {
    /// Fails once the operation is no longer wanted.
    pub(crate) fn check(&self) -> rustix::io::Result<()> {
        let interrupted = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|asked| asked());
        if interrupted { Err(Errno::CANCELED) } else { Ok(()) }
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Interrupt")
    }
}

impl Shared {
    pub(crate) fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().expect("no operation of the stage panics")
    }

    /// Gives a handle back. Silent after a panic, which is being reported already.
    pub(crate) fn release(&self, id: u64) {
        if let Ok(mut tree) = self.tree.lock() {
            tree.release(id);
        }
    }

    pub(crate) fn writable(&self) -> Result<()> {
        if self.options.writable { Ok(()) } else { Err(StageError::ReadOnly) }
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.time.get().map_or_else(self.options.clock, |time| (time.0)())
    }
}

impl Stage {
    /// Returns an empty stage over `base`. Costs no system call.
    pub fn new(base: Base, options: StageOptions) -> Self {
        let base = base.veiled(options.veil.clone());
        let tree = Mutex::new(Tree::new(options.quota));
        Self(Arc::new(Shared { base, options, interrupt: Interrupt::default(), time: OnceLock::new(), tree }))
    }

    /// Tells the time by `clock` from now on; only the first that is said counts.
    pub fn tell_time(&self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) {
        let _ = self.0.time.set(Time(Box::new(clock)));
    }

    /// Breaks off copies of large files and listings of large directories with [`StageError::Interrupted`] once `asked` is
    /// true; it is called between chunks, so it has to be quick. Replaces what was said before.
    pub fn interrupt_when(&self, asked: impl Fn() -> bool + Send + 'static) {
        *self.0.interrupt.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(asked));
    }

    /// Lets every operation finish from now on.
    pub fn interrupt_never(&self) {
        *self.0.interrupt.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Returns the guest's name of the mount.
    pub fn mount(&self) -> &str {
        &self.0.options.mount
    }

    /// Returns whether anything may change.
    pub fn is_writable(&self) -> bool {
        self.0.options.writable
    }

    /// Returns how much may be staged.
    pub fn quota(&self) -> Quota {
        self.0.options.quota
    }

    /// Returns a handle to the mount's root.
    pub fn root(&self) -> Dir {
        self.0.tree().hold(ROOT);
        Dir::of_held(&self.0, ROOT)
    }

    /// Returns what the stage holds now.
    pub fn usage(&self) -> Usage {
        self.0.tree().ledger.used()
    }

    /// Tells what earlier calls of the session saw; of several observations of a path the last counts, and those of other
    /// mounts none. Whoever commits adds an observation of what the commit left behind, or the session's own writes
    /// look like somebody else's.
    pub fn expect(&self, observations: &[Observation]) {
        let own = observations.iter().filter(|seen| seen.mount == self.0.options.mount);
        self.0.tree().expected.extend(own.map(|seen| (seen.path.clone(), seen.stamp)));
    }

    /// Returns the base files that were opened, with the stamp each had when it was first touched, sorted by path.
    pub fn observed(&self) -> Vec<Observation> {
        let observation = |(path, stamp): (&String, Stamp)| Observation {
            mount: self.0.options.mount.clone(),
            path: path.clone(),
            stamp,
        };
        let tree = self.0.tree();
        let opened = tree.seen.iter().filter(|(_, seen)| seen.opened);
        opened.map(|(path, seen)| observation((path, seen.stamp))).collect()
    }
}
