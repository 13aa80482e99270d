//! The zone's signing keys over time.
//!
//! The snapshot says of each key from when on it signs and until when it verifies, so a key takes
//! over and leaves by the clock of each request, and nobody has to be awake for it. A new key is
//! published before it signs, for as long as verifiers cache a key set; an old one stays until the
//! last token that it can have signed has expired. After an emergency there is only the new one.
//!
//! A rotation is of one algorithm. The key of another one has no successor, so it has no end: it
//! verifies what it signed, and signs again when a bundle that asks for its algorithm comes back.

use serde::{Deserialize, Serialize};

use crate::active::{self, Snapshot, ZoneKey};
use crate::encoding::{base64url, from_base64url};
use crate::host::{Host, NewKey, Range, Record, Unavailable, Write};
use crate::jwk::Algorithm;
use crate::limits;
use crate::moment::{Moment, Timestamp};
use crate::publish::{NEVER, change};
use crate::refusal::{Failure, Reason, Refusal};
use crate::strong;

/// A private key of a zone, sealed, as its partition holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrappedKey {
    /// The algorithm it signs with.
    pub algorithm: Algorithm,
    /// The key as [`crate::sealed`] describes it, base64url.
    pub wrapped: String,
}

impl WrappedKey {
    /// The sealed bytes.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        from_base64url(&self.wrapped)
    }
}

/// The record of a sealed key.
#[must_use]
pub fn key_record(kid: &str) -> String {
    format!("key/{kid}")
}

/// Reads the sealed key `kid` of `zone` from the host's store.
///
/// # Errors
///
/// The store does not answer, or holds no such key.
pub async fn wrapped<H: Host>(
    host: &H,
    zone: &str,
    kid: &str,
) -> Result<(Algorithm, Vec<u8>), Unavailable> {
    let wanted = key_record(kid);
    let records = strong::read(host, &active::partition(zone), Range::of(&wanted)).await?;
    let record = records
        .into_iter()
        .find(|record| record.key == wanted)
        .ok_or_else(|| Unavailable(format!("the store holds no signing key `{kid}`")))?;
    let unreadable = || Unavailable(format!("the record of signing key `{kid}` is unreadable"));
    let wrapped: WrappedKey = serde_json::from_slice(&record.value).map_err(|_| unreadable())?;
    Ok((wrapped.algorithm, wrapped.bytes().ok_or_else(unreadable)?))
}

/// How a new key takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// Published now, signs when every cached key set has it. Where one is on its way already,
    /// nothing changes.
    Planned,
    /// Signs from now on: for a zone's first key. Verifiers that cache key sets do not know it yet.
    AtOnce,
    /// Signs from now on, and no other key is left: what they signed is worth nothing any more.
    Emergency,
}

/// A key that was put to use.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotated {
    /// Its id.
    pub kid: String,
    /// The key, with the instant from which on it signs.
    pub key: ZoneKey,
    /// The snapshot after it.
    pub snapshot: Snapshot,
}

/// Makes a new key for `zone` and puts it to use.
///
/// # Errors
///
/// The host cannot make a key of `algorithm`, too many keys are still needed, or the store does not
/// take it.
pub async fn rotate<H: Host>(
    host: &H,
    zone: &str,
    algorithm: Algorithm,
    rotation: Rotation,
    moment: &Moment,
) -> Result<Rotated, Failure> {
    let (snapshot, _) = active::snapshot(host, zone).await?;
    if let Some(coming) = coming(&snapshot, algorithm, rotation, moment.now) {
        let (kid, key) = coming;
        return Ok(Rotated { kid: kid.clone(), key: key.clone(), snapshot });
    }
    let key = host.generate(zone, algorithm).await?;
    put_to_use(host, zone, algorithm, key, rotation, moment).await
}

