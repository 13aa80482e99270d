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
                let outcome = self.shared.commit(&batched)?;
                if matches!(outcome, Outcome::Done) && !batched.index.is_empty() {
                    let shared = Rc::clone(&self.shared);
                    self.state.wait_until(async move { shared.deliver().await });
                }
                objects::answer(&outcome)
            }
            "/read" => objects::answer(&self.shared.read(&serde_json::from_str::<Bounds>(&body)?)?),
            _ => Response::error("there is no such path", 404),
        }
    }

    async fn alarm(&self) -> Result<Response, Error> {
        self.shared.alarm.set(f64::INFINITY);
        self.shared.deliver().await;
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
    delivering: Cell<bool>,
}

impl Shared {
    fn commit(&self, batched: &Batched) -> Result<Outcome, JsValue> {
        let batch = batched.batch().ok_or("the batch makes no sense")?;
        if batch.until.is_some_and(|until| moment::now() > until) {
            return Ok(Outcome::Late);
        }
        let done = self.sql.transaction(|| {
            let present = self.present(&keys(&batch))?;
            let find = |key: &str| present.iter().find(|stored| stored.record.key == key);
            let (put, forget) = match apply(&batch, find) {
                Applied::Before => return Ok(Outcome::Done),
                Applied::Refused(key) => return Ok(Outcome::Refused(key)),
                Applied::Now { put, forget } => (put, forget),
            };
            self.create()?;
            for stored in &put {
                self.put(stored)?;
            }
            for key in &forget {
                self.sql.run("DELETE FROM record WHERE key = ?", &Values::default().text(key).0)?;
            }
            self.enter(batched)?;
            let due = put.iter().map(|stored| stored.record.expires.0).min();
            match (self.waiting()?, due) {
                (Some(first), _) => self.wake(retry(&first))?,
                (None, Some(secs)) => self.wake(swept(secs))?,
                (None, None) => {}
            }
            Ok(Outcome::Done)
        });
        // Nobody knows which alarm a transaction that failed leaves behind.
        let outcome = done.inspect_err(|_| self.alarm.set(f64::INFINITY))?;
        // Not inside: a transaction that is rolled back takes its tables along.
        self.tables.set(matches!(outcome, Outcome::Done));
        Ok(outcome)
    }

    fn read(&self, (start, end): &Bounds) -> Result<Vec<Row>, JsValue> {
        if !self.exists()? {
            return Ok(Vec::new());
        }
        let most = i64::try_from(limits::BATCH_RECORDS).unwrap_or(i64::MAX);
        let values = Values::default().text(start).text(end).number(most);
        let rows = self.sql.run(READ, &values.0)?;
        Ok(rows.iter().map(|found| row(stored(found).record)).collect())
    }

    fn present(&self, keys: &[&str]) -> Result<Vec<Stored>, JsValue> {
        if keys.is_empty() || !self.exists()? {
            return Ok(Vec::new());
        }
        let places = vec!["?"; keys.len()].join(",");
        let values = keys.iter().fold(Values::default(), |values, key| values.text(key));
        let rows = self.sql.run(&format!("{FIND} ({places})"), &values.0)?;
        Ok(rows.iter().map(stored).collect())
    }

    fn put(&self, stored: &Stored) -> Result<(), JsValue> {
        let Record { key, value, expires, version } = &stored.record;
        let version = i64::try_from(*version).unwrap_or(i64::MAX);
        let values = Values::default().text(key).number(expires.0).number(version);
        self.sql.run(PUT, &values.text(&stored.batch).bytes(value).0).map(drop)
    }

    fn enter(&self, batched: &Batched) -> Result<(), JsValue> {
        if batched.index.is_empty() {
            return Ok(());
        }
        let entries = serde_json::to_string(&batched.index).map_err(|error| error.to_string())?;
        let now = Values::default().number(whole(moment::millis()));
        self.sql.run(ENTER, &now.text(&batched.part).text(&entries).0).map(drop)
    }

    /// Hands the entries that wait to the index. What it has taken is not handed over again; what it
    /// took without our knowing is, and it keeps one.
    async fn deliver(&self) {
        // Those who come meanwhile leave their entries to the one who is at it.
        if self.delivering.replace(true) {
            return;
        }
        let delivered = self.deliver_all().await;
        self.delivering.set(false);
        if let Err(reason) = delivered {
            worker::console_warn!("index entries wait for another try: {reason}");
        }
    }

    async fn deliver_all(&self) -> Result<(), String> {
        let fault = |error: JsValue| format!("{error:?}");
        let objects = self.objects.as_ref().map_err(|unavailable| unavailable.0.clone())?;
        if !self.exists().map_err(fault)? {
            return Ok(());
        }
        while let Some(first) = self.waiting().map_err(fault)? {
            let (id, part, entries) = (number(&first, 0), text(&first, 1), text(&first, 2));
            objects.enter(&part, entries).await.map_err(|unavailable| unavailable.0)?;
            let values = Values::default().number(id);
            self.sql.run("DELETE FROM outbox WHERE id = ?", &values.0).map_err(fault)?;
        }
        // Nothing waits any more: the alarm's next work is the sweep.
        self.rest().map_err(fault)
    }

    /// The entries that have waited longest.
    fn waiting(&self) -> Result<Option<Array>, JsValue> {
        self.sql.run(WAITING, &Array::new()).map(|waiting| waiting.into_iter().next())
    }

    /// Deletes records that expired long ago; everything, when nothing is left.
    fn sweep(&self) -> Result<(), JsValue> {
        if !self.exists()? {
            return Ok(());
        }
        let before = moment::now().plus(-MARGIN_SECS);
        self.sql
            .run("DELETE FROM record WHERE expires <= ?", &Values::default().number(before.0).0)?;
        match self.waiting()? {
            Some(first) => self.wake(retry(&first)),
            None => self.rest(),
        }
    }

    /// Sets the alarm for the next sweep; deletes everything where nothing is left to sweep.
    fn rest(&self) -> Result<(), JsValue> {
        let rows = self.sql.run("SELECT MIN(expires) FROM record", &Array::new())?;
        match rows.first().filter(|row| !row.get(0).is_null()) {
            Some(row) => {
                self.alarm.set(f64::INFINITY);
                self.wake(swept(instant(row, 0).0))
            }
            None => {
                self.tables.set(false);
                self.alarm.set(f64::INFINITY);
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
            self.tables.set(!self.sql.run(EXISTS, &Array::new())?.is_empty());
        }
        Ok(self.tables.get())
    }

    fn create(&self) -> Result<(), JsValue> {
        if self.exists()? { Ok(()) } else { self.sql.run(TABLES, &Array::new()).map(drop) }
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

/// When what waits is shown to the index again. It waits since the millisecond that is its id.
#[expect(clippy::cast_precision_loss, reason = "an instant in milliseconds")]
fn retry(waiting: &Array) -> f64 {
    let now = moment::millis();
    now + wire::retry_millis(now - number(waiting, 0) as f64, js_sys::Math::random())
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
const PUT: &str = "INSERT OR REPLACE INTO record (key, expires, version, batch, value)
    VALUES (?, ?, ?, ?, ?)";
/// An id is the millisecond in which the entries were put there, or the first free one after it.
const ENTER: &str = "INSERT INTO outbox (id, part, entries) VALUES
    (MAX(?, (SELECT COALESCE(MAX(id), 0) + 1 FROM outbox)), ?, ?)";
const WAITING: &str = "SELECT id, part, entries FROM outbox ORDER BY id LIMIT 1";
