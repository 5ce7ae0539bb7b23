//! What of a base a stage must not show.

use std::fmt;
use std::sync::Arc;

use crate::tree::join;

/// Tells which paths of a base are hidden from one stage, beside what is always hidden. A hidden directory hides
/// everything beneath it.
///
/// What is hidden still stands in the way: a directory that holds it is not empty, a moved tree that holds it cannot be
/// part of a change set, and something made in its place is a conflict.
///
/// It judges the place where something really is, not the name under which a guest comes to it: no link, rename or other
/// spelling gets around it.
#[derive(Clone)]
pub struct Veil(Option<Arc<Hides>>);

type Hides = dyn Fn(&str) -> bool + Send + Sync;

impl Veil {
    /// Returns a veil over nothing.
    pub fn none() -> Self {
        Self(None)
    }

    /// Returns the veil over the paths, relative to the mount, for which `hides` is true.
    pub fn new(hides: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hides)))
    }

    /// Tells whether `path` or a directory on the way to it is hidden.
    pub(crate) fn covers(&self, path: &str) -> bool {
        let Some(hides) = &self.0 else { return false };
        let mut ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.any(|end| end > 0 && hides(&path[..end]))
    }

    /// Tells whether the entry `name` of `directory` is hidden.
    pub(crate) fn covers_entry(&self, directory: &str, name: &str) -> bool {
        self.0.is_some() && self.covers(&join(directory, name))
    }
}

impl fmt::Debug for Veil {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Veil")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_directory_hides_what_is_beneath_it() {
        let veil = Veil::new(|path| path == "a/secret" || path == "b");
        let covered = ["a/secret", "a/secret/x/y", "b", "b/c"];
        assert!(covered.iter().all(|path| veil.covers(path)));
        assert!(!["", "a", "a/secrets", "c/b"].iter().any(|path| veil.covers(path)));
    }
}
