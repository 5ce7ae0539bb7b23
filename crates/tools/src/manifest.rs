//! Manifests: what a tool asks for.

use policy::{
    Access, Effect, GrantSpec, HostPattern, InvalidPath, LimitsSpec, Request, SecretScope, Target, resolve_argument,
};
use protocol::Level;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeSet;
use url::Url;

use crate::command::CommandSpec;

/// `tool.toml`: what a component is called, how much harm it could do, and what it asks for. A request is not a grant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    pub level: Level,
    pub capabilities: Capabilities,
    /// Narrower limits than the session's.
    #[serde(default)]
    pub limits: LimitsSpec,
    /// Arguments that name paths, so that they are judged before the call.
    #[serde(default)]
    pub paths: Vec<PathArgument>,
    /// How a plain `wasi:cli/run` command is called; without it the component exports the tool world.
    pub command: Option<CommandSpec>,
    /// Arguments that are URLs to talk to, so that they are judged before the call.
    #[serde(default)]
    pub urls: Vec<UrlArgument>,
}

/// What a tool asks for; what is not written is not asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    pub files: FileAccess,
    /// Hosts that the tool wants to talk to; of these it gets those that the person allows.
    #[serde(default)]
    pub network: BTreeSet<HostPattern>,
    /// Secrets that it wants to send: names, or `*`; of these it gets those that the workspace allows.
    #[serde(default = "no_secrets", deserialize_with = "secrets")]
    pub secrets: SecretScope,
}

fn no_secrets() -> SecretScope {
    SecretScope::Only(BTreeSet::new())
}

fn secrets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretScope, D::Error> {
    let names = BTreeSet::<String>::deserialize(deserializer)?;
    if names.contains("*") {
        return Ok(SecretScope::All);
    }
    let names: Result<_, _> = names.iter().map(|name| name.parse()).collect();
    names.map(SecretScope::Only).map_err(D::Error::custom)
}

/// What a tool asks to do with the files of its mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileAccess {
    None,
    /// To be linked with the interface, as every program with a standard library is, and to see no mount.
    Empty,
    Read,
    ReadWrite,
}

impl FileAccess {
    fn access(self) -> Option<Access> {
        match self {
            Self::None | Self::Empty => None,
            Self::Read => Some(Access::Read),
            Self::ReadWrite => Some(Access::ReadWrite),
        }
    }
}

/// An argument that names a path.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathArgument {
    pub argument: String,
    pub access: PathAccess,
    /// What the tool takes when the argument is absent.
    pub default: Option<String>,
}

/// An argument that is a URL.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UrlArgument {
    pub argument: String,
}

/// What a tool does with the path of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathAccess {
    Read,
    Write,
}

/// A manifest that cannot be trusted to mean something.
#[derive(Debug, thiserror::Error)]
pub enum InvalidManifest {
    #[error("tool.toml cannot be read: {0}")]
    Syntax(#[from] toml::de::Error),
    #[error("the tool name `{0}` is not 1 to 64 characters of a-z, 0-9, `-` and `_`")]
    Name(String),
    #[error("tool `{tool}` asks to write files but says level `{level}`; say `write` or more")]
    Level { tool: String, level: Level },
    #[error("tool `{tool}` asks for the network but says level `{level}`; say `execute` or more")]
    NetworkLevel { tool: String, level: Level },
    #[error(
        "tool `{tool}` asks for secrets but not for the network, where alone they go; say `network = [\"https://…\"]`"
    )]
    Secrets { tool: String },
    #[error("tool `{tool}` writes the path `{argument}` but does not ask for `files = \"read_write\"`")]
    Path { tool: String, argument: String },
}

