//! Boot: from a place and a configuration to a runtime. The one root grant is minted here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use policy::{Access, Grant, GrantSpec, Judge, NetworkScope, SecretScope, ToolScope};
use protocol::CommitOutcome;
use providers::ProviderSpec;
use rand::Rng as _;
use sandbox::{Sandbox, SandboxOptions, Secrets, SystemResolver, Tls};
use tools::{Approver, Extensions, Package, Registry, Replayer, Tools, ToolsOptions, Unattended};
use workspace::{
    Config, ConfigError, Keychain, Mount, Opening, SecretService, SecretStore, Standing, Workspace, for_terminal,
};

use crate::args::Place;
use crate::exit::Failure;
use crate::place;

/// The workspace, as guests name it.
pub(crate) const WORK: &str = "/work";

/// The session's whole outputs, as guests name them.
const RESULTS: &str = "/results";

/// The session's own folder, as guests name it.
const TMP: &str = "/tmp";

/// Calls that run in the sandbox at the same time: enough for the parallel reads of one reply, little enough that the
/// pool is small.
const MAX_CONCURRENT_CALLS: u32 = 16;

pub(crate) type Settings = Config<ProviderSpec>;

/// Where the runtime works and how it is configured.
pub(crate) struct Site {
    pub(crate) root: PathBuf,
    pub(crate) config: Settings,
    /// The person's extensions; a place of the runtime's own, such as the demo's, has none.
    pub(crate) extensions: Option<PathBuf>,
    /// The folder of secrets of a place of the runtime's own; elsewhere they are the person's.
    pub(crate) secrets: Option<PathBuf>,
    /// The folder of the keys under journals; without one nothing is signed.
    pub(crate) journals: Option<PathBuf>,
}

impl Site {
    /// Finds the workspace and reads its configuration.
    pub(crate) fn find(place: &Place) -> Result<Self, Failure> {
        let here =
            std::env::current_dir().map_err(|error| Failure::usage(format!("there is no current folder: {error}")))?;
        let site = Self::at(place::workspace(place.workspace.as_deref(), &here)?)?;
        Ok(Self { extensions: place::extensions(), journals: place::journals(), ..site })
    }

    /// Reads the configuration of the workspace at `root`.
    pub(crate) fn at(root: PathBuf) -> Result<Self, Failure> {
        let config = Config::load(&root).map_err(unconfigured)?;
        Ok(Self { root, config, extensions: None, secrets: None, journals: None })
    }

    /// Opens the workspace's state, and says what was found unfinished in it.
    pub(crate) fn workspace(&self) -> Result<Arc<Workspace>, Failure> {
        let workspace = self.workspace_in_silence()?;
        let standing = standing_notice(&workspace.journal().standing());
        for notice in standing.into_iter().chain(notices(workspace.opening())) {
            eprintln!("{notice}");
        }
        Ok(workspace)
    }

    /// Opens the workspace's state, for whoever says by themselves what was found.
    pub(crate) fn workspace_in_silence(&self) -> Result<Arc<Workspace>, Failure> {
        if let Some(folder) = &self.journals {
            self.check_apart("journal keys", folder)?;
        }
        let mut mounts = vec![Mount { name: WORK.to_owned(), host: self.config.work_dir.clone() }];
        mounts.extend(self.config.map_dirs.iter().map(|map| Mount { name: map.guest.clone(), host: map.host.clone() }));
        let keys = self.journals.as_deref();
        Ok(Arc::new(Workspace::open(&self.root, &mounts, keys, SystemTime::now).map_err(Failure::from)?))
    }

    /// Returns what the person's configuration grants.
    pub(crate) fn grant(&self) -> Grant {
        root(granted(&self.config))
    }

    /// Returns who judges by the person's configuration.
    pub(crate) fn judge(&self) -> Result<Judge, Failure> {
        judge(&self.config)
    }

    /// Starts the sandbox.
    pub(crate) fn sandbox(&self) -> Result<Sandbox, Failure> {
        let artifact_cache = place::artifact_cache()?;
        self.check_cache(&artifact_cache)?;
        let options = SandboxOptions {
            artifact_cache,
            max_concurrent: MAX_CONCURRENT_CALLS,
            ceiling: self.config.limits,
            resolver: Arc::new(SystemResolver),
            tls: Tls::new(Vec::new()).map_err(Failure::internal)?,
        };
        Sandbox::new(options).map_err(Failure::from)
    }

