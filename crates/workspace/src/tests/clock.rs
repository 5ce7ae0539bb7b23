//! The host's clock jumps: a year forward, a year back, over midnight. Nothing rests on it but the moments that are shown and
//! the day that something is counted for.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use protocol::{EventBody, Purpose, SessionId, Spending, TurnId, TurnOutcome};

use super::support::{Place, keys};
use crate::{Balance, Durability, Mount, SessionView, Workspace};

const DAY_MS: u64 = 86_400_000;
const YEAR_MS: u64 = 365 * DAY_MS;

/// A millisecond before midnight.
const EVENING_MS: u64 = 20_000 * DAY_MS - 1;

thread_local!(static NOW_MS: Cell<u64> = const { Cell::new(EVENING_MS) });

fn clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(NOW_MS.get())
}

fn open(place: &Place) -> Workspace {
    let root = place.path("");
    let mounts = [Mount { name: "/work".into(), host: root.clone() }];
    Workspace::open(&root, &mounts, Some(&keys(&root)), clock).unwrap()
}

fn session(number: u64) -> SessionId {
    SessionId::from_random(number)
}

fn turn(number: u64) -> TurnId {
    TurnId::from_random(number)
}

fn calls(model_calls: u64) -> Spending {
    Spending { model_calls, ..Spending::default() }
}

fn begin(workspace: &Workspace, number: u64) {
    let opened = EventBody::SessionOpened { principal: "planner".into(), model: "m".into() };
    let task = EventBody::TurnOpened { turn: turn(number), text: format!("task {number}") };
    workspace.journal().append(&session(number), &[opened, task], Durability::Process).unwrap();
}

fn reserve(workspace: &Workspace, of: u64, number: u32) {
    let (turn, reserved) = (turn(of), calls(1));
    let called =
        EventBody::ModelCalled { turn: turn.clone(), number, model: "m".into(), purpose: Purpose::Reply, reserved };
    let decide = |_: &[Balance; 3]| Ok::<_, ()>((reserved, called));
    workspace.journal().reserve(&session(of), (&turn, number), decide).unwrap().unwrap();
}

fn settle(workspace: &Workspace, of: u64, number: u32) {
    let abandoned = EventBody::ModelAbandoned { turn: turn(of), number, spent: calls(1) };
    workspace.journal().settle(&session(of), (&turn(of), number), &calls(1), &[abandoned]).unwrap();
}

fn close(workspace: &Workspace, of: u64) {
    let closed = EventBody::TurnClosed { turn: turn(of), outcome: TurnOutcome::Done, spent: Spending::default() };
    let kept = workspace.view(&session(of)).unwrap().to_kept().unwrap();
    workspace.journal().close(&session(of), &turn(of), &Spending::default(), &closed, Some(&kept)).unwrap();
}

/// What stands on the account of the day that the clock shows.
fn today(workspace: &Workspace) -> (u64, u64) {
    let [.., day] = workspace.journal().balances(&session(1), &turn(1)).unwrap();
    (day.spent.model_calls, day.reserved.model_calls)
}

#[test]
fn what_is_reserved_before_midnight_is_settled_on_that_day() {
    let place = Place::new(&[]);
    let workspace = open(&place);
    begin(&workspace, 1);
    reserve(&workspace, 1, 1);
    assert_eq!(today(&workspace), (0, 1));
    NOW_MS.set(EVENING_MS + 1);
    assert_eq!(today(&workspace), (0, 0), "a day begins with nothing");
    settle(&workspace, 1, 1);
    assert_eq!(today(&workspace), (0, 0));
    reserve(&workspace, 1, 2);
    assert_eq!(today(&workspace), (0, 1));
    NOW_MS.set(EVENING_MS);
    assert_eq!(today(&workspace), (1, 0));
    assert_eq!(workspace.verify().unwrap().breaks, []);
}

#[test]
fn a_clock_that_jumps_a_year_forward_and_back_changes_no_order_and_loses_nothing() {
    let place = Place::new(&[]);
    let workspace = open(&place);
    begin(&workspace, 1);
    let lease = workspace.lease(&session(1)).unwrap();
    NOW_MS.set(EVENING_MS + YEAR_MS);
    begin(&workspace, 2);
    reserve(&workspace, 2, 1);
    settle(&workspace, 2, 1);
    close(&workspace, 2);
    NOW_MS.set(EVENING_MS - YEAR_MS);
    begin(&workspace, 3);
    reserve(&workspace, 3, 1);
    assert!(workspace.lease(&session(1)).is_err(), "a lease has no age");
    drop(lease);
    drop(workspace);

    // The order is that of the journal, not of the clock; another process reads the same and goes on.
    let workspace = open(&place);
    let listed: Vec<_> = workspace.journal().sessions(9).unwrap().into_iter().map(|session| session.session).collect();
    assert_eq!(listed, [session(3), session(2), session(1)]);
    assert_eq!(today(&workspace), (0, 1));
    settle(&workspace, 3, 1);
    close(&workspace, 3);
    assert_eq!(today(&workspace), (1, 0));
    NOW_MS.set(EVENING_MS);
    assert_eq!(today(&workspace), (0, 0));
    close(&workspace, 1);
    for number in 1..=3 {
        let mut replayed = SessionView::default();
        workspace.journal().for_each_told(&session(number), |event| replayed.apply(&event)).unwrap();
        assert_eq!(workspace.view(&session(number)).unwrap(), replayed);
        assert!(!replayed.is_unfinished());
    }
    let listed = workspace.journal().sessions(9).unwrap();
    assert_eq!(listed[0].session, session(1));
    assert!(workspace.verify().unwrap().is_verified());
}
