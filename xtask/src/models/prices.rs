//! One price for each model: for text, now, and asked for in the plain way.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

use super::AS_OF;
use super::output::{Price, Rates, Tier};
use super::source::{Amount, Charges, Conditional, Constraint, Decimal, Prices, StartDate, Step, Variant};

const INPUT: &str = "input_mtok";
const CACHED_INPUT: &str = "cache_read_mtok";
const CACHE_WRITE: &str = "cache_write_mtok";
const OUTPUT: &str = "output_mtok";
const REASONING: &str = "output_reasoning_mtok";

/// Prices of what the runtime never sends or asks for: sound and pictures, documents, the vendor's own searches, and a
/// cache that holds for an hour.
const NEVER_ASKED_FOR: [&str; 17] = [
    "audio_hours",
    "cache_audio_read_mtok",
    "cache_image_read_mtok",
    "cache_write_1h_mtok",
    "input_annotated_document_kpages",
    "input_audio_hours",
    "input_audio_mtok",
    "input_document_kpages",
    "input_image_mtok",
    "input_mchars",
    "input_text_messages_kcount",
    "input_video_mtok",
    "output_audio_mtok",
    "output_image_mtok",
    "output_video_mtok",
    "storage_searches_kcount",
    "web_searches_kcount",
];

/// What a request says to be charged otherwise; the runtime says none of it.
const REQUESTED: [&str; 4] = ["processing", "route", "service_tier", "speed"];

/// Decimals of a dollar that a price may have.
const DECIMALS: usize = 6;

/// Decimals from which on a price is a fraction that somebody wrote in full (0.041666666666666664 is 1/24), of which no
/// unit is exact.
const FRACTION_DECIMALS: usize = 12;

/// Checks that nothing but what a request says leads to other prices.
pub(super) fn check_variants(variants: &[Variant]) -> Result<()> {
    let conditions = variants.iter().flat_map(|Variant::PriceVariant { when }| when.keys());
    let unknown: BTreeSet<&String> = conditions.filter(|name| !REQUESTED.contains(&name.as_str())).collect();
    ensure!(unknown.is_empty(), "prices that depend on {unknown:?} are not understood");
    Ok(())
}

/// Returns the price, or none where not all of it is known.
///
/// Of prices by the hour, the dearest counts, and so does a dearer one that is announced: a budget holds at any hour, and
/// on the day after.
pub(super) fn price(prices: &Prices) -> Result<Option<Price>> {
    let applicable = match prices {
        Prices::Always(charges) => vec![charges],
        Prices::Conditional(conditional) => applicable(conditional)?,
    };
    let prices: Option<Vec<Price>> = applicable.into_iter().map(plain).collect::<Result<_>>()?;
    prices.map(dearest).transpose()
}

/// Returns what applies, as the package reads its list: the last that is in force.
fn applicable(conditional: &[Conditional]) -> Result<Vec<&Charges>> {
    let mut applicable = Vec::new();
    for Conditional::ConditionalPrice { constraint, prices } in conditional {
        match constraint {
            None => applicable = vec![prices],
            Some(Constraint::StartDateConstraint { start_date: StartDate::Date(date) }) if *date <= AS_OF => {
                applicable = vec![prices];
            }
            Some(_) => applicable.push(prices),
        }
    }
    ensure!(!applicable.is_empty(), "a list of no prices is not understood");
    Ok(applicable)
}

/// Returns the dearest of every kind.
fn dearest(prices: Vec<Price>) -> Result<Price> {
    let flat = prices.len() == 1 || prices.iter().all(|price| price.tiers.is_empty());
    ensure!(flat, "prices by the length of the input that change are not understood");
    prices
        .into_iter()
        .reduce(|one, other| Price {
            micro_usd_per_mtok: one.micro_usd_per_mtok.dearest(&other.micro_usd_per_mtok),
            tiers: one.tiers,
        })
        .context("one price at least applies")
}

