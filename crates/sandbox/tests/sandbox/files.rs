//! The file system as a guest sees it, written as scripts for the `fsops` probe.
pub(crate) const PROBES: &[&str] = &["fsops"];
