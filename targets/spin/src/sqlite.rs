//! Partitions on Spin's SQLite.
//!
//! Each `execute` of Spin is a transaction of its own, so a batch is one statement: its conditions
//! stand beside its writes, and SQLite applies both or neither. Whoever is refused asks once more
//! which condition it was. Records, what was forgotten and index entries are rows of one table,
//! because one statement writes to one table.

use std::fmt::Write as _;

use writ_core::host::{
    Batch, Commit, Expect, Listed, Listing, Page, Partition, Range, Record, Unavailable, Write,
};
use writ_core::limits;
use writ_core::moment::Timestamp;
use writ_core::store::{self, Stored};

/// A value of a statement or of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Integer(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
    /// Nothing.
    Null,
}

/// A row.
pub type Row = Vec<Value>;

/// Why a statement failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

impl Fault {
    fn is_busy(&self) -> bool {
        let text = self.0.to_ascii_lowercase();
        text.contains("locked") || text.contains("busy")
    }

    fn is_without_schema(&self) -> bool {
        self.0.contains("no such table")
    }
}

impl From<Fault> for Unavailable {
    fn from(Fault(reason): Fault) -> Self {
        Self(format!("the database: {reason}"))
    }
}

/// Executes one statement and returns its rows.
pub trait Execute {
    /// See [`Execute`].
    ///
    /// # Errors
    ///
    /// The database's own words.
    fn execute(&self, statement: &str, values: &[Value]) -> Result<Vec<Row>, Fault>;
}

/// Applies a batch. See `writ_core::host::Host::commit`.
///
/// # Errors
///
/// The batch exceeds a limit or comes too late, or the database failed.
pub fn commit(
    database: &impl Execute,
    partition: &Partition,
    batch: &Batch,
) -> Result<Commit, Unavailable> {
    batch.within_limits(partition.kind).map_err(|reason| Unavailable(reason.into()))?;
    let (statement, values) = conditional(partition, batch);
    for _ in 0..TRIES {
        if !(batch.write.is_empty() && batch.index.is_empty()) {
            match run(database, &statement, &values) {
                Ok(written) if !written.is_empty() => return Ok(Commit::Done),
                Ok(_) => {}
                Err(fault) if fault.is_busy() => return Ok(Commit::Contended),
                Err(fault) => return Err(fault.into()),
            }
        }
        if let Some(commit) = explain(database, partition, batch)? {
            return Ok(commit);
        }
        // Between the two statements somebody changed what had refused this one: it goes on.
    }
    Ok(Commit::Contended)
}

/// Reads a range of records. See `writ_core::host::Host::read`.
///
/// # Errors
///
/// The database failed.
pub fn read(
    database: &impl Execute,
    partition: &Partition,
    range: Range<'_>,
) -> Result<Vec<Record>, Unavailable> {
    let mut values = place(partition);
    values.extend([text(&range.start()), text(&range.end()), count(limits::BATCH_RECORDS)]);
    run(database, READ, &values)?
        .into_iter()
        .map(|row| match <[Value; 4]>::try_from(row) {
            Ok(
                [
                    Value::Text(key),
                    Value::Blob(value),
                    Value::Integer(expires),
                    Value::Integer(version),
                ],
            ) => Ok(Record {
                key,
                value,
                expires: Timestamp(expires),
                version: version.unsigned_abs(),
            }),
            _ => Err(Unavailable("a row of the database has another form".to_owned())),
        })
        .collect()
}

/// Lists entries of an index. See `writ_core::host::Host::list`.
///
/// # Errors
///
/// The cursor is none of ours, or the database failed.
pub fn list(database: &impl Execute, zone: &str, listing: &Listing) -> Result<Page, Unavailable> {
    let after = match &listing.after {
        None => instant(listing.from),
        Some(cursor) => {
            let last = Listed::from_cursor(cursor);
            let last = last.ok_or_else(|| Unavailable("the cursor is unreadable".to_owned()))?;
            entry_key(last.at, &last.session, &last.key)
        }
    };
    let limit = listing.limit.min(limits::LIST_ENTRIES);
    let values =
        [text(zone), text(&entry_id(&listing.index, &listing.name)), text(&after), count(limit)];
    let rows = run(database, LIST, &values)?;
    let entries: Vec<Listed> = rows
        .iter()
        .filter_map(|row| match row.first() {
            Some(Value::Text(key)) => Listed::from_cursor(key),
            _ => None,
        })
        .collect();
    let full = entries.len() == limit;
    let next = entries.last().filter(|_| full).map(Listed::cursor);
    Ok(Page { entries, next })
}

/// Removes rows that expired more than an hour ago, a bounded number of them. The hour is for a clock
/// that is set forward by mistake: it must not make the store forget a spent proof.
///
/// # Errors
///
/// The database failed.
pub fn sweep(database: &impl Execute, now: Timestamp) -> Result<(), Unavailable> {
    let before = now.plus(SWEEP_SECS.saturating_neg());
    run(database, SWEEP, &[Value::Integer(before.0)])?;
    Ok(())
}

