//! Tests of the stage as a whole. They are unit tests because they look at what no caller may see: how many lookups an
//! operation costs, which nodes live, and how the base resolves on a kernel without `openat2`.

mod changes;
mod cost;
mod escape;
mod handles;
mod model;
mod open;
mod paths;
mod quota;
mod seed;
mod support;
mod tape;
mod veil;
mod writer;