    /// Refuses a cache of compiled code that a tool could write.
    fn check_cache(&self, cache: &Path) -> Result<(), Failure> {
        match self.mount_over(cache) {
            None => Ok(()),
            Some(mount) => Err(Failure::usage(format!(
                "the cache of compiled tools, {}, lies inside {}, where tools can write",
                cache.display(),
                mount.display()
            ))
            .hint("put it elsewhere: XDG_CACHE_HOME=/path/outside boxagnts …")),
        }
    }

    /// Returns the person's secrets, which no tool may read.
    pub(crate) fn secret_store(&self) -> Result<SecretStore, Failure> {
        if let Some(folder) = &self.secrets {
            self.check_apart("secrets", folder)?;
            return Ok(SecretStore::new(folder.clone(), None));
        }
        let folder = place::secrets()?;
        self.check_apart("secrets", &folder)?;
        let keychain = place::has_session_bus().then(|| Arc::new(SecretService) as Arc<dyn Keychain>);
        Ok(SecretStore::new(folder, keychain))
    }

    /// Returns the values of the secrets that this workspace allows.
    pub(crate) fn secrets(&self) -> Result<Secrets, Failure> {
        if self.config.allowed_secrets.is_empty() {
            // Those of other workspaces are out of reach too.
            place::secrets().map_or(Ok(()), |folder| self.check_apart("secrets", &folder))?;
            return Ok(Secrets::none());
        }
        let unreadable = |error| {
            Failure::usage(format!("a secret that this workspace allows cannot be read: {error}"))
                .hint("store it again with boxagnts secret set, or take it out of [secrets] allowed in boxagnts.toml")
        };
        let secrets = self.secret_store()?.read(&self.config.allowed_secrets).map_err(unreadable)?;
        Secrets::new(secrets).map_err(Failure::usage)
    }

    /// Refuses a folder of the runtime's that a tool could reach: a planner would give itself tools, or read secrets.
    fn check_apart(&self, what: &str, folder: &Path) -> Result<(), Failure> {
        match self.mount_over(folder) {
            None => Ok(()),
            Some(mount) => Err(Failure::usage(format!(
                "the folder of {what}, {}, and {}, where tools can write, are not apart",
                folder.display(),
                mount.display()
            ))
            .hint("put it elsewhere: XDG_DATA_HOME=/path/outside boxagnts …")),
        }
    }

    /// Returns the mount that holds `folder` or lies in it, wherever links lead.
    fn mount_over(&self, folder: &Path) -> Option<&PathBuf> {
        let folder = place::resolved(folder);
        let mut mounts = std::iter::once(&self.config.work_dir).chain(self.config.map_dirs.iter().map(|map| &map.host));
        mounts.find(|mount| {
            let mount = place::resolved(mount);
            folder.starts_with(&mount) || mount.starts_with(&folder)
        })
    }

    /// Returns the registered tools, with the person's extensions.
    pub(crate) fn registry(
        &self,
        sandbox: &Sandbox,
        packages: Vec<Package>,
        approver: Arc<dyn Approver>,
    ) -> Result<Registry, Failure> {
        let registry = Registry::new(sandbox.clone(), packages).map_err(Failure::internal)?;
        let Some(folder) = &self.extensions else { return Ok(registry) };
        self.check_apart("extensions", folder)?;
        Ok(registry.extended(Extensions::new(folder), approver))
    }

    /// Assembles what runs recorded calls again: no grant, no secret and no rule is needed for what reaches nothing.
    pub(crate) fn replayer(&self, workspace: Arc<Workspace>, packages: Vec<Package>) -> Result<Replayer, Failure> {
        let sandbox = self.sandbox()?;
        let registry = self.registry(&sandbox, packages, Arc::new(Unattended))?;
        Ok(Replayer::new(sandbox, registry, workspace))
    }

    /// Assembles the tool interface.
    pub(crate) fn tools(
        &self,
        workspace: Arc<Workspace>,
        packages: Vec<Package>,
        approver: Arc<dyn Approver>,
    ) -> Result<Tools, Failure> {
        let sandbox = self.sandbox()?;
        let registry = self.registry(&sandbox, packages, approver.clone())?;
        let secrets = Arc::new(self.secrets()?);
        let judge = self.judge()?;
        let limits = self.config.limits;
        Ok(Tools::new(ToolsOptions {
            sandbox,
            registry,
            judge,
            workspace,
            limits,
            approver,
            approval_lasts: self.config.approvals_expire_after,
            secrets,
            random,
        }))
    }
}