/// Runs a statement; on a database without our table, once more after making it.
fn run(database: &impl Execute, statement: &str, values: &[Value]) -> Result<Vec<Row>, Fault> {
    match database.execute(statement, values) {
        Err(fault) if fault.is_without_schema() => {
            for step in SCHEMA {
                database.execute(step, &[])?;
            }
            database.execute(statement, values)
        }
        outcome => outcome,
    }
}

/// Why nothing was written: `None` where nothing speaks against it any more.
fn explain(
    database: &impl Execute,
    partition: &Partition,
    batch: &Batch,
) -> Result<Option<Commit>, Unavailable> {
    let keys = store::keys(batch);
    let mut values = place(partition);
    values.extend(keys.iter().copied().map(text));
    let marks = marks(keys.len(), 4);
    let statement = format!("{FIND} AND key IN ({marks})");
    let (mut clock, mut present, mut done) = (0, Vec::new(), false);
    for row in run(database, &statement, &values)? {
        let Ok(
            [Value::Text(key), Value::Integer(expires), Value::Integer(version), Value::Text(id)],
        ) = <[Value; 4]>::try_from(row)
        else {
            return Err(Unavailable("a row of the database has another form".to_owned()));
        };
        if key.is_empty() {
            clock = expires;
            continue;
        }
        // What was forgotten counts as absent, and still says who forgot it.
        let first = batch.write.first().is_some_and(|write| write.key() == key);
        done = done || (first && id == batch.id);
        if version > 0 {
            let version = version.unsigned_abs();
            let expires = Timestamp(expires);
            present.push(Stored {
                record: Record { key, value: Vec::new(), expires, version },
                batch: id,
            });
        }
    }
    if done {
        return Ok(Some(Commit::Done));
    }
    let find = |key: &str| present.iter().find(|stored| stored.record.key == key);
    if let Some(key) = store::refused(batch, find) {
        return Ok(Some(Commit::Refused(key.to_owned())));
    }
    if batch.until.is_some_and(|until| clock > until.0) {
        return Err(Unavailable("the batch came too late to be written".to_owned()));
    }
    let empty = batch.write.is_empty() && batch.index.is_empty();
    Ok(empty.then_some(Commit::Done))
}

/// The one statement of a batch, and its values.
fn conditional(partition: &Partition, batch: &Batch) -> (String, Vec<Value>) {
    let Partition { id, kind, .. } = partition;
    let mut values = place(partition);
    values.push(Value::Integer(batch.now.0));
    values.push(batch.until.map_or(Value::Null, |until| Value::Integer(until.0)));
    values.push(text(&batch.id));
    values.push(batch.write.first().map_or(Value::Null, |write| text(write.key())));

    let mut statement = String::from("WITH ");
    if !batch.expect.is_empty() {
        let first = values.len().saturating_add(1);
        let _ = writeln!(
            statement,
            "expected(key, test, number) AS (VALUES {}),",
            rows(batch.expect.len(), 3, first)
        );
        for expect in &batch.expect {
            let (test, number) = test(expect);
            values.extend([text(expect.key()), text(test), Value::Integer(number)]);
        }
    }
    let lines = batch.write.len().saturating_add(batch.index.len());
    let first = values.len().saturating_add(1);
    let _ = writeln!(
        statement,
        "given(kind, id, key, act, expires, value) AS (VALUES {})",
        rows(lines, 6, first)
    );
    for write in &batch.write {
        let (act, key, expires, value) = match write {
            Write::Put(record) => ("put", &record.key, record.expires, &*record.value),
            Write::PutIfAbsent(record) => ("keep", &record.key, record.expires, &*record.value),
            Write::Forget(key) => ("forget", key, batch.now, &[][..]),
        };
        values.extend([text(kind.name()), text(id), text(key), text(act)]);
        values.extend([Value::Integer(expires.0), Value::Blob(value.to_vec())]);
    }
    for entry in &batch.index {
        let (place, key) =
            (entry_id(entry.index, &entry.name), entry_key(entry.at, id, &entry.key));
        values.extend([text("index"), text(&place), text(&key), text("put")]);
        values.extend([Value::Integer(entry.expires.0), Value::Blob(Vec::new())]);
    }
    statement.push_str(APPLY);
    if !batch.expect.is_empty() {
        statement.push_str(CONDITIONS);
    }
    statement.push_str(UPSERT);
    (statement, values)
}

fn test(expect: &Expect) -> (&'static str, i64) {
    let number = |version: u64| i64::try_from(version).unwrap_or(i64::MAX);
    match expect {
        Expect::Absent(_) => ("absent", 0),
        Expect::Live { until, .. } => ("live", until.0),
        Expect::LiveOrAbsent { until, .. } => ("live or absent", until.0),
        Expect::Version { version, .. } => ("version", number(*version)),
        Expect::Below { version, .. } => ("below", number(*version)),
    }
}

