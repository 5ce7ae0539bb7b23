//! Judging recorded decisions again: by the policy of then, which explains them, or by another, which shows what it changes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use policy::{
    COMMIT, Case, Effect, Explanation, GrantSpec, Limits, Matter, Principal, RequestCase, Target, ToolRecord, Way,
};
use protocol::{CallId, ChangeSetId, DecisionRecord, Level, RequestOutcome, Verdict};
use serde::Serialize;
use url::{Host, Url};

use crate::account::{CallAccount, CommitAccount, JudgedAccount, NotKnown, Policy, RequestAccount, SessionAccount};

/// What undoing counts as. A person's own undo has no tool.
const UNDO: (&str, Level) = ("undo", Level::Write);

/// Rules about what a person stored, or about text that is no target: no policy has a part in them.
const BESIDE_POLICY: [&str; 5] = ["secrets.unknown", "secrets.host", "secrets.placement", "secrets.tls", "network.url"];

/// Which decision it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// On what a call's arguments name.
    Call,
    /// On what was really written.
    Commit(ChangeSetId),
    /// On a connection, while the call ran.
    Request(u32),
}

/// A verdict and who gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ruled {
    pub verdict: Verdict,
    pub rule: String,
}

/// Why a decision cannot be judged again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unjudged {
    #[error("what it was decided by was not recorded then")]
    NotRecorded,
    #[error(transparent)]
    NotKnown(#[from] NotKnown),
    #[error("what was recorded cannot be read: {0}")]
    Unreadable(String),
    #[error("this version would decide `{}` by rule `{}` from what was recorded", word(.0.verdict), .0.rule)]
    DecidedOtherwise(Ruled),
    #[error("it would not have come to it")]
    Moot,
    #[error("the path of its URL was not recorded, and a blocked URL names its host")]
    NoPath,
}

/// One recorded decision, judged again.
#[derive(Debug, Clone)]
pub struct Again {
    pub call: Option<CallId>,
    pub tool: String,
    pub subject: Subject,
    pub effects: Vec<String>,
    /// As it was recorded.
    pub was: Ruled,
    pub now: Result<Explanation, Unjudged>,
}

/// A recorded decision under another policy.
#[derive(Debug, Clone)]
pub struct WhatIf {
    pub call: Option<CallId>,
    pub tool: String,
    pub subject: Subject,
    pub effects: Vec<String>,
    pub was: Ruled,
    /// What it is under the other policy; `None` where a call that it belongs to would be refused before.
    pub becomes: Result<Option<Ruled>, Unjudged>,
}

impl WhatIf {
    /// Tells whether the decision is another one.
    pub fn differs(&self) -> bool {
        matches!(&self.becomes, Ok(Some(ruled)) if *ruled != self.was)
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Ask => "ask",
        Verdict::Deny => "deny",
    }
}

impl Ruled {
    fn of(explanation: &Explanation) -> Self {
        Self { verdict: explanation.verdict, rule: explanation.rule.clone() }
    }
}

impl SessionAccount {
    /// Judges every decision of `call` again, as it was.
    pub fn explain(&self, call: &CallAccount) -> Vec<Again> {
        self.again(call, None)
    }

    /// Judges every recorded decision of the session by `policy`.
    pub fn what_if(&self, policy: &Policy) -> Vec<WhatIf> {
        let calls =
            self.calls().flat_map(|call| self.again(call, None).into_iter().zip(self.again(call, Some(policy))));
        let undo = |undo| self.undo_again(undo, None).into_iter().zip(self.undo_again(undo, Some(policy)));
        calls.chain(self.undos().iter().flat_map(undo)).map(|(then, now)| compared(then, now)).collect()
    }

    /// Judges the decisions of `call` by `policy`, or by their own; always as many, in the same order.
    fn again(&self, call: &CallAccount, policy: Option<&Policy>) -> Vec<Again> {
        let calls: Vec<Again> = call.decisions.iter().map(|judged| self.call_again(call, judged, policy)).collect();
        let last = calls.last().zip(call.decisions.last());
        let rest = last.map(|(again, judged)| Rest { account: self, call, judged, policy, again });
        let requests = rest.iter().flat_map(|rest| call.requests.iter().map(|request| rest.request(request)));
        let commits = rest.iter().flat_map(|rest| call.commits.iter().flat_map(|commit| rest.commit(commit)));
        let later: Vec<Again> = requests.chain(commits).collect();
        calls.into_iter().chain(later).collect()
    }

    fn call_again(&self, call: &CallAccount, judged: &JudgedAccount, policy: Option<&Policy>) -> Again {
        let decision = &judged.decision;
        let now = self.basis(decision, policy).and_then(|(by, tool)| {
            let effects = effects(decision)?.into_iter().filter(|effect| *effect != Effect::Run).collect();
            let case = Case {
                principal: principal(decision)?,
                tool: call.tool.clone(),
                level: call.level.unwrap_or(tool.level),
                grant: of_call(&by.record.grant, tool),
                matter: Matter::Call { effects },
            };
            Ok(by.judge.explain(&case))
        });
        Again {
            call: Some(call.call.clone()),
            tool: call.tool.clone(),
            subject: Subject::Call,
            effects: decision.effects.clone(),
            ..checked(decision, now, policy)
        }
    }

