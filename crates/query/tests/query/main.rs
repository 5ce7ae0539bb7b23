//! The driver over a real runtime, with models that say what a test needs.

mod approvals;
mod bounds;
mod compaction;
mod recovery;
mod resume;
mod staging;
mod support;
