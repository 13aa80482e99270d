//! The port: what a platform lends the core (design §3).
//!
//! One trait, because each method costs every target an implementation, in two parts: what a
//! resource server needs too is [`Outside`]. A target converts requests and lends a host; it
//! decides nothing.

use crate::event::Event;
use crate::http::{Inbound, Outbound};
use crate::jwk::{Algorithm, PublicKey};
use crate::limits;
use crate::memory::Memory;
use crate::moment::Timestamp;

/// The host could not do what was asked, or does not know whether it did. Always our fault, never
/// the caller's: it becomes a 503 with `Retry-After`.
///
/// The reason is for the operator's log. It never reaches a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable(pub String);

/// What a platform lends to whoever reads what others publish and checks what they signed: the zone
/// itself, and a resource server that verifies tokens ([`crate::verifier`]). No store, no private key.
///
/// Futures carry no `Send` bound: they are `Send` where the host is `Sync`, and need not be where
/// it is not.
#[expect(
    async_fn_in_trait,
    reason = "the core is generic over one host and never needs a `dyn` future"
)]
pub trait Outside {
    /// Makes a request to another server, within [`crate::limits::FETCH_SECS`].
    async fn fetch(&self, request: Outbound) -> Result<Inbound, Unavailable>;

    /// Verifies a signature of `algorithm`, which the core has checked to fit the key. `Ok(false)`
    /// where the signature, its length or its encoding is wrong, or the key is no valid point.
    ///
    /// ECDSA signatures are `r || s` (RFC 7518 §3.4).
    async fn verify(
        &self,
        algorithm: Algorithm,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, Unavailable>;

    /// Puts bytes where instances near and far find a copy of them, until `expires` at the least
    /// effort. The store stays the origin: whoever reads a copy checks it, and a copy that is lost
    /// costs a read or a fetch. A host without such a place does nothing.
    async fn publish(
        &self,
        _zone: &str,
        _name: &str,
        _bytes: &[u8],
        _expires: Timestamp,
    ) -> Result<(), Unavailable> {
        Ok(())
    }

    /// The nearest copy of what was published under `name`; it may be old, or missing although
    /// there is one elsewhere.
    async fn published(&self, _zone: &str, _name: &str) -> Result<Option<Vec<u8>>, Unavailable> {
        Ok(None)
    }

    /// Comes back after about so many milliseconds. A request that needs what another one of its
    /// instance is fetching looks again after a pause: no request is woken by another, which is not
    /// sound where each has an I/O context of its own.
    async fn pause(&self, millis: u32);

    /// What this instance remembers between requests.
    fn memory(&self) -> &Memory;
}

/// What a platform lends the core: with what is outside, a store, the zone's private keys and a log.
///
/// Every strong call ends within [`crate::limits::STORE_SECS`], with [`Unavailable`] at the latest
/// then; a read within [`crate::limits::READ_MILLIS`], because the core makes one that failed once more.
/// A host that cannot give up a call says [`Unavailable`] when it comes back.
#[expect(
    async_fn_in_trait,
    reason = "the core is generic over one host and never needs a `dyn` future"
)]
pub trait Host: Outside {
    /// Applies `batch` to `partition` whole or not at all, durably before it answers.
    ///
    /// Strongly consistent: every later `commit` and `read` on the partition, by any instance of
    /// this host, sees it. `Err` means that the outcome is unknown.
    async fn commit(&self, partition: &Partition, batch: Batch) -> Result<Commit, Unavailable>;

    /// Reads the records of `partition` in `range`, in key order, at most
    /// [`crate::limits::BATCH_RECORDS`] of them: fewer mean that there are no more. Strongly
    /// consistent. Expired ones are included: expiry is the core's to judge.
    async fn read(
        &self,
        partition: &Partition,
        range: Range<'_>,
    ) -> Result<Vec<Record>, Unavailable>;

    /// Lists what an index of `zone` holds, oldest first. Seconds behind at most, and never asked for
    /// a decision. Entries that expired may be there until they are swept.
    async fn list(&self, zone: &str, listing: &Listing) -> Result<Page, Unavailable>;

    /// Signs `message` with the zone's private key `kid`, in the form that JWS wants.
    async fn sign(&self, zone: &str, kid: &str, message: &[u8]) -> Result<Vec<u8>, Unavailable>;

