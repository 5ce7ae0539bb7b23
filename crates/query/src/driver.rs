//! The driver: carries out the machine's steps and feeds back what came of them.

use std::sync::Arc;

use futures::future::try_join_all;
use policy::SecretSpec;
use protocol::{CallOutcome, EventBody, Message, ModelFailure, ModelReply, Part, Role, ToolCall, TurnId, TurnOutcome};
use providers::{DeltaSink, Model, ModelRequest};
use tokio_util::sync::CancellationToken;
use tools::{Finished, RegistryError, ToolSession, Tools, ToolsError};
use workspace::{ChangeSetState, Durability, JournalError, PendingCall, SessionView, Workspace};

use crate::machine::{Input, Machine, Step};

/// What the model is told before anything else.
const SYSTEM_PROMPT: &str = include_str!("prompt.md");

/// What it is told of secrets, before their list.
const SECRETS_PROMPT: &str = include_str!("secrets.md");

/// Tokens of one reply: more than any edit needs, and a bound on a model that does not stop.
const MAX_OUTPUT_TOKENS: u32 = 16_384;

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

/// What drives the turns of one session.
pub struct Driver<'a> {
    pub model: Arc<dyn Model>,
    pub tools: &'a Tools,
    pub workspace: &'a Workspace,
    pub session: &'a ToolSession,
    /// Model calls that one turn may make.
    pub max_turns: u32,
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
        let mut going = self.turn(turn.clone(), &view);
        for call in &view.pending {
            going.push_result(match self.conclude(&view, call)? {
                Some(finished) => finished,
                None => self.tools.abandon(self.session, &call.proposal)?,
            });
        }
        self.append(&[EventBody::TurnOpened { turn, text: text.to_owned() }], Durability::Process)?;
        going.messages.push(Message { role: Role::User, parts: vec![Part::Text { text: text.to_owned() }] });
        going.drive(Machine::new(self.max_turns), deltas).await
    }

    /// Goes on with the last turn of `view`, which was cut short: calls that had taken effect are concluded, the others
    /// run, and the count of model calls goes on.
    pub async fn resume(&self, view: SessionView, deltas: &mut dyn DeltaSink) -> Result<Turned, QueryError> {
        let last = view.turns.last().ok_or(QueryError::NothingToResume)?;
        let (turn, model_calls) = (last.turn.clone(), last.model_calls);
        self.append(&[EventBody::TurnResumed { turn: turn.clone() }], Durability::Process)?;
        let mut going = self.turn(turn, &view);
        let mut pending = Vec::new();
        for call in &view.pending {
            match self.conclude(&view, call)? {
                Some(finished) => going.push_result(finished),
                None => pending.push(call.proposal.clone()),
            }
        }
        let machine = Machine::resume(self.max_turns, model_calls, pending, |call| self.is_parallel(call));
        going.drive(machine, deltas).await
    }

    fn turn(&self, id: TurnId, view: &SessionView) -> Turn<'_> {
        let messages = view.messages.clone();
        Turn { driver: self, id, messages, answer: String::new() }
    }

    /// Records the end of a call whose changes were committed before the process ended; `None` when nothing of it took
    /// effect, so that it may run.
    fn conclude(&self, view: &SessionView, call: &PendingCall) -> Result<Option<Finished>, QueryError> {
        let committed = |id: &&protocol::ChangeSetId| {
            view.change_sets.iter().any(|set| {
                set.change_set == **id
                    && matches!(
                        &set.state,
                        ChangeSetState::Ended(protocol::CommitOutcome::Committed) | ChangeSetState::Undone { .. }
                    )
            })
        };
        let done: Vec<_> = call.change_sets.iter().filter(committed).cloned().collect();
        if done.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.tools.conclude(self.session, &call.proposal, &done)?))
    }

    fn is_parallel(&self, call: &ToolCall) -> bool {
        self.tools.is_parallel(&call.tool)
    }

    fn append(&self, bodies: &[EventBody], durability: Durability) -> Result<(), QueryError> {
        self.workspace.journal().append(self.session.id(), bodies, durability)?;
        Ok(())
    }
}

/// Returns what the model is told before anything else, with the secrets that its calls may send.
fn system_prompt(secrets: &[&SecretSpec]) -> String {
    if secrets.is_empty() {
        return SYSTEM_PROMPT.to_owned();
    }
    let line = |spec: &&SecretSpec| format!("- {}: {}; only to {}", spec.name(), spec.usage(), spec.bound_to());
    let lines: Vec<_> = secrets.iter().map(line).collect();
    format!("{SYSTEM_PROMPT}\n{SECRETS_PROMPT}\n{}\n", lines.join("\n"))
}

