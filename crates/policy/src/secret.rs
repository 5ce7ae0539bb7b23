//! Secrets: what they are called, where they may go, and what stands for them until they do.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::capability::SecretScope;
use crate::egress::Ruling;
use crate::network::{HostPattern, Scheme, Target};

/// How a placeholder begins. Its one spelling is `{{secret:NAME}}`.
pub const PLACEHOLDER_START: &str = "{{secret:";

/// How a placeholder ends.
pub const PLACEHOLDER_END: &str = "}}";

/// What stands for the secret in the format of a header.
const SLOT: &str = "{}";

/// Longest name of a secret.
const MAX_NAME_BYTES: usize = 64;

/// Longest name of a header, parameter or user, and longest format: what servers accept, many times over.
const MAX_FIELD_BYTES: usize = 256;

/// What a secret is called: capital letters, digits and `_`, as variables of an environment are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretName(String);

/// A name that no secret can have. `suggestion` is one that it could.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` is not a secret's name (1 to {MAX_NAME_BYTES} of A-Z, 0-9 and `_`, a letter first); write `{suggestion}`"
)]
pub struct InvalidSecretName {
    pub name: String,
    pub suggestion: String,
}

impl SecretName {
    /// Returns the name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns what stands for the secret wherever its value must not be seen.
    pub fn placeholder(&self) -> String {
        format!("{PLACEHOLDER_START}{}{PLACEHOLDER_END}", self.0)
    }
}

impl FromStr for SecretName {
    type Err = InvalidSecretName;

    fn from_str(text: &str) -> Result<Self, InvalidSecretName> {
        let letter = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        let valid = (1..=MAX_NAME_BYTES).contains(&text.len())
            && text.bytes().all(letter)
            && text.starts_with(|first: char| first.is_ascii_uppercase());
        let invalid =
            || InvalidSecretName { name: text.chars().take(MAX_NAME_BYTES).collect(), suggestion: name_like(text) };
        if valid { Ok(Self(text.to_owned())) } else { Err(invalid()) }
    }
}

fn name_like(text: &str) -> String {
    let letter = |char: char| if char.is_ascii_alphanumeric() { char.to_ascii_uppercase() } else { '_' };
    let name: String = text.trim().chars().map(letter).take(MAX_NAME_BYTES).collect();
    let name = name.trim_start_matches(|first: char| !first.is_ascii_uppercase()).trim_end_matches('_');
    if name.is_empty() { "API_KEY".into() } else { name.into() }
}

impl TryFrom<String> for SecretName {
    type Error = InvalidSecretName;

    fn try_from(text: String) -> Result<Self, InvalidSecretName> {
        text.parse()
    }
}

impl From<SecretName> for String {
    fn from(name: SecretName) -> Self {
        name.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The one place of a request that a secret goes into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Placement {
    /// A header, lower-case; `{}` in the format stands for the value.
    Header { name: String, format: String },
    /// A parameter of the URL's query.
    Query { name: String },
    /// The password of HTTP's basic authentication (RFC 7617).
    Basic { user: String },
}

impl fmt::Display for Placement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { name, format } if format == SLOT => write!(formatter, "header {name}"),
            Self::Header { name, format } => write!(formatter, "header {name}: {format}"),
            Self::Query { name } => write!(formatter, "query parameter {name}"),
            Self::Basic { user } => write!(formatter, "basic authentication of {user}"),
        }
    }
}

impl Placement {
    /// Returns the value of the header with `secret` in it.
    pub fn formatted(format: &str, secret: &str) -> String {
        format.replacen(SLOT, secret, 1)
    }

    fn check(&self) -> Result<(), InvalidSecretSpec> {
        use InvalidSecretSpec::{Format, Header, Query, User};
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let sized = |text: &str| (1..=MAX_FIELD_BYTES).contains(&text.len());
        let plain = |text: &str| sized(text) && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        match self {
            Self::Header { name, .. } if !(sized(name) && name.bytes().all(token)) => Err(Header(name.clone())),
            Self::Header { format, .. } if !(plain(format) && format.matches(SLOT).count() == 1) => {
                Err(Format(format.clone()))
            }
            Self::Query { name } if !plain(name) => Err(Query(name.clone())),
            Self::Basic { user } if !plain(user) || user.contains(':') => Err(User(user.clone())),
            _ => Ok(()),
        }
    }
}

/// What a person said of a secret: everything but its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct SecretSpec {
    name: SecretName,
    hosts: BTreeSet<HostPattern>,
    placement: Placement,
}

/// A [`SecretSpec`] that was not checked yet.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: SecretName,
    hosts: BTreeSet<HostPattern>,
    placement: Placement,
}

/// What cannot be said of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecretSpec {
    #[error("a secret is bound to one host at least; write for example `https://api.example.com`")]
    NoHost,
    #[error("`{0}` is not spoken to with HTTP, and a secret goes nowhere else; write `https://…`")]
    Scheme(HostPattern),
    #[error("`{0}` is not the name of a header; write for example `Authorization`")]
    Header(String),
    #[error(
        "`{0}` is not the format of a header: it is plain ASCII with one `{{}}` for the value; write `Bearer {{}}`"
    )]
    Format(String),
    #[error("`{0}` is not the name of a query parameter; write for example `key`")]
    Query(String),
    #[error("`{0}` is not a user of basic authentication: it is plain ASCII without `:`")]
    User(String),
}

