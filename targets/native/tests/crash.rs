//! What the store acknowledged survives the death of its process.
//!
//! The test runs this very program again as a child that commits as fast as it can and prints the id
//! of each batch once it is acknowledged. Then it kills the child without warning (SIGKILL), opens
//! the store and looks for every id that was printed. A kill does not test the disk's own cache; it
//! tests that no answer goes out before the commit, and that the log is read back.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use writ::store::{Store, StoreOptions};
use writ_core::host::{Batch, Commit, Entry, Expect, Kind, Partition, Range, Record, Write};
use writ_core::moment::Timestamp;

#[tokio::test]
async fn every_acknowledged_batch_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..4 {
        let mut child = spawn(directory.path(), round);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut heard = 0;
        while heard < 400 + 150 * round {
            let line = lines.next().expect("the child goes on until it is killed").unwrap();
            heard += keep(&line, &mut acknowledged);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had said before it died counts too.
        for line in lines.map_while(Result::ok) {
            keep(&line, &mut acknowledged);
        }
    }
    let store = Store::open(&options(directory.path())).unwrap();
    assert!(!store.fresh());
    for id in &acknowledged {
        let found = store.read(&place(id), Range::of("")).await.unwrap();
        let keys: Vec<_> = found.iter().map(|record| record.key.as_str()).collect();
        assert_eq!(keys, ["hop", "opened"], "{id} was acknowledged");
    }
    assert!(acknowledged.len() >= 2_500, "{}", acknowledged.len());
}

/// The child's side. Without its variable it is a test that has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_commits_until_it_is_killed() {
    let Ok(run) = std::env::var(RUN) else { return };
    let directory = std::env::var(DIRECTORY).unwrap();
    let store = Arc::new(Store::open(&options(Path::new(&directory))).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..16 {
        let (store, run) = (Arc::clone(&store), run.clone());
        tasks.spawn(async move {
            for number in 0_u64.. {
                let id = format!("{run}-{task}-{number}");
                let outcome = store.commit(&place(&id), opening(&id)).await.unwrap();
                assert_eq!(outcome, Commit::Done);
                // One write for the line, so that it is there whole or not at all.
                let line = format!("{MARK}{id};\n");
                std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
            }
        });
    }
    tasks.join_all().await;
}

fn spawn(directory: &Path, round: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_commits_until_it_is_killed", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(RUN, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Keeps the id that a line acknowledges, and says how many there were. The test harness writes
/// to the same pipe, and the kill may have cut the last line.
fn keep(line: &str, acknowledged: &mut Vec<String>) -> usize {
    let Some((_, rest)) = line.split_once(MARK) else { return 0 };
    let Some(id) = rest.strip_suffix(';') else { return 0 };
    acknowledged.push(id.into());
    1
}

fn opening(id: &str) -> Batch {
    let record = |key: &str| {
        let expires = NOW.plus(3_600);
        Write::Put(Record { key: key.into(), value: vec![b'v'; 400], expires, version: 0 })
    };
    Batch {
        id: id.into(),
        now: NOW,
        until: None,
        expect: vec![Expect::Absent("opened".into())],
        write: vec![record("opened"), record("hop")],
        index: vec![Entry {
            index: "record",
            name: "one".into(),
            at: NOW,
            key: "hop".into(),
            expires: NOW.plus(3_600),
        }],
    }
}

fn place(id: &str) -> Partition {
    Partition { zone: "one".into(), kind: Kind::Session, id: id.into() }
}

fn options(directory: &Path) -> StoreOptions {
    StoreOptions { path: directory.join("writ.db"), max_bytes: None }
}

const NOW: Timestamp = Timestamp(1_900_000_000);
const DIRECTORY: &str = "WRIT_TEST_CRASH_DIRECTORY";
const RUN: &str = "WRIT_TEST_CRASH_RUN";
const MARK: &str = "acknowledged ";
