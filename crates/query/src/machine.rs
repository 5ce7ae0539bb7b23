//! The loop as a pure state machine: it says what it wants next, and is told what came of it.
//!
//! No I/O, no clock, no tokio. The driver carries out each [`Step`] and feeds the [`Input`] back.

use std::collections::{BTreeSet, VecDeque};

use protocol::{
    CallOutcome, ContentHash, ModelFailure, ModelFailureKind, ModelReply, StopReason, ToolCall, TurnOutcome,
};

/// Refusals in a row after which a turn ends: a planner that only asks for what it may not have makes no progress.
pub const MAX_DENIALS_IN_A_ROW: u32 = 8;

/// Summaries that may fail in one turn before none is tried any more.
pub const MAX_FAILED_COMPACTIONS: u32 = 2;

/// The longest that a provider may ask to wait, in milliseconds; who asks for more is not waited for.
pub const MAX_RETRY_AFTER_MS: u64 = 120_000;

/// What a turn may do at most, beside what its budgets say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnLimits {
    /// Model calls.
    pub model_calls: u32,
    /// Times that one reply is continued after its limit of length cut it off.
    pub recoveries: u32,
    /// Times that one model is called again after it failed.
    pub retries: u32,
    /// Batches of calls in a row that bring nothing but results that the turn has seen.
    pub repeats: u32,
}

/// What the machine wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Call the model, for the `number`th time in this turn.
    CallModel { number: u32 },
    /// Wait, then call the model again: the one before, or the fallback in its place from here on.
    Retry { number: u32, wait: Wait, fallback: bool },
    /// Run these calls at the same time, and report every outcome.
    CallTools { calls: Vec<ToolCall> },
    /// The turn is over.
    Finish(TurnOutcome),
}

/// How long to wait before a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    Not,
    /// Longer with each failure in a row, and no shorter than the provider asked for.
    Backoff {
        /// Those before this one.
        failures: u32,
        asked_ms: u64,
    },
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Replied(ModelReply),
    ModelFailed(ModelFailure),
    /// The conversation was summarised, instead of the call that was asked for.
    Compacted,
    CompactionFailed,
    /// One for each call, in order.
    ToolsFinished(Vec<Done>),
    Cancelled,
    /// A limit that the machine does not keep was met.
    Stopped(TurnOutcome),
}

/// What came of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    pub outcome: CallOutcome,
    /// What tells this call with this result from every other.
    pub digest: ContentHash,
}

/// One turn under way.
#[derive(Debug)]
pub struct Machine {
    limits: TurnLimits,
    /// Another model is there to be called when this one fails.
    has_fallback: bool,
    /// Model calls made in this turn; only ever rises.
    model_calls: u32,
    /// Replies in a row that were cut off by their limit of length.
    recoveries: u32,
    /// Failures of the model in a row.
    failures: u32,
    failed_compactions: u32,
    denials: u32,
    /// Calls with their results, all that this turn has seen.
    seen: BTreeSet<ContentHash>,
    /// Batches in a row without anything new.
    repeats: u32,
    /// Batches of the last reply that have not run.
    waiting: VecDeque<Vec<ToolCall>>,
}

