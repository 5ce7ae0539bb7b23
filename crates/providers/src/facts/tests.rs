use std::collections::BTreeMap;

use protocol::TokenUsage;

use super::*;
use crate::price::Reserved;
use crate::settings::resolve;

fn read(text: &str) -> Result<ModelFacts, String> {
    toml::from_str(text).map_err(|error: toml::de::Error| error.message().to_owned())
}

/// Returns what a million tokens of each kind cost: input, cached, written, output.
fn per_mtok(price: &Price) -> [String; 4] {
    let nothing = TokenUsage {
        input_tokens: Some(0),
        output_tokens: Some(0),
        cached_tokens: Some(0),
        cache_write_tokens: Some(0),
        reasoning_tokens: Some(0),
    };
    let million = Some(1_000_000);
    let reserved = Reserved { input_tokens: 0, output_tokens: 0 };
    [
        TokenUsage { input_tokens: million, ..nothing },
        TokenUsage { cached_tokens: million, ..nothing },
        TokenUsage { cache_write_tokens: million, ..nothing },
        TokenUsage { output_tokens: million, ..nothing },
    ]
    .map(|usage| price.cost(&usage, reserved).to_string())
}

/// Returns what is known of the model `spec`, with `file` below `[providers]` and one variable set.
fn known(spec: &str, file: &str, env: (&str, &str)) -> ModelFacts {
    let providers = toml::from_str(file).unwrap();
    let env = |name: &str| Some(env).filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
    let (settings, model) = resolve(Some(spec), &providers, &env).unwrap();
    facts(&settings, &model)
}

#[test]
fn prices_are_exact_however_they_are_written() {
    let text = "input_usd_per_mtok = 0.1\ncached_input_usd_per_mtok = \"$0.01\"\ncache_write_usd_per_mtok = 0.000003\n\
                output_usd_per_mtok = 7\ncontext_window = 32768\nmax_output_tokens = 4096";
    let read = read(text).unwrap();
    assert_eq!((read.context_window, read.max_output_tokens), (Some(32_768), Some(4_096)));
    assert_eq!(per_mtok(&read.price.unwrap()), ["$0.100000", "$0.010000", "$0.000003", "$7.000000"]);
}

#[test]
fn contradictions_say_what_is_missing() {
    let half = |missing: &str| format!("`{missing}` is missing: give the prices of input and output together");
    assert_eq!(read("input_usd_per_mtok = 1").unwrap_err(), half("output_usd_per_mtok"));
    assert_eq!(read("output_usd_per_mtok = 1").unwrap_err(), half("input_usd_per_mtok"));
    assert_eq!(read("cached_input_usd_per_mtok = 1").unwrap_err(), half("input_usd_per_mtok"));
    for prices in ["input_usd_per_mtok = 1\noutput_usd_per_mtok = 1", "cache_write_usd_per_mtok = 1"] {
        let refused = read(&format!("price = \"free\"\n{prices}")).unwrap_err();
        assert_eq!(refused, "a model that is free has no prices: leave out `price = \"free\"` or the prices");
    }
}

#[test]
fn what_is_no_setting_or_no_price_is_refused() {
    for text in [
        "window = 1",
        "context_window = 0",
        "price = \"cheap\"",
        "input_usd_per_mtok = -1\noutput_usd_per_mtok = 1",
        "input_usd_per_mtok = nan\noutput_usd_per_mtok = 1",
        "input_usd_per_mtok = 1e-7\noutput_usd_per_mtok = 1",
        "input_usd_per_mtok = \"dear\"\noutput_usd_per_mtok = 1",
        "input_usd_per_mtok = true\noutput_usd_per_mtok = 1",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn what_is_configured_goes_before_the_catalog() {
    let key = ("ANTHROPIC_API_KEY", "k");
    let listed = known("anthropic/claude-sonnet-5", "", key);
    assert_eq!(listed.context_window, Some(1_000_000));
    assert_eq!(per_mtok(&listed.price.clone().unwrap()), ["$2.000000", "$0.200000", "$2.500000", "$10.000000"]);
    let file = "[anthropic.models.\"claude-sonnet-5\"]\nprice = \"free\"\nmax_output_tokens = 9";
    let configured = known("anthropic/claude-sonnet-5", file, key);
    let expected =
        ModelFacts { max_output_tokens: Some(9), price: Some(Price::free()), context_window: listed.context_window };
    assert_eq!(configured, expected);
    assert_ne!(known("anthropic/claude-opus-5", file, key).price, Some(Price::free()));
}

#[test]
fn of_a_server_in_a_vendors_place_nothing_is_known() {
    let url = ("OPENAI_BASE_URL", "https://api.openai.com.evil.test/v1");
    assert_eq!(known("openai/gpt-5", "", url), ModelFacts::default());
    let free = ModelFacts { price: Some(Price::free()), ..ModelFacts::default() };
    assert_eq!(known("openai/gpt-5", "[openai.models.gpt-5]\nprice = \"free\"", url), free);
    assert_eq!(known("ollama/qwen", "", ("", "")), free);
    assert_eq!(known("ollama/qwen", "", ("OLLAMA_BASE_URL", "https://ollama.test/v1")), ModelFacts::default());
    let mine = "[mine]\nbase_url = \"http://127.0.0.1:1/v1\"";
    assert_eq!(known("mine/gpt-5", mine, ("", "")), ModelFacts::default());
}

#[test]
fn the_models_that_vendors_are_known_by_have_prices() {
    let unknown = |vendor: &&crate::vendor::Vendor| {
        let model = vendor.model.unwrap_or("any");
        let (name, base_url) = (vendor.name.to_owned(), vendor.base_url.parse().unwrap());
        let (timeouts, models) = (crate::limits::Timeouts::default(), BTreeMap::new());
        let settings = ProviderSettings { name, api: vendor.api, base_url, api_key: None, timeouts, models };
        facts(&settings, model).price.is_none()
    };
    let unpriced: Vec<&str> = crate::vendor::VENDORS.iter().filter(unknown).map(|vendor| vendor.name).collect();
    // Its router chooses a model, and so a price, for every call.
    assert_eq!(unpriced, ["openrouter"]);
}
