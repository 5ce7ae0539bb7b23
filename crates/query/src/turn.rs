//! One turn under way: each step of the machine, carried out.
//!
//! What the model is sent is the session's view, which takes every event that is appended. So a turn that was cut short
//! goes on with exactly what it had.

use std::cmp::Reverse;
use std::future::Future;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use policy::{Exceeded, LEAST_OUTPUT_TOKENS, Need, Reservation, SecretSpec};
use protocol::{
    CommitMode, Event, EventBody, Message, ModelFailure, ModelFailureKind, ModelReply, Purpose, Role, Spending,
    TokenUsage, ToolCall, TurnOutcome,
};
use providers::{DeltaSink, ModelRequest, Reserved};
use tokio_util::sync::CancellationToken;
use tools::{Called, Finished};
use workspace::{Durability, PendingCall, SessionView};

use crate::context::{Context, Frame, transcript};
use crate::driver::{Driver, Planner, QueryError, Turned};
use crate::machine::{Done, Input, Machine, Step, Wait, is_passing};
use crate::purse::{Purse, stopped};

/// What the model is told before anything else.
const SYSTEM_PROMPT: &str = include_str!("prompt.md");

/// What it is told of secrets, before their list.
const SECRETS_PROMPT: &str = include_str!("secrets.md");

/// What a model is told that writes a summary.
const SUMMARY_PROMPT: &str = include_str!("summary.md");

/// Tokens of one reply: more than any edit needs, and a bound on a model that does not stop.
const MAX_OUTPUT_TOKENS: u64 = 16_384;

/// Tokens of a summary: two or three pages.
const SUMMARY_TOKENS: u64 = 4_096;

/// A summary has at most this part of the window.
const SUMMARY_PART: u64 = 8;

/// The context window of a model of which nobody said: what all that are of use have.
const USUAL_WINDOW: u64 = 128_000;

/// Bytes of the person's own words, and of the names of files, that a summary repeats.
const REPEATED_BYTES: usize = 16 << 10;

/// The longest wait before a retry that nobody asked for.
const MAX_BACKOFF: Duration = Duration::from_mins(1);

/// Bytes of what is summed up, for each token of the window: half of it is room for languages with longer tokens.
const TRANSCRIPT_BYTES_OF_TOKEN: u64 = 2;

