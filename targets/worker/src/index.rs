//! The index of a zone: a few Durable Objects, between which its sessions are divided.
//!
//! An entry comes at least once and is kept once. Each object sorts its part by instant, session and
//! key; who lists asks all of them and merges. What expired is deleted a piece at a time: the first when
//! it is asked for, the others by the object's own alarm, until nothing is left.

use std::cell::Cell;

use js_sys::Array;
use wasm_bindgen::JsValue;
use worker::{DurableObject, Env, Error, Request, Response, State, durable_object};
use writ_core::host::Listed;
use writ_isolate::moment;

use crate::objects;
use crate::partition::MARGIN_SECS;
use crate::sql::{Sql, Values, number, text};
use crate::wire::{Asked, Found};

/// One part of a zone's index.
#[durable_object(alarm)]
pub(crate) struct Index {
    sql: Sql,
    /// Whether the table is known to be there.
    table: Cell<bool>,
}

impl DurableObject for Index {
    fn new(state: State, _: Env) -> Self {
        crate::hush();
        Self { sql: Sql::new(&state), table: Cell::new(false) }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response, Error> {
        let path = request.path();
        let body = request.text().await?;
        match path.as_str() {
            "/enter" => objects::answer(&self.enter(&body)?),
            "/list" => objects::answer(&self.list(&serde_json::from_str::<Asked>(&body)?)?),
            "/sweep" => objects::answer(&self.sweep(serde_json::from_str::<i64>(&body)?)?),
            _ => Response::error("there is no such path", 404),
        }
    }

    async fn alarm(&self) -> Result<Response, Error> {
        self.sweep(moment::now().plus(-MARGIN_SECS).0)?;
        Response::empty()
    }
}

impl Index {
    /// Takes entries, as the partition that wrote them sends them: a JSON list of
    /// [`crate::wire::Entered`], which the database reads itself.
    fn enter(&self, entries: &str) -> Result<(), JsValue> {
        self.sql.transaction(|| {
            if !self.exists()? {
                self.sql.run(TABLE, &Array::new())?;
            }
            self.sql.run(ENTER, &Values::default().text(entries).0)
        })
    }

    fn list(&self, (index, name, from, cursor, limit): &Asked) -> Result<Vec<Found>, JsValue> {
        if !self.exists()? {
            return Ok(Vec::new());
        }
        // The empty strings sort before every session and key.
        let after = cursor.as_deref().and_then(Listed::from_cursor);
        let (at, session, key) = after.map_or((*from, String::new(), String::new()), |last| {
            (last.at.0.max(*from), last.session, last.key)
        });
        let most = i64::try_from(*limit).unwrap_or(i64::MAX);
        let values = Values::default().text(index).text(name).number(at).text(&session).text(&key);
        let rows = self.sql.rows(LIST, &values.number(most).0)?;
        Ok(rows.iter().map(|row| (number(row, 0), text(row, 1), text(row, 2))).collect())
    }

    fn sweep(&self, before: i64) -> Result<usize, JsValue> {
        if !self.exists()? {
            return Ok(0);
        }
        let values = Values::default().number(before).number(SWEEP_ROWS);
        let swept = self.sql.rows(SWEEP, &values.0)?.len();
        if i64::try_from(swept).is_ok_and(|swept| swept >= SWEEP_ROWS) {
            self.sql.wake(moment::millis() + SWEEP_MILLIS)?;
        }
        Ok(swept)
    }

    fn exists(&self) -> Result<bool, JsValue> {
        if !self.table.get() {
            self.table.set(!self.sql.rows(EXISTS, &Array::new())?.is_empty());
        }
        Ok(self.table.get())
    }
}

/// Entries that are deleted at a time: entries and listings wait for it.
const SWEEP_ROWS: i64 = 2_000;
/// How long they are let through before the next.
const SWEEP_MILLIS: f64 = 500.0;

const TABLE: &str = "CREATE TABLE entry (name TEXT NOT NULL, value TEXT NOT NULL,
    at INTEGER NOT NULL, session TEXT NOT NULL, key TEXT NOT NULL, expires INTEGER NOT NULL,
    PRIMARY KEY (name, value, at, session, key)) WITHOUT ROWID;
    CREATE INDEX entry_by_expiry ON entry (expires)";
const EXISTS: &str = "SELECT 1 FROM sqlite_master WHERE name = 'entry'";
const ENTER: &str = "INSERT INTO entry (name, value, at, session, key, expires)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
    FROM json_each(?) WHERE true ON CONFLICT DO NOTHING";
const LIST: &str = "SELECT at, session, key FROM entry
    WHERE name = ? AND value = ? AND (at, session, key) > (?, ?, ?)
    ORDER BY at, session, key LIMIT ?";
const SWEEP: &str = "DELETE FROM entry WHERE (name, value, at, session, key) IN
    (SELECT name, value, at, session, key FROM entry WHERE expires <= ? ORDER BY expires LIMIT ?)
    RETURNING 1";
