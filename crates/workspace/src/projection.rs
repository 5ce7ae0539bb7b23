//! A session as its events tell it.

use std::collections::BTreeMap;

use protocol::{
    CallId, CallOutcome, CallUsage, ChangeSet, ChangeSetId, CommitOutcome, ContentHash, DecisionRecord, Event,
    EventBody, Message, ModelReply, Observation, Part, Role, StopReason, TokenUsage, ToolCall, ToolResult, TurnId,
    TurnOutcome,
};
use serde::Serialize;

use crate::journal::ChangeSetState;

/// One session, replayed. It can be kept live by applying each event as it is appended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SessionView {
    pub principal: String,
    pub model: String,
    /// What a model is sent. The calls of a reply are followed by one message with their results, in the order of the
    /// calls; only [`Self::pending`] calls of the last reply lack theirs.
    pub messages: Vec<Message>,
    pub turns: Vec<TurnView>,
    /// Every call that was decided or finished, in order.
    pub calls: Vec<CallView>,
    /// Calls of the last reply that may still run, in the order of the reply.
    pub pending: Vec<PendingCall>,
    /// Every change set that was about to be committed, or met a conflict, in order.
    pub change_sets: Vec<ChangeSetView>,
    /// What the session's calls saw last of each file, sorted by mount and path.
    pub observed: Vec<Observation>,
    /// The last event that was applied; 0 before the first.
    pub last_sequence: u64,
    /// Decisions about change sets of which nothing came yet.
    decided: BTreeMap<ChangeSetId, (Option<CallId>, DecisionRecord)>,
    /// Where each is in [`Self::calls`], and in [`Self::change_sets`]: a long session has many.
    call_places: Places<CallId>,
    change_set_places: Places<ChangeSetId>,
}

/// Where things are in a list. It follows from the list, so that no two views differ by it.
#[derive(Debug, Clone)]
struct Places<K>(BTreeMap<K, usize>);

impl<K> Default for Places<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K> PartialEq for Places<K> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// One turn.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnView {
    pub turn: TurnId,
    pub text: String,
    pub opened_at_ms: u64,
    /// Calls of the model so far; goes on when the turn is resumed.
    pub model_calls: u32,
    /// What is known of its tokens, added up; `None` where no reply said.
    pub usage: TokenUsage,
    /// `None` while it is open.
    pub outcome: Option<TurnOutcome>,
}

/// One tool call.
#[derive(Debug, Clone, PartialEq)]
pub struct CallView {
    pub call: CallId,
    pub tool: String,
    /// The last decision about it.
    pub decision: Option<DecisionRecord>,
    pub finished: Option<FinishedCall>,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FinishedCall {
    pub outcome: CallOutcome,
    pub summary: String,
    pub usage: CallUsage,
    pub result: ToolResult,
    pub full_output: Option<ContentHash>,
}

impl FinishedCall {
    /// Returns what `event` says, if a call finished there.
    pub(crate) fn of(event: &EventBody) -> Option<Self> {
        let EventBody::CallFinished { outcome, summary, usage, result, full_output, .. } = event else { return None };
        let (outcome, summary, usage) = (outcome.clone(), summary.clone(), *usage);
        Some(Self { outcome, summary, usage, result: result.clone(), full_output: full_output.clone() })
    }
}

/// A call that was proposed and has no result.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingCall {
    pub proposal: ToolCall,
    /// The last decision about it; it does not say whether the tool ran.
    pub decision: Option<DecisionRecord>,
    /// What it committed, began to commit, or could not; their states are in [`SessionView::change_sets`].
    pub change_sets: Vec<ChangeSetId>,
}

/// One change set.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeSetView {
    pub change_set: ChangeSetId,
    pub call: Option<CallId>,
    pub decision: Option<DecisionRecord>,
    /// `None` if nothing was ever intended: it met a conflict.
    pub changes: Option<ChangeSet>,
    pub undoes: Option<ChangeSetId>,
    pub state: ChangeSetState,
}

/// What the model reads of calls whose reply was cut off: they may lack their end, so they never run.
const CUT_OFF: &str =
    "This call was not run: the reply that proposed it was cut off. Propose it again if it is still needed.";

/// What the model reads of calls that nothing is known of.
const ABANDONED: &str = "This call was interrupted, and no result was recorded.";

