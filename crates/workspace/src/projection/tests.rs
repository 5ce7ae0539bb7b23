use proptest::prelude::*;
use protocol::{Arguments, Conflict, Level, Node, SessionId, Stamp, Verdict};

use super::*;

fn event(sequence: u64, body: EventBody) -> Event {
    Event { sequence, session: SessionId::from_random(1), recorded_at_ms: sequence * 10, body }
}

fn events(bodies: Vec<EventBody>) -> Vec<Event> {
    bodies.into_iter().zip(1..).map(|(body, sequence)| event(sequence, body)).collect()
}

fn replay(bodies: Vec<EventBody>) -> SessionView {
    SessionView::replay(&events(bodies))
}

fn turn_id(number: u64) -> TurnId {
    TurnId::from_random(number)
}

fn call_id(number: u64) -> CallId {
    CallId::from_random(100 + number)
}

fn set_id(number: u64) -> ChangeSetId {
    ChangeSetId::from_random(200 + number)
}

fn opened(turn: u64) -> EventBody {
    EventBody::TurnOpened { turn: turn_id(turn), text: format!("task {turn}") }
}

fn called(turn: u64, number: u32) -> EventBody {
    let (purpose, reserved) = (Purpose::Reply, Spending::default());
    EventBody::ModelCalled { turn: turn_id(turn), number, model: "m".into(), purpose, reserved }
}

fn proposal(number: u64) -> ToolCall {
    let arguments = Arguments::Json(serde_json::json!({ "path": number }));
    ToolCall { call: call_id(number), wire_id: format!("w{number}"), tool: "edit".into(), arguments }
}

fn text(text: &str) -> Part {
    Part::Text { text: text.into() }
}

fn replied(turn: u64, number: u32, calls: &[u64], stop: StopReason) -> EventBody {
    let parts = std::iter::once(text("so")).chain(calls.iter().map(|call| Part::ToolCall(proposal(*call)))).collect();
    let usage = TokenUsage { input_tokens: Some(10), ..TokenUsage::default() };
    replied_with(turn, number, ModelReply { parts, usage, stop })
}

fn replied_with(turn: u64, number: u32, reply: ModelReply) -> EventBody {
    EventBody::ModelReplied {
        turn: turn_id(turn),
        number,
        reply,
        spent: Spending { tokens: 10, ..Spending::default() },
    }
}

fn result(number: u64, text: &str) -> ToolResult {
    ToolResult { call: call_id(number), wire_id: format!("w{number}"), text: text.into(), is_error: false }
}

fn finished(number: u64, observed: Vec<Observation>) -> EventBody {
    EventBody::CallFinished {
        call: call_id(number),
        tool: "edit".into(),
        outcome: CallOutcome::Succeeded,
        result: result(number, "done"),
        summary: "edited".into(),
        full_output: None,
        usage: CallUsage::default(),
        observed,
    }
}

fn decision() -> DecisionRecord {
    DecisionRecord {
        verdict: Verdict::Allow,
        rule: "default.staged-write".into(),
        principal: "planner".into(),
        digest: ContentHash::of(b"x"),
        effects: vec!["run".into()],
        reason: "so".into(),
        basis: None,
    }
}

fn decided(number: u64) -> EventBody {
    EventBody::CallDecided { call: call_id(number), tool: "edit".into(), level: Level::Write, decision: decision() }
}

fn commit_decided(set: u64, call: u64) -> EventBody {
    EventBody::CommitDecided { change_set: set_id(set), call: Some(call_id(call)), decision: decision() }
}

fn changes() -> ChangeSet {
    ChangeSet { mount: "/work".into(), changes: Vec::new() }
}

fn intended(set: u64, call: Option<u64>, undoes: Option<u64>) -> EventBody {
    let (call, undoes) = (call.map(call_id), undoes.map(set_id));
    EventBody::CommitIntended { change_set: set_id(set), call, changes: changes(), undoes }
}

fn ended(set: u64, outcome: CommitOutcome) -> EventBody {
    EventBody::CommitFinished { change_set: set_id(set), outcome }
}

fn closed(turn: u64, outcome: TurnOutcome) -> EventBody {
    EventBody::TurnClosed { turn: turn_id(turn), outcome, spent: Spending { time_ms: 3, ..Spending::default() } }
}

fn user(turn: u64) -> Message {
    Message { role: Role::User, parts: vec![text(&format!("task {turn}"))] }
}

