//! The judge: one pure function from a request to a verdict, and the one way from a verdict to a permit.

use std::collections::BTreeSet;
use std::sync::Arc;

use protocol::{CallId, ChangeSet, ChangeSetId, DecisionRecord, EventBody, Level, Verdict};
use serde_json::Value;

use crate::capability::{Access, Capability, Grant};
use crate::egress::Egress;
use crate::limits::Limits;
use crate::network::{NetworkRules, Target};
use crate::permit::{CommitPermit, Permit, call_digest};
use crate::principal::Principal;
use crate::rule::{Effect, InvalidRule, Rule, RuleSpec, default_rules};

/// Writes a decision where it cannot be lost. A permit exists only after this returned.
pub trait Recorder {
    type Error;
    /// Appends `event` durably enough to survive the end of the process.
    fn record(&self, event: EventBody) -> Result<(), Self::Error>;
}

/// One proposed call, validated against its tool's schema.
#[derive(Debug, Clone)]
pub struct CallRequest {
    pub call: CallId,
    pub principal: Principal,
    pub tool: String,
    pub level: Level,
    pub arguments: Value,
    /// What the arguments say about files and hosts; [`Effect::Run`] is always judged.
    pub effects: BTreeSet<Effect>,
    /// The grant of the asking principal, narrowed to what the tool's manifest requests.
    pub grant: Grant,
    pub limits: Limits,
}

/// One change set about to be committed.
#[derive(Debug, Clone)]
pub struct CommitRequest {
    pub change_set: ChangeSetId,
    /// The call that staged the changes; `None` when a person takes a change set back.
    pub call: Option<CallId>,
    pub principal: Principal,
    pub tool: String,
    pub level: Level,
    pub changes: ChangeSet,
    pub grant: Grant,
    /// Paths that the call was asked about and allowed to write.
    pub approved: BTreeSet<Effect>,
}

/// Why something was refused, with a rendering for each reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The rule that decided.
    pub rule: String,
    /// What was refused: `write /work/.git/config`.
    pub effect: String,
    pub reason: String,
}

impl Denial {
    /// Returns what the model reads: what was refused and that asking again will not help.
    pub fn for_model(&self) -> String {
        format!(
            "Refused by policy (rule `{}`): {}. {} The same call will be refused again; continue without it.",
            self.rule, self.effect, self.reason
        )
    }
}

/// The outcome of judging, before it is recorded. It gives nothing yet.
#[derive(Debug)]
#[must_use = "a judgement has no effect until it is recorded"]
pub struct Judged<P> {
    verdict: Verdict,
    rule: String,
    effect: String,
    reason: String,
    event: fn(&Subject, DecisionRecord) -> EventBody,
    subject: Subject,
    permit: P,
}

/// What is needed to record a decision about a call or a commit.
#[derive(Debug, Clone)]
struct Subject {
    principal: Principal,
    digest: protocol::ContentHash,
    effects: Vec<String>,
    tool: String,
    level: Level,
    call: Option<CallId>,
    change_set: Option<ChangeSetId>,
}

/// A recorded decision.
#[derive(Debug)]
pub enum Decision<P> {
    Allow(P),
    Ask(Question<P>),
    Deny(Denial),
}

/// A decision that waits for a person. It holds the permit and gives it up only to a recorded yes.
#[derive(Debug)]
pub struct Question<P>(Judged<P>);

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A person said yes to exactly what was shown.
    Yes,
    /// A person said no.
    No,
    /// Nobody is there to be asked.
    Unattended,
}

impl<P> Judged<P> {
    /// Returns the verdict without recording it, for previews and explanations.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Returns the name of the rule that decided.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// Records the decision and returns what follows from it.
    pub fn record<R: Recorder>(self, recorder: &R) -> Result<Decision<P>, R::Error> {
        recorder.record((self.event)(&self.subject, self.as_record()))?;
        Ok(match self.verdict {
            Verdict::Allow => Decision::Allow(self.permit),
            Verdict::Ask => Decision::Ask(Question(self)),
            Verdict::Deny => Decision::Deny(Denial { rule: self.rule, effect: self.effect, reason: self.reason }),
        })
    }

