//! The thread that writes: group commit, the sweep, and what happens when the disk says no.
//!
//! When anything in a group fails, the whole group is rolled back and every caller is told. The
//! thread itself never gives up: a full disk that gets space back is a store that works again.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Statement};
use tokio::sync::{mpsc, oneshot};
use writ_core::host::{Batch, Commit, Partition, Unavailable};
use writ_core::moment::Timestamp;
use writ_process::moment;

use super::SWEEP_ROWS;
use super::apply::{Statements, apply};
use super::place::Place;

/// What the writer is asked.
#[derive(Debug)]
pub(super) enum Command {
    /// Apply a batch.
    Commit(Job),
    /// Delete what expired long ago.
    Sweep(Timestamp, oneshot::Sender<Result<usize, Unavailable>>),
    /// Fold the log into the file and stop.
    Close(oneshot::Sender<()>),
}

/// A batch and who waits for it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) partition: Partition,
    pub(super) batch: Batch,
    pub(super) reply: oneshot::Sender<Result<Commit, Unavailable>>,
}

/// Works until it is told to close, or until nobody can ask any more.
pub(super) fn run(connection: &Connection, place: Place, mut commands: mpsc::Receiver<Command>) {
    // Without its statements the thread ends, and every caller hears that it has stopped.
    let Ok(mut writer) = Writer::new(connection, place) else { return };
    let mut waiting = Vec::with_capacity(GROUP);
    let mut group = Vec::with_capacity(GROUP);
    let mut before = 0_u32;
    while commands.blocking_recv_many(&mut waiting, GROUP) > 0 {
        // A flush costs the same for one batch as for fifty. The more callers the last group had,
        // the longer this one waits for the next of them; a caller that is alone never waits.
        if before > 1 {
            std::thread::sleep(GATHER.saturating_mul(before).min(GATHER_MOST));
            let free = GROUP.saturating_sub(waiting.len());
            waiting.extend(std::iter::from_fn(|| commands.try_recv().ok()).take(free));
        }
        before = u32::try_from(waiting.len()).unwrap_or(u32::MAX);
        for command in waiting.drain(..) {
            match command {
                Command::Commit(job) => group.push(job),
                Command::Sweep(now, reply) => {
                    writer.settle(&mut group);
                    // Nobody may be waiting any more, which is no reason to fail.
                    let _ = reply.send(writer.sweep(now));
                }
                Command::Close(reply) => {
                    writer.settle(&mut group);
                    // Only tidiness: what is in the log is as durable as what is in the file.
                    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
                    let _ = reply.send(());
                    return;
                }
            }
        }
        writer.settle(&mut group);
    }
}

struct Writer<'connection> {
    connection: &'connection Connection,
    place: Place,
    begin: Statement<'connection>,
    commit: Statement<'connection>,
    statements: Statements<'connection>,
    /// Whose entries were swept last: zone, name and value; empty where a round begins.
    swept: (String, String, String),
}

