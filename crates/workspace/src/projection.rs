//! A session as its events tell it.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    CallId, CallOutcome, CallUsage, ChangeSet, ChangeSetId, CommitOutcome, ContentHash, DecisionRecord, Event,
    EventBody, Message, ModelReply, Observation, Part, Purpose, Role, Spending, StopReason, TokenUsage, ToolCall,
    ToolResult, TurnId, TurnOutcome,
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
    /// What the session may spend, where a person said so.
    pub session_micro_usd: Option<u64>,
    /// How long a turn may work, where a person said so.
    pub turn_time_ms: Option<u64>,
    /// The text of the last reply, with what it was cut off from.
    pub answer: String,
    /// The last reply ends its turn: it is whole and proposes nothing.
    pub answered: bool,
    /// How long a provider found the beginning of [`Self::messages`] to be.
    pub counted: Option<Counted>,
    /// The last event that was applied; 0 before the first.
    pub last_sequence: u64,
    /// The model that was called last.
    called: String,
    /// The model call that writes a summary, while it is under way.
    compacting: Option<u32>,
    /// The last reply was cut off in the middle of its text, and the model was not told to go on yet.
    unfinished: bool,
    /// The next reply goes on with the text of the last.
    continued: bool,
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

/// What a provider counted of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Whose tokens they are.
    pub model: String,
    /// The first messages, the reply among them.
    pub messages: usize,
    /// Tokens of those, and of what was sent before them.
    pub tokens: u64,
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
    /// What its budgets were debited.
    pub spent: Spending,
    /// `None` while it is open.
    pub outcome: Option<TurnOutcome>,
}

impl TurnView {
    fn spend(&mut self, spent: &Spending, usage: &TokenUsage) {
        self.spent = self.spent.plus(spent);
        add(&mut self.usage, usage);
    }
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
    pub undoes: Vec<ChangeSetId>,
    pub state: ChangeSetState,
    /// Where the set that took it back last is in [`SessionView::change_sets`].
    undone_by: Option<usize>,
}

/// What the model reads of calls whose reply was cut off: they may lack their end, so they never run.
const CUT_OFF: &str =
    "This call was not run: the reply that proposed it was cut off. Propose it again if it is still needed.";

