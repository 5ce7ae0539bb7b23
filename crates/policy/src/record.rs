//! What decisions are made by, as a journal keeps it: enough to make them again.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{ContentHash, Level, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::capability::{Access, GrantSpec, SecretScope, ToolScope};
use crate::judge::Judge;
use crate::limits::Limits;
use crate::network::{HostPattern, NetworkRules, NetworkScope};
use crate::rule::{InvalidRule, Rule, RuleSpec};

/// A policy as it was in force. Data: nothing can be done with it but judging [`Case`](crate::Case)s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRecord {
    /// Every rule in its order, the defaults last.
    pub rules: Vec<RuleSpec>,
    pub network: NetworkRules,
    /// What the session holds.
    pub grant: GrantSpec,
    /// What a call may use at most.
    pub limits: Limits,
}

impl PolicyRecord {
    /// Returns what `judge` decides by, over `grant` and `limits`.
    pub fn of(judge: &Judge, grant: GrantSpec, limits: Limits) -> Self {
        let rules = judge.rules().iter().map(Rule::spec).cloned().collect();
        Self { rules, network: judge.network().clone(), grant, limits }
    }

    /// Returns the judge that it was.
    pub fn judge(&self) -> Result<Judge, InvalidRule> {
        Judge::recorded(self.rules.clone(), self.network.clone())
    }

    /// Returns its data with the digest that decisions name.
    pub fn stated(&self) -> (ContentHash, Value) {
        stated("boxagnts.policy", self)
    }
}

/// A tool as it was when it was called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolRecord {
    pub name: String,
    pub version: String,
    /// Of the component's bytes.
    pub component: ContentHash,
    pub level: Level,
    pub request: Request,
    /// What its manifest narrows the limits to.
    pub limits: Limits,
}

impl ToolRecord {
    /// Returns its data with the digest that decisions name.
    pub fn stated(&self) -> (ContentHash, Value) {
        stated("boxagnts.tool", self)
    }
}

fn stated(kind: &str, record: &impl Serialize) -> (ContentHash, Value) {
    let data = serde_json::to_value(record).expect("a record is plain data");
    (digest(kind, &data), data)
}

/// What a tool asks for, of whatever is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Of every mount; `None` asks for no files.
    pub files: Option<Access>,
    pub network: BTreeSet<HostPattern>,
    pub secrets: SecretScope,
}

impl Request {
    /// Returns what `tool` asks for of `held`.
    pub fn of(&self, held: &GrantSpec, tool: &str) -> GrantSpec {
        let mount = |(mount, _): (&str, Access)| self.files.map(|access| (mount.to_owned(), access));
        let files: BTreeMap<_, _> = held.mounts().filter_map(mount).collect();
        let tools = ToolScope::Only(BTreeSet::from([tool.to_owned()]));
        GrantSpec { files, tools, network: NetworkScope::of(self.network.clone()), secrets: self.secrets.clone() }
    }
}
