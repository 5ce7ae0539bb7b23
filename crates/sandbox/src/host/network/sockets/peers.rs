//! Whom a call exchanges datagrams with.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::record::Record;

/// The admitted destinations of a call's datagrams, each judged and recorded once. Nobody else's datagrams reach a guest.
#[derive(Default)]
pub(super) struct Peers(Mutex<BTreeMap<SocketAddr, Record>>);

impl Peers {
    pub(super) fn knows(&self, address: SocketAddr) -> bool {
        self.lock().contains_key(&address)
    }

    pub(super) fn add(&self, address: SocketAddr, record: Record) {
        record.reached(address.ip());
        self.lock().insert(address, record);
    }

    pub(super) fn sent(&self, address: SocketAddr, bytes: usize) {
        if let Some(record) = self.lock().get(&address) {
            record.sent(bytes);
        }
    }

    /// Counts `bytes` from `address`; false when the call may not have them.
    pub(super) fn receive(&self, address: SocketAddr, bytes: usize) -> bool {
        self.lock().get(&address).is_some_and(|record| record.receive(bytes))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