impl SecretSpec {
    /// Returns what is said of the secret `name`.
    pub fn new(
        name: SecretName,
        hosts: BTreeSet<HostPattern>,
        mut placement: Placement,
    ) -> Result<Self, InvalidSecretSpec> {
        if hosts.is_empty() {
            return Err(InvalidSecretSpec::NoHost);
        }
        let spoken = |host: &&HostPattern| matches!(host.scheme(), Some(Scheme::Tcp | Scheme::Udp));
        if let Some(host) = hosts.iter().find(spoken) {
            return Err(InvalidSecretSpec::Scheme(host.clone()));
        }
        placement.check()?;
        if let Placement::Header { name, .. } = &mut placement {
            name.make_ascii_lowercase();
        }
        Ok(Self { name, hosts, placement })
    }

    /// Returns what the secret is called.
    pub fn name(&self) -> &SecretName {
        &self.name
    }

    /// Returns the targets that it is bound to.
    pub fn hosts(&self) -> &BTreeSet<HostPattern> {
        &self.hosts
    }

    /// Returns the place that it goes into.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Returns how a guest writes it, for the model.
    pub fn usage(&self) -> String {
        let placeholder = self.name.placeholder();
        match &self.placement {
            Placement::Header { name, format } => {
                format!("header `{name}` with the value `{}`", Placement::formatted(format, &placeholder))
            }
            Placement::Query { name } => format!("query parameter `{name}` with the value `{placeholder}`"),
            Placement::Basic { .. } => format!("header `authorization` with the value `Basic {placeholder}`"),
        }
    }

