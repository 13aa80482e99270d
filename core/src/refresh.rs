//! Refresh tokens (RFC 6749 §6): fresh access tokens for a person's session, without the proof that
//! opened it.
//!
//! A refresh token is the root hop's claims, signed again as another type and numbered. How many were
//! given is the version of one record of the session, so the commit that records a refreshed hop is
//! also what counts: of two uses of one token one rotates, and what has been rotated past is spent.
//! The last use may be asked for again for a moment, since its answer can get lost; any other use of
//! a spent token ends the family, which is everything below the root hop (RFC 9700 §4.14.2).

use serde::{Deserialize, Serialize};

use crate::active::Active;
use crate::client::{Client, Proof};
use crate::event::Event;
use crate::grant::{Grant, Session};
use crate::host::{Expect, Host, Range, Unavailable};
use crate::identity::{Identity, Principal};
use crate::limits;
use crate::moment::{Moment, Timestamp};
use crate::own::{Generation, OwnToken};
use crate::parties::Parties;
use crate::refusal::{Failure, Reason, Refusal, Slot};
use crate::session::{self, Entered};
use crate::strong;
use crate::task::Envelope;
use crate::token;

/// The prefix of the record of a root hop's refresh tokens. Its version is the last one's number.
pub const REFRESH: &str = "refresh/";

/// The refresh token that a grant comes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// The root hop, whose refresh tokens these are.
    pub root: String,
    /// The number of the one to be given; the first is 1.
    pub generation: u64,
    /// What the commit does about it.
    pub turn: Turn,
}

/// What a commit does about a family's last number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Begins to count.
    First,
    /// Counts on, where the one shown is the last.
    Next,
    /// Leaves it, where the one to be given is the last: its answer was lost.
    Again,
}

/// When a family was last counted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turned {
    /// When.
    pub at: Timestamp,
}

impl Family {
    /// The key of the family's record.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{REFRESH}{}", self.root)
    }

    /// What a commit expects of the record: that the token shown is the last one, or its successor is.
    #[must_use]
    pub fn expectation(&self) -> Option<Expect> {
        let version = match self.turn {
            Turn::First => return None,
            Turn::Next => self.generation.saturating_sub(1),
            Turn::Again => self.generation,
        };
        Some(Expect::Version { key: self.key(), version })
    }
}

/// The refresh token that goes with a hop which expires at `expires`, if one does: the next one where
/// one was shown; the first where a person's token opens the session, its bundle allows the presenter
/// some, the presenter proved itself by a secret or a key of its own, and the access token does not
/// last as long as the session anyway.
///
/// # Errors
///
/// One was shown, and the bundle no longer allows it.
pub fn family(
    zone: &Active,
    parties: &Parties,
    session: &Session,
    expires: Timestamp,
    hop: &str,
    now: Timestamp,
) -> Result<Option<Family>, Refusal> {
    let secs = secs(zone, &parties.presenter);
    if let Some(own) = parties.own() {
        let Some(shown) = own.refresh else { return Ok(None) };
        // A shorter life in a newer bundle holds for what is out already.
        if secs.is_none_or(|secs| now >= own.iat.plus(secs)) {
            let detail = format!("the bundle does not allow it to `{}`", parties.presenter);
            return Err(Refusal::proof(Slot::Refresh, Reason::RefreshRefused, detail));
        }
        let generation = shown.number.saturating_add(1);
        return Ok(Some(Family { root: own.jti.clone(), generation, turn: Turn::Next }));
    }
    let allowed = secs.is_some() && expires < session.ends && is_given(zone, parties);
    let first = || Family { root: hop.to_owned(), generation: 1, turn: Turn::First };
    Ok(allowed.then(first))
}

/// Whether those who are there are given refresh tokens. A workload has its platform's token, and so has
/// whoever shows one beside its own proof. An assertion grant of an identity provider's can be had
/// there again, for as long as the provider likes.
fn is_given(zone: &Active, parties: &Parties) -> bool {
    let own_proof = |client: &Client| matches!(client.proof, Proof::Secret | Proof::Key { .. });
    let shown = parties.subject_token.as_ref().and_then(Identity::external);
    let row = shown.and_then(|external| zone.bundle.issuers.get(&external.row));
    matches!(parties.subject, Principal::User(_))
        && parties.actor_token.is_none()
        && parties.client.as_ref().is_some_and(own_proof)
        && row.is_some_and(|row| !row.typ.iter().any(|typ| typ == GRANT_TYP))
}

