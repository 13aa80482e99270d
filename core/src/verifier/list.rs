//! Status lists (draft-ietf-oauth-status-list): what a zone publishes of the sessions that were ended.
//!
//! A list is the zone's own, signed by its keys and fetched from its origin; no other one counts, and a
//! bad one never replaces a good one. An old list that says of an entry that it is dead is believed, since
//! sessions do not come back; what it says of the others is worth nothing once its time is over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::rejected::{Check, Fault, Reason};
use super::{Status, Verifier, inflate, malformed};
use crate::encoding::from_base64url;
use crate::host::{Outside, Unavailable};
use crate::jwt::{self, Claims, Unverified, Verdict};
use crate::keyset;
use crate::limits;
use crate::memory::lock;
use crate::moment::Timestamp;

/// The header's `typ` (§5.1).
const TYP: &str = "statuslist+jwt";

/// The lists that an instance remembers, by URI.
#[derive(Default)]
pub(crate) struct Lists(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    /// The newest of each that was read.
    lists: HashMap<String, Arc<List>>,
    /// When none could be had: a map of its own, so that a failure displaces nothing that is known.
    failed: HashMap<String, Timestamp>,
}

/// A list that was verified.
struct List {
    /// The entries, the first in the lowest bits of the first byte (§4.1).
    entries: Vec<u8>,
    /// Bits of an entry: 1, 2, 4 or 8.
    width: usize,
    /// When the zone made it.
    issued: Timestamp,
    /// Until then nobody asks for a newer one.
    fresh: Timestamp,
    /// Until then it counts, where no newer one is to be had.
    ends: Timestamp,
}

/// What is known of a token's revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The token names no list, and none is required: it is good until it expires.
    Unlisted,
    /// It names one, and nobody looked ([`Status::Ignored`]).
    Ignored,
    /// The list, made at that instant, says that it is alive.
    Alive(Timestamp),
    /// The list cannot be had, and why ([`Status::Preferred`]).
    Unknown(String),
}

/// Looks a token up.
pub(super) async fn standing<O: Outside>(
    outside: &O,
    verifier: &Verifier,
    claims: &Claims,
    now: Timestamp,
) -> Result<Standing, Fault> {
    let Some(status) = claims.get("status") else {
        return match verifier.status {
            // Every token of a zone names one. Who leaves it out has stolen the key that signed it, and
            // would be believed for as long as that key is remembered.
            Status::Required => Err(Reason::StatusMalformed.with("it has no `status`")),
            Status::Preferred | Status::Ignored => Ok(Standing::Unlisted),
        };
    };
    if verifier.status == Status::Ignored {
        return Ok(Standing::Ignored);
    }
    let (uri, index) = reference(status, &verifier.issuer)
        .ok_or_else(|| Reason::StatusMalformed.with("its `status` names no list of its issuer"))?;
    let (list, fault) = current(outside, verifier, uri, now).await;
    if let Some(list) = &list {
        match list.entry(index) {
            Some(0) => {}
            Some(_) => return Err(Reason::Revoked.with(format!("entry {index} of `{uri}` is set"))),
            // §8.3: an entry that is not there makes the token one that is no good.
            None => return Err(Reason::StatusMalformed.with("its list has no such entry")),
        }
    }
    match (list, fault, verifier.status) {
        (Some(list), fault, _) if fault.is_none() || now < list.ends => {
            Ok(Standing::Alive(list.issued))
        }
        (_, fault, Status::Preferred) => {
            Ok(Standing::Unknown(fault.map(|fault| fault.0).unwrap_or_default()))
        }
        (_, fault, _) => {
            let none = || Unavailable("there is no list".to_owned());
            Err(Fault::Unknown(Check::Status, fault.unwrap_or_else(none)))
        }
    }
}

/// List and entry that a token names (§6.1): a list of the issuer's own, by a plain URL.
fn reference<'a>(status: &'a Value, issuer: &str) -> Option<(&'a str, usize)> {
    let list = status.get("status_list")?;
    let uri = list.get("uri")?.as_str()?;
    let index = usize::try_from(list.get("idx")?.as_u64()?).ok()?;
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    let own = uri.strip_prefix(issuer)?.starts_with('/') && uri.bytes().all(plain);
    (own && uri.len() <= limits::NAME_BYTES).then_some((uri, index))
}

/// The best list there is, and, where that is older than it should be, why there is no newer one.
async fn current<O: Outside>(
    outside: &O,
    verifier: &Verifier,
    uri: &str,
    now: Timestamp,
) -> (Option<Arc<List>>, Option<Unavailable>) {
    let lists = &outside.memory().verifier.lists;
    let flight = format!("list {uri}");
    for _ in 0..limits::PAUSES {
        let (known, failed) = lists.get(uri);
        if known.as_ref().is_some_and(|list| now < list.fresh) {
            return (known, None);
        }
        // Also where this request began before the one that failed.
        if failed.is_some_and(|at| now.since(at).saturating_abs() < limits::LIST_RETRY_SECS) {
            let why = format!("the list `{uri}` could not be had a moment ago");
            return (known, Some(Unavailable(why)));
        }
        let Some(_alone) = outside.memory().flight(&flight, now) else {
            // Nobody waits for a newer one while this one counts: a zone may take its time to fail.
            if known.as_ref().is_some_and(|list| now < list.ends) {
                return (known, None);
            }
            outside.pause(limits::PAUSE_MILLIS).await;
            continue;
        };
        return match fetch(outside, verifier, uri, now).await {
            Ok(list) => (Some(lists.keep(uri, list)), None),
            Err(unavailable) => (lists.fail(uri, now), Some(unavailable)),
        };
    }
    let why = format!("the list `{uri}` is being fetched by another request");
    (lists.get(uri).0, Some(Unavailable(why)))
}

