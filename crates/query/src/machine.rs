//! The loop as a pure state machine: it says what it wants next, and is told what came of it.
//!
//! No I/O, no clock, no tokio. The driver carries out each [`Step`] and feeds the [`Input`] back.

use protocol::{CallOutcome, ModelFailure, ModelFailureKind, ModelReply, StopReason, ToolCall, TurnOutcome};

/// Refusals in a row after which a turn ends: a planner that only asks for what it may not have makes no progress.
pub const MAX_DENIALS_IN_A_ROW: u32 = 8;

/// What the machine wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Call the model, for the `number`th time in this turn.
    CallModel { number: u32 },
    /// Run these calls at the same time, and report every outcome.
    CallTools { calls: Vec<ToolCall> },
    /// The turn is over.
    Finish(TurnOutcome),
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Replied(ModelReply),
    ModelFailed(ModelFailure),
    /// One outcome for each call, in order.
    ToolsFinished(Vec<CallOutcome>),
    Cancelled,
}

/// One turn under way.
#[derive(Debug)]
pub struct Machine {
    max_turns: u32,
    /// Model calls made in this turn; only ever rises.
    model_calls: u32,
    denials: u32,
    /// Batches of the last reply that have not run.
    waiting: std::collections::VecDeque<Vec<ToolCall>>,
}

impl Machine {
    /// Returns a machine at the start of a turn that may call the model `max_turns` times.
    pub fn new(max_turns: u32) -> Self {
        Self::resume(max_turns, 0, Vec::new(), |_| false)
    }

    /// Returns a machine in the middle of a turn: `model_calls` were made, and `pending` calls of the last reply have
    /// not finished.
    pub fn resume(
        max_turns: u32,
        model_calls: u32,
        pending: Vec<ToolCall>,
        is_parallel: impl Fn(&ToolCall) -> bool,
    ) -> Self {
        Self { max_turns, model_calls, denials: 0, waiting: batches(pending, is_parallel).into() }
    }

    /// Returns the first step.
    pub fn start(&mut self) -> Step {
        self.advance()
    }

    /// Takes what came of the last step and returns the next. `is_parallel` tells the calls that may run beside others.
    pub fn next(&mut self, input: Input, is_parallel: impl Fn(&ToolCall) -> bool) -> Step {
        match input {
            Input::Cancelled => Step::Finish(TurnOutcome::Cancelled),
            Input::ModelFailed(failure) => Step::Finish(TurnOutcome::ProviderFailed { failure }),
            Input::Replied(reply) => self.replied(&reply, is_parallel),
            Input::ToolsFinished(outcomes) => self.finished(&outcomes),
        }
    }

    fn advance(&mut self) -> Step {
        if let Some(calls) = self.waiting.pop_front() {
            return Step::CallTools { calls };
        }
        if self.model_calls >= self.max_turns {
            return Step::Finish(TurnOutcome::MaxTurns { limit: self.max_turns });
        }
        self.model_calls += 1;
        Step::CallModel { number: self.model_calls }
    }

    /// A reply that was cut off runs nothing: its last call may lack its end.
    fn replied(&mut self, reply: &ModelReply, is_parallel: impl Fn(&ToolCall) -> bool) -> Step {
        let failed = |kind, message: &str| {
            let failure = ModelFailure { kind, message: message.to_owned(), retry_after_ms: None };
            Step::Finish(TurnOutcome::ProviderFailed { failure })
        };
        match reply.stop {
            StopReason::Truncated => return failed(ModelFailureKind::Truncated, "the reply broke off before its end"),
            StopReason::ContentFilter => return failed(ModelFailureKind::Withheld, "the provider withheld its reply"),
            StopReason::MaxTokens => return Step::Finish(TurnOutcome::MaxTokens),
            _ => {}
        }
        let calls: Vec<ToolCall> = reply.tool_calls().cloned().collect();
        if calls.is_empty() {
            return Step::Finish(TurnOutcome::Done);
        }
        self.waiting = batches(calls, is_parallel).into();
        self.advance()
    }

