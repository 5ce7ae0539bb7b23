//! The file that is written: one model a line, so that a change can be read.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

pub(super) struct File {
    pub(super) source: Source,
    pub(super) vendors: Vec<(&'static str, Vec<Line>)>,
}

#[derive(Serialize)]
pub(super) struct Source {
    pub(super) package: &'static str,
    pub(super) version: &'static str,
    pub(super) as_of: String,
    pub(super) license: String,
}

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Line {
    pub(super) id: String,
    pub(super) names: Names,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) context_window: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) price: Option<Price>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Names {
    Equals(String),
    StartsWith(String),
    EndsWith(String),
    Contains(String),
    Regex(String),
    Or(Vec<Names>),
    And(Vec<Names>),
    Not(Box<Names>),
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Price {
    pub(super) micro_usd_per_mtok: Rates,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tiers: Vec<Tier>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Tier {
    pub(super) above_input_tokens: u64,
    pub(super) micro_usd_per_mtok: Rates,
}

/// Millionths of a dollar for a million tokens.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Rates {
    pub(super) input: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cached_input: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache_write: Option<u64>,
    pub(super) output: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning: Option<u64>,
}

impl File {
    pub(super) fn to_text(&self) -> Result<String> {
        let mut text = format!("{{\"source\":{},\n\"vendors\":{{", serde_json::to_string(&self.source)?);
        for (at, (name, lines)) in self.vendors.iter().enumerate() {
            let lines = lines.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
            let comma = if at == 0 { "" } else { "," };
            write!(text, "{comma}\n\"{name}\":[\n{}\n]", lines.join(",\n"))?;
        }
        text.push_str("\n}}\n");
        Ok(text)
    }
}
