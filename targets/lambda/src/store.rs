//! The strong store: one DynamoDB table (docs/storage.md).
//!
//! A commit is one `TransactWriteItems`. Its conditions say everything that the batch expects; where
//! one does not hold, DynamoDB says what there is, and the core says what that means. Others at work on
//! the same items are contention, which is waited out and never taken for a replay. Whatever else goes
//! wrong leaves the outcome unknown, and unknown counts as unavailable.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError as WriteError;
use aws_sdk_dynamodb::types::{CancellationReason, Put, TransactWriteItem};
use tokio::time::{Instant, sleep, timeout_at};
use writ_core::host::{
    Batch, Commit, Expect, Listing, Page, Partition, Range, Record, Unavailable, Write,
};
use writ_core::moment::Timestamp;
use writ_core::{limits, store};
use writ_process::moment;

use self::layout::{AT, INDEXES, Item, PK, Place, RECORDS, SK, TTL, VALUE, VERSION};
use self::plan::{Plan, Seen, plan};

mod layout;
mod plan;

/// A handle to the table.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    table: String,
}

impl Store {
    /// The store in `table`.
    #[must_use]
    pub const fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Applies `batch` to `partition` whole or not at all, as [`writ_core::host::Host::commit`]
    /// says.
    ///
    /// DynamoDB has no clock to hold `until` against, so it is held against the function's own: nothing
    /// is sent after it, and what is answered after it counts as unknown. What was sent in time and
    /// arrived late may be recorded; no token leaves for it.
    ///
    /// # Errors
    ///
    /// The batch exceeds a limit or comes too late, DynamoDB fails, or no answer came in time.
    pub async fn commit(&self, partition: &Partition, batch: Batch) -> Result<Commit, Unavailable> {
        batch.within_limits(partition.kind).map_err(|reason| Unavailable(reason.into()))?;
        if let Some(entry) = batch.index.iter().find(|entry| !INDEXES.contains(&entry.index)) {
            return Err(Unavailable(format!("the table has no index `{}`", entry.index)));
        }
        let end = end(CALL);
        let outcome = timeout_at(end, self.settle(partition, &batch, end)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(silent()))?;
        in_time(&batch)?;
        Ok(outcome)
    }

    async fn settle(
        &self,
        partition: &Partition,
        batch: &Batch,
        end: Instant,
    ) -> Result<Commit, Unavailable> {
        let mut seen = Seen::default();
        for attempt in 0.. {
            in_time(batch)?;
            let plan = plan(&self.table, partition, batch, &seen).map_err(broken)?;
            if plan.items.is_empty() {
                return Ok(Commit::Done);
            }
            // No token of ours for the request: DynamoDB holds it to the very same parameters, and a
            // plan that has learnt something has others. The batch's id does what it would.
            let request = self.client.transact_write_items();
            match request.set_transact_items(Some(plan.items.clone())).send().await {
                Ok(_) => return Ok(Commit::Done),
                Err(error) => match Failed::of(&error) {
                    Failed::Condition(reasons) => {
                        if let Some(verdict) =
                            self.judge(partition, batch, &plan, reasons, &mut seen).await?
                        {
                            return Ok(verdict);
                        }
                    }
                    Failed::Contention => {
                        if !pause(attempt, end).await? {
                            return Ok(Commit::Contended);
                        }
                    }
                    Failed::Otherwise => return Err(unavailable(error)),
                },
            }
        }
        Ok(Commit::Contended)
    }

    /// What it means that conditions did not hold; `None` where only an assumption did not.
    async fn judge(
        &self,
        partition: &Partition,
        batch: &Batch,
        plan: &Plan,
        reasons: &[CancellationReason],
        seen: &mut Seen,
    ) -> Result<Option<Commit>, Unavailable> {
        let mut failed = Seen::default();
        for (place, reason) in plan.places.iter().zip(reasons) {
            if reason.code() == Some(CONDITION) {
                // Where nothing comes back there was nothing, or it was not sent along.
                let found = match reason.item() {
                    Some(item) => Some(item.clone()),
                    None => self.item(partition, place).await?,
                };
                for seen in [&mut failed, &mut *seen] {
                    seen.note(place, found.as_ref()).ok_or_else(unreadable)?;
                }
            }
        }
        if store::was_done(batch, |key| failed.find(key)) {
            return Ok(Some(Commit::Done));
        }
        // What is known is what did not hold; the other conditions did.
        let known = |expect: &&Expect| failed.knows(expect.key());
        let unmet =
            Batch { expect: batch.expect.iter().filter(known).cloned().collect(), ..batch.clone() };
        let Some(refused) = store::refused(&unmet, |key| failed.find(key)) else {
            return Ok(None);
        };
        // A refusal of a batch that was done would be a replay that is none, so its own id is looked
        // for once more, where it was not seen.
        for place in batch.write.first().map(Write::key).map(Place::all).unwrap_or_default() {
            if !failed.looked_at(&place) {
                let item = self.item(partition, &place).await?;
                failed.note(&place, item.as_ref()).ok_or_else(unreadable)?;
            }
        }
        if store::was_done(batch, |key| failed.find(key)) {
            return Ok(Some(Commit::Done));
        }
        Ok(Some(Commit::Refused(refused.to_owned())))
    }

