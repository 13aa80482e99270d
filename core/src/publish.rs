//! Changes to a zone: activating a bundle, adding a key. Each raises the zone's `seq` in one commit
//! that nobody else's change slips under.

use serde::{Deserialize, Serialize};

use crate::active::{self, SNAPSHOT, Snapshot, ZoneKey};
use crate::bundle::Bundle;
use crate::encoding::{base64url, from_base64url};
use crate::host::{Batch, Commit, Expect, Host, Record, Unavailable, Write};
use crate::jwk::{Algorithm, PublicKey};
use crate::jwt;
use crate::limits;
use crate::moment::{Moment, Timestamp};

/// What a zone keeps does not expire.
const NEVER: Timestamp = Timestamp(i64::MAX);

/// Changes tried before giving up to others who change the zone at the same time.
const TRIES: usize = 8;

/// Stores a bundle and makes it the active one. Nothing changes where it is that already.
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
) -> Result<Snapshot, Unavailable> {
    let bytes = bundle
        .to_bytes()
        .map_err(|error| Unavailable(format!("the bundle has no JSON form: {error}")))?;
    if bytes.len() > limits::BUNDLE_BYTES {
        let (size, limit) = (bytes.len(), limits::BUNDLE_BYTES);
        return Err(Unavailable(format!("the bundle has {size} bytes, {limit} are allowed")));
    }
    let name = Bundle::name(&bytes);
    let zone = &bundle.zone;
    let (now, _) = active::snapshot(host, zone).await?;
    if now.bundle.as_ref() == Some(&name) {
        // The process may have died between the change and its statement.
        state(host, bundle, &name, &now, moment).await?;
        return Ok(now);
    }
    store(host, zone, &name, &bytes, moment).await?;
    let snapshot = change(host, zone, moment, "activate", Vec::new(), |snapshot| {
        snapshot.bundle = Some(name.clone());
    })
    .await?;
    state(host, bundle, &name, &snapshot, moment).await?;
    Ok(snapshot)
}

/// Stores a bundle's parts. Equal names have equal parts, so writing them again changes nothing.
async fn store<H: Host>(
    host: &H,
    zone: &str,
    name: &str,
    bytes: &[u8],
    moment: &Moment,
) -> Result<(), Unavailable> {
    // A bundle of a whole number of parts ends with an empty one, which says that it ends.
    let end: &[u8] = &[];
    let ends = bytes.len().is_multiple_of(limits::BUNDLE_PART_BYTES);
    let parts = bytes.chunks(limits::BUNDLE_PART_BYTES).chain(ends.then_some(end));
    for (index, part) in parts.enumerate() {
        let key = active::bundle_part(name, index);
        let record = Record { key, value: part.to_vec(), expires: NEVER, version: 0 };
        let batch = Batch {
            id: moment.id(&format!("{name}/{index}")),
            now: moment.now,
            until: None,
            expect: Vec::new(),
            write: vec![Write::Put(record)],
            index: Vec::new(),
        };
        done(host.commit(&active::partition(zone), batch).await?)?;
    }
    Ok(())
}

/// The signed statement that a bundle became active: what an auditor holds against the record.
#[derive(Serialize)]
struct Statement<'a> {
    iss: &'a str,
    zone: &'a str,
    bundle: &'a str,
    seq: u64,
    iat: Timestamp,
}

async fn state<H: Host>(
    host: &H,
    bundle: &Bundle,
    name: &str,
    snapshot: &Snapshot,
    moment: &Moment,
) -> Result<(), Unavailable> {
    let Some((kid, key)) =
        snapshot.current.as_ref().and_then(|kid| snapshot.keys.get_key_value(kid))
    else {
        return Ok(());
    };
    let statement = Statement {
        iss: &bundle.issuer,
        zone: &bundle.zone,
        bundle: name,
        seq: snapshot.seq,
        iat: moment.now,
    };
    let signed =
        jwt::sign(host, &bundle.zone, key.algorithm, kid, "writ-bundle+jwt", statement).await?;
    let key = format!("statement/{:020}", snapshot.seq);
    let record = Record { key, value: signed.into_bytes(), expires: NEVER, version: 0 };
    let batch = Batch {
        id: moment.id("statement"),
        now: moment.now,
        until: None,
        expect: Vec::new(),
        write: vec![Write::PutIfAbsent(record)],
        index: Vec::new(),
    };
    done(host.commit(&active::partition(&bundle.zone), batch).await?)
}

