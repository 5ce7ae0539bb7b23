//! `[retention]`: how much of the past is kept, and how long at least.
//!
//! ```toml
//! [retention]
//! max_size = "2GiB"
//! keep_days = 30
//! ```

use std::str::FromStr;

use serde::Deserialize;

use crate::gc::Retention;

/// A whole day in milliseconds.
const DAY_MS: u64 = 86_400_000;

/// Days that anybody could want: a century.
const MOST_DAYS: u64 = 36_500;

/// `[retention]`; what is not written is as by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionSpec {
    /// What contents, whole results and sessions' own folders may take together.
    pub max_size: Option<Size>,
    /// Days for which nothing is freed, whatever it takes.
    pub keep_days: Option<u64>,
}

/// A number of bytes: `1000`, `"512KiB"`, `"2GiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Size(pub u64);

/// A number as TOML may hold it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Whole(u64),
    Text(String),
}

/// What cannot be a retention.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSize {
    #[error("`{0}` is not a number of bytes: write 1000000, \"512MiB\" or \"2GiB\"")]
    Size(String),
    #[error("`keep_days = {0}` is outside 0..={MOST_DAYS}")]
    Days(u64),
}

impl TryFrom<Written> for Size {
    type Error = InvalidSize;

    fn try_from(written: Written) -> Result<Self, InvalidSize> {
        match written {
            Written::Whole(bytes) => Ok(Self(bytes)),
            Written::Text(text) => text.parse(),
        }
    }
}

impl FromStr for Size {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let invalid = || InvalidSize::Size(text.to_owned());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let shift = match unit.trim_start() {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "TiB" => 40,
            _ => return Err(invalid()),
        };
        let number: u64 = number.parse().map_err(|_| invalid())?;
        number.checked_mul(1 << shift).map(Self).ok_or_else(invalid)
    }
}

impl RetentionSpec {
    /// Returns what is said here, and by `defaults` where nothing is.
    pub(crate) fn resolve(self, defaults: &Self) -> Result<Retention, InvalidSize> {
        let days = self.keep_days.or(defaults.keep_days).unwrap_or(0);
        if days > MOST_DAYS {
            return Err(InvalidSize::Days(days));
        }
        let max_bytes = self.max_size.or(defaults.max_size).map_or(0, |size| size.0);
        Ok(Retention { max_bytes, keep_ms: days * DAY_MS })
    }

    /// Returns `retention` with what is said here in its place.
    pub fn over(self, retention: Retention) -> Result<Retention, InvalidSize> {
        let base = Self { max_size: Some(Size(retention.max_bytes)), keep_days: Some(retention.keep_ms / DAY_MS) };
        self.resolve(&base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_binary_multiples() {
        for (text, bytes) in [("0", 0), ("12B", 12), ("3KiB", 3072), ("2 GiB", 2 << 30), ("1TiB", 1 << 40)] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "GiB", "-1", "1.5GiB", "2GB", "2gib", "99999999TiB", "1 KiB x"] {
            assert_eq!(text.parse::<Size>(), Err(InvalidSize::Size(text.to_owned())));
        }
    }

    #[test]
    fn what_is_not_said_stays() {
        let kept = Retention { max_bytes: 7, keep_ms: 2 * DAY_MS };
        let said = |text: &str| toml::from_str::<RetentionSpec>(text).unwrap().over(kept);
        assert_eq!(said(""), Ok(kept));
        assert_eq!(said("max_size = \"1KiB\""), Ok(Retention { max_bytes: 1024, ..kept }));
        assert_eq!(said("keep_days = 0"), Ok(Retention { keep_ms: 0, ..kept }));
        assert_eq!(said("keep_days = 40000"), Err(InvalidSize::Days(40_000)));
    }
}
