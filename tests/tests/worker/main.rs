//! The Workers target in workerd: the store's contract on its Durable Objects, and what is its own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use writ_core::host::{Batch, Commit, Entry, Expect, Listing, Page, Partition, Range, Record};
use writ_core::host::{Unavailable, Write};
use writ_core::http::Request;
use writ_core::moment::Timestamp;
use writ_tests::client::send;
use writ_tests::target::clock;
use writ_tests::world::block_on;
use writ_worker::wire::{self, Batched, Found, Outcome, Row};

use contract::{NOW, Strong, batch, record, session};

#[path = "../../contract.rs"]
mod contract;
mod deployed;
mod measure;
mod signatures;
mod spoiled;

/// The objects of a Worker that runs, and what goes with them when they are dropped.
struct Objects {
    authority: String,
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Objects {
    /// Starts a Worker whose objects lie in `state`.
    fn start(state: &TempDir) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/targets/worker");
        let mut child = Command::new(script)
            .env("WRIT_STORE", "1")
            .env("WRIT_FAULTS", state.path().join("faults"))
            .env("WRIT_STATE", state.path())
            .env("WRIT_EVENTS", state.path().join("events"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut found = lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("store on http://").map(str::to_owned));
        let authority = found.next().expect("it starts, or says on stderr why not");
        Self { authority, child, stdin }
    }

    /// Has the manifest's trigger come.
    fn schedule(&mut self) {
        self.stdin.as_mut().unwrap().write_all(b"scheduled\n").unwrap();
    }

    /// Asks an object of `binding`.
    fn ask<A: DeserializeOwned>(
        &self,
        binding: &str,
        object: String,
        path: &str,
        asked: &impl Serialize,
    ) -> Result<A, Unavailable> {
        let request = Request {
            method: "POST".into(),
            path: format!("/{binding}/{path}"),
            headers: vec![("object".into(), object)],
            body: serde_json::to_vec(asked).unwrap(),
            query: None,
        };
        let answer = send(&self.authority, &request).unwrap();
        let body = String::from_utf8(answer.body).unwrap();
        if answer.status != 200 {
            return Err(Unavailable(format!("{} {body}", answer.status)));
        }
        Ok(serde_json::from_str(&body).unwrap())
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // It stops when nobody holds its stdin any more; killed, it would leave workerd behind.
        self.stdin.take();
        let _ = self.child.wait();
    }
}

impl Strong for Objects {
    async fn commit(&self, partition: &Partition, batch: Batch) -> Result<Commit, Unavailable> {
        batch.within_limits(partition.kind).map_err(|reason| Unavailable(reason.into()))?;
        let object = wire::name(partition);
        match self.ask("PARTITIONS", object, "commit", &Batched::new(partition, batch))? {
            Outcome::Done => Ok(Commit::Done),
            Outcome::Refused(key) => Ok(Commit::Refused(key)),
            Outcome::Late => Err(Unavailable("late".into())),
        }
    }

    async fn read(
        &self,
        partition: &Partition,
        range: Range<'_>,
    ) -> Result<Vec<Record>, Unavailable> {
        let rows: Vec<Row> =
            self.ask("PARTITIONS", wire::name(partition), "read", &wire::bounds(range))?;
        Ok(rows.into_iter().map(|row| wire::record(row).unwrap()).collect())
    }

    async fn list(&self, zone: &str, listing: &Listing) -> Result<Page, Unavailable> {
        let asked = wire::asked(listing);
        let found = (0..wire::PARTS)
            .map(|part| self.ask("INDEX", wire::part(zone, part), "list", &asked))
            .collect::<Result<Vec<Vec<Found>>, _>>()?;
        Ok(wire::page(found, asked.4))
    }
}

#[test]
fn the_objects_keep_the_contract_and_what_they_hold() {
    let state = tempfile::tempdir().unwrap();
    let objects = Objects::start(&state);
    block_on(contract::holds(&objects, "first"));
    let kept = session("one", "kept");
    let written = batch("b1", vec![], vec![Write::Put(record("a", "1"))]);
    assert_eq!(block_on(objects.commit(&kept, written)), Ok(Commit::Done));
    drop(objects);

    let objects = Objects::start(&state);
    block_on(contract::holds(&objects, "second"));
    let read = block_on(objects.read(&kept, Range::of(""))).unwrap();
    assert_eq!(read, [Record { version: 1, ..record("a", "1") }], "after a restart");
}

/// J21: of many requests that claim one thing at once, exactly one gets it.
#[test]
fn j21_of_64_requests_one_claims() {
    let state = tempfile::tempdir().unwrap();
    let objects = Objects::start(&state);
    let place = session("one", "claimed");
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let claims = (0..64).map(|number| {
            let (objects, place) = (&objects, &place);
            scope.spawn(move || {
                let write = vec![Write::Put(record("a", &number.to_string()))];
                let claim = batch(&number.to_string(), vec![Expect::Absent("a".into())], write);
                block_on(objects.commit(place, claim)).unwrap()
            })
        });
        let claims: Vec<_> = claims.collect();
        claims.into_iter().map(|claim| claim.join().unwrap()).collect()
    });
    let done = outcomes.iter().filter(|outcome| **outcome == Commit::Done).count();
    let refused = outcomes.iter().filter(|outcome| **outcome == Commit::Refused("a".into()));
    assert_eq!((done, refused.count()), (1, 63));
}

