//! What every strong store must do, whatever it is made of (`writ_core::host`).
//!
//! The cases need nothing but `commit` and `read`, and each uses a partition of its own, so that
//! they run on any store, new or not. A store's test implements [`Strong`] and calls [`holds`].
#![expect(clippy::arithmetic_side_effects, clippy::unwrap_used, reason = "a failed test panics")]

use futures_util::future::join_all;
use writ_core::host::{
    Batch, Commit, Entry, Expect, Kind, Listed, Listing, Page, Partition, Range, Record,
    Unavailable, Write,
};
use writ_core::limits;
use writ_core::moment::Timestamp;

/// The calls of a host that are its store's.
pub(crate) trait Strong {
    /// See `writ_core::host::Host::commit`.
    async fn commit(&self, partition: &Partition, batch: Batch) -> Result<Commit, Unavailable>;
    /// See `writ_core::host::Host::read`.
    async fn read(
        &self,
        partition: &Partition,
        range: Range<'_>,
    ) -> Result<Vec<Record>, Unavailable>;
    /// See `writ_core::host::Host::list`.
    async fn list(&self, zone: &str, listing: &Listing) -> Result<Page, Unavailable>;
}

/// Runs every case. `run` makes the partitions' names new where the store is not.
pub(crate) async fn holds(store: &impl Strong, run: &str) {
    let world = |name: &str| World { store, partition: session("one", &format!("{run}-{name}")) };
    a_put_record_is_read_back(&world("put")).await;
    a_refused_batch_writes_nothing(&world("refused")).await;
    conditions_are_checked_in_order(&world("order")).await;
    expiry_is_exact(&world("expiry")).await;
    live_wants_a_life_as_long(&world("live")).await;
    versions_count_puts(&world("version")).await;
    below_stops_at_its_number(&world("below")).await;
    put_if_absent_leaves_what_is_there(&world("put-if-absent")).await;
    a_repeated_batch_is_done_once(&world("repeat")).await;
    a_forgotten_record_is_absent(&world("forget")).await;
    a_batch_writes_a_record_once(&world("twice")).await;
    a_batch_without_writes_only_asks(&world("ask")).await;
    the_index_lists_in_order(store, run).await;
    reads_are_sorted_limited_and_by_prefix(&world("prefix")).await;
    pages_give_every_record_once(&world("pages")).await;
    limits_hold_at_the_edge(&world("limits")).await;
    one_of_many_wins(&world("race")).await;
    counters_lose_no_update(&world("counter")).await;
    x20_s07_zones_and_kinds_share_nothing(store, run).await;
}

struct World<'a, S> {
    store: &'a S,
    partition: Partition,
}

impl<S: Strong> World<'_, S> {
    async fn commit(&self, batch: Batch) -> Commit {
        self.store.commit(&self.partition, batch).await.unwrap()
    }

    async fn read(&self, prefix: &str) -> Vec<Record> {
        self.store.read(&self.partition, Range::of(prefix)).await.unwrap()
    }

    async fn version(&self, key: &str) -> u64 {
        let found = self.read(key).await;
        found.iter().find(|record| record.key == key).map_or(0, |record| record.version)
    }
}

/// A partition of a session.
pub(crate) fn session(zone: &str, id: &str) -> Partition {
    Partition { zone: zone.into(), kind: Kind::Session, id: id.into() }
}

/// A record that expires an hour after [`NOW`].
pub(crate) fn record(key: &str, value: &str) -> Record {
    Record { key: key.into(), value: value.into(), expires: NOW.plus(3_600), version: 0 }
}

/// A batch at [`NOW`].
pub(crate) fn batch(id: &str, expect: Vec<Expect>, write: Vec<Write>) -> Batch {
    Batch { id: id.into(), now: NOW, until: None, expect, write, index: Vec::new() }
}

/// The instant of every case.
pub(crate) const NOW: Timestamp = Timestamp(1_900_000_000);

fn absent(key: &str) -> Expect {
    Expect::Absent(key.into())
}

fn put(key: &str, value: &str) -> Write {
    Write::Put(record(key, value))
}

async fn a_put_record_is_read_back(world: &World<'_, impl Strong>) {
    assert_eq!(world.read("").await, []);
    let written = batch("b1", vec![absent("a")], vec![put("a", "1"), put("b", "2")]);
    assert_eq!(world.commit(written).await, Commit::Done);
    let expected = [("a", "1"), ("b", "2")].map(|(k, v)| Record { version: 1, ..record(k, v) });
    assert_eq!(world.read("").await, expected);
}

