//! Building the documents of an hour: from the index, a few pages at a time, on top of what an earlier
//! request found.
//!
//! What was found is kept by the instance and published. Whoever finds it too old lists what is new since
//! then, with an overlap for what came late, and a page of everything besides, from where that went on the
//! last time. A list that was not gone through once has all bits set, and so has one of too many entries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::active::{Active, CutOff, Named};
use crate::encoding::{base64url, sha256};
use crate::host::{Host, Listed, Listing, Page, Unavailable};
use crate::jwt;
use crate::limits;
use crate::moment::Timestamp;
use crate::session::{ENDED, REVOKED};

use super::{INDEX, TYP, entry, index, list, uri};

/// The documents of an hour, and what they were made of.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Built {
    /// Whatever the index held at this instant is in them.
    pub(super) as_of: Timestamp,
    /// The list, signed.
    pub(super) jwt: String,
    /// The feed. It is not published: it follows from the rest.
    #[serde(skip)]
    pub(super) feed: String,
    /// The feed's entity tag.
    #[serde(skip)]
    pub(super) etag: String,
    /// When they were last sought in vain.
    #[serde(skip)]
    failed: Timestamp,
    found: Found,
}

/// What was found so far.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Found {
    /// The zone's `seq` then.
    seq: u64,
    /// Up to when the index was listed, and when the listing that is under way began.
    listed: Timestamp,
    #[serde(default)]
    began: Timestamp,
    /// Whether it was gone through from its beginning to its end.
    complete: bool,
    /// Where going through it all goes on, and where listing what is new.
    everything: Option<String>,
    news: Option<String>,
    /// Every token has to be asked about, and whether more listing can change that.
    all: bool,
    unfinished: bool,
    /// There is no room for the entries, and there will be none.
    full: bool,
    /// The sessions that ended.
    sessions: BTreeSet<String>,
    /// The hops that were revoked, after their session and a space.
    hops: BTreeSet<String>,
    cut_offs: BTreeMap<Named, Followed>,
}

/// How far the sessions of somebody who was cut off are known.
#[derive(Clone, Serialize, Deserialize)]
struct Followed {
    seq: u64,
    from: Timestamp,
    after: Option<String>,
    pages: usize,
    /// Those of which a token may be cut off. They go with it when no such token can be alive.
    sessions: BTreeSet<String>,
    /// Gone through once; and once more when nothing could be added any longer.
    seen: bool,
    done: bool,
    /// Nothing can be added any longer, and it was not gone through since.
    #[serde(default)]
    due: bool,
    /// When going through it began, and when a page of it was read last.
    #[serde(default)]
    began: Timestamp,
    #[serde(default)]
    read: Timestamp,
}

impl Followed {
    fn of(cut_off: &CutOff, zone: &Active) -> Self {
        let from = cut_off.at.plus(longest(zone).saturating_neg());
        let (began, read) = (Timestamp::default(), Timestamp::default());
        let (seen, done, due) = (false, false, false);
        let (after, pages, sessions) = (None, 0, BTreeSet::new());
        Self { seq: cut_off.seq, from, after, pages, sessions, seen, done, due, began, read }
    }

    /// Takes the sessions of a page. Whether it was the last one.
    fn take(&mut self, cut_off: &CutOff, page: Page) -> bool {
        let settled = settled(cut_off);
        self.pages = self.pages.saturating_add(1);
        let later = page.entries.last().is_some_and(|last| last.at > settled);
        // What an instance that had not heard of it decided bears its clock.
        let last = cut_off.at.plus(limits::SNAPSHOT_STALE_SECS.saturating_add(limits::LEEWAY_SECS));
        let sessions = page.entries.into_iter().filter(|entry| entry.at <= last);
        self.sessions.extend(sessions.map(|entry| entry.session));
        self.after = page.next.filter(|_| !later);
        if self.after.is_some() {
            return false;
        }
        (self.seen, self.done) = (true, self.began > settled);
        self.due &= !self.done;
        self.from = cut_off.at.plus(-limits::STATUS_OVERLAP_SECS);
        true
    }

    /// There is no room for its sessions: every token has to be asked about for as long as it matters.
    fn give_up(&mut self) {
        (self.seen, self.done, self.due) = (false, false, false);
        self.pages = limits::STATUS_CUT_PAGES;
        self.sessions.clear();
    }

    /// Whether reading more of it would tell something now.
    const fn is_wanted(&self) -> bool {
        !self.done && (self.seen || self.pages < limits::STATUS_CUT_PAGES)
    }