    /// Makes a private key for `zone` and seals it with the platform's wrapping key, as
    /// [`crate::sealed`] says, under the RFC 7638 thumbprint of its public key as `kid`.
    ///
    /// A host that does not sign with `algorithm` says so.
    async fn generate(&self, zone: &str, algorithm: Algorithm) -> Result<NewKey, Unavailable>;

    /// Takes the one event of a request. Never blocks, never fails, holds no secret and no token.
    fn record(&self, event: &Event);
}

/// A small strongly consistent world: one session, one single-use proof, or a zone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// The zone's name: no partition is ever shared by two zones.
    pub zone: String,
    /// What kind of world it is.
    pub kind: Kind,
    /// Which one: a session id, a proof's hash, or the empty string for the zone itself.
    pub id: String,
}

/// The kinds of partition. Kinds never share an id space (X20).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A session and its hops. A single-use external token lives in the session that it opens.
    Session,
    /// The zone: its snapshot, its wrapped keys, its bundles.
    Zone,
}

impl Kind {
    /// The kind's name in a store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Zone => "zone",
        }
    }
}

/// Which records of a partition are read: those whose key starts with the prefix and is greater than
/// the last one of the page before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<'a> {
    /// How the keys start.
    pub prefix: &'a str,
    /// The last key of the page before; `None` for the first page.
    pub after: Option<&'a str>,
}

impl<'a> Range<'a> {
    /// The first page of the records whose key starts with `prefix`.
    #[must_use]
    pub const fn of(prefix: &'a str) -> Self {
        Self { prefix, after: None }
    }

    /// A bound that every key of the range is greater than or equal to, and no other key with the
    /// prefix is.
    #[must_use]
    pub fn start(&self) -> String {
        match self.after {
            // Keys are visible ASCII: a space sorts before all that could follow.
            Some(after) if after >= self.prefix => format!("{after} "),
            _ => self.prefix.to_owned(),
        }
    }

    /// A bound that every key of the range is less than, and every key with another prefix that
    /// sorts after it is not. It may be less than [`Range::start`], and then the range is empty.
    #[must_use]
    pub fn end(&self) -> String {
        // Keys are visible ASCII, and this sorts after all of it.
        format!("{}\u{7f}", self.prefix)
    }

    /// Whether the record with this key is in the range.
    #[must_use]
    pub fn holds(&self, key: &str) -> bool {
        key.starts_with(self.prefix) && self.after.is_none_or(|after| key > after)
    }
}

/// One record of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its name within the partition: visible ASCII.
    pub key: String,
    /// JSON, or the bytes of a bundle part; at most [`crate::limits::RECORD_BYTES`], except bundle
    /// parts, which may have [`crate::limits::BUNDLE_PART_BYTES`].
    pub value: Vec<u8>,
    /// The record counts as absent from this instant on. A platform's sweep never comes earlier.
    pub expires: Timestamp,
    /// How many times it was put since it last was absent, 1 after the first. Set by the store:
    /// what a batch says here is not read.
    pub version: u64,
}

/// What must hold, and what is then written, as one act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// A random id. A batch whose first write is found in the store with this very id has already
    /// been done, and is answered [`Commit::Done`]: a lost answer is not a replay.
    pub id: String,
    /// The instant by which expiry is judged.
    pub now: Timestamp,
    /// The batch is not applied after this instant of the host's own clock; it is [`Unavailable`]
    /// then. What was decided from a snapshot is not written when the snapshot is too old.
    pub until: Option<Timestamp>,
    /// What must hold, all of it, checked in this order.
    pub expect: Vec<Expect>,
    /// What is written: each record at most once. A batch without writes asks whether its conditions
    /// hold.
    pub write: Vec<Write>,
    /// What the index learns, at least once.
    pub index: Vec<Entry>,
}

impl Batch {
    /// Whether a partition of `kind` may be given the batch. A host asks before it does anything,
    /// and answers [`Unavailable`] with the reason: no target takes what another would not.
    ///
    /// # Errors
    ///
    /// The limit that it exceeds.
    pub fn within_limits(&self, kind: Kind) -> Result<(), &'static str> {
        let record_bytes = match kind {
            Kind::Session => limits::RECORD_BYTES,
            Kind::Zone => limits::BUNDLE_PART_BYTES,
        };
        if self.id.is_empty() {
            return Err("the batch has no id");
        }
        if self.write.len().max(self.index.len()) > limits::BATCH_RECORDS {
            return Err("the batch has too many records");
        }
        // Twice the records: a condition on each, and on each of a path's hops beside them.
        if self.expect.len() > limits::BATCH_RECORDS.saturating_mul(2) {
            return Err("the batch has too many conditions");
        }
        if kind == Kind::Zone && !self.index.is_empty() {
            return Err("the zone's own partition is not in any index");
        }
        let mut total = 0_usize;
        for write in &self.write {
            let bytes = match write {
                Write::Put(record) | Write::PutIfAbsent(record) => record.value.len(),
                Write::Forget(_) => 0,
            };
            let key = write.key();
            if self.write.iter().filter(|other| other.key() == key).count() > 1 {
                return Err("the batch writes a record twice");
            }
            if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err("a record's key is not visible ASCII");
            }
            if bytes > record_bytes {
                return Err("a record of the batch is too large");
            }
            total = total.saturating_add(bytes);
        }
        if total > limits::BATCH_BYTES {
            return Err("the batch is too large");
        }
        Ok(())
    }
}

