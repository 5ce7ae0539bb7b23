//! The judge: one pure function from a request to a verdict, and the one way from a verdict to a permit.

use std::collections::BTreeSet;
use std::sync::Arc;

use protocol::{
    ApprovalId, Basis, CallId, ChangeSet, ChangeSetId, ContentHash, DecisionRecord, EventBody, Level, Verdict,
};
use serde_json::Value;

use crate::capability::Grant;
use crate::egress::Egress;
use crate::finding::{Asking, Finding, Written};
use crate::limits::Limits;
use crate::network::NetworkRules;
use crate::permit::{CommitPermit, Permit, call_digest};
use crate::principal::Principal;
use crate::rule::{Effect, InvalidRule, Rule, RuleSpec, default_rules};
use crate::trace::Untraced;

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
    /// Where the journal has what this is decided by.
    pub basis: Option<Basis>,
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
    /// Where the journal has what this is decided by.
    pub basis: Option<Basis>,
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
    digest: ContentHash,
    effects: Vec<String>,
    tool: String,
    level: Level,
    call: Option<CallId>,
    change_set: Option<ChangeSetId>,
    basis: Option<Basis>,
    approval: Option<ApprovalId>,
}

/// A recorded decision.
#[derive(Debug)]
pub enum Decision<P> {
    Allow(P),
    Ask(Box<Question<P>>),
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
    /// A person said yes to these effects before, for the rest of the session.
    Remembered,
    /// A person said yes to these effects when they were staged.
    Staged,
    /// Nobody answered in time.
    Expired,
    /// Nobody is there to be asked.
    Unattended,
}

impl<P> Judged<P> {
    fn of(finding: Finding, subject: Subject, event: fn(&Subject, DecisionRecord) -> EventBody, permit: P) -> Self {
        let Finding { verdict, rule, effect, reason, .. } = finding;
        Self { verdict, rule, effect, reason, event, subject, permit }
    }

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
            Verdict::Ask => Decision::Ask(Box::new(Question(self))),
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
            basis: self.subject.basis.clone(),
            approval: self.subject.approval.clone(),
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

    /// Returns what an answer is bound to.
    pub fn digest(&self) -> &ContentHash {
        &self.0.subject.digest
    }

    /// Returns the call that asks; a person who takes something back has none.
    pub fn call(&self) -> Option<&CallId> {
        self.0.subject.call.as_ref()
    }

    /// Returns the change set that is asked about, if it is one.
    pub fn change_set(&self) -> Option<&ChangeSetId> {
        self.0.subject.change_set.as_ref()
    }