    /// Whether a request has to go on with it: the next one learns more.
    const fn is_behind(&self) -> bool {
        self.is_wanted() && (!self.seen || self.due)
    }
}

/// The documents as they are now, at most [`limits::STATUS_FRESH_SECS`] old; older ones, up to
/// [`limits::STATUS_STALE_SECS`], where the store does not answer.
///
/// # Errors
///
/// The store does not answer, and there is nothing young enough.
pub(super) async fn current<H: Host>(
    host: &H,
    zone: &Active,
    hour: i64,
    now: Timestamp,
) -> Result<Arc<Built>, Unavailable> {
    let (name, copy) = (&zone.bundle.zone, format!("status/{hour}"));
    for _ in 0..limits::PAUSES {
        let kept = host.memory().statuses.find(name, hour);
        if let Some(kept) = kept.as_ref().filter(|kept| kept.will_do(zone, now)) {
            return Ok(Arc::clone(kept));
        }
        let Some(_alone) = host.memory().flight(&format!("{name}/{copy}"), now) else {
            host.pause(limits::PAUSE_MILLIS).await;
            continue;
        };
        let mut built = kept.map(Arc::unwrap_or_clone).unwrap_or_default();
        built.learn(host.published(name, &copy).await, now);
        if !built.will_do(zone, now) {
            match rebuild(host, zone, hour, built.found.clone(), now).await {
                Ok(newer) => {
                    built = newer;
                    let bytes = serde_json::to_vec(&built).unwrap_or_default();
                    let expires = entry(hour, ENDED, now).expires;
                    // A copy is a convenience: without it, whoever comes next lists more.
                    let _ = host.publish(name, &copy, &bytes, expires).await;
                }
                Err(_) if built.may_be_served(now) => built.failed = now,
                Err(unavailable) => return Err(unavailable),
            }
        }
        built.describe();
        let built = host.memory().statuses.keep(name, hour, built, now);
        let old = || Unavailable(format!("the status of hour {hour} was not listed to its end"));
        return if built.may_be_served(now) { Ok(built) } else { Err(old()) };
    }
    Err(Unavailable(format!("the status of hour {hour} is being listed by another request")))
}

impl Built {
    /// Whether it is good enough while the store does not answer. One from the future, as a clock that was
    /// set back makes it, is of no age.
    fn may_be_served(&self, now: Timestamp) -> bool {
        (0..limits::STATUS_STALE_SECS).contains(&now.since(self.as_of))
    }

    /// Whether nothing has to be asked for this request. A change of the zone is seen at once.
    fn will_do(&self, zone: &Active, now: Timestamp) -> bool {
        let fresh = 0..limits::STATUS_FRESH_SECS;
        let whole = !self.found.unfinished && self.found.seq >= zone.snapshot.seq;
        (whole && fresh.contains(&now.since(self.as_of)))
            || (fresh.contains(&now.since(self.failed)) && self.may_be_served(now))
    }

    /// What it takes in memory, about: both documents, and the names that they were made of.
    pub(super) fn bytes(&self) -> usize {
        let found = &self.found;
        let cut = found.cut_offs.values().map(|cut| cut.sessions.len()).sum::<usize>();
        let names = found.entries().saturating_add(cut);
        let documents = self.feed.len().saturating_add(self.jwt.len());
        names.saturating_mul(NAME_BYTES).saturating_add(documents)
    }

    /// Takes over a copy that is newer. One that cannot be read, or comes from the future, is none.
    fn learn(&mut self, copy: Result<Option<Vec<u8>>, Unavailable>, now: Timestamp) {
        let Some(copy) = copy.ok().flatten() else { return };
        let Ok(copy) = serde_json::from_slice::<Self>(&copy) else { return };
        let whole = |built: &Self| built.found.complete || built.found.full;
        let newer = copy.as_of <= now && copy.as_of > self.as_of;
        if newer && (whole(&copy) || !whole(self)) {
            *self = copy;
        }
    }

    /// Writes the feed. It says nothing of when it was made, so that its tag changes with what it says.
    fn describe(&mut self) {
        let found = &self.found;
        let shown = !found.all;
        let hop = |hop: &String| -> Value {
            hop.split_once(' ').map(|(session, hop)| json!([session, hop])).into()
        };
        let sessions: BTreeSet<&String> = found.dead().filter(|_| shown).collect();
        let hops: Vec<Value> = found.hops.iter().filter(|_| shown).map(hop).collect();
        let ttl = limits::STATUS_TTL_SECS;
        self.feed =
            json!({ "ttl": ttl, "all": found.all, "sessions": sessions, "hops": hops }).to_string();
        let hash = sha256(self.feed.as_bytes());
        self.etag = format!("\"{}\"", base64url(hash.get(..16).unwrap_or_default()));
    }
}

