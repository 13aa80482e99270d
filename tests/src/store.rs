//! The store that tests run on: a map that keeps the port's promises to the letter
//! (`writ_core::host`), so that a test which passes here says something about every target.

use std::collections::BTreeMap;
use std::sync::Mutex;

use writ_core::host::{
    Batch, Commit, Entry, Kind, Listed, Listing, Page, Partition, Range, Record, Unavailable,
};
use writ_core::limits;
use writ_core::store::{Applied, Stored, apply};

/// Every record, by partition and key.
pub type Contents = BTreeMap<(Partition, String), Record>;

/// The sessions of a store at one instant, to look at or to come back to.
#[derive(Clone, Debug, Default)]
pub struct Sessions(Inner);

impl Sessions {
    /// Their records.
    pub fn contents(self) -> Contents {
        self.0.records.into_iter().map(|(name, stored)| (name, stored.record)).collect()
    }
}

/// A strongly consistent store in memory. Several hosts may share one, as instances of a
/// deployment do.
#[derive(Debug, Default)]
pub struct Store {
    inner: Mutex<Inner>,
}

#[derive(Clone, Debug, Default)]
struct Inner {
    records: BTreeMap<(Partition, String), Stored>,
    index: Vec<(Partition, Entry)>,
}

impl Store {
    /// Applies a batch whole or not at all.
    ///
    /// # Errors
    ///
    /// The batch is larger than the port allows.
    pub fn commit(&self, partition: &Partition, batch: Batch) -> Result<Commit, Unavailable> {
        batch.within_limits(partition.kind).map_err(|limit| Unavailable(limit.to_owned()))?;
        let mut inner = self.inner.lock().unwrap();
        let name = |key: &str| (partition.clone(), key.to_owned());
        match apply(&batch, |key| inner.records.get(&name(key))) {
            Applied::Before => return Ok(Commit::Done),
            Applied::Refused(key) => return Ok(Commit::Refused(key)),
            Applied::Now { put, forget } => {
                for key in forget {
                    inner.records.remove(&name(&key));
                }
                for stored in put {
                    inner.records.insert(name(&stored.record.key), stored);
                }
            }
        }
        inner.index.extend(batch.index.into_iter().map(|entry| (partition.clone(), entry)));
        Ok(Commit::Done)
    }

    /// A page of an index.
    pub fn list(&self, zone: &str, listing: &Listing) -> Page {
        let inner = self.inner.lock().unwrap();
        let after = listing.after.as_deref().map(|cursor| Listed::from_cursor(cursor).unwrap());
        let mut found: Vec<Listed> = inner
            .index
            .iter()
            .filter(|(partition, entry)| {
                (partition.zone == zone && partition.kind == Kind::Session)
                    && entry.index == listing.index
                    && entry.name == listing.name
                    && entry.at >= listing.from
            })
            .map(|(partition, entry)| Listed {
                at: entry.at,
                session: partition.id.clone(),
                key: entry.key.clone(),
            })
            .filter(|listed| after.as_ref().is_none_or(|after| listed > after))
            .collect();
        found.sort();
        let more = found.len() > listing.limit;
        found.truncate(listing.limit);
        let next = found.last().filter(|_| more).map(Listed::cursor);
        Page { entries: found, next }
    }

    /// The records of a partition in `range`, in key order, expired ones too.
    pub fn read(&self, partition: &Partition, range: Range<'_>) -> Vec<Record> {
        let inner = self.inner.lock().unwrap();
        inner
            .records
            .iter()
            .filter(|((owner, key), _)| owner == partition && range.holds(key))
            .take(limits::BATCH_RECORDS)
            .map(|(_, stored)| stored.record.clone())
            .collect()
    }

    /// Everything in the store, for tests to compare before and after.
    pub fn contents(&self) -> Contents {
        let inner = self.inner.lock().unwrap();
        inner.records.iter().map(|(name, stored)| (name.clone(), stored.record.clone())).collect()
    }

    /// Another store that holds the same.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { inner: Mutex::new(self.inner.lock().unwrap().clone()) }
    }

    /// Every index entry so far, with its partition.
    pub fn index(&self) -> Vec<(Partition, Entry)> {
        self.inner.lock().unwrap().index.clone()
    }

    /// The sessions as they are now.
    pub fn sessions(&self) -> Sessions {
        let inner = self.inner.lock().unwrap();
        let of_sessions =
            inner.records.iter().filter(|((place, _), _)| place.kind == Kind::Session);
        let records = of_sessions.map(|(name, stored)| (name.clone(), stored.clone())).collect();
        Sessions(Inner { records, index: inner.index.clone() })
    }

    /// Puts the sessions back as they were. The zone goes on, since no instance takes an older state
    /// of it; what its operator's requests left there is forgotten.
    pub fn restore(&self, Sessions(saved): &Sessions) {
        let mut inner = self.inner.lock().unwrap();
        let lasts = |partition: &Partition, key: &str| {
            partition.kind == Kind::Zone && !key.starts_with("operator/")
        };
        inner.records.retain(|(partition, key), _| lasts(partition, key));
        inner.records.extend(saved.records.clone());
        inner.index.clone_from(&saved.index);
    }

    /// Puts a record past all conditions, as damage or an operator would.
    pub fn plant(&self, partition: &Partition, record: Record) {
        let name = (partition.clone(), record.key.clone());
        let stored = Stored { record, batch: "planted".to_owned() };
        self.inner.lock().unwrap().records.insert(name, stored);
    }
}