/// One turn under way.
pub(crate) struct Turn<'a> {
    driver: &'a Driver<'a>,
    planner: &'a Planner,
    pub(crate) purse: Purse<'a>,
    pub(crate) view: SessionView,
    /// Nothing was said since the last summary: another would stand for little but that.
    just_compacted: bool,
    /// What the last reply was an answer to, before the conversation.
    frame: Option<Frame>,
    /// Cancelled with the driver's, and when the time is over.
    cancel: CancellationToken,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(driver: &'a Driver<'a>, purse: Purse<'a>, view: SessionView) -> Self {
        let (planner, cancel) = (&driver.planner, driver.cancel.child_token());
        Self { driver, planner, purse, view, just_compacted: false, frame: None, cancel }
    }

    pub(crate) async fn drive(
        mut self,
        mut machine: Machine,
        deltas: &mut dyn DeltaSink,
    ) -> Result<Turned, QueryError> {
        let mut step = machine.start();
        loop {
            if let Step::Finish(outcome) = step {
                return self.close(outcome).await;
            }
            let (deadline, exceeded) = self.purse.deadline()?;
            let (cancel, may_compact) = (self.cancel.clone(), machine.may_compact());
            let input = within(deadline, &cancel, self.carry_out(step, may_compact, deltas)).await?;
            let input = self.told_apart(input, exceeded);
            step = machine.next(input, |call| self.driver.is_parallel(call));
        }
    }

    async fn carry_out(
        &mut self,
        step: Step,
        may_compact: bool,
        deltas: &mut dyn DeltaSink,
    ) -> Result<Input, QueryError> {
        match step {
            Step::CallModel { number } => self.call_model(number, may_compact, deltas).await,
            Step::Retry { number, wait, fallback } => {
                if !self.wait(number, wait, fallback).await? {
                    return Ok(Input::Cancelled);
                }
                self.call_model(number, may_compact, deltas).await
            }
            Step::CallTools { calls } => self.call_tools(calls).await,
            Step::Finish(outcome) => Ok(Input::Stopped(outcome)),
        }
    }

    /// What was cancelled by nobody ran out of time.
    fn told_apart(&self, input: Input, exceeded: Exceeded) -> Input {
        if self.cancel.is_cancelled() && !self.driver.cancel.is_cancelled() {
            return Input::Stopped(stopped(exceeded));
        }
        match input {
            // The question stays; the turn was cancelled by a person.
            Input::Stopped(TurnOutcome::Waiting { .. }) if self.driver.cancel.is_cancelled() => Input::Cancelled,
            input => input,
        }
    }

    /// Waits before a retry, and changes the planner if it is another's turn. Returns false when it was cancelled.
    async fn wait(&mut self, number: u32, wait: Wait, fallback: bool) -> Result<bool, QueryError> {
        if let (true, Some(planner)) = (fallback, &self.driver.fallback) {
            self.planner = planner;
        }
        let wait = pause(wait, self.driver.backoff, (self.driver.random)());
        let (turn, model) = (self.purse.turn.clone(), self.planner.model.name().to_owned());
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.append(&[EventBody::RetryPlanned { turn, number, model, wait_ms }], Durability::Process)?;
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Ok(false),
            () = tokio::time::sleep(wait) => Ok(true),
        }
    }

    async fn call_model(
        &mut self,
        number: u32,
        may_compact: bool,
        deltas: &mut dyn DeltaSink,
    ) -> Result<Input, QueryError> {
        // Each time: extensions come and go while a session runs.
        let definitions = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Ok(Input::Cancelled),
            definitions = self.driver.tools.registry().definitions(self.driver.session.grant()) => definitions?,
        };
        let system = system_prompt(&self.driver.tools.secrets(self.driver.session.grant()));
        let frame = Frame::new(system, definitions, self.frame.as_ref());
        let (window, context) = (self.window(), self.context(&frame));
        let left = window.saturating_sub(context.likely_tokens());
        if may_compact
            && !self.just_compacted
            && context.is_nearly_full(window)
            && let Some(kept) = context.kept(window)
        {
            return self.compact(number, kept).await;
        }
        if left < LEAST_OUTPUT_TOKENS.min(window) {
            return Ok(Input::Stopped(TurnOutcome::ContextFull { window }));
        }
        let need = self.need(context.most_tokens(), MAX_OUTPUT_TOKENS.min(left));
        let reservation = match self.reserve(number, Purpose::Reply, &need)? {
            Ok(reservation) => reservation,
            Err(exceeded) => return Ok(Input::Stopped(stopped(exceeded))),
        };
        match self.ask(&frame, &self.view.messages, &need, &reservation, deltas).await {
            Some(Ok(reply)) => {
                self.frame = Some(frame);
                self.replied(number, reply, &need, &reservation)
            }
            Some(Err(failure)) => {
                self.failed(number, &failure, &reservation)?;
                Ok(Input::ModelFailed(failure))
            }
            None => self.abandon(number, &reservation),
        }
    }

    /// Asks the model; `None` when it was cancelled.
    async fn ask(
        &self,
        Frame { system, tools, .. }: &Frame,
        messages: &[Message],
        need: &Need,
        reservation: &Reservation,
        deltas: &mut dyn DeltaSink,
    ) -> Option<Result<ModelReply, ModelFailure>> {
        let max_output_tokens = u32::try_from(reservation.output_tokens).unwrap_or(u32::MAX);
        let request = ModelRequest { system, messages, tools, max_output_tokens };
        let limit = Duration::from_millis(reservation.spending.time_ms);
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => None,
            reply = self.planner.model.reply(request, deltas) => Some(reply),
            () = tokio::time::sleep(limit), if reservation.spending.time_ms >= need.time_ms => Some(Err(overdue(limit))),
        }
    }

    fn reserve(
        &mut self,
        number: u32,
        purpose: Purpose,
        need: &Need,
    ) -> Result<Result<Reservation, Exceeded>, QueryError> {
        let price = &self.planner.price;
        let cost = |input_tokens, output_tokens| price.worst_cost(Reserved { input_tokens, output_tokens }).get();
        let (turn, model) = (self.purse.turn.clone(), self.planner.model.name().to_owned());
        let called = |reserved| EventBody::ModelCalled { turn, number, model, purpose, reserved };
        Ok(match self.purse.reserve(number, need, cost, called)? {
            Ok((reservation, events)) => {
                self.take(&events);
                Ok(reservation)
            }
            Err(exceeded) => Err(exceeded),
        })
    }

    /// Records the reply, and what it cost, before anything follows from it.
    fn replied(
        &mut self,
        number: u32,
        reply: ModelReply,
        need: &Need,
        reservation: &Reservation,
    ) -> Result<Input, QueryError> {
        let spent = self.cost(&reply.usage, need, reservation);
        let turn = self.purse.turn.clone();
        let replied = |spent| vec![EventBody::ModelReplied { turn, number, reply: reply.clone(), spent }];
        self.take(&self.purse.settle(number, spent, replied)?);
        self.just_compacted = false;
        Ok(Input::Replied(reply))
    }

    fn failed(&mut self, number: u32, failure: &ModelFailure, reservation: &Reservation) -> Result<(), QueryError> {
        let spent = if is_free(failure) { Spending::default() } else { reservation.spending };
        let spent = Spending { model_calls: 1, ..spent };
        let turn = self.purse.turn.clone();
        let failed = |spent| vec![EventBody::ModelFailed { turn, number, failure: failure.clone(), spent }];
        self.take(&self.purse.settle(number, spent, failed)?);
        Ok(())
    }

    /// Nobody knows what a provider charges for a reply that nobody waited for.
    fn abandon(&mut self, number: u32, reservation: &Reservation) -> Result<Input, QueryError> {
        let turn = self.purse.turn.clone();
        let abandoned = |spent| vec![EventBody::ModelAbandoned { turn, number, spent }];
        self.take(&self.purse.settle(number, reservation.spending, abandoned)?);
        Ok(Input::Cancelled)
    }

    fn cost(&self, usage: &TokenUsage, need: &Need, reservation: &Reservation) -> Spending {
        let reserved = Reserved { input_tokens: need.input_tokens, output_tokens: reservation.output_tokens };
        let input_tokens = usage.input_tokens.unwrap_or(reserved.input_tokens);
        let output_tokens = usage.output_tokens.unwrap_or(reserved.output_tokens);
        Spending {
            model_calls: 1,
            tokens: input_tokens.saturating_add(output_tokens),
            micro_usd: self.planner.price.cost(usage, reserved).get(),
            time_ms: 0,
        }
    }

    /// Has the model sum the conversation up, all but its last `kept` messages.
    async fn compact(&mut self, number: u32, kept: usize) -> Result<Input, QueryError> {
        let from = self.view.messages.len() - kept;
        let most_bytes = usize::try_from(self.window().saturating_mul(TRANSCRIPT_BYTES_OF_TOKEN)).unwrap_or(usize::MAX);
        let messages = [Message::said(Role::User, &transcript(&self.view.messages[..from], most_bytes))];
        let frame = Frame::new(SUMMARY_PROMPT.to_owned(), Vec::new(), None);
        let summary_tokens = SUMMARY_TOKENS.min(self.window() / SUMMARY_PART);
        let need = self.need(Context::new(&frame, &messages).most_tokens(), summary_tokens);
        let reservation = match self.reserve(number, Purpose::Compaction, &need)? {
            Ok(reservation) => reservation,
            Err(exceeded) => return Ok(Input::Stopped(stopped(exceeded))),
        };
        match self.ask(&frame, &messages, &need, &reservation, &mut |_| {}).await {
            Some(Ok(reply)) => self.summarised(number, reply, kept, &need, &reservation),
            Some(Err(failure)) => {
                self.failed(number, &failure, &reservation)?;
                Ok(if is_passing(failure.kind) { Input::ModelFailed(failure) } else { Input::CompactionFailed })
            }
            None => self.abandon(number, &reservation),
        }
    }

    /// Records the summary. One that is empty or was cut off is none.
    fn summarised(
        &mut self,
        number: u32,
        reply: ModelReply,
        kept: usize,
        need: &Need,
        reservation: &Reservation,
    ) -> Result<Input, QueryError> {
        let (text, turn) = (reply.text(), self.purse.turn.clone());
        let whole = !text.trim().is_empty() && !reply.stop.is_cut_off();
        let summary = self.summary(&text, kept);
        let spent = self.cost(&reply.usage, need, reservation);
        let bodies = |spent| {
            let compacted = EventBody::Compacted { turn: turn.clone(), number, summary, kept };
            let replied = EventBody::ModelReplied { turn, number, reply, spent };
            std::iter::once(replied).chain(whole.then_some(compacted)).collect()
        };
        self.take(&self.purse.settle(number, spent, bodies)?);
        self.just_compacted = whole;
        Ok(if whole { Input::Compacted } else { Input::CompactionFailed })
    }

    /// Returns what the model reads in the place of what was summed up: the summary, and what must not depend on it.
    fn summary(&self, text: &str, kept: usize) -> String {
        let mut sections = vec![format!("[The conversation up to here, summed up]\n{}", text.trim())];
        let from = self.view.messages.len() - kept;
        let task = self.view.turn.as_ref().map_or("", |turn| turn.text.as_str());
        if !self.view.messages[from..].contains(&Message::said(Role::User, task)) {
            sections.push(format!("[The task, in the person's own words]\n{}", cut(task, self.repeated_bytes())));
        }
        let files = self.files();
        if !files.is_empty() {
            let files = cut(&files.join("\n"), self.repeated_bytes());
            sections.push(format!("[Files that were changed, the last first, and files that were read]\n{files}"));
        }
        sections.join("\n\n")
    }

    /// Returns how many bytes a summary may repeat of one thing: a quarter of the window's are a sixteenth of its tokens.
    fn repeated_bytes(&self) -> usize {
        REPEATED_BYTES.min(usize::try_from(self.window() / 4).unwrap_or(REPEATED_BYTES))
    }

    /// Returns the files that the session changed, the last first, and those that it read.
    fn files(&self) -> Vec<String> {
        let mut changed: Vec<_> = self.view.changed.iter().collect();
        changed.sort_by_key(|(_, sequence)| Reverse(**sequence));
        let read = self.view.observed.iter().map(|seen| format!("{}/{}", seen.mount, seen.path));
        let read = read.filter(|path| !self.view.changed.contains_key(path));
        changed.into_iter().map(|(path, _)| path.clone()).chain(read).collect()
    }

    /// Runs calls beside each other; a batch of one is a call in order.
    async fn call_tools(&mut self, calls: Vec<ToolCall>) -> Result<Input, QueryError> {
        let Driver { tools, session, .. } = self.driver;
        let cancel = &self.cancel;
        let known: Vec<_> = calls.iter().map(|call| self.known(call)).collect();
        let called = try_join_all(known.iter().map(|call| tools.call(session, call, cancel))).await?;
        self.catch_up()?;
        let (mut finished, mut approvals) = (Vec::new(), Vec::new());
        for (call, called) in calls.iter().zip(called) {
            match called {
                Called::Finished(end) => finished.push(done(call, end)),
                Called::Waiting(approval) => approvals.push(approval),
            }
        }
        if approvals.is_empty() {
            return Ok(Input::ToolsFinished(finished));
        }
        Ok(Input::Stopped(TurnOutcome::Waiting { approvals }))
    }

    /// Returns the call with what was done of it before, if it was begun.
    fn known(&self, call: &ToolCall) -> PendingCall {
        let begun = self.view.pending.iter().find(|pending| pending.proposal.call == call.call);
        begun.cloned().unwrap_or_else(|| PendingCall::new(call.clone()))
    }

    pub(crate) async fn close(mut self, mut outcome: TurnOutcome) -> Result<Turned, QueryError> {
        let Driver { tools, session, .. } = self.driver;
        if outcome == TurnOutcome::Done && session.commit_mode() == CommitMode::PerTurn {
            if let Some(reason) = tools.commit_staged(session).await? {
                outcome = TurnOutcome::Uncommitted { reason: reason.to_string() };
            }
            self.catch_up()?;
        }
        let kept = self.driver.workspace.to_keep(self.purse.session, &self.view)?;
        self.take(&self.purse.close(outcome.clone(), kept.as_ref())?);
        Ok(Turned { outcome, answer: self.view.answer })
    }

    fn context(&self, frame: &Frame) -> Context<'_> {
        let SessionView { messages, counted, .. } = &self.view;
        let is_new_frame = self.frame.as_ref() != Some(frame);
        Context::new(frame, messages).counted(self.planner.model.name(), counted.as_ref(), is_new_frame)
    }

    fn window(&self) -> u64 {
        self.planner.context_window.map_or(USUAL_WINDOW, u64::from)
    }

    fn need(&self, input_tokens: u64, output_tokens: u64) -> Need {
        let most = self.planner.max_output_tokens.map_or(u64::MAX, u64::from);
        let time_ms = self.driver.budget.call.time_ms;
        Need { input_tokens, output_tokens: output_tokens.min(most), time_ms }
    }

    pub(crate) fn append(&mut self, bodies: &[EventBody], durability: Durability) -> Result<(), QueryError> {
        let events = self.driver.workspace.journal().append(self.purse.session, bodies, durability)?;
        self.take(&events);
        Ok(())
    }

    fn take(&mut self, events: &[Event]) {
        for event in events {
            self.view.apply(event);
        }
    }

    /// Takes what others appended to the session: the tool interface, of each call.
    pub(crate) fn catch_up(&mut self) -> Result<(), QueryError> {
        let (journal, after) = (self.driver.workspace.journal(), self.view.last_sequence);
        let view = &mut self.view;
        Ok(journal.for_each_after(self.purse.session, after, |event| view.apply(&event))?)
    }
}

