//! What is recorded of a request after it was decided.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use protocol::RequestOutcome;

use super::gate::Gate;

/// An admitted request, recorded as finished when it is dropped: also when its call is ended.
pub(super) struct Record {
    gate: Arc<Gate>,
    request: u32,
    outcome: Mutex<RequestOutcome>,
    sent_bytes: Arc<AtomicU64>,
    received_bytes: AtomicU64,
}

impl Record {
    pub(super) fn new(gate: Arc<Gate>, request: u32) -> Self {
        let outcome = RequestOutcome::Failed { reason: "it was given up".into() };
        gate.opened();
        Self { gate, request, outcome: outcome.into(), sent_bytes: Arc::default(), received_bytes: AtomicU64::new(0) }
    }

    pub(super) fn end(&self, outcome: RequestOutcome) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    }

    /// Says that there is somebody to talk to; whatever is recorded later, it was talked to.
    pub(super) fn reached(&self, address: IpAddr) {
        self.end(RequestOutcome::Closed { address });
    }

    pub(super) fn failed(&self, reason: &impl ToString) {
        self.end(RequestOutcome::Failed { reason: reason.to_string() });
    }

    /// Returns what counts the bytes that are sent.
    pub(super) fn sent_bytes(&self) -> &Arc<AtomicU64> {
        &self.sent_bytes
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts `bytes` that came.
    pub(super) fn came(&self, bytes: usize) {
        self.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts `bytes` that came; false when the call may not have them.
    pub(super) fn receive(&self, bytes: usize) -> bool {
        self.came(bytes);
        let may = self.gate.receive(bytes);
        if !may {
            self.failed(&format!("more than {} bytes came in this call", self.gate.max_received_bytes()));
        }
        may
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let outcome = self.outcome.get_mut().unwrap_or_else(PoisonError::into_inner).clone();
        let sent_bytes = self.sent_bytes.load(Ordering::Relaxed);
        self.gate.finished(self.request, outcome, sent_bytes, *self.received_bytes.get_mut());
        self.gate.closed();
    }
}