/// What the model reads after a reply that was cut off in the middle of its text.
const GO_ON: &str = "Your reply was cut off. Go on exactly where it stopped; repeat nothing.";

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
            EventBody::BoundsSet { session_micro_usd, turn_time_ms } => {
                self.session_micro_usd = session_micro_usd.or(self.session_micro_usd);
                self.turn_time_ms = turn_time_ms.or(self.turn_time_ms);
            }
            EventBody::TurnOpened { turn, text } => self.open(turn, text, event.recorded_at_ms),
            EventBody::TurnResumed { turn } => self.change_turn(turn, |turn| turn.outcome = None),
            EventBody::TurnClosed { turn, outcome, spent } => self.change_turn(turn, |turn| {
                turn.spend(spent, &TokenUsage::default());
                turn.outcome = Some(outcome.clone());
            }),
            EventBody::ModelCalled { turn, number, model, purpose, .. } => {
                self.call_model(turn, *number, model, *purpose);
            }
            EventBody::ModelReplied { turn, number, reply, spent } => {
                self.change_turn(turn, |turn| turn.spend(spent, &reply.usage));
                if self.compacting.take() != Some(*number) {
                    self.reply(reply);
                }
            }
            EventBody::ModelFailed { turn, spent, .. } | EventBody::ModelAbandoned { turn, spent, .. } => {
                self.change_turn(turn, |turn| turn.spend(spent, &TokenUsage::default()));
            }
            EventBody::Compacted { summary, kept, .. } => self.compact(summary, *kept),
            EventBody::RetryPlanned { .. }
            | EventBody::SessionNamed { .. }
            | EventBody::PolicyStated { .. }
            | EventBody::ToolStated { .. }
            | EventBody::CallProposed { .. }
            | EventBody::UndoSpared { .. }
            | EventBody::ContentsFreed { .. }
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
                (set.changes, set.undoes) = (Some(changes.clone()), undoes.iter().cloned().collect());
            }
            EventBody::UndoExtended { change_set, undoes } => {
                self.change_set(change_set, None).undoes.push(undoes.clone());
            }
            EventBody::CommitFinished { change_set, outcome } => self.finish_commit(change_set, outcome),
        }
    }

    fn open(&mut self, turn: &TurnId, text: &str, opened_at_ms: u64) {
        self.answer_all(ABANDONED);
        (self.unfinished, self.continued, self.answered) = (false, false, false);
        self.answer.clear();
        self.messages.push(Message::said(Role::User, text));
        let (turn, text) = (turn.clone(), text.to_owned());
        let (usage, spent) = (TokenUsage::default(), Spending::default());
        self.turns.push(TurnView { turn, text, opened_at_ms, model_calls: 0, usage, spent, outcome: None });
    }

    fn change_turn(&mut self, turn: &TurnId, change: impl FnOnce(&mut TurnView)) {
        if let Some(turn) = self.turns.iter_mut().rev().find(|known| known.turn == *turn) {
            change(turn);
        }
    }

    fn call_model(&mut self, turn: &TurnId, number: u32, model: &str, purpose: Purpose) {
        self.answer_all(ABANDONED);
        self.answered = false;
        model.clone_into(&mut self.called);
        self.change_turn(turn, |turn| turn.model_calls = turn.model_calls.max(number));
        self.compacting = (purpose == Purpose::Compaction).then_some(number);
        if purpose == Purpose::Reply && std::mem::take(&mut self.unfinished) {
            self.messages.push(Message::said(Role::User, GO_ON));
        }
    }

    fn reply(&mut self, reply: &ModelReply) {
        self.answer_all(ABANDONED);
        if !std::mem::take(&mut self.continued) {
            self.answer.clear();
        }
        self.answer.push_str(&reply.text());
        self.answered = !reply.stop.is_cut_off() && reply.tool_calls().next().is_none();
        if !can_be_said_again(reply) {
            return;
        }
        self.messages.push(Message { role: Role::Assistant, parts: reply.parts.clone() });
        self.counted = counted(&reply.usage, self.messages.len(), &self.called);
        let pending =
            |proposal: &ToolCall| PendingCall { proposal: proposal.clone(), decision: None, change_sets: Vec::new() };
        self.pending = reply.tool_calls().map(pending).collect();
        if reply.stop.is_cut_off() {
            // What its calls are answered with says what to do.
            self.unfinished = self.pending.is_empty();
            self.continued = self.unfinished;
            self.answer_all(CUT_OFF);
        }
    }

    /// Puts a summary in the place of all messages but the last `kept`.
    fn compact(&mut self, summary: &str, kept: usize) {
        let from = self.messages.len().saturating_sub(kept);
        self.messages.splice(..from, [Message::said(Role::User, summary)]);
        self.counted = None;
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
        if *outcome == CommitOutcome::Committed {
            for undone in &undoes {
                self.undo(undone, change_set);
            }
        }
    }

    /// Marks `undone` as taken back, which brings what it had taken back itself into effect again, and so on.
    fn undo(&mut self, undone: &ChangeSetId, by: &ChangeSetId) {
        let Some((at, end)) = self.earlier(undone, by) else { return };
        self.change_sets[at].undone_by = Some(end);
        let mut todo = BTreeSet::from([at]);
        // Each goes to earlier sets only, so this ends.
        while let Some(at) = todo.pop_last() {
            let state = self.state_of(at);
            let set = &mut self.change_sets[at];
            set.state = state;
            let (id, undoes) = (set.change_set.clone(), set.undoes.clone());
            todo.extend(undoes.iter().filter_map(|earlier| Some(self.earlier(earlier, &id)?.0)));
        }
    }

    /// Returns where a set and the one that takes it back are; an undo comes after what it takes back.
    fn earlier(&self, undone: &ChangeSetId, by: &ChangeSetId) -> Option<(usize, usize)> {
        let (at, end) = (*self.change_set_places.0.get(undone)?, *self.change_set_places.0.get(by)?);
        (at < end).then_some((at, end))
    }

    /// Returns the state of a set that is undone while what took it back last is in effect.
    fn state_of(&self, at: usize) -> ChangeSetState {
        let Some(by) = self.change_sets[at].undone_by else { return self.change_sets[at].state.clone() };
        let (mut undone, mut last) = (true, by);
        while let Some(next) = self.change_sets[last].undone_by {
            (undone, last) = (!undone, next);
        }
        if undone {
            ChangeSetState::Undone { by: self.change_sets[by].change_set.clone() }
        } else {
            ChangeSetState::Ended(CommitOutcome::Committed)
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
        let set =
            ChangeSetView { change_set, call, decision, changes: None, undoes: Vec::new(), state, undone_by: None };
        self.change_sets.push(set);
        self.change_sets.len() - 1
    }
}

/// Tells whether a provider takes the reply back as part of a conversation: not one without parts, nor one that only thought,
/// nor a text that was withheld.
fn can_be_said_again(reply: &ModelReply) -> bool {
    let is_said = |part: &Part| matches!(part, Part::Text { .. } | Part::ToolCall(_));
    let is_withheld = reply.stop == StopReason::ContentFilter && reply.tool_calls().next().is_none();
    reply.parts.iter().any(is_said) && !is_withheld
}

fn counted(usage: &TokenUsage, messages: usize, model: &str) -> Option<Counted> {
    let tokens = usage.input_tokens?.saturating_add(usage.output_tokens?);
    Some(Counted { model: model.to_owned(), messages, tokens })
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
        cache_write_tokens: plus(sum.cache_write_tokens, usage.cache_write_tokens),
        reasoning_tokens: plus(sum.reasoning_tokens, usage.reasoning_tokens),
    };
}

#[cfg(test)]
mod tests;
