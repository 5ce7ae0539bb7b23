//! Patterns of hosts: `scheme://host[:port]`, as a person writes them.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::Host;

use super::target::{Scheme, Target, canonical_host, host_address};

/// Longest pattern that is read; no host name is longer.
const MAX_BYTES: usize = 512;

/// One entry of an allow-list: `https://example.com`, `https://*.example.com:8443`, `tcp://10.0.0.0/8:5000-6000`, `*://*:*`.
///
/// A name matches exactly that name; `*.name` what is below it; an address or CIDR only targets that were named by an
/// address, never a name that resolves to one. Without a port, http means 80 and https 443.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    /// `None` is `*`.
    scheme: Option<Scheme>,
    host: HostPart,
    ports: Ports,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum HostPart {
    Any,
    /// A dot and the name that everything below it ends with.
    Below(String),
    Name(String),
    Net(IpNet),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    const ALL: Self = Self { first: 1, last: u16::MAX };

    fn contains(self, port: u16) -> bool {
        RangeInclusive::new(self.first, self.last).contains(&port)
    }
}

/// A pattern that is not understood. `suggestion` is one that would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a host pattern: {problem}; write `{suggestion}`")]
pub struct InvalidPattern {
    pub pattern: String,
    pub problem: &'static str,
    pub suggestion: String,
}

/// What is wrong, and what would be right.
type Fault = (&'static str, String);

impl HostPattern {
    /// Tells whether `target` is one of those that the pattern names.
    pub fn matches(&self, target: &Target) -> bool {
        self.scheme.is_none_or(|scheme| scheme == target.scheme())
            && self.ports.contains(target.port())
            && self.host.matches(target.host())
    }

    /// Returns what is spoken to the targets; `None` means anything.
    pub fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    /// Tells whether some target of this pattern has the host `name`.
    pub(crate) fn names(&self, name: &Host<String>) -> bool {
        self.host.matches(name)
    }

    /// Tells whether it names hosts by name, and no addresses.
    pub(crate) fn is_named(&self) -> bool {
        matches!(self.host, HostPart::Below(_) | HostPart::Name(_))
    }

    /// Tells whether `port` is one of its ports.
    pub(crate) fn has_port(&self, port: u16) -> bool {
        (self.ports.first..=self.ports.last).contains(&port)
    }

    /// Returns the first of its ports.
    pub(crate) fn first_port(&self) -> u16 {
        self.ports.first
    }

    /// Returns the first port beyond its own, if there is one.
    pub(crate) fn port_beyond(&self) -> Option<u16> {
        self.ports.last.checked_add(1)
    }
}

impl HostPart {
    fn matches(&self, host: &Host<String>) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Name(name), Host::Domain(domain)) => name == domain,
            (Self::Below(suffix), Host::Domain(domain)) => domain.len() > suffix.len() && domain.ends_with(suffix),
            (Self::Net(net), host) => host_address(host).is_some_and(|address| net.contains(&address)),
            (Self::Name(_) | Self::Below(_), _) => false,
        }
    }
}

impl FromStr for HostPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        parse(text).map_err(|(problem, suggestion)| {
            let pattern = text.chars().take(MAX_BYTES).collect();
            InvalidPattern { pattern, problem, suggestion }
        })
    }
}

impl TryFrom<String> for HostPattern {
    type Error = InvalidPattern;

    fn try_from(text: String) -> Result<Self, InvalidPattern> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.scheme.map_or("*", Scheme::as_str), self.host)?;
        match self.ports {
            Ports::ALL => formatter.write_str(":*"),
            Ports { first, last } if first == last => write!(formatter, ":{first}"),
            Ports { first, last } => write!(formatter, ":{first}-{last}"),
        }
    }
}

impl fmt::Display for HostPart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("*"),
            Self::Below(suffix) => write!(formatter, "*{suffix}"),
            Self::Name(name) => formatter.write_str(name),
            Self::Net(net) => {
                let length = if net.prefix_len() == net.max_prefix_len() {
                    String::new()
                } else {
                    format!("/{}", net.prefix_len())
                };
                match net.addr() {
                    IpAddr::V4(address) => write!(formatter, "{address}{length}"),
                    IpAddr::V6(address) => write!(formatter, "[{address}{length}]"),
                }
            }
        }
    }
}