/// Carries out `work`, and has it cancelled at `deadline`; what is cancelled ends by itself, and soon.
async fn within<T>(deadline: Instant, cancel: &CancellationToken, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = tokio::time::sleep_until(deadline.into()) => cancel.cancel(),
    }
    work.await
}

/// Returns how long to wait. Between half and the whole of a time that doubles with each failure, or a little more than was
/// asked for, so that not all who were turned away come back together.
fn pause(wait: Wait, backoff: Duration, random: u64) -> Duration {
    match wait {
        Wait::Not => Duration::ZERO,
        Wait::Backoff { failures, asked_ms } => {
            let whole = backoff.saturating_mul(1 << failures.min(16)).min(MAX_BACKOFF);
            let half_ms = u64::try_from(whole.as_millis() / 2).unwrap_or(u64::MAX);
            let spread_ms = random % (half_ms + 1);
            Duration::from_millis(half_ms.max(asked_ms).saturating_add(spread_ms))
        }
    }
}

/// Tells whether nothing is charged for a call that failed so: the provider said no before it began.
fn is_free(failure: &ModelFailure) -> bool {
    use ModelFailureKind::{Authentication, InvalidRequest, RateLimited, ScriptEnded, Unavailable, Unreachable};
    let refused = [Authentication, InvalidRequest, RateLimited, ScriptEnded, Unavailable, Unreachable];
    !failure.begun && refused.contains(&failure.kind)
}

