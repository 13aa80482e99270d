//! What a batch means, as pure code: for every store that reads the rows at hand, decides and writes
//! within one transaction of its own; and, for those whose commit is one conditional statement, which
//! condition it was that did not hold.

use crate::host::{Batch, Expect, Record, Write};
use crate::moment::Timestamp;

/// A record as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The record, with its version.
    pub record: Record,
    /// The id of the batch that wrote it.
    pub batch: String,
}

/// What becomes of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was done before: its first write is there with its id. Nothing is to be written.
    Before,
    /// The condition on this key does not hold. Nothing is to be written.
    Refused(String),
    /// Every condition holds.
    Now {
        /// The records to put, with their new versions.
        put: Vec<Stored>,
        /// The keys of the records to remove.
        forget: Vec<String>,
    },
}

/// The keys of the records that [`apply`] asks for, each once.
#[must_use]
pub fn keys(batch: &Batch) -> Vec<&str> {
    let mut keys: Vec<&str> = batch.write.iter().map(Write::key).collect();
    keys.extend(batch.expect.iter().map(Expect::key));
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Decides what becomes of `batch`. `find` is the record with a key, expired or not, as the
/// transaction sees it.
#[must_use]
pub fn apply<'a>(batch: &Batch, find: impl Fn(&str) -> Option<&'a Stored>) -> Applied {
    if was_done(batch, &find) {
        return Applied::Before;
    }
    if let Some(key) = refused(batch, &find) {
        return Applied::Refused(key.to_owned());
    }
    let (mut put, mut forget) = (Vec::new(), Vec::new());
    for write in &batch.write {
        let version = live(find(write.key()), batch.now).map_or(0, |found| found.record.version);
        let (record, keep) = match write {
            Write::Put(record) => (record, false),
            Write::PutIfAbsent(record) => (record, version > 0),
            Write::Forget(key) => {
                forget.push(key.clone());
                continue;
            }
        };
        if !keep {
            // A record that had expired was absent, so its count of versions starts again.
            let record = Record { version: version.saturating_add(1), ..record.clone() };
            put.push(Stored { record, batch: batch.id.clone() });
        }
    }
    Applied::Now { put, forget }
}

/// Whether the batch's first write is there with the batch's own id: a lost answer is not a replay.
#[must_use]
pub fn was_done<'a>(batch: &Batch, find: impl Fn(&str) -> Option<&'a Stored>) -> bool {
    let first = batch.write.first().and_then(|write| find(write.key()));
    first.is_some_and(|found| found.batch == batch.id)
}

/// The key of the first condition that does not hold.
#[must_use]
pub fn refused<'b, 'a>(
    batch: &'b Batch,
    find: impl Fn(&str) -> Option<&'a Stored>,
) -> Option<&'b str> {
    let unmet = |expect: &&Expect| !holds(expect, live(find(expect.key()), batch.now));
    batch.expect.iter().find(unmet).map(Expect::key)
}

/// A record that expires at `now` is absent.
fn live(found: Option<&Stored>, now: Timestamp) -> Option<&Stored> {
    found.filter(|found| found.record.expires > now)
}

fn holds(expect: &Expect, live: Option<&Stored>) -> bool {
    let long = |until: Timestamp| move |found: &Stored| found.record.expires >= until;
    let version = live.map_or(0, |found| found.record.version);
    match expect {
        Expect::Absent(_) => live.is_none(),
        Expect::Live { until, .. } => live.is_some_and(long(*until)),
        Expect::LiveOrAbsent { until, .. } => live.is_none_or(long(*until)),
        Expect::Version { version: expected, .. } => version == *expected,
        Expect::Below { version: bound, .. } => version < *bound,
    }
}
