//! A session as its events tell it: what it takes to go on with it, and nothing that only was.

mod kept;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use policy::EffectClass;
use protocol::{
    CallId, CallOutcome, CallUsage, ChangeSet, ChangeSetId, CommitMode, CommitOutcome, ContentHash, Event, EventBody,
    HeldCall, HeldChanges, Message, ModelReply, Observation, Part, Purpose, Role, StopReason, TokenUsage, ToolCall,
    ToolResult, TurnId, TurnOutcome, Verdict,
};
use serde::{Deserialize, Serialize};

pub use kept::KeptView;
use kept::Since;

/// One session, replayed. It can be kept live by applying each event as it is appended.
///
/// All of it is kept now and then ([`EventBody::ViewKept`]): whoever changes a field gives `projection::kept` another format.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionView {
    pub principal: String,
    pub model: String,
    /// What a model is sent. The calls of a reply are followed by one message with their results, in the order of the
    /// calls; only [`Self::pending`] calls of the last reply lack theirs.
    pub messages: Vec<Message>,
    /// The last turn.
    pub turn: Option<TurnView>,
    /// Calls of the last reply that may still run, in the order of the reply.
    pub pending: Vec<PendingCall>,
    /// The files that change sets were about to change, below their mounts, with the last event that said so.
    pub changed: BTreeMap<String, u64>,
    /// What the session's calls saw last of each file, sorted by mount and path.
    pub observed: Vec<Observation>,
    /// What was staged and not committed yet, by mount.
    pub staged: BTreeMap<String, StagedView>,
    /// When that is committed.
    pub commit_mode: CommitMode,
    /// Models whose dollars nobody counts, because a person said so.
    pub unpriced: BTreeSet<String>,
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
    /// What came since the view that this one was read from.
    #[serde(skip)]
    since: Since,
}

/// What a provider counted of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Whose tokens they are.
    pub model: String,
    /// The first messages, the reply among them.
    pub messages: usize,
    /// Tokens of those, and of what was sent before them.
    pub tokens: u64,
}

/// One turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnView {
    pub turn: TurnId,
    pub text: String,
    /// Calls of the model so far; goes on when the turn is resumed.
    pub model_calls: u32,
    /// `None` while it is open.
    pub outcome: Option<TurnOutcome>,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PendingCall {
    pub proposal: ToolCall,
    /// What it began to commit and did not end.
    pub intended: Vec<ChangeSetId>,
    /// What it committed, taken back since or not: it took effect.
    pub committed: Vec<ChangeSetId>,
    /// It changed what is staged: it is not run again.
    pub staged: bool,
    /// What it sent, or was about to send, when it ran: each with its method.
    pub requests: Vec<SentRequest>,
    /// What it staged and will return, if it ran to its end and waits.
    pub held: Option<HeldCall>,
}

impl PendingCall {
    /// Returns a call that nothing was done about yet.
    pub fn new(proposal: ToolCall) -> Self {
        let (intended, committed) = (Vec::new(), Vec::new());
        Self { proposal, intended, committed, staged: false, requests: Vec::new(), held: None }
    }
}

/// A request that was allowed, and so may have been made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentRequest {
    pub method: String,
    /// Scheme, host and port, with the path where that is known.
    pub target: String,
    /// It carried a key, so that sent again it has no second effect.
    pub has_key: bool,
}

impl SentRequest {
    /// Returns the request that `event` says was allowed, if it is one.
    pub fn of(event: &EventBody) -> Option<Self> {
        let EventBody::RequestDecided { method, target, path, idempotency_key, verdict: Verdict::Allow, .. } = event
        else {
            return None;
        };
        let target = format!("{target}{}", path.as_deref().unwrap_or_default());
        Some(Self { method: method.clone(), target, has_key: idempotency_key.is_some() })
    }

    /// Returns what a second time would do.
    pub fn class(&self) -> EffectClass {
        EffectClass::of_request(&self.method, self.has_key)
    }
}

impl fmt::Display for SentRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.method, self.target)
    }
}

/// What a session staged in one mount and has not committed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StagedView {
    pub staged: HeldChanges,
    /// Effects among them that a person was asked about, and allowed.
    pub approved: BTreeSet<String>,
}

impl StagedView {
    /// Returns what is staged before `first` is.
    fn new(first: &HeldChanges) -> Self {
        let changes = ChangeSet { mount: first.changes.mount.clone(), changes: Vec::new() };
        Self { staged: HeldChanges { change_set: first.change_set.clone(), changes }, approved: BTreeSet::new() }
    }
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

    /// Tells whether the last turn is open, or ended before it was done.
    pub fn is_unfinished(&self) -> bool {
        self.turn.as_ref().is_some_and(|turn| turn.outcome != Some(TurnOutcome::Done))
    }