fn parse(text: &str) -> Result<HostPattern, Fault> {
    if text.len() > MAX_BYTES {
        return Err(("it is too long", "https://example.com".into()));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(("it names no scheme", format!("https://{text}")));
    };
    let scheme = match scheme {
        "*" => None,
        _ => Some(
            Scheme::parse(scheme)
                .ok_or_else(|| ("the scheme is none of http, https, tcp, udp and *", format!("https://{rest}")))?,
        ),
    };
    let written = scheme.map_or("*", Scheme::as_str);
    let (host, port) = split(rest).map_err(|(problem, rest)| (problem, format!("{written}://{rest}")))?;
    let parsed = host_part(host).map_err(|(problem, host)| (problem, rejoin(written, &host, port)))?;
    let ports = ports(scheme, port).map_err(|(problem, port)| (problem, rejoin(written, host, Some(&port))))?;
    Ok(HostPattern { scheme, host: parsed, ports })
}

fn rejoin(scheme: &str, host: &str, port: Option<&str>) -> String {
    port.map_or_else(|| format!("{scheme}://{host}"), |port| format!("{scheme}://{host}:{port}"))
}

/// Splits what follows the scheme into host and port.
fn split(rest: &str) -> Result<(&str, Option<&str>), Fault> {
    if let Some((_, host)) = rest.rsplit_once('@') {
        return Err(("it holds a user name", host.to_owned()));
    }
    let bracket = rest.find(']').map_or(0, |at| at + 1);
    let host_end = rest[bracket..].find(':').map_or(rest.len(), |at| at + bracket);
    let (host, port) = (&rest[..host_end], rest.get(host_end + 1..));
    if port.is_some_and(|port| port.contains(':')) {
        return Err(("an IPv6 address stands in brackets", format!("[{rest}]")));
    }
    if let Some((port, _)) = port.and_then(|port| port.split_once('/')) {
        return Err(("paths do not belong here (`block_url` takes them)", format!("{host}:{port}")));
    }
    Ok((host, port))
}

fn host_part(host: &str) -> Result<HostPart, Fault> {
    if host == "*" {
        return Ok(HostPart::Any);
    }
    if let Some(name) = host.strip_prefix("*.") {
        return match name_or_address(name)? {
            HostPart::Name(name) => Ok(HostPart::Below(format!(".{name}"))),
            _ => Err(("`*.` stands before a name", name.to_owned())),
        };
    }
    if host.contains('*') {
        return Err(("`*` stands alone or as the first label", format!("*.{}", host.trim_matches(['*', '.']))));
    }
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match inner.split_once('/') {
        Some((address, length)) if address.parse::<IpAddr>().is_ok() => net(inner, length.is_empty()),
        Some((name, _)) => Err(("paths do not belong here (`block_url` takes them)", name.to_owned())),
        None => name_or_address(host),
    }
}

fn net(text: &str, unfinished: bool) -> Result<HostPart, Fault> {
    let bracketed = |net: &IpNet| match net {
        IpNet::V4(net) => net.to_string(),
        IpNet::V6(net) => format!("[{net}]"),
    };
    let net: IpNet = match text.parse() {
        Ok(net) if !unfinished => net,
        _ => return Err(("the prefix length is not a number in its range", "10.0.0.0/8".into())),
    };
    if net.trunc() != net {
        return Err(("the address has bits beyond its prefix", bracketed(&net.trunc())));
    }
    Ok(HostPart::Net(net))
}

fn name_or_address(host: &str) -> Result<HostPart, Fault> {
    let parsed = Host::parse(host).ok().and_then(|host| canonical_host(host).ok());
    let Some(parsed) = parsed else { return Err(("the host is neither a name nor an address", "example.com".into())) };
    match (host_address(&parsed), &parsed) {
        // `127.1` is an address to whoever resolves it, and was hardly meant so.
        (Some(_), parsed) if parsed.to_string() != host => {
            Err(("the address is not written in full", parsed.to_string()))
        }
        (Some(address), _) => Ok(HostPart::Net(address.into())),
        (None, Host::Domain(name)) => Ok(HostPart::Name(name.clone())),
        (None, _) => Err(("the host is neither a name nor an address", "example.com".into())),
    }
}

