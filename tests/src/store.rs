//! The store that tests run on: a map that keeps the port's promises to the letter
//! (`writ_core::host`), so that a test which passes here says something about every target.

use std::collections::BTreeMap;
use std::sync::Mutex;

use writ_core::host::{Batch, Commit, Entry, Expect, Partition, Record, Unavailable, Write};
use writ_core::limits;
use writ_core::moment::Timestamp;

/// Every record, by partition and key.
pub type Contents = BTreeMap<(Partition, String), Record>;

/// A strongly consistent store in memory. Several hosts may share one, as instances of a
/// deployment do.
#[derive(Debug, Default)]
pub struct Store {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    records: BTreeMap<(Partition, String), Stored>,
    index: Vec<(Partition, Entry)>,
}

#[derive(Clone, Debug)]
struct Stored {
    record: Record,
    /// The batch that wrote it.
    batch: String,
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
        if inner.is_done(partition, &batch) {
            return Ok(Commit::Done);
        }
        for expect in &batch.expect {
            let version_and_expiry = inner
                .live(partition, expect.key(), batch.now)
                .map(|record| (record.version, record.expires));
            if !holds(expect, version_and_expiry) {
                return Ok(Commit::Refused(expect.key().to_owned()));
            }
        }
        for write in batch.write {
            inner.write(partition, write, batch.now, &batch.id);
        }
        inner.index.extend(batch.index.into_iter().map(|entry| (partition.clone(), entry)));
        Ok(Commit::Done)
    }

    /// The records of a partition whose key starts with `prefix`, in key order, expired ones too.
    pub fn read(&self, partition: &Partition, prefix: &str) -> Vec<Record> {
        let inner = self.inner.lock().unwrap();
        inner
            .records
            .iter()
            .filter(|((owner, key), _)| owner == partition && key.starts_with(prefix))
            .take(limits::BATCH_RECORDS)
            .map(|(_, stored)| stored.record.clone())
            .collect()
    }

    /// Everything in the store, for tests to compare before and after.
    pub fn contents(&self) -> Contents {
        let inner = self.inner.lock().unwrap();
        inner.records.iter().map(|(name, stored)| (name.clone(), stored.record.clone())).collect()
    }

    /// Every index entry so far, with its partition.
    pub fn index(&self) -> Vec<(Partition, Entry)> {
        self.inner.lock().unwrap().index.clone()
    }

    /// Puts a record past all conditions, as damage or an operator would.
    pub fn plant(&self, partition: &Partition, record: Record) {
        let name = (partition.clone(), record.key.clone());
        let stored = Stored { record, batch: "planted".to_owned() };
        self.inner.lock().unwrap().records.insert(name, stored);
    }
}

impl Inner {
    /// Whether the batch's first write is there with the batch's own id.
    fn is_done(&self, partition: &Partition, batch: &Batch) -> bool {
        let key = match batch.write.first() {
            Some(Write::Put(record) | Write::PutIfAbsent(record)) => record.key.clone(),
            Some(Write::Forget(_)) | None => return false,
        };
        self.records.get(&(partition.clone(), key)).is_some_and(|stored| stored.batch == batch.id)
    }

    fn live(&self, partition: &Partition, key: &str, now: Timestamp) -> Option<&Record> {
        self.records
            .get(&(partition.clone(), key.to_owned()))
            .map(|stored| &stored.record)
            .filter(|record| record.expires > now)
    }

    fn write(&mut self, partition: &Partition, write: Write, now: Timestamp, batch: &str) {
        let (record, only_if_absent) = match write {
            Write::Put(record) => (record, false),
            Write::PutIfAbsent(record) => (record, true),
            Write::Forget(key) => {
                self.records.remove(&(partition.clone(), key));
                return;
            }
        };
        let version = self.live(partition, &record.key, now).map_or(0, |old| old.version);
        if only_if_absent && version > 0 {
            return;
        }
        let name = (partition.clone(), record.key.clone());
        let record = Record { version: version + 1, ..record };
        self.records.insert(name, Stored { record, batch: batch.to_owned() });
    }
}

/// Whether a condition holds of the live record with this version and expiry.
fn holds(expect: &Expect, live: Option<(u64, Timestamp)>) -> bool {
    match expect {
        Expect::Absent(_) => live.is_none(),
        Expect::Live { until, .. } => live.is_some_and(|(_, expires)| expires >= *until),
        Expect::LiveOrAbsent { until, .. } => live.is_none_or(|(_, expires)| expires >= *until),
        Expect::Version { version, .. } => live.map_or(0, |(own, _)| own) == *version,
        Expect::Below { version, .. } => live.map_or(0, |(own, _)| own) < *version,
    }
}
