//! Issuers' keys: fetched at most twice a minute, remembered, and kept when an issuer is down (K04
//! to K08).
//!
//! Keys belong to one issuer row of one zone: another issuer's key with the same `kid` is never
//! found. A fetch is single flight; a `kid` that the set does not have starts one fetch a minute at
//! most, however many tokens ask for it. An empty or unreadable set never replaces a good one.
//!
//! What was fetched is published, with the times of the fetches: an instance that just started, or
//! that lives for one request, begins with the nearest copy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bundle::KeySource;
use crate::encoding::{base64url, tagged_hash};
use crate::host::{Outside, Unavailable};
use crate::http::Outbound;
use crate::jwk::{Algorithm, JwkError, PublicKey};
use crate::limits;
use crate::memory::lock;
use crate::moment::Timestamp;

/// The key sets that an instance remembers, by owner.
#[derive(Default)]
pub struct KeySets(Mutex<HashMap<[u8; 32], Arc<Remembered>>>);

/// What is known of one owner's keys.
#[derive(Default)]
struct Remembered(Mutex<Known>);

#[derive(Clone, Default, Serialize, Deserialize)]
struct Known {
    /// The set that was fetched last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    set: Option<Fetched>,
    /// When fetches were made in the last minute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recent: Vec<Timestamp>,
    /// Where discovery said that the keys are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys_url: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Fetched {
    keys: Arc<[PublicKey]>,
    at: Timestamp,
}

/// What came of looking for a key.
#[derive(Debug)]
pub enum Found {
    /// The key.
    Key(PublicKey),
    /// The set is known, and has no such key.
    Unknown,
}

/// Finds the key `kid` of `owner` for `algorithm`. Without a `kid`, the only key that serves the
/// algorithm.
///
/// # Errors
///
/// There is no usable key set: the issuer cannot be reached, or what it serves is none.
pub async fn find<O: Outside>(
    host: &O,
    owner: &Owner<'_>,
    kid: Option<&str>,
    algorithm: Algorithm,
    now: Timestamp,
) -> Result<Found, Unavailable> {
    if let KeySource::Uploaded(keys) = owner.source {
        return Ok(pick(keys, kid, algorithm));
    }
    let name = owner.name();
    let remembered = owner.remembered(host, name);
    let kept = lock(&remembered.0).set.clone();
    if let Some(kept) = &kept
        && (0..limits::KEY_FRESH_SECS).contains(&now.since(kept.at))
        && let Found::Key(key) = pick(&kept.keys, kid, algorithm)
    {
        return Ok(Found::Key(key));
    }
    let seen = kept.as_ref().map(|kept| kept.at);
    let wanted = |set: &Fetched| match pick(&set.keys, kid, algorithm) {
        Found::Key(key) => Some(key),
        Found::Unknown => None,
    };
    let current = refresh(host, owner, &name, &remembered, seen, wanted, now).await?;
    Ok(pick(&current.keys, kid, algorithm))
}

/// Whose keys are sought.
pub struct Owner<'a> {
    /// The zone's name.
    pub zone: &'a str,
    /// `issuer` or `application`.
    pub kind: &'static str,
    /// The row's id, or the application's.
    pub id: &'a str,
    /// Where the keys are.
    pub source: &'a KeySource,
    /// Plain `http` to loopback is allowed.
    pub loopback: bool,
}

impl Owner<'_> {
    /// A changed source is another set: a new bundle never meets the old one's keys.
    fn name(&self) -> [u8; 32] {
        let source = serde_json::to_vec(self.source).unwrap_or_default();
        let parts = [self.zone.as_bytes(), self.kind.as_bytes(), self.id.as_bytes(), &source];
        tagged_hash("keys", &parts)
    }

    fn remembered<O: Outside>(&self, host: &O, name: [u8; 32]) -> Arc<Remembered> {
        let mut sets = lock(&host.memory().keys.0);
        if sets.len() >= limits::KEY_SETS && !sets.contains_key(&name) {
            sets.clear();
        }
        Arc::clone(sets.entry(name).or_default())
    }
}

fn pick(keys: &[PublicKey], kid: Option<&str>, algorithm: Algorithm) -> Found {
    let mut serving = keys.iter().filter(|key| key.serves(algorithm));
    let found = match kid {
        Some(kid) => serving.find(|key| key.kid.as_deref() == Some(kid)),
        None => match (serving.next(), serving.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        },
    };
    found.map_or(Found::Unknown, |key| Found::Key(key.clone()))
}

