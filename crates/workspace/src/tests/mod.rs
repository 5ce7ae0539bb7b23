//! Tests of the workspace as a whole. They are unit tests because they stop commits at named points.

mod accounts;
mod clock;
mod commits;
mod crash;
mod forks;
mod gc;
mod opening;
mod results;
pub(crate) mod support;
mod undo;
mod undo_crash;
mod undo_many;
mod undo_model;
