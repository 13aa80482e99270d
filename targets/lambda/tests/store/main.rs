//! The DynamoDB store: the contract of every strong store, and what is its own, on moto's table.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a failed test panics")]

use aws::{Aws, Fault};
use contract::{NOW, Strong, batch, record, session};
use serde_json::Value;
use writ_core::host::{
    Batch, Commit, Entry, Expect, Kind, Listing, Outside as _, Page, Partition, Range, Record,
    Unavailable, Write,
};
use writ_core::jwk::Algorithm;
use writ_core::limits;
use writ_core::moment::Timestamp;
use writ_lambda::host::{Instance, Lambda};
use writ_lambda::store::Store;
use writ_process::crypto::PrivateKey;

mod aws;
#[path = "../../../../tests/contract.rs"]
mod contract;
mod faults;
mod idle;

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

fn put(key: &str, value: &str) -> Write {
    Write::Put(record(key, value))
}

fn absent(key: &str) -> Expect {
    Expect::Absent(key.into())
}

/// A batch as an exchange makes it: the session's first hop, or a further one at depth 8.
fn hop(id: &str, first: bool, applications: usize) -> Batch {
    let key = format!("hop/{id}");
    let opened = if first {
        absent("opened")
    } else {
        Expect::Live { key: "opened".into(), until: NOW.plus(60) }
    };
    let mut expect = vec![opened, absent("spent"), absent("ended")];
    expect.extend((0..8).map(|hop| absent(&format!("revoked/{hop}"))));
    let mut write = vec![put(&key, "{}")];
    if first {
        write.push(Write::PutIfAbsent(record("opened", "{}")));
    }
    let entry = |index, name: String| Entry {
        index,
        name,
        at: NOW,
        key: key.clone(),
        expires: NOW.plus(3_600),
    };
    let mut index = vec![entry("record", "one".into()), entry("user", "user:x:y".into())];
    index.push(entry("resource", "https://files.example/api".into()));
    index.extend((0..applications).map(|n| entry("application", format!("agent-{n}"))));
    Batch { index, ..batch(id, expect, write) }
}

/// Runs a test on a thread of its own: without optimization, the SDK's futures beneath the core's, or 64
/// at once, are more than a test's usual stack holds.
fn deeply<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test());
    };
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(run).unwrap();
    thread.join().unwrap();
}

#[test]
fn keeps_the_contract() {
    deeply(|| async {
        let aws = Aws::start();
        contract::holds(&aws.store(), "first").await;
        // The contract's records are items of their own; facts lie together.
        facts_keep_the_contract(&aws.store()).await;
    });
}

