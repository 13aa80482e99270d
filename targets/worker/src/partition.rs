//! One partition: a Durable Object by the name of zone, kind and id, with its records in SQLite.
//!
//! A commit reads its rows, has the core decide, and writes, in one transaction in which nothing is
//! awaited. The platform lets no answer out before what was written is durable. Index entries are
//! written beside the records, and delivered to the index afterwards: at once, and by the alarm until
//! it has taken them.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::Array;
use wasm_bindgen::JsValue;
use worker::{DurableObject, Env, Error, Request, Response, State, durable_object};
use writ_core::host::{Record, Unavailable};
use writ_core::limits;
use writ_core::store::{Applied, Stored, apply, keys};
use writ_isolate::moment;

use crate::objects::{self, Objects};
use crate::sql::{Sql, Values, bytes, instant, number, text};
use crate::wire::{self, Batched, Bounds, Outcome, Row, row};

/// A partition.
#[durable_object(alarm)]
pub(crate) struct Partition {
    shared: Rc<Shared>,
    state: State,
}

impl DurableObject for Partition {
    fn new(state: State, env: Env) -> Self {
        crate::hush();
        let sql = Sql::new(&state);
        let shared = Shared {
            sql,
            objects: Objects::new(&env),
            tables: Cell::new(false),
            alarm: Cell::new(f64::INFINITY),
            first: Cell::new(None),
            waiting: Cell::new(true),
            delivering: Cell::new(false),
        };
        Self { shared: Rc::new(shared), state }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response, Error> {
        let path = request.path();
        let body = request.text().await?;
        match path.as_str() {
            "/commit" => {
                let batched: Batched = serde_json::from_str(&body)?;
                let (outcome, entered) = self.shared.commit(&batched)?;
                if entered.is_some() {
                    let shared = Rc::clone(&self.shared);
                    self.state.wait_until(async move { shared.deliver(entered).await });
                }
                objects::answer(&outcome)
            }
            "/read" => objects::answer(&self.shared.read(&serde_json::from_str::<Bounds>(&body)?)?),
            _ => Response::error("there is no such path", 404),
        }
    }

    async fn alarm(&self) -> Result<Response, Error> {
        self.shared.alarm.set(f64::INFINITY);
        if !self.shared.delivering.replace(true) {
            self.shared.deliver(None).await;
        }
        self.shared.sweep()?;
        Response::empty()
    }
}

struct Shared {
    sql: Sql,
    objects: Result<Objects, Unavailable>,
    /// Whether the tables are known to be there.
    tables: Cell<bool>,
    /// When the alarm comes, as far as this object knows since it woke up.
    alarm: Cell<f64>,
    /// No record expires earlier. Nothing where that is not known.
    first: Cell<Option<i64>>,
    /// Whether entries may wait for the index, beside those that are being delivered.
    waiting: Cell<bool>,
    delivering: Cell<bool>,
}

/// Entries that wait for the index.
struct Waiting {
    /// The row's id: the millisecond since which they wait, or the first free one after it.
    id: i64,
    part: String,
    entries: String,
}

impl Shared {
    /// What became of a batch, and the entries that are to be delivered now: nobody else is at it.
    fn commit(&self, batched: &Batched) -> Result<(Outcome, Option<Waiting>), JsValue> {
        let batch = batched.batch().ok_or("the batch makes no sense")?;
        if batch.until.is_some_and(|until| moment::now() > until) {
            return Ok((Outcome::Late, None));
        }
        let mut entered = None;
        let done = self.sql.transaction(|| {
            let present = self.present(&keys(&batch))?;
            let find = |key: &str| present.iter().find(|stored| stored.record.key == key);
            let (put, forget) = match apply(&batch, find) {
                // Entries of it that wait still are the alarm's.
                Applied::Before => return Ok(Outcome::Done),
                Applied::Refused(key) => return Ok(Outcome::Refused(key)),
                Applied::Now { put, forget } => (put, forget),
            };
            self.create()?;
            put.chunks(PUT_ROWS).try_for_each(|some| self.put(some))?;
            for key in &forget {
                self.sql.run("DELETE FROM record WHERE key = ?", &Values::default().text(key).0)?;
            }
            entered = self.enter(batched)?;
            let due = put.iter().map(|stored| stored.record.expires.0).min();
            self.first.set(self.first.get().map(|first| due.map_or(first, |due| due.min(first))));
            match (self.oldest(entered.as_ref())?, due) {
                (Some(since), _) => self.wake(retry(since))?,
                (None, Some(secs)) => self.wake(swept(secs))?,
                (None, None) => {}
            }
            Ok(Outcome::Done)
        });
        let outcome = done.inspect_err(|_| self.doubt())?;
        // Not inside: a transaction that is rolled back takes its tables along.
        self.tables.set(matches!(outcome, Outcome::Done));
        // Whoever comes while entries are being delivered leaves its own to the one who is at it.
        if entered.is_some() && self.delivering.replace(true) {
            self.waiting.set(true);
            return Ok((outcome, None));
        }
        Ok((outcome, entered))
    }

