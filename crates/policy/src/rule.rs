//! Rules: ordered, named, pure.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};
use protocol::{Level, Verdict};
use serde::{Deserialize, Serialize};

use crate::network::Target;
use crate::path::{WORK, fold, is_protected};

/// One effect of a call, as far as it is known before the call, or of a commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum Effect {
    /// Running the tool at all.
    Run,
    /// Reading below a guest path (`/work/src`).
    Read { path: String },
    /// Writing below a guest path.
    Write { path: String },
    /// Talking to a target.
    Connect { target: Target },
}

impl fmt::Display for Effect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run => formatter.write_str("run"),
            Self::Read { path } => write!(formatter, "read {path}"),
            Self::Write { path } => write!(formatter, "write {path}"),
            Self::Connect { target } => write!(formatter, "connect {target}"),
        }
    }
}

/// A text that is no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an effect; write `run`, `read PATH`, `write PATH` or `connect SCHEME://HOST:PORT`")]
pub struct InvalidEffect(pub String);

impl FromStr for Effect {
    type Err = InvalidEffect;

    /// Reads what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, InvalidEffect> {
        let invalid = || InvalidEffect(text.to_owned());
        match text.split_once(' ') {
            None if text == "run" => Ok(Self::Run),
            Some(("read", path)) => Ok(Self::Read { path: path.to_owned() }),
            Some(("write", path)) => Ok(Self::Write { path: path.to_owned() }),
            Some(("connect", target)) => {
                let target = target.parse().map_err(|_| invalid())?;
                Ok(Self::Connect { target })
            }
            _ => Err(invalid()),
        }
    }
}

impl TryFrom<String> for Effect {
    type Error = InvalidEffect;

    fn try_from(text: String) -> Result<Self, InvalidEffect> {
        text.parse()
    }
}

impl Effect {
    fn path(&self) -> Option<&str> {
        match self {
            Self::Read { path } | Self::Write { path } => Some(path),
            Self::Run | Self::Connect { .. } => None,
        }
    }

    /// Tells whether this effect needs a person whatever the rules allow.
    pub(crate) fn is_protected(&self) -> bool {
        matches!(self, Self::Write { path } if is_protected(path))
    }
}

/// A rule as a person writes it. A selector that is not written matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    pub name: String,
    pub verdict: Verdict,
    /// Tool names, with `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// Paths with `*`, `**` and `?`; relative ones belong to the workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// Host names, with `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub levels: Option<BTreeSet<Level>>,
}

/// A rule that cannot be understood, or says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    #[error("rule `{rule}`: `{pattern}` is not a pattern: {reason}")]
    Pattern { rule: String, pattern: String, reason: String },
    #[error("rule `{0}` has an empty list: it would never match; leave the selector out to match everything")]
    Empty(String),
    #[error("rule `{0}` allows everything: name tools, paths, hosts or levels")]
    AllowsEverything(String),
    #[error("the rule name `{0}` is used twice, or begins with a prefix of the runtime's own rules")]
    Name(String),
    #[error("the last rule does not match everything")]
    NoLast,
}

/// A compiled pattern, matched as written and as the most tolerant file system would read it.
#[derive(Debug, Clone)]
pub struct Pattern {
    exact: GlobMatcher,
    folded: GlobMatcher,
}

impl Pattern {
    /// Returns the pattern of `text`; `*` and `?` stay within a component, `**` crosses them.
    pub fn parse(text: &str) -> Result<Self, globset::Error> {
        let glob = |text: &str| GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build();
        Ok(Self { exact: glob(text)?.compile_matcher(), folded: glob(&fold_path(text))?.compile_matcher() })
    }

    /// Tells whether `text` matches: exactly for an allowance, in any spelling for a restriction.
    fn matches(&self, text: &str, verdict: Verdict) -> bool {
        self.exact.is_match(text) || (verdict != Verdict::Allow && self.folded.is_match(fold_path(text)))
    }
}

