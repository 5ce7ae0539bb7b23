//! One reading of JSON: strict parsing and one canonical encoding.
//!
//! What is checked and what is executed must be the same value, so a duplicate key is an error, not a choice, and a
//! value has exactly one encoding: keys in byte order, no white space (RFC 8785's idea, without its number rules:
//! numbers are encoded as `serde_json` reads them).

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::hash::{ContentHash, Hasher};

/// Deepest nesting of arrays and objects that is read; deeper input is hostile or broken.
pub const MAX_JSON_DEPTH: usize = 64;

/// JSON that is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid JSON: {0}")]
pub struct InvalidJson(pub String);

/// Returns the value of `text`; duplicate keys, trailing text and nesting beyond [`MAX_JSON_DEPTH`] are errors.
pub fn parse(text: &str) -> Result<Value, InvalidJson> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict { depth: 0 }.deserialize(&mut deserializer).map_err(|error| InvalidJson(error.to_string()))?;
    deserializer.end().map_err(|error| InvalidJson(error.to_string()))?;
    Ok(value)
}

/// Returns the canonical encoding of `value`.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

/// Returns the digest of `value` under `domain`: equal exactly for equal values of the same domain.
pub fn digest(domain: &str, value: &Value) -> ContentHash {
    let mut hasher = Hasher::default();
    hasher.field(domain.as_bytes());
    hasher.field(canonical(value).as_bytes());
    hasher.finish()
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            separated(items.iter(), text, write_canonical);
            text.push(']');
        }
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| key.as_str());
            text.push('{');
            separated(sorted.into_iter(), text, |(key, value), text| {
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_canonical(value, text);
            });
            text.push('}');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

fn separated<T>(items: impl Iterator<Item = T>, text: &mut String, mut write: impl FnMut(T, &mut String)) {
    for (at, item) in items.enumerate() {
        if at > 0 {
            text.push(',');
        }
        write(item, text);
    }
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth + 1;
        let within = depth <= MAX_JSON_DEPTH;
        within.then_some(Self { depth }).ok_or_else(|| E::custom(format!("nested deeper than {MAX_JSON_DEPTH}")))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut fields = Map::new();
        while let Some(Key(key)) = access.next_key()? {
            if fields.contains_key(&key) {
                return Err(serde::de::Error::custom(format!("the key `{key}` appears twice")));
            }
            fields.insert(key, access.next_value_seed(inner)?);
        }
        Ok(Value::Object(fields))
    }
}

struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn two_readings_of_one_text_are_impossible() {
        assert_eq!(
            parse(r#"{"path":"a","path":"b"}"#).unwrap_err().0,
            "the key `path` appears twice at line 1 column 18"
        );
        assert!(parse(r#"{"a":{"b":[{"c":1,"c":2}]}}"#).is_err());
        for text in ["NaN", "Infinity", "1e999", "{} {}", "{\"a\":1,}", ""] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&nested(MAX_JSON_DEPTH)).is_ok());
        assert!(parse(&nested(MAX_JSON_DEPTH + 1)).is_err());
        assert!(parse(&nested(10_000)).is_err());
    }

    #[test]
    fn canonical_text_sorts_keys_and_has_no_space() {
        assert_eq!(
            canonical(&json!({"b": [1, 2.5, null], "a": "\u{e9}\n"})),
            "{\"a\":\"\u{e9}\\n\",\"b\":[1,2.5,null]}"
        );
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..6).prop_map(|map| map.into_iter().collect())
            ]
        })
    }

    proptest! {
        #[test]
        fn canonical_text_reads_back_as_the_value(value in values()) {
            prop_assert_eq!(parse(&canonical(&value)).unwrap(), value);
        }

        #[test]
        fn digests_separate_values_and_domains(left in values(), right in values()) {
            prop_assert_eq!(digest("call", &left) == digest("call", &right), left == right);
            prop_assert_ne!(digest("call", &left), digest("change", &left));
        }
    }
}
