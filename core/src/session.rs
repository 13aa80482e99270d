//! Sessions in the store: what a hop expects, what it writes, and what its refusal means.
//!
//! A session's partition has the facts `opened`, `ended`, `revoked/HOP` and `spent`, one record
//! `hop/ID` a credential, and one `denied/ID` a denial. Facts are added, never edited; that a thing
//! is not yet revoked is asked of the strong store, in the commit that records the hop.

pub mod denial;
pub mod end;
pub mod tree;

use serde::{Deserialize, Serialize};

use crate::active::Active;
use crate::ask::Ask;
use crate::client::Client;
use crate::event::Event;
use crate::grant::{self, Entry, Grant, Idle, Standing};
use crate::host::{
    self, Batch, Commit, Expect, Host, Kind, Partition, Range, Record, Unavailable, Write,
};
use crate::identity::Principal;
use crate::limits;
use crate::moment::{Moment, Timestamp};
use crate::own::{OwnToken, TokenTask};
use crate::parties::{Claim, Parties};
use crate::refresh::{Family, Turn, Turned};
use crate::refusal::{Failure, Reason, Refusal, Slot};
use crate::strong;
use crate::task::{self, Envelope};

/// The record of a session's opening.
pub const OPENED: &str = "opened";
/// The record of a session's last hop, where it has an idle limit: it expires when the session has been
/// idle for so long. Beside the opening by its name, so that both are read at once.
pub const ACTIVE: &str = "opened/active";
/// The fact that a session was ended.
pub const ENDED: &str = "ended";
/// The fact that a single-use proof was spent beside another session.
pub const SPENT: &str = "spent";
/// The prefix of the fact that a hop was revoked.
pub const REVOKED: &str = "revoked/";
/// The prefix of hops.
pub const HOP: &str = "hop/";
/// The prefix of denials.
pub const DENIED: &str = "denied/";
/// The count of denials.
pub const DENIALS: &str = "denials";

/// What a session's opening says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    /// When.
    pub at: Timestamp,
    /// When it ends by itself. The record may stay longer, for the proof that must stay spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
    /// The hour whose list its tokens name.
    pub hour: i64,
    /// On whose behalf.
    pub subject: String,
    /// The application that opened it.
    pub application: String,
    /// The task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TokenTask>,
    /// The envelope that no hop exceeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Envelope>,
    /// After so many seconds without a hop it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<i64>,
}

/// The partition of a session.
#[must_use]
pub fn partition(zone: &str, session: &str) -> Partition {
    Partition { zone: zone.to_owned(), kind: Kind::Session, id: session.to_owned() }
}

/// What stands before a hop enters its session.
///
/// Nothing is read for it, but in three cases: a session whose task the bundle changed since has the
/// envelope that then and now both allow; a session that a secret or a key opened for a task id ends
/// when it was opened to end; and a session that may be open already has the idle limit that it was
/// opened with, where the bundle has one.
///
/// # Errors
///
/// The opening cannot be read, or the session to join was idle for too long.
pub async fn standing<H: Host>(
    host: &H,
    zone: &Active,
    ask: &Ask,
    parties: &Parties,
    task: Option<&TokenTask>,
    now: Timestamp,
) -> Result<Standing, Failure> {
    let declared = task.and_then(|task| task::declared_envelope(zone, task));
    let mut envelope = declared.cloned();
    if let Some(own) = parties.own() {
        let changed = task.is_some_and(|task| declared.map(task::envelope_name) != task.envelope);
        let idle = own.idle.map(|secs| Idle { secs, runs: true });
        if !changed {
            return Ok(Standing { envelope, ends: None, idle });
        }
        let (opening, _) = opening(host, zone, &own.sid).await?;
        let (opened, _) = opening.ok_or_else(|| {
            let what = "its opening is not there";
            Refusal::proof(parties.root_slot, Reason::SessionOver, what)
        })?;
        envelope = match (opened.envelope, declared) {
            (Some(then), Some(now)) => Some(task::intersection(&then, now)),
            (Some(then), None) => Some(then),
            (None, now) => now.cloned(),
        };
        return Ok(Standing { envelope, ends: None, idle });
    }
    let fresh = zone.bundle.idle_secs.map(|secs| Idle { secs, runs: false });
    let known = Standing { envelope, ends: None, idle: fresh };
    let proven = parties.client.as_ref().and_then(Client::platform).is_some();
    let rests = parties.subject_token.is_some() || proven;
    let Some(id) = grant::joinable(zone, ask, parties, task).filter(|_| !rests || fresh.is_some())
    else {
        return Ok(known);
    };
    let (opening, active) = opening(host, zone, &id).await?;
    let Some((opened, ends)) = opening.filter(|(_, ends)| *ends > now) else {
        return Ok(known);
    };
    if opened.idle.is_some() && active.is_none_or(|active| active < in_time(now)) {
        let slot = told(parties.root_slot);
        return Err(Refusal::proof(slot, Reason::SessionIdle, "its id joins it no more").into());
    }
    let idle = opened.idle.map(|secs| Idle { secs, runs: true });
    Ok(Standing { ends: Some(ends), idle, ..known })
}