    fn undo_again(&self, undo: &CommitAccount, policy: Option<&Policy>) -> Vec<Again> {
        let (tool, level) = if undo.undoes.is_some() { UNDO } else { (COMMIT, Level::Write) };
        let again = |judged: &JudgedAccount| {
            let decision = &judged.decision;
            let now = self.policy_for(decision, policy).and_then(|by| {
                let matter = Matter::Commit { effects: effects(decision)?, approved: BTreeSet::new(), by_call: false };
                let grant = by.record.grant.clone();
                let case = Case { principal: principal(decision)?, tool: tool.into(), level, grant, matter };
                Ok(by.judge.explain(&case))
            });
            Again {
                call: None,
                tool: tool.to_owned(),
                subject: Subject::Commit(undo.change_set.clone()),
                effects: decision.effects.clone(),
                ..checked(decision, now, policy)
            }
        };
        undo.decisions.iter().map(again).collect()
    }

    /// Returns who judges `decision`: `policy`, or the one of then.
    fn policy_for<'a>(&'a self, decision: &DecisionRecord, policy: Option<&'a Policy>) -> Result<&'a Policy, Unjudged> {
        let basis = decision.basis.as_ref().ok_or(Unjudged::NotRecorded)?;
        let recorded = self.policy(&basis.policy)?;
        Ok(policy.unwrap_or(recorded))
    }

    fn basis<'a>(
        &'a self,
        decision: &DecisionRecord,
        policy: Option<&'a Policy>,
    ) -> Result<(&'a Policy, &'a ToolRecord), Unjudged> {
        let by = self.policy_for(decision, policy)?;
        Ok((by, self.tool_of(decision)?))
    }
}

/// What follows from the last decision of a call.
struct Rest<'a> {
    account: &'a SessionAccount,
    call: &'a CallAccount,
    judged: &'a JudgedAccount,
    policy: Option<&'a Policy>,
    again: &'a Again,
}

