//! Sessions that go on from another.

use std::fs;

use protocol::{
    CallOutcome, CallUsage, EventBody, Message, Observation, Part, Role, SessionId, Stamp, ToolResult, TurnId,
    TurnOutcome,
};

use super::support::{Place, call, session};
use crate::{Durability, Workspace};

fn turn(number: u64) -> Vec<EventBody> {
    let turn = TurnId::from_random(number);
    let opened = EventBody::TurnOpened { turn: turn.clone(), text: format!("task {number}") };
    vec![opened, EventBody::TurnClosed { turn, outcome: TurnOutcome::Done, spent: protocol::Spending::default() }]
}

fn append(workspace: &Workspace, session: &SessionId, bodies: &[EventBody]) {
    workspace.journal().append(session, bodies, Durability::Process).unwrap();
}

fn finished(workspace: &Workspace) -> EventBody {
    let full_output = Some(workspace.keep_result(&session(), &call(), "all of it").unwrap());
    let result = ToolResult { call: call(), wire_id: "w".into(), text: "part".into(), is_error: false };
    let stamp = Stamp { device: 1, inode: 2, size: 3, modified_ns: 4, changed_ns: 5 };
    let observed = vec![Observation { mount: "/work".into(), path: "a".into(), stamp }];
    let (outcome, summary, usage) = (CallOutcome::Succeeded, "read".into(), CallUsage::default());
    EventBody::CallFinished {
        call: call(),
        tool: "read".into(),
        outcome,
        result,
        summary,
        full_output,
        usage,
        observed,
    }
}

fn asked(text: &str) -> Message {
    Message { role: Role::User, parts: vec![Part::Text { text: text.into() }] }
}

#[test]
fn a_fork_sees_what_was_said_read_and_kept_until_its_turn() {
    let place = Place::new(&[]);
    let workspace = place.open();
    append(&workspace, &session(), &[EventBody::SessionOpened { principal: "planner".into(), model: "m".into() }]);
    let [opened, closed] = &turn(1)[..] else { panic!("two events") };
    append(&workspace, &session(), &[opened.clone(), finished(&workspace), closed.clone()]);
    append(&workspace, &session(), &turn(2));
    let turns = workspace.journal().turns(&session()).unwrap();
    let fork = SessionId::from_random(9);
    workspace.fork(&fork, &turns[0], "planner", "m").unwrap();
    append(&workspace, &session(), &turn(3));
    append(&workspace, &fork, &turn(4));
    let view = workspace.view(&fork).unwrap();
    assert_eq!(view.messages, [asked("task 1"), asked("task 4")]);
    assert_eq!((view.turn.unwrap().text, view.model.as_str(), view.observed.len()), ("task 4".into(), "m", 1));
    let kept = workspace.results(&fork).unwrap().join(format!("{}.txt", call()));
    assert_eq!(fs::read_to_string(kept).unwrap(), "all of it");
    assert_eq!(workspace.view(&session()).unwrap().messages.len(), 3);
}