/// Conditions on records that lie together, and on both kinds in one batch.
async fn facts_keep_the_contract(store: &Store) {
    let place = session("one", "facts");
    let commit = async |at: i64, batch: Batch| {
        store.commit(&place, Batch { now: NOW.plus(at), ..batch }).await.unwrap()
    };
    let live = |until| vec![Expect::Live { key: "opened".into(), until: NOW.plus(until) }];
    let short = Write::Put(Record { expires: NOW.plus(100), ..record("opened", "1") });
    assert_eq!(commit(0, batch("o1", vec![absent("opened")], vec![short])).await, Commit::Done);
    let again = Write::Put(Record { expires: NOW.plus(100), ..record("opened", "1") });
    let refused = Commit::Refused("opened".into());
    let second = batch("o2", vec![absent("opened")], vec![again.clone()]);
    assert_eq!(commit(99, second.clone()).await, refused);
    assert_eq!(commit(0, batch("o1", vec![absent("opened")], vec![again])).await, Commit::Done);
    assert_eq!(commit(0, batch("l1", live(101), vec![put("hop/1", "")])).await, refused);
    assert_eq!(commit(99, batch("l2", live(100), vec![put("hop/2", "")])).await, Commit::Done);
    assert_eq!(commit(100, batch("l3", live(0), vec![put("hop/3", "")])).await, refused);
    // Expired, it is absent, and counts from the beginning.
    let late = Write::PutIfAbsent(record("opened", "2"));
    assert_eq!(commit(100, batch("o3", vec![absent("opened")], vec![late])).await, Commit::Done);
    let opened = store.read(&place, Range::of("opened")).await.unwrap();
    assert_eq!(opened, [Record { version: 1, ..record("opened", "2") }]);
    // What is live is left as it is, and the rest of the batch is done.
    let left = Write::PutIfAbsent(record("opened", "3"));
    let joined = batch("j1", vec![], vec![put("hop/4", ""), left]);
    assert_eq!(commit(100, joined).await, Commit::Done);
    assert_eq!(store.read(&place, Range::of("opened")).await.unwrap(), opened);
    // A counter counts.
    let below = |most| vec![Expect::Below { key: "denials".into(), version: most }];
    for round in 1..=3 {
        let id = format!("d{round}");
        let denied =
            batch(&id, below(3), vec![put(&format!("denied/{round}"), ""), put("denials", "")]);
        assert_eq!(commit(0, denied).await, Commit::Done, "{round}");
    }
    let denied = batch("d4", below(3), vec![put("denied/4", ""), put("denials", "")]);
    assert_eq!(commit(0, denied).await, Commit::Refused("denials".into()));
    // What was revoked stops what rests on it, and is found by its prefix.
    let revoked = batch("r1", vec![], vec![Write::PutIfAbsent(record("revoked/7", "{}"))]);
    assert_eq!(commit(0, revoked).await, Commit::Done);
    assert_eq!(commit(0, hop("h1", false, 1)).await, Commit::Refused("revoked/7".into()));
    let keys = async |prefix| -> Vec<String> {
        let found = store.read(&place, Range::of(prefix)).await.unwrap();
        found.into_iter().map(|record| record.key).collect()
    };
    assert_eq!(keys("revoked/").await, ["revoked/7"]);
    assert_eq!(keys("denied/").await, ["denied/1", "denied/2", "denied/3"]);
    assert_eq!(keys("d").await, ["denials", "denied/1", "denied/2", "denied/3"]);
    // A condition is named in the batch's order, wherever its record lies.
    let order = vec![absent("hop/2"), absent("opened")];
    assert_eq!(
        commit(0, batch("x1", order.clone(), vec![])).await,
        Commit::Refused("hop/2".into())
    );
    let reverse = order.into_iter().rev().collect();
    assert_eq!(commit(0, batch("x2", reverse, vec![])).await, refused);
    assert_eq!(
        commit(0, batch("f", vec![], vec![Write::Forget("opened".into())])).await,
        Commit::Done
    );
    assert_eq!(keys("opened").await, [""; 0]);
    // A zone's snapshot, which changes under its version.
    let zone = Partition { kind: Kind::Zone, id: String::new(), ..place.clone() };
    for version in 0..3 {
        let expect = vec![Expect::Version { key: "snapshot".into(), version }];
        let id = format!("v{version}");
        let never = Write::Put(Record { expires: Timestamp(i64::MAX), ..record("snapshot", &id) });
        let change = batch(&id, expect, vec![never]);
        assert_eq!(store.commit(&zone, change.clone()).await.unwrap(), Commit::Done);
        assert_eq!(store.commit(&zone, change).await.unwrap(), Commit::Done, "found its own id");
    }
    assert_eq!(store.read(&zone, Range::of("snapshot")).await.unwrap()[0].version, 3);
}

