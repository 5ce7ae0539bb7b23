//! Layer: above the tool interface. Verb: COORDINATES.
//!
//! Drives the turns of a session: [`Machine`] says what comes next, [`Driver`] does it. It asks `providers` for replies and
//! `tools` for effects, and has `workspace` remember; gateways and the command line ask it.
//!
//! Invariants: the count of model calls only rises and never passes its cap; a reply is recorded before anything follows
//! from it; a reply that was cut off runs nothing; every proposed call gets a result before the model is asked again.
//!
//! Deliberately absent: the sandbox and its files (`tools` is the one door), decisions, wires.

#![warn(clippy::unwrap_used)]

mod context;
mod driver;
mod machine;
mod purse;
mod turn;

pub use driver::{Driver, Planner, QueryError, Turned};
pub use machine::{
    Done, Input, MAX_DENIALS_IN_A_ROW, MAX_FAILED_COMPACTIONS, MAX_RETRY_AFTER_MS, Machine, Step, TurnLimits, Wait,
};
