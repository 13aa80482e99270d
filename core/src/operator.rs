//! The operator's endpoints: a zone is changed over HTTP where no command line sits beside its store.
//!
//! Each request carries a JWT that the operator's private key signed over this very request: method,
//! path and body. It lives for two minutes and counts once. The deployment knows the public key
//! alone, so there is no secret to steal from it, and what passes on the wire is worth nothing twice.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::active;
use crate::bundle::Bundle;
use crate::deployment::Deployment;
use crate::encoding::{base64url, sha256, tagged_hash};
use crate::event::Event;
use crate::host::{Batch, Commit, Expect, Host, Record, Unavailable, Write};
use crate::http::Request;
use crate::jwk::Algorithm;
use crate::jwt::{self, Unverified, Verdict};
use crate::keys::{Rotation, rotate};
use crate::limits;
use crate::moment::{Moment, Timestamp};
use crate::principals::{self, Measure, Whom};
use crate::publish;
use crate::refusal::{Failure, Reason, Refusal};
use crate::strong;

/// Where the operator's paths begin.
pub const PREFIX: &str = "operator/";
/// The `typ` of an operator's token.
pub const TYP: &str = "writ-operator+jwt";

/// What an operator may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `GET /operator/zone`: the snapshot.
    Zone,
    /// `PUT /operator/bundles/{name}/{part}`: stores one part of a bundle.
    Part {
        /// The bundle's name.
        bundle: String,
        /// Which part, from 0.
        part: usize,
    },
    /// `POST /operator/activate`: makes a stored bundle the active one.
    Activate,
    /// `POST /operator/keys`: rotates the signing key.
    Keys,
    /// `POST /operator/principals`: disables, enables or cuts off.
    Principals,
}

impl Command {
    /// The command of a path without its leading slash.
    #[must_use]
    pub fn find(path: &str) -> Option<Self> {
        match path.strip_prefix(PREFIX)? {
            "zone" => Some(Self::Zone),
            "activate" => Some(Self::Activate),
            "keys" => Some(Self::Keys),
            "principals" => Some(Self::Principals),
            other => {
                let (bundle, part) = other.strip_prefix("bundles/")?.split_once('/')?;
                let part: usize = part.parse().ok()?;
                let most = limits::BUNDLE_BYTES.div_ceil(limits::BUNDLE_PART_BYTES);
                let is_name = bundle.len() == 64
                    && bundle.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                (is_name && part <= most).then(|| Self::Part { bundle: bundle.to_owned(), part })
            }
        }
    }

    /// What the event calls the endpoint.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Zone => "operator_zone",
            Self::Part { .. } => "operator_bundle",
            Self::Activate => "operator_activate",
            Self::Keys => "operator_keys",
            Self::Principals => "operator_principals",
        }
    }

    /// The method that it answers to.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Zone => "GET",
            Self::Part { .. } => "PUT",
            Self::Activate | Self::Keys | Self::Principals => "POST",
        }
    }
}

/// What an operator's token says of its request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorToken {
    /// The zone's issuer.
    pub aud: String,
    /// The zone's name.
    pub zone: String,
    /// When it was made.
    pub iat: Timestamp,
    /// At most [`limits::OPERATOR_SECS`] later.
    pub exp: Timestamp,
    /// Its id, random.
    pub jti: String,
    /// The method.
    pub method: String,
    /// The path, with its leading slash, and its query, where there is one, after a `?`.
    pub path: String,
    /// The SHA-256 of the body, base64url.
    pub body: String,
}

impl OperatorToken {
    /// The token for a request, made at `now`.
    #[must_use]
    pub fn new(
        deployment: &Deployment,
        method: &str,
        path: &str,
        body: &[u8],
        jti: String,
        now: Timestamp,
    ) -> Self {
        Self {
            aud: deployment.issuer.clone(),
            zone: deployment.zone.clone(),
            iat: now,
            exp: now.plus(limits::OPERATOR_SECS),
            jti,
            method: method.to_owned(),
            path: path.to_owned(),
            body: base64url(&sha256(body)),
        }
    }
}

