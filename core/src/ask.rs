//! The token request, parsed: after [`Ask::parse`] nothing is a loose string that means something.
//!
//! A parameter that is present but bad fails the request. It never counts as absent, whatever the
//! request would have been without it (X08, CVE-2026-9704).

use std::collections::BTreeSet;

use base64ct::{Base64, Encoding};

use crate::active::Active;
use crate::bundle::TokenType;
use crate::client::{self, Client};
use crate::event::Event;
use crate::form::{Form, printable_word};
use crate::host::Host;
use crate::http::Request;
use crate::limits;
use crate::moment::{Moment, Timestamp};
use crate::parties;
use crate::refusal::{Failure, Reason, Refusal, Slot};
use crate::secret::Secret;
use crate::session;

/// What a caller asks of the token endpoint.
#[derive(Debug)]
pub struct Ask {
    /// The grant, with its tokens.
    pub grant: GrantType,
    /// How the client proves itself, where it does.
    pub client: Option<ClientProof>,
    /// The `client_id` parameter, where it is no part of a proof.
    pub client_id: Option<String>,
    /// The one target: `resource` (RFC 8707), or `audience` (RFC 8693 §2.1), or both where equal. `None`
    /// for a refresh token alone, which has its own.
    pub target: Option<String>,
    /// The scopes asked for. `None` where the parameter is absent, and the resource's defaults count.
    pub scopes: Option<BTreeSet<String>>,
    /// The task claimed, by name.
    pub task: Option<String>,
    /// The task's id.
    pub task_id: Option<String>,
    /// The proof of a key that the token is to be bound to (RFC 9449 §5).
    pub dpop: Option<Secret>,
}

/// The grants (RFC 6749 §4.4 and §6, RFC 8693 §2.1, RFC 7523 §2.1).
#[derive(Debug)]
pub enum GrantType {
    /// `client_credentials`
    ClientCredentials,
    /// `urn:ietf:params:oauth:grant-type:token-exchange`
    TokenExchange {
        /// On whose behalf.
        subject: Shown,
        /// Who acts, where it is not the client itself.
        actor: Option<Shown>,
        /// The type that the answer's `issued_token_type` names.
        requested: TokenType,
    },
    /// `urn:ietf:params:oauth:grant-type:jwt-bearer`
    JwtBearer {
        /// The assertion.
        assertion: Secret,
    },
    /// `refresh_token`
    RefreshToken {
        /// The refresh token.
        token: Secret,
    },
}

impl GrantType {
    /// The `grant_type` value.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::TokenExchange { .. } => "urn:ietf:params:oauth:grant-type:token-exchange",
            Self::JwtBearer { .. } => "urn:ietf:params:oauth:grant-type:jwt-bearer",
            Self::RefreshToken { .. } => "refresh_token",
        }
    }
}

/// A token and the type it is shown as.
#[derive(Debug)]
pub struct Shown {
    /// The token.
    pub token: Secret,
    /// Its claimed type.
    pub token_type: TokenType,
}

/// How a client proves itself (RFC 6749 §2.3, RFC 7523 §2.2).
#[derive(Debug)]
pub enum ClientProof {
    /// HTTP Basic: every reading of the header, in the order to try.
    Basic(Vec<(String, Secret)>),
    /// `client_id` and `client_secret` in the form.
    Post(String, Secret),
    /// `client_assertion`: `private_key_jwt`, or a platform's token.
    Assertion(Secret),
}

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:";

impl TokenType {
    /// The URN of RFC 8693 §3.
    #[must_use]
    pub const fn urn(self) -> &'static str {
        match self {
            Self::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            Self::IdToken => "urn:ietf:params:oauth:token-type:id_token",
            Self::Jwt => "urn:ietf:params:oauth:token-type:jwt",
        }
    }

    fn parse(urn: &str) -> Option<Self> {
        match urn.strip_prefix(TOKEN_TYPE)? {
            "access_token" => Some(Self::AccessToken),
            "id_token" => Some(Self::IdToken),
            "jwt" => Some(Self::Jwt),
            _ => None,
        }
    }
}

impl Ask {
    /// Parses a token request whose body is `form`.
    ///
    /// # Errors
    ///
    /// The first thing wrong with it.
    pub fn parse(request: &Request, form: &Form) -> Result<Self, Refusal> {
        let grant = grant(form)?;
        let client = client_proof(request, form)?;
        let client_id = name(form, "client_id")?;
        let target = match &grant {
            GrantType::RefreshToken { .. } if !is_targeted(form) => None,
            _ => Some(target(form)?),
        };
        Ok(Self {
            grant,
            client,
            client_id,
            scopes: scopes(form)?,
            task: name(form, "task")?,
            task_id: name(form, "task_id")?,
            target,
            dpop: dpop(request)?,
        })
    }
}

