//! What a Worker and a Durable Object say to each other: `POST` with a JSON body, answered with one.
//!
//! | path | asked | answered |
//! |---|---|---|
//! | `/commit` | [`Batched`] | [`Outcome`] |
//! | `/read` | [`Bounds`] | list of [`Row`] |
//! | `/enter` | list of [`Entered`] | `null` |
//! | `/list` | [`Asked`] | list of [`Found`] |
//! | `/sweep` | instant | number of entries deleted |
//!
//! Lists with fixed places instead of named members: these bodies are made and read for every hop.
//! Values are base64url. An answer other than 200 is a fault.

use serde::{Deserialize, Serialize};
use writ_core::encoding::{base64url, from_base64url, sha256};
use writ_core::host::{
    Batch, Entry, Expect, Listed, Listing, Page, Partition, Range, Record, Write,
};
use writ_core::limits;
use writ_core::moment::Timestamp;

/// A batch, and the partition that it is for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Batched {
    /// The object of the index that takes the entries.
    pub part: String,
    id: String,
    now: i64,
    until: Option<i64>,
    /// Kind, key, number: an instant or a version.
    expect: Vec<(char, String, i64)>,
    /// Kind, key, expiry, value.
    write: Vec<(char, String, i64, String)>,
    /// The index entries.
    pub index: Vec<Entered>,
}

/// Index, name, instant, session, key, expiry.
pub type Entered = (String, String, i64, String, String, i64);

/// The first key that is read, if it is there, and the first that is not.
pub type Bounds = (String, String);

/// Key, value, expiry, version.
pub type Row = (String, String, i64, u64);

/// What is asked of an index: index, name, first instant, cursor, limit.
pub type Asked = (String, String, i64, Option<String>, usize);

/// An entry as listed: instant, session, key.
pub type Found = (i64, String, String);

/// What became of a batch.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Every condition held, and everything is written.
    Done,
    /// The condition on this key did not hold.
    Refused(String),
    /// The object's clock is past the batch's `until`.
    Late,
}

impl Batched {
    /// A batch as it is sent.
    #[must_use]
    pub fn new(partition: &Partition, batch: Batch) -> Self {
        let entered = |entry: Entry| {
            let Entry { index, name, at, key, expires } = entry;
            (index.to_owned(), name, at.0, partition.id.clone(), key, expires.0)
        };
        Self {
            part: part(&partition.zone, share(&partition.id)),
            id: batch.id,
            now: batch.now.0,
            until: batch.until.map(|until| until.0),
            expect: batch.expect.into_iter().map(expectation).collect(),
            write: batch.write.into_iter().map(write).collect(),
            index: batch.index.into_iter().map(entered).collect(),
        }
    }

    /// The batch as it was meant, but for its index entries. `None` where it makes no sense.
    #[must_use]
    pub fn batch(&self) -> Option<Batch> {
        Some(Batch {
            id: self.id.clone(),
            now: Timestamp(self.now),
            until: self.until.map(Timestamp),
            expect: self.expect.iter().map(expected).collect::<Option<_>>()?,
            write: self.write.iter().map(written).collect::<Option<_>>()?,
            index: Vec::new(),
        })
    }
}

fn expectation(expect: Expect) -> (char, String, i64) {
    let number = |version| i64::try_from(version).unwrap_or(i64::MAX);
    match expect {
        Expect::Absent(key) => ('a', key, 0),
        Expect::Live { key, until } => ('l', key, until.0),
        Expect::LiveOrAbsent { key, until } => ('o', key, until.0),
        Expect::Version { key, version } => ('v', key, number(version)),
        Expect::Below { key, version } => ('b', key, number(version)),
    }
}

fn expected((kind, key, number): &(char, String, i64)) -> Option<Expect> {
    let key = key.clone();
    let until = Timestamp(*number);
    let version = number.unsigned_abs();
    Some(match kind {
        'a' => Expect::Absent(key),
        'l' => Expect::Live { key, until },
        'o' => Expect::LiveOrAbsent { key, until },
        'v' => Expect::Version { key, version },
        'b' => Expect::Below { key, version },
        _ => return None,
    })
}

