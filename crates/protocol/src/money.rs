//! Money, in whole millionths of a dollar: no sum of a long session drifts, and no price is lost in a fraction.

use std::fmt;
use std::iter::Sum;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Decimals of a dollar that an amount has.
const DECIMALS: usize = 6;

/// Millionths in one dollar.
const PER_DOLLAR: u64 = 1_000_000;

/// An amount in millionths of a US dollar. A journal holds it as a plain integer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MicroUsd(u64);

/// A text that is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUsd {
    #[error("`{0}` is not an amount in dollars: expected digits, like 2, 0.50 or $1.25")]
    NotDecimal(String),
    #[error("`{0}` is finer than a millionth of a dollar: at most {DECIMALS} decimals")]
    TooFine(String),
    #[error("`{0}` is more than any amount that can be held ({most})", most = MicroUsd::MAX)]
    TooLarge(String),
}

impl MicroUsd {
    pub const ZERO: Self = Self(0);

    /// The most that can be held: about eighteen million million dollars.
    pub const MAX: Self = Self(u64::MAX);

    /// Returns the amount of `micro_usd` millionths of a dollar.
    pub const fn new(micro_usd: u64) -> Self {
        Self(micro_usd)
    }

    /// Returns the millionths of a dollar.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the sum, if it can be held.
    pub const fn checked_add(self, more: Self) -> Option<Self> {
        match self.0.checked_add(more.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// Returns what is left, if `less` is not more.
    pub const fn checked_sub(self, less: Self) -> Option<Self> {
        match self.0.checked_sub(less.0) {
            Some(left) => Some(Self(left)),
            None => None,
        }
    }

    /// Returns the sum, or [`Self::MAX`].
    #[must_use]
    pub const fn saturating_add(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }

    /// Returns what is left, or nothing.
    #[must_use]
    pub const fn saturating_sub(self, less: Self) -> Self {
        Self(self.0.saturating_sub(less.0))
    }
}

/// Adds up, and stays at [`MicroUsd::MAX`] once there.
impl Sum for MicroUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::saturating_add)
    }
}

impl fmt::Display for MicroUsd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("${}.{:06}", self.0 / PER_DOLLAR, self.0 % PER_DOLLAR);
        formatter.pad(&text)
    }
}

impl FromStr for MicroUsd {
    type Err = InvalidUsd;

    /// Reads an exact decimal, with or without `$` before it.
    fn from_str(text: &str) -> Result<Self, InvalidUsd> {
        let number = text.strip_prefix('$').unwrap_or(text);
        let (dollars, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(dollars) || !is_number(decimals) {
            return Err(InvalidUsd::NotDecimal(text.to_owned()));
        }
        let decimals = decimals.trim_end_matches('0');
        if decimals.len() > DECIMALS {
            return Err(InvalidUsd::TooFine(text.to_owned()));
        }
        let micro_usd = format!("{dollars}{decimals:0<DECIMALS$}").parse();
        micro_usd.map(Self).map_err(|_| InvalidUsd::TooLarge(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exact_decimals_are_read() {
        let read = |text: &str| text.parse::<MicroUsd>().map(MicroUsd::get);
        for (text, micro_usd) in [
            ("2.00", 2_000_000),
            ("0.5", 500_000),
            ("$1", 1_000_000),
            ("$0.001234", 1_234),
            ("0.1000000", 100_000),
            ("007", 7_000_000),
            ("18446744073709.551615", u64::MAX),
        ] {
            assert_eq!(read(text), Ok(micro_usd), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused_with_its_reason() {
        let refused = |text: &str| text.parse::<MicroUsd>().unwrap_err().to_string();
        for text in ["", "$", ".", ".5", "5.", "-1", "+1", "1e3", "1,50", "1 ", "$$1", "1.2.3", "NaN", "٣", "1$"] {
            let expected = format!("`{text}` is not an amount in dollars: expected digits, like 2, 0.50 or $1.25");
            assert_eq!(refused(text), expected);
        }
        assert_eq!(refused("0.1234567"), "`0.1234567` is finer than a millionth of a dollar: at most 6 decimals");
        let too_large = "`18446744073709.551616` is more than any amount that can be held ($18446744073709.551615)";
        assert_eq!(refused("18446744073709.551616"), too_large);
    }

    #[test]
    fn an_amount_is_a_plain_integer_in_a_journal() {
        assert_eq!(serde_json::to_string(&MicroUsd::new(1_234)).unwrap(), "1234");
        assert_eq!(serde_json::from_str::<MicroUsd>("1234").unwrap(), MicroUsd::new(1_234));
        assert!(serde_json::from_str::<MicroUsd>("-1").is_err() && serde_json::from_str::<MicroUsd>("0.5").is_err());
    }

    #[test]
    fn sums_never_wrap() {
        let (one, most) = (MicroUsd::new(1), MicroUsd::MAX);
        assert_eq!((most.checked_add(one), one.checked_sub(most)), (None, None));
        assert_eq!((most.saturating_add(one), one.saturating_sub(most)), (most, MicroUsd::ZERO));
        assert_eq!([most, one, one].into_iter().sum::<MicroUsd>(), most);
        assert_eq!(format!("{:>12}", MicroUsd::new(1_234)), "   $0.001234");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(micro_usd: u64) {
            let amount = MicroUsd::new(micro_usd);
            prop_assert_eq!(amount.to_string().parse(), Ok(amount));
        }
    }
}
