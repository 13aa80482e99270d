//! Who takes part: the example zone on loopback, and the keys of everybody outside of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use toml::{Table, Value as Toml};
use writ_core::bundle::{Bundle, Credential};
use writ_core::encoding::{base64url, hex, sha256};
use writ_core::jwk::Algorithm;
use writ_core::moment::Timestamp;
use writ_core::zone::{self, Source, Sources};
use writ_process::crypto::{CryptoError, PrivateKey};

use super::DemoError;
use super::sample::Sample;

const ZONE: &str = include_str!("../../../../examples/zone/zone.toml");
const POLICIES: [(&str, &str); 2] = [
    ("forbid.cedar", include_str!("../../../../examples/zone/policies/forbid.cedar")),
    ("permit.cedar", include_str!("../../../../examples/zone/policies/permit.cedar")),
];

/// The zone, and whoever signs beside it.
pub(crate) struct Cast {
    /// The example zone, with what loopback needs.
    pub(crate) bundle: Bundle,
    /// Where Writ answers: `http://127.0.0.1:8787`.
    pub(crate) origin: String,
    /// Where the issuers answer.
    pub(crate) issuers: String,
    /// The secrets of applications that have one.
    secrets: BTreeMap<String, String>,
    signers: BTreeMap<String, Signer>,
}

/// A platform, or an application with a key of its own.
struct Signer {
    key: PrivateKey,
    kid: String,
    /// `None` for an application.
    sample: Option<Sample>,
    /// Whom the platform's tokens are for, where nobody says.
    audience: String,
}

impl Cast {
    /// Draws keys and secrets, and compiles the zone. Takes a moment: it makes RSA keys.
    pub(crate) fn assemble(origin: String, issuers: String) -> Result<Self, DemoError> {
        let mut secrets = BTreeMap::new();
        let bundle = bundle(&origin, &issuers, &mut secrets)?;
        let signers = signers(&bundle)?;
        Ok(Self { bundle, origin, issuers, secrets, signers })
    }

    /// The secret of an application; empty where it has none.
    pub(crate) fn secret(&self, application: &str) -> &str {
        self.secrets.get(application).map(String::as_str).unwrap_or_default()
    }

    /// Whether somebody of this name signs, and as a platform.
    pub(crate) fn platform(&self, id: &str) -> Option<bool> {
        self.signers.get(id).map(|signer| signer.sample.is_some())
    }

    /// The `iss` of a platform's tokens.
    pub(crate) fn issuer(&self, id: &str) -> &str {
        let issuer = self.bundle.issuers.get(id).and_then(|row| row.issuer.first());
        issuer.map(String::as_str).unwrap_or_default()
    }

    /// The key set of one signer.
    pub(crate) fn key_set(&self, id: &str) -> Option<Value> {
        let signer = self.signers.get(id)?;
        Some(json!({ "keys": [signer.key.public(Some(&signer.kid)).to_jwk()] }))
    }

    /// A fresh token of a platform, as its sample but for `aud`, the times, `jti` and `changes`.
    pub(crate) fn token(
        &self,
        id: &str,
        audience: Option<&str>,
        changes: Vec<(String, String)>,
        now: Timestamp,
    ) -> Option<Result<String, DemoError>> {
        let signer = self.signers.get(id)?;
        let sample = signer.sample.as_ref()?;
        Some(random(16).and_then(|jti| {
            let mut claims = sample.at(now.0, &jti);
            claims.insert("aud".into(), audience.unwrap_or(&signer.audience).into());
            claims.extend(changes.into_iter().map(|(name, value)| (name, value.into())));
            Ok(signer.sign(&sample.header, &claims)?)
        }))
    }

    /// What an application with a key authenticates with (RFC 7523 §2.2), good for once.
    pub(crate) fn assertion(&self, id: &str, now: Timestamp) -> Option<Result<String, DemoError>> {
        let signer = self.signers.get(id).filter(|signer| signer.sample.is_none())?;
        let header = json!({ "alg": signer.key.algorithm().name(), "kid": signer.kid });
        let claims = |jti: String| {
            json!({
                "iss": id,
                "sub": id,
                "aud": self.origin,
                "iat": now,
                "exp": now.plus(ASSERTION_SECS),
                "jti": jti,
            })
        };
        Some(random(16).and_then(|jti| match (header, claims(jti)) {
            (Value::Object(header), Value::Object(claims)) => Ok(signer.sign(&header, &claims)?),
            _ => Err(DemoError("an assertion is made of objects".to_owned())),
        }))
    }
}

impl Signer {
    fn sign(
        &self,
        header: &Map<String, Value>,
        claims: &Map<String, Value>,
    ) -> Result<String, CryptoError> {
        let part = |part: &Map<String, Value>| {
            base64url(serde_json::to_vec(part).unwrap_or_default().as_slice())
        };
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.key.sign(signed.as_bytes())?;
        Ok(format!("{signed}.{}", base64url(&signature)))
    }
}