/// Lists what is to be listed, and signs the list.
async fn rebuild<H: Host>(
    host: &H,
    zone: &Active,
    hour: i64,
    mut found: Found,
    now: Timestamp,
) -> Result<Built, Unavailable> {
    if !found.full {
        advance(host, zone, hour, &mut found, now).await?;
        follow(host, zone, &mut found, now).await?;
    }
    found.seq = zone.snapshot.seq;
    if found.entries() > limits::STATUS_ENTRIES {
        found = Found { seq: found.seq, full: true, ..Found::default() };
    }
    let ruled = zone
        .snapshot
        .cut_offs
        .iter()
        .any(|(named, cut_off)| matters(zone, cut_off, now) && looked_up(named).is_none());
    found.all = found.full
        || !found.complete
        || ruled
        || found.cut_offs.values().any(|cut| !cut.seen)
        || is_emergency(zone, now);
    let behind = found.cut_offs.values().any(Followed::is_behind);
    found.unfinished = !found.full && (!found.complete || behind);
    // That everything has to be asked about is so at any time.
    let as_of = if found.all { now } else { found.listed };
    let jwt = sign(host, zone, hour, &found, as_of, now).await?;
    Ok(Built { as_of, jwt, found, ..Built::default() })
}

/// Lists the entries of an hour: a page of all, and all that is new where that is known to be the rest.
async fn advance<H: Host>(
    host: &H,
    zone: &Active,
    hour: i64,
    found: &mut Found,
    now: Timestamp,
) -> Result<(), Unavailable> {
    let name = hour.to_string();
    let begun = found.everything.is_none();
    let begins = if found.complete { found.news.is_none() } else { begun };
    if begins {
        found.began = now;
    }
    let mut whole = false;
    let mut pages = 0..limits::STATUS_PAGES;
    for number in pages.by_ref() {
        let after = found.everything.clone();
        let page = match page(host, zone, INDEX, &name, Timestamp(0), after).await {
            // As far as the platform allows: the next request goes on.
            Err(_) if number > 0 => return Ok(()),
            page => page?,
        };
        found.everything = page.next;
        page.entries.into_iter().for_each(|entry| found.take(entry));
        if found.everything.is_none() {
            whole = begun || !found.complete;
            found.complete = true;
        }
        if found.complete {
            break;
        }
    }
    while found.complete && !whole && pages.next().is_some() {
        let from = found.listed.plus(-limits::STATUS_OVERLAP_SECS);
        let after = found.news.clone();
        let Ok(page) = page(host, zone, INDEX, &name, from, after).await else { return Ok(()) };
        found.news = page.next;
        page.entries.into_iter().for_each(|entry| found.take(entry));
        whole = found.news.is_none();
    }
    if whole {
        (found.listed, found.news) = (found.began, None);
    }
    Ok(())
}

impl Found {
    /// How many ends and revocations there are.
    fn entries(&self) -> usize {
        self.sessions.len().saturating_add(self.hops.len())
    }

    /// The sessions that ended, and those of which a token may be cut off.
    fn dead(&self) -> impl Iterator<Item = &String> {
        self.sessions.iter().chain(self.cut_offs.values().flat_map(|cut| &cut.sessions))
    }

    fn take(&mut self, entry: Listed) {
        if entry.key == ENDED {
            self.sessions.insert(entry.session);
        } else if let Some(hop) = entry.key.strip_prefix(REVOKED) {
            self.hops.insert(format!("{} {hop}", entry.session));
        }
    }
}

