//! The driver: opens turns, takes them up again, and hands them to what carries out their steps.

use std::sync::Arc;
use std::time::Duration;

use policy::Budget;
use protocol::{EventBody, ToolCall, TurnId, TurnOutcome};
use providers::{DeltaSink, Model, Price};
use tokio_util::sync::CancellationToken;
use tools::{Finished, RegistryError, ToolSession, Tools, ToolsError};
use workspace::{Durability, JournalError, PendingCall, SessionView, Workspace};

use crate::machine::{Machine, TurnLimits};
use crate::purse::{Purse, Stopwatch};
use crate::turn::Turn;

/// Why a turn cannot go on; how turns end properly is a [`TurnOutcome`].
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Tools(#[from] ToolsError),
    #[error("the session has no turn to go on with")]
    NothingToResume,
}

impl From<RegistryError> for QueryError {
    fn from(error: RegistryError) -> Self {
        Self::Tools(error.into())
    }
}

/// A model, and what is known of it.
#[derive(Clone)]
pub struct Planner {
    pub model: Arc<dyn Model>,
    /// What its dollars are counted by. Whoever assembles a driver has to have one, if only because a person said that an
    /// unknown price counts as nothing.
    pub price: Price,
    /// Tokens of its context window.
    pub context_window: Option<u32>,
    /// Tokens that one reply can have at most.
    pub max_output_tokens: Option<u32>,
}

/// What drives the turns of one session.
pub struct Driver<'a> {
    pub planner: Planner,
    /// Takes the planner's place where that goes on failing.
    pub fallback: Option<Planner>,
    pub tools: &'a Tools,
    pub workspace: &'a Workspace,
    pub session: &'a ToolSession,
    pub limits: TurnLimits,
    pub budget: Budget,
    /// The wait before the first retry; later ones are longer.
    pub backoff: Duration,
    /// Randomness, so that not everybody comes again at the same moment.
    pub random: fn() -> u64,
    pub cancel: CancellationToken,
}

/// How a turn ended, and what the model said last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turned {
    pub outcome: TurnOutcome,
    pub answer: String,
}

impl Driver<'_> {
    /// Opens a turn with the person's `text` and drives it to its end. `view` is the session so far.
    pub async fn run(
        &self,
        turn: TurnId,
        text: &str,
        view: SessionView,
        deltas: &mut dyn DeltaSink,
    ) -> Result<Turned, QueryError> {
        let mut turn = self.turn(turn, view)?;
        for call in turn.view.pending.clone() {
            if self.concluded(&call)?.is_none() {
                self.tools.abandon(self.session, &call)?;
            }
        }
        turn.catch_up()?;
        let opened = EventBody::TurnOpened { turn: turn.purse.turn.clone(), text: text.to_owned() };
        turn.append(&[opened], Durability::Process)?;
        turn.drive(Machine::new(self.limits, self.fallback.is_some()), deltas).await
    }

    /// Goes on with the last turn of `view`, which was cut short: calls that had taken effect are concluded, the others
    /// run, and the count of model calls goes on.
    pub async fn resume(&self, view: SessionView, deltas: &mut dyn DeltaSink) -> Result<Turned, QueryError> {
        let last = view.turn.as_ref().ok_or(QueryError::NothingToResume)?;
        let (id, model_calls) = (last.turn.clone(), last.model_calls);
        let mut turn = self.turn(id.clone(), view)?;
        turn.append(&[EventBody::TurnResumed { turn: id }], Durability::Process)?;
        if turn.view.answered {
            return turn.close(TurnOutcome::Done).await;
        }
        let mut pending = Vec::new();
        for call in turn.view.pending.clone() {
            if self.conclude(&call)?.is_none() {
                pending.push(call.proposal);
            }
        }
        turn.catch_up()?;
        let machine = Machine::new(self.limits, self.fallback.is_some());
        turn.drive(machine.resumed(model_calls, pending, |call| self.is_parallel(call)), deltas).await
    }

    /// Returns the turn `id`, with what earlier ones owe settled.
    fn turn(&self, id: TurnId, view: SessionView) -> Result<Turn<'_>, QueryError> {
        let (journal, session) = (self.workspace.journal(), self.session.id());
        let purse = Purse { journal, session, turn: id, budget: self.budget, watch: Stopwatch::start() };
        purse.settle_orphans()?;
        let mut turn = Turn::new(self, purse, view);
        turn.catch_up()?;
        Ok(turn)
    }

    /// Records the end of a call whose changes were committed before the process ended; `None` when nothing of it took
    /// effect, so that it may run.
    fn conclude(&self, call: &PendingCall) -> Result<Option<Finished>, QueryError> {
        // What was held goes on where it stood, and knows what it returns.
        if call.held.is_some() { Ok(None) } else { self.concluded(call) }
    }

    /// The same of a call that nobody goes on with.
    fn concluded(&self, call: &PendingCall) -> Result<Option<Finished>, QueryError> {
        if call.committed.is_empty() && !call.staged {
            return Ok(None);
        }
        Ok(Some(self.tools.conclude(self.session, call, &call.committed)?))
    }

    pub(crate) fn is_parallel(&self, call: &ToolCall) -> bool {
        self.tools.is_parallel(&call.tool)
    }
}
