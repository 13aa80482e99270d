//! How partitions lie in the table (docs/storage.md).
//!
//! The facts that commits condition on lie together in one item of their partition, so that however
//! many of them a batch expects, one condition says it all. Every other record is an item of its own,
//! because there is no bound to their number, and a hop carries its index entries as attributes.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use writ_core::encoding::{base64url, tagged_hash};
use writ_core::host::{Entry, Kind, Listed, Partition, Record};
use writ_core::moment::Timestamp;
use writ_core::store::Stored;
use writ_core::{active, session};

/// An item as DynamoDB has it.
pub(super) type Item = HashMap<String, AttributeValue>;

/// Where a record lies in its partition. A revocation lies beside the other facts while there is room
/// for it, and on its own from then on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Beside the other facts, in the item of them all.
    Facts,
    /// In an item of its own.
    Own(String),
}

impl Place {
    pub(super) fn of(key: &str) -> Self {
        if FACTS.iter().any(|fact| key.starts_with(fact)) {
            Self::Facts
        } else {
            Self::Own(key.to_owned())
        }
    }

    /// Where the record can be.
    pub(super) fn all(key: &str) -> Vec<Self> {
        let own = is_revocation(key).then(|| Self::Own(key.to_owned()));
        [Self::of(key)].into_iter().chain(own).collect()
    }

    /// The sort key of the place's item.
    pub(super) fn sort(&self) -> String {
        match self {
            Self::Facts => FACTS_ITEM.to_owned(),
            Self::Own(key) => format!("{RECORDS}{key}"),
        }
    }

    /// The records that the place's item holds. One whose attributes cannot be read is an error.
    pub(super) fn records(&self, item: &Item) -> Option<Vec<Stored>> {
        match self {
            Self::Own(key) => Some(vec![stored(key, item)?]),
            Self::Facts => {
                let facts = item.iter().filter(|(key, _)| Self::of(key) == Self::Facts);
                facts.map(|(key, fact)| stored(key, fact.as_m().ok()?)).collect()
            }
        }
    }
}

/// Whether records whose key starts with `prefix` can lie beside the facts, and on their own.
pub(super) fn places(prefix: &str) -> (bool, bool) {
    let within = FACTS.iter().any(|fact| prefix.starts_with(fact));
    let beside = within || FACTS.iter().any(|fact| fact.starts_with(prefix));
    (beside, !within || is_revocation(prefix))
}

/// Whether the record is one of those without a bound to their number.
pub(super) fn is_revocation(key: &str) -> bool {
    key.starts_with(session::REVOKED)
}

/// Whether there is no room for another revocation in an item of facts.
pub(super) fn is_full(facts: &Item) -> bool {
    let count = facts.get(REVOCATIONS).and_then(|count| count.as_n().ok()?.parse().ok());
    count.is_some_and(|count: u64| count >= REVOCATIONS_BESIDE)
}

/// The key of a partition's items. No zone's name holds a space, and no kind's.
pub(super) fn partition(partition: &Partition) -> String {
    format!("{} {} {}", partition.kind.name(), partition.zone, partition.id)
}

/// The key of a published copy's items.
pub(super) fn copy(zone: &str, name: &str) -> String {
    format!("copy {zone} {name}")
}

/// The two attributes that name an item.
pub(super) fn key(partition: &str, sort: &str) -> Item {
    HashMap::from([(PK.to_owned(), text(partition)), (SK.to_owned(), text(sort))])
}

/// The attributes of a record, beside what names its item.
pub(super) fn attributes(record: &Record, version: u64, batch: &str) -> Item {
    HashMap::from([
        (VALUE.to_owned(), bytes(&record.value)),
        (EXPIRES.to_owned(), number(record.expires.0)),
        (VERSION.to_owned(), number(version)),
        (BATCH.to_owned(), text(batch)),
    ])
}

fn stored(key: &str, attributes: &Item) -> Option<Stored> {
    let record = Record {
        key: key.to_owned(),
        value: attributes.get(VALUE)?.as_b().ok()?.as_ref().to_vec(),
        expires: Timestamp(attributes.get(EXPIRES)?.as_n().ok()?.parse().ok()?),
        version: attributes.get(VERSION)?.as_n().ok()?.parse().ok()?,
    };
    Some(Stored { record, batch: attributes.get(BATCH)?.as_s().ok()?.clone() })
}

/// The instant after which DynamoDB may sweep an item. Housekeeping, and a day late: whether a
/// record is expired says the record, and a clock that is set forward must not unspend a proof.
pub(super) fn sweep(kind: Kind, place: &Place, expires: Timestamp) -> Option<i64> {
    // The facts of a zone stay; and a zone's other records, but for those that say until when.
    if kind == Kind::Zone && (*place == Place::Facts || expires.0 > FAR) {
        return None;
    }
    Some(expires.0.saturating_add(SWEEP_SECS).min(FAR))
}

/// As [`sweep`], of a published copy.
pub(super) fn sweep_copy(expires: Timestamp) -> Option<i64> {
    (expires.0 <= FAR).then(|| expires.0.saturating_add(SWEEP_SECS))
}

/// What an index looks up by: a name can be longer than a key may be.
pub(super) fn looked_up(zone: &str, index: &str, name: &str) -> String {
    let parts = [zone.as_bytes(), index.as_bytes(), name.as_bytes()];
    base64url(&tagged_hash("index", &parts))
}

