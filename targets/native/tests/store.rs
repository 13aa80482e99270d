//! The SQLite store: the contract of every strong store, and what is its own.

use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;
use writ::store::{SWEEP_ROWS, Store, StoreOptions};
use writ_core::host::{
    Batch, Commit, Entry, Expect, Listing, Page, Partition, Range, Record, Unavailable, Write,
};

use contract::{NOW, Strong, batch, record, session};

#[path = "../../../tests/contract.rs"]
mod contract;

impl Strong for Store {
    async fn commit(&self, partition: &Partition, batch: Batch) -> Result<Commit, Unavailable> {
        self.commit(partition, batch).await
    }

    async fn read(
        &self,
        partition: &Partition,
        range: Range<'_>,
    ) -> Result<Vec<Record>, Unavailable> {
        self.read(partition, range).await
    }

    async fn list(&self, zone: &str, listing: &Listing) -> Result<Page, Unavailable> {
        self.list(zone, listing).await
    }
}

fn options(directory: &TempDir) -> StoreOptions {
    StoreOptions { path: directory.path().join("writ.db"), max_bytes: None }
}

fn put(key: &str, value: &str) -> Write {
    Write::Put(record(key, value))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&options(&directory)).unwrap();
    contract::holds(&store, "first").await;
    // Opened again, and not new any more.
    store.close().await.unwrap();
    let store = Store::open(&options(&directory)).unwrap();
    assert!(!store.fresh());
    contract::holds(&store, "second").await;
}

/// What was decided too long ago is not written any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_comes_too_late_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&options(&directory)).unwrap();
    let place = session("one", "late");
    let timed = |id: &str, until: i64| Batch {
        until: Some(writ_core::moment::Timestamp(until)),
        ..batch(id, vec![], vec![put("a", id)])
    };
    let now = writ_process::moment::now().0;
    assert!(store.commit(&place, timed("late", now - 1)).await.is_err());
    assert!(store.read(&place, Range::of("")).await.unwrap().is_empty());
    assert!(store.commit(&place, timed("in time", now + 60)).await.is_ok());
}

/// Nor is what had to wait too long for another process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_waited_too_long_for_the_file_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(&options(&directory)).unwrap());
    let place = session("one", "late");
    let other = Connection::open(options(&directory).path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let until = Some(writ_process::moment::now());
    let late = Batch { until, ..batch("late", vec![], vec![put("a", "late")]) };
    let waiting = tokio::spawn({
        let (store, place) = (Arc::clone(&store), place.clone());
        async move { store.commit(&place, late).await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
    assert!(!waiting.is_finished(), "it waits for the file");
    other.execute_batch("ROLLBACK").unwrap();
    assert!(waiting.await.unwrap().unwrap_err().0.contains("too late"));
    assert!(store.read(&place, Range::of("")).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract_beside_another_process() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(&options(&directory)).unwrap());
    // A second handle with threads and connections of its own is what another process would be.
    let other = Store::open(&options(&directory)).unwrap();
    let busy = {
        let noise = Store::open(&options(&directory)).unwrap();
        tokio::spawn(async move {
            for number in 0.. {
                let id = number.to_string();
                let _ = noise
                    .commit(&session("noise", &id), batch(&id, vec![], vec![put("a", "")]))
                    .await;
            }
        })
    };
    contract::holds(&*store, "one").await;
    contract::holds(&other, "two").await;
    busy.abort();

    // One claim, raced for through both: what either says is done, the other sees.
    for round in 0..50 {
        let place = session("one", &format!("shared-{round}"));
        let claim = |id: &str| batch(id, vec![Expect::Absent("a".into())], vec![put("a", id)]);
        let (first, second) =
            tokio::join!(store.commit(&place, claim("x")), other.commit(&place, claim("y")));
        let done = [first.unwrap(), second.unwrap()].iter().filter(|o| **o == Commit::Done).count();
        assert_eq!(done, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn j21_of_64_tasks_one_claims() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(&options(&directory)).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let id = number.to_string();
            let claim = batch(&id, vec![Expect::Absent("a".into())], vec![put("a", &id)]);
            store.commit(&session("one", "claimed"), claim).await.unwrap()
        });
    }
    let outcomes = tasks.join_all().await;
    let done = outcomes.iter().filter(|outcome| **outcome == Commit::Done).count();
    let refused = outcomes.iter().filter(|outcome| **outcome == Commit::Refused("a".into()));
    assert_eq!((done, refused.count()), (1, 63));
}

#[tokio::test]
async fn a_refused_batch_in_the_middle_of_a_group_leaves_the_others_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&options(&directory)).unwrap();
    let place = session("one", "group");
    // One thread and no waiting in between: all of them lie in the queue together.
    let steps = (0..9).map(|number| {
        let key = format!("k{number}");
        let expect = match number {
            4 => Expect::Absent("k3".into()),
            _ => Expect::Version {
                key: "n".into(),
                version: if number < 4 { number } else { number - 1 },
            },
        };
        batch(&format!("b{number}"), vec![expect], vec![put(&key, "1"), put("n", "")])
    });
    let outcomes =
        futures_util::future::join_all(steps.map(|batch| store.commit(&place, batch))).await;
    for (number, outcome) in outcomes.into_iter().enumerate() {
        let expected = if number == 4 { Commit::Refused("k3".into()) } else { Commit::Done };
        assert_eq!(outcome.unwrap(), expected, "batch {number}");
    }
    let keys: Vec<_> = store
        .read(&place, Range::of("k"))
        .await
        .unwrap()
        .into_iter()
        .map(|record| record.key)
        .collect();
    assert_eq!(keys, ["k0", "k1", "k2", "k3", "k5", "k6", "k7", "k8"]);
}