impl Machine {
    /// Returns a machine at the start of a turn.
    pub fn new(limits: TurnLimits, has_fallback: bool) -> Self {
        Self {
            limits,
            has_fallback,
            model_calls: 0,
            recoveries: 0,
            failures: 0,
            failed_compactions: 0,
            denials: 0,
            seen: BTreeSet::new(),
            repeats: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Returns the machine in the middle of a turn: `model_calls` were made, and `pending` calls of the last reply have
    /// not finished.
    #[must_use]
    pub fn resumed(self, model_calls: u32, pending: Vec<ToolCall>, is_parallel: impl Fn(&ToolCall) -> bool) -> Self {
        Self { model_calls, waiting: batches(pending, is_parallel).into(), ..self }
    }

    /// Returns the first step.
    pub fn start(&mut self) -> Step {
        self.advance()
    }

    /// Tells whether a summary may be tried: not after several failed.
    pub fn may_compact(&self) -> bool {
        self.failed_compactions < MAX_FAILED_COMPACTIONS
    }

    /// Takes what came of the last step and returns the next. `is_parallel` tells the calls that may run beside others.
    pub fn next(&mut self, input: Input, is_parallel: impl Fn(&ToolCall) -> bool) -> Step {
        match input {
            Input::Cancelled => Step::Finish(TurnOutcome::Cancelled),
            Input::Stopped(outcome) => Step::Finish(outcome),
            Input::ModelFailed(failure) => self.failed(failure),
            Input::Compacted => self.advance(),
            Input::CompactionFailed => {
                self.failed_compactions += 1;
                self.advance()
            }
            Input::Replied(reply) => self.replied(&reply, is_parallel),
            Input::ToolsFinished(done) => self.finished(done),
        }
    }

    fn advance(&mut self) -> Step {
        if let Some(calls) = self.waiting.pop_front() {
            return Step::CallTools { calls };
        }
        match self.count() {
            Ok(number) => Step::CallModel { number },
            Err(outcome) => Step::Finish(outcome),
        }
    }

    /// Counts one more model call, if it may be made.
    fn count(&mut self) -> Result<u32, TurnOutcome> {
        if self.model_calls >= self.limits.model_calls {
            return Err(TurnOutcome::MaxTurns { limit: self.limits.model_calls });
        }
        self.model_calls += 1;
        Ok(self.model_calls)
    }

    /// A reply that was cut off runs nothing: its last call may lack its end.
    fn replied(&mut self, reply: &ModelReply, is_parallel: impl Fn(&ToolCall) -> bool) -> Step {
        match reply.stop {
            StopReason::Truncated => return self.failed(cut_off(ModelFailureKind::Truncated)),
            StopReason::ContentFilter => return self.failed(cut_off(ModelFailureKind::Withheld)),
            _ => self.failures = 0,
        }
        if reply.stop == StopReason::MaxTokens {
            return self.recover();
        }
        self.recoveries = 0;
        let calls: Vec<ToolCall> = reply.tool_calls().cloned().collect();
        if calls.is_empty() {
            return Step::Finish(TurnOutcome::Done);
        }
        self.waiting = batches(calls, is_parallel).into();
        self.advance()
    }

    fn recover(&mut self) -> Step {
        if self.recoveries >= self.limits.recoveries {
            return Step::Finish(TurnOutcome::MaxTokens);
        }
        self.recoveries += 1;
        self.advance()
    }

    /// Nothing has followed from a model call that failed, so it can be made again.
    fn failed(&mut self, failure: ModelFailure) -> Step {
        let asked = failure.retry_after_ms;
        let patient = asked.is_none_or(|wait_ms| wait_ms <= MAX_RETRY_AFTER_MS);
        if is_passing(failure.kind) && patient && self.failures < self.limits.retries {
            let wait = Wait::Backoff { failures: self.failures, asked_ms: asked.unwrap_or(0) };
            self.failures += 1;
            return self.retry(wait, false, failure);
        }
        if failure.kind != ModelFailureKind::Withheld && std::mem::take(&mut self.has_fallback) {
            self.failures = 0;
            return self.retry(Wait::Not, true, failure);
        }
        Step::Finish(TurnOutcome::ProviderFailed { failure })
    }

    /// Where no call is left, why the last one failed says more than that.
    fn retry(&mut self, wait: Wait, fallback: bool, failure: ModelFailure) -> Step {
        match self.count() {
            Ok(number) => Step::Retry { number, wait, fallback },
            Err(_) => Step::Finish(TurnOutcome::ProviderFailed { failure }),
        }
    }

    fn finished(&mut self, done: Vec<Done>) -> Step {
        for done in &done {
            match &done.outcome {
                CallOutcome::Cancelled => return Step::Finish(TurnOutcome::Cancelled),
                CallOutcome::Denied { rule } => {
                    self.denials += 1;
                    if self.denials >= MAX_DENIALS_IN_A_ROW {
                        return Step::Finish(TurnOutcome::Refused { rule: rule.clone(), denials: self.denials });
                    }
                }
                _ => self.denials = 0,
            }
        }
        // Refusals have a count of their own.
        if !done.iter().all(|done| matches!(done.outcome, CallOutcome::Denied { .. })) {
            self.note_progress(done);
        }
        if self.repeats > self.limits.repeats {
            return Step::Finish(TurnOutcome::Stalled { repeats: self.repeats });
        }
        self.advance()
    }

    /// A planner that goes in circles sees nothing that it has not seen, however long the circle is.
    fn note_progress(&mut self, done: Vec<Done>) {
        let before = self.seen.len();
        self.seen.extend(done.into_iter().map(|done| done.digest));
        self.repeats = if self.seen.len() > before { 0 } else { self.repeats + 1 };
    }
}

/// Tells whether the same call may succeed a little later.
pub(crate) fn is_passing(kind: ModelFailureKind) -> bool {
    use ModelFailureKind::{Network, RateLimited, Timeout, Truncated, Unavailable, Unreachable};
    matches!(kind, RateLimited | Unavailable | Unreachable | Network | Timeout | Truncated)
}

fn cut_off(kind: ModelFailureKind) -> ModelFailure {
    let message = match kind {
        ModelFailureKind::Withheld => "the provider withheld its reply",
        _ => "the reply broke off before its end",
    };
    ModelFailure { kind, message: message.to_owned(), retry_after_ms: None, begun: true }
}

/// Returns `calls` in batches: neighbours that may run beside each other share one, every other call has its own. The
/// order of the reply is kept, so a read after a write sees what was written.
fn batches(calls: Vec<ToolCall>, is_parallel: impl Fn(&ToolCall) -> bool) -> Vec<Vec<ToolCall>> {
    let mut batches: Vec<(bool, Vec<ToolCall>)> = Vec::new();
    for call in calls {
        let parallel = is_parallel(&call);
        match batches.last_mut() {
            Some((true, batch)) if parallel => batch.push(call),
            _ => batches.push((parallel, vec![call])),
        }
    }
    batches.into_iter().map(|(_, batch)| batch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use protocol::{Arguments, CallId, Part, TokenUsage};
    use serde_json::json;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn call(tool: &str, number: u64) -> ToolCall {
        let arguments = Arguments::Json(json!({}));
        ToolCall { call: CallId::from_random(number), wire_id: number.to_string(), tool: tool.into(), arguments }
    }

    fn reads(call: &ToolCall) -> bool {
        call.tool == "read"
    }

    fn reply(calls: &[ToolCall], stop: StopReason) -> Input {
        let parts = calls.iter().cloned().map(Part::ToolCall).collect();
        Input::Replied(ModelReply { parts, usage: TokenUsage::default(), stop })
    }

    fn denied() -> CallOutcome {
        CallOutcome::Denied { rule: "r".into() }
    }

    fn limits(model_calls: u32) -> TurnLimits {
        TurnLimits { model_calls, recoveries: 2, retries: 2, repeats: 3 }
    }

    fn machine(model_calls: u32) -> Machine {
        Machine::new(limits(model_calls), false)
    }

    /// Outcomes that nothing was like before.
    fn done(outcomes: Vec<CallOutcome>) -> Input {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let digest = || ContentHash::of(&NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        Input::ToolsFinished(outcomes.into_iter().map(|outcome| Done { outcome, digest: digest() }).collect())
    }

    fn said(words: &[&str]) -> Input {
        let done = |word: &&str| Done { outcome: CallOutcome::Succeeded, digest: ContentHash::of(word.as_bytes()) };
        Input::ToolsFinished(words.iter().map(done).collect())
    }

    fn failure(kind: ModelFailureKind, retry_after_ms: Option<u64>) -> ModelFailure {
        ModelFailure { kind, message: "no".into(), retry_after_ms, begun: false }
    }

    fn failed(kind: ModelFailureKind, retry_after_ms: Option<u64>) -> Input {
        Input::ModelFailed(failure(kind, retry_after_ms))
    }

    fn call_model(number: u32) -> Step {
        Step::CallModel { number }
    }

    fn backoff(failures: u32) -> Wait {
        Wait::Backoff { failures, asked_ms: 0 }
    }

    fn retry(number: u32, wait: Wait) -> Step {
        Step::Retry { number, wait, fallback: false }
    }

    #[test]
    fn a_turn_ends_when_the_model_asks_for_nothing() {
        let mut machine = machine(3);
        assert_eq!(machine.start(), Step::CallModel { number: 1 });
        assert_eq!(machine.next(reply(&[], StopReason::EndTurn), reads), Step::Finish(TurnOutcome::Done));
    }

    #[test]
    fn read_only_calls_run_together_and_others_in_order() {
        let calls = [call("read", 1), call("read", 2), call("edit", 3), call("edit", 4), call("read", 5)];
        let mut machine = machine(9);
        machine.start();
        let mut step = machine.next(reply(&calls, StopReason::ToolCalls), reads);
        let mut seen = Vec::new();
        while let Step::CallTools { calls } = step {
            seen.push(calls.iter().map(|call| call.wire_id.clone()).collect::<Vec<_>>().join("+"));
            let outcomes = calls.iter().map(|_| CallOutcome::Succeeded).collect();
            step = machine.next(done(outcomes), reads);
        }
        assert_eq!(seen, ["1+2", "3", "4", "5"]);
        assert_eq!(step, Step::CallModel { number: 2 });
    }

    #[test]
    fn a_reply_that_was_cut_off_runs_nothing_and_is_continued_so_often() {
        let mut machine = machine(9);
        machine.start();
        let cut = || reply(&[call("edit", 1)], StopReason::MaxTokens);
        assert_eq!(machine.next(cut(), reads), call_model(2));
        assert_eq!(machine.next(cut(), reads), call_model(3));
        // A whole reply in between begins anew.
        machine.next(reply(&[call("edit", 1)], StopReason::ToolCalls), reads);
        assert_eq!(machine.next(done(vec![CallOutcome::Succeeded]), reads), call_model(4));
        assert_eq!(machine.next(cut(), reads), call_model(5));
        assert_eq!(machine.next(cut(), reads), call_model(6));
        assert_eq!(machine.next(cut(), reads), Step::Finish(TurnOutcome::MaxTokens));
    }

    #[test]
    fn a_withheld_reply_ends_the_turn() {
        let mut machine = Machine::new(limits(9), true);
        machine.start();
        let end = machine.next(reply(&[call("edit", 1)], StopReason::ContentFilter), reads);
        let Step::Finish(TurnOutcome::ProviderFailed { failure }) = end else { panic!("{end:?}") };
        assert_eq!(failure.kind, ModelFailureKind::Withheld);
    }

    #[test]
    fn what_may_pass_is_tried_again_so_often_and_as_late_as_asked() {
        let mut machine = machine(9);
        machine.start();
        let busy = ModelFailureKind::Unavailable;
        assert_eq!(machine.next(failed(busy, None), reads), retry(2, backoff(0)));
        assert_eq!(machine.next(reply(&[], StopReason::Truncated), reads), retry(3, backoff(1)));
        let end = Step::Finish(TurnOutcome::ProviderFailed { failure: failure(busy, Some(5)) });
        assert_eq!(machine.next(failed(busy, Some(5)), reads), end);

        let mut machine = self::machine(9);
        machine.start();
        assert_eq!(machine.next(failed(busy, Some(5)), reads), retry(2, Wait::Backoff { failures: 0, asked_ms: 5 }));
        machine.next(reply(&[call("edit", 1)], StopReason::ToolCalls), reads);
        machine.next(done(vec![CallOutcome::Succeeded]), reads);
        assert_eq!(machine.next(failed(busy, None), reads), retry(4, backoff(0)), "a reply ends a row");
    }

    #[test]
    fn what_will_not_pass_is_not_tried_again() {
        for (kind, wait) in [
            (ModelFailureKind::Authentication, None),
            (ModelFailureKind::InvalidRequest, None),
            (ModelFailureKind::Protocol, None),
            (ModelFailureKind::ScriptEnded, None),
            (ModelFailureKind::RateLimited, Some(MAX_RETRY_AFTER_MS + 1)),
        ] {
            let mut machine = machine(9);
            machine.start();
            let end = Step::Finish(TurnOutcome::ProviderFailed { failure: failure(kind, wait) });
            assert_eq!(machine.next(failed(kind, wait), reads), end);
        }
    }

    #[test]
    fn a_fallback_takes_the_place_of_a_model_that_goes_on_failing() {
        let mut machine = Machine::new(limits(9), true);
        machine.start();
        let busy = || failed(ModelFailureKind::RateLimited, None);
        machine.next(busy(), reads);
        machine.next(busy(), reads);
        assert_eq!(machine.next(busy(), reads), Step::Retry { number: 4, wait: Wait::Not, fallback: true });
        assert_eq!(machine.next(busy(), reads), retry(5, backoff(0)));
        machine.next(busy(), reads);
        assert!(matches!(machine.next(busy(), reads), Step::Finish(TurnOutcome::ProviderFailed { .. })));
    }

    #[test]
    fn a_retry_counts_as_a_model_call() {
        let mut machine = machine(2);
        machine.start();
        let busy = failure(ModelFailureKind::Network, None);
        assert_eq!(machine.next(Input::ModelFailed(busy.clone()), reads), retry(2, backoff(0)));
        let end = Step::Finish(TurnOutcome::ProviderFailed { failure: busy.clone() });
        assert_eq!(machine.next(Input::ModelFailed(busy), reads), end);
    }

    #[test]
    fn a_planner_that_goes_in_circles_is_stopped() {
        let mut machine = machine(99);
        machine.start();
        let propose = |machine: &mut Machine| machine.next(reply(&[call("read", 1)], StopReason::ToolCalls), reads);
        for word in ["a", "b", "a", "b"] {
            propose(&mut machine);
            assert!(matches!(machine.next(said(&[word]), reads), Step::CallModel { .. }));
        }
        propose(&mut machine);
        assert!(matches!(machine.next(said(&["new", "a"]), reads), Step::CallModel { .. }), "it goes on");
        for _ in 0..3 {
            propose(&mut machine);
            assert!(matches!(machine.next(said(&["a", "b"]), reads), Step::CallModel { .. }));
        }
        propose(&mut machine);
        assert_eq!(machine.next(said(&["new"]), reads), Step::Finish(TurnOutcome::Stalled { repeats: 4 }));
    }

    #[test]
    fn a_summary_that_fails_is_not_tried_for_ever() {
        let mut machine = machine(9);
        machine.start();
        assert_eq!(machine.next(Input::Compacted, reads), call_model(2));
        for number in 3..5 {
            assert!(machine.may_compact());
            assert_eq!(machine.next(Input::CompactionFailed, reads), call_model(number));
        }
        assert!(!machine.may_compact());
    }

    #[test]
    fn refusals_in_a_row_end_the_turn_and_a_success_starts_the_count_again() {
        let mut machine = machine(100);
        machine.start();
        for number in 1..MAX_DENIALS_IN_A_ROW {
            machine.next(reply(&[call("edit", 1)], StopReason::ToolCalls), reads);
            assert_eq!(machine.next(done(vec![denied()]), reads), Step::CallModel { number: number + 1 });
        }
        machine.next(reply(&[call("edit", 1), call("edit", 2)], StopReason::ToolCalls), reads);
        machine.next(done(vec![CallOutcome::Succeeded]), reads);
        assert!(matches!(machine.next(done(vec![denied()]), reads), Step::CallModel { .. }));
        for _ in 2..MAX_DENIALS_IN_A_ROW {
            machine.next(reply(&[call("edit", 1)], StopReason::ToolCalls), reads);
            machine.next(done(vec![denied()]), reads);
        }
        machine.next(reply(&[call("edit", 1)], StopReason::ToolCalls), reads);
        let refused = TurnOutcome::Refused { rule: "r".into(), denials: MAX_DENIALS_IN_A_ROW };
        assert_eq!(machine.next(done(vec![denied()]), reads), Step::Finish(refused));
    }

    #[test]
    fn a_resumed_turn_finishes_its_calls_first_and_keeps_its_count() {
        let mut machine = machine(2).resumed(1, vec![call("edit", 1)], reads);
        assert_eq!(machine.start(), Step::CallTools { calls: vec![call("edit", 1)] });
        assert_eq!(machine.next(done(vec![CallOutcome::Succeeded]), reads), Step::CallModel { number: 2 });
        machine.next(reply(&[call("edit", 2)], StopReason::ToolCalls), reads);
        let end = machine.next(done(vec![CallOutcome::Succeeded]), reads);
        assert_eq!(end, Step::Finish(TurnOutcome::MaxTurns { limit: 2 }));
    }

    proptest! {
        /// Whatever a model asks for, and however it fails, it is called at most `model_calls` times, and numbers only rise.
        #[test]
        fn the_cap_holds_against_any_model(model_calls in 0_u32..20, asks in prop::collection::vec(0_usize..8, 0..60)) {
            let mut machine = machine(model_calls);
            let (mut step, mut calls) = (machine.start(), 0);
            for ask in asks {
                step = match step {
                    Step::CallModel { number } | Step::Retry { number, .. } => {
                        calls += 1;
                        prop_assert_eq!(number, calls);
                        let asked: Vec<_> = (0..=ask).map(|at| call(["read", "edit"][at % 2], at as u64)).collect();
                        machine.next(match ask {
                            4 => failed(ModelFailureKind::Unavailable, None),
                            5 => reply(&asked, StopReason::MaxTokens),
                            6 => Input::Compacted,
                            7 => Input::CompactionFailed,
                            _ => reply(&asked, StopReason::ToolCalls),
                        }, reads)
                    }
                    Step::CallTools { calls } => {
                        let outcomes = calls.iter().map(|_| CallOutcome::Rejected).collect();
                        machine.next(done(outcomes), reads)
                    }
                    Step::Finish(outcome) => {
                        use TurnOutcome::{MaxTokens, MaxTurns, ProviderFailed};
                        prop_assert!(matches!(outcome, MaxTurns { .. } | MaxTokens | ProviderFailed { .. }), "{:?}", outcome);
                        break;
                    }
                };
            }
            prop_assert!(calls <= model_calls);
        }
    }
}