    fn as_record(&self) -> DecisionRecord {
        DecisionRecord {
            verdict: self.verdict,
            rule: self.rule.clone(),
            principal: self.subject.principal.to_string(),
            digest: self.subject.digest.clone(),
            effects: self.subject.effects.clone(),
            reason: self.reason.clone(),
        }
    }
}

impl<P> Question<P> {
    /// Returns the effects that are asked about, for people.
    pub fn effects(&self) -> &[String] {
        &self.0.subject.effects
    }

    /// Returns the tool that asks.
    pub fn tool(&self) -> &str {
        &self.0.subject.tool
    }

    /// Returns the rule that wants an answer.
    pub fn rule(&self) -> &str {
        &self.0.rule
    }

    /// Returns why it is asked.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// Records the answer and returns the permit to a yes.
    pub fn answer<R: Recorder>(mut self, answer: Answer, recorder: &R) -> Result<Decision<P>, R::Error> {
        let asked = self.0.rule;
        (self.0.verdict, self.0.rule, self.0.reason) = match answer {
            Answer::Yes => (Verdict::Allow, "answer.yes".into(), format!("A person allowed it (asked by `{asked}`).")),
            Answer::No => (Verdict::Deny, "answer.no".into(), format!("A person refused it (asked by `{asked}`).")),
            Answer::Unattended => {
                (Verdict::Deny, asked, "It needs a person's approval, and nobody can be asked in this run.".into())
            }
        };
        self.0.record(recorder)
    }
}

/// Rules in force, in order: the person's, then the defaults.
#[derive(Debug, Clone)]
pub struct Judge {
    rules: Arc<[Rule]>,
    network: Arc<NetworkRules>,
}

/// How one effect was judged.
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    pub(crate) rule: String,
    effect: String,
    pub(crate) reason: String,
}

