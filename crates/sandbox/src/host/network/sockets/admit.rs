//! Which addresses a call may talk to: those that its grant names, and those that a name of its grant was found to have.

use std::net::SocketAddr;

use policy::{Egress, Ruling, Scheme, Target};
use protocol::Verdict;

use super::super::record::Record;
use super::Sockets;
use super::convert::gate_code;
use crate::bindings::sockets::network::ErrorCode;

impl Sockets {
    /// Judges and records talking to `address`, which is canonical.
    pub(super) fn admit(&self, scheme: Scheme, address: SocketAddr) -> Result<Record, ErrorCode> {
        let method = if scheme == Scheme::Udp { "send" } else { "connect" };
        let targets = self.targets(scheme, address)?;
        let request = self.gate.number().map_err(gate_code)?;
        let (target, ruling) = match self.gate.judge_of(request) {
            Ok(egress) => self.judge(egress, targets, address),
            Err(ruling) => (targets[0].to_string(), ruling),
        };
        if ruling.verdict != Verdict::Allow {
            return Err(gate_code(self.gate.refuse(request, method, &target, ruling)));
        }
        self.gate.decided(request, method, &target, vec![address.ip()], ruling).map_err(gate_code)?;
        Ok(Record::new(self.gate.clone(), request))
    }

    /// Returns what a guest may mean by `address`: itself, and each name that this call found to have it.
    fn targets(&self, scheme: Scheme, address: SocketAddr) -> Result<Vec<Target>, ErrorCode> {
        let port = address.port();
        let named = self.names.of(address.ip()).map(|name| Target::of_name(scheme, name, port));
        let targets = std::iter::once(Target::of_address(scheme, address.ip(), port)).chain(named);
        targets.collect::<Result<_, _>>().map_err(|_| ErrorCode::InvalidArgument)
    }

    /// Returns the target that decides, and the ruling: one that is allowed, unless a blocked one might be meant.
    fn judge(&self, egress: &Egress, targets: Vec<Target>, address: SocketAddr) -> (String, Ruling) {
        let judge = |target: Target| (target.to_string(), self.judge_one(egress, &target, address));
        let mut judged: Vec<(String, Ruling)> = targets.into_iter().map(judge).collect();
        // Of equal rulings that of a name comes first: it says more than that of a bare address.
        judged.reverse();
        judged.sort_by_key(|(_, ruling)| weight(ruling));
        judged.swap_remove(0)
    }

    fn judge_one(&self, egress: &Egress, target: &Target, address: SocketAddr) -> Ruling {
        let ruling = self.gate.judge_granted(target, || egress.judge_raw(target));
        if ruling.verdict != Verdict::Allow {
            return ruling;
        }
        let reached = egress.judge_address(target, address.ip());
        if reached.verdict == Verdict::Allow { ruling } else { reached }
    }
}

/// Returns how early `ruling` decides: a block, an allow, any refusal but that nothing was granted.
fn weight(ruling: &Ruling) -> u8 {
    match (ruling.verdict, ruling.rule.as_str()) {
        (Verdict::Deny, "network.block_url") => 0,
        (Verdict::Allow, _) => 1,
        (_, "grant.network") => 3,
        _ => 2,
    }
}
