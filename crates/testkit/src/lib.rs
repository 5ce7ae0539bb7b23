//! Layer: beside all, for tests and benches only. Verb: STANDS IN.
//!
//! A runtime as boot assembles it, over a temporary workspace. Tests and benches ask it; it asks every layer below the
//! loop. No crate of the product depends on it.
//!
//! Deliberately absent: doubles of any layer. What stands here is the real one.

#![warn(clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "it stands in for boot, which mints the root grant")]

mod server;

pub use server::Server;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use policy::{
    Access, Grant, GrantSpec, HostPattern, Judge, Limits, NetworkRules, NetworkScope, Principal, RuleSpec, SecretScope,
    ToolScope,
};
use protocol::{EventBody, SessionId, ToolCall};
use sandbox::{Sandbox, SandboxOptions, Secrets, SystemResolver, Tls};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tools::{Approver, Finished, Registry, Replayer, ToolSession, Tools, ToolsOptions, Unattended, builtin};
use workspace::{Durability, Mount, PendingCall, Workspace};

/// Calls that run at the same time.
const MAX_CONCURRENT_CALLS: u32 = 16;

/// A runtime over a temporary workspace. Its methods panic where a test could not go on.
pub struct Runtime {
    pub workspace: Arc<Workspace>,
    pub tools: Tools,
    pub grant: Grant,
    sandbox: Sandbox,
    folder: Arc<TempDir>,
}

/// What a configuration would say.
#[derive(Clone)]
pub struct Setup {
    /// The limits of every call.
    pub limits: Limits,
    /// The hosts that tools may reach, at private addresses too.
    pub hosts: Vec<HostPattern>,
    /// Those of them that honour idempotency keys.
    pub keyed: Vec<HostPattern>,
    pub rules: Vec<RuleSpec>,
    /// Who answers what the rules ask.
    pub approver: Arc<dyn Approver>,
    /// How long a question waits.
    pub approval_lasts: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        let (limits, hosts, keyed, rules) = (Limits::default(), Vec::new(), Vec::new(), Vec::new());
        Self { limits, hosts, keyed, rules, approver: Arc::new(Unattended), approval_lasts: Duration::from_hours(1) }
    }
}

impl Runtime {
    /// Returns a runtime over an empty workspace, with its compiled tools in `cache`.
    pub fn new(cache: &Path) -> Self {
        Self::with(cache, Setup::default())
    }

    /// Returns the same, configured.
    pub fn with(cache: &Path, setup: Setup) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let workspace = open(folder.path());
        Self::assembled(cache, setup, workspace, Arc::new(folder))
    }

    /// Returns another runtime over the same workspace, configured otherwise.
    #[must_use]
    pub fn over(&self, cache: &Path, setup: Setup) -> Self {
        Self::assembled(cache, setup, self.workspace.clone(), self.folder.clone())
    }

    fn assembled(cache: &Path, setup: Setup, workspace: Arc<Workspace>, folder: Arc<TempDir>) -> Self {
        let ceiling = setup.limits;
        let options = SandboxOptions {
            artifact_cache: cache.join("artifacts"),
            max_concurrent: MAX_CONCURRENT_CALLS,
            ceiling,
            resolver: Arc::new(SystemResolver),
            tls: Tls::new(Vec::new()).expect("TLS"),
        };
        let sandbox = Sandbox::new(options).expect("a sandbox");
        let tools = Tools::new(ToolsOptions {
            registry: registry(&sandbox),
            sandbox: sandbox.clone(),
            judge: judge(&setup),
            workspace: workspace.clone(),
            limits: ceiling,
            approver: setup.approver.clone(),
            approval_lasts: setup.approval_lasts,
            secrets: Arc::new(Secrets::none()),
            random,
        });
        Self { workspace, tools, grant: reaching(setup.hosts), sandbox, folder }
    }

    /// Returns what runs recorded calls again.
    pub fn replayer(&self) -> Replayer {
        Replayer::new(self.sandbox.clone(), registry(&self.sandbox), self.workspace.clone())
    }

    /// Returns the folder that tools see as `/work`.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Opens `session` anew, as another process does.
    pub fn reopened(&self, session: &ToolSession) -> ToolSession {
        let view = self.workspace.view(session.id()).expect("a session that can be read");
        let (id, grant) = (session.id().clone(), self.grant.clone());
        ToolSession::open(&self.workspace, id, Principal::Planner, grant, &view.observed).expect("a session")
    }

    /// Carries `proposal` out, which waits for nobody.
    pub async fn call(&self, session: &ToolSession, proposal: ToolCall) -> Finished {
        let (pending, cancel) = (PendingCall::new(proposal), CancellationToken::new());
        let called = self.tools.call(session, &pending, &cancel).await.expect("a call that comes to an end");
        called.finished().expect("a call that waits for nobody")
    }

    /// Opens a new session of a planner.
    pub fn session(&self) -> ToolSession {
        let id = SessionId::from_random(random());
        let opened = EventBody::SessionOpened { principal: Principal::Planner.to_string(), model: String::new() };
        self.workspace.journal().append(&id, &[opened], Durability::Process).expect("the journal takes events");
        ToolSession::open(&self.workspace, id, Principal::Planner, self.grant.clone(), &[]).expect("a session")
    }
}

fn registry(sandbox: &Sandbox) -> Registry {
    Registry::new(sandbox.clone(), builtin()).expect("the built-in tools register")
}

/// Opens the workspace at `root`, mounted as `/work`. Its journal is not signed.
pub fn open(root: &Path) -> Arc<Workspace> {
    open_with(root, None)
}

/// Opens the same, with its journal's key below `keys`.
pub fn open_with(root: &Path, keys: Option<&Path>) -> Arc<Workspace> {
    let mounts = [Mount { name: "/work".into(), host: root.to_owned() }];
    Arc::new(Workspace::open(root, &mounts, keys, SystemTime::now).expect("a workspace"))
}

fn judge(setup: &Setup) -> Judge {
    let network = NetworkRules {
        allow_private: setup.hosts.clone(),
        idempotency_keys: setup.keyed.clone(),
        ..NetworkRules::default()
    };
    Judge::new(setup.rules.clone()).expect("the rules compile").with_network(network)
}

/// Returns what boot grants without a configuration.
pub fn grant() -> Grant {
    reaching(Vec::new())
}

/// Returns what boot grants when these hosts are allowed.
fn reaching(hosts: Vec<HostPattern>) -> Grant {
    let files = [("/work", Access::ReadWrite), ("/results", Access::Read), ("/tmp", Access::ReadWrite)];
    let files: BTreeMap<_, _> = files.into_iter().map(|(mount, access)| (mount.to_owned(), access)).collect();
    let network = NetworkScope::of(hosts.into_iter().collect());
    Grant::root(GrantSpec { files, tools: ToolScope::All, network, secrets: SecretScope::All })
}

/// Returns distinct identifiers, the same ones in each process.
pub fn random() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