fn place(partition: &Partition) -> Vec<Value> {
    vec![text(&partition.zone), text(partition.kind.name()), text(&partition.id)]
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn count(count: usize) -> Value {
    Value::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Where the entries of one name of an index lie. No index has a space in its own name.
fn entry_id(index: &str, name: &str) -> String {
    format!("{index} {name}")
}

/// The row of one entry: sorts by instant, then session, then key, and reads as [`Listed::cursor`].
fn entry_key(at: Timestamp, session: &str, key: &str) -> String {
    format!("{} {session} {key}", instant(at))
}

/// Text that sorts as the instants do, of which there are none before 1970.
fn instant(at: Timestamp) -> String {
    format!("{:020}", at.0.max(0))
}

/// `(?8, ?9), (?10, ?11)`: `count` rows of `width` values, the first of them number `first`.
fn rows(count: usize, width: usize, first: usize) -> String {
    let row = |number: usize| {
        let start = first.saturating_add(number.saturating_mul(width));
        format!("({})", marks(width, start))
    };
    (0..count).map(row).collect::<Vec<_>>().join(", ")
}

/// `?4, ?5, ?6`.
fn marks(count: usize, first: usize) -> String {
    (0..count)
        .map(|number| format!("?{}", first.saturating_add(number)))
        .collect::<Vec<_>>()
        .join(", ")
}

// A row whose version is 0 was forgotten: it counts as absent, and stays until the sweep.
const SCHEMA: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS writ (
        zone    TEXT NOT NULL,
        kind    TEXT NOT NULL,
        id      TEXT NOT NULL,
        key     TEXT NOT NULL,
        expires INTEGER NOT NULL,
        version INTEGER NOT NULL,
        batch   TEXT NOT NULL,
        value   BLOB NOT NULL,
        PRIMARY KEY (zone, kind, id, key)
    )",
    "CREATE INDEX IF NOT EXISTS writ_expires ON writ (expires)",
];

// SQLite reads the whole of a SELECT before it inserts, where both are about one table: every row is
// judged by what was there before the statement. A record that had expired was absent, so its count
// of versions starts again; one that is kept is written as it was, so that it shows in the answer.
const APPLY: &str = "INSERT INTO writ (zone, kind, id, key, expires, version, batch, value)
SELECT ?1, given.kind, given.id, given.key,
    iif(given.act = 'keep' AND old.expires > ?4, old.expires, given.expires),
    CASE
        WHEN given.act = 'forget' THEN 0
        WHEN old.expires > ?4 THEN old.version + (given.act = 'put')
        ELSE 1
    END,
    iif(given.act = 'keep' AND old.expires > ?4, old.batch, ?6),
    iif(given.act = 'keep' AND old.expires > ?4, old.value, given.value)
FROM given LEFT JOIN writ AS old ON old.zone = ?1 AND old.kind = given.kind AND old.id = given.id
    AND old.key = given.key AND old.version > 0
WHERE (?5 IS NULL OR CAST(strftime('%s', 'now') AS INTEGER) <= ?5)
    AND NOT EXISTS (SELECT 1 FROM writ
        WHERE zone = ?1 AND kind = ?2 AND id = ?3 AND key = ?7 AND batch = ?6)
";

const CONDITIONS: &str = "    AND NOT EXISTS (
        SELECT 1 FROM expected LEFT JOIN writ AS found ON found.zone = ?1 AND found.kind = ?2
            AND found.id = ?3 AND found.key = expected.key AND found.version > 0
            AND found.expires > ?4
        WHERE CASE expected.test
            WHEN 'absent' THEN found.key IS NOT NULL
            WHEN 'live' THEN found.key IS NULL OR found.expires < expected.number
            WHEN 'live or absent' THEN found.key IS NOT NULL AND found.expires < expected.number
            WHEN 'version' THEN coalesce(found.version, 0) <> expected.number
            WHEN 'below' THEN coalesce(found.version, 0) >= expected.number
            ELSE 1
        END)
";

const UPSERT: &str = "ON CONFLICT (zone, kind, id, key) DO UPDATE SET expires = excluded.expires,
    version = excluded.version, batch = excluded.batch, value = excluded.value
RETURNING 1";

const READ: &str = "SELECT key, value, expires, version FROM writ
WHERE zone = ?1 AND kind = ?2 AND id = ?3 AND key >= ?4 AND key < ?5 AND version > 0
ORDER BY key LIMIT ?6";

// The database's clock comes along, as a row that no record has the key of.
const FIND: &str = "SELECT '', CAST(strftime('%s', 'now') AS INTEGER), 0, ''
UNION ALL SELECT key, expires, version, batch FROM writ
WHERE zone = ?1 AND kind = ?2 AND id = ?3";

const LIST: &str = "SELECT key FROM writ
WHERE zone = ?1 AND kind = 'index' AND id = ?2 AND key > ?3 ORDER BY key LIMIT ?4";

const SWEEP: &str = "DELETE FROM writ WHERE rowid IN
(SELECT rowid FROM writ WHERE expires < ?1 ORDER BY expires LIMIT 256)";

/// Attempts of one commit. A second one is needed where another commit came between a refusal and the
/// look for its reason.
const TRIES: usize = 8;

/// How long a row stays after it expired.
const SWEEP_SECS: i64 = 3_600;