impl SessionView {
    /// Replays events of one session.
    pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut view = Self::default();
        events.into_iter().for_each(|event| view.apply(event));
        view
    }

    /// Returns the last turn while it is open.
    pub fn open_turn(&self) -> Option<&TurnView> {
        self.turns.last().filter(|turn| turn.outcome.is_none())
    }

    /// Returns how the last turn that was closed ended.
    pub fn last_outcome(&self) -> Option<&TurnOutcome> {
        self.turns.iter().rev().find_map(|turn| turn.outcome.as_ref())
    }

    /// Takes the next event.
    pub fn apply(&mut self, event: &Event) {
        self.last_sequence = event.sequence;
        match &event.body {
            EventBody::SessionOpened { principal, model } | EventBody::SessionForked { principal, model, .. } => {
                (self.principal, self.model) = (principal.clone(), model.clone());
            }
            EventBody::TurnOpened { turn, text } => self.open(turn, text, event.recorded_at_ms),
            EventBody::TurnResumed { turn } => self.change_turn(turn, |turn| turn.outcome = None),
            EventBody::TurnClosed { turn, outcome } => {
                self.change_turn(turn, |turn| turn.outcome = Some(outcome.clone()));
            }
            EventBody::ModelCalled { turn, number, .. } => {
                self.answer_all(ABANDONED);
                self.change_turn(turn, |turn| turn.model_calls = turn.model_calls.max(*number));
            }
            EventBody::ModelReplied { turn, reply, .. } => self.reply(turn, reply),
            EventBody::ModelFailed { .. }
            | EventBody::SessionNamed { .. }
            | EventBody::PolicyStated { .. }
            | EventBody::ToolStated { .. }
            | EventBody::CallProposed { .. }
            | EventBody::LookupStarted { .. }
            | EventBody::RequestDecided { .. }
            | EventBody::RequestFinished { .. } => {}
            EventBody::CallDecided { call, tool, decision, .. } => self.decide_call(call, tool, decision),
            EventBody::CallFinished { .. } => self.finish_call(&event.body),
            EventBody::CommitDecided { change_set, call, decision } => {
                self.decided.insert(change_set.clone(), (call.clone(), decision.clone()));
            }
            EventBody::CommitIntended { change_set, call, changes, undoes } => {
                let set = self.change_set(change_set, call.as_ref());
                (set.changes, set.undoes) = (Some(changes.clone()), undoes.clone());
            }
            EventBody::CommitFinished { change_set, outcome } => self.finish_commit(change_set, outcome),
        }
    }

    fn open(&mut self, turn: &TurnId, text: &str, opened_at_ms: u64) {
        self.answer_all(ABANDONED);
        let (turn, text) = (turn.clone(), text.to_owned());
        self.messages.push(Message { role: Role::User, parts: vec![Part::Text { text: text.clone() }] });
        let usage = TokenUsage::default();
        self.turns.push(TurnView { turn, text, opened_at_ms, model_calls: 0, usage, outcome: None });
    }

    fn change_turn(&mut self, turn: &TurnId, change: impl FnOnce(&mut TurnView)) {
        if let Some(turn) = self.turns.iter_mut().rev().find(|known| known.turn == *turn) {
            change(turn);
        }
    }

    fn reply(&mut self, turn: &TurnId, reply: &ModelReply) {
        self.answer_all(ABANDONED);
        self.change_turn(turn, |turn| add(&mut turn.usage, &reply.usage));
        // A provider refuses a message without parts.
        if reply.parts.is_empty() {
            return;
        }
        self.messages.push(Message { role: Role::Assistant, parts: reply.parts.clone() });
        let pending =
            |proposal: &ToolCall| PendingCall { proposal: proposal.clone(), decision: None, change_sets: Vec::new() };
        self.pending = reply.tool_calls().map(pending).collect();
        if matches!(reply.stop, StopReason::MaxTokens | StopReason::Truncated | StopReason::ContentFilter) {
            self.answer_all(CUT_OFF);
        }
    }

    /// Gives every pending call a result, so that no call is ever sent without one.
    fn answer_all(&mut self, text: &str) {
        for call in std::mem::take(&mut self.pending) {
            let ToolCall { call, wire_id, .. } = call.proposal;
            self.push_result(ToolResult { call, wire_id, text: text.to_owned(), is_error: true });
        }
    }

    /// Puts a result where the order of the calls wants it: after the last reply, all in one message.
    fn push_result(&mut self, result: ToolResult) {
        if !matches!(self.messages.last(), Some(Message { role: Role::Tool, .. })) {
            self.messages.push(Message { role: Role::Tool, parts: Vec::new() });
        }
        let [.., Message { parts: calls, .. }, Message { parts: results, .. }] = self.messages.as_mut_slice() else {
            return;
        };
        results.push(Part::ToolResult(result));
        results.sort_by_key(|part| calls.iter().position(|call| is_answer(part, call)));
    }

    fn decide_call(&mut self, call: &CallId, tool: &str, decision: &DecisionRecord) {
        self.call(call, tool).decision = Some(decision.clone());
        if let Some(pending) = self.pending.iter_mut().find(|pending| pending.proposal.call == *call) {
            pending.decision = Some(decision.clone());
        }
    }

    fn finish_call(&mut self, event: &EventBody) {
        let EventBody::CallFinished { call, tool, result, observed, .. } = event else { return };
        self.call(call, tool).finished = FinishedCall::of(event);
        for seen in observed {
            self.observe(seen);
        }
        // A call that a person made by hand belongs to no reply.
        if let Some(at) = self.pending.iter().position(|pending| pending.proposal.call == *call) {
            self.pending.remove(at);
            self.push_result(result.clone());
        }
    }

    fn observe(&mut self, seen: &Observation) {
        let key = |seen: &Observation| (seen.mount.clone(), seen.path.clone());
        match self.observed.binary_search_by_key(&key(seen), key) {
            Ok(at) => self.observed[at] = seen.clone(),
            Err(at) => self.observed.insert(at, seen.clone()),
        }
    }

    fn finish_commit(&mut self, change_set: &ChangeSetId, outcome: &CommitOutcome) {
        let set = self.change_set(change_set, None);
        set.state = ChangeSetState::Ended(outcome.clone());
        let undoes = set.undoes.clone();
        if let (CommitOutcome::Committed, Some(undone)) = (outcome, undoes) {
            self.undo(&undone, change_set);
        }
    }

    /// Marks `undone` as taken back, which brings what it had taken back itself into effect again, and so on.
    fn undo(&mut self, undone: &ChangeSetId, by: &ChangeSetId) {
        let mut next = Some((undone.clone(), Some(by.clone())));
        // Each step goes to an earlier set, so this ends.
        let mut end = self.change_sets.len();
        while let Some((id, by)) = next.take() {
            let Some(at) = self.change_sets[..end].iter().position(|set| set.change_set == id) else { return };
            let set = &mut self.change_sets[at];
            let undoer = by.is_none().then(|| id.clone());
            set.state = match by {
                Some(by) => ChangeSetState::Undone { by },
                None => ChangeSetState::Ended(CommitOutcome::Committed),
            };
            next = set.undoes.clone().map(|earlier| (earlier, undoer));
            end = at;
        }
    }

    fn call(&mut self, call: &CallId, tool: &str) -> &mut CallView {
        let at = *self.call_places.0.entry(call.clone()).or_insert_with(|| {
            self.calls.push(CallView { call: call.clone(), tool: tool.to_owned(), decision: None, finished: None });
            self.calls.len() - 1
        });
        &mut self.calls[at]
    }

    fn change_set(&mut self, id: &ChangeSetId, call: Option<&CallId>) -> &mut ChangeSetView {
        let known = self.change_set_places.0.get(id).copied();
        let at = known.unwrap_or_else(|| self.new_change_set(id, call));
        &mut self.change_sets[at]
    }

    fn new_change_set(&mut self, id: &ChangeSetId, call: Option<&CallId>) -> usize {
        let (decided_call, decision) =
            self.decided.remove(id).map_or((None, None), |(call, record)| (call, Some(record)));
        let call = call.cloned().or(decided_call);
        let pending = self.pending.iter_mut().find(|pending| Some(&pending.proposal.call) == call.as_ref());
        if let Some(pending) = pending {
            pending.change_sets.push(id.clone());
        }
        let (change_set, state) = (id.clone(), ChangeSetState::Intended);
        self.change_set_places.0.insert(id.clone(), self.change_sets.len());
        self.change_sets.push(ChangeSetView { change_set, call, decision, changes: None, undoes: None, state });
        self.change_sets.len() - 1
    }
}

fn is_answer(result: &Part, call: &Part) -> bool {
    matches!((result, call), (Part::ToolResult(result), Part::ToolCall(call)) if result.call == call.call)
}

fn add(sum: &mut TokenUsage, usage: &TokenUsage) {
    let plus = |sum: Option<u64>, more: Option<u64>| match (sum, more) {
        (None, None) => None,
        (sum, more) => Some(sum.unwrap_or(0).saturating_add(more.unwrap_or(0))),
    };
    *sum = TokenUsage {
        input_tokens: plus(sum.input_tokens, usage.input_tokens),
        output_tokens: plus(sum.output_tokens, usage.output_tokens),
        cached_tokens: plus(sum.cached_tokens, usage.cached_tokens),
    };
}

#[cfg(test)]
mod tests;