    /// Records the answer, with the `approval` that it was given to, and returns the permit to a yes.
    pub fn answer<R: Recorder>(
        mut self,
        answer: Answer,
        approval: Option<ApprovalId>,
        recorder: &R,
    ) -> Result<Decision<P>, R::Error> {
        let asked = self.0.rule;
        // An answer rests on the question, whose record says what that was made from.
        (self.0.subject.basis, self.0.subject.approval) = (None, approval);
        (self.0.verdict, self.0.rule, self.0.reason) = match answer {
            Answer::Yes => (Verdict::Allow, "answer.yes".into(), format!("A person allowed it (asked by `{asked}`).")),
            Answer::No => (Verdict::Deny, "answer.no".into(), format!("A person refused it (asked by `{asked}`).")),
            Answer::Remembered => (
                Verdict::Allow,
                "answer.remembered".into(),
                format!("A person allowed it for the rest of the session (asked by `{asked}`)."),
            ),
            Answer::Staged => (
                Verdict::Allow,
                "answer.staged".into(),
                format!("A person allowed every path of it when it was staged (asked by `{asked}`)."),
            ),
            Answer::Expired => {
                (Verdict::Deny, "answer.expired".into(), format!("Nobody answered in time (asked by `{asked}`)."))
            }
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

    /// Returns the judge of `rules` and nothing else, as a journal has them, of which the last must match everything.
    pub(crate) fn recorded(rules: Vec<RuleSpec>, network: NetworkRules) -> Result<Self, InvalidRule> {
        let rules = rules.into_iter().map(Rule::compile).collect::<Result<Vec<_>, _>>()?;
        if !rules.last().is_some_and(|last| last.spec().is_unselective()) {
            return Err(InvalidRule::NoLast);
        }
        Ok(Self { rules: rules.into(), network: Arc::new(network) })
    }

    /// Returns this judge with what the person blocks, and excepts, of the network.
    #[must_use]
    pub fn with_network(self, network: NetworkRules) -> Self {
        Self { network: Arc::new(network), ..self }
    }

    /// Returns what judges the connections that one call of `tool` makes while it runs. What a person `approved` with
    /// the call needs no second answer; what would ask then is a no.
    pub fn egress(&self, tool: &str, level: Level, grant: &Grant, approved: &BTreeSet<Effect>) -> Egress {
        Egress::new(self.clone(), tool.to_owned(), level, grant.spec(), approved.clone())
    }

    pub(crate) fn network(&self) -> &NetworkRules {
        &self.network
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Judges one call.
    pub fn judge_call(&self, request: CallRequest) -> Judged<Permit> {
        let effects: Vec<&Effect> = std::iter::once(&Effect::Run).chain(&request.effects).collect();
        let asking = Asking { tool: &request.tool, level: request.level, grant: request.grant.as_spec() };
        let finding = self.find_call(asking, &effects, &mut Untraced);
        let digest = call_digest(&request.tool, &request.arguments);
        let subject = Subject {
            principal: request.principal,
            digest: digest.clone(),
            effects: effects.iter().map(ToString::to_string).collect(),
            tool: request.tool.clone(),
            level: request.level,
            call: Some(request.call.clone()),
            change_set: None,
            basis: request.basis,
            approval: None,
        };
        let permit =
            Permit { call: request.call, tool: request.tool, digest, grant: request.grant, limits: request.limits };
        Judged::of(finding, subject, call_event, permit)
    }

    /// Judges one commit: what was really written, whatever the call's arguments said.
    pub fn judge_commit(&self, request: CommitRequest) -> Judged<CommitPermit> {
        let write = |path: &str| Effect::Write { path: format!("{}/{path}", request.changes.mount) };
        let effects: Vec<Effect> = request.changes.changes.iter().map(|change| write(&change.path)).collect();
        let asking = Asking { tool: &request.tool, level: request.level, grant: request.grant.as_spec() };
        let (principal, approved) = (&request.principal, &request.approved);
        let written = Written { principal, by_call: request.call.is_some(), effects: &effects, approved };
        let finding = self.find_commit(asking, written, &mut Untraced);
        let digest = request.changes.digest();
        let subject = Subject {
            principal: request.principal,
            digest: digest.clone(),
            effects: effects.iter().map(ToString::to_string).collect(),
            tool: request.tool,
            level: request.level,
            call: request.call,
            change_set: Some(request.change_set.clone()),
            basis: request.basis,
            approval: None,
        };
        Judged::of(finding, subject, commit_event, CommitPermit { change_set: request.change_set, digest })
    }

    /// Tells whether a tool must not see `path` when it meets it on its way: the rules that name paths deny reading it,
    /// or want to be asked and were not. Who may write over a file may see that it is there.
    pub fn hides(&self, tool: &str, level: Level, path: &str, approved: &BTreeSet<Effect>) -> bool {
        let (effect, write) = (Effect::Read { path: path.to_owned() }, Effect::Write { path: path.to_owned() });
        let mut naming = self.rules.iter().filter(|rule| rule.names_paths() && rule.matches(tool, level, &effect));
        let first = naming.clone().next().map(|rule| rule.verdict);
        naming.any(|rule| rule.verdict == Verdict::Deny)
            || (first == Some(Verdict::Ask) && !approved.contains(&effect) && !approved.contains(&write))
    }

    /// Tells whether any rule could hide a path, so that a tree without such rules is walked without asking.
    pub fn hides_paths(&self) -> bool {
        self.rules.iter().any(|rule| rule.names_paths() && rule.verdict != Verdict::Allow)
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
