use serde_json::{Value, json};

use super::prices::micro_usd;
use super::*;

fn decimal(text: &str) -> Value {
    json!({ "Decimal": text })
}

fn charges(input: &str, output: &str) -> Value {
    json!({ "ModelPrice": { "input_mtok": decimal(input), "output_mtok": decimal(output) } })
}

fn from(date: [u16; 3], prices: &Value) -> Value {
    let start = json!({ "StartDateConstraint": { "start_date": { "datetime.date": date } } });
    json!({ "ConditionalPrice": { "constraint": start, "prices": prices } })
}

fn equals(name: &str) -> Value {
    json!({ "ClauseEquals": { "equals": name } })
}

fn model(id: &str, prices: &Value) -> Value {
    json!({ "ModelInfo": { "id": id, "match": equals(id), "prices": prices } })
}

/// Returns the written line of a model, or what a person reads.
fn written(model: &Value) -> Result<Value, String> {
    let provider = json!([{ "Provider": { "id": "groq", "models": [model] } }]);
    let providers: Vec<Provider> = serde_json::from_value(provider).expect("a provider");
    let lines = lines(&providers, "groq").map_err(|error| format!("{error:#}"))?;
    Ok(serde_json::to_value(&lines[0]).expect("plain data"))
}

fn rates(prices: &Value) -> Result<Value, String> {
    written(&model("m", prices)).map(|line| line["price"]["micro_usd_per_mtok"].clone())
}

#[test]
fn a_model_becomes_one_line() {
    let tiered = json!({ "TieredPrices": { "base": decimal("3"), "tiers": [
        { "Tier": { "start": 200_000, "price": decimal("6") } }] } });
    let prices = json!({ "ModelPrice": { "input_mtok": tiered, "cache_read_mtok": decimal("0.30"),
        "output_mtok": decimal("15"), "web_searches_kcount": decimal("10") } });
    let names = json!({ "ClauseOr": { "or_": [equals("M-1"), { "ClauseStartsWith": { "starts_with": "M-1-" } }] } });
    let model =
        json!({ "ModelInfo": { "id": "M-1", "name": "M", "match": names, "context_window": 9, "prices": prices } });
    let expected = json!({ "id": "M-1", "names": { "or": [{ "equals": "m-1" }, { "starts_with": "m-1-" }] },
        "context_window": 9, "price": {
            "micro_usd_per_mtok": { "input": 3_000_000, "cached_input": 300_000, "output": 15_000_000 },
            "tiers": [{ "above_input_tokens": 200_000,
                "micro_usd_per_mtok": { "input": 6_000_000, "cached_input": 300_000, "output": 15_000_000 } }] } });
    assert_eq!(written(&model), Ok(expected));
}

#[test]
fn the_price_in_force_counts_and_a_dearer_one_that_is_announced() {
    let first = json!({ "ConditionalPrice": { "prices": charges("9", "9") } });
    let (past, future) = (from([2026, 11, 23], &charges("1", "4")), from([2026, 11, 24], &charges("2", "3")));
    assert_eq!(rates(&json!([first, past])), Ok(json!({ "input": 1_000_000, "output": 4_000_000 })));
    assert_eq!(rates(&json!([first, past, future])), Ok(json!({ "input": 2_000_000, "output": 4_000_000 })));
}

#[test]
fn the_dearest_hour_counts() {
    let hours = json!({ "TimeOfDateConstraint": { "start_time": {}, "end_time": {} } });
    let peak = json!({ "ModelPrice": { "input_mtok": decimal("1"), "cache_read_mtok": decimal("0.5"),
        "output_mtok": decimal("8") } });
    let peak = json!({ "ConditionalPrice": { "constraint": hours, "prices": peak } });
    let off_peak = json!({ "ConditionalPrice": { "prices": charges("2", "3") } });
    let expected = json!({ "input": 2_000_000, "cached_input": 2_000_000, "output": 8_000_000 });
    assert_eq!(rates(&json!([off_peak, peak])), Ok(expected));
}

#[test]
fn a_price_that_is_not_whole_is_no_price() {
    assert_eq!(rates(&json!({ "ModelPrice": {} })), Ok(Value::Null));
    assert_eq!(rates(&json!({ "ModelPrice": { "input_mtok": decimal("1") } })), Ok(Value::Null));
    let searching = written(&model("sonar-pro", &charges("1", "1"))).expect("a line");
    assert_eq!(searching.get("price"), None);
}

#[test]
fn what_is_not_understood_is_named() {
    let refused = |model: &Value| written(model).expect_err("it is not understood");
    let per_request = json!({ "ModelPrice": { "requests_kcount": decimal("5") } });
    assert_eq!(refused(&model("m", &per_request)), "groq/m: the price `requests_kcount` is not understood");
    assert!(refused(&model("m", &charges("0.0000001", "1"))).contains("`0.0000001` dollars"));
    let mut other = model("m", &charges("1", "1"));
    other["ModelInfo"]["price_variants"] = json!([{ "PriceVariant": { "when": { "region": "eu" }, "prices": {} } }]);
    assert_eq!(refused(&other), "groq/m: prices that depend on {\"region\"} are not understood");
    for (field, value) in [("match", json!({ "ClauseGlob": {} })), ("minimum", json!(1))] {
        let mut other = model("m", &charges("1", "1"));
        other["ModelInfo"][field] = value;
        assert!(refused(&other).contains("a model of `groq`: \"m\""));
    }
    let tiers = json!({ "TieredPrices": { "base": decimal("1"), "tiers": [{ "Tier": { "start": 1, "price": decimal("2") } }] } });
    let tiered = json!({ "ModelPrice": { "input_mtok": tiers, "output_mtok": decimal("1") } });
    let changing = json!([{ "ConditionalPrice": { "prices": charges("1", "1") } }, from([2027, 1, 1], &tiered)]);
    assert!(refused(&model("m", &changing)).contains("that change are not understood"));
}

#[test]
fn a_pattern_that_looks_ahead_at_its_start_is_turned_around() {
    let not_speech = pattern("^(?!.*-tts(?:$|-))").expect("it is understood");
    assert_eq!(not_speech, Names::Not(Box::new(Names::Regex("^(?:.*-tts(?:$|-))".into()))));
    assert!(pattern("a(?!b)").is_err() && pattern("^(?!a)(?!b)").is_err());
}

#[test]
fn amounts_are_exact_and_fractions_round_up() {
    assert_eq!(
        (micro_usd("0.25").ok(), micro_usd("75").ok(), micro_usd("0.000001").ok()),
        (Some(250_000), Some(75_000_000), Some(1))
    );
    assert_eq!(micro_usd("0.041666666666666664").ok(), Some(41_667));
    for text in ["0.0000001", "", "-1", "+1", "1e3", "a", "0.041666666666666664e1"] {
        assert!(micro_usd(text).is_err(), "{text}");
    }
}

#[test]
fn models_that_are_not_in_order_are_refused() {
    let models = json!([model("b", &charges("1", "1")), model("a", &charges("1", "1"))]);
    let provider = json!([{ "Provider": { "id": "groq", "models": models } }]);
    let providers: Vec<Provider> = serde_json::from_value(provider).expect("a provider");
    assert!(lines(&providers, "groq").is_err() && lines(&providers, "xai").is_err());
}