    fn finished(&mut self, outcomes: &[CallOutcome]) -> Step {
        for outcome in outcomes {
            match outcome {
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
        self.advance()
    }
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

    #[test]
    fn a_turn_ends_when_the_model_asks_for_nothing() {
        let mut machine = Machine::new(3);
        assert_eq!(machine.start(), Step::CallModel { number: 1 });
        assert_eq!(machine.next(reply(&[], StopReason::EndTurn), reads), Step::Finish(TurnOutcome::Done));
    }

    #[test]
    fn read_only_calls_run_together_and_others_in_order() {
        let calls = [call("read", 1), call("read", 2), call("edit", 3), call("edit", 4), call("read", 5)];
        let mut machine = Machine::new(9);
        machine.start();
        let mut step = machine.next(reply(&calls, StopReason::ToolCalls), reads);
        let mut seen = Vec::new();
        while let Step::CallTools { calls } = step {
            seen.push(calls.iter().map(|call| call.wire_id.clone()).collect::<Vec<_>>().join("+"));
            let outcomes = calls.iter().map(|_| CallOutcome::Succeeded).collect();
            step = machine.next(Input::ToolsFinished(outcomes), reads);
        }
        assert_eq!(seen, ["1+2", "3", "4", "5"]);
        assert_eq!(step, Step::CallModel { number: 2 });
    }

    #[test]
    fn a_reply_that_was_cut_off_runs_nothing() {
        for stop in [StopReason::MaxTokens, StopReason::Truncated, StopReason::ContentFilter] {
            let mut machine = Machine::new(3);
            machine.start();
            assert!(matches!(machine.next(reply(&[call("edit", 1)], stop), reads), Step::Finish(_)));
        }
    }

    #[test]
    fn refusals_in_a_row_end_the_turn_and_a_success_starts_the_count_again() {
        let mut machine = Machine::new(100);
        machine.start();
        for number in 1..MAX_DENIALS_IN_A_ROW {
            machine.next(reply(&[call("edit", 1)], StopReason::ToolCalls), reads);
            assert_eq!(
                machine.next(Input::ToolsFinished(vec![denied()]), reads),
                Step::CallModel { number: number + 1 }
            );
        }
        machine.next(reply(&[call("edit", 1), call("edit", 2)], StopReason::ToolCalls), reads);
        machine.next(Input::ToolsFinished(vec![CallOutcome::Succeeded]), reads);
        assert!(matches!(machine.next(Input::ToolsFinished(vec![denied()]), reads), Step::CallModel { .. }));
        for _ in 2..MAX_DENIALS_IN_A_ROW {
            machine.next(reply(&[call("edit", 1)], StopReason::ToolCalls), reads);
            machine.next(Input::ToolsFinished(vec![denied()]), reads);
        }
        machine.next(reply(&[call("edit", 1)], StopReason::ToolCalls), reads);
        let refused = TurnOutcome::Refused { rule: "r".into(), denials: MAX_DENIALS_IN_A_ROW };
        assert_eq!(machine.next(Input::ToolsFinished(vec![denied()]), reads), Step::Finish(refused));
    }

    #[test]
    fn a_resumed_turn_finishes_its_calls_first_and_keeps_its_count() {
        let mut machine = Machine::resume(2, 1, vec![call("edit", 1)], reads);
        assert_eq!(machine.start(), Step::CallTools { calls: vec![call("edit", 1)] });
        assert_eq!(
            machine.next(Input::ToolsFinished(vec![CallOutcome::Succeeded]), reads),
            Step::CallModel { number: 2 }
        );
        machine.next(reply(&[call("edit", 2)], StopReason::ToolCalls), reads);
        let end = machine.next(Input::ToolsFinished(vec![CallOutcome::Succeeded]), reads);
        assert_eq!(end, Step::Finish(TurnOutcome::MaxTurns { limit: 2 }));
    }

    proptest! {
        /// Whatever a model asks for, it is called at most `max_turns` times, and numbers only rise.
        #[test]
        fn the_cap_holds_against_any_model(max_turns in 0_u32..20, asks in prop::collection::vec(0_usize..4, 0..60)) {
            let mut machine = Machine::new(max_turns);
            let (mut step, mut calls) = (machine.start(), 0);
            for ask in asks {
                step = match step {
                    Step::CallModel { number } => {
                        calls += 1;
                        prop_assert_eq!(number, calls);
                        let asked: Vec<_> = (0..=ask).map(|at| call(["read", "edit"][at % 2], at as u64)).collect();
                        machine.next(reply(&asked, StopReason::ToolCalls), reads)
                    }
                    Step::CallTools { calls } => {
                        let outcomes = calls.iter().map(|_| CallOutcome::Rejected).collect();
                        machine.next(Input::ToolsFinished(outcomes), reads)
                    }
                    Step::Finish(outcome) => {
                        prop_assert_eq!(outcome, TurnOutcome::MaxTurns { limit: max_turns });
                        return Ok(());
                    }
                };
            }
            prop_assert!(calls <= max_turns);
        }
    }
}
