//! The gate of one call: judges and records what the guest asks for, and counts what it may have.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use policy::{
    Egress, Grant, Limits, NetworkScope, Ruling, Scope, SecretScope, Target, canonical_address, judge_secret_path,
    refuse_request,
};
use protocol::{CallId, EventBody, Verdict, digest};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use url::{Host, Position, Url};
use wasmtime_wasi_http::Error;

use super::dial::Tls;
use super::resolver::Resolver;
use super::secrets::{Mention, Scrubber, Secrets};

/// How long looking up a name may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a call waits for the ends of requests that it gave up.
const QUIET_WITHIN: Duration = Duration::from_secs(1);

/// Addresses of one name that are judged and tried; more than any honest name needs.
const MAX_ADDRESSES: usize = 16;

/// Refusals that a call remembers for its result; the journal has them all.
const MAX_REFUSALS: usize = 8;

/// Bytes of an unparsed target that are recorded.
const MAX_TEXT_BYTES: usize = 512;

/// Bytes of a path with its query that are recorded, so that what was judged can be judged again.
const MAX_PATH_BYTES: usize = 2 << 10;

/// Characters of an idempotency key: 128 bits in hex.
const KEY_CHARS: usize = 32;

/// An event could not be recorded; what it announces must not happen.
#[derive(Debug, thiserror::Error)]
#[error("the journal refused an event: {0}")]
pub struct NotRecorded(pub String);

/// What one call may do with the network. Without it, nothing.
#[derive(Clone)]
pub struct Network {
    /// Judges each connection by the person's rules.
    pub egress: Egress,
    /// Records what was decided before it takes effect.
    pub record: Arc<dyn Fn(EventBody) -> Result<(), NotRecorded> + Send + Sync>,
    /// Every secret that the workspace allows: the permit's grant says which of them the call may send, and no response
    /// shows any of them.
    pub secrets: Arc<Secrets>,
}

/// A connection that was refused while a call ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `https://example.com:443`.
    pub target: String,
    /// The name of the rule that decided.
    pub rule: String,
    /// Why, for people and for the model.
    pub reason: String,
}

/// The gate of one call.
pub(crate) struct Gate {
    call: CallId,
    /// What the permit grants, whatever the rules say.
    scope: NetworkScope,
    /// The secrets that it grants.
    held: SecretScope,
    network: Option<Network>,
    resolver: Arc<dyn Resolver>,
    pub(super) tls: Tls,
    max_requests: u32,
    max_received_bytes: u64,
    requests: AtomicU32,
    received_bytes: AtomicU64,
    connections: Arc<Semaphore>,
    /// Admitted requests that are not recorded as finished yet.
    open: watch::Sender<u32>,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    refusals: Vec<Refusal>,
    unrecorded: Option<String>,
}

/// A request that may be made: its number and the addresses that were judged.
pub(super) struct Admitted {
    pub(super) request: u32,
    pub(super) addresses: Vec<IpAddr>,
    /// What it is sent with so that it has its effect once.
    pub(super) key: Option<String>,
}

/// A request on its way through the gate.
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a Url,
    pub(super) target: &'a Target,
    /// The placeholders in it.
    pub(super) mentions: &'a [Mention],
}

/// What was decided about a request, as it is recorded.
struct Decided<'a> {
    request: u32,
    method: &'a str,
    target: String,
    ruling: Ruling,
    addresses: Vec<IpAddr>,
    found: Vec<IpAddr>,
    secrets: Vec<String>,
    path: Option<String>,
    key: Option<String>,
}

impl<'a> Decided<'a> {
    fn new(request: u32, method: &'a str, target: String, ruling: Ruling) -> Self {
        let (addresses, found, secrets) = (Vec::new(), Vec::new(), Vec::new());
        Self { request, method, target, ruling, addresses, found, secrets, path: None, key: None }
    }

    fn about(request: u32, asked: &Asked<'a>, ruling: Ruling) -> Self {
        let named = asked.mentions.iter().filter_map(|mention| mention.name.as_ref().map(ToString::to_string));
        let path = &asked.url[Position::BeforePath..Position::AfterQuery];
        let path = (path.len() <= MAX_PATH_BYTES).then(|| path.to_owned());
        Self { secrets: named.collect(), path, ..Self::new(request, asked.method, asked.target.to_string(), ruling) }
    }