impl Manifest {
    /// Returns the manifest of `text`.
    pub fn parse(text: &str) -> Result<Self, InvalidManifest> {
        let manifest: Self = toml::from_str(text)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), InvalidManifest> {
        let tool = self.name.clone();
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if tool.is_empty() || tool.len() > 64 || !tool.bytes().all(letter) {
            return Err(InvalidManifest::Name(tool));
        }
        let writes = self.capabilities.files == FileAccess::ReadWrite;
        if writes && self.level < Level::Write {
            return Err(InvalidManifest::Level { tool, level: self.level });
        }
        if !self.capabilities.network.is_empty() && self.level < Level::Execute {
            return Err(InvalidManifest::NetworkLevel { tool, level: self.level });
        }
        if self.capabilities.secrets != no_secrets() && self.capabilities.network.is_empty() {
            return Err(InvalidManifest::Secrets { tool });
        }
        match self.paths.iter().find(|path| path.access == PathAccess::Write && !writes) {
            Some(path) => Err(InvalidManifest::Path { tool, argument: path.argument.clone() }),
            None => Ok(()),
        }
    }

    /// Returns what this tool asks for, one line each: what a person approves of an extension. A level is a request too:
    /// rules decide by it.
    pub fn asks(&self) -> BTreeSet<String> {
        // A lower level is judged more mildly, so that also going down is something to ask for.
        let harmless = self.capabilities.files.access().is_none() && self.capabilities.network.is_empty();
        let level = (self.level != Level::None || !harmless).then(|| format!("be judged as level {}", self.level));
        let files: &[&str] = match self.capabilities.files {
            FileAccess::None | FileAccess::Empty => &[],
            FileAccess::Read => &["read files"],
            FileAccess::ReadWrite => &["read files", "write files, staged"],
        };
        let hosts = self.capabilities.network.iter().map(|host| format!("talk to {host}, as far as it is allowed"));
        let secrets = match &self.capabilities.secrets {
            SecretScope::All => {
                vec!["send every secret that the workspace allows to the hosts it is bound to".to_owned()]
            }
            SecretScope::Only(names) => {
                names.iter().map(|name| format!("send the secret {name} to the hosts it is bound to")).collect()
            }
        };
        let files = files.iter().map(|line| (*line).to_owned());
        level.into_iter().chain(files).chain(hosts).chain(secrets).collect()
    }

    /// Returns what this tool asks for of `held`.
    pub fn request(&self, held: &policy::Grant) -> GrantSpec {
        self.asks_for().of(held.as_spec(), &self.name)
    }

    /// Returns what this tool asks for of whatever is held.
    pub fn asks_for(&self) -> Request {
        let Capabilities { files, network, secrets } = self.capabilities.clone();
        Request { files: files.access(), network, secrets }
    }