/// A client whose proof was good is not told that it was not.
const fn told(slot: Slot) -> Slot {
    match slot {
        Slot::Client => Slot::Request,
        other => other,
    }
}

/// The opening of a session, and when its record expires.
pub(crate) async fn opened<H: Host>(
    host: &H,
    zone: &Active,
    session: &str,
) -> Result<Option<(Opened, Timestamp)>, Unavailable> {
    Ok(opening(host, zone, session).await?.0)
}

/// As [`opened`]; and when the session was or will be idle for too long, where it has such a limit.
async fn opening<H: Host>(
    host: &H,
    zone: &Active,
    session: &str,
) -> Result<(Option<(Opened, Timestamp)>, Option<Timestamp>), Unavailable> {
    let place = partition(&zone.bundle.zone, session);
    let (opening, active) = openings(host, &place).await?;
    let Some(record) = opening else { return Ok((None, active)) };
    let opened = serde_json::from_slice(&record.value)
        .map_err(|error| Unavailable(format!("opening of session `{session}`: {error}")))?;
    Ok((Some((opened, record.expires)), active))
}

/// The record of the opening, and when that of the last hop expires: one read.
async fn openings<H: Host>(
    host: &H,
    place: &Partition,
) -> Result<(Option<Record>, Option<Timestamp>), Unavailable> {
    let records = strong::read(host, place, Range::of(OPENED)).await?;
    let active = records.iter().find(|record| record.key == ACTIVE).map(|record| record.expires);
    Ok((records.into_iter().find(|record| record.key == OPENED), active))
}

/// Spends the single-use proofs shown beside the session's own, then records the hop, whole: its
/// session is live, nothing on its path is revoked, its proof is unspent, its refresh token the last of
/// its family. Only when it is recorded may the token leave.
///
/// # Errors
///
/// A proof was spent before, the session is over or ended, a hop on the path was revoked; or the
/// store does not say.
pub async fn extend<H: Host>(
    host: &H,
    zone: &Active,
    grant: &Grant,
    envelope: Option<&Envelope>,
    event: &Event,
    moment: &Moment,
) -> Result<Entered, Failure> {
    for (index, claim) in grant.spends.iter().enumerate() {
        let (by, ends) = (&grant.session.id, grant.session.ends);
        spend(host, zone, claim, by, ends, index, moment).await?;
    }
    let kept = kept(zone, grant, moment.now);
    let family = grant.family.as_ref();
    let label = match family.map(|family| family.turn) {
        Some(Turn::Again) => "batch-again",
        Some(Turn::First | Turn::Next) | None => "batch",
    };
    let batch = Batch {
        id: moment.id(label),
        now: moment.now,
        until: Some(zone.as_of.plus(limits::SNAPSHOT_STALE_SECS)),
        expect: expectations(grant, moment.now),
        write: writes(grant, envelope, event, moment, kept)?,
        index: index(grant, event, zone, moment.now, kept),
    };
    let partition = partition(&zone.bundle.zone, &grant.session.id);
    match strong::commit(host, &partition, batch).await? {
        Commit::Done => Ok(Entered::Recorded),
        Commit::Refused(key) if key == OPENED && grant.session.entry == Entry::Begin => {
            Ok(Entered::Overtaken)
        }
        Commit::Refused(key) if family.is_some_and(|family| family.key() == key) => {
            Ok(Entered::Superseded)
        }
        Commit::Refused(key) => Err(refusal(grant, &key).into()),
        Commit::Contended => Err(contended(&partition).into()),
    }
}

/// What became of a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Entered {
    /// It is recorded.
    Recorded,
    /// Another request opened the session that the hop was to begin. What it wrote can be read now.
    Overtaken,
    /// All that was wrong with it is that the refresh token shown is not the last one.
    Superseded,
}