/// One turn under way.
struct Turn<'a> {
    driver: &'a Driver<'a>,
    id: TurnId,
    messages: Vec<Message>,
    /// What the model said last.
    answer: String,
}

impl Turn<'_> {
    async fn drive(mut self, mut machine: Machine, deltas: &mut dyn DeltaSink) -> Result<Turned, QueryError> {
        let mut step = machine.start();
        loop {
            let input = match step {
                Step::Finish(outcome) => return self.close(outcome),
                Step::CallModel { number } => self.call_model(number, deltas).await?,
                Step::CallTools { calls } => self.call_tools(calls).await?,
            };
            step = machine.next(input, |call| self.driver.is_parallel(call));
        }
    }

    async fn call_model(&mut self, number: u32, deltas: &mut dyn DeltaSink) -> Result<Input, QueryError> {
        let (driver, turn) = (self.driver, self.id.clone());
        // Each time: extensions come and go while a session runs.
        let definitions = tokio::select! {
            biased;
            () = driver.cancel.cancelled() => return Ok(Input::Cancelled),
            definitions = driver.tools.registry().definitions(driver.session.grant()) => definitions?,
        };
        let model = driver.model.name().to_owned();
        driver.append(&[EventBody::ModelCalled { turn: turn.clone(), number, model }], Durability::Process)?;
        let system = system_prompt(&driver.tools.secrets(driver.session.grant()));
        let request = ModelRequest {
            system: &system,
            messages: &self.messages,
            tools: &definitions,
            max_output_tokens: MAX_OUTPUT_TOKENS,
        };
        let reply = tokio::select! {
            biased;
            () = driver.cancel.cancelled() => return Ok(Input::Cancelled),
            reply = driver.model.reply(request, deltas) => reply,
        };
        match reply {
            Ok(reply) => self.replied(number, reply),
            Err(failure) => self.failed(number, failure),
        }
    }

    /// Records the reply before anything follows from it.
    fn replied(&mut self, number: u32, reply: ModelReply) -> Result<Input, QueryError> {
        let event = EventBody::ModelReplied { turn: self.id.clone(), number, reply: reply.clone() };
        self.driver.append(&[event], Durability::Process)?;
        self.answer = reply.text();
        self.messages.push(Message { role: Role::Assistant, parts: reply.parts.clone() });
        Ok(Input::Replied(reply))
    }

    fn failed(&self, number: u32, failure: ModelFailure) -> Result<Input, QueryError> {
        let event = EventBody::ModelFailed { turn: self.id.clone(), number, failure: failure.clone() };
        self.driver.append(&[event], Durability::Process)?;
        Ok(Input::ModelFailed(failure))
    }

    /// Runs calls beside each other; a batch of one is a call in order.
    async fn call_tools(&mut self, calls: Vec<ToolCall>) -> Result<Input, QueryError> {
        let Driver { tools, session, cancel, .. } = self.driver;
        let finished = try_join_all(calls.iter().map(|call| tools.call(session, call, cancel))).await?;
        let outcomes: Vec<CallOutcome> = finished.iter().map(|finished| finished.outcome.clone()).collect();
        for finished in finished {
            self.push_result(finished);
        }
        Ok(Input::ToolsFinished(outcomes))
    }

    /// Keeps all results of one reply in one message, as every wire wants them.
    fn push_result(&mut self, finished: Finished) {
        let part = Part::ToolResult(finished.result);
        match self.messages.last_mut() {
            Some(Message { role: Role::Tool, parts }) => parts.push(part),
            _ => self.messages.push(Message { role: Role::Tool, parts: vec![part] }),
        }
    }

    fn close(self, outcome: TurnOutcome) -> Result<Turned, QueryError> {
        let event = EventBody::TurnClosed { turn: self.id, outcome: outcome.clone() };
        self.driver.append(&[event], Durability::Power)?;
        Ok(Turned { outcome, answer: self.answer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::Placement;

    #[test]
    fn the_model_is_told_of_secrets_only_where_there_are_some() {
        assert_eq!(system_prompt(&[]), SYSTEM_PROMPT);
        let hosts = ["https://api.test".parse().unwrap()].into();
        let placement = Placement::Query { name: "key".into() };
        let spec = SecretSpec::new("MAPS".parse().unwrap(), hosts, placement).unwrap();
        let told = system_prompt(&[&spec]);
        assert!(told.starts_with(SYSTEM_PROMPT) && told.contains(SECRETS_PROMPT), "{told}");
        let line = "- MAPS: query parameter `key` with the value `{{secret:MAPS}}`; only to https://api.test:443\n";
        assert!(told.ends_with(line), "{told}");
    }
}
