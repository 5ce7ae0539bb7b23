//! `wasi:sockets/ip-name-lookup`: each name is looked up once in a call, and means for the whole call what it meant then.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use policy::{Scheme, Target, allowed_lookup};
use protocol::{RequestOutcome, Verdict};
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::super::Gate;
use super::super::record::Record;
use super::convert::{gate_code, told_ip};
use super::{NOT_HELD, SocketResult, WholeNetwork};
use crate::bindings::sockets::ip_name_lookup;
use crate::bindings::sockets::network::{ErrorCode, IpAddress};
use crate::host::Host;

/// Bytes of a name as a guest writes it; in ASCII it has at most 253, in Unicode some times more.
const MAX_NAME_BYTES: usize = 1 << 10;

/// A lookup that is under way, or what it found: only addresses that may be talked to.
type Lookup = Shared<BoxFuture<'static, Result<Arc<[IpAddr]>, ErrorCode>>>;

/// The names that a call looked up.
pub(super) struct Names {
    gate: Arc<Gate>,
    found: BTreeMap<String, Lookup>,
}

impl Names {
    pub(super) fn new(gate: Arc<Gate>) -> Self {
        Self { gate, found: BTreeMap::new() }
    }

    /// Returns the names that were found to have `address`.
    pub(super) fn of(&self, address: IpAddr) -> impl Iterator<Item = &str> {
        let has = move |lookup: &Lookup| {
            lookup.peek().is_some_and(|found| found.as_ref().is_ok_and(|found| found.contains(&address)))
        };
        self.found.iter().filter(move |(_, lookup)| has(lookup)).map(|(name, _)| name.as_str())
    }

    /// Looks `name` up, unless that was done before.
    fn look_up(&mut self, name: &str) -> Result<Lookup, ErrorCode> {
        // The parser whose reading is judged also reads numbers as the addresses that they are.
        let name = (name.len() <= MAX_NAME_BYTES).then(|| Target::of_name(Scheme::Tcp, name, 1).ok()).flatten();
        let name = name.ok_or(ErrorCode::InvalidArgument)?;
        if let Some(address) = name.address() {
            return Ok(known(address));
        }
        let key = name.host().to_string();
        if let Some(lookup) = self.found.get(&key) {
            return Ok(lookup.clone());
        }
        let lookup = self.ask(name)?;
        self.found.insert(key, lookup.clone());
        Ok(lookup)
    }

    /// Judges and records a lookup before anybody is asked.
    fn ask(&self, name: Target) -> Result<Lookup, ErrorCode> {
        let gate = self.gate.clone();
        let request = gate.number().map_err(gate_code)?;
        let host = name.host().to_string();
        let judged = gate.judge_of(request).and_then(|egress| egress.judge_lookup(name.host()));
        let targets = judged.map_err(|ruling| gate_code(gate.refuse(request, METHOD, &host, ruling)))?;
        let ruling = allowed_lookup(&targets);
        gate.decided(request, METHOD, &host, Vec::new(), ruling).map_err(gate_code)?;
        let record = Record::new(gate.clone(), request);
        Ok(resolve(gate, name, targets, record).boxed().shared())
    }
}

const METHOD: &str = "lookup";

/// Returns the addresses of `name` that may be talked to.
async fn resolve(
    gate: Arc<Gate>,
    name: Target,
    targets: Vec<Target>,
    record: Record,
) -> Result<Arc<[IpAddr]>, ErrorCode> {
    let found = gate.addresses(&name).await.inspect_err(|error| record.failed(error)).map_err(gate_code)?;
    let egress = gate.egress().map_err(gate_code)?;
    let judged = found.into_iter().map(|address| (address, egress.judge_found(&targets, address)));
    let (kept, refused): (Vec<_>, Vec<_>) = judged.partition(|(_, ruling)| ruling.verdict == Verdict::Allow);
    if let (true, Some((_, ruling))) = (kept.is_empty(), refused.into_iter().next()) {
        record.failed(&ruling.reason);
        gate.note(&name.host().to_string(), ruling);
        return Err(ErrorCode::AccessDenied);
    }
    let addresses: Vec<IpAddr> = kept.into_iter().map(|(address, _)| address).collect();
    record.end(RequestOutcome::Resolved { addresses: addresses.clone() });
    Ok(addresses.into())
}

/// Returns what "looking up" an address finds: nobody is asked.
fn known(address: IpAddr) -> Lookup {
    let found: Arc<[IpAddr]> = [address].into();
    std::future::ready(Ok(found)).boxed().shared()
}

/// The addresses of one name, as a guest reads them one by one.
pub struct Addresses {
    lookup: Lookup,
    told: usize,
}

#[async_trait]
impl Pollable for Addresses {
    async fn ready(&mut self) {
        // What it found is read later.
        let _ = self.lookup.clone().await;
    }
}

impl Addresses {
    fn next(&mut self) -> Result<Option<IpAddr>, ErrorCode> {
        let found = self.lookup.clone().now_or_never().ok_or(ErrorCode::WouldBlock)??;
        let next = found.get(self.told).copied();
        self.told += usize::from(next.is_some());
        Ok(next)
    }
}

impl ip_name_lookup::Host for Host {
    fn resolve_addresses(
        &mut self,
        network: Resource<WholeNetwork>,
        name: String,
    ) -> SocketResult<Resource<Addresses>> {
        self.deck.spoil(NOT_HELD);
        self.table.get(&network)?;
        let lookup = self.sockets.names.look_up(&name)?;
        Ok(self.table.push(Addresses { lookup, told: 0 })?)
    }
}

impl ip_name_lookup::HostResolveAddressStream for Host {
    fn resolve_next_address(&mut self, stream: Resource<Addresses>) -> SocketResult<Option<IpAddress>> {
        Ok(self.table.get_mut(&stream)?.next()?.map(told_ip))
    }

    fn subscribe(&mut self, stream: Resource<Addresses>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, stream)
    }

    fn drop(&mut self, stream: Resource<Addresses>) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}
