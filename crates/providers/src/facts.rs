//! What is known of one model: what the person configured, and else what the catalog says.

use std::fmt;
use std::num::NonZeroU32;

use protocol::MicroUsd;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use crate::catalog;
use crate::price::{Price, Rates};
use crate::settings::ProviderSettings;
use crate::vendor::vendor;

/// What is known of one model. `None` is unknown: neither endless nor free.
///
/// It is also what `[providers.NAME.models."MODEL"]` in `boxagnts.toml` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Table")]
pub struct ModelFacts {
    /// Tokens that input and output may have together.
    pub context_window: Option<u32>,
    pub max_output_tokens: Option<u32>,
    pub price: Option<Price>,
}

/// A `[providers.NAME.models."MODEL"]` that contradicts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFacts {
    #[error("a model that is free has no prices: leave out `price = \"free\"` or the prices")]
    FreeAndPriced,
    #[error("`{missing}` is missing: give the prices of input and output together")]
    HalfPriced { missing: &'static str },
}

/// Returns what is known of the model `model` of the provider, as `resolve` named both.
///
/// What is configured goes first. The catalog's prices are those of the vendors themselves: of a server in a vendor's
/// place nothing is known but what is configured.
pub fn facts(settings: &ProviderSettings, model: &str) -> ModelFacts {
    let configured = settings.models.get(model).cloned().unwrap_or_default();
    configured.or(listed(settings, model))
}

fn listed(settings: &ProviderSettings, model: &str) -> ModelFacts {
    match vendor(&settings.name).filter(|vendor| vendor.is_at(&settings.base_url)) {
        Some(vendor) if vendor.free => ModelFacts { price: Some(Price::free()), ..ModelFacts::default() },
        Some(vendor) => catalog::lookup(&format!("{}/{model}", vendor.name)),
        None => ModelFacts::default(),
    }
}

impl ModelFacts {
    fn or(self, other: Self) -> Self {
        Self {
            context_window: self.context_window.or(other.context_window),
            max_output_tokens: self.max_output_tokens.or(other.max_output_tokens),
            price: self.price.or(other.price),
        }
    }
}

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    context_window: Option<NonZeroU32>,
    max_output_tokens: Option<NonZeroU32>,
    price: Option<Word>,
    input_usd_per_mtok: Option<Usd>,
    cached_input_usd_per_mtok: Option<Usd>,
    cache_write_usd_per_mtok: Option<Usd>,
    output_usd_per_mtok: Option<Usd>,
}

/// A price that needs no number.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Free,
}

impl TryFrom<Table> for ModelFacts {
    type Error = InvalidFacts;

    fn try_from(table: Table) -> Result<Self, InvalidFacts> {
        let price = table.price()?;
        let get = |limit: Option<NonZeroU32>| limit.map(NonZeroU32::get);
        Ok(Self { context_window: get(table.context_window), max_output_tokens: get(table.max_output_tokens), price })
    }
}

impl Table {
    fn price(&self) -> Result<Option<Price>, InvalidFacts> {
        let parts = [&self.cached_input_usd_per_mtok, &self.cache_write_usd_per_mtok];
        let any_part = parts.into_iter().any(Option::is_some);
        match (self.price, &self.input_usd_per_mtok, &self.output_usd_per_mtok) {
            (None, Some(input), Some(output)) => Ok(Some(self.priced(input, output))),
            (None, None, None) if !any_part => Ok(None),
            (Some(Word::Free), None, None) if !any_part => Ok(Some(Price::free())),
            (Some(Word::Free), ..) => Err(InvalidFacts::FreeAndPriced),
            (None, None, _) => Err(InvalidFacts::HalfPriced { missing: "input_usd_per_mtok" }),
            (None, _, None) => Err(InvalidFacts::HalfPriced { missing: "output_usd_per_mtok" }),
        }
    }

    fn priced(&self, input: &Usd, output: &Usd) -> Price {
        let get = |usd: &Option<Usd>| usd.as_ref().map(|usd| usd.0);
        Price::flat(Rates {
            input: input.0,
            cached_input: get(&self.cached_input_usd_per_mtok),
            cache_write: get(&self.cache_write_usd_per_mtok),
            output: output.0,
            reasoning: None,
        })
    }
}

/// An amount as a person writes it: `3`, `0.25` or `"0.25"`.
struct Usd(MicroUsd);

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UsdVisitor)
    }
}

struct UsdVisitor;

impl Visitor<'_> for UsdVisitor {
    type Value = Usd;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an amount in dollars, like 3, 0.25 or \"0.25\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Usd, E> {
        text.parse().map(Usd).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, dollars: i64) -> Result<Usd, E> {
        self.visit_str(&dollars.to_string())
    }

    /// The shortest text that means this number is the one that was written, as far as a price has decimals.
    fn visit_f64<E: Error>(self, dollars: f64) -> Result<Usd, E> {
        self.visit_str(&dollars.to_string())
    }
}

#[cfg(test)]
mod tests;
