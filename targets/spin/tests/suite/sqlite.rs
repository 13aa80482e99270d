//! The statements of the SQLite store, on a SQLite of the tests: the contract of every strong store.
//!
//! Spin gives a component one `execute`, which is a transaction of its own. So does this.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::{Value as Native, ValueRef};
use rusqlite::{Connection, params_from_iter};
use tempfile::TempDir;
use writ_core::host::{
    Batch, Commit, Expect, Listing, Page, Partition, Range, Record, Unavailable, Write,
};
use writ_core::moment::Timestamp;

use crate::contract::{self, NOW, Strong, batch, record, session};
use crate::sqlite::{self, Execute, Fault, Row, Value};

/// A database file. Every statement has a connection of its own, as every request has on Spin.
struct File(TempDir);

impl File {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Connection {
        let connection = Connection::open(self.0.path().join("spin.db")).unwrap();
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        connection
    }
}

impl Execute for File {
    fn execute(&self, statement: &str, values: &[Value]) -> Result<Vec<Row>, Fault> {
        let fault = |error: rusqlite::Error| Fault(error.to_string());
        let connection = self.open();
        let mut prepared = connection.prepare(statement).map_err(fault)?;
        let columns = prepared.column_count();
        let values = values.iter().map(|value| match value {
            Value::Integer(number) => Native::Integer(*number),
            Value::Text(text) => Native::Text(text.clone()),
            Value::Blob(bytes) => Native::Blob(bytes.clone()),
            Value::Null => Native::Null,
        });
        let rows = prepared.query_map(params_from_iter(values), |row| {
            (0..columns)
                .map(|column| {
                    Ok(match row.get_ref(column)? {
                        ValueRef::Integer(number) => Value::Integer(number),
                        ValueRef::Text(text) => {
                            Value::Text(String::from_utf8(text.to_vec()).unwrap())
                        }
                        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
                        ValueRef::Null => Value::Null,
                        // No statement computes with fractions.
                        ValueRef::Real(_) => Value::Null,
                    })
                })
                .collect()
        });
        rows.map_err(fault)?.collect::<Result<_, _>>().map_err(fault)
    }
}

impl Strong for File {
    async fn commit(&self, partition: &Partition, batch: Batch) -> Result<Commit, Unavailable> {
        sqlite::commit(self, partition, &batch)
    }

    async fn read(
        &self,
        partition: &Partition,
        range: Range<'_>,
    ) -> Result<Vec<Record>, Unavailable> {
        sqlite::read(self, partition, range)
    }

    async fn list(&self, zone: &str, listing: &Listing) -> Result<Page, Unavailable> {
        sqlite::list(self, zone, listing)
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    futures_util::FutureExt::now_or_never(future).unwrap()
}

#[test]
fn keeps_the_contract() {
    let file = File::new();
    run(contract::holds(&file, "first"));
    run(contract::holds(&file, "second"));
}

#[test]
fn j21_of_many_threads_one_claims() {
    let file = Arc::new(File::new());
    for round in 0..20 {
        let place = session("one", &format!("claimed-{round}"));
        let outcomes: Vec<Commit> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|number| {
                    let (file, place) = (Arc::clone(&file), place.clone());
                    scope.spawn(move || {
                        let id = format!("b{number}");
                        let expect = vec![Expect::Absent("a".into())];
                        let claim = batch(&id, expect, vec![Write::Put(record("a", &id))]);
                        sqlite::commit(&*file, &place, &claim).unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let done = outcomes.iter().filter(|outcome| **outcome == Commit::Done).count();
        let refused = outcomes.iter().filter(|outcome| **outcome == Commit::Refused("a".into()));
        assert_eq!((done, refused.count()), (1, 7), "round {round}: {outcomes:?}");
    }
}

/// What was decided too long ago is not written any more, by the database's own clock.
#[test]
fn a_batch_that_comes_too_late_is_not_written() {
    let file = File::new();
    let clock = "SELECT CAST(strftime('%s', 'now') AS INTEGER)";
    let now: i64 = file.open().query_row(clock, [], |row| row.get(0)).unwrap();
    let place = session("one", "late");
    let timed = |until: i64| Batch {
        until: Some(Timestamp(until)),
        ..batch("b", vec![], vec![Write::Put(record("a", "1"))])
    };
    let late = sqlite::commit(&file, &place, &timed(now.saturating_sub(1))).unwrap_err();
    assert!(late.0.contains("too late"), "{late:?}");
    assert!(sqlite::read(&file, &place, Range::of("")).unwrap().is_empty());
    let in_time = timed(now.saturating_add(60));
    assert_eq!(sqlite::commit(&file, &place, &in_time).unwrap(), Commit::Done);
}

#[test]
fn a_database_that_is_locked_is_contended() {
    struct Impatient<'a>(&'a File);
    impl Execute for Impatient<'_> {
        fn execute(&self, _: &str, _: &[Value]) -> Result<Vec<Row>, Fault> {
            let connection = self.0.open();
            connection.busy_timeout(Duration::ZERO).unwrap();
            let error = connection.execute_batch("BEGIN IMMEDIATE").unwrap_err();
            Err(Fault(error.to_string()))
        }
    }
    let file = File::new();
    let hog = file.open();
    hog.execute_batch("BEGIN IMMEDIATE").unwrap();
    let write = batch("b", vec![], vec![Write::Put(record("a", "1"))]);
    let outcome = sqlite::commit(&Impatient(&file), &session("one", "locked"), &write);
    assert_eq!(outcome, Ok(Commit::Contended));
}

#[test]
fn the_sweep_takes_what_is_long_expired() {
    let file = File::new();
    let place = session("one", "swept");
    let short = Write::Put(Record { expires: NOW.plus(10), ..record("short", "1") });
    let written = batch("b", vec![], vec![short, Write::Put(record("long", "1"))]);
    assert_eq!(sqlite::commit(&file, &place, &written).unwrap(), Commit::Done);
    let forget = batch("f", vec![], vec![Write::Forget("absent".into())]);
    assert_eq!(sqlite::commit(&file, &place, &forget).unwrap(), Commit::Done);
    let rows = || -> i64 {
        file.open().query_row("SELECT count(*) FROM writ", [], |row| row.get(0)).unwrap()
    };
    sqlite::sweep(&file, NOW.plus(3_600)).unwrap();
    assert_eq!(rows(), 3, "an hour's grace");
    sqlite::sweep(&file, NOW.plus(3_611)).unwrap();
    assert_eq!(rows(), 1);
    assert_eq!(sqlite::read(&file, &place, Range::of("")).unwrap().len(), 1);
}
