//! What one instance remembers between requests.
//!
//! A host owns one and lends it, so that no state hides in the core: two hosts in one process share
//! nothing. Losing it loses no fact; it is filled again from the store and the issuers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::active::Active;
use crate::keyset::KeySets;
use crate::limits;
use crate::moment::Timestamp;

/// What one instance remembers between requests.
#[derive(Default)]
pub struct Memory {
    zones: Mutex<HashMap<String, Arc<Active>>>,
    /// When each began.
    flights: Mutex<HashMap<String, Timestamp>>,
    pub(crate) keys: KeySets,
}

impl Memory {
    pub(crate) fn zone(&self, name: &str) -> Option<Arc<Active>> {
        lock(&self.zones).get(name).cloned()
    }

    /// Takes the flight called `name` for one request, which fetches for all; `None` while another
    /// one has it. It ends when the guard is dropped, however the request ends, and after
    /// [`limits::FLIGHT_SECS`]: a platform that gives up on a request drops nothing of it.
    pub(crate) fn flight(&self, name: &str, now: Timestamp) -> Option<Flight<'_>> {
        let mut flights = lock(&self.flights);
        let in_time = |began: &Timestamp| (0..limits::FLIGHT_SECS).contains(&now.since(*began));
        if flights.get(name).is_some_and(in_time) {
            return None;
        }
        flights.insert(name.to_owned(), now);
        Some(Flight { memory: self, name: name.to_owned(), began: now })
    }

    pub(crate) fn keep_zone(&self, zone: Arc<Active>) {
        lock(&self.zones).insert(zone.bundle.zone.clone(), zone);
    }
}

/// The one request that fetches something for all of an instance.
pub(crate) struct Flight<'a> {
    memory: &'a Memory,
    name: String,
    began: Timestamp,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut flights = lock(&self.memory.flights);
        // One that took too long leaves the flight of the request that went on in its place.
        if flights.get(&self.name) == Some(&self.began) {
            flights.remove(&self.name);
        }
    }
}

/// Locks a mutex that is never held across an `await`. What it guards is replaced whole, so a
/// panic elsewhere cannot leave it half written, and poison says nothing.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flight_that_nobody_ends_is_over_after_its_time() {
        let memory = Memory::default();
        let now = Timestamp(1_000);
        let lost = memory.flight("zone", now).unwrap();
        assert!(memory.flight("zone", now.plus(limits::FLIGHT_SECS - 1)).is_none());
        assert!(memory.flight("other", now).is_some());
        let later = now.plus(limits::FLIGHT_SECS);
        let next = memory.flight("zone", later).unwrap();
        drop(lost);
        assert!(memory.flight("zone", later).is_none(), "the next one's was ended");
        drop(next);
        assert!(memory.flight("zone", later).is_some());
    }

    #[test]
    fn a_clock_that_is_set_back_stops_no_flight() {
        let memory = Memory::default();
        std::mem::forget(memory.flight("zone", Timestamp(1_000)));
        assert!(memory.flight("zone", Timestamp(500)).is_some());
    }
}
