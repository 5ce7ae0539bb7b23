//! The record of one call that ran: what it was given, and what came of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use protocol::{CallId, CallUsage, ChangeSet, ContentHash, EventBody, StopCause, Taped};
use sandbox::{Ending, Mount, NoTape, Outcome, Recorded, Recording, Tape};
use serde::{Deserialize, Serialize};
use workspace::Workspace;

/// A call as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reel {
    pub(crate) tape: Tape,
    pub(crate) came: Came,
}

/// What came of a call in the sandbox, before anybody judged it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Came {
    /// How it ended.
    pub(crate) end: End,
    /// What it said, whole.
    pub(crate) text: ContentHash,
    /// In one line.
    pub(crate) summary: String,
    pub(crate) fuel: u64,
    /// What it staged, of each mount in which that is anything.
    pub(crate) changes: Vec<ChangeSet>,
}

/// The ways in which a call ends that come out the same each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    Returned,
    Rejected,
    Internal,
    Trapped,
    Stopped(StopCause),
}

impl Came {
    /// Returns what came of a call that left `changes`, with what it said; an error says why it would not come out the same.
    pub(crate) fn of<'a>(
        ending: &'a Ending,
        usage: &CallUsage,
        changes: impl Iterator<Item = &'a ChangeSet>,
    ) -> Result<(Self, &'a str), &'static str> {
        let (end, text, summary) = match ending {
            Ending::Returned { text, summary } => (End::Returned, text.as_str(), summary.as_str()),
            Ending::Rejected(text) => (End::Rejected, text.as_str(), ""),
            Ending::Internal(text) => (End::Internal, text.as_str(), ""),
            Ending::Trapped(text) => (End::Trapped, text.as_str(), ""),
            Ending::Stopped(StopCause::Deadline) => return Err("its deadline ended it"),
            Ending::Stopped(cause) => (End::Stopped(*cause), "", ""),
            Ending::Cancelled => return Err("it was cancelled"),
            Ending::HostFailed(_) => return Err("the host could not run it"),
        };
        let changes = changes.filter(|changes| !changes.is_empty()).cloned().collect();
        let came = Self {
            end,
            text: ContentHash::of(text.as_bytes()),
            summary: summary.to_owned(),
            fuel: usage.fuel,
            changes,
        };
        Ok((came, text))
    }
}

/// Why a call cannot be run again.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotReplayable(pub(crate) String);

impl From<&str> for NotReplayable {
    fn from(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

/// Returns the record that lies under `hash`.
pub(crate) fn reel(workspace: &Workspace, hash: &ContentHash) -> Result<Reel, NotReplayable> {
    let bytes = workspace.kept(hash).map_err(|error| NotReplayable(format!("its record cannot be had: {error}")))?;
    serde_json::from_slice(&bytes).map_err(|error| NotReplayable(format!("its record cannot be read: {error}")))
}

/// The contents of one tape, each verified when it is first wanted. Clones share them.
#[derive(Clone)]
pub(crate) struct Contents(Arc<Lent>);

struct Lent {
    workspace: Arc<Workspace>,
    known: Mutex<BTreeMap<ContentHash, Arc<[u8]>>>,
    missing: OnceLock<String>,
}

impl Contents {
    pub(crate) fn new(workspace: Arc<Workspace>) -> Self {
        Self(Arc::new(Lent { workspace, known: Mutex::default(), missing: OnceLock::new() }))
    }

    /// Returns what hands them out.
    pub(crate) fn given(&self) -> sandbox::Contents {
        let contents = self.clone();
        Arc::new(move |hash| contents.get(hash))
    }

    /// Returns why one could not be had, if one could not.
    pub(crate) fn missing(&self) -> Option<&str> {
        self.0.missing.get().map(String::as_str)
    }

    fn get(&self, hash: &ContentHash) -> Option<Arc<[u8]>> {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = known.get(hash) {
            return Some(bytes.clone());
        }
        match self.0.workspace.kept(hash) {
            Ok(bytes) => Some(known.entry(hash.clone()).or_insert(bytes.into()).clone()),
            Err(error) => {
                self.0.missing.get_or_init(|| format!("a content of its record cannot be had: {error}"));
                None
            }
        }
    }
}

/// What is to be kept of a call.
pub(crate) struct Taping {
    taped: Taped,
    contents: Vec<(ContentHash, Vec<u8>)>,
}

impl Taping {
    /// Ends the recording of a call; `None` of one that did not begin.
    pub(crate) fn of(recording: &Recording, outcome: &Outcome, staged: &[(Mount, ChangeSet)]) -> Option<Self> {
        let recorded = recording.take()?;
        let came = Came::of(&outcome.ending, &outcome.usage, staged.iter().map(|(_, changes)| changes));
        Some(match (recorded, came) {
            (Ok(recorded), Ok((came, _))) => Self::kept(recorded, came),
            (_, Err(reason)) => Self::not_kept(reason),
            (Err(NoTape(reason)), _) => Self::not_kept(&reason),
        })
    }

    fn kept(recorded: Recorded, came: Came) -> Self {
        let Recorded { tape, mut contents } = recorded;
        let bytes = serde_json::to_vec(&Reel { tape, came }).expect("a tape is plain data");
        let tape = ContentHash::of(&bytes);
        let named = contents.iter().map(|(hash, _)| hash.clone()).collect();
        contents.push((tape.clone(), bytes));
        Self { taped: Taped::Kept { tape, contents: named }, contents }
    }

    fn not_kept(reason: &str) -> Self {
        Self { taped: Taped::NotKept { reason: reason.to_owned() }, contents: Vec::new() }
    }

    /// Returns the event that says what is kept of `call`, and what that is.
    pub(crate) fn event(taping: Option<Self>, call: &CallId) -> (Option<EventBody>, Vec<(ContentHash, Vec<u8>)>) {
        let Some(Self { taped, contents }) = taping else { return (None, Vec::new()) };
        (Some(EventBody::CallTaped { call: call.clone(), taped }), contents)
    }
}
