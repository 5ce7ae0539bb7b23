//! Placeholders in a request: which there are, and where they stand.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use policy::{PLACEHOLDER_END, PLACEHOLDER_START, Placement, SecretName, SecretSpec};
use url::{Url, form_urlencoded};

/// Placeholders of one text that are looked at. No place takes two, so that a second one is refused whatever follows.
const MAX_IN_TEXT: usize = 2;

/// Something that begins like a placeholder.
#[derive(Debug)]
pub(crate) struct Mention {
    /// `None` when it is no placeholder after all.
    pub(crate) name: Option<SecretName>,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    /// The value of a header that is there once.
    Header { name: HeaderName, value: String },
    /// One `name=value` of the query, as it is written.
    Query { pair: String },
    /// Where no secret ever goes.
    Elsewhere,
}

/// Returns every placeholder that a server could read in `headers` or `url`, whatever it is encoded in.
pub(crate) fn mentions(headers: &HeaderMap, url: &Url) -> Vec<Mention> {
    let mut found = Vec::new();
    for (name, value) in headers {
        let place = header_place(headers, name, value);
        let written = String::from_utf8_lossy(value.as_bytes());
        collect(&written, &place, &mut found);
        collect(&credentials(&written).unwrap_or_default(), &place, &mut found);
    }
    for pair in url.query().unwrap_or_default().split('&') {
        let (name, value) = parsed(pair);
        collect(&name, &Place::Elsewhere, &mut found);
        collect(&value, &Place::Query { pair: pair.to_owned() }, &mut found);
    }
    let path = percent_encoding::percent_decode_str(url.path()).decode_utf8_lossy();
    collect(&path, &Place::Elsewhere, &mut found);
    found
}

fn header_place(headers: &HeaderMap, name: &HeaderName, value: &HeaderValue) -> Place {
    let is_alone = headers.get_all(name).iter().count() == 1;
    match value.to_str() {
        Ok(value) if is_alone => Place::Header { name: name.clone(), value: value.to_owned() },
        _ => Place::Elsewhere,
    }
}

fn collect(text: &str, place: &Place, found: &mut Vec<Mention>) {
    for (at, _) in text.match_indices(PLACEHOLDER_START).take(MAX_IN_TEXT) {
        let rest = &text[at + PLACEHOLDER_START.len()..];
        let name = rest.split_once(PLACEHOLDER_END).and_then(|(name, _)| name.parse().ok());
        found.push(Mention { name, place: place.clone() });
    }
}

/// Returns what a header of basic authentication holds (RFC 7617).
fn credentials(header: &str) -> Option<String> {
    let encoded = basic(header)?;
    Some(String::from_utf8_lossy(&BASE64_STANDARD.decode(encoded).ok()?).into_owned())
}

fn basic(header: &str) -> Option<&str> {
    let (scheme, rest) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then(|| rest.trim())
}

/// Returns name and value of one `name=value` of a query, as forms are read.
fn parsed(pair: &str) -> (Cow<'_, str>, Cow<'_, str>) {
    form_urlencoded::parse(pair.as_bytes()).next().unwrap_or_default()
}

/// Tells whether `pair` is the parameter of `spec` with the placeholder for its value.
pub(super) fn is_placeholder(pair: &str, spec: &SecretSpec) -> bool {
    let (name, value) = parsed(pair);
    matches!(spec.placement(), Placement::Query { name: bound } if *bound == name) && value == spec.name().placeholder()
}

impl Mention {
    /// Tells whether it stands exactly where the secret of `spec` belongs.
    pub(super) fn is_at(&self, spec: &SecretSpec) -> bool {
        let placeholder = spec.name().placeholder();
        match (spec.placement(), &self.place) {
            (Placement::Header { name, format }, Place::Header { name: header, value }) => {
                header == name.as_str()
                    && (*value == placeholder || *value == Placement::formatted(format, &placeholder))
            }
            (Placement::Basic { user }, Place::Header { name, value }) => {
                let is_whole = *value == placeholder || basic(value) == Some(&placeholder);
                name == AUTHORIZATION && (is_whole || credentials(value) == Some(format!("{user}:{placeholder}")))
            }
            (Placement::Query { .. }, Place::Query { pair }) => is_placeholder(pair, spec),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_full_of_placeholders_costs_no_more_than_two() {
        let many = HeaderValue::from_str(&PLACEHOLDER_START.repeat(10_000)).unwrap();
        let headers = HeaderMap::from_iter([(AUTHORIZATION, many)]);
        assert_eq!(mentions(&headers, &Url::parse("https://a.test/").unwrap()).len(), MAX_IN_TEXT);
    }
}