fn fold_path(path: &str) -> String {
    path.split('/').map(fold).collect::<Vec<_>>().join("/")
}

impl RuleSpec {
    /// Tells whether it has no selector, and so matches everything.
    pub(crate) fn is_unselective(&self) -> bool {
        self.tools.is_none() && self.paths.is_none() && self.hosts.is_none() && self.levels.is_none()
    }
}

/// What a rule selects by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selector {
    Levels,
    Tools,
    Paths,
    Hosts,
}

impl Selector {
    /// Returns why a rule whose selector does not match says nothing.
    pub(crate) fn silence(self) -> &'static str {
        match self {
            Self::Levels => "is about other levels",
            Self::Tools => "is about other tools",
            Self::Paths => "is about other paths",
            Self::Hosts => "is about other hosts",
        }
    }
}

/// A rule ready to match.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(crate) name: String,
    pub(crate) verdict: Verdict,
    spec: RuleSpec,
    tools: Option<Vec<Pattern>>,
    paths: Option<Vec<Pattern>>,
    hosts: Option<Vec<Pattern>>,
    levels: Option<BTreeSet<Level>>,
}

impl Rule {
    /// Returns the rule of `spec`.
    pub fn compile(spec: RuleSpec) -> Result<Self, InvalidRule> {
        let compile = |patterns: &Option<Vec<String>>, anchor| compile(&spec.name, patterns.as_deref(), anchor);
        let tools = compile(&spec.tools, str::to_owned)?;
        let paths = compile(&spec.paths, below_work)?;
        let hosts = compile(&spec.hosts, str::to_owned)?;
        if spec.verdict == Verdict::Allow && spec.is_unselective() {
            return Err(InvalidRule::AllowsEverything(spec.name));
        }
        let (name, verdict, levels) = (spec.name.clone(), spec.verdict, spec.levels.clone());
        Ok(Self { name, verdict, spec, tools, paths, hosts, levels })
    }

    /// Tells whether this rule speaks of `effect` of `tool`.
    pub(crate) fn matches(&self, tool: &str, level: Level, effect: &Effect) -> bool {
        self.silence(tool, level, effect).is_none()
    }

    /// Returns the selector by which this rule does not speak of `effect` of `tool`; `None` when it does.
    pub(crate) fn silence(&self, tool: &str, level: Level, effect: &Effect) -> Option<Selector> {
        let any = |patterns: &[Pattern], text: &str| patterns.iter().any(|pattern| pattern.matches(text, self.verdict));
        let host = || match effect {
            Effect::Connect { target } => Some(target.host().to_string()),
            _ => None,
        };
        if self.levels.as_ref().is_some_and(|levels| !levels.contains(&level)) {
            Some(Selector::Levels)
        } else if self.tools.as_ref().is_some_and(|tools| !any(tools, tool)) {
            Some(Selector::Tools)
        } else if self.paths.as_ref().is_some_and(|paths| !effect.path().is_some_and(|path| any(paths, path))) {
            Some(Selector::Paths)
        } else if self.hosts.as_ref().is_some_and(|hosts| !host().is_some_and(|host| any(hosts, &host))) {
            Some(Selector::Hosts)
        } else {
            None
        }
    }

    /// Returns the rule as it was written.
    pub fn spec(&self) -> &RuleSpec {
        &self.spec
    }

    /// Tells whether this rule selects by path, so that it also governs what a tool meets on its way.
    pub(crate) fn names_paths(&self) -> bool {
        self.paths.is_some()
    }
}

fn compile(
    rule: &str,
    patterns: Option<&[String]>,
    anchor: fn(&str) -> String,
) -> Result<Option<Vec<Pattern>>, InvalidRule> {
    let Some(patterns) = patterns else { return Ok(None) };
    if patterns.is_empty() {
        return Err(InvalidRule::Empty(rule.to_owned()));
    }
    let parse = |text: &String| {
        Pattern::parse(&anchor(text)).map_err(|error| InvalidRule::Pattern {
            rule: rule.to_owned(),
            pattern: text.clone(),
            reason: error.kind().to_string(),
        })
    };
    patterns.iter().map(parse).collect::<Result<_, _>>().map(Some)
}

