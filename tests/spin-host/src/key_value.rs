//! `fermyon:spin/key-value@2.0.0` on a file, with the value before the last kept for stale reads.

use std::path::Path;
use std::sync::Mutex;

use rusqlite::{OptionalExtension, params};
use wasmtime::component::Resource;

use crate::bindings::fermyon::spin::key_value::{Error, Host, HostStore};
use crate::faults::KeyValue;
use crate::runtime::State;

/// The values of all stores.
pub struct Values(Mutex<rusqlite::Connection>);

impl Values {
    /// Opens the file, or creates it.
    ///
    /// # Panics
    ///
    /// Where it cannot be opened.
    #[must_use]
    pub fn open(directory: &Path) -> Self {
        let connection =
            rusqlite::Connection::open(directory.join("key_value.db")).expect("a file");
        connection.busy_timeout(std::time::Duration::from_secs(5)).expect("a setting");
        let table =
            "CREATE TABLE IF NOT EXISTS value (store TEXT, key TEXT, last BLOB, before BLOB,
            PRIMARY KEY (store, key))";
        connection.execute(table, []).expect("a table");
        Self(Mutex::new(connection))
    }

    fn get(&self, store: &str, key: &str, stale: bool) -> rusqlite::Result<Option<Vec<u8>>> {
        let query = "SELECT iif(?3, before, last) FROM value WHERE store = ?1 AND key = ?2";
        let connection = self.0.lock().expect("no panic");
        let found = connection.query_row(query, params![store, key, stale], |row| row.get(0));
        found.optional().map(Option::flatten)
    }

    fn set(&self, store: &str, key: &str, value: Option<&[u8]>) -> rusqlite::Result<()> {
        let statement = "INSERT INTO value (store, key, last) VALUES (?1, ?2, ?3)
            ON CONFLICT DO UPDATE SET before = last, last = excluded.last";
        let connection = self.0.lock().expect("no panic");
        connection.execute(statement, params![store, key, value]).map(|_| ())
    }

    fn keys(&self, store: &str) -> rusqlite::Result<Vec<String>> {
        let connection = self.0.lock().expect("no panic");
        let mut statement =
            connection.prepare("SELECT key FROM value WHERE store = ?1 AND last IS NOT NULL")?;
        statement.query_map([store], |row| row.get(0))?.collect()
    }
}

/// An open store.
pub struct Store(String);

fn other(error: &rusqlite::Error) -> Error {
    Error::Other(error.to_string())
}

impl Host for State {}

impl HostStore for State {
    async fn open(&mut self, label: String) -> wasmtime::Result<Result<Resource<Store>, Error>> {
        if !self.shared.manifest.key_value_stores.contains(&label) {
            return Ok(Err(Error::AccessDenied));
        }
        if self.wanted.key_value == KeyValue::Broken {
            return Ok(Err(Error::Other("the store is broken, as was asked for".to_owned())));
        }
        Ok(Ok(self.table.push(Store(label))?))
    }

    async fn get(
        &mut self,
        store: Resource<Store>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let stale = self.wanted.key_value == KeyValue::Stale;
        if self.wanted.key_value == KeyValue::Empty {
            return Ok(Ok(None));
        }
        let label = &self.table.get(&store)?.0;
        Ok(self.shared.values.get(label, &key, stale).map_err(|error| other(&error)))
    }

    async fn set(
        &mut self,
        store: Resource<Store>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let label = &self.table.get(&store)?.0;
        Ok(self.shared.values.set(label, &key, Some(&value)).map_err(|error| other(&error)))
    }

    async fn delete(
        &mut self,
        store: Resource<Store>,
        key: String,
    ) -> wasmtime::Result<Result<(), Error>> {
        let label = &self.table.get(&store)?.0;
        Ok(self.shared.values.set(label, &key, None).map_err(|error| other(&error)))
    }

    async fn exists(
        &mut self,
        store: Resource<Store>,
        key: String,
    ) -> wasmtime::Result<Result<bool, Error>> {
        Ok(self.get(store, key).await?.map(|found| found.is_some()))
    }

    async fn get_keys(
        &mut self,
        store: Resource<Store>,
    ) -> wasmtime::Result<Result<Vec<String>, Error>> {
        let label = &self.table.get(&store)?.0;
        Ok(self.shared.values.keys(label).map_err(|error| other(&error)))
    }

    async fn drop(&mut self, store: Resource<Store>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}