    /// Reads the records of `partition` in `range`, as
    /// [`writ_core::host::Host::read`] says.
    ///
    /// # Errors
    ///
    /// DynamoDB fails, or no answer came in time.
    pub async fn read(
        &self,
        partition: &Partition,
        range: Range<'_>,
    ) -> Result<Vec<Record>, Unavailable> {
        let (beside, own) = layout::places(range.prefix);
        let facts =
            async { if beside { self.item(partition, &Place::Facts).await } else { Ok(None) } };
        let others =
            async { if own { self.query(partition, range).await } else { Ok(Vec::new()) } };
        let both = async { tokio::try_join!(facts, others) };
        let (facts, mut records) =
            timeout_at(end(READ), both).await.unwrap_or_else(|_| Err(silent()))?;
        if let Some(facts) = facts {
            let facts = Place::Facts.records(&facts).ok_or_else(unreadable)?;
            records.extend(facts.into_iter().map(|stored| stored.record));
            records.retain(|record| range.holds(&record.key));
            // A revocation may have expired in one place, and be put anew in the other.
            let latest = |record: &Record| std::cmp::Reverse(record.expires);
            records.sort_unstable_by(|one, other| {
                (&one.key, latest(one)).cmp(&(&other.key, latest(other)))
            });
            records.dedup_by(|other, one| other.key == one.key);
        }
        records.truncate(limits::BATCH_RECORDS);
        Ok(records)
    }

    async fn item(
        &self,
        partition: &Partition,
        place: &Place,
    ) -> Result<Option<Item>, Unavailable> {
        let key = layout::key(&layout::partition(partition), &place.sort());
        let get = self.client.get_item().table_name(&self.table).consistent_read(true);
        let get = get.set_key(Some(key));
        Ok(patiently(|| get.clone().send()).await?.item)
    }

    async fn query(
        &self,
        partition: &Partition,
        range: Range<'_>,
    ) -> Result<Vec<Record>, Unavailable> {
        let (start, end) = (range.start(), range.end());
        // DynamoDB refuses bounds in the wrong order.
        if start > end {
            return Ok(Vec::new());
        }
        let query = self.client.query().table_name(&self.table).consistent_read(true);
        let query = query
            .key_condition_expression("#pk = :pk AND #sk BETWEEN :start AND :end")
            .expression_attribute_names("#pk", PK)
            .expression_attribute_names("#sk", SK)
            .expression_attribute_values(":pk", layout::text(layout::partition(partition)))
            .expression_attribute_values(":start", layout::text(format!("{RECORDS}{start}")))
            .expression_attribute_values(":end", layout::text(format!("{RECORDS}{end}")))
            .limit(i32::try_from(limits::BATCH_RECORDS).unwrap_or(i32::MAX));
        let (mut records, mut after) = (Vec::new(), None);
        // A page ends at a megabyte, which is less than so many parts of a bundle have.
        while records.len() < limits::BATCH_RECORDS {
            let query = query.clone().set_exclusive_start_key(after);
            let page = patiently(|| query.clone().send()).await?;
            for item in page.items() {
                let sort = item.get(SK).and_then(|sort| sort.as_s().ok());
                let key =
                    sort.and_then(|sort| sort.strip_prefix(RECORDS)).ok_or_else(unreadable)?;
                let found = Place::Own(key.to_owned()).records(item).ok_or_else(unreadable)?;
                records.extend(found.into_iter().map(|stored| stored.record));
            }
            after = page.last_evaluated_key;
            if after.is_none() {
                break;
            }
        }
        Ok(records)
    }

