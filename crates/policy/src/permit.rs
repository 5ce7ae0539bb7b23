//! Permits: single-use proofs that a decision was made, recorded, and fits exactly one effect.

use protocol::{CallId, ChangeSet, ChangeSetId, ContentHash, digest};
use serde_json::Value;

use crate::capability::{Authority, Grant};
use crate::limits::Limits;

/// A permit met something other than what was decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the permit is for {expected}, not for {found}")]
pub struct PermitMismatch {
    pub expected: String,
    pub found: String,
}

/// Single-use proof that one call of one tool with exactly these arguments was allowed and recorded.
///
/// Only this crate makes one:
///
/// ```compile_fail,E0451
/// fn forge(call: protocol::CallId, digest: protocol::ContentHash, grant: policy::Grant) -> policy::Permit {
///     policy::Permit { call, tool: "read".into(), digest, grant, limits: policy::Limits::default() }
/// }
/// ```
/// ```compile_fail,E0599
/// fn twice(permit: policy::Permit) -> (policy::Permit, policy::Permit) {
///     (permit.clone(), permit)
/// }
/// ```
/// ```compile_fail,E0382
/// fn twice(permit: policy::Permit, arguments: &serde_json::Value) {
///     let _ = permit.redeem("read", arguments);
///     let _ = permit.redeem("read", arguments);
/// }
/// ```
/// ```compile_fail,E0277
/// let forged: policy::Permit = serde_json::from_str("{}").unwrap();
/// ```
#[derive(Debug)]
pub struct Permit {
    pub(crate) call: CallId,
    pub(crate) tool: String,
    pub(crate) digest: ContentHash,
    pub(crate) grant: Grant,
    pub(crate) limits: Limits,
}

impl Permit {
    /// Returns the call that was allowed.
    pub fn call(&self) -> &CallId {
        &self.call
    }

    /// Returns the tool that was allowed.
    pub fn tool(&self) -> &str {
        &self.tool
    }

    /// Returns the limits of the call.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the grant of the call, narrowed to what the tool's manifest requests.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Consumes the permit for a call of `tool` with `arguments`; anything but what was decided is a mismatch.
    pub fn redeem(self, tool: &str, arguments: &Value) -> Result<Authority, PermitMismatch> {
        if self.tool != tool {
            return Err(PermitMismatch { expected: self.tool, found: tool.to_owned() });
        }
        expect_digest(&self.digest, call_digest(tool, arguments))?;
        Ok(Authority { call: self.call, grant: self.grant, limits: self.limits })
    }
}

/// Single-use proof that one change set was allowed and recorded.
///
/// ```compile_fail,E0451
/// fn forge(change_set: protocol::ChangeSetId, digest: protocol::ContentHash) -> policy::CommitPermit {
///     policy::CommitPermit { change_set, digest }
/// }
/// ```
/// ```compile_fail,E0599
/// fn twice(permit: policy::CommitPermit) -> (policy::CommitPermit, policy::CommitPermit) {
///     (permit.clone(), permit)
/// }
/// ```
#[derive(Debug)]
pub struct CommitPermit {
    pub(crate) change_set: ChangeSetId,
    pub(crate) digest: ContentHash,
}

impl CommitPermit {
    /// Returns the change set that was allowed.
    pub fn change_set(&self) -> &ChangeSetId {
        &self.change_set
    }

    /// Consumes the permit for exactly `changes`.
    pub fn redeem(self, changes: &ChangeSet) -> Result<ChangeSetId, PermitMismatch> {
        expect_digest(&self.digest, changes.digest())?;
        Ok(self.change_set)
    }
}

/// Returns the digest that a decision about a call is bound to.
pub(crate) fn call_digest(tool: &str, arguments: &Value) -> ContentHash {
    digest("boxagnts.call", &serde_json::json!([tool, arguments]))
}

fn expect_digest(expected: &ContentHash, found: ContentHash) -> Result<(), PermitMismatch> {
    let same = *expected == found;
    same.then_some(()).ok_or_else(|| PermitMismatch { expected: expected.to_string(), found: found.into() })
}