/// Fetches unless somebody else just did or too little time has passed; answers with the best set
/// there is then.
async fn refresh<O: Outside>(
    host: &O,
    owner: &Owner<'_>,
    name: &[u8; 32],
    remembered: &Remembered,
    seen: Option<Timestamp>,
    wanted: impl Fn(&Fetched) -> Option<PublicKey>,
    now: Timestamp,
) -> Result<Fetched, Unavailable> {
    let copy = format!("keys/{}", base64url(name));
    for _ in 0..limits::PAUSES {
        let mut known = lock(&remembered.0).clone();
        if let Some(set) = known.set.as_ref().filter(|set| Some(set.at) != seen) {
            return Ok(set.clone());
        }
        // Whoever shows unknown key ids again and again costs a look at what is remembered.
        if !known.may_fetch(now) {
            return known.kept(owner, now);
        }
        let Some(_alone) = host.memory().flight(&copy, now) else {
            host.pause(limits::PAUSE_MILLIS).await;
            continue;
        };
        learn(&mut known, host.published(owner.zone, &copy).await, now);
        let fresh = known.set.clone().filter(|set| {
            (0..limits::KEY_FRESH_SECS).contains(&now.since(set.at)) && wanted(set).is_some()
        });
        if let Some(set) = fresh {
            *lock(&remembered.0) = known;
            return Ok(set);
        }
        if !known.may_fetch(now) {
            let kept = known.kept(owner, now);
            *lock(&remembered.0) = known;
            return kept;
        }
        let fetched = update(host, owner, &mut known, now).await;
        *lock(&remembered.0) = known.clone();
        // A copy is a convenience: where it cannot be written, nothing is lost but time. It is written
        // after a fetch only, so no more often than keys are fetched.
        let bytes = serde_json::to_vec(&known).unwrap_or_default();
        let expires = now.plus(limits::KEY_STALE_SECS);
        let _ = host.publish(owner.zone, &copy, &bytes, expires).await;
        return fetched;
    }
    Err(Unavailable(format!("keys of `{}` are being fetched by another request", owner.id)))
}

/// Takes over what a copy knows better. One that cannot be read, or comes from the future, is none.
fn learn(known: &mut Known, copy: Result<Option<Vec<u8>>, Unavailable>, now: Timestamp) {
    let Some(copy) = copy.ok().flatten() else { return };
    let Ok(copy) = serde_json::from_slice::<Known>(&copy) else { return };
    let newer =
        |set: &Fetched| set.at <= now && known.set.as_ref().is_none_or(|kept| kept.at < set.at);
    if let Some(set) = copy.set.filter(newer) {
        known.set = Some(set);
        known.keys_url = copy.keys_url;
    }
    if copy.recent.len() > known.recent.len() {
        known.recent = copy.recent;
    }
}

impl Known {
    /// Whether enough time has passed for a fetch: one a minute, and another where there is no set.
    fn may_fetch(&mut self, now: Timestamp) -> bool {
        // A clock that was set back leaves ages that mean nothing.
        let recent = 0..limits::KEY_COOLDOWN_SECS;
        self.recent.retain(|at| recent.contains(&now.since(*at)));
        self.recent.len() <= usize::from(self.set.is_none())
    }

    /// What there is without a fetch.
    fn kept(&self, owner: &Owner<'_>, now: Timestamp) -> Result<Fetched, Unavailable> {
        let good = |set: &&Fetched| (0..limits::KEY_STALE_SECS).contains(&now.since(set.at));
        self.set
            .as_ref()
            .filter(good)
            .cloned()
            .ok_or_else(|| Unavailable(format!("keys of `{}` were fetched a moment ago", owner.id)))
    }
}

/// Fetches, and answers with the best set there is then.
async fn update<O: Outside>(
    host: &O,
    owner: &Owner<'_>,
    known: &mut Known,
    now: Timestamp,
) -> Result<Fetched, Unavailable> {
    match fetch(host, owner, known, now).await {
        Ok(keys) => {
            let fetched = Fetched { keys: keys.into(), at: now };
            known.set = Some(fetched.clone());
            Ok(fetched)
        }
        Err(unavailable) => known.kept(owner, now).map_err(|_| unavailable),
    }
}

