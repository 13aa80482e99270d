//! The thread that reads, on a connection that cannot write.
//!
//! Each look-up starts after the last acknowledged commit, and SQLite's snapshot of that moment
//! holds it: a read sees everything that anybody was told is done.

use rusqlite::{Connection, Statement, params};
use tokio::sync::{mpsc, oneshot};
use writ_core::host::{Partition, Record, Unavailable};
use writ_core::limits;
use writ_core::moment::Timestamp;

/// A look-up and who waits for it.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) partition: Partition,
    pub(super) prefix: String,
    pub(super) reply: oneshot::Sender<Result<Vec<Record>, Unavailable>>,
}

/// Works until nobody can ask any more.
pub(super) fn run(connection: &Connection, mut lookups: mpsc::Receiver<Lookup>) {
    // Without its statement the thread ends, and every caller hears that it has stopped.
    let Ok(mut statement) = connection.prepare(READ) else { return };
    while let Some(Lookup { partition, prefix, reply }) = lookups.blocking_recv() {
        if reply.is_closed() {
            continue;
        }
        let records = read(&mut statement, &partition, &prefix)
            .map_err(|error| Unavailable(format!("the store cannot be read: {error}")));
        // Nobody may be waiting any more, which is no reason to fail.
        let _ = reply.send(records);
    }
}

fn read(
    statement: &mut Statement<'_>,
    partition: &Partition,
    prefix: &str,
) -> rusqlite::Result<Vec<Record>> {
    let Partition { zone, kind, id } = partition;
    // Keys are visible ASCII, so what starts with the prefix lies below the prefix and DEL.
    let end = format!("{prefix}\u{7f}");
    let most = i64::try_from(limits::BATCH_RECORDS).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![id, prefix, end, kind.name(), zone, most], |row| {
        Ok(Record {
            key: row.get(0)?,
            value: row.get(1)?,
            expires: Timestamp(row.get(2)?),
            version: row.get::<_, i64>(3)?.unsigned_abs(),
        })
    })?;
    rows.collect()
}

const READ: &str = "SELECT key, value, expires, version FROM record
    WHERE zone = ?5 AND kind = ?4 AND id = ?1 AND key >= ?2 AND key < ?3
    ORDER BY key LIMIT ?6";