impl Rest<'_> {
    /// Returns what a person allowed with the call, if it had been asked; an error when the call would be refused.
    fn approved(&self) -> Result<BTreeSet<Effect>, Unjudged> {
        let asks = match &self.again.now {
            Ok(explanation) => explanation.verdict,
            Err(Unjudged::DecidedOtherwise(_)) => self.judged.decision.verdict,
            Err(unjudged) => return Err(unjudged.clone()),
        };
        let said_yes = self.judged.settled() == Verdict::Allow;
        match asks {
            Verdict::Deny => Err(Unjudged::Moot),
            // As in a real call, running is not among what is approved.
            Verdict::Ask if said_yes => {
                Ok(effects(&self.judged.decision)?.into_iter().filter(|effect| *effect != Effect::Run).collect())
            }
            Verdict::Ask | Verdict::Allow => Ok(BTreeSet::new()),
        }
    }

    fn case(&self, tool: &ToolRecord, grant: GrantSpec, matter: Matter) -> Result<Case, Unjudged> {
        let (name, level) = (self.call.tool.clone(), self.call.level.unwrap_or(tool.level));
        Ok(Case { principal: principal(&self.judged.decision)?, tool: name, level, grant, matter })
    }

    fn commit(&self, commit: &CommitAccount) -> Vec<Again> {
        let again = |judged: &JudgedAccount| {
            let decision = &judged.decision;
            let now = self.account.basis(decision, self.policy).and_then(|(by, tool)| {
                let matter = Matter::Commit { effects: effects(decision)?, approved: self.approved()?, by_call: true };
                Ok(by.judge.explain(&self.case(tool, by.record.grant.clone(), matter)?))
            });
            Again {
                call: Some(self.call.call.clone()),
                tool: self.call.tool.clone(),
                subject: Subject::Commit(commit.change_set.clone()),
                effects: decision.effects.clone(),
                ..checked(decision, now, self.policy)
            }
        };
        commit.decisions.iter().map(again).collect()
    }

    fn request(&self, request: &RequestAccount) -> Again {
        let decision = &self.judged.decision;
        let was = Ruled { verdict: request.verdict, rule: request.rule.clone() };
        let now = self.account.basis(decision, self.policy).and_then(|(by, tool)| {
            let way = self.way(request, by)?;
            let limits: Limits = by.record.limits.meet(&tool.limits);
            let (number, max_requests, approved) = (request.request, limits.requests, self.approved()?);
            let matter = Matter::Request(RequestCase { number, max_requests, approved, way });
            Ok(by.judge.explain(&self.case(tool, of_call(&by.record.grant, tool), matter)?))
        });
        let is_policy = !BESIDE_POLICY.contains(&was.rule.as_str());
        let now = if self.policy.is_none() && is_policy { faithful(&was, now) } else { now };
        let path = request.path.as_deref().unwrap_or_default();
        Again {
            call: Some(self.call.call.clone()),
            tool: self.call.tool.clone(),
            subject: Subject::Request(request.request),
            effects: vec![format!("{} {}{path}", request.method, request.target)],
            was,
            now,
        }
    }

    /// Returns how `request` reached the network.
    fn way(&self, request: &RequestAccount, by: &Policy) -> Result<Way, Unjudged> {
        if request.rule == "network.url" {
            // Text that is no target is refused whatever a policy says.
            return Ok(Way::Socket { targets: Vec::new(), address: IpAddr::from([0; 4]) });
        }
        if !request.target.contains("://") {
            let name = Host::parse(&request.target).map_err(|error| Unjudged::Unreadable(error.to_string()))?;
            return Ok(Way::Lookup { name });
        }
        let target: Target = request.target.parse().map_err(unreadable)?;
        let known = [request.addresses.as_slice(), request.found.as_slice()].concat();
        if matches!(target.scheme(), policy::Scheme::Tcp | policy::Scheme::Udp) {
            let address = *known.first().ok_or(Unjudged::NotRecorded)?;
            return Ok(Way::Socket { targets: self.meant(&target, address)?, address });
        }
        if request.path.is_none() && by.record.network.blocks_raw(&target).is_some() {
            return Err(Unjudged::NoPath);
        }
        let path = request.path.as_deref().unwrap_or("/");
        let url = Url::parse(&format!("{target}{path}")).map_err(unreadable)?;
        let secrets = request.secrets.iter().filter_map(|name| name.parse().ok()).collect();
        Ok(Way::Url { url, target, addresses: known, secrets })
    }

    /// Returns what a socket to `address` may mean: itself, and each name that the call had looked up by then.
    fn meant(&self, target: &Target, address: IpAddr) -> Result<Vec<Target>, Unjudged> {
        let resolved = |request: &&RequestAccount| matches!(&request.outcome, Some(RequestOutcome::Resolved { addresses }) if addresses.contains(&address));
        let names: BTreeSet<&str> =
            self.call.requests.iter().filter(resolved).map(|request| request.target.as_str()).collect();
        let (scheme, port) = (target.scheme(), target.port());
        let meant = names.into_iter().map(|name| Target::of_name(scheme, name, port));
        let targets = std::iter::once(Target::of_address(scheme, address, port)).chain(meant);
        targets.collect::<Result<_, _>>().map_err(unreadable)
    }
}

fn of_call(held: &GrantSpec, tool: &ToolRecord) -> GrantSpec {
    held.meet(&tool.request.of(held, &tool.name))
}

/// Returns the part of an [`Again`] that is about the decision itself.
fn checked(decision: &DecisionRecord, now: Result<Explanation, Unjudged>, policy: Option<&Policy>) -> Again {
    let was = Ruled { verdict: decision.verdict, rule: decision.rule.clone() };
    let now = if policy.is_none() { faithful(&was, now) } else { now };
    Again { call: None, tool: String::new(), subject: Subject::Call, effects: Vec::new(), was, now }
}

/// Returns `now`, unless it is not what was decided: then something that it was decided by is not recorded.
fn faithful(was: &Ruled, now: Result<Explanation, Unjudged>) -> Result<Explanation, Unjudged> {
    match now {
        Ok(explanation) if Ruled::of(&explanation) != *was => Err(Unjudged::DecidedOtherwise(Ruled::of(&explanation))),
        now => now,
    }
}

fn compared(then: Again, now: Again) -> WhatIf {
    let Again { call, tool, subject, effects, was, now: before } = then;
    let becomes = match (before, now.now) {
        (Ok(_), Err(Unjudged::Moot)) => Ok(None),
        (Err(unjudged), _) | (Ok(_), Err(unjudged)) => Err(unjudged),
        // What no policy has a part in stays as it was, as long as the policy says the same.
        (Ok(before), Ok(after)) if Ruled::of(&before) == Ruled::of(&after) => Ok(Some(was.clone())),
        (Ok(_), Ok(after)) => Ok(Some(Ruled::of(&after))),
    };
    WhatIf { call, tool, subject, effects, was, becomes }
}

fn effects(decision: &DecisionRecord) -> Result<Vec<Effect>, Unjudged> {
    decision.effects.iter().map(|effect| effect.parse().map_err(unreadable)).collect()
}

fn principal(decision: &DecisionRecord) -> Result<Principal, Unjudged> {
    decision.principal.parse().map_err(unreadable)
}

fn unreadable(error: impl std::error::Error) -> Unjudged {
    Unjudged::Unreadable(error.to_string())
}
