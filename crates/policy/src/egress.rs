//! What judges the connections that a call makes while it runs.

use std::collections::BTreeSet;
use std::net::IpAddr;

use protocol::{Level, Verdict};
use url::{Host, Url};

use crate::capability::GrantSpec;
use crate::case::{RequestCase, Way};
use crate::effect_class::EffectClass;
use crate::finding::{Asking, Finding, find_beyond, silent};
use crate::judge::Judge;
use crate::network::{HostPattern, Scheme, Target, UrlPattern};
use crate::rule::Effect;
use crate::secret::{SecretName, refuse_ungranted};
use crate::trace::{Trace, Untraced};

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

    /// Returns this ruling as a finding about `effect` that was taken note of.
    fn noted(self, trace: &mut impl Trace, effect: impl std::fmt::Display) -> Finding {
        Finding::new(trace, effect, self.verdict, &self.rule, self.reason)
    }

    #[cfg(test)]
    pub(crate) fn rule_of_denial(self) -> Option<String> {
        (self.verdict == Verdict::Deny).then_some(self.rule)
    }
}

impl From<Finding> for Ruling {
    fn from(Finding { verdict, rule, reason, .. }: Finding) -> Self {
        Self { verdict, rule, reason }
    }
}

/// Returns the ruling of a lookup that is allowed for the sake of `targets`.
pub fn allowed_lookup(targets: &[Target]) -> Ruling {
    let target = targets.first().map_or_else(String::new, ToString::to_string);
    Ruling {
        verdict: Verdict::Allow,
        rule: "network.lookup".into(),
        reason: format!("A connection to {target} is allowed."),
    }
}

/// Returns how early `finding` decides: a block, an allow, any refusal but that nothing was granted.
fn weight(finding: &Finding) -> u8 {
    match (finding.verdict, finding.rule.as_str()) {
        (Verdict::Deny, "network.block_url") => 0,
        (Verdict::Allow, _) => 1,
        (_, "grant.network") => 3,
        _ => 2,
    }
}

/// Returns the refusal of a call's request `number` when it may make no more than `most`.
pub fn refuse_request(number: u32, most: u32) -> Option<Ruling> {
    (number > most).then(|| Ruling::deny("limits.requests", format!("A call may make {most} requests.")))
}

/// The judge of one call's connections. Every connection is judged twice: its target, before a name is looked up; and
/// every address that the name has, before any of them is used.
#[derive(Debug, Clone)]
pub struct Egress {
    judge: Judge,
    tool: String,
    level: Level,
    grant: GrantSpec,
    approved: BTreeSet<Effect>,
}

impl Egress {
    pub(crate) fn new(judge: Judge, tool: String, level: Level, grant: GrantSpec, approved: BTreeSet<Effect>) -> Self {
        Self { judge, tool, level, grant, approved }
    }

    /// Tells whether a request with `method` to `target` carries a key, so that it has its effect once however often it is
    /// sent.
    pub fn wants_key(&self, method: &str, target: &Target) -> bool {
        EffectClass::of_request(method, false).asks() && self.judge.network().wants_key(target)
    }

    /// Judges a request for `url`, which `target` is parsed from.
    pub fn judge_url(&self, url: &Url, target: &Target) -> Ruling {
        self.find_url(url, target, &mut Untraced).into()
    }

    /// Judges talking to `address` over a socket, whose bytes nobody reads. `targets` are what may be meant: the address
    /// itself, and each name that was found to have it. Returns the one that decides: one that is allowed, unless a blocked
    /// one might be meant.
    pub fn judge_socket(&self, targets: &[Target], address: IpAddr) -> Option<(Target, Ruling)> {
        let (target, finding) = self.find_socket(targets, address, &mut Untraced)?;
        Some((target, finding.into()))
    }

