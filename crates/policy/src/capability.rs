//! Capabilities and the grant that holds them: a lattice in which one can only go down.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use protocol::CallId;
use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::network::{NetworkScope, Target};
use crate::secret::SecretName;

/// What may be done with the files of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    Read,
    /// Reading, and staged writing.
    ReadWrite,
}

/// One kind of effect on one scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// The files of one mount, named as guests see it (`/work`).
    Files { mount: String, access: Access },
    /// Calling one tool.
    Tool { name: String },
    /// Talking to one target.
    Network { target: Target },
    /// Having the value of one secret sent out.
    Secret { name: SecretName },
}

/// Which of the things that have a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope<N: Ord> {
    /// Every one that there is.
    All,
    /// Exactly these; an empty set means none.
    Only(BTreeSet<N>),
}

/// Which tools may be called.
pub type ToolScope = Scope<String>;

/// Which secrets may be sent out.
pub type SecretScope = Scope<SecretName>;

impl<N: Ord + Clone> Scope<N> {
    /// Tells whether `name` is one of them.
    pub fn contains<Q: Ord + ?Sized>(&self, name: &Q) -> bool
    where
        N: Borrow<Q>,
    {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }

    fn meet(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, scope) | (scope, Self::All) => scope.clone(),
            (Self::Only(left), Self::Only(right)) => Self::Only(left & right),
        }
    }
}

/// A description of a grant: data that anyone may write, and that gives nothing by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantSpec {
    /// Access by the guest's name of the mount. A mount that is not named is not granted.
    pub files: BTreeMap<String, Access>,
    pub tools: ToolScope,
    pub network: NetworkScope,
    pub secrets: SecretScope,
}

impl GrantSpec {
    /// Returns the description of what both hold.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        let both =
            |(mount, access): (&String, &Access)| other.files.get(mount).map(|held| (mount.clone(), *access.min(held)));
        Self {
            files: self.files.iter().filter_map(both).collect(),
            tools: self.tools.meet(&other.tools),
            network: self.network.meet(&other.network),
            secrets: self.secrets.meet(&other.secrets),
        }
    }

    /// Tells whether a grant like this holds `capability`.
    pub fn allows(&self, capability: &Capability) -> bool {
        match capability {
            Capability::Files { mount, access } => self.file_access(mount).is_some_and(|held| held >= *access),
            Capability::Tool { name } => self.tools.contains(name.as_str()),
            Capability::Network { target } => self.network.allows(target),
            Capability::Secret { name } => self.secrets.contains(name),
        }
    }

    /// Returns the access to the files of `mount`, `None` when it is not granted at all.
    pub fn file_access(&self, mount: &str) -> Option<Access> {
        self.files.get(mount).copied()
    }

    /// Returns the mounts that are granted, with their access.
    pub fn mounts(&self) -> impl Iterator<Item = (&str, Access)> {
        self.files.iter().map(|(mount, access)| (mount.as_str(), *access))
    }
}

/// Capabilities held.
///
/// A grant is made once, at boot, by [`Grant::root`]; every other one is attenuated from it. It has no public fields and
/// no way from data:
///
/// ```compile_fail,E0451
/// fn forge(spec: policy::GrantSpec) -> policy::Grant {
///     policy::Grant { spec }
/// }
/// ```
/// ```compile_fail,E0277
/// fn forge(spec: policy::GrantSpec) -> policy::Grant {
///     spec.into()
/// }
/// ```
/// ```compile_fail,E0277
/// let forged: policy::Grant = serde_json::from_str("{}").unwrap();
/// ```
/// ```compile_fail,E0599
/// let forged = policy::Grant::default();
/// ```
/// ```compile_fail,E0616
/// fn widen(grant: &mut policy::Grant) {
///     grant.spec.files.clear();
/// }
/// ```
/// ```compile_fail,E0596
/// fn widen(grant: &mut policy::Grant) {
///     grant.as_spec().files.clear();
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    spec: GrantSpec,
}

impl Grant {
    /// Makes the root grant from what the person's own configuration says.
    ///
    /// The only constructor. Boot calls it once; a lint keeps every other place from naming it.
    pub fn root(spec: GrantSpec) -> Self {
        Self { spec }
    }

    /// Returns what both this grant and `spec` hold: never more than this grant.
    #[must_use]
    pub fn attenuate(&self, spec: &GrantSpec) -> Self {
        Self { spec: self.spec.meet(spec) }
    }

    /// Tells whether this grant holds `capability`.
    pub fn allows(&self, capability: &Capability) -> bool {
        self.spec.allows(capability)
    }

    /// Returns the access to the files of `mount`, `None` when it is not granted at all.
    pub fn file_access(&self, mount: &str) -> Option<Access> {
        self.spec.file_access(mount)
    }

    /// Returns the mounts that are granted, with their access.
    pub fn mounts(&self) -> impl Iterator<Item = (&str, Access)> {
        self.spec.mounts()
    }

    /// Returns the targets that may be talked to.
    pub fn network(&self) -> &NetworkScope {
        &self.spec.network
    }

