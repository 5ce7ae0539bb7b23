//! `[budget]`: what may be spent on models.
//!
//! ```toml
//! [budget.session]
//! usd = 2.50
//! time = "1h 30m"
//! ```

use std::time::Duration;

use policy::Budget;
use protocol::{MicroUsd, Spending};
use serde::Deserialize;

/// `[budget]`; what is not written stays as it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetSpec {
    #[serde(default)]
    pub call: SpendingSpec,
    #[serde(default)]
    pub turn: SpendingSpec,
    #[serde(default)]
    pub session: SpendingSpec,
    #[serde(default)]
    pub day: SpendingSpec,
}

/// `[budget.SCOPE]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpendingSpec {
    pub model_calls: Option<u64>,
    pub tokens: Option<u64>,
    pub usd: Option<Usd>,
    pub time: Option<Time>,
}

/// An amount of dollars: `2`, `2.50`, `"2.50"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Usd(pub MicroUsd);

/// A length of time: `"90s"`, `"30m"`, `"1h 30m"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Time(pub Duration);

/// A number as TOML may hold it. The shortest text of a float is what was written.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Whole(u64),
    Fraction(f64),
    Text(String),
}

/// An amount that cannot be a budget.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBudget {
    #[error("`{0}` is not an amount of dollars: write 2 or 2.50")]
    Usd(String),
    #[error("`{0}` is not a length of time: write \"90s\", \"30m\" or \"1h 30m\"")]
    Time(String),
    /// In the unit that it is written in.
    #[error("{value} is outside of what `{name}` of a {scope}'s budget can be: {least} to {most}")]
    Range { scope: &'static str, name: &'static str, value: String, least: String, most: String },
}

impl TryFrom<Written> for Usd {
    type Error = InvalidBudget;

    fn try_from(written: Written) -> Result<Self, InvalidBudget> {
        match written {
            Written::Whole(dollars) => dollars.to_string().parse(),
            Written::Fraction(dollars) => dollars.to_string().parse(),
            Written::Text(text) => text.parse(),
        }
    }
}

impl std::str::FromStr for Usd {
    type Err = InvalidBudget;

    fn from_str(text: &str) -> Result<Self, InvalidBudget> {
        text.parse().map(Self).map_err(|_| InvalidBudget::Usd(text.to_owned()))
    }
}

impl TryFrom<String> for Time {
    type Error = InvalidBudget;

    fn try_from(text: String) -> Result<Self, InvalidBudget> {
        text.parse()
    }
}

impl std::str::FromStr for Time {
    type Err = InvalidBudget;

    fn from_str(text: &str) -> Result<Self, InvalidBudget> {
        let invalid = || InvalidBudget::Time(text.to_owned());
        let length: jiff::SignedDuration = text.parse().map_err(|_| invalid())?;
        Duration::try_from(length).map(Self).map_err(|_| invalid())
    }
}

impl BudgetSpec {
    /// Returns `base` with what is written here; a value beyond what the runtime keeps is an error, never clamped.
    pub fn resolve(&self, base: &Budget) -> Result<Budget, InvalidBudget> {
        Ok(Budget {
            call: self.call.resolve("call", &base.call)?,
            turn: self.turn.resolve("turn", &base.turn)?,
            session: self.session.resolve("session", &base.session)?,
            day: self.day.resolve("day", &base.day)?,
        })
    }
}

impl SpendingSpec {
    fn resolve(&self, scope: &'static str, base: &Spending) -> Result<Spending, InvalidBudget> {
        let most = Budget::MAX;
        let ranged = |name, value: Option<u64>, base: u64, least: u64, most: u64| {
            let value = value.unwrap_or(base);
            let within = (least..=most).contains(&value);
            let [value_text, least, most] = [value, least, most].map(|amount| written(name, amount));
            within.then_some(value).ok_or(InvalidBudget::Range { scope, name, value: value_text, least, most })
        };
        let micro_usd = self.usd.map(|Usd(usd)| usd.get());
        let time_ms = self.time.map(|Time(time)| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        Ok(Spending {
            model_calls: ranged("model_calls", self.model_calls, base.model_calls, 1, most.model_calls)?,
            tokens: ranged("tokens", self.tokens, base.tokens, 1, most.tokens)?,
            // A model of one's own costs nothing.
            micro_usd: ranged("usd", micro_usd, base.micro_usd, 0, most.micro_usd)?,
            time_ms: ranged("time", time_ms, base.time_ms, 1, most.time_ms)?,
        })
    }
}

/// Returns `amount` as a person writes it.
fn written(name: &str, amount: u64) -> String {
    match name {
        "usd" => MicroUsd::new(amount).to_string(),
        "time" => format!("{amount} ms"),
        _ => amount.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Result<BudgetSpec, toml::de::Error> {
        toml::from_str(text)
    }

    fn resolved(text: &str) -> Result<Budget, InvalidBudget> {
        spec(text).unwrap().resolve(&Budget::default())
    }

    #[test]
    fn what_is_not_written_stays_as_it_was() {
        assert_eq!(resolved("").unwrap(), Budget::default());
        let written = resolved("[session]\nusd = 2.5\ntime = \"1h 30m\"\n[call]\ntokens = 7").unwrap();
        let mut expected = Budget::default();
        (expected.session.micro_usd, expected.session.time_ms, expected.call.tokens) = (2_500_000, 5_400_000, 7);
        assert_eq!(written, expected);
    }

    #[test]
    fn dollars_are_exact_however_they_are_written() {
        for (text, micro_usd) in [("0.1", 100_000), ("3", 3_000_000), ("\"0.000001\"", 1), ("0.3", 300_000), ("0", 0)] {
            assert_eq!(resolved(&format!("[turn]\nusd = {text}")).unwrap().turn.micro_usd, micro_usd, "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "[turn]\nusd = -1",
            "[turn]\nusd = \"much\"",
            "[turn]\ntime = \"-5m\"",
            "[turn]\ntime = 5",
            "[turn]\nusd = inf",
            "[turn]\nturns = 5",
            "[month]\nusd = 5",
        ] {
            assert!(spec(text).is_err(), "{text}");
        }
        for text in ["[day]\ntokens = 0", "[day]\ntime = \"9999h\"", "[day]\nmodel_calls = 18446744073709551615"] {
            assert!(matches!(resolved(text), Err(InvalidBudget::Range { scope: "day", .. })), "{text}");
        }
    }
}
