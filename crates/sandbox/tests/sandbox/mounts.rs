//! Only what the grant holds is mounted, and nothing beyond a mount is reached.
pub(crate) const PROBES: &[&str] = &["escape", "descriptors"];