async fn a_refused_batch_writes_nothing(world: &World<'_, impl Strong>) {
    world.commit(batch("b1", vec![], vec![put("a", "1")])).await;
    let mut refused = batch("b2", vec![absent("a")], vec![put("b", "2"), put("a", "3")]);
    refused.index = vec![Entry {
        index: "user",
        name: "u".into(),
        at: NOW,
        key: "b".into(),
        expires: NOW.plus(10),
    }];
    assert_eq!(world.commit(refused).await, Commit::Refused("a".into()));
    assert_eq!(world.read("").await, [Record { version: 1, ..record("a", "1") }]);
}

async fn conditions_are_checked_in_order(world: &World<'_, impl Strong>) {
    world.commit(batch("b1", vec![], vec![put("a", "1"), put("b", "1")])).await;
    for (expect, refused) in [
        (vec![absent("b"), absent("a")], "b"),
        (vec![absent("a"), absent("b")], "a"),
        (vec![absent("c"), absent("b"), absent("a")], "b"),
    ] {
        let outcome = world.commit(batch("b2", expect, vec![put("c", "1")])).await;
        assert_eq!(outcome, Commit::Refused(refused.into()));
    }
}

/// A record that expires at `now` is absent; one that expires a second later is there.
async fn expiry_is_exact(world: &World<'_, impl Strong>) {
    for (key, expires, there) in [("gone", NOW, false), ("left", NOW.plus(1), true)] {
        let written = Write::Put(Record { expires, ..record(key, "1") });
        world.commit(Batch { now: NOW.plus(-10), ..batch("b1", vec![], vec![written]) }).await;
        let outcome = world
            .commit(batch(&format!("b2-{key}"), vec![absent(key)], vec![put("other", key)]))
            .await;
        let refused = Commit::Refused(key.into());
        assert_eq!(outcome, if there { refused } else { Commit::Done }, "{key}");
    }
    let read = world.read("gone").await;
    assert_eq!(read.len(), 1, "reads show expired records: expiry is the core's to judge");
    // Put again, it counts from the beginning.
    world.commit(batch("b3", vec![absent("gone")], vec![put("gone", "2")])).await;
    assert_eq!(world.version("gone").await, 1);
}

async fn live_wants_a_life_as_long(world: &World<'_, impl Strong>) {
    let written = Write::Put(Record { expires: NOW.plus(100), ..record("a", "1") });
    world.commit(batch("b1", vec![], vec![written])).await;
    let live = |key: &str, secs| Expect::Live { key: key.into(), until: NOW.plus(secs) };
    let maybe = |key: &str, secs| Expect::LiveOrAbsent { key: key.into(), until: NOW.plus(secs) };
    for (number, (expect, at, done)) in [
        (live("a", 100), 0, true),
        (live("a", 101), 0, false),
        (live("a", 50), 99, true),
        (live("a", 50), 100, false),
        (live("b", 0), 0, false),
        (maybe("a", 100), 0, true),
        (maybe("a", 101), 0, false),
        (maybe("a", 101), 100, true),
        (maybe("b", 101), 0, true),
    ]
    .into_iter()
    .enumerate()
    {
        let key = expect.key().to_owned();
        let tried = batch(&format!("t{number}"), vec![expect], vec![put("out", "1")]);
        let outcome = world.commit(Batch { now: NOW.plus(at), ..tried }).await;
        let expected = if done { Commit::Done } else { Commit::Refused(key) };
        assert_eq!(outcome, expected, "case {number}");
    }
}

async fn versions_count_puts(world: &World<'_, impl Strong>) {
    for version in 0..3_u64 {
        for other in [version + 1, version + 2] {
            let expect = Expect::Version { key: "a".into(), version: other };
            let outcome = world.commit(batch("no", vec![expect], vec![put("a", "x")])).await;
            assert_eq!(outcome, Commit::Refused("a".into()));
        }
        let expect = Expect::Version { key: "a".into(), version };
        let id = format!("b{version}");
        assert_eq!(world.commit(batch(&id, vec![expect], vec![put("a", &id)])).await, Commit::Done);
        assert_eq!(world.version("a").await, version + 1);
    }
}