/// What an index sorts by: instant, session, key; and all that a listing says.
pub(super) fn sorted(listed: &Listed) -> String {
    format!("{:020} {} {}", listed.at.0, listed.session, listed.key)
}

/// The place of an entry of `partition` in its index.
pub(super) fn entered(partition: &Partition, entry: &Entry) -> String {
    let (session, key) = (partition.id.clone(), entry.key.clone());
    sorted(&Listed { at: entry.at, session, key })
}

/// What an item of an index says.
pub(super) fn listed(item: &Item) -> Option<Listed> {
    Listed::from_cursor(item.get(AT)?.as_s().ok()?)
}

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(super) fn bytes(value: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(value))
}

/// The attributes that name an item.
pub(super) const PK: &str = "pk";
pub(super) const SK: &str = "sk";
/// A record's bytes, expiry, version, and the batch that wrote it.
pub(super) const VALUE: &str = "v";
pub(super) const EXPIRES: &str = "x";
pub(super) const VERSION: &str = "n";
pub(super) const BATCH: &str = "b";
/// When DynamoDB may sweep the item.
pub(super) const TTL: &str = "ttl";
/// How many revocations were written to a partition: an attribute of its facts.
pub(super) const REVOCATIONS: &str = "revocations";
/// So many of them lie beside the facts. Every commit pays for the size of that item, and it has
/// 400 KB at most; a revocation has some hundred bytes.
pub(super) const REVOCATIONS_BESIDE: u64 = 64;
/// What every index sorts by.
pub(super) const AT: &str = "at";
/// The indexes. Each looks up by the attribute of its own name.
pub(super) const INDEXES: [&str; 5] = ["record", "user", "application", "resource", "revoked"];
/// The sort key of the facts, and what those of other records and of entries begin with.
const FACTS_ITEM: &str = "facts";
pub(super) const RECORDS: &str = "record ";
pub(super) const ENTRIES: &str = "entry ";

/// The records that lie together: what a hop expects of its session, and a change of its zone.
const FACTS: [&str; 6] = [
    session::OPENED,
    session::ENDED,
    session::SPENT,
    session::DENIALS,
    session::REVOKED,
    active::SNAPSHOT,
];
const SWEEP_SECS: i64 = 24 * 3600;
/// The end of the year 9999, beyond which an expiry means never.
const FAR: i64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::DIGEST;

    const DOCUMENT: &str = include_str!("../../../../docs/storage.md");

    /// The first three cells of the rows of the first table after `heading`: what is in backticks there.
    fn rows(heading: &str) -> Vec<[Vec<&'static str>; 3]> {
        let (_, after) = DOCUMENT.split_once(heading).expect(heading);
        let rows = after.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
        rows.take_while(|line| line.starts_with('|'))
            .map(|row| {
                let mut cells = row.trim_matches('|').split(" | ");
                let mut codes =
                    || cells.next().unwrap_or_default().split('`').skip(1).step_by(2).collect();
                [codes(), codes(), codes()]
            })
            .collect()
    }

    const ITEMS: &str = "## On AWS Lambda: the table";

    #[test]
    fn the_document_knows_which_records_lie_together() {
        let items = rows(ITEMS);
        let [_, _, facts] = items.iter().find(|[_, sort, _]| sort == &[FACTS_ITEM]).expect("facts");
        let mut known = 0;
        for heading in ["## The zone's partition", "| key | value | expires |"] {
            for [key, ..] in rows(heading) {
                let [key] = key[..] else { panic!("{key:?}") };
                assert_eq!(Place::of(key) == Place::Facts, facts.contains(&key), "{key}");
                known += 1;
            }
        }
        assert_eq!(known, 15);
        assert!(facts.contains(&REVOCATIONS));
        let (_, items) = DOCUMENT.split_once(ITEMS).expect(ITEMS);
        assert!(items.contains(&format!("the first {REVOCATIONS_BESIDE} `revoked/JTI`")));
        assert!(items.contains(&format!("from the {}th on", REVOCATIONS_BESIDE + 1)));
    }

    #[test]
    fn the_document_names_every_item_and_attribute() {
        let items = rows(ITEMS);
        let named = |kind, id: &str| {
            let (zone, id) = ("ZONE".to_owned(), id.to_owned());
            partition(&Partition { zone, kind, id })
        };
        let partitions: BTreeSet<String> =
            items.iter().flat_map(|[pk, ..]| pk.iter().map(|name| (*name).to_owned())).collect();
        let wanted = [named(Kind::Session, "ID"), named(Kind::Zone, ""), copy("ZONE", "NAME")];
        assert_eq!(partitions, wanted.into());
        let record = Place::Own("KEY".to_owned()).sort();
        let sorts: Vec<&str> = items.iter().flat_map(|[_, sk, _]| sk.clone()).collect();
        let entry = format!("{ENTRIES}KEY BATCH N");
        assert_eq!(sorts, [FACTS_ITEM, &record, &entry, "0000", "0002"]);
        let parts = items.last().map(|[_, _, attributes]| attributes.clone());
        assert_eq!(parts, Some(vec![VALUE, VERSION, DIGEST]));

        let attributes = rows("| attribute | what |");
        let attributes: Vec<&str> = attributes.iter().flat_map(|[name, ..]| name.clone()).collect();
        let of_records = [VALUE, EXPIRES, VERSION, BATCH, TTL];
        assert_eq!(attributes, [&of_records[..], &INDEXES, &[AT]].concat());
        assert!(DOCUMENT.contains(&format!("with the keys `{PK}` and `{SK}`")));
    }
}