    fn event(self, call: &CallId) -> EventBody {
        let Self { request, method, target, ruling, addresses, found, secrets, path, key: idempotency_key } = self;
        let (call, method) = (call.clone(), method.to_owned());
        let Ruling { verdict, rule, reason } = ruling;
        EventBody::RequestDecided {
            call,
            request,
            method,
            target,
            addresses,
            verdict,
            rule,
            reason,
            secrets,
            path,
            found,
            idempotency_key,
        }
    }
}

impl Gate {
    /// Returns the gate of a call that holds `grant`; without one it reaches nothing.
    pub(crate) fn new(
        call: CallId,
        grant: Option<&Grant>,
        network: Option<Network>,
        (resolver, tls): (Arc<dyn Resolver>, Tls),
        limits: &Limits,
    ) -> Self {
        Self {
            call,
            scope: grant.map_or_else(NetworkScope::none, |grant| grant.network().clone()),
            held: grant.map_or_else(|| Scope::Only([].into()), |grant| grant.secrets().clone()),
            network,
            resolver,
            tls,
            max_requests: limits.requests,
            max_received_bytes: limits.received_bytes,
            requests: AtomicU32::new(0),
            received_bytes: AtomicU64::new(0),
            connections: Arc::new(Semaphore::new(limits.connections as usize)),
            open: watch::Sender::new(0),
            notes: Mutex::default(),
        }
    }

    /// Counts a request that was admitted.
    pub(super) fn opened(&self) {
        self.open.send_modify(|open| *open += 1);
    }

    /// Counts a request that was recorded as finished.
    pub(super) fn closed(&self) {
        self.open.send_modify(|open| *open -= 1);
    }

    /// Waits until every request is recorded as finished. What goes on beneath one that was given up is ended by others,
    /// soon, but not at once.
    pub(crate) async fn quiet(&self) {
        let mut open = self.open.subscribe();
        let quiet = open.wait_for(|open| *open == 0);
        // Beyond that it is recorded when it ends.
        let _ = tokio::time::timeout(QUIET_WITHIN, quiet).await;
    }

    /// Returns the gate of a call that reaches nothing.
    #[cfg(test)]
    pub(crate) fn shut() -> Arc<Self> {
        let outside = (Arc::new(super::SystemResolver) as Arc<dyn Resolver>, Tls::new(Vec::new()).expect("TLS"));
        Arc::new(Self::new(CallId::from_random(0), None, None, outside, &Limits::default()))
    }

    /// Returns what was refused.
    pub(crate) fn refusals(&self) -> Vec<Refusal> {
        self.notes().refusals.clone()
    }

    /// Returns why an event could not be recorded, if one could not.
    pub(crate) fn unrecorded(&self) -> Option<String> {
        self.notes().unrecorded.clone()
    }

    /// Judges a request, resolves its name, judges every address, and records the decision.
    pub(super) async fn admit(&self, asked: &Asked<'_>) -> Result<Admitted, Error> {
        let request = self.number()?;
        let ruling = self.judge(request, asked);
        if ruling.verdict != Verdict::Allow {
            return Err(self.refuse_asked(request, asked, Vec::new(), ruling));
        }
        self.asking(request, asked.target)?;
        let addresses = match self.addresses(asked.target).await {
            Ok(addresses) => addresses,
            Err(error) => return Err(self.unresolved(request, asked, ruling, error)),
        };
        if let Some(refused) = self.judge_addresses(asked, &addresses)? {
            return Err(self.refuse_asked(request, asked, addresses, refused));
        }
        let key = self.key(request, asked)?;
        self.allowed(request, asked, addresses.clone(), (ruling, key.clone()))?;
        Ok(Admitted { request, addresses, key })
    }

    /// Returns the key of a request whose target honours one: the same when the call is run again, and no other call's.
    fn key(&self, request: u32, asked: &Asked<'_>) -> Result<Option<String>, Error> {
        let wanted = self.egress()?.wants_key(asked.method, asked.target);
        let about = || json!([self.call, request, asked.method, asked.url.as_str()]);
        Ok(wanted.then(|| digest("boxagnts idempotency key", &about()).as_str()[..KEY_CHARS].to_owned()))
    }

    /// Judges every address, and what may go there. Returns the first refusal.
    fn judge_addresses(&self, asked: &Asked<'_>, addresses: &[IpAddr]) -> Result<Option<Ruling>, Error> {
        let egress = self.egress()?;
        let reached = addresses.iter().map(|address| egress.judge_address(asked.target, *address));
        let secret = (!asked.mentions.is_empty()).then(|| judge_secret_path(asked.target, addresses));
        Ok(reached.chain(secret).find(|ruling| ruling.verdict != Verdict::Allow))
    }

