//! A session as its events tell it.
use protocol::{CallId, CallOutcome, CallUsage, ChangeSet, ChangeSetId, DecisionRecord, Event, Message, Observation, TokenUsage, ToolCall, TurnId, TurnOutcome};

use crate::journal::ChangeSetState;

/// One session, replayed. Keep it live by applying each event as it is appended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SessionView {
    pub principal: String,
    pub model: String,
    /// What a model is sent. Each assistant message is followed by the results of all its calls, except those of
    /// [`Self::pending`].
    pub messages: Vec<Message>,
    pub turns: Vec<TurnView>,
    /// Every call that was decided or finished, in order.
    pub calls: Vec<CallView>,
    /// Calls of the last reply that have no result, in the order of the reply.
    pub pending: Vec<PendingCall>,
    pub change_sets: Vec<ChangeSetView>,
    /// What the session's calls saw last of each file.
    pub observed: Vec<Observation>,
    pub last_sequence: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TurnView {
    pub turn: TurnId,
    pub text: String,
    pub opened_at_ms: u64,
    /// Calls of the model so far; goes on when the turn is resumed.
    pub model_calls: u32,
    /// Known tokens, added up.
    pub usage: TokenUsage,
    /// `None` while it is open.
    pub outcome: Option<TurnOutcome>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CallView {
    pub call: CallId,
    pub tool: String,
    pub decision: Option<DecisionRecord>,
    pub finished: Option<FinishedCall>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FinishedCall {
    pub outcome: CallOutcome,
    pub summary: String,
    pub usage: CallUsage,
}

/// A call that was proposed and has no result.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingCall {
    pub proposal: ToolCall,
    /// The last decision about it; after an interruption it says nothing about whether the tool ran.
    pub decision: Option<DecisionRecord>,
    /// What it committed, or began to commit.
    pub change_sets: Vec<ChangeSetId>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ChangeSetView {
    pub change_set: ChangeSetId,
    pub call: Option<CallId>,
    pub changes: ChangeSet,
    pub undoes: Option<ChangeSetId>,
    pub state: ChangeSetState,
}

impl SessionView {
    /// Replays events of one session.
    pub fn replay<'a>(_events: impl IntoIterator<Item = &'a Event>) -> Self { todo!() }
    /// Takes the next event.
    pub fn apply(&mut self, _event: &Event) { todo!() }
    /// Returns the last turn while it is open.
    pub fn open_turn(&self) -> Option<&TurnView> { todo!() }
    /// Returns what the last closed turn ended with.
    pub fn last_outcome(&self) -> Option<&TurnOutcome> { todo!() }
}
