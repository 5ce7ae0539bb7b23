//! What the journal knows of each call of a session: proposed, decided, asked, committed, finished.

use std::collections::BTreeMap;
use std::net::IpAddr;

use policy::{Judge, PolicyRecord, ToolRecord};
use protocol::{
    CallId, ChangeSet, ChangeSetId, CommitOutcome, ContentHash, DecisionRecord, Event, EventBody, Level,
    RequestOutcome, Spending, Taped, TokenUsage, ToolCall, TurnId, Verdict,
};
use serde::Serialize;
use serde_json::Value;

use crate::projection::FinishedCall;

/// The calls of one session, replayed.
#[derive(Debug, Default)]
pub struct SessionAccount {
    calls: BTreeMap<CallId, CallAccount>,
    /// In the order of their first events.
    order: Vec<CallId>,
    /// Change sets that a person took back.
    undos: Vec<CommitAccount>,
    /// The call that each change set is of; a person's own have none.
    change_sets: BTreeMap<ChangeSetId, Option<CallId>>,
    policies: BTreeMap<ContentHash, Result<Policy, NotKnown>>,
    tools: BTreeMap<ContentHash, Result<ToolRecord, NotKnown>>,
    /// The one call that is looked at; `None` looks at all.
    only: Option<CallId>,
}

/// Why something that a decision was made by is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotKnown {
    /// By a version that did not keep it.
    #[error("it was not recorded then")]
    NotRecorded,
    #[error("the journal does not have {0}")]
    Missing(ContentHash),
    #[error("what was recorded of it cannot be read: {0}")]
    Unreadable(String),
}

/// A policy that can judge.
#[derive(Debug)]
pub struct Policy {
    pub record: PolicyRecord,
    pub(crate) judge: Judge,
}

/// One call as the journal tells it.
#[derive(Debug, Clone, Serialize)]
pub struct CallAccount {
    pub call: CallId,
    /// The turn whose model proposed it; a person's own call has none.
    pub turn: Option<TurnId>,
    pub proposed_at_ms: Option<u64>,
    /// The reply that proposed it.
    pub reply: Option<ReplyAccount>,
    /// `None` where a person called by hand before that was recorded.
    pub proposal: Option<ToolCall>,
    pub tool: String,
    pub level: Option<Level>,
    /// Decisions on what the arguments name. One that was interrupted is decided again.
    pub decisions: Vec<JudgedAccount>,
    pub requests: Vec<RequestAccount>,
    /// Change sets, with the decisions on what was really written.
    pub commits: Vec<CommitAccount>,
    /// What is kept of what it was given; `None` where it did not run, or not by a version that recorded it.
    pub taped: Option<Taped>,
    pub finished: Option<FinishedCall>,
    pub finished_at_ms: Option<u64>,
}

/// A model's reply, as far as its calls are concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplyAccount {
    /// Of the model call in its turn, from 1.
    pub number: u32,
    /// Calls that it proposed.
    pub calls: usize,
    pub usage: TokenUsage,
    /// What budgets were debited for it.
    pub spent: Spending,
}

/// A decision and, where it asked, the answer.
#[derive(Debug, Clone, Serialize)]
pub struct JudgedAccount {
    pub at_ms: u64,
    pub decision: DecisionRecord,
    pub answer: Option<DecisionRecord>,
}

/// One change set of a call, or one that a person took back.
#[derive(Debug, Clone, Serialize)]
pub struct CommitAccount {
    pub change_set: ChangeSetId,
    pub decisions: Vec<JudgedAccount>,
    /// `None` where nothing was intended.
    pub changes: Option<ChangeSet>,
    pub undoes: Option<ChangeSetId>,
    pub outcome: Option<CommitOutcome>,
}

/// One request of a call to the network.
#[derive(Debug, Clone, Serialize)]
pub struct RequestAccount {
    pub request: u32,
    pub method: String,
    pub target: String,
    pub path: Option<String>,
    /// The only addresses that were connected to.
    pub addresses: Vec<IpAddr>,
    /// The addresses that were judged, where it was refused after that.
    pub found: Vec<IpAddr>,
    pub verdict: Verdict,
    pub rule: String,
    pub reason: String,
    pub secrets: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    pub outcome: Option<RequestOutcome>,
    pub sent_bytes: u64,
    pub received_bytes: u64,
}

impl Policy {
    /// Returns the policy of `record`.
    pub fn new(record: PolicyRecord) -> Result<Self, policy::InvalidRule> {
        Ok(Self { judge: record.judge()?, record })
    }
}

impl SessionAccount {
    /// Returns an account that looks at `call` only.
    pub fn of(call: CallId) -> Self {
        Self { only: Some(call), ..Self::default() }
    }

    /// Returns the calls, in order.
    pub fn calls(&self) -> impl Iterator<Item = &CallAccount> {
        self.order.iter().filter_map(|call| self.calls.get(call))
    }

