//! The package's data, as its own types. A field or a type that is not here ends the reading.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::Date;
use crate::checkout::{capture, tool};

/// Prints the list of providers as JSON. Python's own parser reads the file, whose data are literals and calls of
/// constructors; a call becomes an object of one field. Nothing of the file is run.
const TO_JSON: &str = r#"
import ast, json, sys

def value(node):
    match node:
        case ast.Constant(): return node.value
        case ast.List(): return [value(item) for item in node.elts]
        case ast.Dict(): return {value(key): value(item) for key, item in zip(node.keys, node.values)}
        case ast.Attribute(): return ast.unparse(node)
        case ast.Call(args=[], keywords=fields):
            return {ast.unparse(node.func): {field.arg: value(field.value) for field in fields}}
        case ast.Call(args=items, keywords=[]) if len(items) == 1: return {ast.unparse(node.func): value(items[0])}
        case ast.Call(args=items, keywords=[]): return {ast.unparse(node.func): [value(item) for item in items]}
        case ast.Call(args=items) if ast.unparse(node.func) == "datetime.time":  # its zone is UTC
            return {"datetime.time": [value(item) for item in items]}
    sys.exit(f"line {node.lineno}: {ast.dump(node)} is not understood")

for node in ast.parse(open(sys.argv[1], encoding="utf-8").read()).body:
    if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "providers":
        print(json.dumps(value(node.value)))
"#;

/// Returns what the Python file at `path` says of every provider.
pub(super) fn read(path: &Path) -> Result<Vec<Provider>> {
    let json = capture(tool("python3").args(["-c", TO_JSON]).arg(path))?;
    serde_json::from_str(&json).with_context(|| format!("reading {}", path.display()))
}

#[derive(Deserialize)]
pub(super) enum Provider {
    Provider {
        id: String,
        /// Read only for the vendors that are wanted: others may have what is not understood.
        models: Vec<Value>,
    },
}

impl Provider {
    pub(super) fn id(&self) -> &str {
        let Self::Provider { id, .. } = self;
        id
    }

    pub(super) fn models(&self) -> Result<Vec<Model>> {
        let Self::Provider { id, models } = self;
        let read = |model: &Value| {
            Model::deserialize(model).with_context(|| format!("a model of `{id}`: {}", model["ModelInfo"]["id"]))
        };
        models.iter().map(read).collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum Model {
    ModelInfo {
        id: String,
        r#match: Clause,
        context_window: Option<u32>,
        prices: Prices,
        price_variants: Option<Vec<Variant>>,
        #[expect(dead_code, reason = "known, and of no use here")]
        name: Option<IgnoredAny>,
        #[expect(dead_code, reason = "known, and of no use here")]
        description: Option<IgnoredAny>,
        #[expect(dead_code, reason = "known, and of no use here")]
        price_comments: Option<IgnoredAny>,
        #[expect(dead_code, reason = "known, and of no use here")]
        deprecated: Option<IgnoredAny>,
    },
}

impl Model {
    pub(super) fn id(&self) -> &str {
        let Self::ModelInfo { id, .. } = self;
        id
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::enum_variant_names, reason = "the package's names")]
pub(super) enum Clause {
    ClauseEquals { equals: String },
    ClauseStartsWith { starts_with: String },
    ClauseEndsWith { ends_with: String },
    ClauseContains { contains: String },
    ClauseRegex { regex: String },
    ClauseOr { or_: Vec<Clause> },
    ClauseAnd { and_: Vec<Clause> },
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Prices {
    Always(Charges),
    Conditional(Vec<Conditional>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum Conditional {
    ConditionalPrice { constraint: Option<Constraint>, prices: Charges },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum Constraint {
    StartDateConstraint {
        start_date: StartDate,
    },
    /// Hours of a day.
    TimeOfDateConstraint {
        #[expect(dead_code, reason = "the dearest hour counts, whenever it is")]
        start_time: IgnoredAny,
        #[expect(dead_code, reason = "the dearest hour counts, whenever it is")]
        end_time: IgnoredAny,
    },
}

#[derive(Deserialize)]
pub(super) enum StartDate {
    #[serde(rename = "datetime.date")]
    Date(Date),
}

#[derive(Deserialize)]
pub(super) enum Charges {
    ModelPrice(BTreeMap<String, Amount>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum Amount {
    Decimal(String),
    TieredPrices { base: Decimal, tiers: Vec<Step> },
}

#[derive(Deserialize)]
pub(super) enum Decimal {
    Decimal(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum Step {
    Tier { start: u64, price: Decimal },
}

/// Other prices for requests that ask for them.
#[derive(Deserialize)]
pub(super) enum Variant {
    PriceVariant { when: BTreeMap<String, String> },
}