    /// Nobody knows what a transaction that failed leaves behind.
    fn doubt(&self) {
        self.alarm.set(f64::INFINITY);
        self.first.set(None);
        self.waiting.set(true);
    }

    fn read(&self, (start, end): &Bounds) -> Result<Vec<Row>, JsValue> {
        if !self.exists()? {
            return Ok(Vec::new());
        }
        let most = i64::try_from(limits::BATCH_RECORDS).unwrap_or(i64::MAX);
        let values = Values::default().text(start).text(end).number(most);
        let rows = self.sql.rows(READ, &values.0)?;
        Ok(rows.iter().map(|found| row(stored(found).record)).collect())
    }

    fn present(&self, keys: &[&str]) -> Result<Vec<Stored>, JsValue> {
        if keys.is_empty() || !self.exists()? {
            return Ok(Vec::new());
        }
        let places = vec!["?"; keys.len()].join(",");
        let values = keys.iter().fold(Values::default(), |values, key| values.text(key));
        let rows = self.sql.rows(&format!("{FIND} ({places})"), &values.0)?;
        Ok(rows.iter().map(stored).collect())
    }

    /// Writes so many records that their values are no more than a statement takes.
    fn put(&self, some: &[Stored]) -> Result<(), JsValue> {
        let places = vec!["(?, ?, ?, ?, ?)"; some.len()].join(", ");
        let values = some.iter().fold(Values::default(), |values, stored| {
            let Record { key, value, expires, version } = &stored.record;
            let version = i64::try_from(*version).unwrap_or(i64::MAX);
            let values = values.text(key).number(expires.0).number(version);
            values.text(&stored.batch).bytes(value)
        });
        self.sql.run(&format!("{PUT} {places}"), &values.0)
    }

    fn enter(&self, batched: &Batched) -> Result<Option<Waiting>, JsValue> {
        if batched.index.is_empty() {
            return Ok(None);
        }
        let entries = serde_json::to_string(&batched.index).map_err(|error| error.to_string())?;
        let now = Values::default().number(whole(moment::millis()));
        let rows = self.sql.rows(ENTER, &now.text(&batched.part).text(&entries).0)?;
        let id = rows.first().map(|row| number(row, 0)).ok_or("the entries have no id")?;
        Ok(Some(Waiting { id, part: batched.part.clone(), entries }))
    }

    /// Since when the entries wait that have waited longest, where `entered` have just been put there.
    fn oldest(&self, entered: Option<&Waiting>) -> Result<Option<i64>, JsValue> {
        if self.waiting.get() || self.delivering.get() {
            return Ok(self.longest()?.map(|waiting| waiting.id));
        }
        Ok(entered.map(|waiting| waiting.id))
    }

    /// Hands the entries that wait to the index, those that were just put there first. What it has taken is
    /// not handed over again; what it took without our knowing is, and it keeps one. Whoever calls this has
    /// found nobody at it, and has set `delivering`.
    async fn deliver(&self, entered: Option<Waiting>) {
        let delivered = self.deliver_all(entered).await;
        self.delivering.set(false);
        if let Err(reason) = delivered {
            self.waiting.set(true);
            worker::console_warn!("index entries wait for another try: {reason}");
        }
    }

    async fn deliver_all(&self, mut next: Option<Waiting>) -> Result<(), String> {
        let fault = |error: JsValue| format!("{error:?}");
        let objects = self.objects.as_ref().map_err(|unavailable| unavailable.0.clone())?;
        if !self.exists().map_err(fault)? {
            return Ok(());
        }
        loop {
            if next.is_none() && self.waiting.replace(false) {
                next = self.longest().map_err(fault)?;
                // There may be more after these.
                self.waiting.set(next.is_some());
            }
            let Some(Waiting { id, part, entries }) = next.take() else { break };
            objects.enter(&part, entries).await.map_err(|unavailable| unavailable.0)?;
            let values = Values::default().number(id);
            self.sql.run("DELETE FROM outbox WHERE id = ?", &values.0).map_err(fault)?;
        }
        // Nothing waits any more: the alarm's next work is the sweep.
        self.rest().map_err(fault)
    }

    /// The entries that have waited longest.
    fn longest(&self) -> Result<Option<Waiting>, JsValue> {
        let rows = self.sql.rows(WAITING, &Array::new())?;
        let waiting =
            |row: &Array| Waiting { id: number(row, 0), part: text(row, 1), entries: text(row, 2) };
        Ok(rows.first().map(waiting))
    }