    /// Returns the secrets that may be sent out.
    pub fn secrets(&self) -> &SecretScope {
        &self.spec.secrets
    }

    /// Returns the description of this grant, which gives nothing by itself.
    pub fn spec(&self) -> GrantSpec {
        self.spec.clone()
    }

    /// Returns the same, to look at.
    pub fn as_spec(&self) -> &GrantSpec {
        &self.spec
    }
}

/// What a redeemed permit leaves in the executor's hands: the narrowed grant and the limits of exactly one call.
///
/// ```compile_fail,E0451
/// fn forge(call: protocol::CallId, grant: policy::Grant, limits: policy::Limits) -> policy::Authority {
///     policy::Authority { call, grant, limits }
/// }
/// ```
#[derive(Debug)]
pub struct Authority {
    pub(crate) call: CallId,
    pub(crate) grant: Grant,
    pub(crate) limits: Limits,
}

impl Authority {
    /// Returns the call that this authority is for.
    pub fn call(&self) -> &CallId {
        &self.call
    }

    /// Returns the grant, narrowed to what the tool's manifest requests.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Returns the limits of the call.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the laws are about root grants")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOUNTS: [&str; 3] = ["/work", "/lib", "/results"];
    const TOOLS: [&str; 3] = ["read", "write", "grep"];
    const SECRETS: [&str; 3] = ["A", "B", "C"];
    const HOSTS: [&str; 4] = ["https://*.a.test", "https://x.a.test", "http://b.test:*", "*://*:443"];
    const URLS: [&str; 4] = ["https://x.a.test", "https://y.a.test", "http://b.test", "https://c.test"];

    fn access() -> impl Strategy<Value = Access> {
        prop_oneof![Just(Access::Read), Just(Access::ReadWrite)]
    }

    fn scopes() -> impl Strategy<Value = ToolScope> {
        let names = prop::collection::btree_set(prop::sample::select(TOOLS.as_slice()).prop_map(String::from), 0..3);
        prop_oneof![Just(ToolScope::All), names.prop_map(ToolScope::Only)]
    }

    fn networks() -> impl Strategy<Value = NetworkScope> {
        let pattern = prop::sample::select(HOSTS.as_slice()).prop_map(|text| text.parse().unwrap());
        prop::collection::btree_set(pattern, 0..4).prop_map(NetworkScope::of)
    }

    fn secret_scopes() -> impl Strategy<Value = SecretScope> {
        let name = prop::sample::select(SECRETS.as_slice()).prop_map(|name| name.parse().unwrap());
        let names = prop::collection::btree_set(name, 0..3);
        prop_oneof![Just(SecretScope::All), names.prop_map(SecretScope::Only)]
    }

    fn specs() -> impl Strategy<Value = GrantSpec> {
        let mount = prop::sample::select(MOUNTS.as_slice()).prop_map(String::from);
        let files = prop::collection::btree_map(mount, access(), 0..3);
        let spec = |(files, tools, network, secrets)| GrantSpec { files, tools, network, secrets };
        (files, scopes(), networks(), secret_scopes()).prop_map(spec)
    }

    fn capabilities() -> impl Strategy<Value = Capability> {
        let mount = prop::sample::select(MOUNTS.as_slice()).prop_map(String::from);
        let name = prop::sample::select(TOOLS.as_slice()).prop_map(String::from);
        prop_oneof![
            (mount, access()).prop_map(|(mount, access)| Capability::Files { mount, access }),
            name.prop_map(|name| Capability::Tool { name }),
            prop::sample::select(URLS.as_slice())
                .prop_map(|url| Capability::Network { target: Target::of_url(&url.parse().unwrap()).unwrap() }),
            prop::sample::select(SECRETS.as_slice())
                .prop_map(|name| Capability::Secret { name: name.parse().unwrap() }),
        ]
    }

    proptest! {
        #[test]
        fn attenuating_gives_exactly_what_both_hold(held in specs(), asked in specs(), capability in capabilities()) {
            let held = Grant::root(held);
            let both = held.allows(&capability) && Grant::root(asked.clone()).allows(&capability);
            prop_assert_eq!(held.attenuate(&asked).allows(&capability), both);
        }

        #[test]
        fn attenuating_is_a_meet(a in specs(), b in specs(), c in specs()) {
            let grant = |spec: &GrantSpec| Grant::root(spec.clone());
            prop_assert_eq!(grant(&a).attenuate(&a), grant(&a));
            prop_assert_eq!(grant(&a).attenuate(&b), grant(&b).attenuate(&a));
            let left = grant(&a).attenuate(&b).attenuate(&c);
            prop_assert_eq!(left, grant(&a).attenuate(&grant(&b).attenuate(&c).spec()));
        }

        #[test]
        fn no_chain_of_attenuations_widens(held in specs(), chain in prop::collection::vec(specs(), 0..5), capability in capabilities()) {
            let root = Grant::root(held);
            let end = chain.iter().fold(root.clone(), |grant, spec| grant.attenuate(spec));
            prop_assert!(!end.allows(&capability) || root.allows(&capability));
        }
    }
}
