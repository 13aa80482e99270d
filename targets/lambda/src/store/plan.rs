//! A batch as the items of one `TransactWriteItems`, each with one condition.
//!
//! An update cannot branch, and what a write does depends on whether its record is there: a version
//! counts on or starts again, an opening is made or left. So a plan assumes it, and its conditions
//! hold DynamoDB to the assumption. The first plan guesses; a wrong guess changes nothing, comes back
//! with what there is, and the next plan knows.
//!
//! One of the guesses is that there is room for revocations beside the facts. Where there is none, they
//! are items of their own, and a path is looked for there too. Whoever writes such an item counts it in
//! the facts, so no commit that guesses that there is room passes by it.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem, Update,
};
use writ_core::host::{Batch, Entry, Expect, Partition, Record, Write};
use writ_core::moment::Timestamp;
use writ_core::session;
use writ_core::store::Stored;

use super::layout::{
    self, AT, BATCH, ENTRIES, EXPIRES, Item, Place, REVOCATIONS, REVOCATIONS_BESIDE, TTL, VERSION,
};

/// What was seen of a partition's items. A place that is not in it was not looked at.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<Place, Found>);

#[derive(Debug, Default)]
struct Found {
    records: Vec<Stored>,
    sweep: Option<i64>,
    /// No room is left beside the facts.
    full: bool,
}

impl Seen {
    /// Takes note of a place's item, or that there is none. `None` where it cannot be read.
    pub(super) fn note(&mut self, place: &Place, item: Option<&Item>) -> Option<()> {
        let found = match item {
            None => Found::default(),
            Some(item) => Found {
                records: place.records(item)?,
                sweep: item.get(TTL).and_then(|ttl| ttl.as_n().ok()?.parse().ok()),
                full: *place == Place::Facts && layout::is_full(item),
            },
        };
        self.0.insert(place.clone(), found);
        Some(())
    }

    /// Whether it was seen if the record is there.
    pub(super) fn knows(&self, key: &str) -> bool {
        let own = Place::Own(key.to_owned());
        let looked = |place: &Place| self.0.contains_key(place);
        let place = Place::of(key);
        let elsewhere = layout::is_revocation(key) && self.full();
        self.find(key).is_some() || looked(&own) || (looked(&place) && !elsewhere)
    }

    /// Whether the place was looked at.
    pub(super) fn looked_at(&self, place: &Place) -> bool {
        self.0.contains_key(place)
    }

    /// The record as it was seen.
    pub(super) fn find(&self, key: &str) -> Option<&Stored> {
        self.place_of(key).map(|(_, stored)| stored)
    }

    /// The record, and where it was seen. One that expired may lie in one place, and what was put
    /// later in the other.
    fn place_of(&self, key: &str) -> Option<(Place, &Stored)> {
        let all = Place::all(key).into_iter().filter_map(|place| {
            let records = &self.0.get(&place)?.records;
            records.iter().find(|stored| stored.record.key == key).map(|stored| (place, stored))
        });
        all.max_by_key(|(_, stored)| stored.record.expires)
    }

    /// Whether the facts have no room for another revocation.
    fn full(&self) -> bool {
        self.0.get(&Place::Facts).is_some_and(|facts| facts.full)
    }
}

/// The transaction of a batch, and the place that each of its items is about.
pub(super) struct Plan {
    pub(super) items: Vec<TransactWriteItem>,
    pub(super) places: Vec<Place>,
}

/// Plans `batch` on what was seen, and on guesses for the rest.
pub(super) fn plan(
    table: &str,
    partition: &Partition,
    batch: &Batch,
    seen: &Seen,
) -> Result<Plan, BuildError> {
    let mut parts: BTreeMap<Place, Part> = BTreeMap::new();
    for expect in &batch.expect {
        if layout::is_revocation(expect.key()) && !seen.full() {
            part(&mut parts, &Place::Facts).has_room();
        }
        for place in expected(batch, seen, expect) {
            part(&mut parts, &place).expect(expect, batch.now);
        }
    }
    for (index, write) in batch.write.iter().enumerate() {
        let key = write.key();
        let live = live(batch, seen, key);
        let places = places(seen, key);
        // It is written where it is, and otherwise where there is room.
        let place = live.clone().or_else(|| places.last().cloned());
        let place = place.unwrap_or_else(|| Place::of(key));
        for other in places.iter().filter(|other| **other != place) {
            match write {
                Write::Forget(_) => part(&mut parts, other).write(write, false, batch),
                _ if live.is_none() => part(&mut parts, other).is_gone(key, batch.now),
                _ => {}
            }
        }
        if layout::is_revocation(key) && live.is_none() && !matches!(write, Write::Forget(_)) {
            part(&mut parts, &Place::Facts).count(write, seen.full());
        }
        let part = part(&mut parts, &place);
        if index == 0 && !matches!(write, Write::Forget(_)) {
            // A batch that was done finds its id, and is not done again.
            part.is_not_of(key, &batch.id);
        }
        part.write(write, live.is_some(), batch);
    }
    for (place, part) in &mut parts {
        part.sweep(partition, place, seen);
    }
    let mut entries = Vec::new();
    for (number, entry) in batch.index.iter().enumerate() {
        let carrier = parts.get_mut(&Place::of(&entry.key));
        if !carrier.is_some_and(|part| part.carry(partition, entry)) {
            entries.push(own_entry(partition, batch, entry, number));
        }
    }
    let pk = layout::partition(partition);
    let mut plan = Plan { items: Vec::new(), places: Vec::new() };
    for (place, part) in parts {
        plan.items.push(part.into_item(table, &pk, &place)?);
        plan.places.push(place);
    }
    for item in entries {
        let put = Put::builder().table_name(table).set_item(Some(item)).build()?;
        plan.items.push(TransactWriteItem::builder().put(put).build());
    }
    Ok(plan)
}