/// Of the budget: one transaction, and of two to four items, however deep the path is.
#[tokio::test]
async fn a_hop_is_one_transaction_of_few_items() {
    let aws = Aws::start();
    let place = session("one", "items");
    // A DPoP proof names the hop, which must not be there yet.
    let proven = |id: &str| {
        let mut batch = hop(id, false, 1);
        let key = batch.write[0].key().to_owned();
        batch.expect.push(Expect::Absent(key));
        batch
    };
    for (name, batch, items) in [
        ("the first hop", hop("1", true, 1), 2),
        ("a further hop at depth 8", hop("2", false, 1), 2),
        ("a hop with a proof", proven("5"), 2),
        ("a second application on the chain", hop("3", false, 2), 3),
        ("a third one", hop("4", false, 3), 4),
    ] {
        aws.faults.take();
        assert_eq!(aws.store().commit(&place, batch).await.unwrap(), Commit::Done, "{name}");
        let sent = aws.faults.take();
        let [(target, body)] = sent.as_slice() else { panic!("{name}: {} requests", sent.len()) };
        assert!(target.ends_with("TransactWriteItems"), "{name}: {target}");
        let body: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(body["TransactItems"].as_array().unwrap().len(), items, "{name}");
    }
    let again = Batch { id: "again".into(), ..proven("5") };
    let key = again.write[0].key().to_owned();
    assert_eq!(aws.store().commit(&place, again).await, Ok(Commit::Refused(key)));
}

/// What a session's last hop was is written among the facts, which are looked at anyway, and does not
/// keep them; a refresh token is counted in an item of its own. No plan of these guesses wrong.
#[tokio::test]
async fn an_idle_limit_costs_no_item_and_a_refresh_token_one() {
    let aws = Aws::start();
    let place = session("one", "idle");
    let last = |secs| Write::Put(Record { expires: NOW.plus(secs), ..record("opened/active", "") });
    let active = || Expect::Live { key: "opened/active".into(), until: NOW };
    let version = |version| Expect::Version { key: "refresh/1".into(), version };
    let turned = || put("refresh/1", "{}");
    for (id, expect, write, items) in [
        ("1", vec![], vec![last(300), turned()], 3),
        ("2", vec![active()], vec![last(90_000)], 2),
        ("3", vec![active(), version(1)], vec![last(300), turned()], 3),
        ("4", vec![active(), version(2)], vec![last(300)], 3),
    ] {
        let mut batch = hop(id, id == "1", 1);
        batch.expect.extend(expect);
        batch.write.extend(write);
        aws.faults.take();
        assert_eq!(aws.store().commit(&place, batch).await.unwrap(), Commit::Done, "{id}");
        assert_eq!(self::items(&aws), [items], "{id}");
        let opened = record("opened", "").expires.0;
        let swept = aws.ttl("session one idle", "facts").await;
        assert_eq!(swept, Some(opened + 24 * 3600), "{id}");
    }
    let read = aws.store().read(&place, Range::of("opened")).await.unwrap();
    let keys: Vec<&str> = read.iter().map(|record| &*record.key).collect();
    assert_eq!(keys, ["opened", "opened/active"]);
}

