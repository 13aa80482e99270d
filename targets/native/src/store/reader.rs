//! The thread that reads, on a connection that cannot write.
//!
//! Each look-up starts after the last acknowledged commit, and SQLite's snapshot of that moment
//! holds it: a read sees everything that anybody was told is done.

use rusqlite::{Connection, Statement, params};
use tokio::sync::{mpsc, oneshot};
use writ_core::host::{Kind, Listed, Listing, Page, Partition, Record, Unavailable};
use writ_core::limits;
use writ_core::moment::Timestamp;

/// A look-up and who waits for it.
#[derive(Debug)]
pub(super) enum Lookup {
    /// The records of a partition whose keys are from `start` on and before `end`.
    Records { partition: Partition, start: String, end: String, reply: Reply<Vec<Record>> },
    /// A page of an index.
    Entries { zone: String, listing: Listing, reply: Reply<Page> },
}

type Reply<T> = oneshot::Sender<Result<T, Unavailable>>;

/// Works until nobody can ask any more.
pub(super) fn run(connection: &Connection, mut lookups: mpsc::Receiver<Lookup>) {
    // Without its statements the thread ends, and every caller hears that it has stopped.
    let Ok(mut records) = connection.prepare(READ) else { return };
    let Ok(mut entries) = connection.prepare(LIST) else { return };
    while let Some(lookup) = lookups.blocking_recv() {
        match lookup {
            Lookup::Records { partition, start, end, reply } => {
                answer(reply, || read(&mut records, &partition, &start, &end));
            }
            Lookup::Entries { zone, listing, reply } => {
                answer(reply, || list(&mut entries, &zone, &listing));
            }
        }
    }
}

fn answer<T>(reply: Reply<T>, look: impl FnOnce() -> rusqlite::Result<T>) {
    if reply.is_closed() {
        return;
    }
    let found = look().map_err(|error| Unavailable(format!("the store cannot be read: {error}")));
    // Nobody may be waiting any more, which is no reason to fail.
    let _ = reply.send(found);
}

fn read(
    statement: &mut Statement<'_>,
    partition: &Partition,
    start: &str,
    end: &str,
) -> rusqlite::Result<Vec<Record>> {
    let Partition { zone, kind, id } = partition;
    let most = i64::try_from(limits::BATCH_RECORDS).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![id, start, end, kind.name(), zone, most], |row| {
        Ok(Record {
            key: row.get(0)?,
            value: row.get(1)?,
            expires: Timestamp(row.get(2)?),
            version: row.get::<_, i64>(3)?.unsigned_abs(),
        })
    })?;
    rows.collect()
}

fn list(statement: &mut Statement<'_>, zone: &str, listing: &Listing) -> rusqlite::Result<Page> {
    let limit = listing.limit.min(limits::LIST_ENTRIES);
    let after = listing.after.as_deref().and_then(Listed::from_cursor);
    // Without a cursor, everything at or after the earliest instant: no session's id is empty.
    let start =
        after.unwrap_or(Listed { at: listing.from, session: String::new(), key: String::new() });
    let from = listing.from.max(start.at);
    let one_more = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
    let parameters = params![
        zone,
        listing.index,
        listing.name,
        from.0,
        start.at.0,
        start.session,
        start.key,
        Kind::Session.name(),
        one_more,
    ];
    let rows = statement.query_map(parameters, |row| {
        Ok(Listed { at: Timestamp(row.get(0)?), session: row.get(1)?, key: row.get(2)? })
    })?;
    let mut entries: Vec<Listed> = rows.collect::<rusqlite::Result<_>>()?;
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| more).map(Listed::cursor);
    Ok(Page { entries, next })
}

const READ: &str = "SELECT key, value, expires, version FROM record
    WHERE zone = ?5 AND kind = ?4 AND id = ?1 AND key >= ?2 AND key < ?3
    ORDER BY key LIMIT ?6";

const LIST: &str = "SELECT at, id, key FROM entry
    WHERE zone = ?1 AND name = ?2 AND value = ?3 AND at >= ?4 AND kind = ?8
        AND (at, id, key) > (?5, ?6, ?7)
    ORDER BY at, id, key LIMIT ?9";