/// Returns what a session held that is run again. Nothing is reached with it: its calls play their tapes, and its workspace
/// is an empty folder.
pub(crate) fn grant_of_replay(held: GrantSpec) -> Grant {
    root(held)
}

#[expect(clippy::disallowed_methods, reason = "the one place where a root grant is minted")]
fn root(held: GrantSpec) -> Grant {
    Grant::root(held)
}

/// Returns what `config` grants, as data: the mounts, hosts and secrets that it names, and every tool.
pub(crate) fn granted<P>(config: &Config<P>) -> GrantSpec {
    let own = [(WORK, Access::ReadWrite), (RESULTS, Access::Read), (TMP, Access::ReadWrite)];
    let mut files: BTreeMap<_, _> = own.into_iter().map(|(mount, access)| (mount.to_owned(), access)).collect();
    files.extend(config.map_dirs.iter().map(|map| (map.guest.clone(), map.access)));
    let network = NetworkScope::of(config.allowed_outbound_hosts.clone());
    let secrets = SecretScope::Only(config.allowed_secrets.clone());
    GrantSpec { files, tools: ToolScope::All, network, secrets }
}

/// Returns who judges by `config`.
pub(crate) fn judge<P>(config: &Config<P>) -> Result<Judge, Failure> {
    let judge = Judge::new(config.rules.clone()).map_err(Failure::usage)?;
    Ok(judge.with_network(config.network.clone()))
}

/// Returns what a person should know about a journal that nothing is added to.
fn standing_notice(standing: &Standing) -> Option<String> {
    const LOOK: &str = "nothing is added to it; see: boxagnts audit verify";
    match standing {
        Standing::Signed | Standing::Unsigned => None,
        Standing::Unknown => {
            Some(format!("note: this journal was not signed on this machine, or not in this folder: {LOOK}"))
        }
        Standing::Broken { broken } => Some(format!("warning: {}: {LOOK}", for_terminal(&broken.to_string()))),
    }
}

/// Returns what a person should know about the state that was opened.
fn notices(opening: &Opening) -> Vec<String> {
    let settled = opening.settled.iter().map(|commit| match &commit.outcome {
        CommitOutcome::Committed => format!("note: the interrupted commit {} was finished", commit.change_set),
        CommitOutcome::Conflicted { .. } => format!("note: the interrupted commit {} was not made", commit.change_set),
        CommitOutcome::RolledBack { reason } => {
            format!("note: the interrupted commit {} was taken back: {}", commit.change_set, for_terminal(reason))
        }
    });
    let unsettled = opening.unsettled.iter().map(|(change_set, reason)| {
        format!(
            "warning: the interrupted commit {change_set} can be neither finished nor taken back: {}",
            for_terminal(reason)
        )
    });
    let excluded = opening.not_excluded.iter().map(|reason| {
        format!("warning: .boxagnts/ could not be added to the repository's info/exclude: {}", for_terminal(reason))
    });
    settled.chain(unsettled).chain(excluded).collect()
}

/// Returns fresh random bits for identifiers.
pub(crate) fn random() -> u64 {
    rand::rng().next_u64()
}

pub(crate) fn unconfigured(error: ConfigError) -> Failure {
    let failure = Failure::usage(&error);
    match error {
        ConfigError::Invalid { hint: Some(hint), .. } => failure.hint(hint),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::ChangeSetId;
    use workspace::Committed;

    #[test]
    fn a_person_is_told_what_an_interruption_left() {
        let change_set = ChangeSetId::from_random(7);
        let settled = |outcome| Committed { change_set: change_set.clone(), outcome, observed: Vec::new() };
        let opening = Opening {
            settled: vec![
                settled(CommitOutcome::Committed),
                settled(CommitOutcome::RolledBack { reason: "a.txt changed\u{1b}[2J".into() }),
            ],
            unsettled: vec![(change_set.clone(), "the disk is full".into())],
            not_excluded: None,
        };
        let said = notices(&opening).join("\n");
        assert!(said.contains("was finished") && said.contains("taken back: a.txt changed"));
        assert!(said.contains("neither finished nor taken back: the disk is full") && !said.contains('\u{1b}'));
        assert_eq!(notices(&Opening::default()), Vec::<String>::new());
    }
}
