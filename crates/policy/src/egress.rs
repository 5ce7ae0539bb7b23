//! What judges the connections that a call makes while it runs.

use std::collections::BTreeSet;
use std::net::IpAddr;

use protocol::{Level, Verdict};
use url::{Host, Url};

use crate::capability::Grant;
use crate::judge::{Finding, Judge};
use crate::network::Target;
use crate::rule::Effect;

/// One connection as it was judged: never `Ask`, because nobody can be asked in the middle of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    pub verdict: Verdict,
    /// The name of the rule that decided.
    pub rule: String,
    /// Why, for people.
    pub reason: String,
}

impl Ruling {
    pub(crate) fn deny(rule: &str, reason: String) -> Self {
        Self { verdict: Verdict::Deny, rule: rule.into(), reason }
    }

    pub(crate) fn allow(rule: &str, reason: &str) -> Self {
        Self { verdict: Verdict::Allow, rule: rule.into(), reason: reason.into() }
    }

    #[cfg(test)]
    pub(crate) fn rule_of_denial(self) -> Option<String> {
        (self.verdict == Verdict::Deny).then_some(self.rule)
    }
}

/// The judge of one call's connections. Every connection is judged twice: its target, before a name is looked up; and
/// every address that the name has, before any of them is used.
#[derive(Debug, Clone)]
pub struct Egress {
    judge: Judge,
    tool: String,
    level: Level,
    grant: Grant,
    approved: BTreeSet<Effect>,
}

impl Egress {
    pub(crate) fn new(judge: Judge, tool: String, level: Level, grant: Grant, approved: BTreeSet<Effect>) -> Self {
        Self { judge, tool, level, grant, approved }
    }

    /// Judges a request for `url`, which `target` is parsed from.
    pub fn judge_url(&self, url: &Url, target: &Target) -> Ruling {
        match self.judge.network().blocks_url(url) {
            Some(pattern) => Ruling::deny("network.block_url", format!("`{pattern}` is blocked.")),
            None => self.judge_target(target),
        }
    }

    /// Judges a connection to `target`.
    pub fn judge_target(&self, target: &Target) -> Ruling {
        let Finding { verdict, rule, reason, .. } =
            self.judge.find_connect(&self.tool, self.level, target, &self.grant);
        match verdict {
            Verdict::Ask if self.approved.contains(&Effect::Connect { target: target.clone() }) => {
                Ruling::allow("answer.yes", "The connection was approved with the call.")
            }
            Verdict::Ask => {
                Ruling::deny(&rule, "It needs a person's approval, and nobody can be asked during a call.".into())
            }
            verdict => Ruling { verdict, rule, reason },
        }
    }

    /// Judges reaching `target` at `address`, one of those that its name has.
    pub fn judge_address(&self, target: &Target, address: IpAddr) -> Ruling {
        match self.judge.network().blocks_address(target, address) {
            Some("network.private") => {
                let reason = format!("{address} is not a public address, and no `allow_private` entry names {target}.");
                Ruling::deny("network.private", reason)
            }
            Some(rule) => Ruling::deny(rule, format!("{address} is in a blocked network.")),
            None => Ruling::allow("network.address", "The address is not blocked."),
        }
    }

    /// Tells whether `name` may be looked up: a connection to some port of it is granted.
    pub fn may_look_up(&self, name: &Host<String>) -> bool {
        self.grant.network().names(name)
    }
}
