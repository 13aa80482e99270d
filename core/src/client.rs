//! Client authentication (RFC 6749 §2.3, RFC 7523 §2.2): which application sends the request.

use crate::active::{Active, Named};
use crate::ask::ClientProof;
use crate::bundle::Credential;
use crate::dpop;
use crate::host::Host;
use crate::identity::{self, Fault, Identity, Principal};
use crate::jwt::{self, Claims, Unverified, Verdict};
use crate::keyset::{self, Found, Owner};
use crate::moment::Timestamp;
use crate::refusal::{Failure, Reason, Refusal, Slot};
use crate::secret::Secret;

/// Longest life of a `private_key_jwt` assertion, in seconds. Published SDKs ask for 300.
const ASSERTION_SECS: i64 = 3_600;

/// An authenticated client.
#[derive(Clone, Debug)]
pub struct Client {
    /// The application.
    pub application: String,
    /// How it proved itself.
    pub proof: Proof,
}

/// How a client proved itself.
#[derive(Clone, Debug)]
pub enum Proof {
    /// By its secret.
    Secret,
    /// By a key of its own, with an assertion that may be used once.
    Key {
        /// The name of the claim on the assertion.
        claim: String,
        /// When the assertion expires.
        expires: Timestamp,
    },
    /// By its platform's token.
    Platform(Box<Identity>),
}

fn refuse(reason: Reason, detail: impl Into<String>) -> Refusal {
    Refusal::proof(Slot::Client, reason, detail)
}

/// Verifies a client's proof, shown with one of the key with the thumbprint `key`, if any
/// ([`identity::verify`]).
///
/// # Errors
///
/// The proof is not acceptable, or keys cannot be had.
pub async fn verify<H: Host>(
    host: &H,
    zone: &Active,
    proof: &ClientProof,
    key: Option<&str>,
    now: Timestamp,
) -> Result<Client, Failure> {
    let client = match proof {
        ClientProof::Basic(readings) => secret(zone, readings.iter())?,
        ClientProof::Post(id, secret_sent) => {
            let reading = (id.clone(), secret_sent.clone());
            secret(zone, std::iter::once(&reading))?
        }
        ClientProof::Assertion(token) => assertion(host, zone, token, key, now).await?,
    };
    if zone.is_disabled(&Named::application(&client.application)) {
        return Err(refuse(Reason::CutOff, format!("`{}` is disabled", client.application)).into());
    }
    Ok(client)
}

/// Every reading costs one hash, whether the application exists or not (A12).
fn secret<'a>(
    zone: &Active,
    readings: impl Iterator<Item = &'a (String, Secret)>,
) -> Result<Client, Refusal> {
    let mut failed = refuse(Reason::ClientUnknown, "no application has this identifier");
    for (id, sent) in readings {
        let hashes: Vec<&str> = zone
            .bundle
            .applications
            .get(id)
            .into_iter()
            .flat_map(|application| &application.credentials)
            .filter_map(|credential| match credential {
                Credential::Secret { sha256 } => Some(sha256.as_str()),
                Credential::Key { .. } => None,
            })
            .collect();
        if hashes.is_empty() {
            let _ = sent.has_sha256("");
            continue;
        }
        let matches = hashes.iter().filter(|hash| sent.has_sha256(hash)).count();
        if matches > 0 {
            return Ok(Client { application: id.clone(), proof: Proof::Secret });
        }
        failed = refuse(Reason::SecretWrong, format!("`{id}`"));
    }
    Err(failed)
}

