//! The zone as it is now: its snapshot, and its active bundle compiled (design §4).
//!
//! A snapshot is used for 2 s after it was read; then the next request reads it again from the
//! store, and goes on with the old one for 3 s more where the store does not answer. The compiled
//! bundle is kept as long as the snapshot names it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bundle::Bundle;
use crate::deployment::Deployment;
use crate::event::Event;
use crate::host::{Host, Kind, Partition, Range, Unavailable};
use crate::jwk::{Algorithm, PublicKey};
use crate::limits;
use crate::moment::Timestamp;
use crate::policy::{self, Policies};
use crate::refusal::{Failure, Reason};
use crate::strong;

/// All that is read of a zone besides its bundle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Raised by every change.
    pub seq: u64,
    /// The active bundle's name.
    pub bundle: Option<String>,
    /// The `seq` of the change that made it the active one.
    #[serde(default)]
    pub activated: u64,
    /// The zone's keys, by `kid`.
    pub keys: BTreeMap<String, ZoneKey>,
    /// The longest life in seconds that a token can have had under any bundle so far.
    pub longest_secs: i64,
    /// A hop that was decided under an older `seq` is dead, whosever it is: that of the last
    /// emergency; 0 where there was none.
    #[serde(default)]
    pub floor: u64,
    /// Principals and rules that may do nothing until they are enabled again.
    pub disabled: BTreeSet<Named>,
    /// A hop that was decided under an older `seq` than its principal's or rule's is dead.
    pub cut_offs: BTreeMap<Named, CutOff>,
}

/// From which change of the zone on hops count again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutOff {
    /// Hops of an older `seq` are dead.
    pub seq: u64,
    /// When, so that it can be forgotten once every token of that time has expired.
    pub at: Timestamp,
}

/// One of the zone's keys, public.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneKey {
    /// The algorithm it signs with.
    pub algorithm: Algorithm,
    /// The public key.
    pub public: PublicKey,
    /// It signs from this instant on, until a later key does.
    pub from: Timestamp,
    /// It verifies until this instant, where its end is known: a later key of its algorithm signs.
    pub until: Option<Timestamp>,
}

