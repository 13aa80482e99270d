//! Token revocation (RFC 7009): one token and all below it.
//!
//! The application that holds a token ends it. One fact is written to its session, and every later
//! commit that relies on the token or on one of its descendants is refused. A token that is no good
//! is answered like one that was just revoked: there is nothing to find out here. What is no good only
//! for now, because a rule, a party or a snapshot changed, is revoked all the same.

use std::sync::Arc;

use crate::active::{self, Active};
use crate::ask;
use crate::deployment::Deployment;
use crate::event::Event;
use crate::form::Form;
use crate::host::Host;
use crate::http::Request;
use crate::moment::Moment;
use crate::own::{self, OwnToken};
use crate::refusal::{Failure, Reason, Refusal};
use crate::secret::Secret;
use crate::session;

/// Revokes the token of a request, where it is a live one of the client's.
///
/// # Errors
///
/// The client does not prove itself, or the token is another client's; or the store does not say
/// whether it is revoked.
pub async fn revoke<H: Host>(
    host: &H,
    deployment: &Deployment,
    zone: &Active,
    request: &Request,
    form: &Form,
    moment: &Moment,
    event: &mut Event,
) -> Result<(), Failure> {
    let token = Secret::new(form.required("token")?);
    let client =
        ask::authenticated_once(host, zone, request, form, "revocation", moment, event).await?;
    let (newer, own) = match find(host, deployment, zone, &token, moment).await {
        Ok(found) => found,
        // §2.2: an invalid token does not cause an error; the record says what was wrong with it.
        Err(Failure::Refused(refusal)) => {
            event.reason = Some(refusal.reason.code());
            event.detail = Some(refusal.detail);
            return Ok(());
        }
        Err(unavailable) => return Err(unavailable),
    };
    let zone = newer.as_deref().unwrap_or(zone);
    event.session = Some(own.sid.clone());
    event.subject = Some(own.sub.clone());
    if own.client_id != client.application {
        let detail = format!("the token is `{}`'s", own.client_id);
        return Err(Refusal::request(Reason::PresenterRefused, detail).into());
    }
    session::end::revoke(host, zone, &own, moment).await?;
    event.revoked = Some(own.jti);
    Ok(())
}

/// The token's claims, and the zone that they were found under where it is newer: what this instance does
/// not know yet another one may, so the store says. A client that proved itself has it asked each time, which
/// is no more than its revocation would have cost.
async fn find<H: Host>(
    host: &H,
    deployment: &Deployment,
    zone: &Active,
    token: &Secret,
    moment: &Moment,
) -> Result<(Option<Arc<Active>>, OwnToken), Failure> {
    let found = own::revocable(host, zone, token, moment.now).await;
    let behind = match &found {
        Ok(own) => own.seq > zone.snapshot.seq,
        Err(Failure::Refused(refusal)) => refusal.reason == Reason::OwnKeyUnknown,
        Err(Failure::Unavailable(_)) => false,
    };
    if !behind {
        return Ok((None, found?));
    }
    let newer = active::reread(host, deployment, moment.now).await?;
    let own = own::revocable(host, &newer, token, moment.now).await?;
    Ok((Some(newer), own))
}