    /// Returns what a person took back, in order.
    pub fn undos(&self) -> &[CommitAccount] {
        &self.undos
    }

    /// Returns the policy that decisions call `digest`, or why there is none.
    pub(crate) fn policy(&self, digest: &ContentHash) -> Result<&Policy, NotKnown> {
        known(&self.policies, digest)
    }

    /// Returns the policy that `decision` was made by, or why it is not known.
    pub fn policy_of(&self, decision: &DecisionRecord) -> Result<&PolicyRecord, NotKnown> {
        let basis = decision.basis.as_ref().ok_or(NotKnown::NotRecorded)?;
        self.policy(&basis.policy).map(|policy| &policy.record)
    }

    /// Returns the tool as it was for `decision`, or why it is not known.
    pub fn tool_of(&self, decision: &DecisionRecord) -> Result<&ToolRecord, NotKnown> {
        let tool = decision.basis.as_ref().and_then(|basis| basis.tool.as_ref());
        known(&self.tools, tool.ok_or(NotKnown::NotRecorded)?)
    }

    /// Takes the next event.
    pub fn apply(&mut self, event: &Event) {
        let at_ms = event.recorded_at_ms;
        match &event.body {
            EventBody::PolicyStated { digest, policy } => {
                self.policies.insert(digest.clone(), policy_of(policy));
            }
            EventBody::ToolStated { digest, tool } => {
                let read =
                    serde_json::from_value(tool.clone()).map_err(|error| NotKnown::Unreadable(error.to_string()));
                self.tools.insert(digest.clone(), read);
            }
            EventBody::ModelReplied { turn, number, reply, spent } => {
                let calls = reply.tool_calls().count();
                let told = ReplyAccount { number: *number, calls, usage: reply.usage, spent: *spent };
                reply.tool_calls().for_each(|proposal| self.propose(proposal, Some((turn, &told)), at_ms));
            }
            EventBody::CallProposed { proposal } => self.propose(proposal, None, at_ms),
            EventBody::CallDecided { call, tool, level, decision } => {
                if let Some(account) = self.call(call, tool) {
                    account.level = Some(*level);
                    judged(&mut account.decisions, decision, at_ms);
                }
            }
            EventBody::CommitDecided { change_set, call, decision } => {
                if let Some(commit) = self.commit(change_set, call.as_ref()) {
                    judged(&mut commit.decisions, decision, at_ms);
                }
            }
            EventBody::CommitIntended { change_set, call, changes, undoes } => {
                if let Some(commit) = self.commit(change_set, call.as_ref()) {
                    (commit.changes, commit.undoes) = (Some(changes.clone()), undoes.clone());
                }
            }
            EventBody::CommitFinished { change_set, outcome } => self.committed(change_set, outcome),
            EventBody::RequestDecided { .. } | EventBody::RequestFinished { .. } => self.request(&event.body),
            EventBody::CallTaped { call, taped } => {
                if let Some(account) = self.call(call, "") {
                    account.taped = Some(taped.clone());
                }
            }
            EventBody::CallFinished { .. } => self.finish(&event.body, at_ms),
            EventBody::SessionOpened { .. }
            | EventBody::SessionForked { .. }
            | EventBody::SessionNamed { .. }
            | EventBody::TurnOpened { .. }
            | EventBody::TurnResumed { .. }
            | EventBody::TurnClosed { .. }
            | EventBody::ModelCalled { .. }
            | EventBody::ModelFailed { .. }
            | EventBody::ModelAbandoned { .. }
            | EventBody::RetryPlanned { .. }
            | EventBody::BoundsSet { .. }
            | EventBody::UnknownPriceAccepted { .. }
            | EventBody::Compacted { .. }
            | EventBody::CallHeld { .. }
            | EventBody::ChangesStaged { .. }
            | EventBody::ChangesDiscarded { .. }
            | EventBody::CommitModeSet { .. }
            | EventBody::ApprovalAsked { .. }
            | EventBody::ApprovalAnswered { .. }
            | EventBody::ApprovalRevoked { .. }
            | EventBody::ViewKept { .. }
            | EventBody::UndoExtended { .. }
            | EventBody::UndoSpared { .. }
            | EventBody::ContentsFreed { .. }
            | EventBody::LookupStarted { .. } => {}
        }
    }

    fn propose(&mut self, proposal: &ToolCall, by: Option<(&TurnId, &ReplyAccount)>, at_ms: u64) {
        if let Some(account) = self.call(&proposal.call, &proposal.tool) {
            account.proposal = Some(proposal.clone());
            (account.turn, account.reply) = by.map(|(turn, reply)| (turn.clone(), reply.clone())).unzip();
            account.proposed_at_ms = Some(at_ms);
        }
    }

