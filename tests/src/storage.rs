//! What every host's store must do, as one entry point that each target's tests call: the port's
//! words (`writ_core::host`), one after the other.

use writ_core::host::{Batch, Commit, Expect, Host, Kind, Partition, Record, Write};
use writ_core::limits;
use writ_core::moment::Timestamp;

use crate::template::unique;

const NOW: Timestamp = Timestamp(1_000);

/// Runs every case on partitions of `zone` that nobody else uses.
///
/// # Panics
///
/// At the first promise that is not kept.
pub async fn conformance<H: Host>(host: &H, zone: &str) {
    puts_and_reads(host, zone).await;
    counts_versions(host, zone).await;
    holds_conditions_in_order(host, zone).await;
    judges_expiry_by_the_batch(host, zone).await;
    applies_whole_or_not_at_all(host, zone).await;
    knows_its_own_batches(host, zone).await;
    puts_if_absent(host, zone).await;
    keeps_partitions_apart(host, zone).await;
    reads_in_order_and_within_limits(host, zone).await;
}

fn partition(zone: &str) -> Partition {
    Partition { zone: zone.to_owned(), kind: Kind::Session, id: unique("partition") }
}

fn record(key: &str, value: &str, expires: i64) -> Record {
    let value = value.as_bytes().to_vec();
    Record { key: key.to_owned(), value, expires: Timestamp(expires), version: 0 }
}

fn batch(expect: Vec<Expect>, write: Vec<Write>) -> Batch {
    Batch { id: unique("batch"), now: NOW, until: None, expect, write, index: Vec::new() }
}

fn put(key: &str, value: &str) -> Write {
    Write::Put(record(key, value, 2_000))
}

async fn done<H: Host>(host: &H, partition: &Partition, batch: Batch) {
    assert_eq!(host.commit(partition, batch).await, Ok(Commit::Done));
}

async fn refused<H: Host>(host: &H, partition: &Partition, batch: Batch, key: &str) {
    assert_eq!(host.commit(partition, batch).await, Ok(Commit::Refused(key.to_owned())));
}

async fn values<H: Host>(host: &H, partition: &Partition) -> Vec<(String, String, u64)> {
    let records = host.read(partition, "").await.expect("a read");
    records
        .into_iter()
        .map(|record| (record.key, String::from_utf8(record.value).expect("text"), record.version))
        .collect()
}

fn shown(records: &[(&str, &str, u64)]) -> Vec<(String, String, u64)> {
    records.iter().map(|(k, v, n)| ((*k).to_owned(), (*v).to_owned(), *n)).collect()
}

async fn puts_and_reads<H: Host>(host: &H, zone: &str) {
    let place = partition(zone);
    assert_eq!(values(host, &place).await, []);
    done(host, &place, batch(vec![], vec![put("b", "2"), put("a", "1")])).await;
    assert_eq!(values(host, &place).await, shown(&[("a", "1", 1), ("b", "2", 1)]));
    done(host, &place, batch(vec![], vec![Write::Forget("a".into()), Write::Forget("c".into())]))
        .await;
    assert_eq!(values(host, &place).await, shown(&[("b", "2", 1)]));
}

async fn counts_versions<H: Host>(host: &H, zone: &str) {
    let place = partition(zone);
    let version = |version| Expect::Version { key: "a".into(), version };
    let below = |version| Expect::Below { key: "a".into(), version };
    refused(host, &place, batch(vec![version(1)], vec![put("a", "x")]), "a").await;
    refused(host, &place, batch(vec![below(0)], vec![put("a", "x")]), "a").await;
    done(host, &place, batch(vec![version(0), below(1)], vec![put("a", "1")])).await;
    done(host, &place, batch(vec![version(1), below(2)], vec![put("a", "2")])).await;
    refused(host, &place, batch(vec![version(1)], vec![put("a", "x")]), "a").await;
    refused(host, &place, batch(vec![below(2)], vec![put("a", "x")]), "a").await;
    assert_eq!(values(host, &place).await, shown(&[("a", "2", 2)]));
    done(host, &place, batch(vec![], vec![Write::Forget("a".into())])).await;
    done(host, &place, batch(vec![version(0)], vec![put("a", "3")])).await;
    assert_eq!(values(host, &place).await, shown(&[("a", "3", 1)]));
}

async fn holds_conditions_in_order<H: Host>(host: &H, zone: &str) {
    let place = partition(zone);
    done(host, &place, batch(vec![], vec![put("here", "1")])).await;
    let live = |key: &str, until| Expect::Live { key: key.into(), until: Timestamp(until) };
    let maybe =
        |key: &str, until| Expect::LiveOrAbsent { key: key.into(), until: Timestamp(until) };
    let absent = |key: &str| Expect::Absent(key.into());
    let write = || vec![put("there", "1")];
    refused(host, &place, batch(vec![absent("there"), absent("here")], write()), "here").await;
    refused(host, &place, batch(vec![live("there", 1), absent("here")], write()), "there").await;
    // The record expires at 2000, which is soon enough for 2000 and too soon for 2001.
    refused(host, &place, batch(vec![live("here", 2_001)], write()), "here").await;
    refused(host, &place, batch(vec![maybe("here", 2_001)], write()), "here").await;
    let all =
        vec![live("here", 2_000), maybe("here", 2_000), maybe("there", 9_999), absent("there")];
    done(host, &place, batch(all, write())).await;
}

