//! What is never reached, whoever allows it: networks and URLs.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::Url;

use super::address::{canonical_address, is_public, is_unicast};
use super::pattern::HostPattern;
use super::target::{Scheme, Target};

/// How often an encoded path is decoded before it is compared: what a careless server would do, and once more.
const DECODINGS: usize = 3;

/// What is blocked beside the allow-list, and the exceptions that a person makes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkRules {
    /// Networks beside the non-public ones, which are blocked always.
    pub block_networks: Vec<IpNet>,
    pub block_url: Vec<UrlPattern>,
    /// Targets that may resolve to non-public addresses. They must be allowed as well.
    pub allow_private: Vec<HostPattern>,
    /// Targets that honour `Idempotency-Key`: a request that comes twice with the same key has its effect once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub idempotency_keys: Vec<HostPattern>,
}

impl NetworkRules {
    /// Tells whether requests to `target` that are not idempotent by themselves carry a key.
    pub fn wants_key(&self, target: &Target) -> bool {
        self.idempotency_keys.iter().any(|pattern| pattern.matches(target))
    }

    /// Returns the entry of `block_url` that forbids `url`, if one does.
    pub fn blocks_url(&self, url: &Url) -> Option<&UrlPattern> {
        self.block_url.iter().find(|pattern| pattern.matches(url))
    }

    /// Returns the entry of `block_url` that forbids bytes to `target` that nobody reads: one that names a URL of it.
    pub fn blocks_raw(&self, target: &Target) -> Option<&UrlPattern> {
        self.block_url.iter().find(|pattern| pattern.host.matches(target))
    }

    /// Returns the entry of `block_url` whose host the bare address `target` might be: one by name, at its port.
    pub(crate) fn may_block_raw(&self, target: &Target) -> Option<&UrlPattern> {
        target.address()?;
        self.block_url.iter().find(|pattern| pattern.host.is_named() && pattern.host.has_port(target.port()))
    }

    /// Returns the setting that forbids to reach `target` at `address`, if one does.
    pub fn blocks_address(&self, target: &Target, address: IpAddr) -> Option<&'static str> {
        let address = canonical_address(address);
        if self.block_networks.iter().any(|net| net.contains(&address)) {
            return Some("network.block_networks");
        }
        let excepted = || self.allow_private.iter().any(|pattern| pattern.matches(target));
        if !is_public(address) && !excepted() {
            return Some("network.private");
        }
        (!is_unicast(address)).then_some("network.unicast")
    }
}

/// One entry of `block_url`: `https://example.com/admin`, `*://*.example.com/*/private`. What is left out matches
/// everything; a path is a prefix, in which `*` stands for anything; upper and lower case are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UrlPattern {
    text: String,
    scheme: Option<Scheme>,
    host: HostPattern,
    /// Pieces of a path between stars, lower-case; the first stands at the beginning.
    path: Vec<String>,
}

/// A URL pattern that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a URL pattern ({problem}); write for example `https://example.com/admin`")]
pub struct InvalidBlock {
    pub pattern: String,
    pub problem: String,
}

impl fmt::Display for UrlPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl From<UrlPattern> for String {
    fn from(pattern: UrlPattern) -> Self {
        pattern.text
    }
}

impl UrlPattern {
    /// Tells whether `url`, as parsed, is blocked.
    pub fn matches(&self, url: &Url) -> bool {
        let Ok(target) = Target::of_url(url) else { return true };
        self.scheme.is_none_or(|scheme| scheme == target.scheme())
            && self.host.matches(&target)
            && spellings(url).iter().any(|path| self.matches_path(path))
    }

    /// Returns the part that names hosts and ports, of whatever scheme.
    pub(crate) fn host(&self) -> &HostPattern {
        &self.host
    }

    fn matches_path(&self, path: &str) -> bool {
        let mut pieces = self.path.iter();
        let first = pieces.next().map_or("", String::as_str);
        let Some(mut rest) = path.strip_prefix(first) else { return false };
        for piece in pieces {
            let Some(at) = rest.find(piece.as_str()) else { return false };
            rest = &rest[at + piece.len()..];
        }
        true
    }
}

/// Returns path and query as they are written and as a server may read them, lower-case.
fn spellings(url: &Url) -> Vec<String> {
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let (mut path, mut query) = (url.path().to_lowercase(), query.to_lowercase());
    let mut spellings = Vec::new();
    for _ in 0..=DECODINGS {
        spellings.push(format!("{}{query}", squeeze(&path)));
        // A `?` that was encoded belongs to the path for one server and ends it for another.
        if let Some((before, after)) = path.split_once('?') {
            spellings.push(format!("{}?{after}{query}", squeeze(before)));
        }
        let decoded = (decode(&path), decode(&query));
        if (&decoded.0, &decoded.1) == (&path, &query) {
            break;
        }
        (path, query) = decoded;
    }
    spellings
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().to_lowercase()
}

/// Returns `path` with neither empty nor dotted components.
fn squeeze(path: &str) -> String {
    let path = path.replace('\\', "/");
    let mut components: Vec<&str> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            component => components.push(component),
        }
    }
    let slash = if path.ends_with('/') && !components.is_empty() { "/" } else { "" };
    format!("/{}{slash}", components.join("/"))
}

