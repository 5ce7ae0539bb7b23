use proptest::prelude::*;

use super::*;

fn usd(text: &str) -> MicroUsd {
    text.parse().unwrap()
}

/// Three dollars in and fifteen out; cached a tenth, written a quarter more; twice that for a long input.
fn sonnet() -> Price {
    let rates = |times: u64| Rates {
        input: MicroUsd::new(3_000_000 * times),
        cached_input: Some(MicroUsd::new(300_000 * times)),
        cache_write: Some(MicroUsd::new(3_750_000 * times)),
        output: MicroUsd::new(15_000_000 * times),
        reasoning: None,
    };
    Price { base: rates(1), tiers: vec![Tier { above_input_tokens: 200_000, rates: rates(2) }] }
}

fn usage(input: u64, output: u64, cached: u64, written: u64) -> TokenUsage {
    TokenUsage {
        input_tokens: Some(input),
        output_tokens: Some(output),
        cached_tokens: Some(cached),
        cache_write_tokens: Some(written),
        reasoning_tokens: Some(0),
    }
}

const RESERVED: Reserved = Reserved { input_tokens: 100_000, output_tokens: 8_000 };

#[test]
fn every_kind_of_token_has_its_own_price() {
    let cost = |usage| sonnet().cost(&usage, RESERVED);
    assert_eq!(cost(usage(100_000, 0, 0, 0)), usd("0.30"));
    assert_eq!(cost(usage(100_000, 0, 100_000, 0)), usd("0.03"));
    assert_eq!(cost(usage(100_000, 0, 0, 100_000)), usd("0.375"));
    assert_eq!(cost(usage(100_000, 8_000, 60_000, 30_000)), usd("0.2805"));
}

#[test]
fn reasoning_is_charged_as_output_unless_it_has_a_price() {
    let thought = TokenUsage { reasoning_tokens: Some(6_000), ..usage(0, 8_000, 0, 0) };
    assert_eq!(sonnet().cost(&thought, RESERVED), usd("0.12"));
    let rates = Rates { output: usd("8"), reasoning: Some(usd("3")), ..Rates::default() };
    assert_eq!(Price::flat(rates).cost(&thought, RESERVED), usd("0.034"));
}

#[test]
fn a_long_input_makes_every_token_dearer() {
    let cost = |input| sonnet().cost(&usage(input, 1_000, 0, 0), RESERVED);
    assert_eq!((cost(200_000), cost(200_001)), (usd("0.615"), usd("1.230006")));
}

#[test]
fn a_reservation_is_held_at_the_dearest() {
    assert_eq!(sonnet().worst_cost(RESERVED), usd("0.99"));
    assert_eq!(Price::free().worst_cost(RESERVED), MicroUsd::ZERO);
}

#[test]
fn what_the_provider_did_not_say_is_charged_at_the_dearest() {
    let cost = |usage| sonnet().cost(&usage, RESERVED);
    assert_eq!(cost(TokenUsage::default()), usd("0.495"));
    assert_eq!(cost(TokenUsage { output_tokens: None, ..usage(0, 0, 0, 0) }), usd("0.12"));
    assert_eq!(cost(TokenUsage { cache_write_tokens: None, ..usage(100_000, 0, 20_000, 0) }), usd("0.306"));
    assert_eq!(cost(TokenUsage { cached_tokens: None, ..usage(100_000, 0, 0, 20_000) }), usd("0.315"));
    let thoughtful = Price::flat(Rates { output: usd("2"), reasoning: Some(usd("3")), ..Rates::default() });
    let silent = TokenUsage { reasoning_tokens: None, ..usage(0, 8_000, 0, 0) };
    assert_eq!(thoughtful.cost(&silent, RESERVED), usd("0.024"));
}

#[test]
fn parts_that_are_larger_than_their_whole_are_charged() {
    assert_eq!(sonnet().cost(&usage(10, 0, 50_000, 50_000), RESERVED), usd("0.2025"));
    assert_eq!(sonnet().cost(&usage(10, 0, 150_000, 150_000), RESERVED), usd("1.215"));
    let thought = TokenUsage { reasoning_tokens: Some(8_000), ..usage(0, 10, 0, 0) };
    assert_eq!(sonnet().cost(&thought, RESERVED), usd("0.12"));
}

#[test]
fn the_least_token_costs_something() {
    let cheapest = Price::flat(Rates { input: MicroUsd::new(1), ..Rates::default() });
    let one = Reserved { input_tokens: 1, output_tokens: 0 };
    assert_eq!(cheapest.worst_cost(one), MicroUsd::new(1));
    assert_eq!(cheapest.cost(&usage(1, 0, 0, 0), one), MicroUsd::new(1));
}

