//! `fermyon:spin/sqlite@2.0.0` on a file, as Spin's own in-process database: one statement each
//! `execute`, in a transaction of its own, with five seconds of patience for others' locks.

use std::sync::{Arc, Mutex};

use rusqlite::types::{Value as Native, ValueRef};
use wasmtime::component::Resource;

use crate::bindings::fermyon::spin::sqlite::{
    Error, Host, HostConnection, QueryResult, RowResult, Value,
};
use crate::runtime::State;

/// An open database.
#[derive(Clone)]
pub struct Connection(Arc<Mutex<rusqlite::Connection>>);

impl Host for State {}

impl HostConnection for State {
    async fn open(
        &mut self,
        database: String,
    ) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        if !self.shared.manifest.sqlite_databases.contains(&database) {
            return Ok(Err(Error::AccessDenied));
        }
        if !self.shared.offers_sqlite {
            return Ok(Err(Error::NoSuchDatabase));
        }
        let path = self.shared.directory.join(format!("{database}.db"));
        let opened = rusqlite::Connection::open(path)
            .and_then(|connection| {
                connection.pragma_update(None, "journal_mode", "WAL")?;
                Ok(connection)
            })
            .map_err(|error| Error::Io(error.to_string()));
        match opened {
            Ok(connection) => {
                Ok(Ok(self.table.push(Connection(Arc::new(Mutex::new(connection))))?))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        values: Vec<Value>,
    ) -> wasmtime::Result<Result<QueryResult, Error>> {
        let connection = self.table.get(&connection)?.clone();
        let run = async move {
            let run = move || execute(&connection, &statement, values);
            tokio::task::spawn_blocking(run).await.expect("no panic")
        };
        let broken = || Error::Io("the database is broken, as was asked for".to_owned());
        let busy = || Error::Io("database is locked".to_owned());
        Ok(self.shared.faults.run(run, broken, busy).await)
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

fn execute(
    connection: &Connection,
    statement: &str,
    values: Vec<Value>,
) -> Result<QueryResult, Error> {
    let failed = |error: rusqlite::Error| Error::Io(error.to_string());
    let connection = connection.0.lock().expect("no panic");
    let mut prepared = connection.prepare_cached(statement).map_err(failed)?;
    let columns = prepared.column_names().map(str::to_owned).collect::<Vec<_>>();
    let values = values.into_iter().map(|value| match value {
        Value::Integer(number) => Native::Integer(number),
        Value::Real(number) => Native::Real(number),
        Value::Text(text) => Native::Text(text),
        Value::Blob(bytes) => Native::Blob(bytes),
        Value::Null => Native::Null,
    });
    let rows = prepared.query_map(rusqlite::params_from_iter(values), |row| {
        let value = |column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Integer(number) => Value::Integer(number),
                ValueRef::Real(number) => Value::Real(number),
                ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
                ValueRef::Null => Value::Null,
            })
        };
        let values = (0..columns.len()).map(value).collect::<Result<_, rusqlite::Error>>()?;
        Ok(RowResult { values })
    });
    let rows = rows.map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    Ok(QueryResult { columns, rows })
}