impl Lists {
    /// The newest list, and when a newer one could not be had.
    fn get(&self, uri: &str) -> (Option<Arc<List>>, Option<Timestamp>) {
        let remembered = lock(&self.0);
        (remembered.lists.get(uri).cloned(), remembered.failed.get(uri).copied())
    }

    /// Keeps a list that was just read. An older one than is known, which some cache on the way had
    /// left, only says that what is known is still as good as what would be answered.
    fn keep(&self, uri: &str, mut list: List) -> Arc<List> {
        let mut remembered = lock(&self.0);
        remembered.failed.remove(uri);
        let lists = &mut remembered.lists;
        if let Some(known) = lists.get(uri) {
            if known.issued > list.issued {
                let (entries, width) = (known.entries.clone(), known.width);
                list = List { entries, width, issued: known.issued, ..list };
            }
        } else if lists.len() >= limits::LISTS {
            // One makes room: the one that nobody asked for the longest.
            let oldest = lists.iter().min_by_key(|(_, list)| list.ends);
            if let Some(oldest) = oldest.map(|(uri, _)| uri.clone()) {
                lists.remove(&oldest);
            }
        }
        let list = Arc::new(list);
        lists.insert(uri.to_owned(), Arc::clone(&list));
        list
    }

    /// Takes note that no list could be had, by a request that began at `now`, and answers with the
    /// last one.
    fn fail(&self, uri: &str, now: Timestamp) -> Option<Arc<List>> {
        let mut remembered = lock(&self.0);
        if remembered.failed.len() >= limits::LISTS {
            // Forgetting these costs fetches, and no list.
            remembered.failed.clear();
        }
        remembered.failed.insert(uri.to_owned(), now);
        remembered.lists.get(uri).cloned()
    }
}

impl List {
    /// The value of an entry; `None` past the end.
    fn entry(&self, index: usize) -> Option<u8> {
        let bit = index.checked_mul(self.width)?;
        let byte = *self.entries.get(bit / 8)?;
        let shift = u32::try_from(bit % 8).ok()?;
        let mask = 0xff_u8.checked_shr(u32::try_from(8_usize.checked_sub(self.width)?).ok()?)?;
        Some(byte.checked_shr(shift)? & mask)
    }
}

/// Fetches a list and verifies it.
async fn fetch<O: Outside>(
    outside: &O,
    verifier: &Verifier,
    uri: &str,
    now: Timestamp,
) -> Result<List, Unavailable> {
    let fault = |what: &str| Unavailable(format!("the list `{uri}`: {what}"));
    let body = keyset::page(outside, uri, verifier.danger_allow_http_loopback).await?;
    let text = std::str::from_utf8(&body).map_err(|_| fault("it is no text"))?;
    let token = Unverified::parse_within(text, limits::FETCH_BYTES)
        .map_err(|what| fault(&malformed(&what)))?;
    if token.typ != TYP {
        return Err(fault("it is no status list"));
    }
    let key = verifier.key(outside, &token, now).await?;
    let key = key.ok_or_else(|| fault("its key is none of the zone's"))?;
    match jwt::verify(outside, token, &key).await? {
        Verdict::Verified(claims) => read(&claims, verifier, uri, now).map_err(fault),
        Verdict::Forged => Err(fault("its signature is not the zone's")),
        Verdict::Malformed(what) => Err(fault(&what)),
    }
}

/// Takes a list apart (§5.1).
fn read(
    claims: &Claims,
    verifier: &Verifier,
    uri: &str,
    now: Timestamp,
) -> Result<List, &'static str> {
    if claims.text("sub") != Some(uri) {
        return Err("it is another list");
    }
    if claims.get("iss").is_some() && claims.text("iss") != Some(&verifier.issuer) {
        return Err("it is another issuer's");
    }
    let seconds = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or("a time in it is no whole number of seconds"),
    };
    let issued = Timestamp(seconds("iat")?.ok_or("it does not say when it was made")?);
    if issued > now.plus(limits::LEEWAY_SECS) {
        return Err("it was made in the future");
    }
    let most = limits::LIST_SECS;
    let ttl = seconds("ttl")?.unwrap_or(most).clamp(1, most);
    // Counted from when the zone made it, as it lay in caches since; but where it was made long ago, or
    // by a clock far behind ours, it is not asked for by every caller.
    let fresh = issued.min(now).plus(ttl).max(now.plus(limits::LIST_COOLDOWN_SECS));
    let ends = match seconds("exp")?.map(Timestamp) {
        // Clocks differ by so much, and no more.
        Some(end) if end.plus(limits::LEEWAY_SECS) <= now => return Err("it has expired"),
        Some(end) => end.plus(limits::LEEWAY_SECS).min(now.plus(most)),
        None => fresh,
    };
    let list = claims.get("status_list").ok_or("it has no list")?;
    let width = match list.get("bits").and_then(Value::as_u64) {
        Some(1) => 1,
        Some(2) => 2,
        Some(4) => 4,
        Some(8) => 8,
        _ => return Err("its entries have no width that there is"),
    };
    let packed = list.get("lst").and_then(Value::as_str).and_then(from_base64url);
    let packed = packed.ok_or("its entries are not base64url")?;
    let entries = inflate::zlib(&packed, limits::LIST_BYTES);
    let entries = entries.ok_or("its entries cannot be unpacked, or are too many")?;
    Ok(List { entries, width, issued, fresh: fresh.min(ends), ends })
}