/// A request that an operator makes, without its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The method.
    pub method: &'static str,
    /// The path, with its leading slash, and its query, where there is one, after a `?`.
    pub path: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Step {
    /// Asks for the zone's snapshot.
    #[must_use]
    pub fn zone() -> Self {
        Self { method: "GET", path: format!("/{PREFIX}zone"), body: Vec::new() }
    }

    /// Rotates the zone's signing key.
    #[must_use]
    pub fn rotation(rotation: Rotation) -> Self {
        let body = json!({ "rotation": rotation }).to_string().into_bytes();
        Self { method: "POST", path: format!("/{PREFIX}keys"), body }
    }

    /// Disables, enables or cuts off.
    #[must_use]
    pub fn measure(measure: Measure, whom: &Whom) -> Self {
        let body = json!({ "measure": measure, "whom": whom }).to_string().into_bytes();
        Self { method: "POST", path: format!("/{PREFIX}principals"), body }
    }

    /// Asks for a page of sessions: `query` is what `GET /sessions` takes.
    #[must_use]
    pub fn sessions(query: &str) -> Self {
        let mark = if query.is_empty() { "" } else { "?" };
        Self { method: "GET", path: format!("/sessions{mark}{query}"), body: Vec::new() }
    }

    /// Asks for a page of one session's records: `query` is what `GET /sessions/{sid}` takes.
    #[must_use]
    pub fn session(session: &str, query: &str) -> Self {
        let mark = if query.is_empty() { "" } else { "?" };
        Self { method: "GET", path: format!("/sessions/{session}{mark}{query}"), body: Vec::new() }
    }

    /// Ends a session.
    #[must_use]
    pub fn end(session: &str) -> Self {
        Self { method: "DELETE", path: format!("/sessions/{session}"), body: Vec::new() }
    }

    /// Stores a bundle, part by part, and then activates it.
    #[must_use]
    pub fn publication(bundle: &[u8]) -> Vec<Self> {
        let name = Bundle::name(bundle);
        let store = |(part, bytes): (usize, &[u8])| Self {
            method: "PUT",
            path: format!("/{PREFIX}bundles/{name}/{part}"),
            body: bytes.to_vec(),
        };
        let body = json!({ "bundle": name }).to_string().into_bytes();
        let activate = Self { method: "POST", path: format!("/{PREFIX}activate"), body };
        publish::parts(bundle).enumerate().map(store).chain([activate]).collect()
    }

    /// What the operator's key signs to make the request at `now` (RFC 7515 §5.1). `jti` is random.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn signing_input(
        &self,
        deployment: &Deployment,
        algorithm: Algorithm,
        jti: String,
        now: Timestamp,
    ) -> Result<String, String> {
        let token = OperatorToken::new(deployment, self.method, &self.path, &self.body, jti, now);
        jwt::signing_input(algorithm, None, TYP, token)
    }
}