async fn judges_expiry_by_the_batch<H: Host>(host: &H, zone: &str) {
    let place = partition(zone);
    done(host, &place, batch(vec![], vec![put("a", "1")])).await;
    let at =
        |now, expect| Batch { now: Timestamp(now), ..batch(vec![expect], vec![put("a", "2")]) };
    let absent = || Expect::Absent("a".into());
    refused(host, &place, at(1_999, absent()), "a").await;
    // At its expiry it is absent, but it can still be read: expiry is the core's to judge.
    let live = Expect::Live { key: "a".into(), until: Timestamp(0) };
    refused(host, &place, at(2_000, live), "a").await;
    assert_eq!(values(host, &place).await, shown(&[("a", "1", 1)]));
    // Put anew, it counts from 1.
    done(host, &place, at(2_000, absent())).await;
    assert_eq!(values(host, &place).await, shown(&[("a", "2", 1)]));
}

async fn applies_whole_or_not_at_all<H: Host>(host: &H, zone: &str) {
    let place = partition(zone);
    done(host, &place, batch(vec![], vec![put("a", "1")])).await;
    let writes = vec![put("b", "1"), put("a", "2"), Write::Forget("a".into())];
    let expect = vec![Expect::Absent("b".into()), Expect::Absent("a".into())];
    refused(host, &place, batch(expect, writes), "a").await;
    assert_eq!(values(host, &place).await, shown(&[("a", "1", 1)]));
}

async fn knows_its_own_batches<H: Host>(host: &H, zone: &str) {
    let place = partition(zone);
    let first = batch(vec![Expect::Absent("a".into())], vec![put("a", "1"), put("b", "1")]);
    done(host, &place, first.clone()).await;
    // The answer was lost, and the same batch comes again: done, and not done twice.
    done(host, &place, first.clone()).await;
    assert_eq!(values(host, &place).await, shown(&[("a", "1", 1), ("b", "1", 1)]));
    // The same words with another id are another batch.
    refused(host, &place, Batch { id: unique("batch"), ..first.clone() }, "a").await;
    // The same id in another partition is another batch too.
    done(host, &partition(zone), first).await;
}

async fn puts_if_absent<H: Host>(host: &H, zone: &str) {
    let place = partition(zone);
    let maybe = |value| Write::PutIfAbsent(record("a", value, 2_000));
    done(host, &place, batch(vec![], vec![maybe("1")])).await;
    done(host, &place, batch(vec![], vec![maybe("2"), put("b", "1")])).await;
    assert_eq!(values(host, &place).await, shown(&[("a", "1", 1), ("b", "1", 1)]));
    let later = Batch { now: Timestamp(2_000), ..batch(vec![], vec![maybe("3")]) };
    done(host, &place, later).await;
    let [a, _] = <[_; 2]>::try_from(values(host, &place).await).expect("two records");
    assert_eq!(a.1, "3");
}

async fn keeps_partitions_apart<H: Host>(host: &H, zone: &str) {
    let place = partition(zone);
    done(host, &place, batch(vec![], vec![put("a", "1")])).await;
    let others = [
        Partition { zone: format!("{zone}-other"), ..place.clone() },
        Partition { kind: Kind::Zone, ..place.clone() },
        Partition { id: format!("{}x", place.id), ..place.clone() },
        Partition { id: String::new(), ..partition(zone) },
    ];
    for other in others {
        let expect = vec![Expect::Absent("a".into())];
        assert_eq!(host.read(&other, "a").await, Ok(Vec::new()), "{other:?}");
        done(host, &other, batch(expect, vec![put("a", "2"), Write::Forget("a".into())])).await;
    }
    assert_eq!(values(host, &place).await, shown(&[("a", "1", 1)]));
}

async fn reads_in_order_and_within_limits<H: Host>(host: &H, zone: &str) {
    let place = partition(zone);
    for start in [0, limits::BATCH_RECORDS] {
        let numbers = start..start + limits::BATCH_RECORDS;
        let writes = numbers.map(|number| put(&format!("hop/{number:03}"), "x")).collect();
        done(host, &place, batch(vec![], writes)).await;
    }
    done(host, &place, batch(vec![], vec![put("hop", "x"), put("hop0", "x"), put("hop.", "x")]))
        .await;
    let found = host.read(&place, "hop/").await.expect("a read");
    assert_eq!(found.len(), limits::BATCH_RECORDS);
    assert_eq!(found.first().map(|record| record.key.as_str()), Some("hop/000"));
    assert!(found.is_sorted_by(|one, other| one.key < other.key));
    assert_eq!(host.read(&place, "hop/04").await.map(|found| found.len()), Ok(8));
    let long = "x".repeat(limits::RECORD_BYTES);
    done(host, &place, batch(vec![], vec![put("long", &long)])).await;
    let found = host.read(&place, "long").await.expect("a read");
    assert_eq!(found.first().map(|record| record.value.len()), Some(limits::RECORD_BYTES));
}
