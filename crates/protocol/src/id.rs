//! Identifiers: short enough to type, random enough not to collide, safe as file names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Characters of an identifier: Crockford's base 32 in lower case (no `i`, `l`, `o`, `u`).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Characters in an identifier: 12 × 5 bits.
const LENGTH: usize = 12;

/// A text that is no identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an identifier: expected {LENGTH} characters of 0-9 and a-z without i, l, o, u")]
pub struct InvalidId(pub String);

fn encode(random: u64) -> String {
    (0..LENGTH).rev().map(|at| ALPHABET[(random >> (at * 5) & 31) as usize] as char).collect()
}

fn check(text: &str) -> Result<(), InvalidId> {
    let valid = text.len() == LENGTH && text.bytes().all(|byte| ALPHABET.contains(&byte));
    valid.then_some(()).ok_or_else(|| InvalidId(text.to_owned()))
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Returns the identifier made of the low 60 bits of `random`.
            pub fn from_random(random: u64) -> Self {
                Self(encode(random))
            }

            /// Returns the identifier's text, always valid as a file name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

identifier!(
    /// A durable conversation.
    SessionId
);
identifier!(
    /// One user message up to its final answer.
    TurnId
);
identifier!(
    /// One proposed tool call. The runtime's own: what a provider calls it is [`crate::ToolCall::wire_id`].
    CallId
);
identifier!(
    /// One set of staged changes.
    ChangeSetId
);
identifier!(
    /// One question to a person.
    ApprovalId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_not_identifiers_are_refused() {
        for text in ["", "short", "../../../etc", "ABCDEFGHJKMN", "ilouilouilou", "0123456789abc"] {
            assert_eq!(text.parse::<CallId>(), Err(InvalidId(text.to_owned())));
        }
    }

    #[test]
    fn random_bits_round_trip_as_text() {
        let id = CallId::from_random(0x0123_4567_89ab_cdef);
        assert_eq!(id.as_str().parse::<CallId>(), Ok(id.clone()));
        assert_ne!(id, CallId::from_random(0x0123_4567_89ab_cdee));
    }
}
