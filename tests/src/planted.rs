//! Hosts with a bug in them: what a target or the core could get wrong. The tests that look for such
//! bugs must find each of these, or they look at nothing.
//!
//! Without a bug it is the host in memory, one step at a time where a scheduler says whose turn it is.

use writ_core::event::Event;
use writ_core::host::{
    Batch, Commit, Expect, Host, Listing, NewKey, Outside, Page, Partition, Range, Record,
    Unavailable, Write,
};
use writ_core::http::{Inbound, Outbound};
use writ_core::jwk::{Algorithm, PublicKey};
use writ_core::memory;
use writ_core::moment::Timestamp;
use writ_core::refresh::REFRESH;
use writ_core::session::{ACTIVE, ENDED, HOP, OPENED, REVOKED, SPENT};
use writ_core::store::{Stored, refused};

use crate::faults::Effect;
use crate::memory::Memory;
use crate::schedule::{Turns, turn};

/// A bug on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Conditions are looked at first, and the writes come in a step of their own.
    CheckBeforeCommit,
    /// Of the hops on a path only the last is looked at.
    CheckOnlyParent,
    /// A single-use proof is claimed under the name of the slot that it is shown in.
    ClaimPerSlot,
    /// Nobody looks whether the session was ended.
    IgnoreEnded,
    /// A revocation is acknowledged and not kept.
    DropRevoked,
    /// A proof that was spent beside another session opens its own all the same.
    IgnoreSpent,
    /// The record of a hop is not written.
    DropHop,
    /// Nobody looks whether the zone changed since it was read.
    IgnoreVersion,
    /// Nobody looks whether the session was idle for too long.
    IgnoreIdle,
    /// A hop is added until the very moment in which it was.
    IdleToTheEdge,
    /// A refresh counts on without looking whether its token is the last one.
    RotateBlindly,
    /// A batch is applied although its time is over.
    IgnoreUntil,
}

impl Bug {
    /// Makes of a batch what a host with this bug would make of it.
    fn spoil(self, batch: &mut Batch, slot: &str) {
        match self {
            Self::CheckBeforeCommit | Self::IgnoreUntil => {}
            Self::CheckOnlyParent => {
                let parent = parent(batch).map(|parent| format!("{REVOKED}{parent}"));
                let kept = |key: &str| !key.starts_with(REVOKED) || Some(key) == parent.as_deref();
                // Introspection writes nothing and asks about a whole path; the last one is its own.
                if !batch.write.is_empty() {
                    batch.expect.retain(|expect| kept(expect.key()));
                }
            }
            Self::ClaimPerSlot => rename(batch, slot),
            Self::IgnoreEnded => batch.expect.retain(|expect| expect.key() != ENDED),
            Self::DropRevoked => batch.write.retain(|write| !write.key().starts_with(REVOKED)),
            Self::IgnoreSpent => batch.expect.retain(|expect| expect.key() != SPENT),
            Self::IgnoreVersion => {
                batch.expect.retain(|expect| !matches!(expect, Expect::Version { .. }));
            }
            Self::IdleToTheEdge => {
                let now = batch.now;
                for expect in &mut batch.expect {
                    if let Expect::Live { key, until } = expect
                        && key == ACTIVE
                    {
                        *until = now;
                    }
                }
            }
            // Introspection writes nothing, and says what is so.
            Self::IgnoreIdle if batch.write.is_empty() => {}
            Self::IgnoreIdle => batch.expect.retain(|expect| expect.key() != ACTIVE),
            Self::RotateBlindly => batch.expect.retain(|expect| !expect.key().starts_with(REFRESH)),
            Self::DropHop => batch.write.retain(|write| !write.key().starts_with(HOP)),
        }
    }
}

/// The parent of the hop that a batch records.
fn parent(batch: &Batch) -> Option<String> {
    let Some(Write::Put(hop)) = batch.write.first() else { return None };
    let event: serde_json::Value = serde_json::from_slice(&hop.value).ok()?;
    Some(event.get("parent")?.as_str()?.to_owned())
}

/// Gives the facts that claim a proof a name of their own for each slot.
fn rename(batch: &mut Batch, slot: &str) {
    let claims = |expect: &Expect| *expect == Expect::Absent(OPENED.to_owned());
    if !batch.expect.iter().any(claims) {
        return;
    }
    for expect in &mut batch.expect {
        if let Expect::Absent(key) = expect
            && [OPENED, SPENT].contains(&key.as_str())
        {
            *key = format!("{key}-{slot}");
        }
    }
    for write in &mut batch.write {
        if let Write::Put(record) | Write::PutIfAbsent(record) = write
            && [OPENED, SPENT].contains(&record.key.as_str())
        {
            record.key = format!("{}-{slot}", record.key);
        }
    }
}

