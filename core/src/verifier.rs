//! For resource servers: whether a token that was shown to one is a zone's, meant for it, in the right
//! hands and alive, judged from what the zone publishes and without asking it about the token.
//!
//! Everything a token must be is checked here, in one order, and each check that fails has a
//! [`Reason`]. What cannot be checked because the zone does not answer is no verdict at all:
//! [`Rejected::Unknown`], which a resource answers with 503. Nothing here decides what a caller may do
//! at the resource but [`Verified::requires`].
//!
//! RFC 6750 (bearer tokens), RFC 9068 §4 (what to check), RFC 9449 §7 (bound tokens),
//! draft-ietf-oauth-status-list §8.3. How late a resource learns of what is docs/verifying.md's.

use std::borrow::Cow;

use serde_json::Value;

use crate::bundle::KeySource;
use crate::host::{Outside, Unavailable};
use crate::jwk::PublicKey;
use crate::jwt::{self, Claims, TokenFault, Unverified, Verdict};
use crate::keyset::{self, Found, Owner};
use crate::limits;
use crate::moment::Timestamp;
use crate::own;

pub use self::list::Standing;
use self::rejected::Fault;
pub use self::rejected::{Check, Reason, Refused, Rejected, Scheme};

mod binding;
mod inflate;
mod list;
mod rejected;

/// What a resource server trusts, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    /// The zone's issuer, a bare origin such as `https://auth.example`. Tokens of no other count, and
    /// keys and lists come from this origin alone.
    pub issuer: String,
    /// The resource as the zone knows it, which a token's `aud` must equal.
    pub audience: String,
    /// How status lists count.
    pub status: Status,
    /// Allows plain `http` where the issuer is a loopback address.
    pub danger_allow_http_loopback: bool,
}

/// How status lists count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// A token is good while a list says so that has not expired: one for each minute (`ttl`), or the last
    /// one where no newer is to be had, until its `exp` and [`limits::LEEWAY_SECS`]. Then nobody is let in
    /// until there is one again. A token that names no list is none of a zone's, and is refused.
    #[default]
    Required,
    /// Where there is none that has not expired, the last one counts as far as it says that a token is
    /// dead, and what it does not say so of is good until it expires; so is a token that names no list.
    Preferred,
    /// No list is asked for, and a token is good until it expires.
    Ignored,
}

/// What an instance of a resource remembers. Nothing of it is a fact: losing it costs fetches, and that
/// a proof of the last minute may be shown once more.
#[derive(Default)]
pub(crate) struct Remembered {
    lists: list::Lists,
    proofs: binding::Proofs,
}

impl Verifier {
    /// A verifier that fails closed.
    #[must_use]
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            status: Status::default(),
            danger_allow_http_loopback: false,
        }
    }

    /// The zone's key that a token names. A token without a `kid` names none: every one of a zone's does.
    async fn key<O: Outside>(
        &self,
        outside: &O,
        token: &Unverified<'_>,
        now: Timestamp,
    ) -> Result<Option<PublicKey>, Unavailable> {
        let Some(kid) = token.kid.as_deref() else { return Ok(None) };
        let source = KeySource::Discovery {
            url: format!("{}{METADATA}", self.issuer),
            issuer: self.issuer.clone(),
            keys_host: None,
        };
        let owner = Owner {
            zone: "",
            kind: "verifier",
            id: &self.issuer,
            source: &source,
            loopback: self.danger_allow_http_loopback,
        };
        match keyset::find(outside, &owner, Some(kid), token.algorithm, now).await? {
            Found::Key(key) => Ok(Some(key)),
            Found::Unknown => Ok(None),
        }
    }
}

/// A request, as far as it says who calls.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The absolute URL that the caller sees: where the resource is behind a proxy, the proxy's. Query
    /// and fragment do not count.
    pub url: &'a str,
    /// The headers, with names in any case. Only `Authorization` and `DPoP` are read; a token anywhere
    /// else in a request is none (RFC 6750 §5.3).
    pub headers: &'a [(String, String)],
}

impl<'a> Call<'a> {
    fn header(&self, name: &str) -> Vec<&'a str> {
        let named = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The token and the scheme that it was shown with.
    fn credentials(&self) -> Result<(Scheme, &'a str), Fault> {
        let shown = self.header("authorization");
        let shown = match shown.as_slice() {
            [] => return Err(Reason::Missing.with("there is no `Authorization` header")),
            [shown] => *shown,
            _ => return Err(Reason::Repeated.with("`Authorization` is there twice")),
        };
        let (scheme, token) = shown.split_once(' ').unwrap_or((shown, ""));
        // RFC 9110 §11.1: schemes are compared without case.
        let known = [Scheme::Bearer, Scheme::DPoP];
        let found = known.into_iter().find(|known| scheme.eq_ignore_ascii_case(known.name()));
        // What else somebody proves is not for us, as if it were not there (RFC 6750 §3.1).
        let found = found.ok_or_else(|| Reason::Missing.with("the scheme is another"))?;
        Ok((found, token.trim_start_matches(' ')))
    }
}

