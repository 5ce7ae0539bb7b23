//! Cases that a policy is tested by: what is asked for, and what should be said to it.

use std::path::{Path, PathBuf};

use policy::{Effect, Principal};
use protocol::{Level, Verdict};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use toml::Spanned;

use super::{
    Config, ConfigError, File, LimitsSpec, MapDirSpec, NetworkSpec, RuleSpec, SecretsSpec, Source, read, resolve,
};

/// A file of cases, with the policy that it names or holds.
#[derive(Debug)]
pub struct Cases {
    pub policy: CasesPolicy,
    /// One at least.
    pub cases: Vec<PolicyCase>,
}

/// The policy of a file of cases.
#[derive(Debug)]
pub enum CasesPolicy {
    /// The workspace's own.
    Own,
    /// The configuration at this path.
    At(PathBuf),
    /// What the file itself says.
    Within(Box<Config<IgnoredAny>>),
}

/// One case.
#[derive(Debug)]
pub struct PolicyCase {
    /// Where it stands in the file, from 1.
    pub line: usize,
    pub spec: CaseSpec,
}

/// One case as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseSpec {
    /// For people.
    pub name: Option<String>,
    /// A planner, unless it says otherwise.
    pub principal: Option<Principal>,
    pub tool: String,
    /// The registered tool's, unless it says otherwise.
    pub level: Option<Level>,
    /// What the tool is called with; its manifest says which effects that names.
    pub arguments: Option<Value>,
    /// The effects themselves. Relative paths belong to the workspace.
    pub effects: Option<Vec<Effect>>,
    pub expect: Verdict,
    /// The rule that should decide.
    pub rule: Option<String>,
}

/// The file as it is written: the keys of `boxagnts.toml` that are policy, and cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CasesFile {
    policy: Option<Spanned<PathBuf>>,
    #[serde(default)]
    case: Vec<Spanned<CaseSpec>>,
    map_dirs: Option<Vec<Spanned<MapDirSpec>>>,
    limits: Option<Spanned<LimitsSpec>>,
    rules: Option<Spanned<Vec<RuleSpec>>>,
    network: Option<NetworkSpec>,
    secrets: Option<SecretsSpec>,
}

impl CasesFile {
    fn holds_policy(&self) -> bool {
        self.map_dirs.is_some()
            || self.limits.is_some()
            || self.rules.is_some()
            || self.network.is_some()
            || self.secrets.is_some()
    }

    /// Returns the configuration that says nothing but this file's policy.
    fn configuration(self) -> File<IgnoredAny> {
        let Self { map_dirs, limits, rules, network, secrets, .. } = self;
        File { map_dirs, limits, rules, network, secrets, ..File::default() }
    }
}

impl Cases {
    /// Reads the cases at `path`.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(path, &read(path)?)
    }

    /// Reads `text` as if it stood at `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let source = Source { path, text };
        let mut file: CasesFile = toml::from_str(text).map_err(|error| source.misread(&error))?;
        let cases = std::mem::take(&mut file.case);
        if cases.is_empty() {
            let hint = "write for example: [[case]] tool = \"write\" effects = [\"write docs/a\"] expect = \"ask\"";
            return Err(source.invalid(None, "there is no `[[case]]` in it".into(), Some(hint.into())));
        }
        let cases = cases.into_iter().map(|case| one(&source, case)).collect::<Result<_, _>>()?;
        Ok(Self { policy: policy(&source, file)?, cases })
    }
}

fn one(source: &Source<'_>, case: Spanned<CaseSpec>) -> Result<PolicyCase, ConfigError> {
    let span = case.span();
    let spec = case.into_inner();
    if spec.arguments.is_some() && spec.effects.is_some() {
        let hint = Some("write what the tool is called with, or what it would do".to_owned());
        return Err(source.invalid(Some(span), "a case has `arguments` or `effects`, not both".into(), hint));
    }
    Ok(PolicyCase { line: source.line(Some(span)), spec })
}

fn policy(source: &Source<'_>, file: CasesFile) -> Result<CasesPolicy, ConfigError> {
    let holds_policy = file.holds_policy();
    match &file.policy {
        Some(path) if holds_policy => {
            let message = "`policy` names a file, and this one has a policy of its own".to_owned();
            Err(source.invalid(Some(path.span()), message, Some("leave one of them out".into())))
        }
        Some(path) => Ok(CasesPolicy::At(source.folder().join(path.get_ref()))),
        None if holds_policy => Ok(CasesPolicy::Within(Box::new(resolve(source, file.configuration())?))),
        None => Ok(CasesPolicy::Own),
    }
}