impl From<CryptoError> for DemoError {
    fn from(error: CryptoError) -> Self {
        Self(error.to_string())
    }
}

/// Compiles the example zone with what loopback needs: its origin, where keys are, and secrets
/// that somebody has.
fn bundle(
    origin: &str,
    issuers: &str,
    secrets: &mut BTreeMap<String, String>,
) -> Result<Bundle, DemoError> {
    let failed = |what: String| DemoError(format!("the example zone: {what}"));
    let mut zone: Table = ZONE.parse().map_err(|error| failed(format!("{error}")))?;
    if let Some(header) = zone.get_mut("zone").and_then(Toml::as_table_mut) {
        header.insert("issuer".into(), origin.into());
        header.insert("danger_allow_http_loopback".into(), true.into());
    }
    let keys = |id: &str| {
        let url = format!("{issuers}/{id}/jwks");
        Toml::Table(Table::from_iter([("url".to_owned(), Toml::from(url))]))
    };
    for (id, issuer) in tables(&mut zone, "issuers") {
        issuer.insert("keys".into(), keys(id));
    }
    for (id, application) in tables(&mut zone, "applications") {
        let credentials = application.get_mut("credentials").and_then(Toml::as_array_mut);
        for credential in credentials.into_iter().flatten().filter_map(Toml::as_table_mut) {
            if credential.contains_key("keys") {
                credential.insert("keys".into(), keys(id));
            }
            if credential.contains_key("sha256") {
                let secret = random(18)?;
                credential.insert("sha256".into(), hex(&sha256(secret.as_bytes())).into());
                secrets.insert(id.clone(), secret);
            }
        }
    }
    let text = toml::to_string(&zone).map_err(|error| failed(error.to_string()))?;
    let policies = POLICIES.map(|(name, text)| Source { path: name.into(), text: text.into() });
    let sources = Sources {
        zone: Source { path: "zone.toml".into(), text },
        policies: policies.into(),
        uploaded: BTreeMap::new(),
    };
    zone::compile(&sources).map_err(|mistakes| {
        let said: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
        failed(said.join("; "))
    })
}

fn tables<'a>(
    zone: &'a mut Table,
    name: &str,
) -> impl Iterator<Item = (&'a String, &'a mut Table)> {
    let entries = zone.get_mut(name).and_then(Toml::as_table_mut).into_iter().flatten();
    entries.filter_map(|(id, value)| Some((id, value.as_table_mut()?)))
}

/// A signer for each issuer of the zone, and for each application with a key.
fn signers(bundle: &Bundle) -> Result<BTreeMap<String, Signer>, DemoError> {
    let mut wanted = Vec::new();
    for (id, row) in &bundle.issuers {
        let iss = row.issuer.first().map(String::as_str).unwrap_or_default();
        let sample = Sample::of(id, iss)?;
        // Of several clients that people sign in to, the last one listed is an agent.
        let audience = row.audience.last().cloned().unwrap_or_default();
        wanted.push((id, sample.algorithm, sample.kid.clone(), Some(sample), audience));
    }
    for (id, application) in &bundle.applications {
        let has_key = |credential: &Credential| matches!(credential, Credential::Key { .. });
        if application.credentials.iter().any(has_key) {
            wanted.push((id, Algorithm::ES256, format!("{id}-1"), None, String::new()));
        }
    }
    // Making an RSA key takes a while, so they are made side by side.
    std::thread::scope(|scope| {
        let made: Vec<_> = wanted
            .into_iter()
            .map(|(id, algorithm, kid, sample, audience)| {
                let key = scope.spawn(move || PrivateKey::generate(algorithm));
                (id, kid, sample, audience, key)
            })
            .collect();
        made.into_iter()
            .map(|(id, kid, sample, audience, key)| {
                let key = key.join().unwrap_or(Err(CryptoError::Generate))?;
                Ok((id.clone(), Signer { key, kid, sample, audience }))
            })
            .collect()
    })
}

/// Random bytes as text.
fn random(count: usize) -> Result<String, DemoError> {
    let mut bytes = vec![0; count];
    getrandom::fill(&mut bytes)
        .map_err(|error| DemoError(format!("the system gives no random bytes: {error}")))?;
    Ok(base64url(&bytes))
}

/// How long an assertion is good for.
const ASSERTION_SECS: i64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_zone_moves_to_loopback_and_keeps_its_issuers() {
        let cast = Cast::assemble("http://127.0.0.1:1".into(), "http://127.0.0.1:2".into());
        let cast = cast.unwrap();
        assert_eq!(cast.bundle.issuer, "http://127.0.0.1:1");
        assert_eq!(cast.issuer("github"), "https://token.actions.githubusercontent.com");
        assert_eq!(cast.platform("github"), Some(true));
        assert_eq!(cast.platform("fixer"), Some(false));
        assert_eq!(cast.platform("nobody"), None);
        assert!(!cast.secret("health").is_empty());
        assert!(cast.secret("fixer").is_empty());
    }
}
