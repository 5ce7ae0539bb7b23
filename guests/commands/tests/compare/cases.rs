//! How many cases there are at least: one that gets lost is noticed.

pub(crate) const LEAST: usize = 1_257;