    /// Lists an index, as [`writ_core::host::Host::list`] says.
    ///
    /// # Errors
    ///
    /// DynamoDB fails, or no answer came in time.
    pub async fn list(&self, zone: &str, listing: &Listing) -> Result<Page, Unavailable> {
        if !INDEXES.contains(&listing.index.as_str()) {
            return Ok(Page::default());
        }
        let limit = listing.limit.clamp(1, limits::LIST_ENTRIES);
        let from = format!("{:020}", listing.from.0);
        let after = listing.after.clone().filter(|after| *after > from);
        let looked_up = layout::looked_up(zone, &listing.index, &listing.name);
        let query = self.client.query().table_name(&self.table).index_name(&listing.index);
        let query = query
            .key_condition_expression("#name = :name AND #at > :at")
            .expression_attribute_names("#name", &listing.index)
            .expression_attribute_names("#at", AT)
            .expression_attribute_values(":name", layout::text(looked_up))
            // What happened at that instant sorts after the bare instant.
            .expression_attribute_values(":at", layout::text(after.unwrap_or(from)))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX));
        let page = timeout_at(end(CALL), patiently(|| query.clone().send())).await;
        let page = page.unwrap_or_else(|_| Err(silent()))?;
        let entries = page.items().iter().map(layout::listed).collect::<Option<Vec<_>>>();
        let entries = entries.ok_or_else(unreadable)?;
        let next = entries.last().filter(|_| page.last_evaluated_key.is_some());
        let next = next.map(layout::sorted);
        Ok(Page { entries, next })
    }

    /// Puts a copy of `bytes`, as [`writ_core::host::Outside::publish`] says: all of its items at once.
    /// One that is larger than a look-up gives back is not put.
    ///
    /// # Errors
    ///
    /// DynamoDB fails, or no answer came in time.
    pub async fn publish(
        &self,
        zone: &str,
        name: &str,
        bytes: &[u8],
        expires: Timestamp,
    ) -> Result<(), Unavailable> {
        if bytes.len() > COPY_BYTES {
            return Ok(());
        }
        let digest = writ_core::encoding::sha256(bytes);
        let copy = layout::copy(zone, name);
        let parts = bytes.chunks(PART_BYTES).count().max(1);
        let mut items = Vec::new();
        for (number, part) in (0..parts).zip(bytes.chunks(PART_BYTES).chain([[].as_slice()])) {
            let mut item = layout::key(&copy, &format!("{number:04}"));
            item.insert(VALUE.to_owned(), layout::bytes(part));
            item.insert(VERSION.to_owned(), layout::number(parts));
            item.insert(DIGEST.to_owned(), layout::bytes(&digest));
            if let Some(sweep) = layout::sweep_copy(expires) {
                item.insert(TTL.to_owned(), layout::number(sweep));
            }
            let put = Put::builder().table_name(&self.table).set_item(Some(item)).build();
            items.push(TransactWriteItem::builder().put(put.map_err(broken)?).build());
        }
        let write = self.client.transact_write_items().set_transact_items(Some(items)).send();
        let written = timeout_at(end(CALL), write).await.map_err(|_| silent())?;
        written.map(|_| ()).map_err(unavailable)
    }

    /// The copy under `name`, as [`writ_core::host::Outside::published`] says.
    ///
    /// # Errors
    ///
    /// DynamoDB fails, or no answer came in time.
    pub async fn published(&self, zone: &str, name: &str) -> Result<Option<Vec<u8>>, Unavailable> {
        let query = self.client.query().table_name(&self.table);
        let query = query
            .key_condition_expression("#pk = :pk")
            .expression_attribute_names("#pk", PK)
            .expression_attribute_values(":pk", layout::text(layout::copy(zone, name)));
        let page = timeout_at(end(CALL), patiently(|| query.clone().send())).await;
        let page = page.unwrap_or_else(|_| Err(silent()))?;
        Ok(whole(page.items()))
    }
}

/// The bytes of a copy, unless its items are of two copies or some are missing.
fn whole(items: &[Item]) -> Option<Vec<u8>> {
    let first = items.first()?;
    let parts: usize = first.get(VERSION)?.as_n().ok()?.parse().ok()?;
    let mut bytes = Vec::new();
    for part in items.get(..parts)? {
        if part.get(DIGEST) != first.get(DIGEST) {
            return None;
        }
        bytes.extend_from_slice(part.get(VALUE)?.as_b().ok()?.as_ref());
    }
    Some(bytes)
}

