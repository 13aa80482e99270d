//! Changes to a zone, above all activating a bundle. Each raises the zone's `seq` in one commit that
//! nobody else's change slips under.

use serde::Serialize;

use crate::active::{self, SNAPSHOT, Snapshot};
use crate::bundle::Bundle;
use crate::deployment::Deployment;
use crate::host::{Batch, Commit, Expect, Host, Range, Record, Unavailable, Write};
use crate::jwt;
use crate::keys::{self, Rotation};
use crate::limits;
use crate::moment::{Moment, Timestamp};
use crate::policy::{Policies, encoded};
use crate::refusal::{Failure, Reason, Refusal};
use crate::strong;

/// What a zone keeps does not expire.
pub(crate) const NEVER: Timestamp = Timestamp(i64::MAX);

/// Changes tried before giving up to others who change the zone at the same time.
const TRIES: usize = 8;

/// Stores a bundle and makes it the active one. Nothing changes where it is that already. A zone
/// without a key that signs with the bundle's algorithm gets one first.
///
/// Returns the snapshot after it.
///
/// # Errors
///
/// The store does not take it, or the bundle is too large for one.
pub async fn activate<H: Host>(
    host: &H,
    bundle: &Bundle,
    moment: &Moment,
) -> Result<Snapshot, Failure> {
    let bytes = bundle
        .to_bytes()
        .map_err(|error| Unavailable(format!("the bundle has no JSON form: {error}")))?;
    if bytes.len() > limits::BUNDLE_BYTES {
        let (size, limit) = (bytes.len(), limits::BUNDLE_BYTES);
        let what = format!("the bundle has {size} bytes, {limit} are allowed");
        return Err(Refusal::request(Reason::OperatorTooLarge, what).into());
    }
    let name = Bundle::name(&bytes);
    let zone = &bundle.zone;
    let (mut now, _) = active::snapshot(host, zone).await?;
    if now.signing(bundle.algorithm, moment.now).is_none() {
        now = keys::rotate(host, zone, bundle.algorithm, Rotation::AtOnce, moment).await?.snapshot;
    }
    if now.bundle.as_ref() == Some(&name) {
        // The program that made the encoded form may have been another version.
        encoded::keep(host, &name, bundle, moment).await;
        return Ok(now);
    }
    store(host, zone, &name, &bytes, moment).await?;
    encoded::keep(host, &name, bundle, moment).await;
    for attempt in 0..TRIES {
        let (mut snapshot, version) = active::snapshot(host, zone).await?;
        snapshot.bundle = Some(name.clone());
        snapshot.activated = snapshot.seq.saturating_add(1);
        keys::lengthen(&mut snapshot, bundle.session_secs);
        // In the commit that it is about: no bundle becomes active unstated.
        let stated = state(host, bundle, &name, &snapshot, moment).await?;
        let id = moment.id(&format!("activate/{attempt}"));
        if let Some(snapshot) = replace(host, zone, snapshot, version, stated, id, moment).await? {
            return Ok(snapshot);
        }
    }
    Err(contended(zone).into())
}

/// Stores a bundle's parts. Equal names have equal parts, so writing them again changes nothing.
pub(crate) async fn store<H: Host>(
    host: &H,
    zone: &str,
    name: &str,
    bytes: &[u8],
    moment: &Moment,
) -> Result<(), Unavailable> {
    for (index, part) in parts(bytes).enumerate() {
        store_part(host, zone, name, index, part, moment).await?;
    }
    Ok(())
}

async fn store_part<H: Host>(
    host: &H,
    zone: &str,
    name: &str,
    part: usize,
    bytes: &[u8],
    moment: &Moment,
) -> Result<(), Unavailable> {
    let id = format!("{name}/{part}");
    let batch = part_batch(name, part, bytes, &id, Vec::new(), moment);
    done(strong::commit(host, &active::partition(zone), batch).await?)
}

/// Takes one part of the bundle `name` from somebody who says that it is one. Whether the parts make
/// that bundle is seen when it is activated; those of the active one are left as they are.
///
/// # Errors
///
/// The part is too large, or another one than the active bundle's; or the store does not take it.
pub async fn upload_part<H: Host>(
    host: &H,
    zone: &str,
    name: &str,
    part: usize,
    bytes: &[u8],
    moment: &Moment,
) -> Result<(), Failure> {
    if bytes.len() > limits::BUNDLE_PART_BYTES {
        let (size, most) = (bytes.len(), limits::BUNDLE_PART_BYTES);
        let what = format!("the part has {size} bytes, {most} are allowed");
        return Err(Refusal::request(Reason::OperatorTooLarge, what).into());
    }
    let partition = active::partition(zone);
    for attempt in 0..TRIES {
        let (snapshot, version) = active::snapshot(host, zone).await?;
        if snapshot.bundle.as_deref() == Some(name) {
            let key = active::bundle_part(name, part);
            let stored = strong::read(host, &partition, Range::of(&key)).await?;
            let stored = stored.into_iter().find(|record| record.key == key);
            match stored.map(|record| record.value == bytes) {
                Some(true) => return Ok(()),
                Some(false) => {
                    let what = "it is a part of the active bundle, which has other bytes there";
                    return Err(Refusal::request(Reason::OperatorConflict, what).into());
                }
                None => {}
            }
        }
        // The bundle may be activated meanwhile.
        let unchanged = Expect::Version { key: SNAPSHOT.to_owned(), version };
        let id = format!("{name}/{part}/{attempt}");
        let batch = part_batch(name, part, bytes, &id, vec![unchanged], moment);
        if strong::commit(host, &partition, batch).await? == Commit::Done {
            return Ok(());
        }
    }
    Err(Failure::Unavailable(contended(zone)))
}

