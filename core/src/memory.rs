//! What one instance remembers between requests.
//!
//! A host owns one and lends it, so that no state hides in the core: two hosts in one process share
//! nothing. Losing it loses no fact; it is filled again from the store and the issuers.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::active::Active;
use crate::keyset::KeySets;

/// What one instance remembers between requests.
#[derive(Default)]
pub struct Memory {
    zones: Mutex<HashMap<String, Arc<Active>>>,
    flights: Mutex<HashSet<String>>,
    pub(crate) keys: KeySets,
}

impl Memory {
    pub(crate) fn zone(&self, name: &str) -> Option<Arc<Active>> {
        lock(&self.zones).get(name).cloned()
    }

    /// Takes the flight called `name` for one request, which fetches for all; `None` while another
    /// one has it. It ends when the guard is dropped, however the request ends.
    pub(crate) fn flight(&self, name: &str) -> Option<Flight<'_>> {
        let taken = lock(&self.flights).insert(name.to_owned());
        taken.then(|| Flight { memory: self, name: name.to_owned() })
    }

    pub(crate) fn keep_zone(&self, zone: Arc<Active>) {
        lock(&self.zones).insert(zone.bundle.zone.clone(), zone);
    }
}

/// The one request that fetches something for all of an instance.
pub(crate) struct Flight<'a> {
    memory: &'a Memory,
    name: String,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        lock(&self.memory.flights).remove(&self.name);
    }
}

/// Locks a mutex that is never held across an `await`. What it guards is replaced whole, so a
/// panic elsewhere cannot leave it half written, and poison says nothing.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