impl FromStr for UrlPattern {
    type Err = InvalidBlock;

    fn from_str(text: &str) -> Result<Self, InvalidBlock> {
        let invalid = |problem: String| InvalidBlock { pattern: text.to_owned(), problem };
        let (scheme, rest) = text.split_once("://").unwrap_or(("*", text));
        let scheme = match scheme {
            "*" => None,
            "http" => Some(Scheme::Http),
            "https" => Some(Scheme::Https),
            _ => return Err(invalid("the scheme is none of http, https and *".into())),
        };
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(at);
        // A restriction without a port holds for every port.
        let port = if has_port(host) { "" } else { ":*" };
        let host = format!("*://{host}{port}").parse::<HostPattern>().map_err(|error| invalid(error.problem.into()))?;
        let path = path.to_lowercase().split('*').map(str::to_owned).collect();
        Ok(Self { text: text.to_owned(), scheme, host, path })
    }
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(']').map_or(host, |(_, rest)| rest).contains(':')
}

impl TryFrom<String> for UrlPattern {
    type Error = InvalidBlock;

    fn try_from(text: String) -> Result<Self, InvalidBlock> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked(pattern: &str, url: &str) -> bool {
        let rules = NetworkRules { block_url: vec![pattern.parse().unwrap()], ..NetworkRules::default() };
        rules.blocks_url(&Url::parse(url).unwrap()).is_some()
    }

    #[test]
    fn a_blocked_url_is_blocked_in_every_spelling() {
        let pattern = "https://example.com/admin";
        for url in [
            "https://example.com/admin",
            "https://example.com/admin/users",
            "https://EXAMPLE.com./ADMIN",
            "https://example.com:8443/admin",
            "https://example.com/x/../admin",
            "https://example.com/%61dmin",
            "https://example.com/%2561dmin",
            "https://example.com//admin",
            "https://example.com/x/%2e%2e/admin",
            "https://example.com/.%2fadmin",
            "https://example.com/\\admin",
            "https://example.com/x%3f%2f..%2f..%2fadmin",
            "https://example.com/admin%3fx",
        ] {
            assert!(blocked(pattern, url), "{url}");
        }
        for url in [
            "https://example.com/",
            "http://example.com/admin",
            "https://example.org/admin",
            "https://example.com/x/admin",
        ] {
            assert!(!blocked(pattern, url), "{url}");
        }
    }

    #[test]
    fn stars_stand_for_anything() {
        assert!(blocked("example.com", "http://example.com:99/any"));
        assert!(blocked("*://*.example.com/*/private", "https://a.example.com/x/y/private/z"));
        assert!(!blocked("*://*.example.com/*/private", "https://a.example.com/private"));
        assert!(blocked("https://example.com/?token=", "https://example.com/?token=1"));
        assert!(
            blocked("http://127.0.0.1:80/x", "http://127.1/x")
                && !blocked("http://127.0.0.1:80/x", "http://127.1:81/x")
        );
    }

    #[test]
    fn a_pattern_that_is_not_understood_is_refused() {
        for pattern in ["ftp://example.com/", "https://", "https://a b/", "https://user@example.com/"] {
            assert!(pattern.parse::<UrlPattern>().is_err(), "{pattern}");
        }
    }

    #[test]
    fn private_addresses_need_an_exception_and_blocked_networks_have_none() {
        let target = |url: &str| Target::of_url(&Url::parse(url).unwrap()).unwrap();
        let rules = NetworkRules {
            block_networks: vec!["8.8.8.0/24".parse().unwrap(), "127.0.0.2/32".parse().unwrap()],
            allow_private: vec!["http://dev.test:8080".parse().unwrap()],
            ..NetworkRules::default()
        };
        let blocks = |url: &str, address: &str| rules.blocks_address(&target(url), address.parse().unwrap());
        assert_eq!(blocks("http://dev.test:8080", "127.0.0.1"), None);
        assert_eq!(blocks("http://dev.test:8080", "127.0.0.2"), Some("network.block_networks"));
        assert_eq!(blocks("http://dev.test:8081", "127.0.0.1"), Some("network.private"));
        assert_eq!(blocks("http://a.test", "::ffff:10.0.0.1"), Some("network.private"));
        assert_eq!(blocks("http://a.test", "8.8.8.8"), Some("network.block_networks"));
        assert_eq!(blocks("http://a.test", "::ffff:8.8.8.8"), Some("network.block_networks"));
        assert_eq!(blocks("http://a.test", "1.1.1.1"), None);
    }

    #[test]
    fn no_exception_opens_what_is_not_one_machine() {
        let rules = NetworkRules { allow_private: vec!["*://*:*".parse().unwrap()], ..NetworkRules::default() };
        for address in
            ["224.0.0.1", "239.255.255.250", "255.255.255.255", "0.0.0.0", "ff02::1", "::", "::ffff:224.0.0.1"]
        {
            let address = address.parse().unwrap();
            let target = Target::of_address(Scheme::Udp, address, 9).unwrap();
            assert_eq!(rules.blocks_address(&target, address), Some("network.unicast"), "{address}");
        }
        let loopback = "127.0.0.1".parse().unwrap();
        assert_eq!(rules.blocks_address(&Target::of_address(Scheme::Udp, loopback, 9).unwrap(), loopback), None);
    }
}