fn assistant(calls: &[u64]) -> Message {
    let parts = std::iter::once(text("so")).chain(calls.iter().map(|call| Part::ToolCall(proposal(*call)))).collect();
    Message { role: Role::Assistant, parts }
}

fn results(results: Vec<ToolResult>) -> Message {
    Message { role: Role::Tool, parts: results.into_iter().map(Part::ToolResult).collect() }
}

#[test]
fn a_session_reads_as_its_conversation() {
    let view = replay(vec![
        EventBody::SessionOpened { principal: "user".into(), model: "openai/x".into() },
        opened(1),
        called(1, 1),
        replied(1, 1, &[1, 2], StopReason::ToolCalls),
        decided(1),
        decided(2),
        // Calls that run beside each other end in any order; their results stand in the order of the calls.
        finished(2, Vec::new()),
        finished(1, Vec::new()),
        called(1, 2),
        replied(1, 2, &[], StopReason::EndTurn),
        closed(1, TurnOutcome::Done),
    ]);
    let call = |number| CallView {
        call: call_id(number),
        tool: "edit".into(),
        decision: Some(decision()),
        finished: Some(FinishedCall {
            outcome: CallOutcome::Succeeded,
            summary: "edited".into(),
            usage: CallUsage::default(),
            result: result(number, "done"),
            full_output: None,
        }),
    };
    let turn = TurnView {
        turn: turn_id(1),
        text: "task 1".into(),
        opened_at_ms: 20,
        model_calls: 2,
        usage: TokenUsage { input_tokens: Some(20), ..TokenUsage::default() },
        spent: Spending { tokens: 20, time_ms: 3, ..Spending::default() },
        outcome: Some(TurnOutcome::Done),
    };
    let expected = SessionView {
        principal: "user".into(),
        model: "openai/x".into(),
        messages: vec![
            user(1),
            assistant(&[1, 2]),
            results(vec![result(1, "done"), result(2, "done")]),
            assistant(&[]),
        ],
        turns: vec![turn],
        calls: vec![call(1), call(2)],
        answer: "so".into(),
        answered: true,
        called: "m".into(),
        last_sequence: 11,
        ..SessionView::default()
    };
    assert_eq!(view, expected);
    assert_eq!((view.open_turn(), view.last_outcome()), (None, Some(&TurnOutcome::Done)));
}

#[test]
fn an_interrupted_turn_says_what_is_left_to_do() {
    let view = replay(vec![
        opened(1),
        called(1, 1),
        replied(1, 1, &[1, 2, 3], StopReason::ToolCalls),
        decided(1),
        finished(1, Vec::new()),
        decided(2),
        commit_decided(1, 2),
        intended(1, Some(2), None),
        ended(1, CommitOutcome::Committed),
    ]);
    let pending = |number, decision, change_sets| PendingCall { proposal: proposal(number), decision, change_sets };
    assert_eq!(view.pending, [pending(2, Some(decision()), vec![set_id(1)]), pending(3, None, vec![])]);
    assert_eq!(view.messages, [user(1), assistant(&[1, 2, 3]), results(vec![result(1, "done")])]);
    assert_eq!(view.open_turn().unwrap().model_calls, 1);
    let set = ChangeSetView {
        change_set: set_id(1),
        call: Some(call_id(2)),
        decision: Some(decision()),
        changes: Some(changes()),
        undoes: Vec::new(),
        undone_by: None,
        state: ChangeSetState::Ended(CommitOutcome::Committed),
    };
    assert_eq!(view.change_sets, [set]);
}

#[test]
fn a_conflict_is_remembered_though_nothing_was_intended() {
    let outcome = CommitOutcome::Conflicted {
        conflicts: vec![Conflict { path: "a".into(), expected: Node::Absent, found: Node::Directory { mode: 0o755 } }],
    };
    let view = replay(vec![
        opened(1),
        replied(1, 1, &[1], StopReason::ToolCalls),
        commit_decided(1, 1),
        ended(1, outcome.clone()),
    ]);
    let set = ChangeSetView {
        change_set: set_id(1),
        call: Some(call_id(1)),
        decision: Some(decision()),
        changes: None,
        undoes: Vec::new(),
        undone_by: None,
        state: ChangeSetState::Ended(outcome),
    };
    assert_eq!(view.change_sets, [set]);
    assert_eq!(view.pending[0].change_sets, [set_id(1)]);
}

