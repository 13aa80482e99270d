//! What one instance remembers between requests.
//!
//! A host owns one and lends it, so that no state hides in the core: two hosts in one process share
//! nothing. Losing it loses no fact; it is filled again from the store and the issuers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::active::Active;
use crate::keyset::KeySets;
use crate::moment::Timestamp;

/// What one instance remembers between requests.
#[derive(Default)]
pub struct Memory {
    zones: Mutex<HashMap<String, Remembered>>,
    pub(crate) keys: KeySets,
}

/// A zone as it was at `as_of`.
#[derive(Clone)]
pub(crate) struct Remembered {
    pub(crate) zone: Arc<Active>,
    pub(crate) as_of: Timestamp,
}

impl Memory {
    pub(crate) fn zone(&self, name: &str) -> Option<Remembered> {
        lock(&self.zones).get(name).cloned()
    }

    /// Keeps the zone unless a later state of it is kept already.
    pub(crate) fn keep_zone(&self, zone: Arc<Active>, as_of: Timestamp) {
        let mut zones = lock(&self.zones);
        let newer = zones
            .get(&zone.bundle.zone)
            .is_none_or(|kept| (kept.zone.snapshot.seq, kept.as_of) <= (zone.snapshot.seq, as_of));
        if newer {
            zones.insert(zone.bundle.zone.clone(), Remembered { zone, as_of });
        }
    }
}

/// Locks a mutex that is never held across an `await`. What it guards is replaced whole, so a
/// panic elsewhere cannot leave it half written, and poison says nothing.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