async fn below_stops_at_its_number(world: &World<'_, impl Strong>) {
    let below = |version| vec![Expect::Below { key: "n".into(), version }];
    assert_eq!(
        world.commit(batch("zero", below(0), vec![put("n", "")])).await,
        Commit::Refused("n".into()),
        "nothing is below 0"
    );
    for round in 0..5 {
        let outcome = world.commit(batch(&format!("b{round}"), below(3), vec![put("n", "")])).await;
        let expected = if round < 3 { Commit::Done } else { Commit::Refused("n".into()) };
        assert_eq!(outcome, expected, "round {round}");
    }
}

async fn put_if_absent_leaves_what_is_there(world: &World<'_, impl Strong>) {
    let maybe = |value: &str| Write::PutIfAbsent(record("a", value));
    world.commit(batch("b1", vec![], vec![maybe("first")])).await;
    world.commit(batch("b2", vec![], vec![maybe("second"), put("b", "1")])).await;
    assert_eq!(world.read("a").await, [Record { version: 1, ..record("a", "first") }]);
    // Expired, it is absent.
    let later = NOW.plus(3_600);
    let written = Record { expires: later.plus(1), ..record("a", "third") };
    let third = batch("b3", vec![], vec![Write::PutIfAbsent(written.clone())]);
    world.commit(Batch { now: later, ..third }).await;
    assert_eq!(world.read("a").await, [Record { version: 1, ..written }]);
}

/// A lost answer is not a replay.
async fn a_repeated_batch_is_done_once(world: &World<'_, impl Strong>) {
    let opening = || batch("b1", vec![absent("a")], vec![put("a", "1"), put("n", "")]);
    assert_eq!(world.commit(opening()).await, Commit::Done);
    assert_eq!(world.commit(opening()).await, Commit::Done, "found its own id");
    assert_eq!(world.version("n").await, 1, "done once");
    let other = Batch { id: "b2".into(), ..opening() };
    assert_eq!(world.commit(other).await, Commit::Refused("a".into()), "another batch is a replay");
}

async fn a_forgotten_record_is_absent(world: &World<'_, impl Strong>) {
    world.commit(batch("b1", vec![], vec![put("a", "1"), put("b", "1")])).await;
    let forget = || Write::Forget("a".into());
    assert_eq!(world.commit(batch("b2", vec![], vec![forget()])).await, Commit::Done);
    assert_eq!(world.commit(batch("b3", vec![], vec![forget()])).await, Commit::Done);
    assert_eq!(
        world.commit(batch("b4", vec![absent("a")], vec![put("c", "1")])).await,
        Commit::Done
    );
    let keys: Vec<_> = world.read("").await.into_iter().map(|record| record.key).collect();
    assert_eq!(keys, ["b", "c"]);
}

async fn a_batch_writes_a_record_once(world: &World<'_, impl Strong>) {
    for second in [put("a", "2"), Write::PutIfAbsent(record("a", "2")), Write::Forget("a".into())] {
        let twice = batch("b1", vec![], vec![put("a", "1"), second]);
        assert!(world.store.commit(&world.partition, twice).await.is_err());
    }
    assert_eq!(world.read("").await, []);
}

/// A question whose answer must be strong: whether all of this holds now.
async fn a_batch_without_writes_only_asks(world: &World<'_, impl Strong>) {
    let ask = || batch("ask", vec![absent("ended"), absent("revoked/a")], vec![]);
    assert_eq!(world.commit(ask()).await, Commit::Done);
    world.commit(batch("b1", vec![], vec![put("revoked/a", "1")])).await;
    assert_eq!(world.commit(ask()).await, Commit::Refused("revoked/a".into()));
    let live = Expect::Live { key: "revoked/a".into(), until: NOW };
    assert_eq!(world.commit(batch("live", vec![live], vec![])).await, Commit::Done);
    assert_eq!(world.read("").await.len(), 1, "nothing was written");
}