#[test]
fn a_resumed_turn_is_open_again_and_its_count_goes_on() {
    let mut bodies = vec![opened(1), called(1, 1), replied(1, 1, &[1], StopReason::ToolCalls)];
    bodies.push(closed(1, TurnOutcome::Cancelled));
    assert_eq!(replay(bodies.clone()).open_turn(), None);
    bodies.push(EventBody::TurnResumed { turn: turn_id(1) });
    let view = replay(bodies.clone());
    assert_eq!(view.open_turn().unwrap().model_calls, 1);
    assert_eq!(view.pending.len(), 1);
    bodies.extend([finished(1, Vec::new()), called(1, 2)]);
    assert_eq!(replay(bodies).open_turn().unwrap().model_calls, 2);
}

#[test]
fn calls_of_a_reply_that_was_cut_off_never_run() {
    for stop in [StopReason::MaxTokens, StopReason::Truncated, StopReason::ContentFilter] {
        let view = replay(vec![opened(1), called(1, 1), replied(1, 1, &[1], stop)]);
        assert_eq!(view.pending, []);
        let answer = ToolResult { is_error: true, ..result(1, CUT_OFF) };
        assert_eq!(view.messages, [user(1), assistant(&[1]), results(vec![answer])]);
    }
}

#[test]
fn a_text_that_was_cut_off_is_gone_on_with() {
    let cut = |stop| vec![opened(1), called(1, 1), replied(1, 1, &[], stop)];
    for stop in [StopReason::MaxTokens, StopReason::Truncated] {
        let mut bodies = cut(stop);
        assert_eq!(replay(bodies.clone()).messages, [user(1), assistant(&[])]);
        bodies.push(called(1, 2));
        let go_on = Message::said(Role::User, GO_ON);
        assert_eq!(replay(bodies.clone()).messages, [user(1), assistant(&[]), go_on.clone()]);
        bodies.push(called(1, 3));
        assert_eq!(replay(bodies).messages, [user(1), assistant(&[]), go_on]);
    }
    let mut bodies = cut(StopReason::MaxTokens);
    bodies.extend([closed(1, TurnOutcome::MaxTokens), opened(2), called(2, 1)]);
    assert_eq!(replay(bodies).messages, [user(1), assistant(&[]), user(2)], "the person said what comes next");
}

#[test]
fn a_reply_that_no_provider_takes_back_is_not_said_again() {
    let thought = Part::Reasoning { text: "hm".into(), signature: Some("s".into()) };
    for (parts, stop) in [
        (vec![thought], StopReason::MaxTokens),
        (vec![text("so")], StopReason::ContentFilter),
        (Vec::new(), StopReason::MaxTokens),
    ] {
        let reply = ModelReply { parts, usage: TokenUsage::default(), stop };
        let view = replay(vec![opened(1), called(1, 1), replied_with(1, 1, reply), called(1, 2)]);
        assert_eq!(view.messages, [user(1)]);
    }
}

#[test]
fn a_summary_after_a_cut_off_text_keeps_what_it_says_it_keeps() {
    let summing = || EventBody::ModelCalled {
        turn: turn_id(1),
        number: 3,
        model: "m".into(),
        purpose: Purpose::Compaction,
        reserved: Spending::default(),
    };
    let mut bodies = vec![opened(1), called(1, 1), replied(1, 1, &[1], StopReason::ToolCalls), finished(1, Vec::new())];
    bodies.extend([called(1, 2), replied(1, 2, &[], StopReason::MaxTokens), summing()]);
    bodies.push(EventBody::Compacted { turn: turn_id(1), number: 3, summary: "sum".into(), kept: 3 });
    bodies.push(called(1, 4));
    let (sum, go_on) = (Message::said(Role::User, "sum"), Message::said(Role::User, GO_ON));
    let done = results(vec![result(1, "done")]);
    assert_eq!(replay(bodies).messages, [sum, assistant(&[1]), done, assistant(&[]), go_on]);
}

#[test]
fn an_answer_in_pieces_is_one() {
    let mut bodies = vec![opened(1), called(1, 1), replied(1, 1, &[], StopReason::MaxTokens)];
    bodies.extend([called(1, 2), replied(1, 2, &[], StopReason::EndTurn)]);
    let view = replay(bodies.clone());
    assert_eq!((view.answer.as_str(), view.answered), ("soso", true));
    bodies.extend([called(1, 3), replied(1, 3, &[1], StopReason::ToolCalls)]);
    let view = replay(bodies);
    assert_eq!((view.answer.as_str(), view.answered), ("so", false));
}

