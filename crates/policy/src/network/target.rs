//! What one connection is made to, as parsed.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use url::{Host, Url};

use super::address::canonical_address;

/// What is spoken over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    Http,
    Https,
    Tcp,
    Udp,
}

impl Scheme {
    pub(crate) const ALL: [Self; 4] = [Self::Http, Self::Https, Self::Tcp, Self::Udp];

    /// Tells whether what is spoken has URLs, which can be judged.
    pub(crate) fn has_urls(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    /// Returns the scheme as it is written in front of `://`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.as_str() == text)
    }

    /// Returns the port that a URL without one means.
    pub(crate) fn default_port(self) -> Option<u16> {
        match self {
            Self::Http => Some(80),
            Self::Https => Some(443),
            Self::Tcp | Self::Udp => None,
        }
    }
}

/// One end to connect to: scheme, host and port, in the one spelling that is compared and used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    scheme: Scheme,
    /// A lower-case ASCII name without a final dot, or a canonical address.
    host: Host<String>,
    port: u16,
}

/// A URL or name that no connection can be made to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    #[error("only http and https URLs can be fetched")]
    Scheme,
    #[error("the URL names no host")]
    NoHost,
    #[error("the URL holds a user name or password; send credentials in a header")]
    Credentials,
    #[error("the host name is not valid")]
    Host,
    #[error("port 0 means nothing")]
    Port,
}

impl Target {
    /// Returns what `url` is fetched from.
    pub fn of_url(url: &Url) -> Result<Self, InvalidTarget> {
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(InvalidTarget::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidTarget::Credentials);
        }
        let host = url.host().ok_or(InvalidTarget::NoHost)?.to_owned();
        let port = url.port_or_known_default().ok_or(InvalidTarget::Port)?;
        Self::new(scheme, host, port)
    }

    /// Returns the target of a socket that is opened to `address`.
    pub fn of_address(scheme: Scheme, address: IpAddr, port: u16) -> Result<Self, InvalidTarget> {
        Self::new(scheme, address_host(address), port)
    }

    /// Returns the target of a name as a guest looks it up; `name` may also be an address in any spelling.
    pub fn of_name(scheme: Scheme, name: &str, port: u16) -> Result<Self, InvalidTarget> {
        Self::new(scheme, Host::parse(name).map_err(|_| InvalidTarget::Host)?, port)
    }

    pub(crate) fn new(scheme: Scheme, host: Host<String>, port: u16) -> Result<Self, InvalidTarget> {
        if port == 0 {
            return Err(InvalidTarget::Port);
        }
        Ok(Self { scheme, host: canonical_host(host)?, port })
    }

    /// Returns what is spoken.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns the host: a lower-case ASCII name without a final dot, or a canonical address.
    pub fn host(&self) -> &Host<String> {
        &self.host
    }

    /// Returns the port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the address, when the target was named by one.
    pub fn address(&self) -> Option<IpAddr> {
        host_address(&self.host)
    }
}

impl FromStr for Target {
    type Err = InvalidTarget;

    /// Reads `scheme://host:port`, as [`Display`](fmt::Display) writes it; without a port, http means 80 and https 443.
    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidTarget::Scheme)?;
        let scheme = Scheme::parse(scheme).ok_or(InvalidTarget::Scheme)?;
        let (host, port) = match rest.rsplit_once(':') {
            // An address in brackets has colons of its own.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| InvalidTarget::Port)?),
            _ => (rest, scheme.default_port().ok_or(InvalidTarget::Port)?),
        };
        Self::of_name(scheme, host, port)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}:{}", self.scheme.as_str(), self.host, self.port)
    }
}

pub(crate) fn host_address(host: &Host<String>) -> Option<IpAddr> {
    match host {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(IpAddr::V4(*address)),
        Host::Ipv6(address) => Some(IpAddr::V6(*address)),
    }
}

fn address_host(address: IpAddr) -> Host<String> {
    match address {
        IpAddr::V4(address) => Host::Ipv4(address),
        IpAddr::V6(address) => Host::Ipv6(address),
    }
}

/// Returns `host` without the final dot of a fully qualified name, which names the same host and would dodge patterns,
/// and an address as what it really reaches.
pub(crate) fn canonical_host(host: Host<String>) -> Result<Host<String>, InvalidTarget> {
    if let Some(address) = host_address(&host) {
        return Ok(address_host(canonical_address(address)));
    }
    let Host::Domain(name) = host else { return Err(InvalidTarget::Host) };
    let name = name.strip_suffix('.').unwrap_or(&name);
    let label = |label: &str| !label.is_empty() && label.len() <= 63;
    if name.len() > 253 || !name.split('.').all(label) {
        return Err(InvalidTarget::Host);
    }
    Ok(Host::Domain(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<String, InvalidTarget> {
        Target::of_url(&Url::parse(url).unwrap()).map(|target| target.to_string())
    }

    #[test]
    fn every_spelling_of_a_host_is_one_target() {
        for (url, expected) in [
            ("https://Example.COM/x", "https://example.com:443"),
            ("http://example.com./", "http://example.com:80"),
            ("http://ｅxample.com", "http://example.com:80"),
            ("https://bücher.example:8443", "https://xn--bcher-kva.example:8443"),
            ("http://2130706433/", "http://127.0.0.1:80"),
            ("http://127.1/", "http://127.0.0.1:80"),
            ("http://0x7f.1/", "http://127.0.0.1:80"),
            ("http://0177.0.0.1/", "http://127.0.0.1:80"),
            ("http://１２７.0.0.1/", "http://127.0.0.1:80"),
            ("http://127.0.0.1./", "http://127.0.0.1:80"),
            ("http://[::ffff:127.0.0.1]/", "http://127.0.0.1:80"),
            ("http://[::ffff:7f00:1]:81/", "http://127.0.0.1:81"),
            ("http://[::1]/", "http://[::1]:80"),
        ] {
            assert_eq!(target(url).as_deref(), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for (url, expected) in [
            ("https://allowed.test@evil.test/", InvalidTarget::Credentials),
            ("https://:secret@evil.test/", InvalidTarget::Credentials),
            ("ftp://example.com/", InvalidTarget::Scheme),
            ("file:///etc/passwd", InvalidTarget::Scheme),
            ("http://example.com../", InvalidTarget::Host),
            ("http://a..b/", InvalidTarget::Host),
            ("http://example.com:0/", InvalidTarget::Port),
        ] {
            assert_eq!(target(url), Err(expected), "{url}");
        }
    }

    #[test]
    fn a_target_is_read_as_it_is_shown() {
        for text in ["https://a.test:443", "tcp://[::1]:5432", "udp://10.0.0.1:53"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        assert_eq!("https://[::1]".parse::<Target>().unwrap().to_string(), "https://[::1]:443");
        for text in ["a.test:1", "tcp://a.test", "tcp://a.test:0", "tcp://a.test:99999", "https://a/b:1"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_is_read_as_a_url_would_read_it() {
        let name = |name: &str| Target::of_name(Scheme::Tcp, name, 53).map(|target| target.to_string());
        assert_eq!(name("LOCALHOST.").as_deref(), Ok("tcp://localhost:53"));
        assert_eq!(name("0x7f000001").as_deref(), Ok("tcp://127.0.0.1:53"));
        assert_eq!(name("a/b"), Err(InvalidTarget::Host));
        assert_eq!(name(""), Err(InvalidTarget::Host));
    }
}
