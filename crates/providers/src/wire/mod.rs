//! The wires: how a request is written, and how the events of a reply are read.

pub(crate) mod anthropic;
pub(crate) mod chat;
pub(crate) mod responses;

use std::fmt;
use std::marker::PhantomData;

use protocol::{Arguments, ModelFailure, canonical};
use reqwest::header::{HeaderName, HeaderValue};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::{Value, json};

use crate::assembly::{Assembly, violation};
use crate::key::ApiKey;
use crate::limits::MAX_PARTS;
use crate::model::ModelRequest;

/// One wire format. Stateless: what has to be remembered between events is the assembly.
pub(crate) trait Wire: Send + Sync {
    /// Returns the path below the base URL.
    fn path(&self) -> &'static str;

    /// Returns the headers that the format needs, and the one that carries the key.
    fn headers(&self, key: Option<&ApiKey>) -> Vec<(HeaderName, HeaderValue)>;

    /// Returns the request's body.
    fn body(&self, model: &str, request: ModelRequest<'_>) -> Value;

    /// Reads one event's data into `reply`.
    fn read(&self, data: &str, reply: &mut Assembly<'_>) -> Result<(), ModelFailure>;
}

/// Returns the event that `data` is, into a type that names only what is used: nothing else is held.
fn event<T: DeserializeOwned>(data: &str) -> Result<T, ModelFailure> {
    serde_json::from_str(data).map_err(|error| violation(format!("an event cannot be read: {error}")))
}

/// Returns arguments as the object that every wire demands. What was no object is sent back in an envelope, so that the
/// model sees what it wrote.
fn arguments_object(arguments: &Arguments) -> Value {
    match arguments {
        Arguments::Json(value @ Value::Object(_)) => value.clone(),
        Arguments::Json(other) => json!({ "malformed_arguments": canonical(other) }),
        Arguments::Malformed(text) => json!({ "malformed_arguments": text }),
    }
}

/// What a provider signed, marked with who signed it: a conversation may go on with another provider, which must not
/// be sent a seal that it did not make.
pub(crate) fn seal(signer: &str, opaque: &str) -> String {
    format!("{signer}:{opaque}")
}

/// Returns what `signer` had sealed.
fn unseal<'a>(signer: &str, signature: Option<&'a str>) -> Option<&'a str> {
    signature?.strip_prefix(signer)?.strip_prefix(':')
}

/// A list that is read no further than any reply goes: in memory, an empty object is a hundred times its text.
pub(crate) struct Few<T>(pub(crate) Vec<T>);

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FewVisitor(PhantomData))
    }
}

struct FewVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FewVisitor<T> {
    type Value = Few<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a list of at most {MAX_PARTS}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Few<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            if items.len() == MAX_PARTS {
                return Err(A::Error::custom(format!("a list of more than {MAX_PARTS}")));
            }
            items.push(item);
        }
        Ok(Few(items))
    }
}
