//! `boxagnts.toml`: parse, resolve, hand on. A file that is not understood is an error that names the key; it is never
//! ignored, guessed at or written to.

mod budget;
pub(crate) mod cases;
pub(crate) mod retention;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

pub use budget::{BudgetSpec, InvalidBudget, SpendingSpec, Time, Usd};
use ipnet::IpNet;
use policy::{Access, Budget, HostPattern, Judge, Limits, LimitsSpec, NetworkRules, RuleSpec, SecretName, UrlPattern};
use protocol::CommitMode;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use toml::Spanned;

use crate::gc::Retention;
use retention::RetentionSpec;

/// The file's name, at the root of a workspace.
const FILE_NAME: &str = "boxagnts.toml";

const DEFAULTS: &str = include_str!("defaults.toml");

/// Bytes of a configuration that a person could still read in a minute, many times over.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Model calls in one turn that anybody could want.
const MOST_TURNS: u32 = 100_000;

/// The longest that a question may wait: what was asked a month ago nobody remembers.
const LONGEST_APPROVAL: Duration = Duration::from_hours(720);

/// Tries of one model call that anybody could want.
const MOST_TRIES: u32 = 100;

/// How alike two keys are when one is a slip of the other: the share of characters in common, in order.
const LIKENESS: f32 = 0.6;

/// Names that mounts of the runtime's own have.
const TAKEN_MOUNTS: [&str; 3] = ["/work", "/results", "/tmp"];

/// A directory that tools see beside the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapDir {
    /// Absolute, unless the configuration's own path is not.
    pub host: PathBuf,
    /// `/NAME`.
    pub guest: String,
    pub access: Access,
}

/// What the person configured, resolved. `P` is what one `[providers.NAME]` holds; it should deny unknown fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Config<P> {
    /// `provider/name`; `None` when the file does not say.
    pub model: Option<String>,
    /// `provider/name` of the model that is called when the other goes on failing.
    pub fallback_model: Option<String>,
    /// Model calls that one turn may make; at least 1.
    pub max_turns: u32,
    /// Times that one reply is continued after its limit of length cut it off.
    pub max_tokens_recovery_limit: u32,
    /// Times that a model is called again after it failed.
    pub max_retries: u32,
    /// Batches of calls in a row that may bring nothing new.
    pub max_repeats: u32,
    /// What may be spent on models.
    pub budget: Budget,
    /// When changes are committed.
    pub commit: CommitMode,
    /// How long a question waits for its answer, and an answer for its use.
    pub approvals_expire_after: Duration,
    /// What tools see as `/work`.
    pub work_dir: PathBuf,
    pub map_dirs: Vec<MapDir>,
    pub limits: Limits,
    /// Checked: [`Judge::new`] takes them.
    pub rules: Vec<RuleSpec>,
    /// What tools may talk to; nothing by default.
    pub allowed_outbound_hosts: BTreeSet<HostPattern>,
    pub network: NetworkRules,
    /// Which of the person's secrets tools may have sent out; none by default.
    pub allowed_secrets: BTreeSet<SecretName>,
    /// What of the past is kept.
    pub retention: Retention,
    pub providers: BTreeMap<String, P>,
}

/// A configuration that is not used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `message` names the key; `hint` says which one may have been meant.
    #[error("{path}:{line}: {message}")]
    Invalid { path: PathBuf, line: usize, message: String, hint: Option<String> },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, bound = "P: DeserializeOwned")]
