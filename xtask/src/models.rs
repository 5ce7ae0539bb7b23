//! `cargo xtask models`: writes `crates/providers/src/models.json`, what is known of models, from a published package.
//!
//! Nothing is guessed: what is not understood ends the command, with its name.

mod output;
mod prices;
mod source;
#[cfg(test)]
mod tests;

use std::fs;

use anyhow::{Context, Result, bail, ensure};

use crate::checkout;
use crate::wheel::Wheel;
use output::{File, Line, Names, Source};
use source::{Clause, Model, Provider};

pub(crate) const COMMAND: crate::Command =
    crate::Command { name: "models", about: "writes what is known of models: windows and prices", run };

/// Collected and checked by its authors from what the vendors publish. MIT.
const GENAI_PRICES: Wheel = Wheel {
    name: "genai-prices",
    version: "0.2.3",
    hashes: &["56976ce2b04ec206117f7d0e53f4849211a6724ab3a12119afec304eba63ee25"],
};

/// The day on which that version was taken.
const AS_OF: Date = Date(2026, 11, 23);

/// A year, a month and a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
struct Date(u16, u8, u8);

const FILE: &str = "crates/providers/src/models.json";

/// Vendors of `crates/providers/src/vendor.rs` by their names there, and by those in the package.
const VENDORS: [(&str, &str); 8] = [
    ("anthropic", "anthropic"),
    ("deepseek", "deepseek"),
    ("gemini", "google"),
    ("groq", "groq"),
    ("mistral", "mistral"),
    ("openai", "openai"),
    ("openrouter", "openrouter"),
    ("xai", "x-ai"),
];

fn run(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "`cargo xtask models` takes no arguments");
    let folder = GENAI_PRICES.installed("less than 1 MB")?;
    let providers = source::read(&folder.join("genai_prices/data.py"))?;
    let license = folder.join(format!("genai_prices-{}.dist-info/licenses/LICENSE", GENAI_PRICES.version));
    let license = fs::read_to_string(&license).with_context(|| format!("reading {}", license.display()))?;
    let file = file(&providers, &license)?;
    fs::write(checkout::root()?.join(FILE), file.to_text()?).with_context(|| format!("writing {FILE}"))?;
    let models = file.vendors.iter().flat_map(|(_, lines)| lines);
    let priced = models.clone().filter(|line| line.price.is_some()).count();
    eprintln!("xtask: {FILE} has {} models, {priced} of them with a price", models.count());
    Ok(())
}

fn file(providers: &[Provider], license: &str) -> Result<File> {
    let Date(year, month, day) = AS_OF;
    let source = Source {
        package: GENAI_PRICES.name,
        version: GENAI_PRICES.version,
        as_of: format!("{year}-{month:02}-{day:02}"),
        license: license.trim().to_owned(),
    };
    let vendors = VENDORS.map(|(name, package_name)| Ok((name, lines(providers, package_name)?)));
    Ok(File { source, vendors: vendors.into_iter().collect::<Result<_>>()? })
}

fn lines(providers: &[Provider], package_name: &str) -> Result<Vec<Line>> {
    let mut named = providers.iter().filter(|provider| provider.id() == package_name);
    let provider = named.next().with_context(|| format!("the package has no provider `{package_name}`"))?;
    let read = |model: &Model| line(model).with_context(|| format!("{package_name}/{}", model.id()));
    let lines: Vec<Line> = provider.models()?.iter().map(read).collect::<Result<_>>()?;
    // The first rule that matches counts, so the order is a part of the rules.
    let sorted = lines.is_sorted_by(|one, next| one.id < next.id);
    ensure!(sorted && !lines.is_empty(), "the models of `{package_name}` are not sorted, or one is there twice");
    Ok(lines)
}

fn line(model: &Model) -> Result<Line> {
    let Model::ModelInfo { id, r#match, context_window, prices, price_variants, .. } = model;
    prices::check_variants(price_variants.as_deref().unwrap_or_default())?;
    let price = prices::price(prices)?.filter(|_| !is_charged_beyond_tokens(id));
    Ok(Line { id: id.clone(), names: names(r#match)?, context_window: *context_window, price })
}

/// Marks in the names of models that search the web unasked: their searches are charged beside their tokens.
const SEARCHING: [&str; 4] = ["sonar", "-search", "-deep-research", "-online"];

fn is_charged_beyond_tokens(id: &str) -> bool {
    SEARCHING.iter().any(|mark| id.contains(mark))
}

/// Returns the rule for names in lower case: that is how the package asks its rules.
fn names(clause: &Clause) -> Result<Names> {
    let all = |clauses: &[Clause]| clauses.iter().map(names).collect::<Result<Vec<_>>>();
    Ok(match clause {
        Clause::ClauseEquals { equals } => Names::Equals(equals.to_lowercase()),
        Clause::ClauseStartsWith { starts_with } => Names::StartsWith(starts_with.to_lowercase()),
        Clause::ClauseEndsWith { ends_with } => Names::EndsWith(ends_with.to_lowercase()),
        Clause::ClauseContains { contains } => Names::Contains(contains.to_lowercase()),
        Clause::ClauseRegex { regex } => pattern(regex)?,
        Clause::ClauseOr { or_ } => Names::Or(all(or_)?),
        Clause::ClauseAnd { and_ } => Names::And(all(and_)?),
    })
}

/// Returns the rule of a pattern. What must *not* stand at the start becomes a rule of its own: the runtime's patterns
/// look at every letter once and cannot look ahead.
fn pattern(regex: &str) -> Result<Names> {
    let refused = regex.strip_prefix("^(?!").and_then(|rest| rest.strip_suffix(')'));
    let rest = refused.unwrap_or(regex);
    if ["(?=", "(?!", "(?<", "\\1"].iter().any(|looks_around| rest.contains(looks_around)) {
        bail!("the pattern `{regex}` looks around, which is not understood");
    }
    Ok(match refused {
        Some(refused) => Names::Not(Box::new(Names::Regex(format!("^(?:{refused})")))),
        None => Names::Regex(regex.to_owned()),
    })
}
