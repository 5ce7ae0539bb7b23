//! What is published about models: context windows and prices, from a file that `cargo xtask models` generates.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use serde::Deserialize;

use crate::facts::ModelFacts;
use crate::price::Price;
use crate::settings::parse_model;

/// Written by `cargo xtask models`; its head says where it comes from.
const MODELS: &str = include_str!("models.json");

/// Returns what is published about the model `name`, written `provider/model` as [`crate::Model::name`] is.
///
/// The file's own rules say which names mean a model; of others nothing is known.
pub fn lookup(name: &str) -> ModelFacts {
    let name = name.to_lowercase();
    let Ok((vendor, model)) = parse_model(&name) else { return ModelFacts::default() };
    let mut entries = catalog().vendors.get(vendor).into_iter().flatten();
    entries.find(|entry| entry.names.matches(model)).map(Entry::facts).unwrap_or_default()
}

fn catalog() -> &'static Catalog {
    static CATALOG: OnceLock<Catalog> = OnceLock::new();
    CATALOG.get_or_init(|| serde_json::from_str(MODELS).expect("a test reads the file"))
}

#[derive(Deserialize)]
struct Catalog {
    vendors: BTreeMap<String, Vec<Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    names: Names,
    context_window: Option<u32>,
    price: Option<Price>,
}

impl Entry {
    fn facts(&self) -> ModelFacts {
        ModelFacts { context_window: self.context_window, max_output_tokens: None, price: self.price.clone() }
    }
}

/// Which names mean a model. All of it is in lower case.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Names {
    Equals(String),
    StartsWith(String),
    EndsWith(String),
    Contains(String),
    Regex(String),
    Or(Vec<Names>),
    And(Vec<Names>),
    Not(Box<Names>),
}

impl Names {
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Equals(text) => name == text,
            Self::StartsWith(text) => name.starts_with(text),
            Self::EndsWith(text) => name.ends_with(text),
            Self::Contains(text) => name.contains(text),
            Self::Regex(pattern) => regex(pattern).is_some_and(|regex| regex.is_match(name)),
            Self::Or(any) => any.iter().any(|names| names.matches(name)),
            Self::And(all) => all.iter().all(|names| names.matches(name)),
            Self::Not(names) => !names.matches(name),
        }
    }
}

fn regex(pattern: &str) -> Option<Regex> {
    Regex::builder().syntax(syntax::Config::new().unicode(false).utf8(false)).build(pattern).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::vendor::VENDORS;

    fn entries() -> impl Iterator<Item = &'static Entry> {
        catalog().vendors.values().flatten()
    }

    #[test]
    fn the_file_has_every_vendor_with_prices_sorted_and_once() {
        let file: Value = serde_json::from_str(MODELS).unwrap();
        let vendors = file["vendors"].as_object().unwrap();
        let names: BTreeSet<&str> = vendors.keys().map(String::as_str).collect();
        let expected = VENDORS.iter().filter(|vendor| !vendor.free).map(|vendor| vendor.name).collect();
        assert_eq!(names, expected);
        for (vendor, models) in vendors {
            let ids: Vec<&str> = models.as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
            assert!(ids.is_sorted_by(|one, next| one < next) && !ids.is_empty(), "{vendor}");
        }
    }

    #[test]
    fn the_head_says_where_the_file_comes_from() {
        let file: Value = serde_json::from_str(MODELS).unwrap();
        let head = &file["source"];
        assert_eq!((head["package"].as_str(), head["license"].as_str().is_some()), (Some("genai-prices"), true));
        assert!(head["version"].is_string() && head["as_of"].is_string());
    }

    #[test]
    fn every_pattern_can_be_read() {
        fn patterns(names: &Names) -> Vec<&str> {
            match names {
                Names::Regex(pattern) => vec![pattern],
                Names::Or(list) | Names::And(list) => list.iter().flat_map(patterns).collect(),
                Names::Not(names) => patterns(names),
                _ => Vec::new(),
            }
        }
        let all: Vec<&str> = entries().flat_map(|entry| patterns(&entry.names)).collect();
        assert!(all.len() > 10 && all.iter().all(|pattern| regex(pattern).is_some()), "{all:?}");
    }

    /// Returns whether two names mean the same model, one of which has a price.
    fn same(one: &str, other: &str) -> bool {
        lookup(one).price.is_some() && lookup(one) == lookup(other)
    }

    #[test]
    fn aliases_and_dated_names_are_known() {
        assert!(same("anthropic/claude-sonnet-5", "anthropic/claude-sonnet-5-20260101"));
        assert!(same("openai/gpt-5.6", "openai/gpt-5.6-sol-2026-05-01"));
        assert!(same("xai/grok-4", "xai/grok-4-0709"));
        assert!(same("groq/openai/gpt-oss-120b", "Groq/OpenAI/GPT-OSS-120B"));
        assert!(lookup("openrouter/anthropic/claude-sonnet-4").price.is_some());
    }

    #[test]
    fn what_is_not_listed_is_unknown() {
        for name in [
            "anthropic/claude-sonnet-5-next",
            "openai/gpt-5.6-sol-2026",
            "openai/claude-sonnet-5",
            "openrouter/openrouter/auto",
            "ollama/qwen",
            "nobody/gpt-5",
            "gpt-5",
            "openai/",
            "",
        ] {
            assert_eq!(lookup(name), ModelFacts::default(), "{name}");
        }
    }

    #[test]
    fn rules_are_read_as_they_are_written() {
        let matches = |rule: &str, name: &str| serde_json::from_str::<Names>(rule).unwrap().matches(name);
        let rule = r#"{"and":[{"contains":"flash"},{"not":{"regex":"^.*-tts(?:$|-)"}},{"not":{"ends_with":"-lite"}}]}"#;
        assert!(matches(rule, "a-flash") && matches(rule, "flash-ttsx"));
        assert!(!matches(rule, "a-flash-tts-1") && !matches(rule, "flash-tts") && !matches(rule, "flash-lite"));
        let rule = r#"{"or":[{"equals":"a"},{"starts_with":"b-"},{"regex":"^c-\\d{8}$"}]}"#;
        for (name, expected) in [("a", true), ("ab", false), ("b-1", true), ("c-20250101", true), ("c-2025", false)] {
            assert_eq!(matches(rule, name), expected, "{name}");
        }
    }
}