/// One condition on a partition. A record whose `expires` is not after the batch's `now` is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// There is no record with this key.
    Absent(String),
    /// There is a record with this key, and it expires at `until` or later.
    Live {
        /// The record's key.
        key: String,
        /// The earliest expiry that will do.
        until: Timestamp,
    },
    /// As [`Expect::Live`], or as [`Expect::Absent`].
    LiveOrAbsent {
        /// The record's key.
        key: String,
        /// The earliest expiry that will do.
        until: Timestamp,
    },
    /// The record has this version; 0 where it is absent.
    Version {
        /// The record's key.
        key: String,
        /// The version expected.
        version: u64,
    },
    /// The record's version is below this one; an absent record's is 0.
    Below {
        /// The record's key.
        key: String,
        /// The first version that will not do.
        version: u64,
    },
}

impl Expect {
    /// The key that the condition is about.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Absent(key)
            | Self::Live { key, .. }
            | Self::LiveOrAbsent { key, .. }
            | Self::Version { key, .. }
            | Self::Below { key, .. } => key,
        }
    }
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Puts the record, over a present one too.
    Put(Record),
    /// Puts the record unless it is present, and then leaves it as it is.
    PutIfAbsent(Record),
    /// Removes the record with this key, where there is one.
    Forget(String),
}

impl Write {
    /// The key of the record that is written or removed.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put(record) | Self::PutIfAbsent(record) => &record.key,
            Self::Forget(key) => key,
        }
    }
}

/// One entry of the index: what lists, feeds and audit read, seconds behind at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which index: `user`, `application`, `resource`, `record` or `revoked`.
    pub index: &'static str,
    /// The value looked up by: a user's or an application's id, a resource, the zone's name, or an hour.
    pub name: String,
    /// When it happened.
    pub at: Timestamp,
    /// The record it points to, in the batch's partition.
    pub key: String,
    /// When the entry may be forgotten.
    pub expires: Timestamp,
}

/// Which entries of an index are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Which index: [`Entry::index`].
    pub index: String,
    /// The value looked up by: [`Entry::name`].
    pub name: String,
    /// The earliest instant.
    pub from: Timestamp,
    /// The page before it: its [`Page::next`].
    pub after: Option<String>,
    /// At most so many, up to [`crate::limits::LIST_ENTRIES`].
    pub limit: usize,
}

/// Entries of an index, in the order of their instants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Listed>,
    /// What to ask for the next page with, where there may be one. Opaque, and the host's own.
    pub next: Option<String>,
}

/// One entry of an index, as listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// When it happened.
    pub at: Timestamp,
    /// The session in whose partition the record is.
    pub session: String,
    /// The record's key.
    pub key: String,
}

impl Listed {
    /// A cursor after this entry, for hosts whose index is sorted by instant, session and key.
    #[must_use]
    pub fn cursor(&self) -> String {
        format!("{} {} {}", self.at.0, self.session, self.key)
    }

    /// Reads a [`Listed::cursor`].
    #[must_use]
    pub fn from_cursor(cursor: &str) -> Option<Self> {
        let mut parts = cursor.splitn(3, ' ');
        let at = Timestamp(parts.next()?.parse().ok()?);
        Some(Self { at, session: parts.next()?.to_owned(), key: parts.next()?.to_owned() })
    }
}

/// A private key that was just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// Its public key, with its `kid`.
    pub public: PublicKey,
    /// The private key, sealed.
    pub wrapped: Vec<u8>,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Every condition held and everything is durably written.
    Done,
    /// The condition on this key did not hold; nothing is written.
    Refused(String),
    /// Others kept writing to the partition until the host's time was up; nothing is written.
    Contended,
}