/// An assertion whose `iss` is an issuer row is a platform's token; any other must be the
/// application's own, with `iss` = `sub` = its identifier.
async fn assertion<H: Host>(
    host: &H,
    zone: &Active,
    token: &Secret,
    bound: Option<&str>,
    now: Timestamp,
) -> Result<Client, Failure> {
    let parsed = identity::parse(Slot::Client, token)?;
    let issuer = parsed.issuer().unwrap_or_default();
    if issuer == zone.bundle.issuer || zone.issuers.contains_key(issuer) {
        let identity = identity::verify(host, zone, Slot::Client, None, token, bound, now).await?;
        let Principal::Application(application) = identity.principal.clone() else {
            return Err(refuse(Reason::TypeWrong, "a user's token proves no application").into());
        };
        return Ok(Client { application, proof: Proof::Platform(Box::new(identity)) });
    }
    let application = issuer.to_owned();
    let subject = parsed.unverified_claim("sub").and_then(serde_json::Value::as_str);
    if subject != Some(&application) {
        return Err(refuse(Reason::AssertionSubject, "`iss` and `sub` differ").into());
    }
    let Some(known) = zone.bundle.applications.get(&application) else {
        let name = crate::form::printable(&application);
        return Err(refuse(Reason::ClientUnknown, format!("`{name}`")).into());
    };
    let mut failed =
        Failure::from(refuse(Reason::ClientUnknown, format!("`{application}` has no key")));
    // Any of its keys will do, and one that cannot be had or does not fit is no reason to stop.
    for (index, credential) in known.credentials.iter().enumerate() {
        let Credential::Key { keys, algorithms, legacy_audience } = credential else {
            continue;
        };
        let parsed = identity::parse(Slot::Client, token)?;
        if !algorithms.contains(&parsed.algorithm) {
            failed = refuse(Reason::AlgorithmRefused, parsed.algorithm.name()).into();
            continue;
        }
        let id = format!("{application}#{index}");
        let owner = Owner {
            zone: &zone.bundle.zone,
            kind: "application",
            id: &id,
            source: keys,
            loopback: zone.bundle.danger_allow_http_loopback,
        };
        match keyset::find(host, &owner, parsed.kid.as_deref(), parsed.algorithm, now).await {
            Err(unavailable) => failed = unavailable.into(),
            Ok(Found::Unknown) => {
                failed = refuse(Reason::KeyUnknown, format!("`{application}`")).into();
            }
            Ok(Found::Key(key)) => {
                let claims = match own_key(host, zone, parsed, &key, *legacy_audience).await {
                    Err(Failure::Refused(refusal)) if refusal.reason == Reason::SignatureWrong => {
                        failed = refusal.into();
                        continue;
                    }
                    answered => answered?,
                };
                return own_claims(zone, application, &claims, bound, now)
                    .map_err(|(reason, detail)| refuse(reason, detail).into());
            }
        }
    }
    Err(failed)
}

/// The claims of an assertion that is signed by a client's own key, for us.
async fn own_key<H: Host>(
    host: &H,
    zone: &Active,
    parsed: Unverified<'_>,
    key: &crate::jwk::PublicKey,
    legacy_audience: bool,
) -> Result<Claims, Failure> {
    if !matches!(parsed.typ.as_str(), "" | "jwt" | "client-authentication+jwt") {
        return Err(refuse(Reason::TypeWrong, crate::form::printable(&parsed.typ)).into());
    }
    let claims = match jwt::verify(host, parsed, key).await? {
        Verdict::Verified(claims) => claims,
        Verdict::Forged => return Err(refuse(Reason::SignatureWrong, "").into()),
        Verdict::Malformed(what) => return Err(refuse(Reason::TimeMalformed, what).into()),
    };
    let endpoint = format!("{}{}", zone.bundle.issuer, crate::handle::TOKEN);
    let audience = match identity::audiences(claims.get("aud")).as_slice() {
        [only] => *only == zone.bundle.issuer || (legacy_audience && *only == endpoint),
        _ => false,
    };
    if !audience {
        return Err(refuse(Reason::AudienceWrong, "it is not the issuer alone").into());
    }
    Ok(claims)
}

fn own_claims(
    zone: &Active,
    application: String,
    claims: &Claims,
    bound: Option<&str>,
    now: Timestamp,
) -> Result<Client, Fault> {
    dpop::check_confirmation(claims, bound)?;
    let expires = identity::check_time(claims, ASSERTION_SECS, now)?;
    let id = claims.text("jti").filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| (Reason::TokenIdMissing, "`jti` is missing".to_owned()))?;
    let claim = identity::claim_name(&zone.bundle.zone, &application, &application, id);
    Ok(Client { application, proof: Proof::Key { claim, expires } })
}

impl Client {
    /// The platform's token, where that was the proof.
    #[must_use]
    pub fn platform(&self) -> Option<&Identity> {
        match &self.proof {
            Proof::Platform(identity) => Some(identity),
            Proof::Secret | Proof::Key { .. } => None,
        }
    }
}