fn part_batch(
    name: &str,
    part: usize,
    bytes: &[u8],
    id: &str,
    expect: Vec<Expect>,
    moment: &Moment,
) -> Batch {
    let key = active::bundle_part(name, part);
    let record = Record { key, value: bytes.to_vec(), expires: NEVER, version: 0 };
    Batch {
        id: moment.id(id),
        now: moment.now,
        until: None,
        expect,
        write: vec![Write::Put(record)],
        index: Vec::new(),
    }
}

/// The parts that a bundle's bytes are stored in: full ones, and a last one that is not, which says
/// that the bundle ends there.
pub fn parts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end: &[u8] = &[];
    let full = bytes.len().is_multiple_of(limits::BUNDLE_PART_BYTES);
    bytes.chunks(limits::BUNDLE_PART_BYTES).chain(full.then_some(end))
}

/// Reads the bytes of a bundle that somebody stored, checks what is true of every bundle, and compiles
/// its policies.
///
/// # Errors
///
/// They are not the bundle `name`, not canonical, another deployment's, unsafe, or do not compile.
pub fn readable(deployment: &Deployment, name: &str, bytes: &[u8]) -> Result<Bundle, String> {
    if Bundle::name(bytes) != name {
        return Err("what is stored under this name has another SHA-256: store its parts".into());
    }
    let bundle = Bundle::from_bytes(bytes).map_err(|error| error.to_string())?;
    if bundle.to_bytes().ok().as_deref() != Some(bytes) {
        return Err("it is not in canonical form".into());
    }
    if bundle.zone != deployment.zone || bundle.issuer != deployment.issuer {
        let (zone, issuer) = (&bundle.zone, &bundle.issuer);
        return Err(format!("it is of zone `{zone}` at `{issuer}`, not of this deployment"));
    }
    bundle.check()?;
    let faults = Policies::compile(&bundle).err().unwrap_or_default();
    match faults.first() {
        None => Ok(bundle),
        Some(first) => Err(format!("it does not compile: {first}")),
    }
}

/// The statement that a bundle became active: what an auditor holds against the record.
#[derive(Serialize)]
struct Statement<'a> {
    iss: &'a str,
    zone: &'a str,
    bundle: &'a str,
    seq: u64,
    iat: Timestamp,
}

/// The record of the signed statement that the bundle `name` is active from `snapshot` on.
async fn state<H: Host>(
    host: &H,
    bundle: &Bundle,
    name: &str,
    snapshot: &Snapshot,
    moment: &Moment,
) -> Result<Vec<Write>, Unavailable> {
    let Some((kid, key)) = snapshot.signing(bundle.algorithm, moment.now) else {
        return Ok(Vec::new());
    };
    let statement = Statement {
        iss: &bundle.issuer,
        zone: &bundle.zone,
        bundle: name,
        seq: snapshot.activated,
        iat: moment.now,
    };
    let signed =
        jwt::sign(host, &bundle.zone, key.algorithm, kid, "writ-bundle+jwt", statement).await?;
    let key = format!("statement/{:020}", snapshot.activated);
    let record = Record { key, value: signed.into_bytes(), expires: NEVER, version: 0 };
    Ok(vec![Write::Put(record)])
}

/// Changes the snapshot in one commit. `apply` says what else belongs to the change, or that there is
/// nothing to change; `label` names the change within the moment. Returns the snapshot after it.
///
/// # Errors
///
/// The store does not take it, or `apply` does not.
pub async fn change<H: Host>(
    host: &H,
    zone: &str,
    moment: &Moment,
    label: &str,
    apply: impl Fn(&mut Snapshot) -> Result<Option<Vec<Write>>, Failure>,
) -> Result<Snapshot, Failure> {
    for attempt in 0..TRIES {
        let (mut snapshot, version) = active::snapshot(host, zone).await?;
        let Some(with) = apply(&mut snapshot)? else { return Ok(snapshot) };
        let id = moment.id(&format!("{label}/{attempt}"));
        if let Some(snapshot) = replace(host, zone, snapshot, version, with, id, moment).await? {
            return Ok(snapshot);
        }
    }
    Err(Failure::Unavailable(contended(zone)))
}

/// Puts `snapshot`, of the next `seq`, in the place of the one with this version, and `with` it what
/// belongs to the change; `None` where the version is another by now.
async fn replace<H: Host>(
    host: &H,
    zone: &str,
    mut snapshot: Snapshot,
    version: u64,
    with: Vec<Write>,
    id: String,
    moment: &Moment,
) -> Result<Option<Snapshot>, Unavailable> {
    snapshot.seq = snapshot.seq.saturating_add(1);
    let value = serde_json::to_vec(&snapshot).map_err(|error| Unavailable(error.to_string()))?;
    let key = SNAPSHOT.to_owned();
    let record = Record { key: key.clone(), value, expires: NEVER, version: 0 };
    let batch = Batch {
        id,
        now: moment.now,
        until: None,
        expect: vec![Expect::Version { key, version }],
        write: std::iter::once(Write::Put(record)).chain(with).collect(),
        index: Vec::new(),
    };
    let committed = strong::commit(host, &active::partition(zone), batch).await?;
    Ok((committed == Commit::Done).then_some(snapshot))
}

fn contended(zone: &str) -> Unavailable {
    Unavailable(format!("zone `{zone}` is being changed by somebody else; try again"))
}

fn done(commit: Commit) -> Result<(), Unavailable> {
    match commit {
        Commit::Done => Ok(()),
        Commit::Refused(key) => Err(Unavailable(format!("the store refused `{key}`"))),
        Commit::Contended => Err(Unavailable("the store is contended; try again".to_owned())),
    }
}