fn ports(scheme: Option<Scheme>, port: Option<&str>) -> Result<Ports, Fault> {
    let one = |text: &str| {
        text.parse::<u16>().ok().filter(|port| *port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let Some(port) = port else {
        let default = scheme.and_then(Scheme::default_port);
        let port = default.ok_or(("a port is missing, and this scheme has no usual one", "*".to_owned()))?;
        return Ok(Ports { first: port, last: port });
    };
    if port == "*" {
        return Ok(Ports::ALL);
    }
    let (first, last) = port.split_once('-').unwrap_or((port, port));
    match (one(first), one(last)) {
        (Some(first), Some(last)) if first <= last => Ok(Ports { first, last }),
        (Some(first), Some(last)) => Err(("the range of ports runs backwards", format!("{last}-{first}"))),
        _ => Err(("the port is not a number from 1 to 65535, a range or *", "*".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use url::Url;

    fn matches(pattern: &str, url: &str) -> bool {
        let target = Target::of_url(&Url::parse(url).unwrap()).unwrap();
        pattern.parse::<HostPattern>().unwrap().matches(&target)
    }

    #[test]
    fn a_pattern_matches_what_it_says_and_nothing_beside_it() {
        for (pattern, url, expected) in [
            ("https://example.com", "https://example.com/a?b", true),
            ("https://example.com", "https://EXAMPLE.com.:443", true),
            ("https://Example.Com.", "https://example.com", true),
            ("https://example.com", "http://example.com", false),
            ("https://example.com", "https://example.com:8443", false),
            ("https://example.com", "https://evilexample.com", false),
            ("https://example.com", "https://example.com.evil.test", false),
            ("https://example.com", "https://www.example.com", false),
            ("https://*.example.com", "https://www.example.com", true),
            ("https://*.example.com", "https://a.b.example.com", true),
            ("https://*.example.com", "https://example.com", false),
            ("https://*.example.com", "https://evilexample.com", false),
            ("https://bücher.example", "https://xn--bcher-kva.example", true),
            ("*://example.com:*", "http://example.com:8080", true),
            ("http://*:8000-8010", "http://a.test:8010", true),
            ("http://*:8000-8010", "http://a.test:8011", false),
            ("http://127.0.0.0/8:*", "http://2130706433:99", true),
            ("http://127.0.0.0/8:*", "http://[::ffff:127.0.0.1]:99", true),
            ("http://127.0.0.0/8:*", "http://localhost:99", false),
            ("http://127.0.0.1", "http://127.1", true),
            ("http://[fd00::/8]:80", "http://[fd12::1]", true),
            ("http://[::1]:80", "http://[0:0::1]", true),
            ("http://*:*", "http://10.0.0.1", true),
        ] {
            assert_eq!(matches(pattern, url), expected, "{pattern} {url}");
        }
    }

    #[test]
    fn a_pattern_that_is_not_understood_comes_with_one_that_is() {
        for (pattern, suggestion) in [
            ("example.com", "https://example.com"),
            ("ftp://example.com", "https://example.com"),
            ("https://example.com/admin", "https://example.com"),
            ("https://example.com:443/admin", "https://example.com:443"),
            ("https://user@example.com", "https://example.com"),
            ("https://ex*mple.com", "https://*.ex*mple.com"),
            ("tcp://db.example.com", "tcp://db.example.com:*"),
            ("*://example.com", "*://example.com:*"),
            ("tcp://fd00::1:80", "tcp://[fd00::1:80]"),
            ("tcp://10.1.2.3/8:5", "tcp://10.0.0.0/8:5"),
            ("tcp://10.0.0.0/33:5", "tcp://10.0.0.0/8:5"),
            ("http://127.1:80", "http://127.0.0.1:80"),
            ("http://2130706433", "http://127.0.0.1"),
            ("https://a b", "https://example.com"),
            ("https://", "https://example.com"),
            ("https://a.test:0", "https://a.test:*"),
            ("https://a.test:+5", "https://a.test:*"),
            ("https://a.test:9-5", "https://a.test:5-9"),
            ("https://*.10.0.0.1", "https://10.0.0.1"),
        ] {
            let error = pattern.parse::<HostPattern>().unwrap_err();
            assert_eq!(error.suggestion, suggestion, "{pattern}: {error}");
        }
    }

    #[test]
    fn a_suggestion_is_understood() {
        for pattern in ["example.com", "tcp://db.example.com", "http://127.1:80", "tcp://fd00::1", "https://a.test:9-5"]
        {
            let error = pattern.parse::<HostPattern>().unwrap_err();
            let again = error.suggestion.parse::<HostPattern>();
            assert!(again.is_ok() || error.suggestion == "tcp://[fd00::1]", "{error}");
        }
    }

    #[test]
    fn a_pattern_is_written_so_that_it_reads_as_itself() {
        for text in
            ["https://example.com:443", "*://*:*", "http://*.a.test:80-90", "udp://[fd00::/8]:53", "tcp://10.0.0.1:5"]
        {
            let pattern: HostPattern = text.parse().unwrap();
            assert_eq!(pattern.to_string(), text);
        }
    }
}