    /// Deletes records that expired long ago; everything, when nothing is left.
    fn sweep(&self) -> Result<(), JsValue> {
        if !self.exists()? {
            return Ok(());
        }
        let before = moment::now().plus(-MARGIN_SECS);
        self.sql
            .run("DELETE FROM record WHERE expires <= ?", &Values::default().number(before.0).0)?;
        self.first.set(None);
        match self.longest()? {
            Some(first) => self.wake(retry(first.id)),
            None => self.rest(),
        }
    }

    /// Sets the alarm for the next sweep; deletes everything where nothing is left to sweep.
    fn rest(&self) -> Result<(), JsValue> {
        if self.first.get().is_none() {
            let rows = self.sql.rows("SELECT MIN(expires) FROM record", &Array::new())?;
            let row = rows.first().filter(|row| !row.get(0).is_null());
            self.first.set(row.map(|row| instant(row, 0).0));
        }
        self.alarm.set(f64::INFINITY);
        match self.first.get() {
            Some(first) => self.wake(swept(first)),
            None => {
                self.tables.set(false);
                self.sql.delete_all()
            }
        }
    }

    /// Has the alarm come at `millis` or earlier.
    fn wake(&self, millis: f64) -> Result<(), JsValue> {
        // What never expires needs no alarm, and the platform takes no instant that far.
        if millis >= self.alarm.get() || millis > LAST_MILLIS {
            return Ok(());
        }
        self.sql.wake(millis)?;
        self.alarm.set(millis);
        Ok(())
    }

    /// Whether anything was ever written, and not deleted since. Reading creates nothing.
    fn exists(&self) -> Result<bool, JsValue> {
        if !self.tables.get() {
            self.tables.set(!self.sql.rows(EXISTS, &Array::new())?.is_empty());
        }
        Ok(self.tables.get())
    }

    fn create(&self) -> Result<(), JsValue> {
        if self.exists()? {
            return Ok(());
        }
        // Nothing is in what was just made.
        self.first.set(Some(i64::MAX));
        self.waiting.set(false);
        self.sql.run(TABLES, &Array::new())
    }
}

fn stored(found: &Array) -> Stored {
    let record = Record {
        key: text(found, 0),
        value: bytes(found, 4),
        expires: instant(found, 1),
        version: number(found, 2).unsigned_abs(),
    };
    Stored { record, batch: text(found, 3) }
}

/// When a record that expires at `secs` is swept.
#[expect(clippy::cast_precision_loss, reason = "instants of that size need no alarm")]
fn swept(secs: i64) -> f64 {
    secs.saturating_add(MARGIN_SECS) as f64 * 1_000.0
}

/// When what waits since the millisecond `since` is shown to the index again.
#[expect(clippy::cast_precision_loss, reason = "an instant in milliseconds")]
fn retry(since: i64) -> f64 {
    let now = moment::millis();
    now + wire::retry_millis(now - since as f64, js_sys::Math::random())
}

#[expect(clippy::cast_possible_truncation, reason = "an instant in milliseconds")]
fn whole(millis: f64) -> i64 {
    millis as i64
}

/// Seconds that a record is kept beyond its expiry: a clock that is set forward by mistake for less
/// than this must not make the store forget a spent proof.
pub(crate) const MARGIN_SECS: i64 = 3_600;
/// The last instant of a JavaScript date.
const LAST_MILLIS: f64 = 8.64e15;

const EXISTS: &str = "SELECT 1 FROM sqlite_master WHERE name = 'record'";
const TABLES: &str = "CREATE TABLE record (key TEXT PRIMARY KEY, expires INTEGER NOT NULL,
        version INTEGER NOT NULL, batch TEXT NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE outbox (id INTEGER PRIMARY KEY, part TEXT NOT NULL, entries TEXT NOT NULL)";
const FIND: &str = "SELECT key, expires, version, batch, value FROM record WHERE key IN";
const READ: &str = "SELECT key, expires, version, batch, value FROM record
    WHERE key >= ? AND key < ? ORDER BY key LIMIT ?";
const PUT: &str = "INSERT OR REPLACE INTO record (key, expires, version, batch, value) VALUES";
/// Records of one statement: it takes a hundred values.
const PUT_ROWS: usize = 20;
const ENTER: &str = "INSERT INTO outbox (id, part, entries) VALUES
    (MAX(?, (SELECT COALESCE(MAX(id), 0) + 1 FROM outbox)), ?, ?) RETURNING id";
const WAITING: &str = "SELECT id, part, entries FROM outbox ORDER BY id LIMIT 1";
