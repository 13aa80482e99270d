//! What verifiers look up who do not ask us about each token: Token Status Lists
//! (draft-ietf-oauth-status-list) and a feed of what ended, one of each for every hour.
//!
//! A session belongs to the list of one hour, and has one index in it; both follow from what all of its
//! hops agree upon, stand in each of its tokens, and are kept nowhere else but in its opening. An end and a
//! revocation leave an entry in the index under that hour, in their own commit. A set bit means that a token
//! is no good or has to be asked about: two sessions may share one. Nothing here decides anything of ours.
//!
//! What is served may be old, by as much as it says, and never younger than that.

mod build;
pub mod list;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::active::Active;
use crate::bundle::Bundle;
use crate::encoding::tagged_hash;
use crate::host::{Entry, Host};
use crate::http::{Request, Response};
use crate::limits;
use crate::memory::lock;
use crate::moment::Timestamp;
use crate::refusal::{Failure, Reason, Refusal};

use self::build::Built;

/// The claim `status` of a token (draft §6.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Where its session's bit is.
    pub status_list: Reference,
}

/// A list and an index in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The index of the bit, below [`limits::STATUS_BITS`].
    pub idx: u32,
    /// The list's URL.
    pub uri: String,
}

impl Status {
    /// The status of a session that is over by `last`, an instant that all of its hops agree upon.
    #[must_use]
    pub fn new(bundle: &Bundle, session: &str, last: Timestamp) -> Self {
        let hour = hour(last);
        let idx = index(&bundle.zone, session, hour);
        Self { status_list: Reference { idx, uri: uri(bundle, hour) } }
    }

    /// The hour that the list is named by.
    #[must_use]
    pub fn hour(&self) -> i64 {
        let name = self.status_list.uri.rsplit('/').next().unwrap_or_default();
        name.parse().unwrap_or_default()
    }
}

/// The hour of an instant, counted from 1970.
#[must_use]
pub const fn hour(at: Timestamp) -> i64 {
    at.0.div_euclid(HOUR_SECS)
}

/// The first instant after an hour.
#[must_use]
pub const fn hour_end(hour: i64) -> Timestamp {
    Timestamp(hour.saturating_add(1).saturating_mul(HOUR_SECS))
}

/// The index of a session in the list of `hour`: the first bits of a hash. Whoever has the token has the
/// index, and it says nothing of another session.
#[must_use]
pub fn index(zone: &str, session: &str, hour: i64) -> u32 {
    let parts = [zone.as_bytes(), session.as_bytes(), &hour.to_be_bytes()];
    let [first, second, third, ..] = tagged_hash("status", &parts);
    u32::from_be_bytes([0, first, second, third])
        .wrapping_shr(limits::STATUS_BITS.leading_zeros().saturating_sub(7))
}

/// The URL of the list of `hour`.
#[must_use]
pub fn uri(bundle: &Bundle, hour: i64) -> String {
    format!("{}/{LIST}{hour}", bundle.issuer)
}

/// The entry in the index of the fact `key`, which ends what tokens of this `hour` stand for.
#[must_use]
pub fn entry(hour: i64, key: &str, now: Timestamp) -> Entry {
    // A list is served until an hour after its own.
    let expires = hour_end(hour.saturating_add(1));
    Entry { index: INDEX, name: hour.to_string(), at: now, key: key.to_owned(), expires }
}

/// The documents of an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// The Token Status List, signed.
    List(i64),
    /// The feed: sessions and hops by name.
    Feed(i64),
}

impl Document {
    /// The document of a path without its leading slash.
    #[must_use]
    pub fn find(path: &str) -> Option<Self> {
        let hour = |name: &str| {
            let hour: i64 = name.parse().ok()?;
            (hour.to_string() == name).then_some(hour)
        };
        let list = path.strip_prefix(LIST).and_then(hour).map(Self::List);
        list.or_else(|| path.strip_prefix(FEED).and_then(hour).map(Self::Feed))
    }

    /// What the event calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::List(_) => "status",
            Self::Feed(_) => "revocations",
        }
    }
}