#[test]
fn a_summary_stands_for_all_but_the_last_messages() {
    let summing = EventBody::ModelCalled {
        turn: turn_id(1),
        number: 2,
        model: "m".into(),
        purpose: Purpose::Compaction,
        reserved: Spending::default(),
    };
    let mut bodies = vec![opened(1), called(1, 1), replied(1, 1, &[1], StopReason::ToolCalls), finished(1, Vec::new())];
    bodies.extend([summing, replied(1, 2, &[], StopReason::EndTurn)]);
    let done = || results(vec![result(1, "done")]);
    assert_eq!(replay(bodies.clone()).messages, [user(1), assistant(&[1]), done()], "a summary is no reply");
    bodies.push(EventBody::Compacted { turn: turn_id(1), number: 2, summary: "sum".into(), kept: 2 });
    let view = replay(bodies.clone());
    assert_eq!(view.messages, [Message::said(Role::User, "sum"), assistant(&[1]), done()]);
    assert_eq!((view.counted, view.turns[0].spent.tokens), (None, 20));
    bodies.extend([called(1, 3), replied(1, 3, &[], StopReason::EndTurn)]);
    assert_eq!(replay(bodies).messages.len(), 4);
}

#[test]
fn what_a_provider_counted_is_known_until_a_summary_changes_it() {
    let usage = TokenUsage { input_tokens: Some(10), output_tokens: Some(5), ..TokenUsage::default() };
    let reply = ModelReply { parts: vec![text("so")], usage, stop: StopReason::EndTurn };
    let view = replay(vec![opened(1), called(1, 1), replied_with(1, 1, reply)]);
    assert_eq!(view.counted, Some(Counted { model: "m".into(), messages: 2, tokens: 15 }));
}

#[test]
fn calls_without_a_result_are_answered_before_the_conversation_goes_on() {
    let abandoned = || results(vec![ToolResult { is_error: true, ..result(1, ABANDONED) }]);
    let view = replay(vec![opened(1), replied(1, 1, &[1], StopReason::ToolCalls), opened(2)]);
    assert_eq!(view.messages, [user(1), assistant(&[1]), abandoned(), user(2)]);
    let view = replay(vec![opened(1), replied(1, 1, &[1], StopReason::ToolCalls), called(1, 2)]);
    assert_eq!(view.messages, [user(1), assistant(&[1]), abandoned()]);
}

#[test]
fn an_empty_reply_is_not_said_again() {
    let reply = ModelReply { parts: Vec::new(), usage: TokenUsage::default(), stop: StopReason::EndTurn };
    let view = replay(vec![opened(1), replied_with(1, 1, reply)]);
    assert_eq!(view.messages, [user(1)]);
}

#[test]
fn a_call_made_by_hand_is_listed_but_not_said() {
    let view = replay(vec![decided(1), finished(1, Vec::new())]);
    assert_eq!(view.calls.len(), 1);
    assert_eq!(view.messages, []);
}

#[test]
fn what_was_seen_last_of_a_file_counts() {
    let seen = |path: &str, size| Observation {
        mount: "/work".into(),
        path: path.into(),
        stamp: Stamp { device: 1, inode: 1, size, modified_ns: 0, changed_ns: 0 },
    };
    let view =
        replay(vec![finished(1, vec![seen("b", 1), seen("a", 2)]), finished(2, vec![seen("b", 3), seen("c", 4)])]);
    assert_eq!(view.observed, [seen("a", 2), seen("b", 3), seen("c", 4)]);
}

/// A reply proposes calls of its own; everything else happens to anything in any order.
fn histories() -> impl Strategy<Value = Vec<EventBody>> {
    let stop = prop_oneof![
        4 => Just(StopReason::ToolCalls),
        1 => Just(StopReason::MaxTokens),
        1 => Just(StopReason::Truncated)
    ];
    let body = prop_oneof![
        1 => (0_u64..3).prop_map(opened),
        1 => (0_u64..3).prop_map(|turn| EventBody::TurnResumed { turn: turn_id(turn) }),
        1 => (0_u64..3, 1_u32..9).prop_map(|(turn, number)| called(turn, number)),
        4 => (0_u64..3, 0_usize..4, stop).prop_map(|(turn, calls, stop)| replied(turn, 1, &vec![0; calls], stop)),
        8 => (0_u64..20).prop_map(|call| finished(call, Vec::new())),
        1 => (0_u64..20).prop_map(decided),
        1 => (0_u64..5, 0_u64..20).prop_map(|(set, call)| commit_decided(set, call)),
        1 => (0_u64..5, 0_u64..20, prop::option::of(0_u64..5)).prop_map(|(set, call, undoes)| intended(set, Some(call), undoes)),
        1 => (0_u64..5).prop_map(|set| ended(set, CommitOutcome::Committed)),
        1 => (0_u64..3).prop_map(|turn| closed(turn, TurnOutcome::Done)),
    ];
    prop::collection::vec(body, 0..60).prop_map(|mut bodies| {
        let mut next = 0;
        for body in &mut bodies {
            let EventBody::ModelReplied { reply, .. } = body else { continue };
            for part in &mut reply.parts {
                if let Part::ToolCall(call) = part {
                    *call = proposal(next);
                    next += 1;
                }
            }
        }
        bodies
    })
}