impl Rates {
    fn dearest(&self, other: &Self) -> Self {
        let part = |part: fn(&Self) -> Option<u64>, whole: fn(&Self) -> u64| {
            let any = part(self).or(part(other));
            any.map(|_| part(self).unwrap_or(whole(self)).max(part(other).unwrap_or(whole(other))))
        };
        Self {
            input: self.input.max(other.input),
            cached_input: part(|rates| rates.cached_input, |rates| rates.input),
            cache_write: part(|rates| rates.cache_write, |rates| rates.input),
            output: self.output.max(other.output),
            reasoning: part(|rates| rates.reasoning, |rates| rates.output),
        }
    }
}

/// Returns one list of charges as a price.
fn plain(Charges::ModelPrice(charges): &Charges) -> Result<Option<Price>> {
    check_keys(charges)?;
    let starts: BTreeSet<u64> = charges.values().flat_map(starts).collect();
    let Some(base) = rates(charges, None)? else { return Ok(None) };
    let tier = |start: u64| {
        let rates = rates(charges, Some(start))?.context("the price has a base")?;
        Ok(Tier { above_input_tokens: start, micro_usd_per_mtok: rates })
    };
    let tiers: Vec<Tier> = starts.into_iter().map(tier).collect::<Result<_>>()?;
    Ok(Some(Price { micro_usd_per_mtok: base, tiers }))
}

fn check_keys(charges: &BTreeMap<String, Amount>) -> Result<()> {
    let known = [INPUT, CACHED_INPUT, CACHE_WRITE, OUTPUT, REASONING];
    let unknown = |key: &&String| !known.contains(&key.as_str()) && !NEVER_ASKED_FOR.contains(&key.as_str());
    match charges.keys().find(unknown) {
        Some(key) => bail!("the price `{key}` is not understood"),
        None => Ok(()),
    }
}

fn starts(amount: &Amount) -> Vec<u64> {
    match amount {
        Amount::Decimal(_) => Vec::new(),
        Amount::TieredPrices { tiers, .. } => tiers.iter().map(|Step::Tier { start, .. }| *start).collect(),
    }
}

/// Returns the rates in the tier that begins at `start`.
fn rates(charges: &BTreeMap<String, Amount>, start: Option<u64>) -> Result<Option<Rates>> {
    let rate = |key: &str| charges.get(key).map(|amount| at(amount, start)).transpose().with_context(|| key.to_owned());
    let (Some(input), Some(output)) = (rate(INPUT)?, rate(OUTPUT)?) else { return Ok(None) };
    Ok(Some(Rates {
        input,
        cached_input: rate(CACHED_INPUT)?,
        cache_write: rate(CACHE_WRITE)?,
        output,
        reasoning: rate(REASONING)?,
    }))
}

fn at(amount: &Amount, start: Option<u64>) -> Result<u64> {
    match amount {
        Amount::Decimal(text) => micro_usd(text),
        Amount::TieredPrices { base: Decimal::Decimal(base), tiers } => {
            let reached =
                tiers.iter().filter(|Step::Tier { start: from, .. }| start.is_some_and(|start| *from <= start));
            let last = reached.max_by_key(|Step::Tier { start, .. }| *start);
            last.map_or_else(|| micro_usd(base), |Step::Tier { price: Decimal::Decimal(text), .. }| micro_usd(text))
        }
    }
}

/// Returns the millionths of so many dollars: exactly, or for a fraction the next higher ones.
pub(super) fn micro_usd(text: &str) -> Result<u64> {
    let (dollars, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = !dollars.is_empty() && [dollars, decimals].concat().bytes().all(|byte| byte.is_ascii_digit());
    ensure!(digits, "`{text}` is no amount of dollars");
    let decimals = decimals.trim_end_matches('0');
    let fraction = decimals.len() >= FRACTION_DECIMALS;
    ensure!(decimals.len() <= DECIMALS || fraction, "`{text}` dollars are no whole number of millionths");
    let kept = &decimals[..decimals.len().min(DECIMALS)];
    let micro_usd: u64 = format!("{dollars}{kept:0<DECIMALS$}").parse().with_context(|| format!("`{text}` dollars"))?;
    Ok(micro_usd + u64::from(fraction))
}