/// Puts a key to use that the host has sealed.
///
/// # Errors
///
/// The key has no `kid`, too many keys are still needed, or the store does not take it.
pub async fn put_to_use<H: Host>(
    host: &H,
    zone: &str,
    algorithm: Algorithm,
    key: NewKey,
    rotation: Rotation,
    moment: &Moment,
) -> Result<Rotated, Failure> {
    let kid = key.public.kid.clone();
    let kid = kid.ok_or_else(|| Unavailable("the key has no `kid`".to_owned()))?;
    let value = WrappedKey { algorithm, wrapped: base64url(&key.wrapped) };
    let value = serde_json::to_vec(&value).map_err(|error| Unavailable(error.to_string()))?;
    let record = Record { key: key_record(&kid), value, expires: NEVER, version: 0 };
    let now = moment.now;
    let snapshot = change(host, zone, moment, &kid, |snapshot| {
        if coming(snapshot, algorithm, rotation, now).is_some() {
            return Ok(None);
        }
        let signs_now = snapshot.signing(algorithm, now).is_some();
        let from = match rotation {
            Rotation::Planned if signs_now => now.plus(limits::KEY_LEAD_SECS),
            // It signs after the one before it, even if that one began a moment ago.
            Rotation::AtOnce if signs_now => now,
            // Nothing else signs: an instance whose clock is behind must not have to wait.
            Rotation::Planned | Rotation::AtOnce | Rotation::Emergency => {
                now.plus(limits::LEEWAY_SECS.saturating_neg())
            }
        };
        let mut writes = retire(snapshot, algorithm, rotation, from, now);
        if rotation == Rotation::Emergency {
            // The change itself raises `seq` by one: what is decided from then on bears it.
            snapshot.floor = snapshot.seq.saturating_add(1);
        }
        let entry = ZoneKey { algorithm, public: key.public.clone(), from, until: None };
        snapshot.keys.insert(kid.clone(), entry);
        if snapshot.keys.len() > limits::ZONE_KEYS {
            let most = limits::ZONE_KEYS;
            let what = format!(
                "zone `{zone}` has {most} keys whose tokens are still valid; rotate less often"
            );
            return Err(Refusal::request(Reason::OperatorConflict, what).into());
        }
        writes.push(Write::Put(record.clone()));
        Ok(Some(writes))
    })
    .await?;
    let used = snapshot.keys.get(&kid).map(|key| (kid.clone(), key.clone()));
    let other = || {
        let (kid, key) = coming(&snapshot, algorithm, rotation, now)?;
        Some((kid.clone(), key.clone()))
    };
    let (kid, key) = used.or_else(other).ok_or_else(|| {
        Unavailable(format!("zone `{zone}` is being changed by somebody else; try again"))
    })?;
    Ok(Rotated { kid, key, snapshot })
}

/// The key that a planned rotation put on its way before.
fn coming(
    snapshot: &Snapshot,
    algorithm: Algorithm,
    rotation: Rotation,
    now: Timestamp,
) -> Option<(&String, &ZoneKey)> {
    let waits = |key: &ZoneKey| key.algorithm == algorithm && key.from > now;
    let mut waiting = snapshot.keys.iter().filter(|(_, key)| waits(key));
    waiting.next().filter(|_| rotation == Rotation::Planned)
}

/// Gives the algorithm's present keys their end, and drops those that nobody needs: past their end,
/// overtaken before they signed, or, in an emergency, all of them, of every algorithm.
fn retire(
    snapshot: &mut Snapshot,
    algorithm: Algorithm,
    rotation: Rotation,
    from: Timestamp,
    now: Timestamp,
) -> Vec<Write> {
    let margin = limits::LEEWAY_SECS.saturating_add(limits::CLAIM_MARGIN_SECS);
    let end = from.max(now).plus(snapshot.longest_secs).plus(margin);
    let signing = snapshot.signing(algorithm, now).map(|(kid, _)| kid.clone());
    let mut writes = Vec::new();
    snapshot.keys.retain(|kid, key| {
        let over = key.until.is_some_and(|until| until <= now);
        let unused = key.algorithm == algorithm && key.from > now;
        if over || unused || rotation == Rotation::Emergency {
            writes.push(Write::Forget(key_record(kid)));
            return false;
        }
        if key.algorithm == algorithm {
            key.until = Some(match key.until {
                None => end,
                // It has a successor that it outlives: the one that never comes now.
                Some(until) if Some(kid) == signing.as_ref() => until.max(end),
                // It has signed its last token.
                Some(until) => until,
            });
        }
        true
    });
    writes
}

/// Gives tokens of a longer life their time: whatever has an end was to verify for as long as a token
/// could live so far.
pub(crate) fn lengthen(snapshot: &mut Snapshot, session_secs: i64) {
    let more = session_secs.saturating_sub(snapshot.longest_secs);
    if more <= 0 {
        return;
    }
    snapshot.longest_secs = session_secs;
    for key in snapshot.keys.values_mut() {
        key.until = key.until.map(|until| until.plus(more));
    }
}