#[test]
fn a_sum_that_cannot_be_held_does_not_start_again_from_nothing() {
    let rates = Rates { input: MicroUsd::MAX, output: MicroUsd::new(1 << 25), ..Rates::default() };
    let reserved = Reserved { input_tokens: u64::MAX, output_tokens: 1 << 40 };
    assert_eq!(Price::flat(rates).worst_cost(reserved), MicroUsd::MAX);
}

fn rates() -> impl Strategy<Value = Rates> {
    let rate = || any::<u64>().prop_map(MicroUsd::new);
    let part = move || prop::option::of(rate());
    (rate(), part(), part(), rate(), part()).prop_map(|(input, cached_input, cache_write, output, reasoning)| Rates {
        input,
        cached_input,
        cache_write,
        output,
        reasoning,
    })
}

fn prices() -> impl Strategy<Value = Price> {
    let tier = (0..1_000_000_u64, rates()).prop_map(|(above, rates)| Tier { above_input_tokens: above, rates });
    (rates(), prop::collection::vec(tier, 0..3)).prop_map(|(base, tiers)| Price { base, tiers })
}

/// Some tokens, mostly as many as a call has, and how many of them are said to be used, if that is said.
fn tokens() -> impl Strategy<Value = (u64, Option<u64>)> {
    let reserved = prop_oneof![4 => 0..2_000_000_u64, 1 => any::<u64>()];
    reserved.prop_flat_map(|reserved| (Just(reserved), prop::option::of(0..=reserved)))
}

/// A reservation, and a usage within it.
fn calls() -> impl Strategy<Value = (Reserved, TokenUsage)> {
    let totals = (tokens(), tokens());
    totals.prop_flat_map(|((input_tokens, input), (output_tokens, output))| {
        let (input_most, output_most) = (input.unwrap_or(input_tokens), output.unwrap_or(output_tokens));
        let cached = prop::option::of(0..=input_most);
        let parts = cached.prop_flat_map(move |cached| {
            let written = prop::option::of(0..=input_most - cached.unwrap_or(0));
            (Just(cached), written, prop::option::of(0..=output_most))
        });
        parts.prop_map(move |(cached_tokens, cache_write_tokens, reasoning_tokens)| {
            let usage = TokenUsage {
                input_tokens: input,
                output_tokens: output,
                cached_tokens,
                cache_write_tokens,
                reasoning_tokens,
            };
            (Reserved { input_tokens, output_tokens }, usage)
        })
    })
}

/// Returns the exact cost in millionths of a millionth of a dollar.
fn exact(tokens: u64, rate: MicroUsd) -> u128 {
    u128::from(tokens) * u128::from(rate.get())
}

proptest! {
    #[test]
    fn a_call_within_its_reservation_never_costs_more(price in prices(), (reserved, usage) in calls()) {
        prop_assert!(price.cost(&usage, reserved) <= price.worst_cost(reserved));
    }

    #[test]
    fn more_tokens_never_cost_less(price in prices(), (reserved, usage) in calls(), more: u32) {
        let more = u64::from(more);
        let larger = Reserved {
            input_tokens: reserved.input_tokens.saturating_add(more),
            output_tokens: reserved.output_tokens.saturating_add(more),
        };
        prop_assert!(price.worst_cost(reserved) <= price.worst_cost(larger));
        let output_tokens = usage.output_tokens.map(|tokens| tokens.saturating_add(more));
        let longer = TokenUsage { output_tokens, ..usage };
        let kept = Reserved { input_tokens: reserved.input_tokens, ..larger };
        prop_assert!(price.cost(&usage, reserved) <= price.cost(&longer, kept));
    }

    #[test]
    fn rounding_is_up_and_by_less_than_one(tokens: u32, rate in 0..1_000_000_000_u64) {
        let price = Price::flat(Rates { input: MicroUsd::new(rate), ..Rates::default() });
        let cost = price.cost(&usage(tokens.into(), 0, 0, 0), RESERVED);
        let (held, exact) = (u128::from(cost.get()) * TOKENS_PER_PRICE, exact(tokens.into(), MicroUsd::new(rate)));
        prop_assert!(held >= exact && held - exact < TOKENS_PER_PRICE);
    }

    #[test]
    fn what_cannot_be_held_is_the_most(rate in 1_000_000..u64::MAX) {
        let most = MicroUsd::new(rate);
        let price = Price::flat(Rates { input: most, output: most, ..Rates::default() });
        let all = Reserved { input_tokens: u64::MAX, output_tokens: u64::MAX };
        prop_assert_eq!(price.worst_cost(all), MicroUsd::MAX);
    }
}
