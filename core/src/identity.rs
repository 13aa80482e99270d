//! Who a token's bearer is.
//!
//! One function for every slot and every issuer: issuer row → key → signature → claims → rule.
//! Our own issuer is one more row. What it returns has been verified, and nothing else makes it.
//!
//! An upstream token says who its bearer is and nothing more: its `scope`, `act`, `client_id` and
//! `roles` never enter the grant, unless the operator declared one of them as a claim for policy.

use serde_json::Value;

use crate::active::{Active, Named};
use crate::bundle::{Bearer, Issuer, Rule, SingleUse, SubjectKind, TokenType};
use crate::dpop;
use crate::encoding::{base64url, hex, tagged_hash};
use crate::host::Host;
use crate::jwt::{self, Claims, TokenFault, Unverified, Verdict};
use crate::keyset::{self, Found, Owner};
use crate::limits;
use crate::moment::Timestamp;
use crate::own::OwnToken;
use crate::refusal::{Failure, Reason, Refusal, Slot};
use crate::rule;
use crate::secret::Secret;

/// A person or an application, by the id that tokens, policies and the record use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// A person: `user:NAMESPACE:SUBJECT`, known by issuer and subject. No namespace has a colon.
    User(String),
    /// An application, by its identifier. None starts with `user:`.
    Application(String),
}

impl Principal {
    /// The id.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::User(id) | Self::Application(id) => id,
        }
    }

    /// The name by which the snapshot disables it or cuts it off.
    #[must_use]
    pub fn named(&self) -> Named {
        match self {
            Self::User(id) => Named::user(id),
            Self::Application(id) => Named::application(id),
        }
    }
}

/// A verified bearer.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Who it is.
    pub principal: Principal,
    /// The first instant at which its token is no longer valid.
    pub expires: Timestamp,
    /// A hash of what its token's signature is made over.
    pub proof: [u8; 32],
    /// Whose token it was.
    pub source: Source,
}

/// Whose token it was.
#[derive(Clone, Debug)]
pub enum Source {
    /// An issuer of the bundle's.
    External(Box<External>),
    /// Our own.
    Own(Box<OwnToken>),
}

/// What an external token tells besides who its bearer is.
#[derive(Clone, Debug)]
pub struct External {
    /// The issuer's row.
    pub row: String,
    /// The rule that it matched.
    pub rule: String,
    /// The name of the claim on it, where it may be used once only.
    pub single_use: Option<String>,
    /// The application it was made for, where its issuer's row names the claim.
    pub client: Option<String>,
    /// Whether it identifies the client alone, without client authentication.
    pub alone: bool,
    /// The task that its rule names.
    pub task: Option<String>,
    /// The task's id, from the claim that its rule names.
    pub task_id: Option<String>,
    /// The device, from the claim that its row names.
    pub device: Option<String>,
    /// The verified claims, for the declared ones among them.
    pub claims: Claims,
}

/// Verifies a token shown in `slot`, as the type that it is shown as where the slot has one. `key` is the
/// thumbprint of the key that the request brings a proof of: whoever calls this verifies that proof too,
/// before anything comes of the token.
///
/// # Errors
///
/// The token is not acceptable, or keys cannot be had.
pub async fn verify<H: Host>(
    host: &H,
    zone: &Active,
    slot: Slot,
    shown: Option<TokenType>,
    token: &Secret,
    key: Option<&str>,
    now: Timestamp,
) -> Result<Identity, Failure> {
    let token = parse(slot, token)?;
    if token.issuer() == Some(&zone.bundle.issuer) {
        return crate::own::verify(host, zone, slot, shown, token, key, now).await;
    }
    let (row, issuer) = row(zone, slot, &token)?;
    let refuse =
        |reason, detail: String| Refusal::proof(slot, reason, format!("`{row}`: {detail}"));
    check_form(issuer, slot, shown, &token).map_err(|(reason, detail)| refuse(reason, detail))?;
    let signer = signer(host, zone, row, issuer, slot, &token, now).await?;
    let proof = token.proof();
    let claims = match jwt::verify(host, token, &signer).await? {
        Verdict::Verified(claims) => claims,
        Verdict::Forged => return Err(refuse(Reason::SignatureWrong, String::new()).into()),
        Verdict::Malformed(what) => return Err(refuse(Reason::TimeMalformed, what).into()),
    };
    let expires = check_time(&claims, issuer.lifetime_secs, now)
        .and_then(|expires| check_claims(issuer, &claims, key).map(|()| expires))
        .map_err(|(reason, detail)| refuse(reason, detail))?;
    let (id, rule) =
        rule::matching(zone, row, &claims).map_err(|(reason, detail)| refuse(reason, detail))?;
    bearer(zone, row, issuer, id, rule, claims)
        .map(|(principal, external)| Identity {
            principal,
            expires,
            proof,
            source: Source::External(Box::new(external)),
        })
        .map_err(|(reason, detail)| refuse(reason, detail).into())
}

