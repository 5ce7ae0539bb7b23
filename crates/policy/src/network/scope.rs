//! Which targets a grant holds: lists of patterns that only become more.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::pattern::HostPattern;
use super::target::Target;

/// The targets that may be reached: those that every list names. One empty list means none, and there is always one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeSet<BTreeSet<HostPattern>>", into = "BTreeSet<BTreeSet<HostPattern>>")]
pub struct NetworkScope {
    lists: BTreeSet<BTreeSet<HostPattern>>,
}

/// A description without any list: it would name everything.
#[derive(Debug, thiserror::Error)]
#[error("a network scope needs at least one list of hosts; an empty list means no network")]
pub struct NoList;

impl NetworkScope {
    /// Returns the scope that holds no target.
    pub fn none() -> Self {
        Self::of(BTreeSet::new())
    }

    /// Returns the scope of the targets that one of `patterns` names.
    pub fn of(patterns: BTreeSet<HostPattern>) -> Self {
        Self { lists: BTreeSet::from([patterns]) }
    }

    /// Tells whether `target` may be reached.
    pub fn allows(&self, target: &Target) -> bool {
        self.lists.iter().all(|list| list.iter().any(|pattern| pattern.matches(target)))
    }

    /// Returns every pattern of every list.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &HostPattern> {
        self.lists.iter().flatten()
    }

    /// Tells whether nothing may be reached.
    pub fn is_none(&self) -> bool {
        self.lists.iter().any(BTreeSet::is_empty)
    }

    /// Returns the targets that both scopes hold.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        if self.is_none() || other.is_none() {
            return Self::none();
        }
        Self { lists: &self.lists | &other.lists }
    }
}

impl fmt::Display for NetworkScope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return formatter.write_str("none");
        }
        let list = |list: &BTreeSet<HostPattern>| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        formatter.write_str(&self.lists.iter().map(list).collect::<Vec<_>>().join("; and of these "))
    }
}

impl TryFrom<BTreeSet<BTreeSet<HostPattern>>> for NetworkScope {
    type Error = NoList;

    fn try_from(lists: BTreeSet<BTreeSet<HostPattern>>) -> Result<Self, NoList> {
        if lists.is_empty() { Err(NoList) } else { Ok(Self { lists }) }
    }
}

impl From<NetworkScope> for BTreeSet<BTreeSet<HostPattern>> {
    fn from(scope: NetworkScope) -> Self {
        scope.lists
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(patterns: &[&str]) -> NetworkScope {
        NetworkScope::of(patterns.iter().map(|pattern| pattern.parse().unwrap()).collect())
    }

    fn allows(scope: &NetworkScope, url: &str) -> bool {
        scope.allows(&Target::of_url(&url.parse().unwrap()).unwrap())
    }

    #[test]
    fn a_scope_holds_what_every_list_names() {
        let held = scope(&["https://*.a.test", "http://b.test"]);
        assert!(allows(&held, "https://x.a.test") && allows(&held, "http://b.test"));
        assert!(!allows(&NetworkScope::none(), "http://b.test"));
        let both = held.meet(&scope(&["https://*:*"]));
        assert!(allows(&both, "https://x.a.test") && !allows(&both, "http://b.test"));
        assert_eq!(both.meet(&NetworkScope::none()), NetworkScope::none());
        assert_eq!(NetworkScope::none().to_string(), "none");
        assert_eq!(held.to_string(), "http://b.test:80, https://*.a.test:443");
    }

    #[test]
    fn no_description_means_everything() {
        assert!(serde_json::from_str::<NetworkScope>("[]").is_err());
        let none: NetworkScope = serde_json::from_str("[[]]").unwrap();
        assert_eq!(none, NetworkScope::none());
        let held = scope(&["https://a.test"]).meet(&scope(&["*://*:*"]));
        assert_eq!(serde_json::from_str::<NetworkScope>(&serde_json::to_string(&held).unwrap()).unwrap(), held);
    }
}
