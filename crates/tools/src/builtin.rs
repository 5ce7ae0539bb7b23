//! The tools that ship with the runtime, embedded as components.

use std::borrow::Cow;

use crate::registry::Package;

const BUILTIN: [(&str, &[u8]); 9] = include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// Returns the built-in tools.
pub fn builtin() -> Vec<Package> {
    let package = |(manifest, component): &(&'static str, &'static [u8])| Package {
        manifest: Cow::Borrowed(*manifest),
        component: Cow::Borrowed(*component),
    };
    BUILTIN.iter().map(package).collect()
}
