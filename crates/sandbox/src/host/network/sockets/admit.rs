//! Which addresses a call may talk to: those that its grant names, and those that a name of its grant was found to have.

use std::net::{IpAddr, SocketAddr};

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
            Ok(egress) => self.judge(egress, &targets, address.ip()),
            Err(ruling) => (targets[0].to_string(), ruling),
        };
        let reached = vec![address.ip()];
        if ruling.verdict != Verdict::Allow {
            return Err(gate_code(self.gate.refuse_at(request, method, &target, reached, ruling)));
        }
        self.gate.decided(request, method, &target, reached, ruling).map_err(gate_code)?;
        Ok(Record::new(self.gate.clone(), request))
    }

    /// Returns what a guest may mean by `address`: itself, and each name that this call found to have it.
    fn targets(&self, scheme: Scheme, address: SocketAddr) -> Result<Vec<Target>, ErrorCode> {
        let port = address.port();
        let named = self.names.of(address.ip()).map(|name| Target::of_name(scheme, name, port));
        let targets = std::iter::once(Target::of_address(scheme, address.ip(), port)).chain(named);
        targets.collect::<Result<_, _>>().map_err(|_| ErrorCode::InvalidArgument)
    }

    /// Returns the target that decides, and the ruling. What is allowed must also be granted, whatever the rules say.
    fn judge(&self, egress: &Egress, targets: &[Target], address: IpAddr) -> (String, Ruling) {
        let (target, ruling) = egress.judge_socket(targets, address).expect("an address is one target");
        let granted = self.gate.judge_granted(&target, || ruling);
        (target.to_string(), granted)
    }
}
