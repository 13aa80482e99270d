//! Token introspection (RFC 7662, and signed RFC 9701): whether a token of ours is alive, asked of the
//! strong store.
//!
//! Only an authenticated application is answered, and only about tokens that are addressed to it: the
//! owner of the token's resource, or the application that the token names as its audience. To
//! everybody else, and of any token that is no good for whatever reason, the answer is that it is not
//! active, and nothing more.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::active::{self, Active};
use crate::ask;
use crate::client;
use crate::deployment::Deployment;
use crate::event::Event;
use crate::form::Form;
use crate::host::{Host, Unavailable};
use crate::http::Request;
use crate::jwt;
use crate::moment::{Moment, Timestamp};
use crate::own::{self, OwnToken};
use crate::refusal::{Failure, Reason, Refusal, Slot};
use crate::secret::Secret;
use crate::session;

/// The media type of a signed answer (RFC 9701 §5), and its `typ` without the prefix.
pub const SIGNED: &str = "application/token-introspection+jwt";

/// What introspection answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// A JSON document.
    Plain(Value),
    /// The document in a JWT that the zone signed for the caller.
    Signed(String),
}

/// Says whether the token of a request is active.
///
/// # Errors
///
/// The client does not prove itself, or the store does not say.
pub async fn introspect<H: Host>(
    host: &H,
    deployment: &Deployment,
    zone: &Active,
    request: &Request,
    form: &Form,
    moment: &Moment,
    event: &mut Event,
) -> Result<Told, Failure> {
    let token = Secret::new(form.required("token")?);
    let caller =
        ask::authenticated_once(host, zone, request, form, "introspection", moment, event).await?;
    // A live token is not called dead because this instance has not heard of what it rests on.
    let mut found = look(host, zone, &caller, &token, moment).await;
    let newer = match &found {
        Err(failure) => active::newer(host, deployment, failure, event, moment.now).await?,
        Ok(_) => None,
    };
    let zone = newer.as_deref().unwrap_or(zone);
    if newer.is_some() {
        found = look(host, zone, &caller, &token, moment).await;
    }
    let document = match found {
        Ok(own) => {
            event.session = Some(own.sid.clone());
            event.subject = Some(own.sub.clone());
            document(&own)?
        }
        Err(Failure::Refused(refusal)) => {
            event.reason = Some(refusal.reason.code());
            event.detail = Some(refusal.detail);
            json!({ "active": false })
        }
        Err(unavailable) => return Err(unavailable),
    };
    let wants_signed = request.header("accept").any(|accept| accept.contains(SIGNED));
    if !wants_signed {
        return Ok(Told::Plain(document));
    }
    sign(host, zone, &caller.application, document, moment.now).await.map(Told::Signed)
}

/// The token's claims, if it is alive and the caller's to ask about.
async fn look<H: Host>(
    host: &H,
    zone: &Active,
    caller: &client::Client,
    token: &Secret,
    moment: &Moment,
) -> Result<OwnToken, Failure> {
    let own = own::read(host, zone, token, moment.now).await?;
    let owner = zone.bundle.resources.get(&own.aud).map(|resource| &resource.owner);
    let named = own.aud == caller.application
        || owner.is_some_and(|owner| owner.as_deref() == Some(&*caller.application));
    if !named {
        let detail = format!("the token is for `{}`", own.aud);
        return Err(Refusal::proof(Slot::Subject, Reason::PresenterRefused, detail).into());
    }
    session::alive(host, zone, &own, moment).await?;
    Ok(own)
}

/// RFC 7662 §2.2: the token's claims, without those that are for us alone.
fn document(own: &OwnToken) -> Result<Value, Unavailable> {
    let claims = serde_json::to_value(own).map_err(|error| Unavailable(error.to_string()))?;
    let Value::Object(mut claims) = claims else {
        return Err(Unavailable("a token's claims are no object".to_owned()));
    };
    // Where others look up what this answer says, and what is for us alone.
    for name in ["path", "seq", "status", "idle"] {
        claims.remove(name);
    }
    let mut document = Map::new();
    document.insert("active".to_owned(), true.into());
    document.insert("token_type".to_owned(), own.token_type().into());
    document.append(&mut claims);
    Ok(Value::Object(document))
}

/// RFC 9701 §5: the document in a JWT, for this caller alone.
async fn sign<H: Host>(
    host: &H,
    zone: &Active,
    caller: &str,
    document: Value,
    now: Timestamp,
) -> Result<String, Failure> {
    #[derive(Serialize)]
    struct Answer<'a> {
        iss: &'a str,
        aud: &'a str,
        iat: Timestamp,
        token_introspection: Value,
    }
    let bundle = &zone.bundle;
    let no_key = || Unavailable(format!("zone `{}` has no signing key", bundle.zone));
    let (kid, _) = zone.snapshot.signing(bundle.algorithm, now).ok_or_else(no_key)?;
    let answer =
        Answer { iss: &bundle.issuer, aud: caller, iat: now, token_introspection: document };
    let typ = SIGNED.trim_start_matches("application/");
    Ok(jwt::sign(host, &bundle.zone, bundle.algorithm, kid, typ, answer).await?)
}