fn part<'a>(parts: &'a mut BTreeMap<Place, Part>, place: &Place) -> &'a mut Part {
    let nested = *place == Place::Facts;
    parts.entry(place.clone()).or_insert_with(|| Part { nested, ..Part::default() })
}

/// Where the record can be, the last of them being where it is put.
fn places(seen: &Seen, key: &str) -> Vec<Place> {
    if seen.full() { Place::all(key) } else { vec![Place::of(key)] }
}

/// Where a condition on a record is looked at: that it is there, where it is; the others, wherever it can
/// be.
fn expected(batch: &Batch, seen: &Seen, expect: &Expect) -> Vec<Place> {
    let all = places(seen, expect.key());
    match expect {
        Expect::Live { .. } | Expect::Version { version: 1.., .. } => {
            live(batch, seen, expect.key()).map_or(all, |place| vec![place])
        }
        _ => all,
    }
}

/// Where the record is, if it is there: as it was seen, or else as the batch's own conditions suggest.
fn live(batch: &Batch, seen: &Seen, key: &str) -> Option<Place> {
    if seen.knows(key) {
        let found = seen.place_of(key);
        let live = found.filter(|(_, found)| found.record.expires > batch.now);
        return live.map(|(place, _)| place);
    }
    let mut expected = batch.expect.iter().filter(|expect| expect.key() == key);
    expected
        .any(|expect| matches!(expect, Expect::Live { .. } | Expect::Version { version: 1.., .. }))
        .then(|| Place::of(key))
}

/// An entry that no record of the batch can carry: a second application on the chain.
fn own_entry(partition: &Partition, batch: &Batch, entry: &Entry, number: usize) -> Item {
    let sort = format!("{ENTRIES}{} {} {number}", entry.key, batch.id);
    let mut item = layout::key(&layout::partition(partition), &sort);
    let looked_up = layout::looked_up(&partition.zone, entry.index, &entry.name);
    item.insert(entry.index.to_owned(), layout::text(looked_up));
    item.insert(AT.to_owned(), layout::text(layout::entered(partition, entry)));
    let place = Place::Own(entry.key.clone());
    if let Some(sweep) = layout::sweep(partition.kind, &place, entry.expires) {
        item.insert(TTL.to_owned(), layout::number(sweep));
    }
    item
}

