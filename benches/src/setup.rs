//! A runtime as the command line assembles it, in a temporary workspace.
#![expect(clippy::disallowed_methods, reason = "benches stand in for boot")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use policy::{Access, Grant, GrantSpec, Judge, Limits, Principal, ToolScope};
use protocol::{EventBody, SessionId};
use sandbox::{Sandbox, SandboxOptions};
use tempfile::TempDir;
use tools::{Registry, ToolSession, Tools, ToolsOptions, Unattended, builtin};
use workspace::{Durability, Mount, Workspace};

/// A runtime over a temporary workspace.
pub(crate) struct Setup {
    pub(crate) workspace: Arc<Workspace>,
    pub(crate) tools: Tools,
    pub(crate) grant: Grant,
    pub(crate) folder: TempDir,
    _cache: TempDir,
}

impl Setup {
    pub(crate) fn new() -> Result<Self> {
        let (folder, cache) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let workspace = open(folder.path())?;
        let options = SandboxOptions {
            artifact_cache: cache.path().join("artifacts"),
            max_concurrent: 16,
            ceiling: Limits::default(),
        };
        let sandbox = Sandbox::new(options)?;
        let tools = Tools::new(ToolsOptions {
            registry: Registry::new(sandbox.clone(), builtin())?,
            sandbox,
            judge: Judge::new(Vec::new())?,
            workspace: workspace.clone(),
            limits: Limits::default(),
            approver: Arc::new(Unattended),
            random,
        });
        Ok(Self { workspace, tools, grant: grant(), folder, _cache: cache })
    }

    pub(crate) fn session(&self) -> Result<ToolSession> {
        let id = SessionId::from_random(random());
        let opened = EventBody::SessionOpened { principal: "bench".into(), model: String::new() };
        self.workspace.journal().append(&id, &[opened], Durability::Process)?;
        Ok(ToolSession::open(&self.workspace, id, Principal::Planner, self.grant.clone(), &[])?)
    }
}

pub(crate) fn open(root: &Path) -> Result<Arc<Workspace>> {
    let mounts = [Mount { name: "/work".into(), host: root.to_owned() }];
    Ok(Arc::new(Workspace::open(root, &mounts, SystemTime::now)?))
}

pub(crate) fn grant() -> Grant {
    let files = [("/work", Access::ReadWrite), ("/results", Access::Read)];
    let files: BTreeMap<_, _> = files.into_iter().map(|(mount, access)| (mount.to_owned(), access)).collect();
    Grant::root(GrantSpec { files, tools: ToolScope::All })
}

/// Returns distinct identifiers; a bench needs no more of randomness.
pub(crate) fn random() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Returns the product's binary, built beside this one.
pub(crate) fn binary() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("boxagnts");
    path.is_file()
        .then_some(path)
        .context("the binary `boxagnts` is not built beside this bench; run `cargo xtask bench`")
}

/// Returns the most memory that this process had resident.
pub(crate) fn peak_memory() -> Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in /proc/self/status")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(format!("{} MiB", kib >> 10))
}
