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
use crate::status;
use crate::verifier;

/// What one instance remembers between requests.
#[derive(Default)]
pub struct Memory {
    zones: Mutex<HashMap<String, Arc<Active>>>,
    /// When each began.
    flights: Mutex<HashMap<String, Timestamp>>,
    /// When each zone was last read again for a key that was not known.
    sought: Mutex<HashMap<String, Timestamp>>,
    pub(crate) keys: KeySets,
    pub(crate) statuses: status::Kept,
    /// What a resource server remembers; a zone has no use for it.
    pub(crate) verifier: verifier::Remembered,
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

    /// Whether a zone may be read again for a key that is not known. Anybody can name one, so it is for
    /// one of them in the time that a snapshot is used for.
    pub(crate) fn may_seek(&self, zone: &str, now: Timestamp) -> bool {
        let mut sought = lock(&self.sought);
        let recent = |at: &Timestamp| (0..limits::SNAPSHOT_FRESH_SECS).contains(&now.since(*at));
        if sought.get(zone).is_some_and(recent) {
            return false;
        }
        sought.insert(zone.to_owned(), now);
        true
    }

    /// Keeps a zone as it was just read, and answers with what is kept then. A read that took its
    /// time never puts back an older state of the zone over what another one found meanwhile.
    pub(crate) fn keep_zone(&self, zone: Arc<Active>) -> Arc<Active> {
        let mut zones = lock(&self.zones);
        if let Some(kept) = zones.get(&zone.bundle.zone)
            && kept.snapshot.seq > zone.snapshot.seq
        {
            return Arc::clone(kept);
        }
        zones.insert(zone.bundle.zone.clone(), Arc::clone(&zone));
        zone
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
    use crate::active::Snapshot;
    use crate::zone::{Source, Sources, compile};

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
    fn a_late_read_never_puts_back_an_older_zone() {
        let text = "[zone]\nname = \"a\"\nissuer = \"https://a.example\"\n";
        let zone = Source { path: "zone.toml".to_owned(), text: text.to_owned() };
        let bundle = compile(&Sources { zone, ..Sources::default() }).unwrap();
        let at = |seq, as_of| {
            let snapshot = Snapshot { seq, ..Snapshot::default() };
            let name = "bundle".to_owned();
            Arc::new(Active::new(snapshot, Timestamp(as_of), name, bundle.clone()).unwrap())
        };
        let memory = Memory::default();
        let kept = |memory: &Memory| memory.zone("a").map(|zone| (zone.snapshot.seq, zone.as_of.0));
        assert_eq!(memory.keep_zone(at(2, 100)).snapshot.seq, 2);
        assert_eq!(memory.keep_zone(at(1, 101)).snapshot.seq, 2, "the newer one answers");
        assert_eq!(kept(&memory), Some((2, 100)));
        memory.keep_zone(at(2, 103));
        assert_eq!(kept(&memory), Some((2, 103)), "the same state, seen again");
    }

    #[test]
    fn a_clock_that_is_set_back_stops_no_flight() {
        let memory = Memory::default();
        std::mem::forget(memory.flight("zone", Timestamp(1_000)));
        assert!(memory.flight("zone", Timestamp(500)).is_some());
    }
}