    /// Returns the effects that `arguments` name. A path outside every mount stays as it was written, so that it is
    /// judged, refused and recorded like any other.
    pub fn effects(&self, arguments: &Value, mounts: &[&str]) -> BTreeSet<Effect> {
        let effect = |path: &PathArgument| {
            let named = arguments.get(&path.argument).and_then(Value::as_str).or(path.default.as_deref())?;
            let path_named = match resolve_argument(named, mounts.iter().copied()) {
                Ok(path) | Err(InvalidPath::Outside(path)) => path,
                Err(InvalidPath::Nul) => named.escape_debug().to_string(),
            };
            Some(match path.access {
                PathAccess::Read => Effect::Read { path: path_named },
                PathAccess::Write => Effect::Write { path: path_named },
            })
        };
        let connect = |url: &UrlArgument| {
            let url = Url::parse(arguments.get(&url.argument)?.as_str()?).ok()?;
            // What is no target is refused by the gate, with a reason, when it is asked for.
            Target::of_url(&url).ok().map(|target| Effect::Connect { target })
        };
        self.paths.iter().filter_map(effect).chain(self.urls.iter().filter_map(connect)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const EDIT: &str = r#"
        name = "edit"
        version = "0.1.0"
        level = "write"
        [capabilities]
        files = "read_write"
        [[paths]]
        argument = "path"
        access = "write"
        default = "."
    "#;

    #[test]
    fn the_effects_are_what_the_arguments_name() {
        let manifest = Manifest::parse(EDIT).unwrap();
        let effects = |arguments| manifest.effects(&arguments, &["/work", "/lib"]);
        let write = |path: &str| BTreeSet::from([Effect::Write { path: path.into() }]);
        assert_eq!(effects(json!({"path": "./a/../b"})), write("/work/b"));
        assert_eq!(effects(json!({"path": "/lib/x"})), write("/lib/x"));
        assert_eq!(effects(json!({})), write("/work"));
        assert_eq!(effects(json!({"path": "../../etc/passwd"})), write("../../etc/passwd"));
    }

    #[test]
    fn each_capability_is_asked_for_in_a_line_of_its_own() {
        let asks =
            |from, to| Manifest::parse(&EDIT.replacen(from, to, 1)).unwrap().asks().into_iter().collect::<Vec<_>>();
        assert_eq!(asks("", ""), ["be judged as level write", "read files", "write files, staged"]);
        let manifest = "name = \"x\"\nversion = \"1\"\nlevel = \"none\"\n[capabilities]\nfiles = \"none\"\n";
        assert!(Manifest::parse(manifest).unwrap().asks().is_empty());
        let reading = manifest.replace("files = \"none\"", "files = \"read\"");
        let mild = BTreeSet::from(["be judged as level none".into(), "read files".into()]);
        assert_eq!(Manifest::parse(&reading).unwrap().asks(), mild);
        // Who approved that each call asks did not approve that none does.
        let harsh = Manifest::parse(&reading.replace("\"none\"\n[", "\"dangerous\"\n[")).unwrap().asks();
        assert_eq!(mild.difference(&harsh).collect::<Vec<_>>(), ["be judged as level none"]);
    }

    #[test]
    fn secrets_are_asked_for_by_name_or_all_at_once() {
        let asking = |secrets: &str| {
            let network = "level = \"execute\"\n[capabilities]\nnetwork = [\"https://a.test\"]\n";
            Manifest::parse(&format!("name = \"x\"\nversion = \"1\"\n{network}files = \"none\"\n{secrets}"))
        };
        let lines = |secrets| asking(secrets).unwrap().asks().into_iter().skip(1).collect::<Vec<_>>();
        assert_eq!(lines("").len(), 1);
        assert_eq!(
            lines("secrets = [\"B\", \"A\"]")[..2],
            ["send the secret A to the hosts it is bound to", "send the secret B to the hosts it is bound to"]
        );
        assert_eq!(
            lines("secrets = [\"*\"]")[0],
            "send every secret that the workspace allows to the hosts it is bound to"
        );
        assert!(asking("secrets = [\"my-key\"]").unwrap_err().to_string().contains("write `MY_KEY`"));
        let only = |names: &[&str]| SecretScope::Only(names.iter().map(|name| name.parse().unwrap()).collect());
        assert_eq!(asking("secrets = [\"A\"]").unwrap().capabilities.secrets, only(&["A"]));
        assert_eq!(asking("").unwrap().capabilities.secrets, only(&[]));
        let text =
            "name = \"x\"\nversion = \"1\"\nlevel = \"execute\"\n[capabilities]\nfiles = \"none\"\nsecrets = [\"*\"]";
        assert!(matches!(Manifest::parse(text), Err(InvalidManifest::Secrets { .. })));
    }

    #[test]
    fn manifests_that_contradict_themselves_are_refused() {
        for (from, to, message) in [
            (
                "\"write\"\n        [cap",
                "\"read_only\"\n        [cap",
                "asks to write files but says level `read_only`",
            ),
            ("\"read_write\"", "\"read\"", "writes the path `path`"),
            ("\"edit\"", "\"../edit\"", "is not 1 to 64 characters"),
            ("version", "verzion", "unknown field `verzion`"),
        ] {
            let error = Manifest::parse(&EDIT.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
