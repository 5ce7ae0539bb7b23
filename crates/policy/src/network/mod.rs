//! Who may be talked to: parsed targets, patterns of hosts and URLs, and the addresses that are nobody's business.
//!
//! One parser ([`url`]'s) reads what is checked and what is used. Nothing here resolves a name or opens a connection.

mod address;
mod block;
mod pattern;
mod scope;
mod target;

pub use address::{canonical_address, is_public};
pub use block::{InvalidBlock, NetworkRules, UrlPattern};
pub use pattern::{HostPattern, InvalidPattern};
pub use scope::NetworkScope;
pub use target::{InvalidTarget, Scheme, Target};
