//! The pure function that judges: from who asks for what to what the rules say. It decides and it explains; the difference
//! is who takes the notes.

use std::collections::BTreeSet;
use std::fmt;

use protocol::{Level, Verdict};

use crate::capability::{Access, Capability, GrantSpec};
use crate::judge::Judge;
use crate::principal::Principal;
use crate::rule::{Effect, Rule};
use crate::trace::{Considered, Explanation, Trace};

/// Who asks, as far as rules and guards look at it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) tool: &'a str,
    pub(crate) level: Level,
    pub(crate) grant: &'a GrantSpec,
}

/// What a commit is judged by, beside who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written<'a> {
    pub(crate) principal: &'a Principal,
    /// Whether a call wrote it; else a person takes something back.
    pub(crate) by_call: bool,
    pub(crate) effects: &'a [Effect],
    /// What a person allowed with the call.
    pub(crate) approved: &'a BTreeSet<Effect>,
}

/// How something was judged.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    pub(crate) rule: String,
    pub(crate) effect: String,
    pub(crate) reason: String,
    /// The place of its note.
    step: usize,
}

impl Finding {
    /// Returns what `rule` says, and takes note of it.
    pub(crate) fn new(
        trace: &mut impl Trace,
        effect: impl fmt::Display,
        verdict: Verdict,
        rule: &str,
        reason: impl Into<String>,
    ) -> Self {
        let (rule, effect, reason) = (rule.to_owned(), effect.to_string(), reason.into());
        let step = trace.note(|| considered(&effect, &rule, Some(verdict), &reason));
        Self { verdict, rule, effect, reason, step }
    }

    /// Returns this finding with the notes that led to it.
    pub(crate) fn explained(self, mut considered: Vec<Considered>) -> Explanation {
        if let Some(step) = considered.get_mut(self.step) {
            step.decided = true;
        }
        let Self { verdict, rule, effect, reason, .. } = self;
        Explanation { verdict, rule, effect, reason, considered }
    }
}

/// Takes note of a rule or guard that says nothing.
pub(crate) fn silent(trace: &mut impl Trace, effect: impl fmt::Display, rule: &str, reason: &str) {
    trace.note(|| considered(&effect.to_string(), rule, None, reason));
}

fn considered(effect: &str, rule: &str, verdict: Option<Verdict>, reason: &str) -> Considered {
    let (effect, rule, reason) = (effect.to_owned(), rule.to_owned(), reason.to_owned());
    Considered { effect, rule, verdict, reason, decided: false }
}

/// What committing counts as that many calls staged.
pub const COMMIT: &str = "commit";

impl Judge {
    /// Judges one call: whether the tool is granted, then [`Effect::Run`] and what the arguments name.
    pub(crate) fn find_call(&self, asking: Asking<'_>, effects: &[&Effect], trace: &mut impl Trace) -> Finding {
        if asking.grant.allows(&Capability::Tool { name: asking.tool.to_owned() }) {
            silent(trace, Effect::Run, "grant.tool", "the tool is granted");
        } else {
            let reason = format!("The tool `{}` is not granted.", asking.tool);
            return Finding::new(trace, Effect::Run, Verdict::Deny, "grant.tool", reason);
        }
        self.worst(asking, effects.iter().copied(), trace).expect("running is one effect")
    }

    /// Judges one commit by what was really written.
    pub(crate) fn find_commit(&self, asking: Asking<'_>, written: Written<'_>, trace: &mut impl Trace) -> Finding {
        if *written.principal == Principal::User && !written.by_call {
            let denied = self.worst(asking, written.effects, trace).filter(|found| found.verdict == Verdict::Deny);
            let (rule, reason) = match asking.tool {
                COMMIT => ("person.commit", "The person commits what calls had staged."),
                _ => ("person.undo", "The person takes a change set back."),
            };
            return denied.unwrap_or_else(|| Finding::new(trace, "", Verdict::Allow, rule, reason));
        }
        let (approved, open): (Vec<&Effect>, Vec<&Effect>) =
            written.effects.iter().partition(|effect| written.approved.contains(effect));
        for effect in approved {
            silent(trace, effect, "answer.yes", "it was approved with the call");
        }
        self.worst(asking, open, trace).unwrap_or_else(|| {
            Finding::new(trace, "", Verdict::Allow, "answer.yes", "Every path was approved with the call.")
        })
    }