/// However many tokens of a session are revoked, the item that every commit of it conditions on stays
/// small; what was revoked stops what rests on it, wherever the fact lies.
#[tokio::test]
async fn x11_revocations_without_number_leave_a_session_that_commits() {
    let aws = Aws::start();
    let (store, place) = (aws.store(), session("one", "many"));
    assert_eq!(store.commit(&place, hop("1", true, 1)).await.unwrap(), Commit::Done);
    let revoke = |number: u32, id: &str, secs: i64| {
        let fact = record(&format!("revoked/r{number:03}"), &format!("by {id}"));
        let fact = Record { expires: NOW.plus(10_000 + secs), ..fact };
        batch(id, vec![], vec![Write::PutIfAbsent(fact)])
    };
    for number in 0..90 {
        let revoked = revoke(number, &format!("a{number}"), number.into());
        assert_eq!(store.commit(&place, revoked).await.unwrap(), Commit::Done, "{number}");
    }
    let facts = aws.item("session one many", "facts").await;
    let beside = facts.keys().filter(|key| key.starts_with("revoked/")).count();
    assert_eq!(beside, 64);
    assert_eq!(facts["revocations"].as_n().unwrap(), "90");
    assert_eq!(
        aws.item("session one many", "record revoked/r089").await["v"].as_b().unwrap().as_ref(),
        b"by a89"
    );
    // The facts are swept after the last of them, so that nobody finds room in new ones.
    let swept = NOW.0 + 10_089 + 24 * 3600;
    assert_eq!(aws.ttl("session one many", "facts").await, Some(swept));
    // A path of eight, of which one is revoked.
    let path = |id: &str, revoked: Option<u32>| {
        let mut batch = hop(id, false, 1);
        let revoked = revoked.map(|number| absent(&format!("revoked/r{number:03}")));
        if let Some(revoked) = revoked {
            batch.expect.pop();
            batch.expect.insert(5, revoked);
        }
        batch
    };
    for number in [0, 63, 64, 89] {
        let refused = store.commit(&place, path(&format!("p{number}"), Some(number))).await;
        assert_eq!(refused, Ok(Commit::Refused(format!("revoked/r{number:03}"))));
        // Without writes, as introspection asks.
        let asked = Batch { write: vec![], index: vec![], ..path("asked", Some(number)) };
        let refused = store.commit(&place, asked).await;
        assert_eq!(refused, Ok(Commit::Refused(format!("revoked/r{number:03}"))));
        // Revoked once more, it stays as it was; and what is there already is found again.
        let again = revoke(number, &format!("again-{number}"), 0);
        assert_eq!(store.commit(&place, again).await, Ok(Commit::Done));
        let first = revoke(number, &format!("a{number}"), number.into());
        assert_eq!(store.commit(&place, first).await, Ok(Commit::Done));
        let read = store.read(&place, Range::of(&format!("revoked/r{number:03}"))).await.unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].value, format!("by a{number}").into_bytes());
        assert_eq!(read[0].version, 1);
    }
    let read = store.read(&place, Range::of("revoked/")).await.unwrap();
    let keys: Vec<_> = read.iter().map(|record| record.key.clone()).collect();
    let expected: Vec<_> = (0..24).map(|number| format!("revoked/r{number:03}")).collect();
    assert_eq!(keys, expected);
    // An answer that was lost is not a second revocation.
    aws.faults.take();
    aws.faults.next([Fault::Delay(0), Fault::Lost]);
    assert!(store.commit(&place, revoke(90, "lost", 0)).await.is_err());
    assert_eq!(store.commit(&place, revoke(90, "lost", 0)).await, Ok(Commit::Done));
    assert_eq!(store.read(&place, Range::of("revoked/r090")).await.unwrap()[0].version, 1);
    // What is not revoked goes on: two requests, the second with a condition for each hop of the path.
    aws.faults.take();
    assert_eq!(store.commit(&place, path("good", None)).await, Ok(Commit::Done));
    assert_eq!(items(&aws), [2, 10]);
    assert_eq!(store.commit(&place, hop("good", false, 1)).await, Ok(Commit::Done));
}

/// A revocation that comes between another commit's look and its act is seen by it.
#[tokio::test]
async fn x12_a_commit_that_is_overtaken_by_the_first_revocation_without_room_is_refused() {
    let aws = Aws::start();
    let (store, place) = (aws.store(), session("one", "overtaken"));
    assert_eq!(store.commit(&place, hop("1", true, 1)).await.unwrap(), Commit::Done);
    let revoke = |key: &str| batch(key, vec![], vec![Write::PutIfAbsent(record(key, "{}"))]);
    for number in 0..64 {
        let revoked = revoke(&format!("revoked/x{number}"));
        assert_eq!(store.commit(&place, revoked).await.unwrap(), Commit::Done);
    }
    // The hop has learnt that there is no room, and its second attempt is held up; meanwhile a hop of
    // its path is revoked.
    aws.faults.next([Fault::Delay(0), Fault::Delay(1_500)]);
    let slow = {
        let (store, place) = (store.clone(), place.clone());
        tokio::spawn(async move { store.commit(&place, hop("2", false, 1)).await })
    };
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert_eq!(store.commit(&place, revoke("revoked/7")).await, Ok(Commit::Done));
    assert_eq!(slow.await.unwrap(), Ok(Commit::Refused("revoked/7".into())));
}

