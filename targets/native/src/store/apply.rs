//! What a batch means: its conditions and its writes, inside an open transaction.
//!
//! All conditions are checked before anything is written, so a refused batch leaves no trace and
//! needs no savepoint, and the batches after it in the same transaction go on. Statements are
//! prepared once and kept. Most batches open a session or extend a short one, so the partition is
//! looked at once, not once for each condition.

use rusqlite::{Connection, Row, Statement, params};
use writ_core::host::{Batch, Commit, Entry, Expect, Partition, Record, Write};
use writ_core::moment::Timestamp;

/// The prepared statements of the writer.
pub(super) struct Statements<'connection> {
    look: Statement<'connection>,
    find: Statement<'connection>,
    put: Statement<'connection>,
    put_if_absent: Statement<'connection>,
    forget: Statement<'connection>,
    enter: Statement<'connection>,
}

impl<'connection> Statements<'connection> {
    pub(super) fn prepare(connection: &'connection Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            look: connection.prepare(LOOK)?,
            find: connection.prepare(FIND)?,
            put: connection.prepare(PUT)?,
            put_if_absent: connection.prepare(PUT_IF_ABSENT)?,
            forget: connection.prepare(FORGET)?,
            enter: connection.prepare(ENTER)?,
        })
    }
}

/// Applies one batch to what the transaction sees, earlier batches of the same group included.
pub(super) fn apply(
    statements: &mut Statements<'_>,
    partition: &Partition,
    batch: &Batch,
) -> rusqlite::Result<Commit> {
    let mut sight = Sight::new(statements, partition, &batch.id)?;
    if let Some(write) = batch.write.first()
        && sight.find(write.key())?.is_some_and(|found| found.own)
    {
        return Ok(Commit::Done);
    }
    for expect in &batch.expect {
        if !holds(expect, sight.find(expect.key())?, batch.now) {
            return Ok(Commit::Refused(expect.key().to_owned()));
        }
    }
    for write in &batch.write {
        match write {
            Write::Put(record) => put(&mut statements.put, partition, batch, record)?,
            Write::PutIfAbsent(record) => {
                put(&mut statements.put_if_absent, partition, batch, record)?;
            }
            Write::Forget(key) => forget(&mut statements.forget, partition, key)?,
        }
    }
    for entry in &batch.index {
        enter(&mut statements.enter, partition, entry)?;
    }
    Ok(Commit::Done)
}

/// What is seen of a partition before the batch is applied.
struct Sight<'a, 'connection> {
    find: &'a mut Statement<'connection>,
    partition: &'a Partition,
    batch: &'a str,
    /// The partition's first records.
    first: Vec<(String, Found)>,
    /// Whether there are no others.
    whole: bool,
}

/// What the store holds under a key, expired or not.
#[derive(Clone, Copy)]
struct Found {
    expires: Timestamp,
    version: u64,
    /// Whether the batch at hand wrote it, in an earlier attempt.
    own: bool,
}

impl<'a, 'connection> Sight<'a, 'connection> {
    fn new(
        statements: &'a mut Statements<'connection>,
        partition: &'a Partition,
        batch: &'a str,
    ) -> rusqlite::Result<Self> {
        let Statements { look, find, .. } = statements;
        let Partition { zone, kind, id } = partition;
        let rows = look.query_map(params![id, kind.name(), zone, batch, LOOK_ROWS], |row| {
            Ok((row.get(3)?, Found::read(row)?))
        })?;
        let first: Vec<(String, Found)> = rows.collect::<rusqlite::Result<_>>()?;
        let whole = i64::try_from(first.len()).is_ok_and(|rows| rows < LOOK_ROWS);
        Ok(Self { find, partition, batch, first, whole })
    }

    fn find(&mut self, key: &str) -> rusqlite::Result<Option<Found>> {
        let seen = self.first.iter().find(|(name, _)| name == key);
        if seen.is_some() || self.whole {
            return Ok(seen.map(|(_, found)| *found));
        }
        let Partition { zone, kind, id } = self.partition;
        let mut rows = self.find.query(params![id, kind.name(), zone, self.batch, key])?;
        rows.next()?.map(Found::read).transpose()
    }
}

impl Found {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let version: i64 = row.get(1)?;
        Ok(Self {
            expires: Timestamp(row.get(0)?),
            version: version.unsigned_abs(),
            own: row.get(2)?,
        })
    }
}

fn holds(expect: &Expect, found: Option<Found>, now: Timestamp) -> bool {
    let present = found.filter(|found| found.expires > now);
    let current = present.map_or(0, |found| found.version);
    match expect {
        Expect::Absent(_) => present.is_none(),
        Expect::Live { until, .. } => present.is_some_and(|found| found.expires >= *until),
        Expect::LiveOrAbsent { until, .. } => present.is_none_or(|found| found.expires >= *until),
        Expect::Version { version, .. } => current == *version,
        Expect::Below { version, .. } => current < *version,
    }
}

fn put(
    statement: &mut Statement<'_>,
    partition: &Partition,
    batch: &Batch,
    record: &Record,
) -> rusqlite::Result<()> {
    let Partition { zone, kind, id } = partition;
    let kind = kind.name();
    let Record { key, value, expires, .. } = record;
    statement
        .execute(params![id, key, kind, zone, expires.0, batch.id, value, batch.now.0])
        .map(|_| ())
}

fn forget(statement: &mut Statement<'_>, partition: &Partition, key: &str) -> rusqlite::Result<()> {
    let Partition { zone, kind, id } = partition;
    statement.execute(params![id, key, kind.name(), zone]).map(|_| ())
}

fn enter(
    statement: &mut Statement<'_>,
    partition: &Partition,
    entry: &Entry,
) -> rusqlite::Result<()> {
    let Partition { zone, kind, id } = partition;
    let Entry { index, name, at, key, expires } = entry;
    statement.execute(params![zone, index, name, at.0, kind.name(), id, key, expires.0]).map(|_| ())
}

/// More than most sessions have. The rest of a longer one is asked for key by key.
const LOOK_ROWS: i64 = 9;

const LOOK: &str = "SELECT expires, version, batch = ?4, key FROM record
    WHERE id = ?1 AND kind = ?2 AND zone = ?3 LIMIT ?5";

const FIND: &str = "SELECT expires, version, batch = ?4 FROM record
    WHERE id = ?1 AND kind = ?2 AND zone = ?3 AND key = ?5";

// A record that had expired was absent, so its count of versions starts again.
const PUT: &str = "INSERT INTO record (id, key, kind, zone, expires, version, batch, value)
    VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7)
    ON CONFLICT (zone, kind, id, key) DO UPDATE SET
        version = iif(expires > ?8, version + 1, 1),
        expires = excluded.expires, batch = excluded.batch, value = excluded.value";

const PUT_IF_ABSENT: &str =
    "INSERT INTO record (id, key, kind, zone, expires, version, batch, value)
    VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7)
    ON CONFLICT (zone, kind, id, key) DO UPDATE SET
        version = 1, expires = excluded.expires, batch = excluded.batch, value = excluded.value
        WHERE record.expires <= ?8";

const FORGET: &str = "DELETE FROM record WHERE id = ?1 AND key = ?2 AND kind = ?3 AND zone = ?4";

// Nothing is looked up here: a batch is applied once, so its entries are new.
const ENTER: &str = "INSERT INTO entry
    (zone, name, value, at, kind, id, key, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