/// Why a token is refused, and the particulars for the record.
pub(crate) type Fault = (Reason, String);

/// Takes a token apart, before anybody vouches for it.
///
/// # Errors
///
/// It cannot be read, or is of a form that we refuse.
pub fn parse(slot: Slot, token: &Secret) -> Result<Unverified<'_>, Refusal> {
    Unverified::parse(token.expose()).map_err(|fault| unreadable(slot, fault))
}

/// The refusal of what was shown in `slot` and cannot be read.
pub(crate) fn unreadable(slot: Slot, fault: TokenFault) -> Refusal {
    let (reason, detail) = match fault {
        TokenFault::Oversized => (Reason::TokenTooLarge, String::new()),
        TokenFault::Malformed(what) => (Reason::TokenMalformed, what),
        TokenFault::Algorithm(name) => {
            (Reason::AlgorithmRefused, format!("`{}`", crate::form::printable(&name)))
        }
        TokenFault::Header(what) => (Reason::HeaderRefused, what),
    };
    Refusal::proof(slot, reason, detail)
}

/// The row of the token's issuer, found before anything is fetched: exactly this `iss`, and an
/// audience that is ours (J16, J17, K10).
fn row<'a>(
    zone: &'a Active,
    slot: Slot,
    token: &Unverified<'_>,
) -> Result<(&'a str, &'a Issuer), Refusal> {
    let refuse = |reason, detail: String| Refusal::proof(slot, reason, detail);
    let claimed = token.issuer().unwrap_or_default();
    let rows = zone.issuers.get(claimed).map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        let issuer = crate::form::printable(claimed);
        return Err(refuse(Reason::IssuerUnknown, format!("`{issuer}`")));
    }
    let audiences = audiences(token.unverified_claim("aud"));
    let addressed = |issuer: &Issuer| {
        let ours = |aud: &&str| issuer.audience.iter().any(|own| own == aud);
        match audiences.as_slice() {
            [only] => ours(only),
            several => issuer.several_audiences && several.iter().any(ours),
        }
    };
    let mut found = rows
        .iter()
        .filter_map(|row| zone.bundle.issuers.get_key_value(row))
        .filter(|(_, issuer)| addressed(issuer));
    match (found.next(), found.next()) {
        (Some((row, issuer)), None) => Ok((row, issuer)),
        (Some(_), Some(_)) => {
            Err(refuse(Reason::IssuerUnknown, "two rows fit the token".to_owned()))
        }
        (None, _) => {
            let listed = crate::form::printable(&audiences.join(" "));
            Err(refuse(Reason::AudienceWrong, format!("`{claimed}`: the audience is `{listed}`")))
        }
    }
}