/// The number of items of each transaction that was sent.
fn items(aws: &Aws) -> Vec<usize> {
    let sent = aws.faults.take().into_iter();
    let transactions = sent.filter(|(target, _)| target.ends_with("TransactWriteItems"));
    let count = |body: Vec<u8>| {
        let body: Value = serde_json::from_slice(&body).unwrap();
        body["TransactItems"].as_array().unwrap().len()
    };
    transactions.map(|(_, body)| count(body)).collect()
}

/// A session that a reusable proof joins, and a denial after another one: DynamoDB says in its refusal
/// what there is, so the second attempt is the last.
#[tokio::test]
async fn a_wrong_guess_costs_one_request() {
    let aws = Aws::start();
    let place = session("one", "joined");
    for number in 0..3 {
        let expect = vec![
            Expect::LiveOrAbsent { key: "opened".into(), until: NOW.plus(60) },
            absent("ended"),
        ];
        let opened = Write::PutIfAbsent(record("opened", "{}"));
        let id = format!("h{number}");
        let write = vec![put(&format!("hop/{number}"), "{}"), opened, put("denials", "")];
        aws.faults.take();
        let done = aws.store().commit(&place, batch(&id, expect, write)).await.unwrap();
        assert_eq!(done, Commit::Done);
        assert_eq!(aws.faults.take().len(), if number == 0 { 1 } else { 2 });
    }
    assert_eq!(aws.store().read(&place, Range::of("denials")).await.unwrap()[0].version, 3);
}

/// Nothing is swept before the latest record in its item has expired.
#[tokio::test]
async fn a_sweep_never_comes_early() {
    let aws = Aws::start();
    let place = session("one", "swept");
    let day = 24 * 3600;
    let fact = |key: &str, secs| Write::Put(Record { expires: NOW.plus(secs), ..record(key, "") });
    for (id, key, secs, latest) in [
        ("1", "opened", 100, 100),
        ("2", "revoked/1", 900, 900),
        ("3", "revoked/2", 200, 900),
        ("4", "spent", 900, 900),
        ("5", "ended", 1_000, 1_000),
    ] {
        let written = batch(id, vec![], vec![fact(key, secs)]);
        assert_eq!(aws.store().commit(&place, written).await.unwrap(), Commit::Done);
        let swept = aws.ttl("session one swept", "facts").await;
        assert_eq!(swept, Some(NOW.0 + latest + day), "{key}");
    }
    let written = batch("6", vec![], vec![fact("hop/1", 50)]);
    aws.store().commit(&place, written).await.unwrap();
    assert_eq!(aws.ttl("session one swept", "record hop/1").await, Some(NOW.0 + 50 + day));
    // What a zone keeps does not end.
    let zone = Partition { kind: Kind::Zone, ..place };
    let never = |key: &str| Write::Put(Record { expires: Timestamp(i64::MAX), ..record(key, "") });
    let written = batch("7", vec![], vec![never("snapshot"), never("key/1"), fact("key/2", 50)]);
    aws.store().commit(&zone, written).await.unwrap();
    for (item, ttl) in
        [("facts", None), ("record key/1", None), ("record key/2", Some(NOW.0 + 50 + day))]
    {
        assert_eq!(aws.ttl("zone one swept", item).await, ttl, "{item}");
    }
}