fn calls_of(message: &Message) -> Vec<CallId> {
    let call = |part: &Part| match part {
        Part::ToolCall(call) => Some(call.call.clone()),
        _ => None,
    };
    message.parts.iter().filter_map(call).collect()
}

fn answers_of(message: Option<&Message>) -> Vec<CallId> {
    let answer = |part: &Part| match part {
        Part::ToolResult(result) => Some(result.call.clone()),
        _ => None,
    };
    let tool = message.filter(|message| message.role == Role::Tool);
    tool.into_iter().flat_map(|message| message.parts.iter().filter_map(answer)).collect()
}

/// Every call has its result right behind its reply, in order, once; only the last reply's may be pending instead.
fn paired(view: &SessionView) -> Result<(), TestCaseError> {
    let last = view.messages.iter().rposition(|message| message.role == Role::Assistant);
    let pending: Vec<CallId> = view.pending.iter().map(|pending| pending.proposal.call.clone()).collect();
    for (at, message) in view.messages.iter().enumerate() {
        match message.role {
            Role::Assistant => {
                let (calls, mut answers) = (calls_of(message), answers_of(view.messages.get(at + 1)));
                let in_order: Vec<CallId> = calls.iter().filter(|call| answers.contains(call)).cloned().collect();
                prop_assert_eq!(&answers, &in_order);
                if Some(at) == last {
                    answers.extend(pending.iter().cloned());
                    answers.sort_by_key(|answer| calls.iter().position(|call| call == answer));
                }
                prop_assert_eq!(answers, calls);
            }
            Role::Tool => prop_assert_eq!(view.messages[at - 1].role, Role::Assistant),
            Role::User => {}
        }
    }
    prop_assert!(last.is_some() || pending.is_empty());
    Ok(())
}

proptest! {
    #[test]
    fn any_beginning_of_any_history_can_be_replayed(bodies in histories()) {
        let events = events(bodies);
        let mut live = SessionView::default();
        for (at, event) in events.iter().enumerate() {
            live.apply(event);
            prop_assert_eq!(&live, &SessionView::replay(&events[..=at]));
            paired(&live)?;
        }
    }

    #[test]
    fn the_count_of_model_calls_only_rises(bodies in histories()) {
        let mut live = SessionView::default();
        for event in &events(bodies) {
            let before: Vec<u32> = live.turns.iter().map(|turn| turn.model_calls).collect();
            live.apply(event);
            prop_assert!(before.iter().zip(&live.turns).all(|(before, turn)| *before <= turn.model_calls));
        }
    }
}

/// The best of some times that replaying a session of so many turns takes, each with a call that commits.
fn replaying(turns: u64) -> std::time::Duration {
    let bodies = (0..turns).flat_map(|number| {
        let intended = intended(number, Some(number), None);
        let ended = ended(number, CommitOutcome::Committed);
        vec![
            opened(number),
            decided(number),
            intended,
            ended,
            finished(number, Vec::new()),
            closed(number, TurnOutcome::Done),
        ]
    });
    let events = events(bodies.collect());
    let replay = || {
        let started = std::time::Instant::now();
        let view = SessionView::replay(&events);
        assert_eq!(view.calls.len() as u64, turns);
        started.elapsed()
    };
    (0..3).map(|_| replay()).min().unwrap()
}

#[test]
fn replaying_a_long_session_takes_as_long_as_it_has_events() {
    // Four times as many take four times as long; a search among all for each, sixteen times.
    let (short, long) = (replaying(5_000), replaying(20_000));
    assert!(long < short * 10, "{long:?} for four times what took {short:?}");
}