/// A caller that may be let in: what its token says, of which everything was checked. Only [`verify`]
/// makes one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verified {
    /// On whose behalf (`sub`).
    pub subject: String,
    /// Who acts, the current actor first; none where the subject acts itself. Only the first is for
    /// decisions, the others say how it came about (RFC 8693 §4.1).
    pub actors: Vec<String>,
    /// The application that the token was issued to (`client_id`).
    pub client_id: String,
    /// The scopes; none where the resource has none.
    pub scopes: Vec<String>,
    /// The task's name, and its id where it has one.
    pub task: Option<(String, Option<String>)>,
    /// The session (`sid`).
    pub session: String,
    /// The token's id (`jti`).
    pub id: String,
    /// When it expires. It is accepted for [`limits::LEEWAY_SECS`] longer.
    pub expires: Timestamp,
    /// The thumbprint of the key that it is bound to (RFC 9449 §6), of which the caller showed a proof.
    pub key: Option<String>,
    /// What is known of its revocation.
    pub standing: Standing,
    /// All claims.
    pub claims: Claims,
    scheme: Scheme,
    realm: String,
}

impl Verified {
    /// Demands a scope.
    ///
    /// # Errors
    ///
    /// The token does not have it: 403 `insufficient_scope` (RFC 6750 §3.1).
    pub fn requires(&self, scope: &str) -> Result<(), Rejected> {
        if self.scopes.iter().any(|own| own == scope) {
            return Ok(());
        }
        let fault = Reason::ScopeMissing.with(format!("the token has no scope `{scope}`"));
        let mut rejected = fault.answer(self.scheme, &self.realm);
        if let Rejected::Refused(refused) = &mut rejected {
            refused.scope = Some(scope.to_owned());
        }
        Err(rejected)
    }
}

/// Verifies the caller of a request.
///
/// Fetches the zone's metadata, keys and lists where what this instance remembers of them is too old
/// or is not there; otherwise nothing but the signature takes time.
///
/// # Errors
///
/// The caller is not to be let in, and why; or that cannot be told now.
pub async fn verify<O: Outside>(
    outside: &O,
    verifier: &Verifier,
    call: &Call<'_>,
    now: Timestamp,
) -> Result<Verified, Rejected> {
    let realm = &verifier.audience;
    let (scheme, token) =
        call.credentials().map_err(|fault| fault.answer(Scheme::Bearer, realm))?;
    let verified = judge(outside, verifier, call, scheme, token, now).await;
    verified.map_err(|fault| fault.answer(scheme, realm))
}

async fn judge<O: Outside>(
    outside: &O,
    verifier: &Verifier,
    call: &Call<'_>,
    scheme: Scheme,
    token: &str,
    now: Timestamp,
) -> Result<Verified, Fault> {
    let parsed =
        Unverified::parse(token).map_err(|fault| Reason::Malformed.with(malformed(&fault)))?;
    if parsed.typ != own::TYP {
        return Err(Reason::TypeWrong.with(format!("its `typ` is `{}`", shown(&parsed.typ))));
    }
    if parsed.issuer() != Some(&verifier.issuer) {
        let issuer = shown(parsed.issuer().unwrap_or_default());
        return Err(Reason::IssuerWrong.with(format!("its `iss` is `{issuer}`")));
    }
    let key = verifier.key(outside, &parsed, now).await;
    let Some(key) = key.map_err(|unavailable| Fault::Unknown(Check::Key, unavailable))? else {
        let kid = shown(parsed.kid.as_deref().unwrap_or_default());
        let algorithm = parsed.algorithm.name();
        return Err(Reason::KeyUnknown.with(format!("no {algorithm} key `{kid}` is published")));
    };
    let claims = match jwt::verify(outside, parsed, &key).await {
        Ok(Verdict::Verified(claims)) => claims,
        Ok(Verdict::Forged) => return Err(Reason::SignatureWrong.with("the key did not make it")),
        Ok(Verdict::Malformed(what)) => return Err(Reason::ClaimsMalformed.with(what)),
        Err(unavailable) => return Err(Fault::Unknown(Check::Signature, unavailable)),
    };
    let mut verified = read(claims, scheme, verifier)?;
    lifetime(&verified, now)?;
    binding::check(outside, &verified, call, token, now).await?;
    verified.standing = list::standing(outside, verifier, &verified.claims, now).await?;
    Ok(verified)
}