impl ZoneKey {
    /// Whether a token that it signed may still be alive.
    #[must_use]
    pub fn verifies(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl Snapshot {
    /// The key that signs with `algorithm` at `now`, and its id: the latest whose time has come, if
    /// it verifies for as long as what it signs may live.
    #[must_use]
    pub fn signing(&self, algorithm: Algorithm, now: Timestamp) -> Option<(&String, &ZoneKey)> {
        let last = now.plus(self.longest_secs);
        let signs =
            |key: &ZoneKey| key.algorithm == algorithm && key.from <= now && key.verifies(last);
        let signing = self.keys.iter().filter(|(_, key)| signs(key));
        signing.max_by_key(|(_, key)| key.from)
    }
}

/// Somebody or something that can be disabled or cut off, written `kind=id`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Named(String);

impl Named {
    /// A user, by its id in tokens.
    #[must_use]
    pub fn user(id: &str) -> Self {
        Self(format!("user={id}"))
    }

    /// An application.
    #[must_use]
    pub fn application(id: &str) -> Self {
        Self(format!("application={id}"))
    }

    /// A rule.
    #[must_use]
    pub fn rule(id: &str) -> Self {
        Self(format!("rule={id}"))
    }

    /// What it is, and its id.
    #[must_use]
    pub fn parts(&self) -> Option<(&str, &str)> {
        self.0.split_once('=')
    }
}

/// A zone as requests use it.
pub struct Active {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// The instant that the snapshot was asked for: it is at most that old.
    pub as_of: Timestamp,
    /// The active bundle's name.
    pub name: String,
    /// The active bundle.
    pub bundle: Arc<Bundle>,
    /// Its policies, compiled.
    pub policies: Arc<Policies>,
    /// Its rules' ids by issuer row.
    pub rules: Arc<BTreeMap<String, Vec<String>>>,
    /// Its issuer rows by `iss`.
    pub issuers: Arc<BTreeMap<String, Vec<String>>>,
}

impl Active {
    /// Compiles a bundle for use under `snapshot`.
    ///
    /// # Errors
    ///
    /// A bundle whose policies do not compile, which publishing would have refused.
    pub fn new(
        snapshot: Snapshot,
        as_of: Timestamp,
        name: String,
        bundle: Bundle,
    ) -> Result<Self, Unavailable> {
        let policies = Policies::compile(&bundle).map_err(|faults| {
            let first = faults.first().map(ToString::to_string).unwrap_or_default();
            Unavailable(format!("bundle `{name}` does not compile: {first}"))
        })?;
        Ok(Self::with(snapshot, as_of, name, bundle, policies))
    }

    /// A bundle for use under `snapshot`, with its policies.
    fn with(
        snapshot: Snapshot,
        as_of: Timestamp,
        name: String,
        bundle: Bundle,
        policies: Policies,
    ) -> Self {
        let mut rules: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, rule) in &bundle.rules {
            rules.entry(rule.issuer.clone()).or_default().push(id.clone());
        }
        let mut issuers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (row, issuer) in &bundle.issuers {
            for iss in &issuer.issuer {
                issuers.entry(iss.clone()).or_default().push(row.clone());
            }
        }
        Self {
            issuers: Arc::new(issuers),
            snapshot,
            as_of,
            name,
            bundle: Arc::new(bundle),
            policies: Arc::new(policies),
            rules: Arc::new(rules),
        }
    }

    fn under(&self, snapshot: Snapshot, as_of: Timestamp) -> Self {
        Self {
            snapshot,
            as_of,
            name: self.name.clone(),
            bundle: Arc::clone(&self.bundle),
            policies: Arc::clone(&self.policies),
            rules: Arc::clone(&self.rules),
            issuers: Arc::clone(&self.issuers),
        }
    }

    /// Whether the snapshot is younger than `secs`. One from the future, as a clock that was set back
    /// makes it, is of no age that can be relied on.
    fn is_younger(&self, secs: i64, now: Timestamp) -> bool {
        (0..secs).contains(&now.since(self.as_of))
    }

    /// Whether a hop that `named` took part in, decided under `seq`, is dead.
    #[must_use]
    pub fn is_cut_off(&self, named: &Named, seq: u64) -> bool {
        self.snapshot.disabled.contains(named)
            || self.snapshot.cut_offs.get(named).is_some_and(|cut_off| seq < cut_off.seq)
    }

    /// Whether `named` may act now.
    #[must_use]
    pub fn is_disabled(&self, named: &Named) -> bool {
        self.snapshot.disabled.contains(named)
    }
}

/// The partition of the zone `name` itself.
#[must_use]
pub fn partition(name: &str) -> Partition {
    Partition { zone: name.to_owned(), kind: Kind::Zone, id: String::new() }
}

/// The record of the snapshot.
pub const SNAPSHOT: &str = "snapshot";

/// The zone of `deployment` as it is now.
///
/// # Errors
///
/// The store does not answer and nothing young enough is remembered, or the zone has no active
/// bundle or no key yet.
pub async fn zone<H: Host>(
    host: &H,
    deployment: &Deployment,
    now: Timestamp,
) -> Result<Arc<Active>, Unavailable> {
    let name = deployment.zone.as_str();
    for _ in 0..limits::PAUSES {
        let kept = host.memory().zone(name);
        if let Some(fresh) =
            kept.clone().filter(|kept| kept.is_younger(limits::SNAPSHOT_FRESH_SECS, now))
        {
            return Ok(fresh);
        }
        let stale = kept.clone().filter(|kept| kept.is_younger(limits::SNAPSHOT_STALE_SECS, now));
        // One request reads and compiles. Those that come meanwhile go on with what there is, and
        // wait where it is too old.
        let Some(_alone) = host.memory().flight(name, now) else {
            if let Some(stale) = stale {
                return Ok(stale);
            }
            host.pause(limits::PAUSE_MILLIS).await;
            continue;
        };
        return match read(host, deployment, kept.as_ref(), now).await {
            Ok(zone) => Ok(host.memory().keep_zone(zone)),
            Err(unavailable) => stale.ok_or(unavailable),
        };
    }
    Err(Unavailable(format!("zone `{name}` is being read by another request")))
}

/// The zone as the store has it now, however young a snapshot is remembered: for what a change of a
/// moment ago decides.
///
/// # Errors
///
/// The store does not answer, or the zone has no active bundle.
pub async fn reread<H: Host>(
    host: &H,
    deployment: &Deployment,
    now: Timestamp,
) -> Result<Arc<Active>, Unavailable> {
    let kept = host.memory().zone(&deployment.zone);
    let zone = read(host, deployment, kept.as_ref(), now).await?;
    Ok(host.memory().keep_zone(zone))
}

/// The zone as the store has it now, where a token of ours may have been refused only because this
/// instance has not heard yet of a change: whoever refused it looks once more, under this one. Nothing
/// may have been written before.
///
/// # Errors
///
/// As [`reread`].
pub async fn newer<H: Host>(
    host: &H,
    deployment: &Deployment,
    failure: &Failure,
    event: &mut Event,
    now: Timestamp,
) -> Result<Option<Arc<Active>>, Unavailable> {
    let Failure::Refused(refusal) = failure else { return Ok(None) };
    let behind = match refusal.reason {
        // The zone signed it, so it was asked for no oftener than the zone is changed.
        Reason::ZoneOlder => true,
        Reason::OwnKeyUnknown => host.memory().may_seek(&deployment.zone, now),
        _ => false,
    };
    if !behind {
        return Ok(None);
    }
    let zone = reread(host, deployment, now).await?;
    event.bundle = Some(zone.name.clone());
    event.seq = Some(zone.snapshot.seq);
    Ok(Some(zone))
}

async fn read<H: Host>(
    host: &H,
    deployment: &Deployment,
    kept: Option<&Arc<Active>>,
    now: Timestamp,
) -> Result<Arc<Active>, Unavailable> {
    let name = deployment.zone.as_str();
    let (snapshot, _) = snapshot(host, name).await?;
    let Some(bundle) = snapshot.bundle.clone() else {
        return Err(Unavailable(format!("zone `{name}` has no active bundle")));
    };
    match kept {
        // A host takes no smaller `seq` than it has seen.
        Some(kept) if kept.snapshot.seq > snapshot.seq => Err(Unavailable(format!(
            "the store's snapshot of zone `{name}` is older than one seen before"
        ))),
        Some(kept) if kept.name == bundle => Ok(Arc::new(kept.under(snapshot, now))),
        _ => {
            let document = stored_bundle(host, name, &bundle).await?;
            if document.zone != name || document.issuer != deployment.issuer {
                let (zone, issuer) = (&document.zone, &document.issuer);
                return Err(Unavailable(format!(
                    "bundle `{bundle}` is of zone `{zone}` at `{issuer}`, not of this deployment"
                )));
            }
            let policies = policy::encoded::load(host, &bundle, &document).await?;
            Ok(Arc::new(Active::with(snapshot, now, bundle, document, policies)))
        }
    }
}

/// Reads the snapshot and its version from the store; an empty one and 0 for a zone without.
///
/// # Errors
///
/// The store does not answer, or what it holds cannot be read.
pub async fn snapshot<H: Host>(host: &H, name: &str) -> Result<(Snapshot, u64), Unavailable> {
    let records = strong::read(host, &partition(name), Range::of(SNAPSHOT)).await?;
    let Some(record) = records.into_iter().find(|record| record.key == SNAPSHOT) else {
        return Ok((Snapshot::default(), 0));
    };
    let snapshot = serde_json::from_slice(&record.value)
        .map_err(|error| Unavailable(format!("snapshot of zone `{name}`: {error}")))?;
    Ok((snapshot, record.version))
}

/// The bundle `name`.
async fn stored_bundle<H: Host>(host: &H, zone: &str, name: &str) -> Result<Bundle, Unavailable> {
    let bytes = stored(host, zone, name).await?;
    Bundle::from_bytes(&bytes)
        .map_err(|error| Unavailable(format!("bundle `{name}` of zone `{zone}`: {error}")))
}

/// The bytes with the SHA-256 `name`: the nearest copy that has this very name, or what the zone's
/// partition holds.
pub(crate) async fn stored<H: Host>(
    host: &H,
    zone: &str,
    name: &str,
) -> Result<Vec<u8>, Unavailable> {
    let copy = format!("bundle/{name}");
    let near = host.published(zone, &copy).await.ok().flatten();
    if let Some(bytes) = near.filter(|bytes| Bundle::name(bytes) == name) {
        return Ok(bytes);
    }
    let bytes = bundle_bytes(host, zone, name).await?;
    if Bundle::name(&bytes) != name {
        return Err(Unavailable(format!(
            "bundle `{name}` of zone `{zone}`: its bytes do not have that SHA-256"
        )));
    }
    // Where the copy cannot be written, the next instance reads the partition too.
    let _ = host.publish(zone, &copy, &bytes, Timestamp(i64::MAX)).await;
    Ok(bytes)
}

/// The parts of a bundle that the zone's partition holds, put together; unchecked.
///
/// # Errors
///
/// The store does not answer.
pub async fn bundle_bytes<H: Host>(
    host: &H,
    zone: &str,
    name: &str,
) -> Result<Vec<u8>, Unavailable> {
    let mut bytes = Vec::new();
    for part in 0.. {
        let key = bundle_part(name, part);
        let found = strong::read(host, &partition(zone), Range::of(&key)).await?;
        let Some(record) = found.into_iter().find(|record| record.key == key) else {
            break;
        };
        let full = record.value.len() == limits::BUNDLE_PART_BYTES;
        bytes.extend_from_slice(&record.value);
        if !full || bytes.len() > limits::BUNDLE_BYTES {
            break;
        }
    }
    Ok(bytes)
}

/// The record of one part of a stored bundle. Parts are full but for the last.
#[must_use]
pub fn bundle_part(name: &str, part: usize) -> String {
    format!("bundle/{name}/{part:04}")
}
