//! What one instance remembers between requests.
//!
//! A host owns one and lends it, so that no state hides in the core: two hosts in one process share
//! nothing. Losing it loses no fact; it is filled again from the store and the issuers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::active::Active;
use crate::keyset::KeySets;

/// What one instance remembers between requests.
#[derive(Default)]
pub struct Memory {
    zones: Mutex<HashMap<String, Arc<Active>>>,
    flights: Mutex<HashMap<String, Arc<async_lock::Mutex<()>>>>,
    pub(crate) keys: KeySets,
}

impl Memory {
    pub(crate) fn zone(&self, name: &str) -> Option<Arc<Active>> {
        lock(&self.zones).get(name).cloned()
    }

    /// Held by the one request that reads the zone.
    pub(crate) fn flight(&self, name: &str) -> Arc<async_lock::Mutex<()>> {
        Arc::clone(lock(&self.flights).entry(name.to_owned()).or_default())
    }

    pub(crate) fn keep_zone(&self, zone: Arc<Active>) {
        lock(&self.zones).insert(zone.bundle.zone.clone(), zone);
    }
}

/// Locks a mutex that is never held across an `await`. What it guards is replaced whole, so a
/// panic elsewhere cannot leave it half written, and poison says nothing.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