impl Judge {
    /// Returns the judge of the person's rules, followed by the defaults. Non-public networks are out of reach until
    /// [`Self::with_network`] says otherwise.
    pub fn new(rules: Vec<RuleSpec>) -> Result<Self, InvalidRule> {
        let mut names = BTreeSet::new();
        for spec in &rules {
            let reserved = ["default.", "grant.", "level.", "answer.", "person.", "network.", "protected-", "secrets."]
                .iter()
                .any(|prefix| spec.name.starts_with(prefix));
            if reserved || !names.insert(spec.name.clone()) {
                return Err(InvalidRule::Name(spec.name.clone()));
            }
        }
        let own = rules.into_iter().map(Rule::compile).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { rules: own.into_iter().chain(default_rules()).collect(), network: Arc::default() })
    }

    /// Returns this judge with what the person blocks, and excepts, of the network.
    #[must_use]
    pub fn with_network(self, network: NetworkRules) -> Self {
        Self { network: Arc::new(network), ..self }
    }

    /// Returns what judges the connections that one call of `tool` makes while it runs. What a person `approved` with
    /// the call needs no second answer; what would ask then is a no.
    pub fn egress(&self, tool: &str, level: Level, grant: &Grant, approved: &BTreeSet<Effect>) -> Egress {
        Egress::new(self.clone(), tool.to_owned(), level, grant.clone(), approved.clone())
    }

    pub(crate) fn network(&self) -> &NetworkRules {
        &self.network
    }

    /// Judges one connection: the grant, then the rules.
    pub(crate) fn find_connect(&self, tool: &str, level: Level, target: &Target, grant: &Grant) -> Finding {
        self.find(tool, level, &Effect::Connect { target: target.clone() }, grant)
    }

    /// Judges one call.
    pub fn judge_call(&self, request: CallRequest) -> Judged<Permit> {
        let effects: Vec<&Effect> = std::iter::once(&Effect::Run).chain(&request.effects).collect();
        let tool = Capability::Tool { name: request.tool.clone() };
        let finding = if request.grant.allows(&tool) {
            self.worst(&request.tool, request.level, &effects, &request.grant)
        } else {
            outside("grant.tool", &Effect::Run, format!("The tool `{}` is not granted.", request.tool))
        };
        let digest = call_digest(&request.tool, &request.arguments);
        let subject = Subject {
            principal: request.principal,
            digest: digest.clone(),
            effects: effects.iter().map(ToString::to_string).collect(),
            tool: request.tool.clone(),
            level: request.level,
            call: Some(request.call.clone()),
            change_set: None,
        };
        let permit =
            Permit { call: request.call, tool: request.tool, digest, grant: request.grant, limits: request.limits };
        finding.about(subject, call_event, permit)
    }

    /// Judges one commit: what was really written, whatever the call's arguments said.
    pub fn judge_commit(&self, request: CommitRequest) -> Judged<CommitPermit> {
        let write = |path: &str| Effect::Write { path: format!("{}/{path}", request.changes.mount) };
        let effects: Vec<Effect> = request.changes.changes.iter().map(|change| write(&change.path)).collect();
        let unapproved: Vec<&Effect> = effects.iter().filter(|effect| !request.approved.contains(effect)).collect();
        let judged = |effects: &[&Effect]| self.worst(&request.tool, request.level, effects, &request.grant);
        let finding = if request.principal == Principal::User && request.call.is_none() {
            let finding = judged(&effects.iter().collect::<Vec<_>>());
            let undo = || Finding::allow("person.undo", "The person takes a change set back.");
            if finding.verdict == Verdict::Deny { finding } else { undo() }
        } else if unapproved.is_empty() {
            Finding::allow("answer.yes", "Every path was approved with the call.")
        } else {
            judged(&unapproved)
        };
        let digest = request.changes.digest();
        let subject = Subject {
            principal: request.principal,
            digest: digest.clone(),
            effects: effects.iter().map(ToString::to_string).collect(),
            tool: request.tool,
            level: request.level,
            call: request.call,
            change_set: Some(request.change_set.clone()),
        };
        finding.about(subject, commit_event, CommitPermit { change_set: request.change_set, digest })
    }

    /// Tells whether a tool must not see `path` when it meets it on its way: the rules that name paths deny reading it,
    /// or want to be asked and were not.
    pub fn hides(&self, tool: &str, level: Level, path: &str, approved: &BTreeSet<Effect>) -> bool {
        let effect = Effect::Read { path: path.to_owned() };
        let mut naming = self.rules.iter().filter(|rule| rule.names_paths() && rule.matches(tool, level, &effect));
        let first = naming.clone().next().map(|rule| rule.verdict);
        naming.any(|rule| rule.verdict == Verdict::Deny) || (first == Some(Verdict::Ask) && !approved.contains(&effect))
    }

    /// Tells whether any rule could hide a path, so that a tree without such rules is walked without asking.
    pub fn hides_paths(&self) -> bool {
        self.rules.iter().any(|rule| rule.names_paths() && rule.verdict != Verdict::Allow)
    }

    /// Returns the finding that decides: a deny before an ask before an allow, the first of each.
    fn worst(&self, tool: &str, level: Level, effects: &[&Effect], grant: &Grant) -> Finding {
        let findings = effects.iter().map(|effect| self.find(tool, level, effect, grant));
        // The first among equals, and Deny > Ask > Allow: max_by_key would return the last.
        findings
            .reduce(|worst, next| if next.verdict > worst.verdict { next } else { worst })
            .expect("one effect at least")
    }

    fn find(&self, tool: &str, level: Level, effect: &Effect, grant: &Grant) -> Finding {
        if let Some(finding) = beyond_level(effect, level).or_else(|| beyond_grant(effect, grant)) {
            return finding;
        }
        let matching = || self.rules.iter().filter(|rule| rule.matches(tool, level, effect));
        let by = |rule: &Rule| Finding::by(rule, effect);
        if let Some(rule) = matching().find(|rule| rule.verdict == Verdict::Deny) {
            return by(rule);
        }
        if effect.is_protected() {
            let reason = "Protected paths are never written without asking.".to_owned();
            return Finding {
                verdict: Verdict::Ask,
                rule: "protected-paths".into(),
                effect: effect.to_string(),
                reason,
            };
        }
        matching().next().map(by).expect("the last default rule matches everything")
    }
}

