//! `boxagnts policy`: what is in force, whether it says what it should, and what another would have said.

use std::collections::BTreeMap;
use std::path::Path;

use policy::{
    Case, Effect, Explanation, GrantSpec, Judge, Matter, PolicyRecord, Principal, RuleSpec, default_rules,
    resolve_argument,
};
use protocol::{Level, SessionId};
use serde::de::IgnoredAny;
use tools::{Manifest, builtin};
use workspace::{
    CaseSpec, Cases, CasesPolicy, Config, Policy, PolicyCase, SessionAccount, Subject, WhatIf, Workspace, for_terminal,
};

use super::explain::{granted_lines, ruled};
use super::{print, tool, verdict_word};
use crate::args::Place;
use crate::boot::{self, Site, granted, unconfigured};
use crate::exit::{Exit, Failure};
use crate::translate::lookup;

/// Effects of one decision that are named.
const NAMED: usize = 3;

pub(crate) fn show(place: &Place) -> Result<Exit, Failure> {
    let config = Site::find(place)?.config;
    let own = config.rules.iter().map(|rule| line(rule, "boxagnts.toml"));
    let defaults = default_rules();
    let defaults = defaults.iter().map(|rule| line(rule.spec(), "default"));
    let rules: Vec<String> = own.chain(defaults).collect();
    let network = &config.network;
    let lists = [
        ("blocked networks", shown(&network.block_networks)),
        ("blocked URLs", shown(&network.block_url)),
        ("may be private", shown(&network.allow_private)),
        ("honour idempotency keys", shown(&network.idempotency_keys)),
    ];
    let lists: Vec<String> = lists.iter().map(|(name, list)| format!("{name}: {list}")).collect();
    print(&format!(
        "rules: a matching deny wins, then the first that matches\n{}\n\ngranted\n{}\n\nnetwork\n{}",
        rules.join("\n"),
        granted_lines(&granted(&config)),
        lists.join("\n")
    ))?;
    Ok(Exit::Done)
}

fn line(rule: &RuleSpec, origin: &str) -> String {
    let list = |name: &str, list: &Option<Vec<String>>| list.as_ref().map(|list| format!("{name} {}", list.join(", ")));
    let levels = rule.levels.as_ref().map(|levels| format!("levels {}", shown(levels)));
    let selectors = [list("tools", &rule.tools), list("paths", &rule.paths), list("hosts", &rule.hosts), levels];
    let selectors: Vec<String> = selectors.into_iter().flatten().collect();
    let selects = if selectors.is_empty() { "everything".to_owned() } else { selectors.join("; ") };
    for_terminal(&format!("{:<24} {:<5} {selects} ({origin})", rule.name, verdict_word(rule.verdict)))
}

fn shown<T: ToString>(list: impl IntoIterator<Item = T>) -> String {
    let list: Vec<String> = list.into_iter().map(|item| item.to_string()).collect();
    if list.is_empty() { "none".to_owned() } else { list.join(", ") }
}

/// A policy to hold cases against.
struct Tested {
    judge: Judge,
    grant: GrantSpec,
    manifests: BTreeMap<String, Manifest>,
}

pub(crate) async fn test(place: &Place, file: &Path) -> Result<Exit, Failure> {
    let Cases { policy, cases } = Cases::load(file).map_err(unconfigured)?;
    let (judge, grant) = match policy {
        CasesPolicy::Own => of(&Site::find(place)?.config)?,
        CasesPolicy::At(path) => of(&boot::Settings::load_from(&path).map_err(unconfigured)?)?,
        CasesPolicy::Within(config) => of::<IgnoredAny>(&config)?,
    };
    let manifests = manifests(place, &cases).await?;
    let tested = Tested { judge, grant, manifests };
    let mut failed = 0;
    for case in &cases {
        if let Some(fault) = tested.fault(file, case)? {
            failed += 1;
            print(&fault)?;
        }
    }
    print(&format!("{}: {} passed, {failed} failed", many(cases.len(), "case"), cases.len() - failed))?;
    Ok(if failed == 0 { Exit::Done } else { Exit::Refused })
}

fn of<P>(config: &Config<P>) -> Result<(Judge, GrantSpec), Failure> {
    Ok((boot::judge(config)?, granted(config)))
}

/// Returns the manifests of the tools that cases name. Only an extension needs the registry.
async fn manifests(place: &Place, cases: &[PolicyCase]) -> Result<BTreeMap<String, Manifest>, Failure> {
    let parsed = builtin().into_iter().map(|package| Manifest::parse(&package.manifest));
    let parsed = parsed.collect::<Result<Vec<_>, _>>().map_err(Failure::internal)?;
    let mut manifests: BTreeMap<String, Manifest> =
        parsed.into_iter().map(|manifest| (manifest.name.clone(), manifest)).collect();
    let others: Vec<&str> = cases.iter().map(|case| case.spec.tool.as_str()).collect();
    let others: Vec<&str> = others.into_iter().filter(|name| !manifests.contains_key(*name)).collect();
    if !others.is_empty() {
        let (tools, _) = tool::assemble(place)?;
        for name in others {
            if let Some(tool) = tools.registry().tool(name).await? {
                manifests.insert(name.to_owned(), tool.manifest.clone());
            }
        }
    }
    Ok(manifests)
}

impl Tested {
    /// Returns what is wrong with how `case` comes out.
    fn fault(&self, file: &Path, case: &PolicyCase) -> Result<Option<String>, Failure> {
        let spec = &case.spec;
        let at = format!("{}:{}", file.display(), case.line);
        let found = self.judge.explain(&self.case(&at, spec)?);
        if found.verdict == spec.expect && spec.rule.as_ref().is_none_or(|rule| *rule == found.rule) {
            return Ok(None);
        }
        let name = spec.name.as_deref().unwrap_or(&spec.tool);
        Ok(Some(format!("FAIL  {at}  {}\n      {}", for_terminal(name), otherwise(spec, &found))))
    }