/// Answers with a document.
///
/// # Errors
///
/// No token can be of that hour; or the store does not answer, and there is nothing young enough to go on
/// with.
pub async fn answer<H: Host>(
    host: &H,
    zone: &Active,
    document: Document,
    request: &Request,
    now: Timestamp,
) -> Result<Response, Failure> {
    let (Document::List(number) | Document::Feed(number)) = document;
    if !can_matter(zone, number, now) {
        let what = format!("no token names hour {number}");
        return Err(Refusal::request(Reason::NotFound, what).into());
    }
    let built = build::current(host, zone, number, now).await?;
    let age = now.since(built.as_of).max(0);
    let left = limits::STATUS_TTL_SECS.saturating_sub(age).max(limits::STATUS_RETRY_SECS);
    let cache = ("cache-control", format!("public, max-age={left}"));
    if matches!(document, Document::List(_)) {
        let media = ("content-type", format!("application/{TYP}"));
        let body = built.jwt.clone().into_bytes();
        return Ok(Response { status: 200, headers: vec![media, cache], body });
    }
    let mut headers = vec![cache, ("etag", built.etag.clone())];
    // RFC 9110 §13.1.2: compared weakly, and `*` is any.
    let mut known = request.header("if-none-match").flat_map(|tags| tags.split(','));
    let same = |tag: &str| tag.trim_start_matches("W/") == built.etag || tag == "*";
    if known.any(|tag| same(tag.trim())) {
        return Ok(Response { status: 304, headers, body: Vec::new() });
    }
    headers.push(("content-type", "application/json".to_owned()));
    Ok(Response { status: 200, headers, body: built.feed.clone().into_bytes() })
}

/// Whether tokens of `hour` can be alive. One that expired may still be looked up by a clock that is behind.
fn can_matter(zone: &Active, number: i64, now: Timestamp) -> bool {
    let longest = zone.snapshot.longest_secs.max(zone.bundle.session_secs);
    // A proof may live for longer than what rests on it, and the list is named by the proof's end.
    let last = now.plus(longest.max(limits::ISSUER_TOKEN_SECS)).plus(limits::LEEWAY_SECS);
    (hour(now.plus(-HOUR_SECS))..=hour(last)).contains(&number)
}

/// The documents that an instance remembers, by zone and hour.
#[derive(Default)]
pub struct Kept(Mutex<HashMap<(String, i64), Arc<Built>>>);

impl Kept {
    fn find(&self, zone: &str, hour: i64) -> Option<Arc<Built>> {
        lock(&self.0).get(&(zone.to_owned(), hour)).cloned()
    }

    fn keep(&self, zone: &str, number: i64, built: Built, now: Timestamp) -> Arc<Built> {
        let built = Arc::new(built);
        let mut kept = lock(&self.0);
        kept.retain(|(_, other), _| *other >= hour(now).saturating_sub(1));
        kept.insert((zone.to_owned(), number), Arc::clone(&built));
        // The nearest hours are asked for most.
        while kept.values().map(|built| built.bytes()).sum::<usize>() > limits::STATUS_BYTES {
            let farthest = kept.keys().max_by_key(|(_, hour)| *hour).cloned();
            let Some(_gone) = farthest.and_then(|farthest| kept.remove(&farthest)) else { break };
        }
        built
    }
}

/// The index that facts are entered in.
pub const INDEX: &str = "revoked";
/// The `typ` of a list (draft §5.1), and its media type without the prefix.
pub const TYP: &str = "statuslist+jwt";
/// What the path of a list begins with.
const LIST: &str = "status/";
/// What the path of a feed begins with.
const FEED: &str = "revocations/";
/// A list is of one hour: a day's sessions of 12 hours are in 36 of them, and an entry is forgotten two
/// hours after it ceased to matter at the latest.
const HOUR_SECS: i64 = 3_600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x13_of_more_lists_than_are_remembered_the_farthest_hours_are_forgotten() {
        let (kept, now) = (Kept::default(), Timestamp(1_800_000_000));
        let nearest = hour(now);
        for number in [nearest + 2, nearest, nearest + 1] {
            let mut built = Built::default();
            built.jwt = "x".repeat(limits::STATUS_BYTES / 3 + 1);
            kept.keep("one", number, built, now);
        }
        let known = |number| kept.find("one", number).is_some();
        assert_eq!([0, 1, 2].map(|ahead| known(nearest + ahead)), [true, true, false]);
        // One that is too large for all of it is answered with, and not kept.
        let mut built = Built::default();
        built.jwt = "x".repeat(limits::STATUS_BYTES + 1);
        assert!(built.bytes() > limits::STATUS_BYTES);
        kept.keep("one", nearest + 3, built, now);
        assert!(!known(nearest + 3) && known(nearest));
    }
}
