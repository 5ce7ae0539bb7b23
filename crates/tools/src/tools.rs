//! The tool interface of one process: what calls need that does not change between them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use policy::{Access, Capability, CommitPermit, Effect, Grant, Judge, Limits, SecretSpec};
use protocol::{CallId, ChangeSet, CommitOutcome, Conflict, Observation};
use sandbox::{Mount, Recording, Sandbox, Secrets};
use stage::{Quota, Scratch, Stage, StageError, StageOptions, Veil};
use workspace::{Commit, CommitError, DiffError, JournalError, Workspace, WorkspaceError};

use crate::approver::Approver;
use crate::entry::Tool;
use crate::past::Past;
use crate::registry::{Registry, RegistryError};
use crate::session::{RESULTS, TMP, ToolSession};

/// Why the runtime cannot carry out calls at all. What is wrong with one call is never an error here.
#[derive(Debug, thiserror::Error)]
pub enum ToolsError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Diff(#[from] DiffError),
    #[error("the staged changes cannot be read: {0}")]
    Stage(#[from] StageError),
    #[error("the sandbox failed: {0}")]
    Sandbox(String),
    #[error("the commit was interrupted")]
    Interrupted,
}

/// What the tool interface is made of.
pub struct ToolsOptions {
    pub sandbox: Sandbox,
    pub registry: Registry,
    pub judge: Judge,
    pub workspace: Arc<Workspace>,
    /// The limits of every call; a tool's manifest may narrow them.
    pub limits: Limits,
    pub approver: Arc<dyn Approver>,
    /// How long a question waits for its answer, and an answer for its use.
    pub approval_lasts: Duration,
    /// Every secret that the workspace allows, with its value.
    pub secrets: Arc<Secrets>,
    /// Randomness for identifiers.
    pub random: fn() -> u64,
}

/// The one door between a loop and every effect.
pub struct Tools {
    pub(crate) sandbox: Sandbox,
    pub(crate) registry: Registry,
    pub(crate) judge: Arc<Judge>,
    pub(crate) workspace: Arc<Workspace>,
    pub(crate) limits: Limits,
    pub(crate) approver: Arc<dyn Approver>,
    pub(crate) approval_lasts: Duration,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) random: fn() -> u64,
    /// What the world was, where a recorded session is run again.
    pub(crate) past: Option<Past>,
    scratch: Scratch,
}

/// What a commit left behind.
pub(crate) struct Landed {
    pub(crate) outcome: CommitOutcome,
    pub(crate) observed: Vec<Observation>,
}

impl Tools {
    /// Returns the tool interface.
    pub fn new(options: ToolsOptions) -> Self {
        let ToolsOptions { sandbox, registry, judge, workspace, limits, approver, approval_lasts, secrets, random } =
            options;
        let scratch = Scratch::new(workspace.scratch());
        Self {
            sandbox,
            registry,
            judge: Arc::new(judge),
            workspace,
            limits,
            approver,
            approval_lasts,
            secrets,
            random,
            past: None,
            scratch,
        }
    }

    /// Returns the same tool interface for a session that is run again: no call reaches anything but its tape, and nothing is
    /// committed.
    #[must_use]
    pub fn replaying(self, past: Past) -> Self {
        Self { past: Some(past), ..self }
    }

    /// Returns the registered tools.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns the secrets that `grant` holds and that there are; their values are nobody's to read.
    pub fn secrets(&self, grant: &Grant) -> Vec<&SecretSpec> {
        let held = |spec: &&SecretSpec| grant.allows(&Capability::Secret { name: spec.name().clone() });
        self.secrets.specs().filter(held).collect()
    }

    /// Tells whether calls of `tool` may run beside each other: they change nothing.
    pub fn is_parallel(&self, tool: &str) -> bool {
        self.registry.level(tool).is_some_and(|level| level <= protocol::Level::ReadOnly)
    }

    /// Returns a fresh stage for each mount that the session is granted; `recording` notes what their bases answer.
    pub(crate) fn mounts(
        &self,
        session: &ToolSession,
        tool: &Tool,
        approved: &BTreeSet<Effect>,
        limits: &Limits,
        recording: &Recording,
    ) -> Result<Vec<Mount>, CommitError> {
        let mount = |(name, access): (&str, Access)| {
            let mut options =
                StageOptions { veil: self.veil(name, tool, approved), ..self.options(name, access, limits) };
            let base = match name {
                RESULTS => session.results(),
                TMP => {
                    options.quota = session.tmp().room(options.quota);
                    session.tmp().base()
                }
                name => self.workspace.base(name)?,
            };
            let stage = Stage::new(recording.mount(name, base.clone()), options);
            stage.expect(&session.seen(name));
            let staged = session.staged(name).filter(|_| stage.is_writable());
            let restaged = staged.map_or(Ok(()), |staged| self.restage(&stage, staged.staged.changes, recording));
            Some(restaged.map(|()| Mount { name: name.to_owned(), stage }))
        };
        session.grant().mounts().filter_map(mount).collect()
    }

    /// Begins a stage with what earlier calls staged.
    fn restage(&self, stage: &Stage, changes: ChangeSet, recording: &Recording) -> Result<(), CommitError> {
        let at = SystemTime::now();
        self.workspace.restage(stage, &changes, at)?;
        recording.staged(stage.mount(), changes, at);
        Ok(())
    }

    fn options(&self, mount: &str, access: Access, limits: &Limits) -> StageOptions {
        StageOptions {
            mount: mount.to_owned(),
            writable: access == Access::ReadWrite,
            quota: Quota { bytes: limits.staged_bytes, entries: limits.staged_entries },
            scratch: self.scratch.clone(),
            clock: SystemTime::now,
            veil: Veil::none(),
        }
    }

    /// Returns what the rules that name paths hide from `tool`, wherever it meets it.
    fn veil(&self, mount: &str, tool: &Tool, approved: &BTreeSet<Effect>) -> Veil {
        if !self.judge.hides_paths() {
            return Veil::none();
        }
        let (judge, mount, approved) = (self.judge.clone(), mount.to_owned(), approved.clone());
        let (tool, level) = (tool.manifest.name.clone(), tool.manifest.level);
        Veil::new(move |path| judge.hides(&tool, level, &format!("{mount}/{path}"), &approved))
    }

    /// Applies what a call left in its session's own folder, on a thread that may block.
    pub(crate) async fn apply_tmp(
        &self,
        session: &ToolSession,
        permit: CommitPermit,
        mount: Mount,
        changes: ChangeSet,
    ) -> Result<Vec<Conflict>, ToolsError> {
        let (workspace, tmp) = (self.workspace.clone(), session.tmp().clone());
        let apply = move || workspace.apply_tmp(permit, &tmp, &mount.stage, &changes);
        Ok(tokio::task::spawn_blocking(apply).await.map_err(|_| ToolsError::Interrupted)??)
    }

    /// Commits on a thread that may block: files are written and flushed.
    pub(crate) async fn commit(
        &self,
        session: &ToolSession,
        permit: CommitPermit,
        call: CallId,
        mount: Mount,
        changes: ChangeSet,
    ) -> Result<Landed, ToolsError> {
        let (workspace, session) = (self.workspace.clone(), session.id().clone());
        let commit = move || {
            let (session, call, stage, changes) = (&session, &call, &mount.stage, &changes);
            workspace.commit(Commit { session, call, permit, stage, changes })
        };
        let committed = tokio::task::spawn_blocking(commit).await.map_err(|_| ToolsError::Interrupted)??;
        Ok(Landed { outcome: committed.outcome, observed: committed.observed })
    }
}