    /// Refuses what is not even a URL that could be judged.
    pub(super) fn refuse_unparsed(&self, method: &str, written: &str, reason: String) -> Error {
        let ruling = Ruling { verdict: Verdict::Deny, rule: "network.url".into(), reason };
        let written = &written[..written.floor_char_boundary(MAX_TEXT_BYTES)];
        match self.number() {
            Ok(request) => self.refuse(request, method, written, ruling),
            Err(error) => error,
        }
    }

    /// Takes one of the connections that the call may have. Waiting for one could last for ever: a guest that reads its
    /// responses in order may hold the others open meanwhile.
    pub(super) fn connection(&self) -> Result<OwnedSemaphorePermit, Error> {
        self.connections.clone().try_acquire_owned().map_err(|_| Error::ConnectionLimitReached)
    }

    /// Counts `bytes` of a response; false when that is more than the call may receive.
    pub(super) fn receive(&self, bytes: usize) -> bool {
        let before = self.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        before.saturating_add(bytes as u64) <= self.max_received_bytes
    }

    /// Returns how many bytes the call may still receive.
    pub(super) fn receivable(&self) -> u64 {
        self.max_received_bytes.saturating_sub(self.received_bytes.load(Ordering::Relaxed))
    }

    /// Returns what a call may receive in all.
    pub(super) fn max_received_bytes(&self) -> u64 {
        self.max_received_bytes
    }

    /// Records how a request ended. It has happened already, so that a failure can only stop what comes next.
    pub(super) fn finished(
        &self,
        request: u32,
        outcome: protocol::RequestOutcome,
        sent_bytes: u64,
        received_bytes: u64,
    ) {
        let call = self.call.clone();
        let outcome = match (outcome, self.scrubber()) {
            // Errors quote servers.
            (protocol::RequestOutcome::Failed { reason }, Some(scrubber)) => {
                protocol::RequestOutcome::Failed { reason: scrubber.text(&reason).into_owned() }
            }
            (outcome, _) => outcome,
        };
        let _ = self.record(EventBody::RequestFinished { call, request, outcome, sent_bytes, received_bytes });
    }

