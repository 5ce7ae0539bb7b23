//! Answering from a tape in the place of a base.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use protocol::ContentHash;
use rustix::io::Errno;

use super::{Answers, Facts, FileTape, PathTape, errno};
use crate::base::{RawEntry, Reach, Standing};
use crate::error::{Result, StageError};

/// Where a tape's contents come from; what is handed out is what its hash says.
pub type Contents = Arc<dyn Fn(&ContentHash) -> Option<Arc<[u8]>> + Send + Sync>;

/// The first question of a replay that its tape has no answer to. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Left(Arc<OnceLock<String>>);

impl Left {
    /// Says what was asked; only the first time counts.
    pub fn note(&self, asked: impl FnOnce() -> String) {
        self.0.get_or_init(asked);
    }

    /// Returns what was asked first.
    pub fn asked(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// Plays one base. Clones play together.
#[derive(Clone)]
pub struct Player(Arc<Playing>);

struct Playing {
    /// The guest's name of the mount, for what is said.
    mount: String,
    tape: FileTape,
    contents: Contents,
    left: Left,
    /// How often each question was asked.
    asked: Mutex<HashMap<(String, Question), u32>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Question {
    Seen,
    Opened,
    Held,
    Listed,
    Target,
    Standing,
}

impl Question {
    fn words(self) -> &'static str {
        match self {
            Self::Seen => "what is at",
            Self::Opened | Self::Held => "to open",
            Self::Listed => "to list",
            Self::Target => "where the link leads at",
            Self::Standing => "to change",
        }
    }
}

impl fmt::Debug for Player {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Player").field("mount", &self.0.mount).finish_non_exhaustive()
    }
}

impl Player {
    /// Returns what plays `tape` as `mount`.
    pub fn new(mount: &str, tape: FileTape, contents: Contents, left: Left) -> Self {
        let asked = Mutex::default();
        Self(Arc::new(Playing { mount: mount.to_owned(), tape, contents, left, asked }))
    }

    pub(crate) fn looked(&self, path: &str, reach: Reach) -> rustix::io::Result<Facts> {
        let (question, answers): (_, fn(&PathTape) -> &_) = match reach {
            Reach::Identity => (Question::Seen, |tape| &tape.seen),
            Reach::Content => (Question::Opened, |tape| &tape.opened),
        };
        self.answer(path, question, answers).ok_or(Errno::NOENT)?.map_err(errno)
    }

    pub(crate) fn held(&self, path: &str) -> rustix::io::Result<Facts> {
        self.answer(path, Question::Held, |tape| &tape.held).ok_or(Errno::IO)?.map_err(errno)
    }

    pub(crate) fn target(&self, path: &str) -> Result<String> {
        let target = self.answer(path, Question::Target, |tape| &tape.targets).ok_or(StageError::NoEntry)?;
        target.map_err(|_| StageError::IllegalByteSequence)
    }

    pub(crate) fn listed(&self, path: &str) -> rustix::io::Result<Vec<RawEntry>> {
        let listed = self.answer(path, Question::Listed, |tape| &tape.listed).ok_or(Errno::NOENT)?;
        listed.map(|names| names.iter().map(RawEntry::from).collect()).map_err(errno)
    }

    pub(crate) fn standing(&self, path: &str) -> Result<Standing> {
        let stood = self.answer(path, Question::Standing, |tape| &tape.standings);
        stood.map(|stood| Standing::from(&stood)).ok_or(StageError::NoEntry)
    }

    pub(crate) fn read(&self, path: &str, buffer: &mut [u8], offset: u64) -> rustix::io::Result<usize> {
        let (filled, is_known) = self.0.tape.paths.get(path).map_or((0, false), |tape| self.fill(tape, buffer, offset));
        if !is_known {
            let (from, wanted) = (offset + filled as u64, buffer.len() - filled);
            self.left(|| format!("{wanted} bytes from byte {from} of {}", self.shown(path)));
            return Err(Errno::IO);
        }
        Ok(filled)
    }

    /// Fills `buffer` as far as the tape has the content; the flag tells whether that is all that there was.
    fn fill(&self, tape: &PathTape, buffer: &mut [u8], offset: u64) -> (usize, bool) {
        let mut filled = 0;
        let holds = |extent: &&super::Extent| (extent.offset..extent.offset + extent.length).contains(&offset);
        if let Some(extent) = tape.extents.iter().find(holds)
            && let Some(bytes) = (self.0.contents)(&extent.content)
        {
            let from = usize::try_from(offset - extent.offset).unwrap_or(usize::MAX).min(bytes.len());
            filled = buffer.len().min(bytes.len() - from);
            buffer[..filled].copy_from_slice(&bytes[from..from + filled]);
        }
        let is_end = tape.end.is_some_and(|end| offset + filled as u64 >= end);
        (filled, filled == buffer.len() || is_end)
    }

    fn answer<T: Clone>(&self, path: &str, question: Question, of: impl Fn(&PathTape) -> &Answers<T>) -> Option<T> {
        let answers = self.0.tape.paths.get(path).map(of).filter(|answers| !answers.is_empty());
        let Some(answers) = answers else {
            self.left(|| format!("{} {}", question.words(), self.shown(path)));
            return None;
        };
        let mut asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let count = asked.entry((path.to_owned(), question)).or_default();
        let at = *count;
        *count = count.saturating_add(1);
        let mut passed = 0_u32;
        let current = answers.iter().find(|answer| {
            passed = passed.saturating_add(answer.times);
            at < passed
        });
        current.or(answers.last()).map(|answer| answer.value.clone())
    }

    fn left(&self, asked: impl FnOnce() -> String) {
        self.0.left.note(asked);
    }

    fn shown(&self, path: &str) -> String {
        if path.is_empty() { self.0.mount.clone() } else { format!("{}/{path}", self.0.mount) }
    }
}