/// Returns the beginning of `text`, and says so where it has more.
fn cut(text: &str, most: usize) -> String {
    match text.floor_char_boundary(most) {
        end if end < text.len() => format!("{} […]", &text[..end]),
        _ => text.to_owned(),
    }
}

fn overdue(limit: Duration) -> ModelFailure {
    let message = format!("no complete reply within {} s, the time of one model call", limit.as_secs());
    ModelFailure { kind: ModelFailureKind::Timeout, message, retry_after_ms: None, begun: true }
}

fn done(call: &ToolCall, finished: Finished) -> Done {
    let said = serde_json::json!([call.tool, call.arguments, finished.result.text]);
    Done { outcome: finished.outcome, digest: protocol::digest("boxagnts call and result", &said) }
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

    #[test]
    fn waits_double_with_each_failure_and_are_spread() {
        let second = Duration::from_secs(1);
        let waited =
            |failures, asked_ms, random| pause(Wait::Backoff { failures, asked_ms }, second, random).as_millis();
        assert_eq!([waited(0, 0, 0), waited(1, 0, 0), waited(2, 0, 0)], [500, 1_000, 2_000]);
        assert_eq!(
            [waited(0, 0, 500), waited(0, 0, 501), waited(30, 0, 0), waited(30, 0, 30_000)],
            [1_000, 500, 30_000, 60_000]
        );
        assert_eq!([waited(0, 7_000, 0), waited(0, 7_000, 99)], [7_000, 7_099]);
        assert_eq!(pause(Wait::Not, second, 99), Duration::ZERO);
    }
}