/// The header's `typ` of identity assertion grants.
const GRANT_TYP: &str = "oauth-id-jag+jwt";

/// How long an unused refresh token of an application lives, in seconds; `None` where it has none.
fn secs(zone: &Active, application: &str) -> Option<i64> {
    zone.bundle.applications.get(application)?.refresh_secs
}

/// Signs the refresh token that goes with a grant, of the root hop's claims: those of the refresh token
/// that was shown, or of the access token that was minted. `turned` is when the family was counted on
/// to it: given again, it ends when it was to end.
///
/// # Errors
///
/// The key cannot be used now.
pub async fn sign<H: Host>(
    host: &H,
    zone: &Active,
    grant: &Grant,
    root: &OwnToken,
    turned: Timestamp,
    now: Timestamp,
) -> Result<Option<String>, Unavailable> {
    let Some((family, secs)) = grant.family.as_ref().zip(secs(zone, &grant.presenter)) else {
        return Ok(None);
    };
    let ends = grant.session.ends;
    // Nothing is left in it that a careless resource could take it for an access token by.
    let claims = OwnToken {
        aud: zone.bundle.issuer.clone(),
        scope: None,
        iat: now,
        exp: ends.min(turned.plus(secs)),
        refresh: Some(Generation { number: family.generation, ends }),
        ..root.clone()
    };
    token::sign(host, zone, &claims).await.map(Some)
}

/// What follows when the refresh token shown is not the last of its family: its successor once more,
/// where that was given a moment ago and not used yet; otherwise the end of the family.
///
/// # Errors
///
/// The token was spent, and now its family is over; as [`session::extend`]; or the store does not say.
pub async fn again<H: Host>(
    host: &H,
    zone: &Active,
    grant: &Grant,
    shown: &OwnToken,
    envelope: Option<&Envelope>,
    event: &mut Event,
    moment: &Moment,
) -> Result<Option<String>, Failure> {
    if let Some((family, turned)) = turned(host, zone, grant, moment.now).await? {
        let family = Family { turn: Turn::Again, ..family };
        let grant = Grant { family: Some(family), ..grant.clone() };
        let token = sign(host, zone, &grant, shown, turned, moment.now).await?;
        match session::extend(host, zone, &grant, envelope, event, moment).await? {
            Entered::Recorded => {
                // A client's answer gets lost now and then; a thief beside it asks each time.
                event.detail = Some("the answer to a refresh was given again".to_owned());
                return Ok(token);
            }
            // The successor was used since it was looked at.
            Entered::Superseded | Entered::Overtaken => {}
        }
    }
    session::end::revoke(host, zone, shown, moment).await?;
    event.revoked = Some(shown.jti.clone());
    let detail = "it was used before, and with it its family ends";
    Err(Refusal::proof(Slot::Refresh, Reason::RefreshReused, detail).into())
}

/// The family, and when it was counted on to the one that is to be given, if that was a moment ago.
async fn turned<H: Host>(
    host: &H,
    zone: &Active,
    grant: &Grant,
    now: Timestamp,
) -> Result<Option<(Family, Timestamp)>, Unavailable> {
    let Some(family) = grant.family.clone() else { return Ok(None) };
    let (place, key) = (session::partition(&zone.bundle.zone, &grant.session.id), family.key());
    let found = strong::read(host, &place, Range::of(&key)).await?;
    let last = found.into_iter().find(|record| record.key == key && record.expires > now);
    let Some(last) = last.filter(|last| last.version == family.generation) else {
        return Ok(None);
    };
    let turned: Turned = serde_json::from_slice(&last.value)
        .map_err(|error| Unavailable(format!("record `{key}` of a session: {error}")))?;
    let recent = now.since(turned.at) <= limits::REFRESH_GRACE_SECS;
    Ok(recent.then_some((family, turned.at)))
}