fn write(write: Write) -> (char, String, i64, String) {
    match write {
        Write::Put(record) => ('p', record.key, record.expires.0, base64url(&record.value)),
        Write::PutIfAbsent(record) => ('i', record.key, record.expires.0, base64url(&record.value)),
        Write::Forget(key) => ('f', key, 0, String::new()),
    }
}

fn written((kind, key, expires, value): &(char, String, i64, String)) -> Option<Write> {
    let key = key.clone();
    if *kind == 'f' {
        return Some(Write::Forget(key));
    }
    let value = from_base64url(value)?;
    let record = Record { key, value, expires: Timestamp(*expires), version: 0 };
    match kind {
        'p' => Some(Write::Put(record)),
        'i' => Some(Write::PutIfAbsent(record)),
        _ => None,
    }
}

/// The bounds of a range.
#[must_use]
pub fn bounds(range: Range<'_>) -> Bounds {
    (range.start(), range.end())
}

/// A record as it is answered.
#[must_use]
pub fn row(record: Record) -> Row {
    (record.key, base64url(&record.value), record.expires.0, record.version)
}

/// A record as it was answered.
#[must_use]
pub fn record((key, value, expires, version): Row) -> Option<Record> {
    Some(Record { key, value: from_base64url(&value)?, expires: Timestamp(expires), version })
}

/// The name of a partition's object. No zone has a `/` in its name.
#[must_use]
pub fn name(partition: &Partition) -> String {
    let Partition { zone, kind, id } = partition;
    format!("{zone}/{}/{id}", kind.name())
}

/// The name of the object that has one part of a zone's index.
#[must_use]
pub fn part(zone: &str, number: u8) -> String {
    format!("{zone}/{number}")
}

/// Which part of the index has the entries of a session.
fn share(session: &str) -> u8 {
    sha256(session.as_bytes()).first().map_or(0, |byte| byte % PARTS)
}

/// What each part of the index is asked for a listing.
#[must_use]
pub fn asked(listing: &Listing) -> Asked {
    let Listing { index, name, from, after, limit } = listing;
    let limit = (*limit).min(limits::LIST_ENTRIES);
    (index.clone(), name.clone(), from.0, after.clone(), limit)
}

/// What the parts answered, as one page.
#[must_use]
pub fn page(found: Vec<Vec<Found>>, limit: usize) -> Page {
    // A part that gave all it was asked for may have more.
    let mut more = found.iter().any(|part| part.len() >= limit);
    let listed = |(at, session, key)| Listed { at: Timestamp(at), session, key };
    let mut entries: Vec<Listed> = found.into_iter().flatten().map(listed).collect();
    entries.sort_unstable();
    more |= entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| more).map(Listed::cursor);
    Page { entries, next }
}

/// For how long entries that have waited for `waited` milliseconds are left alone by an index that did
/// not take them: about as long again, so that the pauses double. `drawn` is between 0 and 1, and keeps
/// partitions that failed together from coming back together.
#[must_use]
pub fn retry_millis(waited: f64, drawn: f64) -> f64 {
    waited.clamp(RETRY_LEAST_MILLIS, RETRY_MOST_MILLIS) * (0.75 + drawn / 2.0)
}

/// The first pause: about that of a call that gets no answer, twice.
const RETRY_LEAST_MILLIS: f64 = 10_000.0;
/// No entry is later than about this after the index has come back.
const RETRY_MOST_MILLIS: f64 = 15.0 * 60_000.0;

/// Objects that share a zone's index: each takes the entries of its share of the sessions, so that
/// no single one has to keep up with the whole zone. There may be more one day: entries stay where
/// they are, and who lists asks all.
pub const PARTS: u8 = 8;