/// An instance as one request sees it.
pub struct Planted<'a> {
    /// The instance.
    pub host: &'a Memory,
    /// What is wrong with it.
    pub bug: Option<Bug>,
    /// Where the request shows its proof.
    pub slot: &'static str,
    /// Whose turn it is, and who this is; none where requests come one after the other.
    pub turns: Option<(&'a Turns, usize)>,
}

impl Planted<'_> {
    async fn turn(&self) {
        if self.turns.is_some() {
            turn().await;
        }
    }

    /// Waits for its turn; then the call may fail.
    async fn call(&self, what: &str) -> Result<(), Unavailable> {
        self.turn().await;
        match self.turns.and_then(|(turns, _)| turns.fault(false)) {
            None => Ok(()),
            Some(_) => Err(Unavailable(format!("{what} failed on order"))),
        }
    }

    /// The condition that does not hold, as somebody sees it who only looks.
    fn look(&self, partition: &Partition, batch: &Batch) -> Option<String> {
        let keys = batch.expect.iter().map(Expect::key);
        let found: Vec<Stored> = keys
            .filter_map(|key| {
                let page = self.host.store.read(partition, Range::of(key));
                let record = page.into_iter().find(|record| record.key == key)?;
                Some(Stored { record, batch: String::new() })
            })
            .collect();
        refused(batch, |key| found.iter().find(|stored| stored.record.key == key))
            .map(str::to_owned)
    }
}

impl Outside for Planted<'_> {
    async fn fetch(&self, request: Outbound) -> Result<Inbound, Unavailable> {
        self.call("fetch").await?;
        self.host.fetch(request).await
    }

    async fn publish(
        &self,
        zone: &str,
        name: &str,
        bytes: &[u8],
        expires: Timestamp,
    ) -> Result<(), Unavailable> {
        self.call("publish").await?;
        self.host.publish(zone, name, bytes, expires).await
    }

    async fn published(&self, zone: &str, name: &str) -> Result<Option<Vec<u8>>, Unavailable> {
        self.call("published").await?;
        self.host.published(zone, name).await
    }

    async fn verify(
        &self,
        algorithm: Algorithm,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, Unavailable> {
        // It depends on nothing that another request could change: no step of its own.
        self.host.verify(algorithm, key, message, signature).await
    }

    async fn pause(&self, millis: u32) {
        match self.turns {
            Some(_) => turn().await,
            None => self.host.pause(millis).await,
        }
    }

    fn memory(&self) -> &memory::Memory {
        self.host.memory()
    }
}

impl Host for Planted<'_> {
    async fn commit(&self, partition: &Partition, mut batch: Batch) -> Result<Commit, Unavailable> {
        self.turn().await;
        let fault = self.turns.and_then(|(turns, _)| turns.fault(true));
        match fault {
            Some(Effect::Unavailable) => return Err(Unavailable("commit failed".to_owned())),
            Some(Effect::Contended) => return Ok(Commit::Contended),
            _ => {}
        }
        let late = self.turns.is_some_and(|(turns, _)| turns.is_past(batch.until));
        if late && self.bug != Some(Bug::IgnoreUntil) {
            return Err(Unavailable("the batch comes too late".to_owned()));
        }
        if let Some(bug) = self.bug {
            bug.spoil(&mut batch, self.slot);
            if bug == Bug::CheckBeforeCommit {
                if let Some(key) = self.look(partition, &batch) {
                    return Ok(Commit::Refused(key));
                }
                batch.expect.clear();
                self.turn().await;
            }
        }
        let outcome = self.host.commit(partition, batch.clone()).await;
        if let (Ok(Commit::Done), Some((turns, who))) = (&outcome, self.turns) {
            turns.wrote(who, partition, &batch);
        }
        self.turn().await;
        match fault {
            Some(Effect::Lost) => Err(Unavailable("the answer is lost".to_owned())),
            _ => outcome,
        }
    }

    async fn read(
        &self,
        partition: &Partition,
        range: Range<'_>,
    ) -> Result<Vec<Record>, Unavailable> {
        self.call("read").await?;
        let records = self.host.read(partition, range).await;
        self.turn().await;
        records
    }

    async fn list(&self, zone: &str, listing: &Listing) -> Result<Page, Unavailable> {
        self.call("list").await?;
        self.host.list(zone, listing).await
    }

    async fn sign(&self, zone: &str, kid: &str, message: &[u8]) -> Result<Vec<u8>, Unavailable> {
        self.call("sign").await?;
        self.host.sign(zone, kid, message).await
    }

    async fn generate(&self, zone: &str, algorithm: Algorithm) -> Result<NewKey, Unavailable> {
        self.call("generate").await?;
        self.host.generate(zone, algorithm).await
    }

    fn record(&self, event: &Event) {
        self.host.record(event);
    }
}