fn expectations(grant: &Grant, now: Timestamp) -> Vec<Expect> {
    let opened = OPENED.to_owned();
    let mut expect = vec![match grant.session.entry {
        Entry::Open | Entry::Begin => Expect::Absent(opened),
        Entry::Join => Expect::LiveOrAbsent { key: opened, until: grant.expires },
        Entry::Extend => Expect::Live { key: opened, until: grant.expires },
    }];
    expect.push(Expect::Absent(SPENT.to_owned()));
    expect.push(Expect::Absent(ENDED.to_owned()));
    let path = grant.session.relies_on.iter();
    expect.extend(path.map(|hop| Expect::Absent(format!("{REVOKED}{hop}"))));
    expect.extend(grant.idle.filter(|idle| idle.runs).map(|_| is_active(in_time(now))));
    if grant.key.is_some() {
        // The hop's id is the proof's: a hop that is there already is the proof's first use.
        expect.push(Expect::Absent(format!("{HOP}{}", grant.hop())));
    }
    // The last one, so that nothing else is wrong where this is what does not hold.
    expect.extend(grant.family.as_ref().and_then(Family::expectation));
    expect
}

/// The session will not have been idle for too long before `until`.
fn is_active(until: Timestamp) -> Expect {
    Expect::Live { key: ACTIVE.to_owned(), until }
}

/// When a hop that is decided now is recorded at the latest. A session that is idle too long by then gets
/// none: whoever is told meanwhile that it is over has been told the truth for good.
fn in_time(now: Timestamp) -> Timestamp {
    now.plus(limits::SNAPSHOT_STALE_SECS)
}

fn writes(
    grant: &Grant,
    envelope: Option<&Envelope>,
    event: &Event,
    moment: &Moment,
    kept: Timestamp,
) -> Result<Vec<Write>, Unavailable> {
    let ends = grant.session.ends;
    let hop = record(format!("{HOP}{}", grant.hop()), event, kept)?;
    let mut writes = vec![Write::Put(hop)];
    if grant.session.entry != Entry::Extend {
        let opened = Opened {
            at: moment.now,
            ends: Some(ends),
            hour: grant.session.status.hour(),
            subject: grant.subject.id().to_owned(),
            application: grant.presenter.clone(),
            task: grant.task.clone(),
            envelope: envelope.cloned(),
            idle: grant.idle.map(|idle| idle.secs),
        };
        let expires = match grant.session.entry {
            // A single-use proof must stay spent for as long as it could be shown again.
            Entry::Open => kept_until(ends.max(grant.session.proof_expires)),
            Entry::Begin | Entry::Join | Entry::Extend => ends,
        };
        let opened = record(OPENED.to_owned(), &opened, expires)?;
        writes.push(Write::PutIfAbsent(opened));
    }
    if let Some(idle) = grant.idle {
        let expires = moment.now.plus(idle.secs);
        let (key, value) = (ACTIVE.to_owned(), Vec::new());
        writes.push(Write::Put(Record { key, value, expires, version: 0 }));
    }
    if let Some(family) = grant.family.as_ref().filter(|family| family.turn != Turn::Again) {
        let turned = Turned { at: moment.now };
        writes.push(Write::Put(record(family.key(), &turned, kept_until(ends))?));
    }
    Ok(writes)
}

/// How long a hop is kept: as long as the operator wants, and never less than any session it can be
/// part of.
fn kept(zone: &Active, grant: &Grant, now: Timestamp) -> Timestamp {
    let wanted = zone.bundle.record_secs.max(zone.bundle.session_secs);
    kept_until(grant.session.ends.max(now.plus(wanted)))
}

/// A claim lives to the end of what it protects, the leeway and a margin (design §2).
fn kept_until(end: Timestamp) -> Timestamp {
    end.plus(limits::LEEWAY_SECS).plus(limits::CLAIM_MARGIN_SECS)
}

fn record(key: String, value: &impl Serialize, expires: Timestamp) -> Result<Record, Unavailable> {
    let mut json = Vec::with_capacity(ORDINARY_BYTES);
    serde_json::to_writer(&mut json, value)
        .map_err(|error| Unavailable(format!("record `{key}` has no JSON form: {error}")))?;
    Ok(Record { key, value: json, expires, version: 0 })
}

/// Bytes that an ordinary record does not exceed.
const ORDINARY_BYTES: usize = 1_024;

fn index(
    grant: &Grant,
    event: &Event,
    zone: &Active,
    now: Timestamp,
    expires: Timestamp,
) -> Vec<host::Entry> {
    let key = format!("{HOP}{}", grant.hop());
    let entry = |index, name: &str| host::Entry {
        index,
        name: name.to_owned(),
        at: now,
        key: key.clone(),
        expires,
    };
    let mut entries = vec![entry("record", &zone.bundle.zone)];
    entries.push(match &grant.subject {
        Principal::User(id) => entry("user", id),
        Principal::Application(id) => entry("application", id),
    });
    let others = event.chain.iter().filter(|id| *id != grant.subject.id());
    entries.extend(others.map(|id| entry("application", id)));
    entries.push(entry("resource", grant.target.audience()));
    entries
}