fn grant(form: &Form) -> Result<GrantType, Refusal> {
    let grant_type = form.required("grant_type")?;
    let foreign: &[&str] = match grant_type {
        "client_credentials" => &["subject_token", "actor_token", "assertion", "refresh_token"],
        "urn:ietf:params:oauth:grant-type:token-exchange" => &["assertion", "refresh_token"],
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
            &["subject_token", "actor_token", "refresh_token"]
        }
        "refresh_token" => &["subject_token", "actor_token", "assertion"],
        _ => &[],
    };
    if let Some(name) = foreign.iter().find(|name| form.text(name).is_some()) {
        let what = format!("`{name}` does not belong to this grant type");
        return Err(Refusal::request(Reason::ParameterBad, what));
    }
    let grant = match grant_type {
        "client_credentials" => GrantType::ClientCredentials,
        "urn:ietf:params:oauth:grant-type:token-exchange" => exchange(form)?,
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
            GrantType::JwtBearer { assertion: Secret::new(form.required("assertion")?) }
        }
        "refresh_token" => {
            GrantType::RefreshToken { token: Secret::new(form.required("refresh_token")?) }
        }
        other => {
            return Err(Refusal::request(Reason::GrantTypeUnsupported, printable_word(other)));
        }
    };
    Ok(grant)
}

fn exchange(form: &Form) -> Result<GrantType, Refusal> {
    let subject = Shown {
        token: Secret::new(form.required("subject_token")?),
        token_type: token_type(form.required("subject_token_type")?)?,
    };
    let actor = match (form.text("actor_token"), form.text("actor_token_type")) {
        (Some(token), Some(kind)) => {
            Some(Shown { token: Secret::new(token), token_type: token_type(kind)? })
        }
        (None, None) => None,
        (Some(_), None) => {
            let what = "`actor_token` without `actor_token_type`";
            return Err(Refusal::request(Reason::ParameterMissing, what));
        }
        (None, Some(_)) => {
            let what = "`actor_token_type` without `actor_token`";
            return Err(Refusal::request(Reason::ParameterBad, what));
        }
    };
    let requested = match form.text("requested_token_type").map(token_type).transpose()? {
        None => TokenType::AccessToken,
        Some(TokenType::IdToken) => {
            let what = "an id token is never issued";
            return Err(Refusal::request(Reason::TokenTypeUnsupported, what));
        }
        Some(requested) => requested,
    };
    Ok(GrantType::TokenExchange { subject, actor, requested })
}

fn token_type(urn: &str) -> Result<TokenType, Refusal> {
    TokenType::parse(urn)
        .ok_or_else(|| Refusal::request(Reason::TokenTypeUnsupported, printable_word(urn)))
}

/// One method of client authentication per request (RFC 6749 §2.3).
fn client_proof(request: &Request, form: &Form) -> Result<Option<ClientProof>, Refusal> {
    let mut headers = request.header("authorization");
    let header = headers.next();
    // Some platforms join equal headers with a comma (RFC 9110 §5.3), which credentials never have.
    if headers.next().is_some() || header.is_some_and(|header| header.contains(',')) {
        return Err(Refusal::request(Reason::ClientMethods, "two `authorization` headers"));
    }
    let secret = form.text("client_secret");
    let assertion = match (form.text("client_assertion_type"), form.text("client_assertion")) {
        (Some(ASSERTION_TYPE), Some(assertion)) => Some(Secret::new(assertion)),
        (None, None) => None,
        (Some(ASSERTION_TYPE), None) | (None, Some(_)) => {
            let what = "`client_assertion` and `client_assertion_type` belong together";
            return Err(Refusal::request(Reason::ParameterMissing, what));
        }
        (Some(other), _) => {
            return Err(Refusal::request(Reason::ParameterBad, printable_word(other)));
        }
    };
    match (header, secret, assertion) {
        (None, None, None) => Ok(None),
        (Some(header), None, None) => basic(header).map(Some),
        (None, Some(secret), None) => {
            let id = form.required("client_id")?;
            Ok(Some(ClientProof::Post(id.to_owned(), Secret::new(secret))))
        }
        (None, None, Some(assertion)) => Ok(Some(ClientProof::Assertion(assertion))),
        _ => Err(Refusal::request(Reason::ClientMethods, "more than one method")),
    }
}

/// One proof per request (RFC 9449 §4.3, check 1). A header that is there but empty, as one is whose
/// value could not be read, is a bad proof and not none.
fn dpop(request: &Request) -> Result<Option<Secret>, Refusal> {
    let mut headers = request.header("dpop");
    let header = headers.next();
    // A comma joins two of them, as in `authorization`.
    if headers.next().is_some() || header.is_some_and(|header| header.contains(',')) {
        return Err(Refusal::proof(Slot::Dpop, Reason::HeaderRefused, "two `dpop` headers"));
    }
    Ok(header.map(Secret::new))
}