/// Why a transaction was not made.
enum Failed<'a> {
    /// A condition did not hold.
    Condition(&'a [CancellationReason]),
    /// Others were at work on the same items, or there were too many requests: nothing was written.
    Contention,
    /// Anything else: nobody knows whether it was made.
    Otherwise,
}

impl<'a> Failed<'a> {
    fn of<R>(error: &'a SdkError<WriteError, R>) -> Self {
        let Some(WriteError::TransactionCanceledException(cancelled)) = error.as_service_error()
        else {
            return if is_contention(error.code()) { Self::Contention } else { Self::Otherwise };
        };
        let reasons = cancelled.cancellation_reasons();
        let mut codes = reasons.iter().filter_map(CancellationReason::code);
        if codes.clone().any(|code| code == CONDITION) {
            Self::Condition(reasons)
        } else if codes.any(|code| is_contention(Some(code))) {
            Self::Contention
        } else {
            Self::Otherwise
        }
    }
}

fn is_contention(code: Option<&str>) -> bool {
    code.is_some_and(|code| CONTENTION.contains(&code))
}

/// Makes a read until it is not throttled any more, for as long as one may take.
async fn patiently<T, E, R, F>(request: impl Fn() -> F) -> Result<T, Unavailable>
where
    F: Future<Output = Result<T, SdkError<E, R>>>,
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let end = end(READ);
    for attempt in 0.. {
        match request().await {
            Ok(answer) => return Ok(answer),
            Err(error) if is_contention(error.code()) && pause(attempt, end).await? => {}
            Err(error) => return Err(unavailable(error)),
        }
    }
    Err(silent())
}

/// Waits before another attempt: a random time, longer with each one, so that those who met here do
/// not meet again. `false` where there is no time left.
async fn pause(attempt: u32, end: Instant) -> Result<bool, Unavailable> {
    let most = PAUSE_MILLIS.saturating_mul(1 << attempt.min(6)).min(PAUSE_MILLIS_MAX);
    let mut random = [0; 2];
    getrandom::fill(&mut random).map_err(|error| Unavailable(error.to_string()))?;
    let millis = u64::from(u16::from_be_bytes(random)).checked_rem(most.saturating_add(1));
    let pause = Duration::from_millis(millis.unwrap_or(most).max(1));
    // What is left must do for the attempt itself.
    let left = end.saturating_duration_since(Instant::now());
    if left < pause.saturating_add(ATTEMPT) {
        return Ok(false);
    }
    sleep(pause).await;
    Ok(true)
}

fn end(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now)
}

fn in_time(batch: &Batch) -> Result<(), Unavailable> {
    match batch.until {
        Some(until) if moment::now() > until => {
            Err(Unavailable("the batch comes too late".to_owned()))
        }
        _ => Ok(()),
    }
}

fn unavailable<E, R>(error: SdkError<E, R>) -> Unavailable
where
    E: std::error::Error + 'static,
    R: std::fmt::Debug,
{
    Unavailable(format!("the table does not answer: {}", DisplayErrorContext(error)))
}

fn silent() -> Unavailable {
    Unavailable("the table gave no answer in time".to_owned())
}

fn unreadable() -> Unavailable {
    Unavailable("an item of the table is unreadable".to_owned())
}

fn broken(error: aws_sdk_dynamodb::error::BuildError) -> Unavailable {
    Unavailable(format!("a request to the table is incomplete: {error}"))
}

const CONDITION: &str = "ConditionalCheckFailed";
/// What DynamoDB calls it when it did nothing because of others, in a cancelled transaction's reasons
/// and as the error of a whole request.
const CONTENTION: [&str; 8] = [
    "TransactionConflict",
    "TransactionConflictException",
    "TransactionInProgressException",
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "ThrottlingError",
    "ThrottlingException",
    "RequestLimitExceeded",
];
/// What a call may take.
const CALL: Duration = Duration::from_secs(limits::STORE_SECS);
/// What a read may take.
const READ: Duration = Duration::from_millis(limits::READ_MILLIS);
const PAUSE_MILLIS: u64 = 10;
const PAUSE_MILLIS_MAX: u64 = 400;
/// What an attempt may take, to be worth making.
const ATTEMPT: Duration = Duration::from_millis(500);
/// The attribute that tells the items of one copy from those of another.
const DIGEST: &str = "d";
/// Bytes of one item of a copy: an item has 400 KB at most.
const PART_BYTES: usize = 300 * 1024;
/// Bytes of a copy: one query gives back a megabyte at most.
const COPY_BYTES: usize = 3 * PART_BYTES;