/// Answers an operator's request with a JSON document.
///
/// # Errors
///
/// The request is not the operator's, cannot be done, or the store does not answer.
pub async fn answer<H: Host>(
    host: &H,
    deployment: &Deployment,
    command: &Command,
    request: &Request,
    moment: &Moment,
    event: &mut Event,
) -> Result<Value, Failure> {
    authenticate(host, deployment, request, moment).await?;
    let zone = &deployment.zone;
    match command {
        Command::Zone => {
            let (snapshot, _) = active::snapshot(host, zone).await?;
            event.seq = Some(snapshot.seq);
            Ok(json!({ "zone": zone, "issuer": deployment.issuer, "snapshot": snapshot }))
        }
        Command::Part { bundle, part } => {
            publish::upload_part(host, zone, bundle, *part, &request.body, moment).await?;
            Ok(json!({ "bundle": bundle, "part": part }))
        }
        Command::Activate => {
            let Activate { bundle: name } = body(request)?;
            let bytes = active::bundle_bytes(host, zone, &name).await?;
            let bundle = publish::readable(deployment, &name, &bytes)
                .map_err(|what| refuse(Reason::OperatorBundle, what))?;
            let snapshot = publish::activate(host, &bundle, moment).await?;
            event.bundle.clone_from(&snapshot.bundle);
            event.seq = Some(snapshot.seq);
            Ok(json!({ "bundle": name, "seq": snapshot.seq }))
        }
        Command::Principals => {
            let Principals { measure, whom } = body(request)?;
            if whom.id().is_empty() || whom.id().len() > limits::SUBJECT_BYTES {
                return Err(refuse(Reason::ParameterBad, "the id is empty or too long").into());
            }
            // What is lifted may be of an earlier bundle.
            let (before, _) = active::snapshot(host, zone).await?;
            let lifts = measure == Measure::Enable && before.disabled.contains(&whom.named());
            if !lifts && !matches!(whom, Whom::User(_)) {
                let active = active::reread(host, deployment, moment.now).await?;
                if !whom.is_in(&active.bundle) {
                    let what = format!("`{}`", crate::form::printable(whom.id()));
                    return Err(refuse(Reason::OperatorUnknown, what).into());
                }
            }
            let snapshot = principals::take(host, zone, measure, &whom, moment).await?;
            event.seq = Some(snapshot.seq);
            let taken = json!({ "measure": measure, "whom": whom, "seq": snapshot.seq });
            event.detail = Some(taken.to_string());
            Ok(taken)
        }
        Command::Keys => {
            let Keys { rotation } = body(request)?;
            // The algorithm is that of the bundle that is active now, not of one remembered.
            let active = active::reread(host, deployment, moment.now).await?;
            let rotated = rotate(host, zone, active.bundle.algorithm, rotation, moment).await?;
            event.seq = Some(rotated.snapshot.seq);
            let (kid, from) = (&rotated.kid, rotated.key.from);
            let made = json!({ "rotation": rotation, "kid": kid, "from": from });
            event.detail = Some(made.to_string());
            Ok(json!({
                "kid": kid,
                "from": from,
                "jwk": rotated.key.public,
                "keys": rotated.snapshot.keys.len(),
                "seq": rotated.snapshot.seq,
            }))
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Activate {
    bundle: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    rotation: Rotation,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Principals {
    measure: Measure,
    whom: Whom,
}

fn body<T: for<'de> Deserialize<'de>>(request: &Request) -> Result<T, Refusal> {
    serde_json::from_slice(&request.body)
        .map_err(|error| refuse(Reason::ParameterBad, format!("the body: {error}")))
}

fn refuse(reason: Reason, detail: impl Into<String>) -> Refusal {
    Refusal::request(reason, detail)
}

/// Verifies that the operator asks for exactly this, now, and once.
///
/// # Errors
///
/// It does not, or the store does not say.
pub(crate) async fn authenticate<H: Host>(
    host: &H,
    deployment: &Deployment,
    request: &Request,
    moment: &Moment,
) -> Result<(), Failure> {
    let refused = |what: &str| refuse(Reason::OperatorRefused, what);
    // Without a key there is no operator, and nothing that says so to a stranger.
    let key = deployment.operator.as_ref();
    let key = key.ok_or_else(|| refuse(Reason::NotFound, "no operator's key is set"))?;
    let mut headers = request.header("authorization");
    let (Some(header), None) = (headers.next(), headers.next()) else {
        return Err(refused("one `authorization` header is needed").into());
    };
    let scheme = header.split_at_checked("bearer ".len());
    let Some((_, token)) = scheme.filter(|(name, _)| name.eq_ignore_ascii_case("bearer ")) else {
        return Err(refused("not a bearer token").into());
    };
    let token = Unverified::parse(token.trim()).map_err(|fault| refused(&format!("{fault:?}")))?;
    if token.typ != TYP {
        return Err(refused("its `typ` is another").into());
    }
    let claims = match jwt::verify(host, token, key).await? {
        Verdict::Verified(claims) => claims,
        Verdict::Forged => return Err(refused("the signature is not the operator's").into()),
        Verdict::Malformed(what) => return Err(refused(&what).into()),
    };
    let told: OperatorToken = claims.read().map_err(|what| refused(&what))?;
    let now = moment.now;
    let lives = told.exp.since(told.iat) <= limits::OPERATOR_SECS
        && told.iat <= now.plus(limits::LEEWAY_SECS)
        && now < told.exp.plus(limits::LEEWAY_SECS);
    if !lives {
        return Err(refused("it is not of this time").into());
    }
    let query = request.query.as_deref().filter(|query| !query.is_empty());
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let path = format!("/{}{query}", request.path.trim_start_matches('/'));
    let expected = OperatorToken {
        iat: told.iat,
        exp: told.exp,
        ..OperatorToken::new(
            deployment,
            &request.method,
            &path,
            &request.body,
            told.jti.clone(),
            now,
        )
    };
    if told != expected {
        return Err(refused("it was made for another request").into());
    }
    spend(host, deployment, &told, moment).await
}

/// Spends the token, in the zone's partition.
async fn spend<H: Host>(
    host: &H,
    deployment: &Deployment,
    token: &OperatorToken,
    moment: &Moment,
) -> Result<(), Failure> {
    let key = format!("operator/{}", base64url(&tagged_hash("operator", &[token.jti.as_bytes()])));
    let expires = token.exp.plus(limits::LEEWAY_SECS.saturating_add(limits::CLAIM_MARGIN_SECS));
    let batch = Batch {
        id: moment.id("operator"),
        now: moment.now,
        until: None,
        expect: vec![Expect::Absent(key.clone())],
        write: vec![Write::Put(Record { key, value: Vec::new(), expires, version: 0 })],
        index: Vec::new(),
    };
    let partition = active::partition(&deployment.zone);
    match strong::commit(host, &partition, batch).await? {
        Commit::Done => Ok(()),
        Commit::Refused(_) => Err(refuse(Reason::OperatorRefused, "it was shown before").into()),
        Commit::Contended => {
            Err(Unavailable("the zone's partition is contended".to_owned()).into())
        }
    }
}