/// Takes the claims apart, and compares the audience. Claims that are not known are left alone.
fn read(claims: Claims, scheme: Scheme, verifier: &Verifier) -> Result<Verified, Fault> {
    // One resource a token, so one string: a list of audiences is nothing that a zone issues.
    if claims.text("aud") != Some(&verifier.audience) {
        let audience = match claims.get("aud") {
            Some(Value::String(audience)) => format!("it is for `{}`", shown(audience)),
            Some(_) => "its `aud` is no string".to_owned(),
            None => "it has no `aud`".to_owned(),
        };
        return Err(Reason::AudienceWrong.with(audience));
    }
    let text = |name: &str| {
        let found = claims.text(name).filter(|text| !text.is_empty()).map(str::to_owned);
        found.ok_or_else(|| Reason::ClaimsMalformed.with(format!("it has no `{name}`")))
    };
    let words =
        |text: &str| text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    let pointed =
        |pointer: &str| claims.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    Ok(Verified {
        subject: text("sub")?,
        actors: actors(claims.get("act"))?,
        client_id: text("client_id")?,
        scopes: claims.text("scope").map(words).unwrap_or_default(),
        task: pointed("/task/name").map(|name| (name, pointed("/task/id"))),
        session: text("sid")?,
        id: text("jti")?,
        expires: instant(&claims, "exp")?,
        key: claims.get("cnf").map(bound_to).transpose()?,
        standing: Standing::Unlisted,
        scheme,
        realm: verifier.audience.clone(),
        claims,
    })
}

/// The key that a token is bound to (RFC 9449 §6.1). What else it were bound to, nobody would prove here.
fn bound_to(cnf: &Value) -> Result<String, Fault> {
    let only = cnf.as_object().filter(|members| members.len() == 1);
    let jkt = only.and_then(|members| members.get("jkt")).and_then(Value::as_str);
    jkt.map(str::to_owned)
        .ok_or_else(|| Reason::ClaimsMalformed.with("its `cnf` is more or other than a `jkt`"))
}

/// Flattens `act`, the current actor first.
fn actors(act: Option<&Value>) -> Result<Vec<String>, Fault> {
    let mut actors = Vec::new();
    let mut next = act;
    while let Some(act) = next {
        let sub = act.get("sub").and_then(Value::as_str);
        let sub = sub.ok_or_else(|| Reason::ClaimsMalformed.with("an actor in it has no `sub`"))?;
        actors.push(sub.to_owned());
        next = act.get("act");
    }
    Ok(actors)
}

fn instant(claims: &Claims, name: &str) -> Result<Timestamp, Fault> {
    let found = claims.get(name).and_then(Value::as_i64).map(Timestamp);
    found
        .ok_or_else(|| Reason::ClaimsMalformed.with(format!("it has no `{name}` in whole seconds")))
}

/// Whether it is the token's time, with some difference allowed between the zone's clock and ours.
fn lifetime(verified: &Verified, now: Timestamp) -> Result<(), Fault> {
    if now >= verified.expires.plus(limits::LEEWAY_SECS) {
        let ago = now.since(verified.expires);
        return Err(Reason::Expired.with(format!("it expired {ago} s ago")));
    }
    let mut starts = instant(&verified.claims, "iat")?;
    if verified.claims.get("nbf").is_some() {
        starts = starts.max(instant(&verified.claims, "nbf")?);
    }
    if starts > now.plus(limits::LEEWAY_SECS) {
        let ahead = starts.since(now);
        return Err(Reason::NotYetValid.with(format!("it begins in {ahead} s")));
    }
    Ok(())
}

/// What is wrong with a token that cannot be read.
fn malformed(fault: &TokenFault) -> Cow<'static, str> {
    match fault {
        TokenFault::Oversized => "it is too long".into(),
        TokenFault::Malformed(what) => format!("it is no JWT: {what}").into(),
        TokenFault::Algorithm(name) => format!("its `alg` is `{}`", shown(name)).into(),
        TokenFault::Header(what) => format!("its header: {what}").into(),
    }
}

/// Text of others, as a log may hold it.
fn shown(text: &str) -> String {
    crate::form::printable(text)
}

/// Where a zone's metadata is (RFC 8414 §3): issuers are bare origins.
const METADATA: &str = "/.well-known/oauth-authorization-server";