/// An index is asked until it has everything: it may be seconds behind.
async fn the_index_lists_in_order(store: &impl Strong, run: &str) {
    let name = format!("{run}-listed");
    let mut expected = Vec::new();
    for number in 0..7_i64 {
        let id = format!("{run}-listed-{}", number % 3);
        let key = format!("hop/{number}");
        // Two of them happen at one instant.
        let at = NOW.plus(number / 2);
        let entry = |index, name: &str| Entry {
            index,
            name: name.into(),
            at,
            key: key.clone(),
            expires: NOW.plus(3_600),
        };
        let mut written = batch(&format!("b{number}"), vec![], vec![put(&key, "1")]);
        written.index = vec![entry("user", &name), entry("application", &name)];
        if number == 0 {
            written.index.push(entry("user", "somebody else"));
        }
        // A batch that is shown twice is listed once.
        for _ in 0..2 {
            let done = store.commit(&session("one", &id), written.clone()).await.unwrap();
            assert_eq!(done, Commit::Done);
        }
        expected.push(Listed { at, session: id, key });
    }
    expected.sort();
    let listing = |from, after, limit| Listing {
        index: "user".into(),
        name: name.clone(),
        from,
        after,
        limit,
    };
    let all = listing(NOW, None, 100);
    for _ in 0..100 {
        if store.list("one", &all).await.unwrap().entries.len() >= expected.len() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let page = store.list("one", &all).await.unwrap();
    assert_eq!((page.entries, page.next), (expected.clone(), None));
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = store.list("one", &listing(NOW, after, 3)).await.unwrap();
        assert!(page.entries.len() <= 3);
        listed.extend(page.entries);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed, expected, "page by page");
    let later = store.list("one", &listing(NOW.plus(2), None, 100)).await.unwrap();
    let expected: Vec<_> = expected.into_iter().filter(|entry| entry.at >= NOW.plus(2)).collect();
    assert_eq!(later.entries, expected, "from an instant on");
    for (zone, index, name) in
        [("two", "user", &*name), ("one", "resource", &name), ("one", "user", "nobody")]
    {
        let other = Listing { index: index.into(), name: name.into(), ..all.clone() };
        assert_eq!(store.list(zone, &other).await.unwrap(), Page::default(), "{zone} {index}");
    }
}

async fn reads_are_sorted_limited_and_by_prefix(world: &World<'_, impl Strong>) {
    for keys in [&["hop/2", "hop/10", "ho", "hop0"][..], &["hop/~", "hop", "open"][..]] {
        let writes = keys.iter().map(|key| put(key, "1")).collect();
        world.commit(batch(&format!("{} keys", keys.len()), vec![], writes)).await;
    }
    let keys = async |prefix| {
        world.read(prefix).await.into_iter().map(|record| record.key).collect::<Vec<_>>()
    };
    assert_eq!(keys("hop/").await, ["hop/10", "hop/2", "hop/~"]);
    assert_eq!(keys("hop").await, ["hop", "hop/10", "hop/2", "hop/~", "hop0"]);
    assert_eq!(keys("").await.len(), 7);
    assert_eq!(keys("z").await.len(), 0);
    for part in ["x", "y"] {
        let writes = (0..limits::BATCH_RECORDS - 1).map(|n| put(&format!("{part}/{n:02}"), "1"));
        world.commit(batch(part, vec![], writes.collect())).await;
    }
    assert_eq!(keys("").await.len(), limits::BATCH_RECORDS);
    assert_eq!(keys("x/").await.len(), limits::BATCH_RECORDS - 1);
}

/// Page after page gives each record once, in order, whatever is written before and after it.
async fn pages_give_every_record_once(world: &World<'_, impl Strong>) {
    let names = (0..60).map(|n| format!("hop/{}", n * 7 % 60)).chain(
        ["ended", "opened", "hop", "hop0", "revoked/1", "revoked/2", "hop/1-a", "hop/1a", "hop/~"]
            .map(str::to_owned),
    );
    let mut names: Vec<String> = names.collect();
    for (number, part) in names.chunks(limits::BATCH_RECORDS).enumerate() {
        let writes = part.iter().map(|key| put(key, key)).collect();
        assert_eq!(world.commit(batch(&format!("p{number}"), vec![], writes)).await, Commit::Done);
    }
    names.sort();
    for prefix in ["", "hop", "hop/", "hop/1", "opened", "revoked/", "x"] {
        let mut expected = names.clone();
        expected.retain(|name| name.starts_with(prefix));
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let range = Range { prefix, after: after.as_deref() };
            let page = world.store.read(&world.partition, range).await.unwrap();
            let last = page.len() < limits::BATCH_RECORDS;
            found.extend(page.into_iter().map(|record| record.key));
            after = found.last().cloned();
            if last {
                break;
            }
        }
        assert_eq!(found, expected, "{prefix}");
    }
    // A place to begin after need not be a record's, nor lie within the prefix.
    for (prefix, after, first) in [
        ("hop/", "hop/1", Some("hop/1-a")),
        ("hop/", "hop/1-b", Some("hop/10")),
        ("hop/", "a", Some("hop/0")),
        ("hop/", "hop/", Some("hop/0")),
        ("hop/", "hop/~", None),
        ("hop/", "opened", None),
        ("", "opened", Some("revoked/1")),
        ("", "revoked/2", None),
    ] {
        let range = Range { prefix, after: Some(after) };
        let page = world.store.read(&world.partition, range).await.unwrap();
        let found = page.first().map(|record| record.key.as_str());
        assert_eq!(found, first, "{prefix} after {after}");
    }
}

