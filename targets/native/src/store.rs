//! The strong store: one SQLite file (docs/storage.md).
//!
//! One thread writes. It takes every batch that is waiting, applies them in order inside one
//! transaction and answers each only after the transaction is on disk, so many batches share one
//! flush. Another thread reads, on its own connection. Callers wait no longer than
//! [`limits::STORE_SECS`], and for a read half of that; then the outcome is unknown, and unknown counts
//! as unavailable.
//!
//! INVARIANT: no answer goes out before the flush that makes it true.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use writ_core::host::{Batch, Commit, Listing, Page, Partition, Range, Record, Unavailable};
use writ_core::limits;
use writ_core::moment::Timestamp;

use self::reader::Lookup;
use self::writer::{Command, Job};

pub use self::open::StoreError;

mod apply;
mod open;
mod place;
mod reader;
mod writer;

/// Where the store lies and how large it may become.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The database file. Its directory must exist.
    pub path: PathBuf,
    /// The most bytes that the file may have, where the operator sets a limit. The write-ahead log
    /// beside it comes on top, about 16 MiB at most.
    pub max_bytes: Option<u64>,
}

/// A handle to the store. Its threads end with it.
#[derive(Debug)]
pub struct Store {
    commands: mpsc::Sender<Command>,
    lookups: mpsc::Sender<Lookup>,
    fresh: bool,
}

impl Store {
    /// Opens the store, creates it where the file is new, and brings an older one up to date.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub fn open(options: &StoreOptions) -> Result<Self, StoreError> {
        let (writer, fresh) = open::writer(options)?;
        let place = open::place(options)?;
        let reader = open::reader(options)?;
        let (commands, waiting_commands) = mpsc::channel(QUEUE);
        let (lookups, waiting_lookups) = mpsc::channel(QUEUE);
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.into())
                .spawn(body)
                .map_err(|error| StoreError::Thread(error.to_string()))
        };
        spawn("store-writer", Box::new(move || writer::run(&writer, place, waiting_commands)))?;
        spawn("store-reader", Box::new(move || reader::run(&reader, waiting_lookups)))?;
        Ok(Self { commands, lookups, fresh })
    }

    /// Whether the store held no record when it was opened.
    #[must_use]
    pub const fn fresh(&self) -> bool {
        self.fresh
    }

    /// Applies `batch` to `partition` whole or not at all, as [`writ_core::host::Host::commit`]
    /// says.
    ///
    /// # Errors
    ///
    /// The batch exceeds a limit, the disk is full or fails, or no answer came in time.
    pub async fn commit(&self, partition: &Partition, batch: Batch) -> Result<Commit, Unavailable> {
        batch.within_limits(partition.kind).map_err(|reason| Unavailable(reason.into()))?;
        let (reply, answer) = oneshot::channel();
        let job = Job { partition: partition.clone(), batch, reply };
        ask(&self.commands, Command::Commit(job), answer, CALL).await?
    }

    /// Reads the records of `partition` in `range`, as
    /// [`writ_core::host::Host::read`] says.
    ///
    /// # Errors
    ///
    /// The disk fails, or no answer came in time.
    pub async fn read(
        &self,
        partition: &Partition,
        range: Range<'_>,
    ) -> Result<Vec<Record>, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let partition = partition.clone();
        let lookup = Lookup::Records { partition, start: range.start(), end: range.end(), reply };
        ask(&self.lookups, lookup, answer, READ).await?
    }

    /// Lists entries of an index, as [`writ_core::host::Host::list`] says.
    ///
    /// # Errors
    ///
    /// The cursor is none of this store's, the disk fails, or no answer came in time.
    pub async fn list(&self, zone: &str, listing: &Listing) -> Result<Page, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let lookup = Lookup::Entries { zone: zone.into(), listing: listing.clone(), reply };
        ask(&self.lookups, lookup, answer, CALL).await?
    }

    /// Deletes records and index entries that expired long enough before `now`, at most
    /// [`SWEEP_ROWS`] of each, and says how many there were. Where that is the limit, more wait.
    ///
    /// # Errors
    ///
    /// The disk fails, another process holds the store, or no answer came in time.
    pub async fn sweep(&self, now: Timestamp) -> Result<usize, Unavailable> {
        let (reply, answer) = oneshot::channel();
        ask(&self.commands, Command::Sweep(now, reply), answer, CALL).await?
    }

    /// Finishes every batch accepted so far, folds the log into the file and stops writing.
    ///
    /// # Errors
    ///
    /// No answer came in time. What was answered before is on disk all the same.
    pub async fn close(&self) -> Result<(), Unavailable> {
        let (reply, answer) = oneshot::channel();
        ask(&self.commands, Command::Close(reply), answer, CALL).await
    }
}

/// Sends `request` to a thread and waits for its answer, all within the time of the call.
async fn ask<T, A>(
    thread: &mpsc::Sender<T>,
    request: T,
    answer: oneshot::Receiver<A>,
    time: Duration,
) -> Result<A, Unavailable> {
    let stopped = || Unavailable("the store's thread has stopped".into());
    let exchange = async {
        thread.send(request).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())
    };
    // On a timeout the receiver is dropped, and the writer skips a batch that nobody waits for.
    timeout(time, exchange)
        .await
        .unwrap_or_else(|_| Err(Unavailable(format!("the store gave no answer within {time:?}"))))
}

/// Rows of each table that one sweep deletes at most: a few milliseconds of the writer's time.
pub const SWEEP_ROWS: usize = 1_000;

/// What a call may take.
const CALL: Duration = Duration::from_secs(limits::STORE_SECS);
/// What a read may take.
const READ: Duration = Duration::from_millis(limits::READ_MILLIS);
/// Batches waiting for the writer; beyond that, callers wait for a place within their time.
const QUEUE: usize = 1_024;