/// Fetches the set, and before it the discovery document where its place is not known yet.
async fn fetch<O: Outside>(
    host: &O,
    owner: &Owner<'_>,
    known: &mut Known,
    now: Timestamp,
) -> Result<Vec<PublicKey>, Unavailable> {
    known.recent.push(now);
    let url = match (owner.source, &known.keys_url) {
        (KeySource::Uploaded(keys), _) => return Ok(keys.clone()),
        (KeySource::Url(url), _) => url.clone(),
        (KeySource::Discovery { .. }, Some(url)) => url.clone(),
        (KeySource::Discovery { url, issuer, keys_host }, None) => {
            known.recent.push(now);
            let document = get(host, owner, url).await?;
            let found = discovered(&document, url, issuer, keys_host.as_deref())
                .map_err(|what| Unavailable(format!("discovery of `{}`: {what}", owner.id)))?;
            known.keys_url = Some(found.clone());
            found
        }
    };
    let document = match get(host, owner, &url).await {
        Ok(document) => document,
        Err(unavailable) => {
            // The issuer may have moved its keys: the next attempt asks it where they are.
            known.keys_url = None;
            return Err(unavailable);
        }
    };
    read_set(&document).map_err(|what| Unavailable(format!("keys of `{}`: {what}", owner.id)))
}

async fn get<O: Outside>(
    host: &O,
    owner: &Owner<'_>,
    url: &str,
) -> Result<serde_json::Map<String, Value>, Unavailable> {
    let body = page(host, url, owner.loopback).await?;
    crate::strict::object(&body).map_err(|what| Unavailable(format!("`{url}`: {what}")))
}

/// The body of what is published at `url`: `https`, or `http` where `loopback` says so.
///
/// # Errors
///
/// It cannot be had, or is larger than [`limits::FETCH_BYTES`].
pub(crate) async fn page<O: Outside>(
    host: &O,
    url: &str,
    loopback: bool,
) -> Result<Vec<u8>, Unavailable> {
    let fault = |what: &str| Unavailable(format!("`{url}`: {what}"));
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    if scheme != Some("https") && !(loopback && scheme == Some("http")) {
        return Err(fault("not an https URL"));
    }
    let request = Outbound { url: url.to_owned(), loopback: loopback && scheme == Some("http") };
    let answer = host.fetch(request).await?;
    if answer.status != 200 {
        return Err(fault(&format!("status {}", answer.status)));
    }
    if answer.body.len() > limits::FETCH_BYTES {
        return Err(fault("the document is too large"));
    }
    Ok(answer.body)
}

/// Reads `jwks_uri` from a discovery document that is the issuer's own (K07).
fn discovered(
    document: &serde_json::Map<String, Value>,
    url: &str,
    issuer: &str,
    keys_host: Option<&str>,
) -> Result<String, String> {
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    if text("issuer") != Some(issuer) {
        return Err(format!("its `issuer` is not `{issuer}`"));
    }
    let keys = text("jwks_uri").ok_or("it has no `jwks_uri`")?;
    let same_place = origin(keys).is_some() && origin(keys) == origin(url);
    let named = keys_host.is_some_and(|host| origin(keys) == Some(("https", host)));
    if !same_place && !named {
        return Err(format!(
            "its `jwks_uri` `{}` is on another host",
            crate::form::printable(keys)
        ));
    }
    Ok(keys.to_owned())
}

/// Scheme and authority of a URL.
fn origin(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, _) = rest.split_at_checked(end)?;
    (!authority.is_empty() && !authority.contains('@')).then_some((scheme, authority))
}

/// Reads a key set: keys that are not for us are skipped (RFC 7517 §5), keys with private members
/// are dropped, and a set without a usable key is none.
///
/// # Errors
///
/// What is wrong with it.
pub fn read_set(document: &serde_json::Map<String, Value>) -> Result<Vec<PublicKey>, String> {
    let listed = document.get("keys").and_then(Value::as_array).ok_or("it has no `keys`")?;
    if listed.len() > limits::KEYS {
        return Err(format!("it has more than {} keys", limits::KEYS));
    }
    let mut keys: Vec<PublicKey> = Vec::new();
    let mut dropped = None;
    for value in listed {
        let parsed = value.as_object().map_or(Err(JwkError::Foreign), PublicKey::parse);
        match parsed {
            Ok(key)
                if key.kid.is_some()
                    && keys
                        .iter()
                        .any(|other| other.kid == key.kid && other.material != key.material) =>
            {
                return Err("two keys have one `kid`".to_owned());
            }
            Ok(key) => keys.push(key),
            Err(error) => dropped = Some(error),
        }
    }
    if keys.is_empty() {
        let why = dropped.map_or_else(|| "it is empty".to_owned(), |error| error.to_string());
        return Err(format!("it has no usable key: {why}"));
    }
    Ok(keys)
}
