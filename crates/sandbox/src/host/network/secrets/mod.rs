//! Secrets: their values are put into a request here, the last thing before it leaves, and are taken out of every
//! response, the first thing after it came. Nothing between has ever seen one.

mod mention;
mod scrub;
mod spelling;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use policy::{
    Placement, Ruling, SecretName, SecretScope, SecretSpec, Target, judge_secret, refuse_placeholder, refuse_placement,
};
use protocol::Verdict;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;
use wasmtime_wasi_http::Error;

pub(super) use mention::{Mention, mentions};
pub(super) use scrub::{Scrubber, Scrubbing};

/// What a parameter of a query may hold as it is (RFC 3986, unreserved).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The secrets that a workspace allows, with their values. It prints nothing of them.
pub struct Secrets {
    known: BTreeMap<SecretName, Secret>,
    scrubber: Option<Scrubber>,
}

struct Secret {
    spec: SecretSpec,
    value: SecretString,
}

/// Secrets that are too long, or too many, to be searched for.
#[derive(Debug, thiserror::Error)]
#[error(
    "the secrets are too long, or too many, to be found in what servers answer; allow fewer in `[secrets] allowed`"
)]
pub struct Unsearchable;

impl Secrets {
    /// Returns no secret.
    pub fn none() -> Self {
        Self { known: BTreeMap::new(), scrubber: None }
    }

    /// Returns these secrets.
    pub fn new(secrets: impl IntoIterator<Item = (SecretSpec, SecretString)>) -> Result<Self, Unsearchable> {
        let secret = |(spec, value): (SecretSpec, SecretString)| (spec.name().clone(), Secret { spec, value });
        let known: BTreeMap<_, _> = secrets.into_iter().map(secret).collect();
        if known.is_empty() {
            return Ok(Self::none());
        }
        let values: Vec<_> = known.iter().map(|(name, secret)| (name, secret.value.expose_secret())).collect();
        let scrubber = Scrubber::new(&values)?;
        Ok(Self { known, scrubber: Some(scrubber) })
    }

    /// Returns what the person said of each.
    pub fn specs(&self) -> impl Iterator<Item = &SecretSpec> {
        self.known.values().map(|secret| &secret.spec)
    }

    /// Returns what finds the values; `None` where there is nothing to find.
    pub(super) fn scrubber(&self) -> Option<&Scrubber> {
        self.scrubber.as_ref()
    }

    /// Judges the placeholders of a request to `target` by a call that holds `held`; `None` when none is refused.
    pub(super) fn refuse(&self, held: &SecretScope, mentions: &[Mention], target: &Target) -> Option<Ruling> {
        mentions.iter().find_map(|mention| {
            let Some(name) = &mention.name else { return Some(refuse_placeholder()) };
            let spec = self.known.get(name).map(|secret| &secret.spec);
            let ruling = judge_secret(held, name, spec, target);
            if ruling.verdict != Verdict::Allow {
                return Some(ruling);
            }
            let spec = spec?;
            let named = mentions.iter().filter(|mention| mention.name.as_ref() == Some(name)).count();
            (named != 1 || !mention.is_at(spec)).then(|| refuse_placement(spec))
        })
    }

    /// Puts the values into `headers` and returns `url` with those that belong there. Only what was found in the request
    /// is replaced, once, whatever the values look like.
    pub(super) fn fill(&self, mentions: &[Mention], headers: &mut HeaderMap, url: &Url) -> Result<Url, Error> {
        let used: Vec<_> = mentions.iter().filter_map(|mention| self.known.get(mention.name.as_ref()?)).collect();
        for Secret { spec, value } in &used {
            let value = value.expose_secret();
            match spec.placement() {
                Placement::Header { name, format } => set(headers, name, &Placement::formatted(format, value))?,
                Placement::Basic { user } => {
                    let credentials = BASE64_STANDARD.encode(format!("{user}:{value}"));
                    set(headers, AUTHORIZATION.as_str(), &format!("Basic {credentials}"))?;
                }
                Placement::Query { .. } => {}
            }
        }
        let mut filled = url.clone();
        if let Some(query) = url.query() {
            let query: Vec<_> = query.split('&').map(|pair| parameter(pair, &used)).collect();
            filled.set_query(Some(&query.join("&")));
        }
        Ok(filled)
    }
}

fn set(headers: &mut HeaderMap, name: &str, text: &str) -> Result<(), Error> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Error::InternalError(None))?;
    let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| Error::InternalError(None))?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

/// Returns `pair` of a query with the value in the place of its placeholder, if that is what it holds.
fn parameter(pair: &str, used: &[&Secret]) -> String {
    let secret = used.iter().find(|secret| mention::is_placeholder(pair, &secret.spec));
    match (secret, pair.split_once('=')) {
        (Some(secret), Some((name, _))) => {
            format!("{name}={}", utf8_percent_encode(secret.value.expose_secret(), RESERVED))
        }
        _ => pair.to_owned(),
    }
}