    fn case(&self, at: &str, spec: &CaseSpec) -> Result<Case, Failure> {
        let manifest = self.manifests.get(&spec.tool);
        let level = spec.level.or(manifest.map(|manifest| manifest.level)).ok_or_else(|| unknown(at, spec, "level"))?;
        let grant = manifest.map_or_else(
            || self.grant.clone(),
            |manifest| self.grant.meet(&manifest.asks_for().of(&self.grant, &spec.tool)),
        );
        let mounts: Vec<&str> = self.grant.mounts().map(|(mount, _)| mount).collect();
        let effects = match (&spec.arguments, &spec.effects, manifest) {
            (Some(arguments), _, Some(manifest)) => manifest.effects(arguments, &mounts),
            (Some(_), _, None) => return Err(unknown(at, spec, "effects")),
            (None, effects, _) => effects.iter().flatten().map(|effect| resolved(effect, &mounts)).collect(),
        };
        let principal = spec.principal.clone().unwrap_or(Principal::Planner);
        Ok(Case { principal, tool: spec.tool.clone(), level, grant, matter: Matter::Call { effects } })
    }
}

fn unknown(at: &str, spec: &CaseSpec, key: &str) -> Failure {
    let levels = shown(Level::ALL);
    let hint = match key {
        "level" => format!("say `level`: one of {levels}; or take a tool of `boxagnts tool list`"),
        _ => "say `effects` instead of `arguments`; or take a tool of `boxagnts tool list`".to_owned(),
    };
    Failure::usage(format!("{at}: there is no tool `{}`", for_terminal(&spec.tool))).hint(hint)
}

/// Returns `effect` with its path as arguments are read: relative to the workspace.
fn resolved(effect: &Effect, mounts: &[&str]) -> Effect {
    let absolute = |path: &String| resolve_argument(path, mounts.iter().copied()).unwrap_or_else(|_| path.clone());
    match effect {
        Effect::Read { path } => Effect::Read { path: absolute(path) },
        Effect::Write { path } => Effect::Write { path: absolute(path) },
        other => other.clone(),
    }
}

fn otherwise(spec: &CaseSpec, found: &Explanation) -> String {
    let by = spec.rule.as_ref().map_or_else(String::new, |rule| format!(" by rule `{}`", for_terminal(rule)));
    format!(
        "expected {}{by}; it is {} by rule `{}` for `{}`: {}",
        verdict_word(spec.expect),
        verdict_word(found.verdict),
        for_terminal(&found.rule),
        for_terminal(&found.effect),
        for_terminal(&found.reason)
    )
}

pub(crate) fn what_if(place: &Place, file: &Path, session: Option<&str>) -> Result<Exit, Failure> {
    let config = boot::Settings::load_from(file).map_err(unconfigured)?;
    let record = PolicyRecord::of(&boot::judge(&config)?, granted(&config), config.limits);
    let policy = Policy::new(record).map_err(Failure::usage)?;
    let workspace = Site::find(place)?.workspace()?;
    let session = chosen(&workspace, session)?;
    let mut account = SessionAccount::default();
    workspace.journal().for_each(&session, |event| account.apply(&event))?;
    print(&compared(&session, &account.what_if(&policy)))?;
    Ok(Exit::Done)
}

fn chosen(workspace: &Workspace, prefix: Option<&str>) -> Result<SessionId, Failure> {
    let journal = workspace.journal();
    if let Some(prefix) = prefix {
        return journal.find_session_or_name(prefix).map_err(|error| lookup(error, "boxagnts session list"));
    }
    let none = || Failure::usage("there is no session yet").hint("start one: boxagnts run \"…\"");
    journal.sessions(1)?.pop().map(|session| session.session).ok_or_else(none)
}

/// Returns what differs, what could not be judged, and how many there were of each.
fn compared(session: &SessionId, decisions: &[WhatIf]) -> String {
    let differing = || decisions.iter().filter(|decision| decision.differs());
    let unjudged = || decisions.iter().filter(|decision| decision.becomes.is_err());
    let moot = decisions.iter().filter(|decision| matches!(decision.becomes, Ok(None))).count();
    let mut lines: Vec<String> = differing().chain(unjudged()).map(difference).collect();
    lines.push(format!(
        "session {session}: {}, {} differ, {} could not be judged, {moot} would not be reached",
        many(decisions.len(), "decision"),
        differing().count(),
        unjudged().count()
    ));
    lines.join("\n")
}

fn many(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn difference(decision: &WhatIf) -> String {
    let who = match &decision.call {
        Some(call) => format!("call {call}"),
        None => "undo".to_owned(),
    };
    let which = match &decision.subject {
        Subject::Call => String::new(),
        Subject::Commit(change_set) => format!(", commit {change_set}"),
        Subject::Request(number) => format!(", request {number}"),
    };
    let becomes = match &decision.becomes {
        Ok(Some(becomes)) => format!("{} → {}", ruled(&decision.was), ruled(becomes)),
        Ok(None) => "would not be reached".to_owned(),
        Err(unjudged) => format!("could not be judged: {}", for_terminal(&unjudged.to_string())),
    };
    format!("{who}{which}  {}  {}\n    {becomes}", for_terminal(&decision.tool), effects(&decision.effects))
}

fn effects(effects: &[String]) -> String {
    let mut named: Vec<String> = effects.iter().take(NAMED).map(|effect| for_terminal(effect)).collect();
    let more = effects.len().saturating_sub(NAMED);
    if more > 0 {
        named.push(format!("{more} more"));
    }
    named.join(", ")
}