fn below_work(pattern: &str) -> String {
    if pattern.starts_with('/') { pattern.to_owned() } else { format!("{WORK}/{}", pattern.trim_start_matches("./")) }
}

/// Returns the rules that hold where the person's own say nothing.
pub fn default_rules() -> Vec<Rule> {
    #[derive(Deserialize)]
    struct Defaults {
        rules: Vec<RuleSpec>,
    }
    let defaults: Defaults =
        toml::from_str(include_str!("defaults.toml")).expect("the checked-in rules are read by a test");
    defaults.rules.into_iter().map(|spec| Rule::compile(spec).expect("the checked-in rules compile")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(verdict: Verdict) -> RuleSpec {
        RuleSpec { name: "r".into(), verdict, tools: None, paths: None, hosts: None, levels: None }
    }

    fn reads(rule: &Rule, path: &str) -> bool {
        rule.matches("read", Level::ReadOnly, &Effect::Read { path: path.into() })
    }

    #[test]
    fn paths_belong_to_the_workspace_unless_absolute() {
        let rule = Rule::compile(RuleSpec {
            paths: Some(vec!["secrets/**".into(), "/lib/*.key".into()]),
            ..spec(Verdict::Deny)
        })
        .unwrap();
        for (path, matches) in
            [("/work/secrets/a/b", true), ("/lib/x.key", true), ("/lib/a/x.key", false), ("/lib/secrets/a", false)]
        {
            assert_eq!(reads(&rule, path), matches, "{path}");
        }
    }

    #[test]
    fn a_restriction_matches_every_spelling_and_an_allowance_only_its_own() {
        let rule =
            |verdict| Rule::compile(RuleSpec { paths: Some(vec!["Secrets/**".into()]), ..spec(verdict) }).unwrap();
        assert!(reads(&rule(Verdict::Deny), "/work/sECRETS/a"));
        assert!(reads(&rule(Verdict::Ask), "/work/secrets\u{200b}/a"));
        assert!(!reads(&rule(Verdict::Allow), "/work/secrets/a"));
    }

    #[test]
    fn a_rule_with_a_host_does_not_speak_of_files() {
        let rule =
            Rule::compile(RuleSpec { hosts: Some(vec!["*.example.test".into()]), ..spec(Verdict::Allow) }).unwrap();
        assert!(!reads(&rule, "/work/a"));
        let target = Target::of_url(&"https://api.example.test".parse().unwrap()).unwrap();
        assert!(rule.matches("fetch", Level::Dangerous, &Effect::Connect { target }));
    }

    #[test]
    fn an_effect_is_read_as_it_is_shown() {
        for text in [
            "run",
            "read /work/a b",
            "write ",
            "write /work/x\ny",
            "connect udp://[::1]:53",
            "connect http://a.test:80",
        ] {
            assert_eq!(text.parse::<Effect>().unwrap().to_string(), text);
        }
        for text in
            ["", "runs", "read", "delete /work/a", "connect a.test", "connect ftp://a.test:1", "connect tcp://a.test"]
        {
            assert_eq!(text.parse::<Effect>(), Err(InvalidEffect(text.to_owned())));
        }
    }

    #[test]
    fn rules_that_say_nothing_are_refused() {
        assert_eq!(Rule::compile(spec(Verdict::Allow)).unwrap_err(), InvalidRule::AllowsEverything("r".into()));
        let empty = RuleSpec { tools: Some(vec![]), ..spec(Verdict::Deny) };
        assert_eq!(Rule::compile(empty).unwrap_err(), InvalidRule::Empty("r".into()));
        let broken = RuleSpec { paths: Some(vec!["a[".into()]), ..spec(Verdict::Deny) };
        assert!(matches!(Rule::compile(broken), Err(InvalidRule::Pattern { pattern, .. }) if pattern == "a["));
    }
}