#[tokio::test]
async fn index_entries_stand_and_fall_with_their_batch() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&options(&directory)).unwrap();
    let indexed = |id: &str, expect| {
        let entry = |index, name: &str| Entry {
            index,
            name: name.into(),
            at: NOW,
            key: "a".into(),
            expires: NOW.plus(10),
        };
        let index = vec![entry("user", "alice"), entry("application", "ci")];
        Batch { index, ..batch(id, expect, vec![put("a", id)]) }
    };
    let place = session("one", "indexed");
    let opening = || indexed("b1", vec![Expect::Absent("a".into())]);
    assert_eq!(store.commit(&place, opening()).await.unwrap(), Commit::Done);
    assert_eq!(store.commit(&place, opening()).await.unwrap(), Commit::Done);
    let refused = indexed("b2", vec![Expect::Absent("a".into())]);
    assert_eq!(store.commit(&place, refused).await.unwrap(), Commit::Refused("a".into()));
    let connection = Connection::open(&options(&directory).path).unwrap();
    let rows: Vec<String> = connection
        .prepare("SELECT zone || ' ' || name || ' ' || value || ' ' || id FROM entry ORDER BY name")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows, ["one application ci indexed", "one user alice indexed"]);
}

#[tokio::test]
async fn the_sweep_of_the_index_goes_from_name_to_name() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&options(&directory)).unwrap();
    let place = session("one", "names");
    let entry = |number: i64, expires| Entry {
        index: "user",
        name: format!("user-{number:03}"),
        at: NOW,
        key: "a".into(),
        expires: NOW.plus(expires),
    };
    // The record outlives the entries, and every tenth name has one that does too.
    let record = || Write::Put(Record { expires: NOW.plus(9_000), ..record("a", "1") });
    for ten in 0..25 {
        let numbers = ten * 10..ten * 10 + 10;
        let mut index: Vec<_> = numbers.map(|number| entry(number, 3_600)).collect();
        index.push(entry(ten * 10, 9_000));
        let written = Batch { index, ..batch(&format!("b{ten}"), vec![], vec![record()]) };
        assert_eq!(store.commit(&place, written).await.unwrap(), Commit::Done);
    }
    let mut swept = 0;
    for _ in 0..2 {
        swept += store.sweep(NOW.plus(7_200)).await.unwrap();
    }
    assert_eq!(swept, 250, "two sweeps reach every name");
    assert_eq!(store.sweep(NOW.plus(7_200)).await.unwrap(), 0);
    let connection = Connection::open(&options(&directory).path).unwrap();
    let left: i64 =
        connection.query_row("SELECT count(*) FROM entry", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 25);
}