    /// Returns the hosts that it is bound to, for people and for the model.
    pub fn bound_to(&self) -> String {
        self.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

impl TryFrom<Written> for SecretSpec {
    type Error = InvalidSecretSpec;

    fn try_from(Written { name, hosts, placement }: Written) -> Result<Self, InvalidSecretSpec> {
        Self::new(name, hosts, placement)
    }
}

impl From<SecretSpec> for Written {
    fn from(SecretSpec { name, hosts, placement }: SecretSpec) -> Self {
        Self { name, hosts, placement }
    }
}

/// Judges sending the secret `name` to `target` before anything is looked up: what the call holds, then what the person
/// said of the secret. Where it stands in the request is for [`refuse_placement`] to refuse.
pub fn judge_secret(held: &SecretScope, name: &SecretName, spec: Option<&SecretSpec>, target: &Target) -> Ruling {
    if let Some(refusal) = refuse_ungranted(held, name) {
        return refusal;
    }
    let Some(spec) = spec else {
        return Ruling::deny("secrets.unknown", format!("No secret {name} is stored; a person can do that."));
    };
    if !spec.hosts.iter().any(|host| host.matches(target)) {
        return Ruling::deny("secrets.host", format!("{name} is bound to {}.", spec.bound_to()));
    }
    match target.address() {
        Some(address) => judge_secret_path(target, &[address]),
        None => Ruling::allow("secrets.host", "The secret is bound to this target."),
    }
}

/// Returns the refusal of a secret that the call does not hold.
pub(crate) fn refuse_ungranted(held: &SecretScope, name: &SecretName) -> Option<Ruling> {
    let reason =
        || format!("{name} is not granted: `[secrets] allowed` does not name it, or the tool does not ask for it.");
    (!held.contains(name)).then(|| Ruling::deny("secrets.grant", reason()))
}

/// Judges sending secrets to `target` at `addresses`: nobody on the way may read them.
pub fn judge_secret_path(target: &Target, addresses: &[IpAddr]) -> Ruling {
    if target.scheme() == Scheme::Https || addresses.iter().all(IpAddr::is_loopback) {
        return Ruling::allow("secrets.tls", "Nobody can listen.");
    }
    Ruling::deny("secrets.tls", "A secret goes out with TLS (https) only, or to this machine's own loopback.".into())
}

/// Returns the refusal of a placeholder that does not stand where its secret belongs.
pub fn refuse_placement(spec: &SecretSpec) -> Ruling {
    let reason = format!("{} goes once into its own place and nowhere else: {}.", spec.name, spec.usage());
    Ruling::deny("secrets.placement", reason)
}

/// Returns the refusal of what begins like a placeholder and is none.
pub fn refuse_placeholder() -> Ruling {
    let reason = format!("A placeholder is written {PLACEHOLDER_START}NAME{PLACEHOLDER_END}, in plain letters.");
    Ruling::deny("secrets.unknown", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> SecretName {
        text.parse().unwrap()
    }

    fn spec(hosts: &[&str], placement: Placement) -> Result<SecretSpec, InvalidSecretSpec> {
        SecretSpec::new(name("KEY"), hosts.iter().map(|host| host.parse().unwrap()).collect(), placement)
    }

    fn header(name: &str, format: &str) -> Placement {
        Placement::Header { name: name.into(), format: format.into() }
    }

    #[test]
    fn a_name_that_is_not_understood_comes_with_one_that_is() {
        for (text, suggestion) in [
            ("github-token", "GITHUB_TOKEN"),
            ("", "API_KEY"),
            ("9x", "X"),
            ("_A", "A"),
            ("A B ", "A_B"),
            ("Ä", "API_KEY"),
            ("A}}", "A"),
        ] {
            assert_eq!(text.parse::<SecretName>().unwrap_err().suggestion, suggestion, "{text}");
            assert_eq!(name(suggestion).as_str(), suggestion);
        }
        assert!("A".repeat(MAX_NAME_BYTES + 1).parse::<SecretName>().is_err());
        assert_eq!(name("A_1").placeholder(), "{{secret:A_1}}");
    }

    #[test]
    fn what_cannot_be_said_of_a_secret_is_refused() {
        let host = &["https://a.test"][..];
        for (placement, error) in [
            (header("x y", "{}"), InvalidSecretSpec::Header("x y".into())),
            (header("", "{}"), InvalidSecretSpec::Header(String::new())),
            (header("x\r\ny", "{}"), InvalidSecretSpec::Header("x\r\ny".into())),
            (header("x", "Bearer"), InvalidSecretSpec::Format("Bearer".into())),
            (header("x", "{}{}"), InvalidSecretSpec::Format("{}{}".into())),
            (header("x", "a\r\nb: {}"), InvalidSecretSpec::Format("a\r\nb: {}".into())),
            (Placement::Query { name: String::new() }, InvalidSecretSpec::Query(String::new())),
            (Placement::Basic { user: "a:b".into() }, InvalidSecretSpec::User("a:b".into())),
        ] {
            assert_eq!(spec(host, placement.clone()).unwrap_err(), error);
            let written = Written { name: name("KEY"), hosts: BTreeSet::from([host[0].parse().unwrap()]), placement };
            let stored = serde_json::to_string(&written).unwrap();
            assert!(serde_json::from_str::<SecretSpec>(&stored).is_err(), "{stored}");
        }
        assert_eq!(spec(&[], header("x", "{}")).unwrap_err(), InvalidSecretSpec::NoHost);
        let scheme = spec(&["tcp://a.test:5"], header("x", "{}")).unwrap_err();
        assert_eq!(scheme, InvalidSecretSpec::Scheme("tcp://a.test:5".parse().unwrap()));
    }

    #[test]
    fn a_secret_is_stored_as_it_was_said() {
        let said = spec(&["https://*.a.test"], header("X-Key", "Bearer {}")).unwrap();
        assert_eq!(said.usage(), "header `x-key` with the value `Bearer {{secret:KEY}}`");
        assert_eq!(serde_json::from_str::<SecretSpec>(&serde_json::to_string(&said).unwrap()).unwrap(), said);
    }

    #[test]
    fn a_secret_goes_only_where_it_is_bound_and_nobody_listens() {
        let key = spec(&["*://a.test:*", "http://*:8080"], Placement::Query { name: "key".into() }).unwrap();
        let held = SecretScope::Only(BTreeSet::from([name("KEY")]));
        let judge = |held: &SecretScope, spec: Option<&SecretSpec>, url: &str| {
            let target = Target::of_url(&url.parse().unwrap()).unwrap();
            judge_secret(held, &name("KEY"), spec, &target).rule_of_denial()
        };
        let none = SecretScope::Only(BTreeSet::new());
        assert_eq!(judge(&none, Some(&key), "https://a.test"), Some("secrets.grant".into()));
        assert_eq!(judge(&SecretScope::All, None, "https://a.test"), Some("secrets.unknown".into()));
        assert_eq!(judge(&held, Some(&key), "https://b.test"), Some("secrets.host".into()));
        assert_eq!(judge(&held, Some(&key), "https://a.test.b"), Some("secrets.host".into()));
        assert_eq!(judge(&held, Some(&key), "http://10.0.0.1:8080"), Some("secrets.tls".into()));
        assert_eq!(judge(&held, Some(&key), "http://127.1:8080"), None);
        assert_eq!(judge(&held, Some(&key), "https://a.test"), None);
        assert_eq!(judge(&held, Some(&key), "http://a.test"), None);
    }

    #[test]
    fn without_tls_every_address_must_be_this_machine() {
        let path = |url: &str, addresses: &[&str]| {
            let target = Target::of_url(&url.parse().unwrap()).unwrap();
            let addresses: Vec<_> = addresses.iter().map(|address| address.parse().unwrap()).collect();
            judge_secret_path(&target, &addresses).rule_of_denial()
        };
        assert_eq!(path("https://a.test", &["8.8.8.8"]), None);
        assert_eq!(path("http://a.test", &["127.0.0.1", "::1"]), None);
        assert_eq!(path("http://a.test", &["127.0.0.1", "10.0.0.1"]), Some("secrets.tls".into()));
    }
}