    /// Returns the number of the next request, of whatever kind. Only the first one too many is judged and recorded: a
    /// guest that goes on asking must not fill the journal.
    pub(super) fn number(&self) -> Result<u32, Error> {
        let before = self.requests.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |made| {
            (made <= self.max_requests).then(|| made.saturating_add(1))
        });
        before.map(|made| made.saturating_add(1)).map_err(|_| Error::HttpRequestDenied)
    }

    fn judge(&self, request: u32, asked: &Asked<'_>) -> Ruling {
        let egress = match self.judge_of(request) {
            Ok(egress) => egress,
            Err(ruling) => return ruling,
        };
        let ruling = self.judge_granted(asked.target, || egress.judge_url(asked.url, asked.target));
        if ruling.verdict != Verdict::Allow {
            return ruling;
        }
        let refuse = |network: &Network| network.secrets.refuse(&self.held, asked.mentions, asked.target);
        self.network.as_ref().and_then(refuse).unwrap_or(ruling)
    }

    /// Returns the secrets that may be put into an admitted request.
    pub(super) fn secrets(&self) -> Result<&Secrets, Error> {
        self.network.as_ref().map(|network| &*network.secrets).ok_or(Error::HttpRequestDenied)
    }

    /// Returns what takes secrets out of responses; `None` where there are none.
    pub(super) fn scrubber(&self) -> Option<&Scrubber> {
        self.network.as_ref()?.secrets.scrubber()
    }

    /// Returns who judges a request, unless the call may make no more of them or has no network.
    pub(super) fn judge_of(&self, request: u32) -> Result<&Egress, Ruling> {
        if let Some(refusal) = refuse_request(request, self.max_requests) {
            return Err(refusal);
        }
        self.egress().map_err(|_| deny("grant.network", "This call has no network.".into()))
    }

    /// Judges `target` by the grant, then by `rules`.
    pub(super) fn judge_granted(&self, target: &Target, rules: impl FnOnce() -> Ruling) -> Ruling {
        if self.scope.allows(target) {
            return rules();
        }
        deny("grant.network", "No granted host pattern names this target.".into())
    }

    pub(super) fn egress(&self) -> Result<&Egress, Error> {
        self.network.as_ref().map(|network| &network.egress).ok_or(Error::HttpRequestDenied)
    }

    /// Returns the addresses of `target`, each as what it really reaches.
    pub(super) async fn addresses(&self, target: &Target) -> Result<Vec<IpAddr>, Error> {
        if let Some(address) = target.address() {
            return Ok(vec![address]);
        }
        let name = target.host().to_string();
        let lookup = tokio::time::timeout(LOOKUP_TIMEOUT, self.resolver.resolve(&name));
        let found = lookup.await.map_err(|_| Error::DnsTimeout)?.unwrap_or_default();
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found.into_iter().map(canonical_address) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        match addresses.len() {
            0 => Err(Error::DnsError { rcode: Some(format!("no address for {name}")), info_code: None }),
            1..=MAX_ADDRESSES => Ok(addresses),
            _ => Err(Error::DnsError { rcode: Some(format!("too many addresses for {name}")), info_code: None }),
        }
    }

    /// Records that a name is asked for: the question leaves the machine, and may never be answered.
    fn asking(&self, request: u32, target: &Target) -> Result<(), Error> {
        match target.host() {
            Host::Domain(name) => {
                self.record(EventBody::LookupStarted { call: self.call.clone(), request, name: name.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Records a request that was allowed and whose name has no address to connect to.
    fn unresolved(&self, request: u32, asked: &Asked<'_>, ruling: Ruling, error: Error) -> Error {
        if let Err(unrecorded) = self.allowed(request, asked, Vec::new(), (ruling, None)) {
            return unrecorded;
        }
        let outcome = protocol::RequestOutcome::Failed { reason: error.to_string() };
        self.finished(request, outcome, 0, 0);
        error
    }

    /// Records a refusal, and remembers it for the result.
    pub(super) fn refuse(&self, request: u32, method: &str, target: &str, ruling: Ruling) -> Error {
        self.refuse_at(request, method, target, Vec::new(), ruling)
    }

    /// The same, where `found` are the addresses that were judged.
    pub(super) fn refuse_at(
        &self,
        request: u32,
        method: &str,
        target: &str,
        found: Vec<IpAddr>,
        ruling: Ruling,
    ) -> Error {
        self.refused(Decided { found, ..Decided::new(request, method, target.to_owned(), ruling) })
    }

    fn refuse_asked(&self, request: u32, asked: &Asked<'_>, found: Vec<IpAddr>, ruling: Ruling) -> Error {
        self.refused(Decided { found, ..Decided::about(request, asked, ruling) })
    }

    fn refused(&self, decided: Decided<'_>) -> Error {
        self.note(&decided.target, decided.ruling.clone());
        match self.record(decided.event(&self.call)) {
            Ok(()) => Error::HttpRequestDenied,
            Err(error) => error,
        }
    }

    /// Remembers a refusal for the call's result.
    pub(super) fn note(&self, target: &str, ruling: Ruling) {
        let Ruling { rule, reason, .. } = ruling;
        let mut notes = self.notes();
        if notes.refusals.len() < MAX_REFUSALS {
            notes.refusals.push(Refusal { target: target.to_owned(), rule, reason });
        }
    }

    /// Records a decision. What it allows may happen only if that succeeds.
    pub(super) fn decided(
        &self,
        request: u32,
        method: &str,
        target: &str,
        addresses: Vec<IpAddr>,
        ruling: Ruling,
    ) -> Result<(), Error> {
        let decided = Decided { addresses, ..Decided::new(request, method, target.to_owned(), ruling) };
        self.record(decided.event(&self.call))
    }

    /// Records a request that may be made, with the names of the secrets that go along.
    fn allowed(
        &self,
        request: u32,
        asked: &Asked<'_>,
        addresses: Vec<IpAddr>,
        (ruling, key): (Ruling, Option<String>),
    ) -> Result<(), Error> {
        let decided = Decided { addresses, key, ..Decided::about(request, asked, ruling) };
        self.record(decided.event(&self.call))
    }

    fn record(&self, event: EventBody) -> Result<(), Error> {
        // A call without a network has nobody to tell, and nothing leaves.
        let Some(network) = &self.network else { return Ok(()) };
        (network.record)(event).map_err(|error| {
            self.notes().unrecorded = Some(error.to_string());
            Error::InternalError(None)
        })
    }

    fn notes(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn deny(rule: &str, reason: String) -> Ruling {
    Ruling { verdict: Verdict::Deny, rule: rule.into(), reason }
}