/// Lists the sessions of users and applications that were cut off. Which of them are of this hour is not
/// known, so all are in.
async fn follow<H: Host>(
    host: &H,
    zone: &Active,
    found: &mut Found,
    now: Timestamp,
) -> Result<(), Unavailable> {
    let known = std::mem::take(&mut found.cut_offs);
    let mut cuts: Vec<(&Named, &CutOff, Followed)> = zone
        .snapshot
        .cut_offs
        .iter()
        .filter(|(named, cut_off)| matters(zone, cut_off, now) && looked_up(named).is_some())
        .map(|(named, cut_off)| {
            let earlier = known.get(named).filter(|earlier| earlier.seq == cut_off.seq);
            let mut cut = earlier.cloned().unwrap_or_else(|| Followed::of(cut_off, zone));
            cut.due = !cut.done && now > settled(cut_off);
            (named, cut_off, cut)
        })
        .collect();
    // As long as one is unseen, every token has to be asked about. The others take turns.
    cuts.sort_by_key(|(_, _, cut)| (cut.seen, cut.read));
    let mut pages = 0..limits::STATUS_PAGES_CUT_OFF;
    for (named, cut_off, cut) in &mut cuts {
        let Some((which, id)) = looked_up(named) else { continue };
        while cut.is_wanted() && pages.next().is_some() {
            let page = match page(host, zone, which, id, cut.from, cut.after.clone()).await {
                // Until it is seen, every token has to be asked about.
                Err(_) if !cut.seen => break,
                page => page?,
            };
            if cut.after.is_none() {
                cut.began = now;
            }
            cut.read = now;
            if cut.take(cut_off, page) {
                break;
            }
        }
    }
    let mut room = limits::STATUS_ENTRIES.saturating_sub(found.entries());
    for (_, _, cut) in &mut cuts {
        match room.checked_sub(cut.sessions.len()) {
            Some(left) => room = left,
            None => cut.give_up(),
        }
    }
    found.cut_offs = cuts.into_iter().map(|(named, _, cut)| (named.clone(), cut)).collect();
    Ok(())
}

/// The instant after which nothing that was decided before the cut-off is recorded, by any clock.
fn settled(cut_off: &CutOff) -> Timestamp {
    cut_off.at.plus(limits::STATUS_SETTLE_SECS)
}

/// The index that knows the sessions of whoever was cut off. There is none by rule.
fn looked_up(named: &Named) -> Option<(&'static str, &str)> {
    let (kind, id) = named.parts()?;
    let which = ["user", "application"].into_iter().find(|which| *which == kind)?;
    Some((which, id))
}

/// Whether a token of before the cut-off may be alive otherwise.
fn matters(zone: &Active, cut_off: &CutOff, now: Timestamp) -> bool {
    now.since(cut_off.at) <= longest(zone)
}

/// The longest life of a token, on all clocks, and what verifiers allow beyond it.
fn longest(zone: &Active) -> i64 {
    let longest = zone.snapshot.longest_secs.max(zone.bundle.session_secs);
    longest.saturating_add(limits::STATUS_SETTLE_SECS).saturating_add(limits::LEEWAY_SECS)
}

/// Whether verifiers may have the keys of before an emergency. What those signed has to be asked about, and
/// who sees this list's new key asks for the key set.
fn is_emergency(zone: &Active, now: Timestamp) -> bool {
    let first = zone.snapshot.keys.values().map(|key| key.from).min();
    zone.snapshot.floor > 0
        && first.is_some_and(|first| now.since(first) < limits::STATUS_EMERGENCY_SECS)
}

async fn page<H: Host>(
    host: &H,
    zone: &Active,
    which: &str,
    name: &str,
    from: Timestamp,
    after: Option<String>,
) -> Result<Page, Unavailable> {
    let (index, name) = (which.to_owned(), name.to_owned());
    let listing = Listing { index, name, from, after, limit: limits::LIST_ENTRIES };
    host.list(&zone.bundle.zone, &listing).await
}

/// The list as a token (draft §5.1).
async fn sign<H: Host>(
    host: &H,
    zone: &Active,
    hour: i64,
    found: &Found,
    as_of: Timestamp,
    now: Timestamp,
) -> Result<String, Unavailable> {
    let bundle = &zone.bundle;
    let hops = found.hops.iter().filter_map(|hop| hop.split_once(' '));
    let sessions = found.dead().map(String::as_str).chain(hops.map(|(session, _)| session));
    let lst = list::lst(sessions.map(|session| index(&bundle.zone, session, hour)), found.all);
    let no_key = || Unavailable(format!("zone `{}` has no signing key", bundle.zone));
    let (kid, _) = zone.snapshot.signing(bundle.algorithm, now).ok_or_else(no_key)?;
    let claims = json!({
        "iss": bundle.issuer,
        "sub": uri(bundle, hour),
        "iat": as_of,
        "exp": as_of.plus(limits::STATUS_STALE_SECS),
        "ttl": limits::STATUS_TTL_SECS,
        "status_list": { "bits": 1, "lst": lst },
    });
    jwt::sign(host, &bundle.zone, bundle.algorithm, kid, TYP, claims).await
}

/// Bytes that a name takes in a set, about: a session's has 43, a hop's as many more.
const NAME_BYTES: usize = 128;