impl<'connection> Writer<'connection> {
    fn new(connection: &'connection Connection, place: Place) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            place,
            // Immediate: the lock is taken before the first condition is read, so that no other
            // process can make it untrue before the commit.
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
            statements: Statements::prepare(connection)?,
            swept: Default::default(),
        })
    }

    /// Applies a group in one transaction, and answers everyone in it.
    fn settle(&mut self, group: &mut Vec<Job>) {
        // Who timed out has been told that the outcome is unknown; not doing it is one of those.
        group.retain(|job| !job.reply.is_closed());
        if group.is_empty() {
            return;
        }
        match self.transaction(|writer| {
            // Another process may have held the lock for seconds.
            let now = moment::now();
            let late = |job: &Job| job.batch.until.is_some_and(|until| now > until);
            let apply = |job| match late(job) {
                true => Ok(None),
                false => apply(&mut writer.statements, &job.partition, &job.batch).map(Some),
            };
            group.iter().map(apply).collect::<rusqlite::Result<Vec<Option<Commit>>>>()
        }) {
            Ok(outcomes) => {
                let late = || Unavailable("the batch came too late to be written".into());
                for (job, outcome) in group.drain(..).zip(outcomes) {
                    let _ = job.reply.send(outcome.ok_or_else(late));
                }
            }
            Err(error) => {
                let outcome = explain(&error);
                for job in group.drain(..) {
                    let _ = job.reply.send(outcome.clone());
                }
            }
        }
    }

    /// Deletes rows whose expiry lies [`MARGIN_SECS`] and more before `now`.
    fn sweep(&mut self, now: Timestamp) -> Result<usize, Unavailable> {
        let before = now.plus(-MARGIN_SECS).0;
        let rows = i64::try_from(SWEEP_ROWS).unwrap_or(i64::MAX);
        self.transaction(|writer| {
            let swept = writer.connection.prepare_cached(SWEEP_RECORDS)?.execute((before, rows))?;
            Ok(swept.saturating_add(writer.sweep_entries(before)?))
        })
        .map_err(|error| match explain(&error) {
            Err(unavailable) => unavailable,
            Ok(_) => Unavailable("another process holds the store".into()),
        })
    }

    /// Goes from name to name where the last sweep stopped, and takes the expired entries at the
    /// beginning of each. No entry has an index of its own to be found by when it has expired: it
    /// would cost every commit more than this costs.
    fn sweep_entries(&mut self, before: i64) -> rusqlite::Result<usize> {
        let mut next = self.connection.prepare_cached(NEXT_NAME)?;
        let mut sweep = self.connection.prepare_cached(SWEEP_ENTRIES)?;
        let mut count = 0_usize;
        for _ in 0..SWEEP_NAMES {
            let (zone, name, value) = &self.swept;
            let found = next.query_row((zone, name, value), |row| row.try_into()).optional()?;
            // After the last name, the next sweep begins anew.
            self.swept = found.unwrap_or_default();
            let (zone, name, value) = &self.swept;
            if zone.is_empty() {
                break;
            }
            loop {
                let rows = SWEEP_TOGETHER.min(SWEEP_ROWS.saturating_sub(count));
                let most = i64::try_from(rows).unwrap_or(i64::MAX);
                let taken = sweep.execute((zone, name, value, before, most))?;
                count = count.saturating_add(taken);
                if count >= SWEEP_ROWS {
                    return Ok(count);
                }
                if taken < rows {
                    break;
                }
            }
        }
        Ok(count)
    }

    fn transaction<T>(
        &mut self,
        body: impl FnOnce(&mut Self) -> rusqlite::Result<T>,
    ) -> Result<T, Fault> {
        if let Some(path) = self.place.lost() {
            return Err(Fault::Lost(path.into()));
        }
        self.rollback()?;
        self.begin.execute([])?;
        let result = body(self).and_then(|value| self.commit.execute([]).map(|_| value));
        if result.is_err() {
            // Where this fails too, the next transaction tries again before it begins.
            let _ = self.rollback();
        }
        Ok(result?)
    }

    /// Ends a transaction that is still open. SQLite ends some by itself when the disk fails.
    fn rollback(&self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.connection.execute_batch("ROLLBACK")
    }
}

/// Why a transaction came to nothing.
enum Fault {
    /// The file is no longer where it was opened.
    Lost(PathBuf),
    /// SQLite's word.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// What a failed transaction means to its callers. Nothing of it is visible in the store.
fn explain(fault: &Fault) -> Result<Commit, Unavailable> {
    let error = match fault {
        Fault::Lost(path) => {
            return Err(Unavailable(format!(
                "{} was moved away or removed: put it back, or start again",
                path.display()
            )));
        }
        Fault::Sqlite(error) => error,
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Ok(Commit::Contended),
        Some(ErrorCode::DiskFull) => Err(Unavailable(
            "the store is full: free space on its disk, or raise `--max-data-bytes`".into(),
        )),
        _ => Err(Unavailable(format!("the store failed: {error}"))),
    }
}

/// Batches in one transaction at most, so that the first of them does not wait for long.
const GROUP: usize = 256;

/// How long the writer waits for more batches, for each that the last group had.
const GATHER: Duration = Duration::from_micros(200);

/// How long it waits at most.
const GATHER_MOST: Duration = Duration::from_millis(2);

/// Seconds that a row is kept beyond its expiry: a clock that is set forward by mistake for less
/// than this must not make the store forget a spent proof.
const MARGIN_SECS: i64 = 3_600;

const SWEEP_RECORDS: &str = "DELETE FROM record WHERE rowid IN
    (SELECT rowid FROM record WHERE expires <= ?1 ORDER BY expires LIMIT ?2)";

/// Names that one sweep of the index looks at, at most.
const SWEEP_NAMES: usize = 200;

/// Entries of one name that are looked at together.
const SWEEP_TOGETHER: usize = 50;

const NEXT_NAME: &str = "SELECT zone, name, value FROM entry
    WHERE (zone, name, value) > (?1, ?2, ?3) ORDER BY zone, name, value LIMIT 1";

// Entries of one name expire in the order of their instants, or nearly so: the oldest are enough.
const SWEEP_ENTRIES: &str = "DELETE FROM entry WHERE expires <= ?4 AND rowid IN
    (SELECT rowid FROM entry WHERE zone = ?1 AND name = ?2 AND value = ?3 ORDER BY at LIMIT ?5)";