#[tokio::test]
async fn copies_are_whole_or_missing() {
    let aws = Aws::start();
    let store = aws.store();
    let expires = NOW.plus(1_000_000_000);
    assert_eq!(store.published("one", "a").await.unwrap(), None);
    for length in [0, 1, 300 * 1024, 300 * 1024 + 1, 900 * 1024, 5] {
        let bytes: Vec<u8> = (0..length).map(|n: usize| n.to_be_bytes()[7]).collect();
        store.publish("one", "a", &bytes, expires).await.unwrap();
        assert_eq!(store.published("one", "a").await.unwrap(), Some(bytes), "{length}");
    }
    // Too large for one look-up: whoever asks reads the store.
    store.publish("one", "b", &vec![0; 900 * 1024 + 1], expires).await.unwrap();
    assert_eq!(store.published("one", "b").await.unwrap(), None);
    assert_eq!(store.published("two", "a").await.unwrap(), None, "S07");
}

/// Whoever can write to the table's copies does not say whose signature counts.
#[tokio::test]
async fn x13_a_copy_that_somebody_else_put_there_is_none() {
    let aws = Aws::start();
    let (store, expires) = (aws.store(), NOW.plus(1_000_000_000));
    let wrapping = aws.wrapping("one", "WRIT_WRAPPING_SECRET").await.unwrap();
    let host = Lambda::new(Instance::new(aws.store(), wrapping));
    for name in ["keys/a", "keys/b"] {
        host.publish("one", name, name.as_bytes(), expires).await.unwrap();
        assert_eq!(host.published("one", name).await.unwrap(), Some(name.as_bytes().to_vec()));
    }
    let other = store.published("one", "keys/b").await.unwrap().unwrap();
    for forged in [b"theirs".to_vec(), [[0; 32].as_slice(), b"theirs"].concat(), other] {
        store.publish("one", "keys/a", &forged, expires).await.unwrap();
        assert_eq!(host.published("one", "keys/a").await.unwrap(), None);
    }
}

/// A subject may be longer than DynamoDB's keys are.
#[tokio::test]
async fn the_longest_name_is_found_by_its_index() {
    let aws = Aws::start();
    let store = aws.store();
    let name = "x".repeat(limits::SUBJECT_BYTES * 2);
    let mut written = batch("1", vec![], vec![put("hop/1", "")]);
    let entry = Entry {
        index: "user",
        name: name.clone(),
        at: NOW,
        key: "hop/1".into(),
        expires: NOW.plus(1),
    };
    written.index = vec![entry.clone()];
    store.commit(&session("one", "long"), written.clone()).await.unwrap();
    let listing = Listing { index: "user".into(), name, from: NOW, after: None, limit: 9 };
    assert_eq!(store.list("one", &listing).await.unwrap().entries.len(), 1);
    written.index = vec![Entry { index: "shoe-size", ..entry }];
    assert!(store.commit(&session("one", "other"), written).await.is_err());
}

/// The wrapping key from Secrets Manager and from KMS is one key; KMS opens it for its own zone only.
#[tokio::test]
async fn s04_the_wrapping_key_is_where_it_was_put() {
    let aws = Aws::start();
    let secret = aws.wrapping("one", "WRIT_WRAPPING_SECRET").await.unwrap();
    let kms = aws.wrapping("one", "WRIT_WRAPPING_CIPHERTEXT").await.unwrap();
    let key = PrivateKey::generate(Algorithm::ES256).unwrap();
    let sealed = secret.wrap("one", "kid", &key).unwrap();
    let opened = kms.unwrap("one", "kid", Algorithm::ES256, &sealed).unwrap();
    assert_eq!(opened.public(None), key.public(None));
    let other = aws.wrapping("two", "WRIT_WRAPPING_CIPHERTEXT").await.unwrap_err();
    assert!(other.contains("KMS"), "{other}");
    // A function that cannot have it does not start.
    for from in ["WRIT_WRAPPING_SECRET", "WRIT_WRAPPING_CIPHERTEXT"] {
        aws.faults.next([Fault::Refused]);
        assert!(aws.wrapping("one", from).await.is_err());
    }
}