/// Spends a single-use proof beside the session `by`, which lasts until `ends`.
pub(crate) async fn spend<H: Host>(
    host: &H,
    zone: &Active,
    claim: &Claim,
    by: &str,
    ends: Timestamp,
    index: usize,
    moment: &Moment,
) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Spent<'a> {
        by: &'a str,
        at: Timestamp,
    }
    let expires = kept_until(claim.expires.max(ends));
    let fact = Spent { by, at: moment.now };
    let batch = Batch {
        id: moment.id(&format!("spend{index}")),
        now: moment.now,
        until: Some(zone.as_of.plus(limits::SNAPSHOT_STALE_SECS)),
        expect: vec![Expect::Absent(OPENED.to_owned()), Expect::Absent(SPENT.to_owned())],
        write: vec![Write::Put(record(SPENT.to_owned(), &fact, expires)?)],
        index: Vec::new(),
    };
    let partition = partition(&zone.bundle.zone, &claim.name);
    match strong::commit(host, &partition, batch).await? {
        Commit::Done => Ok(()),
        Commit::Refused(_) => {
            let detail = "a single-use token was shown before";
            Err(Refusal::proof(claim.slot, Reason::Replayed, detail).into())
        }
        Commit::Contended => Err(contended(&partition).into()),
    }
}

/// Asks the strong store whether a token is alive: its session is open and not ended, and nothing on its
/// path was revoked. One call, whatever the session's size; nothing is written.
///
/// # Errors
///
/// It is not alive, or the store does not say.
pub async fn alive<H: Host>(
    host: &H,
    zone: &Active,
    token: &OwnToken,
    moment: &Moment,
) -> Result<(), Failure> {
    let mut expect = vec![
        Expect::Live { key: OPENED.to_owned(), until: moment.now },
        Expect::Absent(ENDED.to_owned()),
    ];
    let path = token.path.iter().map(|step| &step.jti);
    expect.extend(path.map(|hop| Expect::Absent(format!("{REVOKED}{hop}"))));
    expect.extend(token.idle.map(|_| is_active(moment.now)));
    let (write, index) = (Vec::new(), Vec::new());
    let (id, now) = (moment.id("alive"), moment.now);
    let batch = Batch { id, now, until: None, expect, write, index };
    let partition = partition(&zone.bundle.zone, &token.sid);
    let refuse = |reason, detail: &str| Refusal::proof(Slot::Subject, reason, detail);
    match strong::commit(host, &partition, batch).await? {
        Commit::Done => Ok(()),
        Commit::Refused(key) if key == OPENED => {
            Err(refuse(Reason::SessionOver, "the session is over").into())
        }
        Commit::Refused(key) if key == ENDED => {
            Err(refuse(Reason::SessionEnded, "the session was ended").into())
        }
        Commit::Refused(key) if key == ACTIVE => Err(refuse(Reason::SessionIdle, IDLE).into()),
        Commit::Refused(key) => Err(refuse(Reason::HopRevoked, &key).into()),
        Commit::Contended => Err(contended(&partition).into()),
    }
}

/// What is wrong with a session that was idle for too long.
const IDLE: &str = "no hop was added to the session for too long, or almost";

fn contended(partition: &Partition) -> Unavailable {
    Unavailable(format!("session `{}` is contended", partition.id))
}

fn refusal(grant: &Grant, key: &str) -> Refusal {
    let (reason, detail) = match (key, grant.session.entry) {
        (OPENED, Entry::Open) | (SPENT, _) => {
            (Reason::Replayed, "a single-use token was shown before".to_owned())
        }
        (OPENED, _) => (Reason::SessionOver, "the session is over, or about to be".to_owned()),
        (ENDED, _) => (Reason::SessionEnded, "the session was ended".to_owned()),
        (ACTIVE, _) => (Reason::SessionIdle, IDLE.to_owned()),
        (hop, _) if hop.starts_with(HOP) => {
            let detail = "the proof was shown before in this session";
            return Refusal::proof(Slot::Dpop, Reason::Replayed, detail);
        }
        (other, _) => (Reason::HopRevoked, other.to_owned()),
    };
    let slot = match (reason, grant.session.slot) {
        (Reason::Replayed, slot) => slot,
        (_, slot) => told(slot),
    };
    Refusal::proof(slot, reason, detail)
}
