//! An object's SQLite: rows in and out, and transactions.

use js_sys::{Array, Promise, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use worker::State;
use worker::worker_sys::types::{DurableObjectStorage, SqlStorage};
use writ_core::moment::Timestamp;

/// An object's storage.
pub(crate) struct Sql {
    storage: worker::Storage,
    sql: SqlStorage,
}

impl Sql {
    /// The storage of an object.
    pub(crate) fn new(state: &State) -> Self {
        let storage = state.storage();
        let sql = storage.as_raw().sql();
        Self { storage, sql }
    }

    fn raw(&self) -> &DurableObjectStorage {
        self.storage.as_raw()
    }

    /// Runs one statement, and gives its rows.
    pub(crate) fn rows(&self, statement: &str, values: &Array) -> Result<Vec<Array>, JsValue> {
        let cursor = self.sql.exec(statement, values.clone())?;
        // In one call, and not one for each row.
        let rows = Array::from(&cursor.raw());
        Ok(rows.iter().map(JsCast::unchecked_into).collect())
    }

    /// Runs statements that have no rows.
    pub(crate) fn run(&self, statement: &str, values: &Array) -> Result<(), JsValue> {
        self.sql.exec(statement, values.clone()).map(drop)
    }

    /// Runs `body` in one transaction. It is rolled back where `body` fails.
    ///
    /// Nothing is awaited inside, so no other request of the object comes between.
    pub(crate) fn transaction<T>(
        &self,
        mut body: impl FnMut() -> Result<T, JsValue>,
    ) -> Result<T, JsValue> {
        let mut result = None;
        let mut run = || body().map(|value| result = Some(value));
        self.raw().unchecked_ref::<Storage>().transaction_sync(&mut run)?;
        result.ok_or_else(|| "the transaction did not run".into())
    }

    /// Sets the object's alarm, in the transaction of the writes before it where nothing was
    /// awaited since.
    pub(crate) fn wake(&self, millis: f64) -> Result<(), JsValue> {
        let at = js_sys::Date::new(&millis.into());
        self.raw().set_alarm(at, JsValue::NULL.unchecked_into()).map(forget)
    }

    /// Deletes everything, and the alarm.
    pub(crate) fn delete_all(&self) -> Result<(), JsValue> {
        self.raw().delete_alarm(JsValue::NULL.unchecked_into()).map(forget)?;
        self.raw().delete_all().map(forget)
    }
}

/// What the platform does when a promise of its storage fails is to break the object before any
/// answer leaves it, so nobody has to look.
fn forget(_: Promise) {}

#[wasm_bindgen]
extern "C" {
    type Storage;

    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    fn transaction_sync(
        this: &Storage,
        body: &mut dyn FnMut() -> Result<(), JsValue>,
    ) -> Result<(), JsValue>;
}

/// Values for a statement.
#[derive(Default)]
pub(crate) struct Values(pub(crate) Array);

impl Values {
    /// A text.
    pub(crate) fn text(self, text: &str) -> Self {
        self.0.push(&text.into());
        self
    }

    /// Bytes.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        self.0.push(&Uint8Array::from(bytes));
        self
    }

    /// An instant, a version or a count.
    #[expect(clippy::cast_precision_loss, reason = "no larger than a double can hold")]
    pub(crate) fn number(self, number: i64) -> Self {
        self.0.push(&(number.clamp(-MOST, MOST) as f64).into());
        self
    }
}

/// A text of a row.
pub(crate) fn text(row: &Array, column: u32) -> String {
    row.get(column).as_string().unwrap_or_default()
}

/// Bytes of a row.
pub(crate) fn bytes(row: &Array, column: u32) -> Vec<u8> {
    Uint8Array::new(&row.get(column)).to_vec()
}

/// A number of a row.
#[expect(clippy::cast_possible_truncation, reason = "numbers are written as integers")]
pub(crate) fn number(row: &Array, column: u32) -> i64 {
    row.get(column).as_f64().unwrap_or_default() as i64
}

/// An instant of a row.
pub(crate) fn instant(row: &Array, column: u32) -> Timestamp {
    let secs = number(row, column);
    Timestamp(if secs == MOST { i64::MAX } else { secs })
}

/// The largest integer that a JavaScript number holds, which is what a statement's values are. An
/// instant that never comes is written as this.
const MOST: i64 = (1 << 53) - 1;
