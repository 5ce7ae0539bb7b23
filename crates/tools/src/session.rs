//! What the tools keep of one session: who asks, with which grant, what was read, and where whole outputs lie.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use policy::{Grant, PolicyRecord, Principal, Recorder as _};
use protocol::{Basis, CallId, CommitMode, ContentHash, EventBody, Observation, SessionId, Stamp};
use sandbox::Mount;
use stage::Base;
use workspace::{JournalError, SessionJournal, SessionTmp, StagedView, Workspace};

use crate::entry::Tool;
use crate::{Tools, ToolsError};

/// The guest's name of the read-only mount of whole outputs.
pub(crate) const RESULTS: &str = "/results";

/// The guest's name of the session's own folder.
pub(crate) const TMP: &str = "/tmp";

/// Files that one call may have looked at so that their state counts as seen. A search through a whole tree shows a few
/// lines of many files; nobody decided anything on the state of each.
const MAX_OBSERVED: usize = 64;

/// One session as the tools see it.
#[derive(Debug)]
pub struct ToolSession {
    id: SessionId,
    principal: Principal,
    grant: Grant,
    results: Base,
    tmp: Arc<SessionTmp>,
    seen: Mutex<BTreeMap<(String, String), Stamp>>,
    /// What this process stated in the session's journal, by its digest.
    stated: Mutex<BTreeSet<ContentHash>>,
    /// The digest of the policy that its calls are judged by.
    policy: OnceLock<ContentHash>,
    commit_mode: CommitMode,
    /// What was staged and not committed yet, by mount.
    staged: Mutex<BTreeMap<String, StagedView>>,
}

impl ToolSession {
    /// Opens a session of `workspace` that holds `grant` and has seen `observed` before.
    pub fn open(
        workspace: &Workspace,
        id: SessionId,
        principal: Principal,
        grant: Grant,
        observed: &[Observation],
    ) -> Result<Self, ToolsError> {
        let results = Base::open(&workspace.results(&id)?)?;
        let tmp = Arc::new(SessionTmp::open(workspace, &id)?);
        let session = Self {
            id,
            principal,
            grant,
            results,
            tmp,
            seen: Mutex::default(),
            stated: Mutex::default(),
            policy: OnceLock::new(),
            commit_mode: CommitMode::default(),
            staged: Mutex::default(),
        };
        session.remember(observed);
        Ok(session)
    }

    /// Returns the session with its changes committed when `commit_mode` says, over what was staged before.
    #[must_use]
    pub fn committing(self, commit_mode: CommitMode, staged: BTreeMap<String, StagedView>) -> Self {
        Self { commit_mode, staged: Mutex::new(staged), ..self }
    }

    /// Tells when the session's changes are committed.
    pub fn commit_mode(&self) -> CommitMode {
        self.commit_mode
    }

    /// Returns what the session staged in `mount` and has not committed.
    pub(crate) fn staged(&self, mount: &str) -> Option<StagedView> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner).get(mount).cloned()
    }

    /// Tells whether the session staged something that is not committed.
    pub fn has_staged(&self) -> bool {
        !self.staged.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Returns all that the session staged and has not committed.
    pub(crate) fn all_staged(&self) -> Vec<StagedView> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Forgets what was staged in `mount`: it is committed.
    pub(crate) fn unstage(&self, mount: &str) {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner).remove(mount);
    }

    /// Takes `staged` in place of what was staged in its mount before; nothing, where that is empty.
    pub(crate) fn restage(&self, staged: StagedView) {
        let mount = staged.staged.changes.mount.clone();
        let mut all = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
        if staged.staged.changes.is_empty() {
            all.remove(&mount)
        } else {
            all.insert(mount, staged)
        };
    }

    /// Returns the session's identifier.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    pub(crate) fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Returns what the session may do.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    pub(crate) fn results(&self) -> &Base {
        &self.results
    }

    pub(crate) fn tmp(&self) -> &Arc<SessionTmp> {
        &self.tmp
    }

    /// Returns the guest's path of a call's whole output.
    pub(crate) fn result_path(call: &CallId) -> String {
        format!("{RESULTS}/{call}.txt")
    }

    /// Keeps the whole output of a call where [`Self::result_path`] says.
    pub(crate) fn keep(&self, workspace: &Workspace, call: &CallId, text: &str) -> Result<ContentHash, ToolsError> {
        Ok(workspace.keep_result(&self.id, call, text)?)
    }

    /// Returns where the journal has what calls of `tool` are judged by; the first to need it writes it down.
    pub(crate) fn basis(
        &self,
        journal: &SessionJournal<'_>,
        tools: &Tools,
        tool: &Tool,
    ) -> Result<Basis, JournalError> {
        // Held while writing: a call beside this one must not go on before it is there.
        let mut stated = self.stated.lock().unwrap_or_else(PoisonError::into_inner);
        let policy = self.policy(journal, tools)?;
        let (digest, record) = tool.stated();
        if !stated.contains(digest) {
            journal.record(EventBody::ToolStated { digest: digest.clone(), tool: record.clone() })?;
            stated.insert(digest.clone());
        }
        Ok(Basis { policy, tool: Some(digest.clone()) })
    }

    /// Returns where the journal has the policy; the first to need it writes it down.
    pub(crate) fn policy(&self, journal: &SessionJournal<'_>, tools: &Tools) -> Result<ContentHash, JournalError> {
        if let Some(policy) = self.policy.get() {
            return Ok(policy.clone());
        }
        let policy = journal.state_policy(&PolicyRecord::of(&tools.judge, self.grant.spec(), tools.limits))?;
        Ok(self.policy.get_or_init(|| policy).clone())
    }

    /// Returns what the calls of this session saw of `mount`.
    pub(crate) fn seen(&self, mount: &str) -> Vec<Observation> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let of_mount = seen.iter().filter(|((of, _), _)| of == mount);
        of_mount.map(|((mount, path), stamp)| observation(mount, path, *stamp)).collect()
    }

    /// Returns what a call saw, as far as its state counts as seen.
    pub(crate) fn observe<'a>(mounts: impl Iterator<Item = &'a Mount>) -> Vec<Observation> {
        // What is the session's own is nobody else's to change.
        let shared = mounts.filter(|mount| mount.name != TMP);
        let observed: Vec<_> = shared.flat_map(|mount| mount.stage.observed()).collect();
        if observed.len() > MAX_OBSERVED { Vec::new() } else { observed }
    }

    pub(crate) fn remember(&self, observed: &[Observation]) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.extend(observed.iter().map(|seen| ((seen.mount.clone(), seen.path.clone()), seen.stamp)));
    }
}

pub(crate) fn observation(mount: &str, path: &str, stamp: Stamp) -> Observation {
    Observation { mount: mount.to_owned(), path: path.to_owned(), stamp }
}
