//! Keys, which no log, error or debug output may show.

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

/// A provider's key. It prints as `[REDACTED]` and is wiped when dropped.
#[derive(Debug, Clone)]
pub struct ApiKey(SecretString);

/// A text that no header can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key has characters that an HTTP header cannot carry")]
pub struct InvalidKey;

impl ApiKey {
    /// Returns the key `text`, without surrounding white space.
    ///
    /// # Errors
    /// [`InvalidKey`] when it is empty or not visible ASCII.
    pub fn new(text: &str) -> Result<Self, InvalidKey> {
        let text = text.trim();
        let valid = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        valid.then(|| Self(text.into())).ok_or(InvalidKey)
    }

    /// Returns the header value `prefix` + key, marked so that no HTTP library prints it.
    pub(crate) fn header(&self, prefix: &str) -> HeaderValue {
        let text = format!("{prefix}{}", self.0.expose_secret());
        let mut value = HeaderValue::from_str(&text).expect("`new` takes visible ASCII only");
        value.set_sensitive(true);
        value
    }

    /// Returns `text` with the key blotted out: an endpoint may echo it in an error.
    pub(crate) fn redact(&self, text: &str) -> String {
        text.replace(self.0.expose_secret(), "[REDACTED]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_prints() {
        let key = ApiKey::new(" sk-secret-123\n").unwrap();
        assert!(!format!("{key:?} {:?}", key.header("Bearer ")).contains("secret-123"));
        assert_eq!(key.redact("bad key sk-secret-123!"), "bad key [REDACTED]!");
        assert_eq!(key.header("Bearer ").as_bytes(), b"Bearer sk-secret-123");
    }

    #[test]
    fn keys_that_would_break_a_header_are_refused() {
        for text in ["", "  ", "a\r\nx: y", "a b", "clé"] {
            assert_eq!(ApiKey::new(text).unwrap_err(), InvalidKey);
        }
    }
}
