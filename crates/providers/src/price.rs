//! What tokens cost. Whole numbers only, and always rounded up.

use protocol::{MicroUsd, TokenUsage};
use serde::Deserialize;

/// Tokens that a price is for.
const TOKENS_PER_PRICE: u128 = 1_000_000;

/// Tokens that one model call may use at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    pub input_tokens: u64,
    /// Reasoning included.
    pub output_tokens: u64,
}

/// What a model's tokens cost.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    #[serde(rename = "micro_usd_per_mtok")]
    base: Rates,
    #[serde(default)]
    tiers: Vec<Tier>,
}

/// Rates for calls with a longer input; they hold for all tokens of the call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tier {
    above_input_tokens: u64,
    #[serde(rename = "micro_usd_per_mtok")]
    rates: Rates,
}

/// Prices of a million tokens each. What has none is charged as what it is a part of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rates {
    pub(crate) input: MicroUsd,
    pub(crate) cached_input: Option<MicroUsd>,
    pub(crate) cache_write: Option<MicroUsd>,
    pub(crate) output: MicroUsd,
    pub(crate) reasoning: Option<MicroUsd>,
}

impl Price {
    /// Returns the price of what costs nothing: a script, or a model on a machine of one's own.
    pub fn free() -> Self {
        Self::flat(Rates::default())
    }

    pub(crate) fn flat(rates: Rates) -> Self {
        Self { base: rates, tiers: Vec::new() }
    }

    /// Returns the most that a call within `reserved` can cost: every token at its dearest, in the dearest tier.
    pub fn worst_cost(&self, reserved: Reserved) -> MicroUsd {
        let dearest = |of: fn(&Rates) -> MicroUsd| self.every_rate().map(of).max().unwrap_or_default();
        rounded_up([
            (reserved.input_tokens, dearest(Rates::dearest_input)),
            (reserved.output_tokens, dearest(Rates::dearest_output)),
        ])
    }

    /// Returns what a call cost. A number that the provider did not say is the one of `reserved`, and tokens of which it
    /// did not say what they were are charged as the dearest that they can have been.
    pub fn cost(&self, usage: &TokenUsage, reserved: Reserved) -> MicroUsd {
        let (cached, written) = (usage.cached_tokens.unwrap_or(0), usage.cache_write_tokens.unwrap_or(0));
        let reasoning = usage.reasoning_tokens.unwrap_or(0);
        // Parts that are larger than their whole are charged all the same.
        let input = usage.input_tokens.unwrap_or(reserved.input_tokens).max(cached.saturating_add(written));
        let output = usage.output_tokens.unwrap_or(reserved.output_tokens).max(reasoning);
        let rates = self.rates(input);
        rounded_up([
            (cached, rates.cached_input()),
            (written, rates.cache_write()),
            (input.saturating_sub(cached).saturating_sub(written), rates.rest_of_input(usage)),
            (reasoning, rates.reasoning()),
            (output - reasoning, rates.rest_of_output(usage)),
        ])
    }

    fn every_rate(&self) -> impl Iterator<Item = &Rates> {
        std::iter::once(&self.base).chain(self.tiers.iter().map(|tier| &tier.rates))
    }

    fn rates(&self, input_tokens: u64) -> &Rates {
        let reached = self.tiers.iter().filter(|tier| input_tokens > tier.above_input_tokens);
        reached.max_by_key(|tier| tier.above_input_tokens).map_or(&self.base, |tier| &tier.rates)
    }
}

impl Rates {
    fn cached_input(&self) -> MicroUsd {
        self.cached_input.unwrap_or(self.input)
    }

    fn cache_write(&self) -> MicroUsd {
        self.cache_write.unwrap_or(self.input)
    }

    fn reasoning(&self) -> MicroUsd {
        self.reasoning.unwrap_or(self.output)
    }

    fn dearest_input(&self) -> MicroUsd {
        self.rest_of_input(&TokenUsage::default())
    }

    fn dearest_output(&self) -> MicroUsd {
        self.rest_of_output(&TokenUsage::default())
    }

    /// Returns the rate of the input that is neither said to be read from a cache nor written to one.
    fn rest_of_input(&self, usage: &TokenUsage) -> MicroUsd {
        let cached = if usage.cached_tokens.is_none() { self.cached_input() } else { self.input };
        let written = if usage.cache_write_tokens.is_none() { self.cache_write() } else { self.input };
        self.input.max(cached).max(written)
    }

    /// Returns the rate of the output that is not said to be reasoning.
    fn rest_of_output(&self, usage: &TokenUsage) -> MicroUsd {
        if usage.reasoning_tokens.is_none() { self.output.max(self.reasoning()) } else { self.output }
    }
}

/// Returns the price of so many tokens at so much for a million each.
fn rounded_up<const N: usize>(counts: [(u64, MicroUsd); N]) -> MicroUsd {
    let product = |(tokens, rate): (u64, MicroUsd)| u128::from(tokens) * u128::from(rate.get());
    let sum = counts.into_iter().map(product).fold(0, u128::saturating_add);
    u64::try_from(sum.div_ceil(TOKENS_PER_PRICE)).map_or(MicroUsd::MAX, MicroUsd::new)
}

#[cfg(test)]
mod tests;