    /// Judges reaching `target` at `address`, one of those that its name has.
    pub fn judge_address(&self, target: &Target, address: IpAddr) -> Ruling {
        self.find_address(target, address, &mut Untraced).into()
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
                _ => refused = refused.or(self.grant.network.allows(&target).then_some(ruling)),
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

    /// Judges one request as the gate does: how many there were, what is asked for, and every address that is known.
    pub(crate) fn find_request(&self, request: &RequestCase, trace: &mut impl Trace) -> Finding {
        if let Some(ruling) = refuse_request(request.number, request.max_requests) {
            return ruling.noted(trace, format!("request {}", request.number));
        }
        match &request.way {
            Way::Url { url, target, addresses, secrets } => {
                let found = self.find_url(url, target, trace);
                self.find_beneath(found, (target, addresses, secrets), trace)
            }
            Way::Socket { targets, address } => {
                let found = self.find_socket(targets, *address, trace);
                let nothing = || Ruling::deny("network.url", "Nothing is named.".into()).noted(trace, "connect");
                found.map_or_else(nothing, |(_, finding)| finding)
            }
            Way::Lookup { name } => {
                let ruling = match self.judge_lookup(name) {
                    Ok(targets) => allowed_lookup(&targets),
                    Err(ruling) => ruling,
                };
                ruling.noted(trace, format!("lookup {name}"))
            }
        }
    }

    /// Judges what comes after the target: the secrets that are mentioned, and the addresses.
    fn find_beneath(
        &self,
        found: Finding,
        (target, addresses, secrets): (&Target, &[IpAddr], &[SecretName]),
        trace: &mut impl Trace,
    ) -> Finding {
        if found.verdict != Verdict::Allow {
            return found;
        }
        let effect = Effect::Connect { target: target.clone() };
        if let Some(ruling) = secrets.iter().find_map(|name| refuse_ungranted(&self.grant.secrets, name)) {
            return ruling.noted(trace, effect);
        }
        let reached = addresses.iter().map(|address| self.find_address(target, *address, trace));
        let blocked = reached.into_iter().find(|finding| finding.verdict != Verdict::Allow);
        blocked.unwrap_or(found)
    }

    fn find_url(&self, url: &Url, target: &Target, trace: &mut impl Trace) -> Finding {
        let blocked = || {
            let pattern = self.judge.network().blocks_url(url)?;
            Some(Ruling::deny("network.block_url", format!("`{pattern}` is blocked.")))
        };
        self.find_target(target, blocked, trace)
    }

    /// Judges a connection to `target` over which go bytes that nobody reads: no URL of it may be blocked. Of a bare address
    /// nobody knows whose it is, so that it must not be that of a host with a blocked URL either.
    fn find_raw(&self, target: &Target, trace: &mut impl Trace) -> Finding {
        let blocked = || {
            let rules = self.judge.network();
            if let Some(pattern) = rules.blocks_raw(target) {
                return Some(Ruling::deny("network.block_url", format!("`{pattern}` is blocked.")));
            }
            let pattern = rules.may_block_raw(target)?;
            let reason = format!(
                "It may be the address of the host of `{pattern}`, which is blocked; look its name up first, or let the \
                 blocked URL name its port."
            );
            Some(Ruling::deny("network.bare_address", reason))
        };
        self.find_target(target, blocked, trace)
    }

    /// Judges a connection to `target`: what is granted, what is blocked, the rules.
    fn find_target(
        &self,
        target: &Target,
        blocked: impl FnOnce() -> Option<Ruling>,
        trace: &mut impl Trace,
    ) -> Finding {
        let effect = Effect::Connect { target: target.clone() };
        let asking = Asking { tool: &self.tool, level: self.level, grant: &self.grant };
        if let Some(beyond) = find_beyond(asking, &effect, trace) {
            return beyond;
        }
        match blocked() {
            Some(ruling) => return ruling.noted(trace, effect),
            None => silent(trace, &effect, "network.block_url", "it is not blocked"),
        }
        let finding = self.judge.find_rule(asking, &effect, trace);
        match finding.verdict {
            Verdict::Ask if self.approved.contains(&effect) => {
                Ruling::allow("answer.yes", "The connection was approved with the call.").noted(trace, effect)
            }
            Verdict::Ask => {
                let reason = "It needs a person's approval, and nobody can be asked during a call.";
                Ruling::deny(&finding.rule, reason.into()).noted(trace, effect)
            }
            _ => finding,
        }
    }

    fn find_socket(&self, targets: &[Target], address: IpAddr, trace: &mut impl Trace) -> Option<(Target, Finding)> {
        let judge = |target: &Target| {
            let found = self.find_raw(target, trace);
            (target.clone(), self.find_beneath(found, (target, &[address], &[]), trace))
        };
        let mut judged: Vec<(Target, Finding)> = targets.iter().map(judge).collect();
        // Of equal rulings that of a name comes first: it says more than that of a bare address.
        judged.reverse();
        judged.into_iter().min_by_key(|(_, finding)| weight(finding))
    }

    fn find_address(&self, target: &Target, address: IpAddr, trace: &mut impl Trace) -> Finding {
        let ruling = match self.judge.network().blocks_address(target, address) {
            Some("network.private") => {
                let reason = format!("{address} is not a public address, and no `allow_private` entry names {target}.");
                Ruling::deny("network.private", reason)
            }
            Some("network.unicast") => {
                Ruling::deny("network.unicast", format!("{address} is not the address of one machine."))
            }
            Some(rule) => Ruling::deny(rule, format!("{address} is in a blocked network.")),
            None => Ruling::allow("network.address", "The address is not blocked."),
        };
        ruling.noted(trace, format_args!("reach {target} at {address}"))
    }

    fn judge_any(&self, target: &Target) -> Ruling {
        match Url::parse(&format!("{target}/")) {
            Ok(root) if target.scheme().has_urls() => self.judge_url(&root, target),
            _ => self.find_raw(target, &mut Untraced).into(),
        }
    }

    /// Returns the targets of `name` at which what patterns say of ports can begin to differ. Where any port is allowed, one
    /// of these is: ranges of ports meet from the first port of one of them on, and a blocked range ends before another.
    fn corners(&self, name: &Host<String>) -> Vec<Target> {
        let rules = self.judge.network();
        let granted = self.grant.network.patterns().chain(&rules.allow_private);
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