    /// Takes the next event.
    pub fn apply(&mut self, event: &Event) {
        self.last_sequence = event.sequence;
        self.since.count();
        match &event.body {
            EventBody::SessionOpened { principal, model } | EventBody::SessionForked { principal, model, .. } => {
                (self.principal, self.model) = (principal.clone(), model.clone());
                // What the parent of a fork staged is the parent's to commit.
                self.staged.clear();
            }
            EventBody::BoundsSet { session_micro_usd, turn_time_ms } => {
                self.session_micro_usd = session_micro_usd.or(self.session_micro_usd);
                self.turn_time_ms = turn_time_ms.or(self.turn_time_ms);
            }
            EventBody::TurnOpened { turn, text } => self.open(turn, text),
            EventBody::TurnResumed { turn } => self.change_turn(turn, |turn| turn.outcome = None),
            EventBody::TurnClosed { turn, outcome, .. } => {
                self.change_turn(turn, |turn| turn.outcome = Some(outcome.clone()));
            }
            EventBody::ModelCalled { turn, number, model, purpose, .. } => {
                self.call_model(turn, *number, model, *purpose);
            }
            EventBody::ModelReplied { number, reply, .. } => {
                if self.compacting.take() != Some(*number) {
                    self.reply(reply);
                }
            }
            EventBody::Compacted { summary, kept, .. } => self.compact(summary, *kept),
            EventBody::CallFinished { .. } => self.finish_call(&event.body),
            EventBody::CommitIntended { change_set, call, changes, .. } => {
                self.intend(event.sequence, change_set, call.as_ref(), changes);
            }
            EventBody::CommitFinished { change_set, outcome } => self.finish_commit(change_set, outcome),
            EventBody::ModelFailed { .. }
            | EventBody::ModelAbandoned { .. }
            | EventBody::RetryPlanned { .. }
            | EventBody::SessionNamed { .. }
            | EventBody::ViewKept { .. }
            | EventBody::PolicyStated { .. }
            | EventBody::ToolStated { .. }
            | EventBody::CallProposed { .. }
            | EventBody::CallDecided { .. }
            | EventBody::CommitDecided { .. }
            | EventBody::CallTaped { .. }
            | EventBody::UndoExtended { .. }
            | EventBody::UndoSpared { .. }
            | EventBody::ContentsFreed { .. }
            | EventBody::LookupStarted { .. }
            | EventBody::RequestFinished { .. }
            | EventBody::ApprovalAsked { .. }
            | EventBody::ApprovalAnswered { .. }
            | EventBody::ApprovalRevoked { .. } => {}
            EventBody::UnknownPriceAccepted { model } => {
                self.unpriced.insert(model.clone());
            }
            EventBody::RequestDecided { call, .. } => {
                self.change_pending(call, |pending| pending.requests.extend(SentRequest::of(&event.body)));
            }
            EventBody::CommitModeSet { mode } => self.commit_mode = *mode,
            EventBody::ChangesStaged { call, staged, approved } => self.stage(call, staged, approved),
            EventBody::ChangesDiscarded { change_set } => self.unstage(change_set),
            EventBody::CallHeld { call, held } => {
                self.change_pending(call, |pending| pending.held = Some(held.clone()));
            }
        }
    }

    fn open(&mut self, turn: &TurnId, text: &str) {
        self.answer_all(ABANDONED);
        (self.unfinished, self.continued, self.answered) = (false, false, false);
        self.answer.clear();
        self.messages.push(Message::said(Role::User, text));
        self.turn = Some(TurnView { turn: turn.clone(), text: text.to_owned(), model_calls: 0, outcome: None });
    }

    fn change_turn(&mut self, turn: &TurnId, change: impl FnOnce(&mut TurnView)) {
        if let Some(turn) = self.turn.as_mut().filter(|last| last.turn == *turn) {
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
        self.pending = reply.tool_calls().cloned().map(PendingCall::new).collect();
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

    fn change_pending(&mut self, call: &CallId, change: impl FnOnce(&mut PendingCall)) {
        if let Some(pending) = self.pending.iter_mut().find(|pending| pending.proposal.call == *call) {
            change(pending);
        }
    }

    fn finish_call(&mut self, event: &EventBody) {
        let EventBody::CallFinished { call, result, observed, .. } = event else { return };
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

    fn stage(&mut self, call: &CallId, staged: &HeldChanges, approved: &BTreeSet<String>) {
        self.change_pending(call, |pending| pending.staged = true);
        let HeldChanges { change_set, changes } = staged;
        let mut known = self.staged.remove(&changes.mount).unwrap_or_else(|| StagedView::new(staged));
        known.staged.change_set = change_set.clone();
        known.staged.changes = known.staged.changes.then(changes);
        known.approved.extend(approved.iter().cloned());
        if !known.staged.changes.is_empty() {
            self.staged.insert(changes.mount.clone(), known);
        }
    }

    fn unstage(&mut self, change_set: &ChangeSetId) {
        self.staged.retain(|_, known| known.staged.change_set != *change_set);
    }

    /// Takes what was staged as committed: its files are not those any more that calls saw.
    fn land(&mut self, change_set: &ChangeSetId) {
        let landed = self.staged.values().find(|known| known.staged.change_set == *change_set);
        let Some(HeldChanges { changes, .. }) = landed.map(|known| known.staged.clone()) else { return };
        let is_changed = |seen: &Observation| changes.changes.iter().any(|change| change.path == seen.path);
        self.observed.retain(|seen| seen.mount != changes.mount || !is_changed(seen));
        self.unstage(change_set);
    }

    fn intend(&mut self, sequence: u64, id: &ChangeSetId, call: Option<&CallId>, changes: &ChangeSet) {
        let paths = changes.changes.iter().map(|change| format!("{}/{}", changes.mount, change.path));
        self.changed.extend(paths.map(|path| (path, sequence)));
        if let Some(pending) = self.pending.iter_mut().find(|pending| Some(&pending.proposal.call) == call) {
            pending.intended.push(id.clone());
        }
    }

    fn finish_commit(&mut self, id: &ChangeSetId, outcome: &CommitOutcome) {
        if *outcome == CommitOutcome::Committed {
            self.land(id);
        }
        let Some(pending) = self.pending.iter_mut().find(|pending| pending.intended.contains(id)) else { return };
        pending.intended.retain(|intended| intended != id);
        if *outcome == CommitOutcome::Committed {
            pending.committed.push(id.clone());
        }
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

#[cfg(test)]
mod tests;