/// What was decided too long ago is not written any more.
#[test]
fn a_batch_that_comes_too_late_is_not_written() {
    let state = tempfile::tempdir().unwrap();
    let objects = Objects::start(&state);
    let place = session("one", "late");
    let timed = |id: &str, until: i64| Batch {
        until: Some(Timestamp(until)),
        ..batch(id, vec![], vec![Write::Put(record("a", id))])
    };
    let now = clock();
    assert!(block_on(objects.commit(&place, timed("late", now - 1))).is_err());
    assert_eq!(block_on(objects.read(&place, Range::of(""))), Ok(Vec::new()));
    assert_eq!(block_on(objects.commit(&place, timed("in time", now + 60))), Ok(Commit::Done));
}

/// The index is fed at least once: entries that it did not take wait for the object's alarm.
#[test]
fn entries_wait_until_the_index_takes_them() {
    let state = tempfile::tempdir().unwrap();
    let faults = state.path().join("faults");
    std::fs::write(&faults, r#"{"enter":"refuse"}"#).unwrap();
    let objects = Objects::start(&state);
    let place = session("one", "waiting");
    assert_eq!(block_on(objects.commit(&place, entered("a"))), Ok(Commit::Done));
    let listed = || alices(&objects);
    assert_eq!(listed(), 0);
    std::fs::write(&faults, r#"{"enter":"lost"}"#).unwrap();
    assert!(within(20, || listed() == 1), "what was lost was taken all the same");
    std::fs::write(&faults, "{}").unwrap();
    // Taken once more, and kept once.
    std::thread::sleep(std::time::Duration::from_secs(16));
    assert_eq!(listed(), 1);
}

/// Who commits while entries are being delivered leaves its own to the one who is at it: none waits for
/// the alarm, which is not set for the next seven seconds.
#[test]
fn entries_of_commits_that_come_together_are_all_delivered_at_once() {
    let state = tempfile::tempdir().unwrap();
    let objects = Objects::start(&state);
    let place = session("one", "together");
    std::thread::scope(|scope| {
        for number in 0..32 {
            let (objects, place) = (&objects, &place);
            scope.spawn(move || {
                let written = entered(&number.to_string());
                assert_eq!(block_on(objects.commit(place, written)), Ok(Commit::Done));
            });
        }
    });
    assert!(within(5, || alices(&objects) == 32));
    // An object that has slept knows nothing of what it delivered.
    drop(objects);
    let objects = Objects::start(&state);
    assert_eq!(block_on(objects.commit(&place, entered("again"))), Ok(Commit::Done));
    assert!(within(5, || alices(&objects) == 33));
}

/// A batch that writes the record `key` and enters it in the index of the user `alice`.
fn entered(key: &str) -> Batch {
    let entry = Entry {
        index: "user",
        name: "alice".into(),
        at: NOW,
        key: key.to_owned(),
        expires: NOW.plus(10),
    };
    Batch { index: vec![entry], ..batch(key, vec![], vec![Write::Put(record(key, "1"))]) }
}

/// How many entries the index has of her.
fn alices(objects: &Objects) -> usize {
    let (index, name) = ("user".into(), "alice".into());
    let listing = Listing { index, name, from: NOW, after: None, limit: 100 };
    block_on(objects.list("one", &listing)).unwrap().entries.len()
}

/// An index that is down is asked less and less often, and not by all at the same moment.
#[test]
fn entries_wait_longer_each_time() {
    let retries = |drawn: f64| {
        let pauses = std::iter::successors(Some((0.0, 0.0)), |(waited, _)| {
            let pause = wire::retry_millis(*waited, drawn);
            Some((waited + pause, pause))
        });
        pauses.skip(1).take(20).map(|(_, pause)| pause).collect::<Vec<f64>>()
    };
    let usual = retries(0.5);
    assert_eq!(usual[..5], [10_000.0, 10_000.0, 20_000.0, 40_000.0, 80_000.0]);
    assert_eq!(usual.last(), Some(&900_000.0), "there is an end to it");
    for (drawn, least, most) in [(0.0, 7_500.0, 675_000.0), (1.0, 12_500.0, 1_125_000.0)] {
        let drawn = retries(drawn);
        assert!(drawn.is_sorted(), "{drawn:?}");
        assert_eq!((drawn.first(), drawn.last()), (Some(&least), Some(&most)));
    }
    // A clock that was set back, and what waits from before ids were instants.
    assert!(wire::retry_millis(-5.0, 0.5) == 10_000.0);
    assert!(wire::retry_millis(1.8e12, 0.5) == 900_000.0);
}

/// One call a hour is enough, however many entries expired in it.
#[test]
fn an_index_sweeps_until_nothing_is_left() {
    let state = tempfile::tempdir().unwrap();
    let objects = Objects::start(&state);
    let part = wire::part("one", 0);
    let now = clock();
    for piece in 0..7 {
        let entries: Vec<wire::Entered> = (0..1_000)
            .map(|number| {
                let key = format!("hop/{piece}-{number}");
                // The last piece has not expired for long enough.
                let expires = now - if piece < 6 { 4_000 } else { 3_000 };
                ("user".into(), "alice".into(), NOW.0, "a".into(), key, expires)
            })
            .collect();
        let () = objects.ask("INDEX", part.clone(), "enter", &entries).unwrap();
    }
    let asked: wire::Asked = ("user".into(), "alice".into(), 0, None, 10_000);
    let left = || {
        let found: Vec<Found> = objects.ask("INDEX", part.clone(), "list", &asked).unwrap();
        found.len()
    };
    assert_eq!(left(), 7_000);
    let swept: usize = objects.ask("INDEX", part.clone(), "sweep", &(now - 3_600)).unwrap();
    assert_eq!(swept, 2_000);
    assert_eq!(left(), 5_000, "entries and listings come between");
    assert!(within(20, || left() == 1_000), "{} are left", left());
}

/// What expired long ago goes by itself, and with the last record the whole object.
#[test]
fn an_alarm_sweeps_what_expired_an_hour_ago() {
    let state = tempfile::tempdir().unwrap();
    let objects = Objects::start(&state);
    let place = session("one", "old");
    let now = Timestamp(clock());
    let old =
        |key: &str, secs: i64| Write::Put(Record { expires: now.plus(secs), ..record(key, "1") });
    let mixed = batch("b1", vec![], vec![old("gone", -3_600), old("left", -3_500)]);
    assert_eq!(block_on(objects.commit(&place, mixed)), Ok(Commit::Done));
    let left = || block_on(objects.read(&place, Range::of(""))).unwrap();
    assert!(within(20, || left().len() == 1), "{:?}", left());
    assert_eq!(left().first().map(|record| record.key.clone()), Some("left".into()));

    let place = session("one", "empty");
    let all = batch("b1", vec![], vec![old("a", -4_000), old("b", -7_200)]);
    assert_eq!(block_on(objects.commit(&place, all.clone())), Ok(Commit::Done));
    let left = || block_on(objects.read(&place, Range::of(""))).unwrap();
    assert!(within(20, || left().is_empty()), "{:?}", left());
    // A partition that was deleted is as new, and the batch's id is not remembered.
    assert_eq!(block_on(objects.commit(&place, all)), Ok(Commit::Done));
}

fn within(secs: u32, holds: impl Fn() -> bool) -> bool {
    (0..secs.saturating_mul(10)).any(|_| {
        let now = holds();
        if !now {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        now
    })
}

/// What is deployed is small and starts fast; the figures are printed.
#[test]
fn the_bundle_keeps_its_budgets() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../targets/worker/tests/budgets");
    let output = Command::new(script).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