/// The audiences of an `aud` claim; none where it is anything but a string or an array of strings.
#[must_use]
pub fn audiences(claim: Option<&Value>) -> Vec<&str> {
    match claim {
        Some(Value::String(only)) => vec![only],
        Some(Value::Array(several)) => {
            several.iter().map(Value::as_str).collect::<Option<_>>().unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// What can be told before the signature: type, algorithm, slot.
fn check_form(
    issuer: &Issuer,
    slot: Slot,
    shown: Option<TokenType>,
    token: &Unverified<'_>,
) -> Result<(), Fault> {
    if !issuer.algorithms.contains(&token.algorithm) {
        return Err((Reason::AlgorithmRefused, format!("`{}`", token.algorithm.name())));
    }
    if !issuer.typ.contains(&token.typ) {
        let typ = crate::form::printable(&token.typ);
        return Err((Reason::TypeWrong, format!("the header's `typ` is `{typ}`")));
    }
    if let Some(shown) = shown
        && !issuer.token_types.contains(&shown)
    {
        return Err((Reason::TypeWrong, format!("shown as `{}`", shown.urn())));
    }
    if issuer.subject == SubjectKind::User && matches!(slot, Slot::Client | Slot::Actor) {
        return Err((Reason::TypeWrong, "a user's token proves no application".to_owned()));
    }
    // Logout tokens, security events and DPoP proofs may be signed by the same keys (J19).
    if let Some(name) =
        ["events", "htm", "htu"].into_iter().find(|name| token.unverified_claim(name).is_some())
    {
        return Err((Reason::TypeWrong, format!("`{name}` is present")));
    }
    Ok(())
}

async fn signer<H: Host>(
    host: &H,
    zone: &Active,
    row: &str,
    issuer: &Issuer,
    slot: Slot,
    token: &Unverified<'_>,
    now: Timestamp,
) -> Result<crate::jwk::PublicKey, Failure> {
    if token.kid.is_none() && !issuer.kid_optional {
        return Err(Refusal::proof(slot, Reason::KeyUnknown, format!("`{row}`: no `kid`")).into());
    }
    let owner = Owner {
        zone: &zone.bundle.zone,
        kind: "issuer",
        id: row,
        source: &issuer.keys,
        loopback: zone.bundle.danger_allow_http_loopback,
    };
    match keyset::find(host, &owner, token.kid.as_deref(), token.algorithm, now).await? {
        Found::Key(key) => Ok(key),
        Found::Unknown => {
            let kid = crate::form::printable(token.kid.as_deref().unwrap_or_default());
            Err(Refusal::proof(slot, Reason::KeyUnknown, format!("`{row}`: `{kid}`")).into())
        }
    }
}

/// Checks `exp`, `iat` and `nbf`, and returns `exp`. Lifetime counts from `iat`, since some issuers
/// set `nbf` minutes before it.
///
/// # Errors
///
/// Reason and particulars.
pub fn check_time(claims: &Claims, cap_secs: i64, now: Timestamp) -> Result<Timestamp, Fault> {
    let expires = needed_time(claims, "exp")?;
    let issued = needed_time(claims, "iat")?;
    let not_before = time(claims, "nbf")?;
    if now > expires.plus(limits::LEEWAY_SECS) {
        return Err((Reason::Expired, format!("{} s ago", now.since(expires))));
    }
    if issued > now.plus(limits::LEEWAY_SECS) {
        return Err((Reason::IssuedInFuture, format!("in {} s", issued.since(now))));
    }
    if let Some(not_before) = not_before {
        if not_before > now.plus(limits::LEEWAY_SECS) {
            return Err((Reason::NotYetValid, format!("for {} s", not_before.since(now))));
        }
        if not_before > expires {
            return Err((Reason::TimeMalformed, "`nbf` is after `exp`".to_owned()));
        }
    }
    let life = expires.since(issued);
    if life > cap_secs || life < 0 {
        return Err((Reason::LifetimeTooLong, format!("{life} s, {cap_secs} s accepted")));
    }
    Ok(expires)
}

/// The time claim `name`, where there is one: a whole number of seconds until the year 9999 (J14).
pub(crate) fn time(claims: &Claims, name: &str) -> Result<Option<Timestamp>, Fault> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_i64() {
            Some(at) if (1..=253_402_300_799).contains(&at) => Ok(Some(Timestamp(at))),
            _ => Err((Reason::TimeMalformed, format!("`{name}` is no NumericDate"))),
        },
    }
}

/// As [`time`], where there must be one.
pub(crate) fn needed_time(claims: &Claims, name: &str) -> Result<Timestamp, Fault> {
    let missing = || (Reason::TimeMalformed, format!("`{name}` is missing"));
    time(claims, name)?.ok_or_else(missing)
}

fn check_claims(issuer: &Issuer, claims: &Claims, key: Option<&str>) -> Result<(), Fault> {
    dpop::check_confirmation(claims, key)?;
    match issuer.require.iter().find(|condition| !rule::holds(condition, claims)) {
        Some(failed) => Err((Reason::ConditionFailed, rule::expectation(failed, claims))),
        None => Ok(()),
    }
}

fn bearer(
    zone: &Active,
    row: &str,
    issuer: &Issuer,
    id: &str,
    rule: &Rule,
    claims: Claims,
) -> Result<(Principal, External), Fault> {
    let subject = stable_id(issuer, &claims)?;
    let principal = match &rule.bearer {
        Bearer::Application(application) => Principal::Application(application.clone()),
        Bearer::User => Principal::User(format!("user:{}:{subject}", issuer.namespace)),
    };
    for named in [principal.named(), Named::rule(id)] {
        if zone.is_disabled(&named) {
            return Err((Reason::CutOff, format!("`{id}` or its bearer is disabled")));
        }
    }
    let single_use = single_use(zone, issuer, &subject, &claims)?;
    let short = |pointer: &Option<String>| -> Result<Option<String>, Fault> {
        let Some(pointer) = pointer else { return Ok(None) };
        short_text(&claims, pointer)
    };
    let external = External {
        row: row.to_owned(),
        rule: id.to_owned(),
        single_use,
        client: client(issuer, &claims),
        alone: rule.alone,
        task: rule.task.clone(),
        task_id: short(&rule.task_id)?,
        device: short(&issuer.device_claim)?,
        claims,
    };
    Ok((principal, external))
}

/// The bearer's stable id. It goes into ids that we mint and people read, so it has no character
/// that cannot be seen (J18).
fn stable_id(issuer: &Issuer, claims: &Claims) -> Result<String, Fault> {
    let subject = claims.pointer(&issuer.subject_claim).and_then(Value::as_str);
    let refuse =
        |what: &str| (Reason::SubjectRefused, format!("`{}` {what}", issuer.subject_claim));
    let subject = subject.ok_or_else(|| refuse("is missing or no string"))?;
    if subject.len() > limits::SUBJECT_BYTES {
        return Err(refuse("is too long"));
    }
    // Cloudflare's service tokens have an empty subject, and a rule says who they are.
    if subject.is_empty() && issuer.subject == SubjectKind::User {
        return Err(refuse("is empty"));
    }
    if subject.chars().any(crate::zone::hidden) {
        return Err(refuse("has control or format characters"));
    }
    Ok(subject.to_owned())
}

/// The name of the claim on a single-use token. Issuers and zones never share one (J22).
fn single_use(
    zone: &Active,
    issuer: &Issuer,
    subject: &str,
    claims: &Claims,
) -> Result<Option<String>, Fault> {
    if issuer.single_use == SingleUse::Never {
        return Ok(None);
    }
    let id = claims.pointer(&issuer.token_id).and_then(Value::as_str).filter(|id| !id.is_empty());
    match id {
        Some(id) => {
            let issuer = claims.text("iss").unwrap_or_default();
            Ok(Some(claim_name(&zone.bundle.zone, issuer, subject, id)))
        }
        None if issuer.single_use == SingleUse::WhenPresent => Ok(None),
        None => Err((Reason::TokenIdMissing, format!("`{}` is missing", issuer.token_id))),
    }
}

/// The session that a single-use token opens, and the partition in which it is spent (design §2).
#[must_use]
pub fn claim_name(zone: &str, issuer: &str, subject: &str, id: &str) -> String {
    let parts = [zone, issuer, subject, id].map(str::as_bytes);
    base64url(&tagged_hash("single-use", &parts))
}

/// The application that a user's token was made for.
fn client(issuer: &Issuer, claims: &Claims) -> Option<String> {
    let named = match claims.pointer(issuer.client_claim.as_ref()?)? {
        Value::Array(several) => match several.as_slice() {
            [Value::String(only)] => only,
            _ => return None,
        },
        Value::String(named) => named,
        _ => return None,
    };
    Some(issuer.clients.get(named).unwrap_or(named).clone())
}

fn short_text(claims: &Claims, pointer: &str) -> Result<Option<String>, Fault> {
    let text = match claims.pointer(pointer) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return Err((Reason::ConditionFailed, format!("`{pointer}` is no string"))),
    };
    if crate::ask::is_name(&text) {
        Ok(Some(text))
    } else {
        Err((Reason::ConditionFailed, format!("`{pointer}` is not a short name")))
    }
}

impl Identity {
    /// How the record names the token.
    #[must_use]
    pub fn proof_name(&self) -> String {
        hex(self.proof.get(..8).unwrap_or_default())
    }

    /// The external token's particulars, where it was one.
    #[must_use]
    pub fn external(&self) -> Option<&External> {
        match &self.source {
            Source::External(external) => Some(external),
            Source::Own(_) => None,
        }
    }

    /// Our own token's particulars, where it was one.
    #[must_use]
    pub fn own(&self) -> Option<&OwnToken> {
        match &self.source {
            Source::Own(own) => Some(own),
            Source::External(_) => None,
        }
    }
}