struct File<P> {
    model: Option<String>,
    fallback_model: Option<String>,
    max_turns: Option<Spanned<u32>>,
    max_tokens_recovery_limit: Option<Spanned<u32>>,
    max_retries: Option<Spanned<u32>>,
    max_repeats: Option<Spanned<u32>>,
    budget: Option<Spanned<BudgetSpec>>,
    commit: Option<CommitMode>,
    approvals: Option<Spanned<ApprovalsSpec>>,
    work_dir: Option<PathBuf>,
    map_dirs: Option<Vec<Spanned<MapDirSpec>>>,
    limits: Option<Spanned<LimitsSpec>>,
    rules: Option<Spanned<Vec<RuleSpec>>>,
    network: Option<NetworkSpec>,
    secrets: Option<SecretsSpec>,
    retention: Option<Spanned<RetentionSpec>>,
    providers: Option<BTreeMap<String, P>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkSpec {
    #[serde(default)]
    allowed_outbound_hosts: BTreeSet<HostPattern>,
    #[serde(default)]
    block_networks: Vec<IpNet>,
    #[serde(default)]
    block_url: Vec<UrlPattern>,
    #[serde(default)]
    allow_private: Vec<HostPattern>,
    #[serde(default)]
    idempotency_keys: Vec<HostPattern>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApprovalsSpec {
    expire_after: Option<Time>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretsSpec {
    #[serde(default)]
    allowed: BTreeSet<SecretName>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MapDirSpec {
    host: PathBuf,
    guest: String,
    access: Access,
}

impl<P: DeserializeOwned> Config<P> {
    /// Reads `boxagnts.toml` of the workspace at `root`; without that file the defaults hold.
    pub fn load(root: &Path) -> Result<Self, ConfigError> {
        let path = root.join(FILE_NAME);
        match read(&path) {
            Err(ConfigError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Self::parse(&path, ""),
            text => Self::parse(&path, &text?),
        }
    }

    /// Reads the configuration at `path`, which must exist.
    pub fn load_from(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(path, &read(path)?)
    }

    /// Reads `text` as if it stood at `path`: its relative directories belong to that file's folder.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let source = Source { path, text };
        let file: File<P> = toml::from_str(text).map_err(|error| source.misread(&error))?;
        resolve(&source, file)
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let io = |source| ConfigError::Io { path: path.to_owned(), source };
    if fs::metadata(path).map_err(io)?.len() > MAX_FILE_BYTES {
        return Err(io(io::Error::from(io::ErrorKind::FileTooLarge)));
    }
    fs::read_to_string(path).map_err(io)
}

/// A file that errors point into.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    /// Returns the line where `span` begins, from 1.
    fn line(&self, span: Option<Range<usize>>) -> usize {
        let start = span.map_or(0, |span| span.start).min(self.text.len());
        self.text.get(..start).map_or(0, |before| before.matches('\n').count()) + 1
    }

    fn invalid(&self, span: Option<Range<usize>>, message: String, hint: Option<String>) -> ConfigError {
        let line = self.line(span);
        ConfigError::Invalid { path: self.path.to_owned(), line, message, hint }
    }

    fn misread(&self, error: &toml::de::Error) -> ConfigError {
        let message = error.message().to_owned();
        let hint = meant(&message).map(|key| format!("did you mean `{key}`?"));
        self.invalid(error.span(), message, hint)
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

/// Returns the known key that an unknown one may stand for. serde says "unknown field `x`, expected one of `a`, `b`", for
/// every struct alike, also for those of other crates.
fn meant(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant "))?;
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let written = quoted.next()?;
    let known: Vec<&str> = quoted.collect();
    similar::get_close_matches(written, &known, 1, LIKENESS).first().map(|nearest| (*nearest).to_owned())
}

fn resolve<P>(source: &Source<'_>, file: File<P>) -> Result<Config<P>, ConfigError> {
    let defaults: File<IgnoredAny> = toml::from_str(DEFAULTS).expect("the checked-in defaults are read by a test");
    let (limits, rules) = (file.limits, file.rules);
    let invalid = |span: Option<Range<usize>>, message: String| source.invalid(span, message, None);

    let counted = |name: &str, written: Option<Spanned<u32>>, default: Option<Spanned<u32>>, least: u32, most: u32| {
        let span = written.as_ref().map(Spanned::span);
        let count = written.or(default).map_or(least, Spanned::into_inner);
        let within = (least..=most).contains(&count);
        within.then_some(count).ok_or_else(|| invalid(span, format!("`{name} = {count}` is outside {least}..={most}")))
    };
    let max_turns = counted("max_turns", file.max_turns, defaults.max_turns, 1, MOST_TURNS)?;
    let max_tokens_recovery_limit = counted(
        "max_tokens_recovery_limit",
        file.max_tokens_recovery_limit,
        defaults.max_tokens_recovery_limit,
        0,
        MOST_TRIES,
    )?;
    let max_retries = counted("max_retries", file.max_retries, defaults.max_retries, 0, MOST_TRIES)?;
    let max_repeats = counted("max_repeats", file.max_repeats, defaults.max_repeats, 1, MOST_TURNS)?;

    let span = file.budget.as_ref().map(Spanned::span);
    let budget = file.budget.or(defaults.budget).map(Spanned::into_inner).unwrap_or_default();
    let budget = budget.resolve(&Budget::default()).map_err(|error| invalid(span, error.to_string()))?;

    let span = file.approvals.as_ref().map(Spanned::span);
    let expire_after = |spec: Spanned<ApprovalsSpec>| spec.into_inner().expire_after;
    let written = file.approvals.and_then(expire_after).or(defaults.approvals.and_then(expire_after));
    let approvals_expire_after = written.map_or(Duration::ZERO, |Time(time)| time);
    if approvals_expire_after.is_zero() || approvals_expire_after > LONGEST_APPROVAL {
        return Err(invalid(span, "`expire_after` is outside 1s..=30 days (720h)".to_owned()));
    }

    let span = limits.as_ref().map(Spanned::span);
    let limits = limits.or(defaults.limits).map(Spanned::into_inner).unwrap_or_default();
    let limits = limits.resolve(&Limits::default()).map_err(|error| invalid(span, error.to_string()))?;

    let span = rules.as_ref().map(Spanned::span);
    let rules = rules.or(defaults.rules).map(Spanned::into_inner).unwrap_or_default();
    Judge::new(rules.clone()).map_err(|error| invalid(span, error.to_string()))?;

    let defaults_of_retention = defaults.retention.map(Spanned::into_inner).unwrap_or_default();
    let span = file.retention.as_ref().map(Spanned::span);
    let retention = file.retention.map(Spanned::into_inner).unwrap_or_default();
    let retention = retention.resolve(&defaults_of_retention).map_err(|error| invalid(span, error.to_string()))?;

    let network = file.network.or(defaults.network).unwrap_or_default();
    let NetworkSpec { allowed_outbound_hosts, block_networks, block_url, allow_private, idempotency_keys } = network;

    let work_dir = file.work_dir.or(defaults.work_dir).unwrap_or_default();
    let map_dirs = file.map_dirs.or(defaults.map_dirs).unwrap_or_default();
    Ok(Config {
        model: file.model.or(defaults.model),
        fallback_model: file.fallback_model.or(defaults.fallback_model),
        max_turns,
        max_tokens_recovery_limit,
        max_retries,
        max_repeats,
        budget,
        commit: file.commit.or(defaults.commit).unwrap_or_default(),
        approvals_expire_after,
        work_dir: source.folder().join(work_dir),
        map_dirs: resolve_mounts(source, map_dirs)?,
        limits,
        rules,
        allowed_outbound_hosts,
        network: NetworkRules { block_networks, block_url, allow_private, idempotency_keys },
        allowed_secrets: file.secrets.or(defaults.secrets).unwrap_or_default().allowed,
        retention,
        providers: file.providers.unwrap_or_default(),
    })
}

fn resolve_mounts(source: &Source<'_>, specs: Vec<Spanned<MapDirSpec>>) -> Result<Vec<MapDir>, ConfigError> {
    let mut names = BTreeSet::new();
    let resolve = |spec: Spanned<MapDirSpec>| {
        let (span, MapDirSpec { host, guest, access }) = (spec.span(), spec.into_inner());
        let fault = mount_fault(&guest).or((!names.insert(guest.clone())).then_some("is mounted twice"));
        match fault {
            Some(fault) => Err(source.invalid(Some(span), format!("`guest = \"{guest}\"` {fault}"), None)),
            None => Ok(MapDir { host: source.folder().join(host), guest, access }),
        }
    };
    specs.into_iter().map(resolve).collect()
}

/// Returns what is wrong with a guest's name of a mount.
fn mount_fault(guest: &str) -> Option<&'static str> {
    let Some(name) = guest.strip_prefix('/') else { return Some("is not absolute: write \"/NAME\"") };
    let mut parts = Path::new(name).components();
    let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name);
    if !plain || name.chars().any(char::is_control) {
        return Some("is not the name of a mount: write \"/NAME\"");
    }
    if stage::is_hidden(name) || TAKEN_MOUNTS.iter().any(|taken| taken.eq_ignore_ascii_case(guest)) {
        return Some("is taken by the runtime");
    }
    None
}

#[cfg(test)]
mod tests;