async fn limits_hold_at_the_edge(world: &World<'_, impl Strong>) {
    let many = |count: usize, bytes: usize| {
        let value = "v".repeat(bytes);
        let writes = (0..count).map(|n| put(&format!("k{n:02}"), &value)).collect();
        batch("edge", vec![], writes)
    };
    for (count, bytes, fits) in [
        (limits::BATCH_RECORDS, 1, true),
        (limits::BATCH_RECORDS + 1, 1, false),
        (1, limits::RECORD_BYTES, true),
        (1, limits::RECORD_BYTES + 1, false),
        (limits::BATCH_BYTES / limits::RECORD_BYTES, limits::RECORD_BYTES, true),
        (limits::BATCH_BYTES / limits::RECORD_BYTES + 1, limits::RECORD_BYTES, false),
    ] {
        let outcome = world.store.commit(&world.partition, many(count, bytes)).await;
        assert_eq!(outcome.is_ok(), fits, "{count} records of {bytes} bytes: {outcome:?}");
    }
    // A bundle's part is larger, and lies in the zone's partition.
    let zone = Partition { kind: Kind::Zone, ..world.partition.clone() };
    for (bytes, fits) in [(limits::BUNDLE_PART_BYTES, true), (limits::BUNDLE_PART_BYTES + 1, false)]
    {
        let outcome = world.store.commit(&zone, many(1, bytes)).await;
        assert_eq!(outcome.is_ok(), fits, "a part of {bytes} bytes: {outcome:?}");
    }
}

/// J21: of many that claim one thing at once, exactly one gets it.
async fn one_of_many_wins(world: &World<'_, impl Strong>) {
    let outcomes = join_all((0..64).map(|number| {
        let id = format!("b{number}");
        let claim = batch(&id, vec![absent("a")], vec![put("a", &id)]);
        async move { world.commit(claim).await }
    }))
    .await;
    let done = outcomes.iter().filter(|outcome| **outcome == Commit::Done).count();
    let refused = outcomes.iter().filter(|outcome| **outcome == Commit::Refused("a".into()));
    assert_eq!((done, refused.count()), (1, 63));
    let winner = outcomes.iter().position(|outcome| *outcome == Commit::Done).unwrap();
    let left = world.read("").await;
    assert_eq!(left, [Record { version: 1, ..record("a", &format!("b{winner}")) }]);
}

async fn counters_lose_no_update(world: &World<'_, impl Strong>) {
    join_all((0..16).map(async |task| {
        loop {
            let version = world.version("n").await;
            let expect = vec![Expect::Version { key: "n".into(), version }];
            let id = format!("t{task}-{version}");
            match world.commit(batch(&id, expect, vec![put("n", &id)])).await {
                Commit::Done => break,
                Commit::Refused(_) | Commit::Contended => {}
            }
        }
    }))
    .await;
    assert_eq!(world.version("n").await, 16);
}

async fn x20_s07_zones_and_kinds_share_nothing(store: &impl Strong, run: &str) {
    let id = format!("{run}-isolation");
    let zone = |kind, zone: &str| Partition { zone: zone.into(), kind, id: id.clone() };
    let places = [
        zone(Kind::Session, "one"),
        zone(Kind::Session, "two"),
        zone(Kind::Zone, "one"),
        zone(Kind::Zone, "two"),
        session("one", &format!("{id}x")),
    ];
    for (number, place) in places.iter().enumerate() {
        let value = number.to_string();
        let written = batch("same-id", vec![absent("a")], vec![put("a", &value)]);
        assert_eq!(store.commit(place, written).await.unwrap(), Commit::Done, "{place:?}");
    }
    for (number, place) in places.iter().enumerate() {
        let expected = Record { version: 1, ..record("a", &number.to_string()) };
        assert_eq!(store.read(place, Range::of("")).await.unwrap(), [expected], "{place:?}");
    }
}