/// A private key of a zone, wrapped by the platform's secret, as its partition holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrappedKey {
    /// The algorithm it signs with.
    pub algorithm: Algorithm,
    /// The wrapped key, base64url: how it is wrapped is the host's affair.
    pub wrapped: String,
}

impl WrappedKey {
    /// The wrapped bytes.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        from_base64url(&self.wrapped)
    }
}

/// The record of a wrapped key.
#[must_use]
pub fn key_record(kid: &str) -> String {
    format!("key/{kid}")
}

/// Adds a key and makes it the one that signs. Keys there were before stay, to verify with.
///
/// `public` has a `kid`; `wrapped` is the private key as the host will unwrap it. Returns the
/// snapshot after it.
///
/// # Errors
///
/// The key has no `kid`, or the store does not take it.
pub async fn add_key<H: Host>(
    host: &H,
    zone: &str,
    algorithm: Algorithm,
    public: &PublicKey,
    wrapped: &[u8],
    moment: &Moment,
) -> Result<Snapshot, Unavailable> {
    let kid = public.kid.clone().ok_or_else(|| Unavailable("the key has no `kid`".to_owned()))?;
    let value = WrappedKey { algorithm, wrapped: base64url(wrapped) };
    let value = serde_json::to_vec(&value).map_err(|error| Unavailable(error.to_string()))?;
    let record = Record { key: key_record(&kid), value, expires: NEVER, version: 0 };
    change(host, zone, moment, &kid, vec![Write::Put(record)], |snapshot| {
        let key = ZoneKey { algorithm, public: public.clone() };
        snapshot.keys.insert(kid.clone(), key);
        snapshot.current = Some(kid.clone());
    })
    .await
}

/// Changes the snapshot in one commit, with whatever else belongs to the change. `label` names the
/// change within the moment.
///
/// # Errors
///
/// The store does not take it.
pub async fn change<H: Host>(
    host: &H,
    zone: &str,
    moment: &Moment,
    label: &str,
    with: Vec<Write>,
    apply: impl Fn(&mut Snapshot),
) -> Result<Snapshot, Unavailable> {
    for attempt in 0..TRIES {
        let (mut snapshot, version) = active::snapshot(host, zone).await?;
        apply(&mut snapshot);
        snapshot.seq = snapshot.seq.saturating_add(1);
        let value =
            serde_json::to_vec(&snapshot).map_err(|error| Unavailable(error.to_string()))?;
        let key = SNAPSHOT.to_owned();
        let record = Record { key: key.clone(), value, expires: NEVER, version: 0 };
        let batch = Batch {
            id: moment.id(&format!("{label}/{attempt}")),
            now: moment.now,
            until: None,
            expect: vec![Expect::Version { key, version }],
            write: std::iter::once(Write::Put(record)).chain(with.clone()).collect(),
            index: Vec::new(),
        };
        if host.commit(&active::partition(zone), batch).await? == Commit::Done {
            return Ok(snapshot);
        }
    }
    Err(Unavailable(format!("zone `{zone}` is being changed by somebody else; try again")))
}

fn done(commit: Commit) -> Result<(), Unavailable> {
    match commit {
        Commit::Done => Ok(()),
        Commit::Refused(key) => Err(Unavailable(format!("the store refused `{key}`"))),
        Commit::Contended => Err(Unavailable("the store is contended; try again".to_owned())),
    }
}