impl Finding {
    fn allow(rule: &str, reason: &str) -> Self {
        Self { verdict: Verdict::Allow, rule: rule.into(), effect: String::new(), reason: reason.into() }
    }

    fn by(rule: &Rule, effect: &Effect) -> Self {
        let reason = match rule.verdict {
            Verdict::Allow => "The rule allows it.",
            Verdict::Ask => "The rule wants a person's approval.",
            Verdict::Deny => "The rule forbids it.",
        };
        Self { verdict: rule.verdict, rule: rule.name.clone(), effect: effect.to_string(), reason: reason.into() }
    }

    fn about<P>(self, subject: Subject, event: fn(&Subject, DecisionRecord) -> EventBody, permit: P) -> Judged<P> {
        Judged {
            verdict: self.verdict,
            rule: self.rule,
            effect: self.effect,
            reason: self.reason,
            event,
            subject,
            permit,
        }
    }
}

fn outside(rule: &str, effect: &Effect, reason: String) -> Finding {
    Finding { verdict: Verdict::Deny, rule: rule.into(), effect: effect.to_string(), reason }
}

/// Returns the refusal of a write or a connection by a tool that is registered as one that does no such thing.
fn beyond_level(effect: &Effect, level: Level) -> Option<Finding> {
    match effect {
        Effect::Write { .. } if level < Level::Write => {
            Some(outside("level.write", effect, format!("A tool of level `{level}` does not write.")))
        }
        // Also a GET carries data out.
        Effect::Connect { .. } if level < Level::Execute => {
            Some(outside("level.network", effect, format!("A tool of level `{level}` does not talk to the network.")))
        }
        _ => None,
    }
}

/// Returns the refusal of an effect that the grant does not hold, whatever the rules say.
fn beyond_grant(effect: &Effect, grant: &Grant) -> Option<Finding> {
    let (path, wanted) = match effect {
        Effect::Run => return None,
        Effect::Connect { target } => {
            let granted = grant.allows(&Capability::Network { target: target.clone() });
            let refusal = || outside("grant.network", effect, "No granted host pattern names this target.".into());
            return (!granted).then(refusal);
        }
        Effect::Read { path } => (path, Access::Read),
        Effect::Write { path } => (path, Access::ReadWrite),
    };
    let normal = path.split('/').skip(1).all(|name| !matches!(name, "" | "." | ".."));
    let holding =
        grant.mounts().filter(|(mount, _)| normal && (path == mount || path.starts_with(&format!("{mount}/"))));
    match holding.max_by_key(|(mount, _)| mount.len()) {
        None => Some(outside("grant.files", effect, "The path is outside every granted mount.".into())),
        Some((mount, held)) if held < wanted => {
            Some(outside("grant.files", effect, format!("`{mount}` is read-only here.")))
        }
        Some(_) => None,
    }
}

fn call_event(subject: &Subject, decision: DecisionRecord) -> EventBody {
    let call = subject.call.clone().expect("a call's subject names the call");
    EventBody::CallDecided { call, tool: subject.tool.clone(), level: subject.level, decision }
}

fn commit_event(subject: &Subject, decision: DecisionRecord) -> EventBody {
    let change_set = subject.change_set.clone().expect("a commit's subject names the change set");
    EventBody::CommitDecided { change_set, call: subject.call.clone(), decision }
}