/// The client of a request that is nothing without one, verified.
///
/// # Errors
///
/// It does not prove itself, or its `client_id` names another.
async fn authenticated<H: Host>(
    host: &H,
    zone: &Active,
    request: &Request,
    form: &Form,
    now: Timestamp,
    event: &mut Event,
) -> Result<Client, Failure> {
    let refuse = |reason, detail: String| Refusal::proof(Slot::Client, reason, detail);
    let proof = client_proof(request, form)?.ok_or_else(|| {
        refuse(Reason::ClientUnauthenticated, "an authenticated client is needed".to_owned())
    })?;
    // No proof of a key is looked for here, so an assertion that is bound to one is refused.
    let client = client::verify(host, zone, &proof, None, now).await?;
    event.client = Some(client.application.clone());
    if form.text("client_id").is_some_and(|id| id != client.application) {
        let detail = format!("the proof is `{}`'s", client.application);
        return Err(refuse(Reason::ClientIdDiffers, detail).into());
    }
    Ok(client)
}

/// As [`authenticated`], and spends the client's single-use proof: it asks `endpoint` once, whatever
/// it asks for and whatever comes of it.
///
/// # Errors
///
/// As [`authenticated`], and where the proof was spent before or the store does not say.
pub(crate) async fn authenticated_once<H: Host>(
    host: &H,
    zone: &Active,
    request: &Request,
    form: &Form,
    endpoint: &'static str,
    moment: &Moment,
    event: &mut Event,
) -> Result<Client, Failure> {
    let client = authenticated(host, zone, request, form, moment.now, event).await?;
    for (index, claim) in parties::client_claim(&client).iter().enumerate() {
        session::spend(host, zone, claim, endpoint, moment.now, index, moment).await?;
    }
    Ok(client)
}

/// Reads HTTP Basic as real clients send it (design §6): split at the last colon, since an
/// identifier may be a URL; the raw reading first, then the form-decoded one of RFC 6749 §2.3.1.
fn basic(header: &str) -> Result<ClientProof, Refusal> {
    let refuse = |what: &str| Refusal::proof(Slot::Client, Reason::ClientUnauthenticated, what);
    let (scheme, rest) = header.split_once(' ').unwrap_or((header, ""));
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(refuse("the `authorization` scheme is not Basic"));
    }
    let pair = Base64::decode_vec(rest.trim())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| refuse("the Basic credentials are not base64"))?;
    let (id, secret) =
        pair.rsplit_once(':').ok_or_else(|| refuse("the Basic credentials have no colon"))?;
    let mut readings = vec![(id.to_owned(), Secret::new(secret))];
    let decoded = crate::form::decode(id.as_bytes()).zip(crate::form::decode(secret.as_bytes()));
    if let Some((decoded_id, decoded_secret)) = decoded
        && (decoded_id != id || decoded_secret != secret)
    {
        readings.push((decoded_id, Secret::new(decoded_secret)));
    }
    Ok(ClientProof::Basic(readings))
}

fn is_targeted(form: &Form) -> bool {
    form.all("resource").chain(form.all("audience")).next().is_some()
}

/// One target (design §6): `audience` equal to `resource` is one.
fn target(form: &Form) -> Result<String, Refusal> {
    let named: BTreeSet<&str> = form.all("resource").chain(form.all("audience")).collect();
    let mut named = named.into_iter();
    match (named.next(), named.next()) {
        (Some(target), None) if target.len() <= limits::SUBJECT_BYTES => Ok(target.to_owned()),
        (Some(_), None) => Err(Refusal::request(Reason::TargetUnknown, "the target is too long")),
        (Some(_), Some(_)) => Err(Refusal::request(Reason::TargetMissing, "several targets")),
        (None, _) => Err(Refusal::request(Reason::TargetMissing, "no target")),
    }
}

/// Scope tokens of RFC 6749 §3.3, separated by single spaces.
fn scopes(form: &Form) -> Result<Option<BTreeSet<String>>, Refusal> {
    let Some(text) = form.text("scope") else {
        return Ok(None);
    };
    let bad = |what: String| Refusal::request(Reason::ScopeMalformed, what);
    let mut scopes = BTreeSet::new();
    for scope in text.split(' ') {
        if !is_scope(scope) || scope.len() > limits::NAME_BYTES {
            return Err(bad("not a scope-token of RFC 6749 §3.3, or too long".to_owned()));
        }
        scopes.insert(scope.to_owned());
        if scopes.len() > limits::SCOPES {
            return Err(bad("too many scopes".to_owned()));
        }
    }
    Ok(Some(scopes))
}

/// Whether the text is a scope-token of RFC 6749 §3.3.
#[must_use]
pub fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// A short name of visible ASCII.
fn name(form: &Form, parameter: &'static str) -> Result<Option<String>, Refusal> {
    match form.text(parameter) {
        None => Ok(None),
        Some(text) if is_name(text) => Ok(Some(text.to_owned())),
        Some(_) => Err(Refusal::request(
            Reason::ParameterBad,
            format!("`{parameter}` is not a short name of visible characters"),
        )),
    }
}

/// Whether the text is at most [`limits::NAME_BYTES`] of visible ASCII.
#[must_use]
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= limits::NAME_BYTES
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}