    /// Returns the finding that decides: a deny before an ask before an allow, the first of each.
    fn worst<'a>(
        &self,
        asking: Asking<'_>,
        effects: impl IntoIterator<Item = &'a Effect>,
        trace: &mut impl Trace,
    ) -> Option<Finding> {
        let findings = effects.into_iter().map(|effect| self.find(asking, effect, trace));
        // The first among equals, and Deny > Ask > Allow: max_by_key would return the last.
        findings.reduce(|worst, next| if next.verdict > worst.verdict { next } else { worst })
    }

    fn find(&self, asking: Asking<'_>, effect: &Effect, trace: &mut impl Trace) -> Finding {
        let beyond = find_beyond(asking, effect, trace);
        beyond.unwrap_or_else(|| self.find_rule(asking, effect, trace))
    }

    /// Returns what the rules say: a matching deny, else that protected paths ask, else the first that matches.
    pub(crate) fn find_rule(&self, asking: Asking<'_>, effect: &Effect, trace: &mut impl Trace) -> Finding {
        let mut first: Option<(&Rule, usize)> = None;
        for rule in self.rules() {
            if let Some(selector) = rule.silence(asking.tool, asking.level, effect) {
                silent(trace, effect, &rule.name, selector.silence());
                continue;
            }
            if rule.verdict == Verdict::Deny {
                return Finding::new(trace, effect, rule.verdict, &rule.name, said(rule));
            }
            let reason = if first.is_none() { said(rule) } else { "It matches too, after another." };
            let step = trace.note(|| considered(&effect.to_string(), &rule.name, Some(rule.verdict), reason));
            first = first.or(Some((rule, step)));
        }
        if effect.is_protected() {
            let reason = "Protected paths are never written without asking.";
            return Finding::new(trace, effect, Verdict::Ask, "protected-paths", reason);
        }
        let (rule, step) = first.expect("the last rule matches everything");
        let (verdict, name, effect) = (rule.verdict, rule.name.clone(), effect.to_string());
        Finding { verdict, rule: name, effect, reason: said(rule).to_owned(), step }
    }
}

/// Returns the refusal of what is beyond the tool's level or the grant, whatever the rules say.
pub(crate) fn find_beyond(asking: Asking<'_>, effect: &Effect, trace: &mut impl Trace) -> Option<Finding> {
    let guards = [level_guard(effect, asking.level), grant_guard(effect, asking.grant)];
    for guard in guards.into_iter().flatten() {
        match guard.refusal {
            Some(reason) => return Some(Finding::new(trace, effect, Verdict::Deny, guard.name, reason)),
            None => silent(trace, effect, guard.name, guard.holds),
        }
    }
    None
}

fn said(rule: &Rule) -> &'static str {
    match rule.verdict {
        Verdict::Allow => "The rule allows it.",
        Verdict::Ask => "The rule wants a person's approval.",
        Verdict::Deny => "The rule forbids it.",
    }
}

/// What a guard says of an effect that it is about.
struct Guard {
    name: &'static str,
    refusal: Option<String>,
    /// What it says when it does not refuse.
    holds: &'static str,
}

/// A write or a connection needs a tool that is registered as one that does such a thing.
fn level_guard(effect: &Effect, level: Level) -> Option<Guard> {
    let (name, least, what) = match effect {
        Effect::Write { .. } => ("level.write", Level::Write, "write"),
        // Also a GET carries data out.
        Effect::Connect { .. } => ("level.network", Level::Execute, "talk to the network"),
        Effect::Run | Effect::Read { .. } => return None,
    };
    let refusal = (level < least).then(|| format!("A tool of level `{level}` does not {what}."));
    Some(Guard { name, refusal, holds: "the tool's level is high enough" })
}

/// An effect on something needs a grant that holds it.
fn grant_guard(effect: &Effect, grant: &GrantSpec) -> Option<Guard> {
    let (name, refusal) = match effect {
        Effect::Run => return None,
        Effect::Connect { target } => {
            let granted = grant.allows(&Capability::Network { target: target.clone() });
            ("grant.network", (!granted).then(|| "No granted host pattern names this target.".to_owned()))
        }
        Effect::Read { path } => ("grant.files", beyond_mounts(path, Access::Read, grant)),
        Effect::Write { path } => ("grant.files", beyond_mounts(path, Access::ReadWrite, grant)),
    };
    Some(Guard { name, refusal, holds: "it is granted" })
}

/// Returns why `path` is beyond the mounts of `grant`.
fn beyond_mounts(path: &str, wanted: Access, grant: &GrantSpec) -> Option<String> {
    let normal = path.split('/').skip(1).all(|name| !matches!(name, "" | "." | ".."));
    let holding =
        grant.mounts().filter(|(mount, _)| normal && (path == *mount || path.starts_with(&format!("{mount}/"))));
    match holding.max_by_key(|(mount, _)| mount.len()) {
        None => Some("The path is outside every granted mount.".into()),
        Some((mount, held)) if held < wanted => Some(format!("`{mount}` is read-only here.")),
        Some(_) => None,
    }
}