/// What a batch expects of one item, and does to it.
#[derive(Default)]
struct Part {
    /// Whether records are attributes of the item, as facts are, and not the item itself.
    nested: bool,
    conditions: Vec<String>,
    set: Vec<(String, AttributeValue)>,
    count: Vec<String>,
    /// Revocations that are new.
    counted: u64,
    remove: Vec<String>,
    /// The whole item, where it is put.
    put: Option<Item>,
    delete: bool,
    /// The latest expiry that is written.
    expires: Option<Timestamp>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Part {
    fn expect(&mut self, expect: &Expect, now: Timestamp) {
        let key = expect.key();
        let condition = match expect {
            Expect::Absent(_) | Expect::Version { version: 0, .. } => self.gone(key, now),
            Expect::Live { until, .. } => {
                let (live, long) = (self.live(key, now), self.long(key, *until));
                format!("{live} AND {long}")
            }
            Expect::LiveOrAbsent { until, .. } => {
                let (gone, long) = (self.gone(key, now), self.long(key, *until));
                format!("({gone} OR {long})")
            }
            Expect::Version { version, .. } => {
                let (live, is) = (self.live(key, now), self.version(key, "=", *version));
                format!("{live} AND {is}")
            }
            // Nothing is below 0, not even what is absent.
            Expect::Below { version: 0, .. } => self.version(key, "<", 0),
            Expect::Below { version, .. } => {
                let (gone, below) = (self.gone(key, now), self.version(key, "<", *version));
                format!("({gone} OR {below})")
            }
        };
        self.condition(condition);
    }

    fn write(&mut self, write: &Write, live: bool, batch: &Batch) {
        let key = write.key();
        match (write, live) {
            (Write::Forget(_), _) if self.nested => {
                let path = self.path(key, None);
                self.remove.push(path);
            }
            (Write::Forget(_), _) => self.delete = true,
            (Write::PutIfAbsent(_), true) => {
                let live = self.live(key, batch.now);
                self.condition(live);
            }
            (Write::Put(record), true) => {
                let live = self.live(key, batch.now);
                self.condition(live);
                self.put_again(record, &batch.id);
            }
            (Write::Put(record) | Write::PutIfAbsent(record), false) => {
                let gone = self.gone(key, batch.now);
                self.condition(gone);
                self.put_first(record, &batch.id);
            }
        }
    }

    fn is_gone(&mut self, key: &str, now: Timestamp) {
        let gone = self.gone(key, now);
        self.condition(gone);
    }

    /// There is room for another revocation.
    fn has_room(&mut self) {
        let (count, most) = self.revocations();
        self.condition(format!("(attribute_not_exists({count}) OR {count} < {most})"));
    }

    /// Counts a revocation, beside these facts or in an item of its own. The facts stay as long as it.
    fn count(&mut self, write: &Write, full: bool) {
        if full {
            let (count, most) = self.revocations();
            self.condition(format!("{count} >= {most}"));
        } else {
            self.has_room();
        }
        self.counted = self.counted.saturating_add(1);
        if let Write::Put(record) | Write::PutIfAbsent(record) = write {
            self.expires = self.expires.max(Some(record.expires));
        }
    }

    fn revocations(&mut self) -> (String, String) {
        let most = layout::number(REVOCATIONS_BESIDE);
        (self.name(REVOCATIONS), self.value(most))
    }

    /// An item stays until the latest expiry in it; but a session's last hop needs no longer than its
    /// opening, which lies beside it.
    fn keep(&mut self, record: &Record) {
        if record.key != session::ACTIVE {
            self.expires = self.expires.max(Some(record.expires));
        }
    }

    fn put_first(&mut self, record: &Record, batch: &str) {
        let attributes = layout::attributes(record, 1, batch);
        if self.nested {
            let path = self.path(&record.key, None);
            self.set.push((path, AttributeValue::M(attributes)));
        } else {
            self.put = Some(attributes);
        }
        self.keep(record);
    }

    fn put_again(&mut self, record: &Record, batch: &str) {
        for (field, value) in layout::attributes(record, 1, batch) {
            let path = self.path(&record.key, Some(&field));
            if field == VERSION {
                self.count.push(path);
            } else {
                self.set.push((path, value));
            }
        }
        self.keep(record);
    }

    /// Sees to it that the item is not swept before the latest expiry in it.
    fn sweep(&mut self, partition: &Partition, place: &Place, seen: &Seen) {
        let sweep = self.expires.and_then(|at| layout::sweep(partition.kind, place, at));
        let Some(sweep) = sweep else { return };
        if let Some(item) = &mut self.put {
            item.insert(TTL.to_owned(), layout::number(sweep));
            return;
        }
        let earlier = seen.0.get(place).and_then(|found| found.sweep);
        let (ttl, own) = (self.name(TTL), self.value(layout::number(sweep)));
        if self.nested && earlier.is_some_and(|earlier| earlier > sweep) {
            self.condition(format!("{ttl} > {own}"));
        } else {
            if self.nested {
                self.condition(format!("(attribute_not_exists({ttl}) OR {ttl} <= {own})"));
            }
            self.set.push((ttl, layout::number(sweep)));
        }
    }

    /// Takes an entry along with the record that it points to, if the item has room for it.
    fn carry(&mut self, partition: &Partition, entry: &Entry) -> bool {
        let Some(item) = &mut self.put else { return false };
        let at = layout::text(layout::entered(partition, entry));
        if item.contains_key(entry.index) || item.get(AT).is_some_and(|other| *other != at) {
            return false;
        }
        let looked_up = layout::looked_up(&partition.zone, entry.index, &entry.name);
        item.insert(entry.index.to_owned(), layout::text(looked_up));
        item.insert(AT.to_owned(), at);
        true
    }

    fn is_not_of(&mut self, key: &str, batch: &str) {
        let path = self.path(key, Some(BATCH));
        let id = self.value(layout::text(batch));
        self.condition(format!("(attribute_not_exists({path}) OR {path} <> {id})"));
    }

    fn gone(&mut self, key: &str, now: Timestamp) -> String {
        let expires = self.path(key, Some(EXPIRES));
        let now = self.value(layout::number(now.0));
        format!("(attribute_not_exists({expires}) OR {expires} <= {now})")
    }

    fn live(&mut self, key: &str, now: Timestamp) -> String {
        let expires = self.path(key, Some(EXPIRES));
        format!("{expires} > {}", self.value(layout::number(now.0)))
    }

    fn long(&mut self, key: &str, until: Timestamp) -> String {
        let expires = self.path(key, Some(EXPIRES));
        format!("{expires} >= {}", self.value(layout::number(until.0)))
    }

    fn version(&mut self, key: &str, is: &str, version: u64) -> String {
        let path = self.path(key, Some(VERSION));
        format!("{path} {is} {}", self.value(layout::number(version)))
    }

    fn condition(&mut self, condition: String) {
        if !self.conditions.contains(&condition) {
            self.conditions.push(condition);
        }
    }

    /// The path of a record, or of one field of it.
    fn path(&mut self, key: &str, field: Option<&str>) -> String {
        let record = self.nested.then(|| self.name(key));
        let field = field.map(|field| self.name(field));
        record.into_iter().chain(field).collect::<Vec<_>>().join(".")
    }

    fn name(&mut self, name: &str) -> String {
        let found = self.names.iter().find(|(_, other)| *other == name);
        if let Some((place, _)) = found {
            return place.clone();
        }
        let place = format!("#{}", self.names.len());
        self.names.insert(place.clone(), name.to_owned());
        place
    }

    fn value(&mut self, value: AttributeValue) -> String {
        let found = self.values.iter().find(|(_, other)| **other == value);
        if let Some((place, _)) = found {
            return place.clone();
        }
        let place = format!(":{}", self.values.len());
        self.values.insert(place.clone(), value);
        place
    }

    /// The update expression; empty where nothing is written.
    fn update(&mut self) -> String {
        let mut set = Vec::new();
        for (path, value) in std::mem::take(&mut self.set) {
            set.push(format!("{path} = {}", self.value(value)));
        }
        for path in std::mem::take(&mut self.count) {
            set.push(format!("{path} = {path} + {}", self.value(layout::number(1))));
        }
        let mut clauses = Vec::new();
        if !set.is_empty() {
            clauses.push(format!("SET {}", set.join(", ")));
        }
        if self.counted > 0 {
            let (count, more) = (self.name(REVOCATIONS), layout::number(self.counted));
            clauses.push(format!("ADD {count} {}", self.value(more)));
        }
        if !self.remove.is_empty() {
            clauses.push(format!("REMOVE {}", self.remove.join(", ")));
        }
        clauses.join(" ")
    }

    fn into_item(
        mut self,
        table: &str,
        pk: &str,
        place: &Place,
    ) -> Result<TransactWriteItem, BuildError> {
        let update = self.update();
        let Self { conditions, put, delete, names, values, .. } = self;
        let condition = (!conditions.is_empty()).then(|| conditions.join(" AND "));
        let (names, values) =
            ((!names.is_empty()).then_some(names), (!values.is_empty()).then_some(values));
        let key = layout::key(pk, &place.sort());
        let seen = ReturnValuesOnConditionCheckFailure::AllOld;
        let item = TransactWriteItem::builder();
        Ok(if let Some(attributes) = put {
            let whole = key.into_iter().chain(attributes).collect();
            let put = Put::builder().table_name(table).set_item(Some(whole));
            let put = put.set_condition_expression(condition);
            let put = put.set_expression_attribute_names(names);
            let put = put.set_expression_attribute_values(values);
            item.put(put.return_values_on_condition_check_failure(seen).build()?).build()
        } else if delete {
            let delete = Delete::builder().table_name(table).set_key(Some(key));
            let delete = delete.set_condition_expression(condition);
            let delete = delete.set_expression_attribute_names(names);
            let delete = delete.set_expression_attribute_values(values);
            item.delete(delete.return_values_on_condition_check_failure(seen).build()?).build()
        } else if update.is_empty() {
            let check = ConditionCheck::builder().table_name(table).set_key(Some(key));
            let check = check.set_condition_expression(condition);
            let check = check.set_expression_attribute_names(names);
            let check = check.set_expression_attribute_values(values);
            item.condition_check(check.return_values_on_condition_check_failure(seen).build()?)
                .build()
        } else {
            let change = Update::builder().table_name(table).set_key(Some(key));
            let change = change.update_expression(update).set_condition_expression(condition);
            let change = change.set_expression_attribute_names(names);
            let change = change.set_expression_attribute_values(values);
            item.update(change.return_values_on_condition_check_failure(seen).build()?).build()
        })
    }
}
