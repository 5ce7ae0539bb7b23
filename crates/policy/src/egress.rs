//! What judges the connections that a call makes while it runs.

use std::collections::BTreeSet;
use std::net::IpAddr;

use protocol::{Level, Verdict};
use url::{Host, Url};

use crate::capability::Grant;
use crate::judge::{Finding, Judge};
use crate::network::{HostPattern, Scheme, Target, UrlPattern};
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

    /// Judges a connection to `target` over which go bytes that nobody reads: no URL of it may be blocked. Of a bare address
    /// nobody knows whose it is, so that it must not be that of a host with a blocked URL either.
    pub fn judge_raw(&self, target: &Target) -> Ruling {
        let rules = self.judge.network();
        if let Some(pattern) = rules.blocks_raw(target) {
            return Ruling::deny("network.block_url", format!("`{pattern}` is blocked."));
        }
        if let Some(pattern) = rules.may_block_raw(target) {
            let reason = format!(
                "It may be the address of the host of `{pattern}`, which is blocked; look its name up first, or let the \
                 blocked URL name its port."
            );
            return Ruling::deny("network.bare_address", reason);
        }
        self.judge_target(target)
    }

    /// Judges a connection to `target`.
    fn judge_target(&self, target: &Target) -> Ruling {
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
            Some("network.unicast") => {
                Ruling::deny("network.unicast", format!("{address} is not the address of one machine."))
            }
            Some(rule) => Ruling::deny(rule, format!("{address} is in a blocked network.")),
            None => Ruling::allow("network.address", "The address is not blocked."),
        }
    }

    /// Judges looking `name` up, a question that leaves the machine like any other request: some connection to it must be
    /// allowed. Returns targets that stand for all that are.
    pub fn judge_lookup(&self, name: &Host<String>) -> Result<Vec<Target>, Ruling> {
        let mut refused = None;
        let mut allowed = Vec::new();
        for target in self.corners(name) {
            let ruling = self.judge_any(&target);
            match ruling.verdict {
                Verdict::Allow => allowed.push(target),
                _ => refused = refused.or(self.grant.network().allows(&target).then_some(ruling)),
            }
        }
        let ungranted = || Ruling::deny("grant.network", "No granted host pattern names this host.".into());
        if allowed.is_empty() { Err(refused.unwrap_or_else(ungranted)) } else { Ok(allowed) }
    }

    /// Judges handing `address` out as one of a name's whose allowed targets are `targets`.
    pub fn judge_found(&self, targets: &[Target], address: IpAddr) -> Ruling {
        let rulings: Vec<Ruling> = targets.iter().map(|target| self.judge_address(target, address)).collect();
        let allowed = rulings.iter().find(|ruling| ruling.verdict == Verdict::Allow);
        let ungranted = || Ruling::deny("grant.network", "No granted host pattern names this host.".into());
        allowed.or(rulings.first()).cloned().unwrap_or_else(ungranted)
    }

    fn judge_any(&self, target: &Target) -> Ruling {
        match Url::parse(&format!("{target}/")) {
            Ok(root) if target.scheme().has_urls() => self.judge_url(&root, target),
            _ => self.judge_raw(target),
        }
    }

    /// Returns the targets of `name` at which what patterns say of ports can begin to differ. Where any port is allowed, one
    /// of these is: ranges of ports meet from the first port of one of them on, and a blocked range ends before another.
    fn corners(&self, name: &Host<String>) -> Vec<Target> {
        let rules = self.judge.network();
        let granted = self.grant.network().patterns().chain(&rules.allow_private);
        let first = granted.filter(|pattern| pattern.names(name)).map(HostPattern::first_port);
        let blocked = rules.block_url.iter().map(UrlPattern::host).filter(|pattern| pattern.names(name));
        let ports: BTreeSet<u16> = first.chain(blocked.filter_map(HostPattern::port_beyond)).collect();
        let target =
            |port: u16| Scheme::ALL.into_iter().filter_map(move |scheme| Target::new(scheme, name.clone(), port).ok());
        ports.into_iter().flat_map(target).chain(self.approved_targets(name)).collect()
    }

    fn approved_targets(&self, name: &Host<String>) -> impl Iterator<Item = Target> {
        self.approved.iter().filter_map(move |effect| match effect {
            Effect::Connect { target } if target.host() == name => Some(target.clone()),
            _ => None,
        })
    }
}