#[tokio::test]
async fn the_sweep_takes_what_is_long_expired_and_a_bounded_number_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&options(&directory)).unwrap();
    let place = |number: usize| session("one", &format!("{number}"));
    let count = SWEEP_ROWS / 20 + 2;
    for number in 0..count {
        let writes = (0..20).map(|key| put(&format!("k{key:02}"), "1")).collect();
        let entry = Entry {
            index: "user",
            name: "alice".into(),
            at: NOW,
            key: "k00".into(),
            expires: NOW.plus(3_600),
        };
        let written = Batch { index: vec![entry], ..batch("b", vec![], writes) };
        assert_eq!(store.commit(&place(number), written).await.unwrap(), Commit::Done);
    }
    let kept = Write::Put(Record { expires: NOW.plus(3_601), ..record("kept", "1") });
    store.commit(&place(0), batch("kept", vec![], vec![kept])).await.unwrap();

    // The records expire at NOW + 3600, and stay for another hour.
    let edge = NOW.plus(7_200);
    assert_eq!(store.sweep(edge.plus(-1)).await.unwrap(), 0);
    assert_eq!(store.sweep(edge).await.unwrap(), SWEEP_ROWS + count);
    assert_eq!(store.sweep(edge).await.unwrap(), 40);
    assert_eq!(store.sweep(edge).await.unwrap(), 0);
    let left = store.read(&place(0), Range::of("")).await.unwrap();
    assert_eq!(left.iter().map(|record| &*record.key).collect::<Vec<_>>(), ["kept"]);
    assert_eq!(store.sweep(edge.plus(1)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_full_store_says_so_keeps_what_it_has_and_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let small = StoreOptions { max_bytes: Some(256 * 1024), ..options(&directory) };
    let store = Store::open(&small).unwrap();
    let big = "v".repeat(8_000);
    let place = |number: usize| session("one", &format!("{number}"));
    let fill = async |store: &Store, from: usize| {
        for number in from..from + 200 {
            let written = batch("b", vec![], vec![put("a", &big)]);
            match store.commit(&place(number), written).await {
                Ok(outcome) => assert_eq!(outcome, Commit::Done),
                Err(Unavailable(reason)) => return (number, reason),
            }
        }
        (from + 200, String::new())
    };
    let (stopped, reason) = fill(&store, 0).await;
    assert!(stopped > 10 && stopped < 40, "{stopped}");
    assert!(reason.contains("full") && reason.contains("--max-data-bytes"), "{reason}");
    assert!(small.path.metadata().unwrap().len() <= 256 * 1024);
    for number in 0..stopped {
        assert_eq!(store.read(&place(number), Range::of("")).await.unwrap().len(), 1, "{number}");
    }
    assert_eq!(store.read(&place(stopped), Range::of("")).await.unwrap(), []);

    // Space comes back without a restart: the sweep frees what is long expired.
    assert_eq!(store.sweep(NOW.plus(7_200)).await.unwrap(), stopped);
    let (again, _) = fill(&store, 1_000).await;
    assert!(again > 1_010, "{again}");

    // And with a larger limit, there is room for more.
    store.close().await.unwrap();
    let store = Store::open(&StoreOptions { max_bytes: Some(64 * 1024 * 1024), ..small }).unwrap();
    assert_eq!(fill(&store, 2_000).await, (2_200, String::new()));
    assert_eq!(store.read(&place(1_000), Range::of("")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_lock_held_by_another_process_is_contention_and_passes() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&options(&directory)).unwrap();
    let place = session("one", "locked");
    let hog = Connection::open(&options(&directory).path).unwrap();
    hog.execute_batch("BEGIN IMMEDIATE").unwrap();
    let write = |id: &str| batch(id, vec![], vec![put(id, "1")]);
    assert_eq!(store.commit(&place, write("b1")).await, Ok(Commit::Contended));
    assert_eq!(store.read(&place, Range::of("")).await.unwrap(), [], "reading goes on");
    hog.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.commit(&place, write("b2")).await, Ok(Commit::Done));
    let left = store.read(&place, Range::of("")).await.unwrap();
    assert_eq!(left.iter().map(|record| &*record.key).collect::<Vec<_>>(), ["b2"]);
}

#[tokio::test]
async fn a_closed_store_is_unavailable() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&options(&directory)).unwrap();
    store.close().await.unwrap();
    let place = session("one", "closed");
    let error = store.commit(&place, batch("b", vec![], vec![put("a", "1")])).await.unwrap_err();
    assert!(error.0.contains("stopped"), "{error:?}");
}