    fn request(&mut self, body: &EventBody) {
        match body {
            EventBody::RequestDecided {
                call,
                request,
                method,
                target,
                addresses,
                verdict,
                rule,
                reason,
                secrets,
                path,
                found,
                idempotency_key,
            } => {
                let Some(account) = self.call(call, "") else { return };
                account.requests.push(RequestAccount {
                    request: *request,
                    method: method.clone(),
                    target: target.clone(),
                    path: path.clone(),
                    addresses: addresses.clone(),
                    found: found.clone(),
                    verdict: *verdict,
                    rule: rule.clone(),
                    reason: reason.clone(),
                    secrets: secrets.clone(),
                    idempotency_key: idempotency_key.clone(),
                    outcome: None,
                    sent_bytes: 0,
                    received_bytes: 0,
                });
            }
            EventBody::RequestFinished { call, request, outcome, sent_bytes, received_bytes } => {
                let Some(account) = self.call(call, "") else { return };
                if let Some(known) = account.requests.iter_mut().rev().find(|known| known.request == *request) {
                    known.outcome = Some(outcome.clone());
                    (known.sent_bytes, known.received_bytes) = (*sent_bytes, *received_bytes);
                }
            }
            _ => {}
        }
    }

    fn finish(&mut self, body: &EventBody, at_ms: u64) {
        let EventBody::CallFinished { call, tool, .. } = body else { return };
        if let Some(account) = self.call(call, tool) {
            account.finished = FinishedCall::of(body);
            account.finished_at_ms = Some(at_ms);
        }
    }

    fn committed(&mut self, change_set: &ChangeSetId, outcome: &CommitOutcome) {
        let Some(call) = self.change_sets.get(change_set).cloned() else { return };
        if let Some(commit) = self.commit(change_set, call.as_ref()) {
            commit.outcome = Some(outcome.clone());
        }
    }

    fn call(&mut self, call: &CallId, tool: &str) -> Option<&mut CallAccount> {
        if self.only.as_ref().is_some_and(|only| only != call) {
            return None;
        }
        if !self.calls.contains_key(call) {
            self.order.push(call.clone());
        }
        Some(self.calls.entry(call.clone()).or_insert_with(|| CallAccount::new(call, tool)))
    }

    fn commit(&mut self, id: &ChangeSetId, call: Option<&CallId>) -> Option<&mut CommitAccount> {
        self.change_sets.entry(id.clone()).or_insert_with(|| call.cloned());
        let commits = match call {
            Some(call) => &mut self.call(call, "")?.commits,
            None if self.only.is_some() => return None,
            None => &mut self.undos,
        };
        let at = commits.iter().rposition(|commit| commit.change_set == *id).unwrap_or_else(|| {
            commits.push(CommitAccount::new(id));
            commits.len() - 1
        });
        Some(&mut commits[at])
    }
}

fn known<'a, T>(
    records: &'a BTreeMap<ContentHash, Result<T, NotKnown>>,
    digest: &ContentHash,
) -> Result<&'a T, NotKnown> {
    match records.get(digest) {
        Some(record) => record.as_ref().map_err(Clone::clone),
        None => Err(NotKnown::Missing(digest.clone())),
    }
}

fn policy_of(data: &Value) -> Result<Policy, NotKnown> {
    let record = serde_json::from_value(data.clone()).map_err(|error| NotKnown::Unreadable(error.to_string()))?;
    Policy::new(record).map_err(|error| NotKnown::Unreadable(error.to_string()))
}

/// Adds a decision, or the answer to the last one that asked.
fn judged(decisions: &mut Vec<JudgedAccount>, decision: &DecisionRecord, at_ms: u64) {
    let waits = |last: &&mut JudgedAccount| last.decision.verdict == Verdict::Ask && last.answer.is_none();
    let is_answer = decision.basis.is_none() && decision.verdict != Verdict::Ask;
    match decisions.last_mut().filter(waits) {
        Some(asked) if is_answer => asked.answer = Some(decision.clone()),
        _ => decisions.push(JudgedAccount { at_ms, decision: decision.clone(), answer: None }),
    }
}

impl JudgedAccount {
    /// Returns the verdict that counted in the end.
    pub fn settled(&self) -> Verdict {
        self.answer.as_ref().map_or(self.decision.verdict, |answer| answer.verdict)
    }
}

impl CallAccount {
    fn new(call: &CallId, tool: &str) -> Self {
        Self {
            call: call.clone(),
            turn: None,
            proposed_at_ms: None,
            reply: None,
            proposal: None,
            tool: tool.to_owned(),
            level: None,
            decisions: Vec::new(),
            requests: Vec::new(),
            commits: Vec::new(),
            taped: None,
            finished: None,
            finished_at_ms: None,
        }
    }
}

impl CommitAccount {
    fn new(change_set: &ChangeSetId) -> Self {
        let (change_set, decisions) = (change_set.clone(), Vec::new());
        Self { change_set, decisions, changes: None, undoes: None, outcome: None }
    }
}
