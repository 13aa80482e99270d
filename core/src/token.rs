//! What a grant becomes: the claims of a token (RFC 9068, design §6).

use crate::active::Active;
use crate::grant::{self, Grant};
use crate::host::{Host, Unavailable};
use crate::identity::Principal;
use crate::jwt;
use crate::moment::Timestamp;
use crate::own::{self, Act, Confirmation, OwnToken, Profile};

/// The claims of the token that a permitted grant becomes. Nothing in them comes from the text of
/// an upstream token but the ids that rules made of it.
#[must_use]
pub fn mint(zone: &Active, grant: &Grant, now: Timestamp) -> OwnToken {
    OwnToken {
        iss: zone.bundle.issuer.clone(),
        sub: grant.subject.id().to_owned(),
        sub_profile: match grant.subject {
            Principal::User(_) => Profile::User,
            Principal::Application(_) => Profile::App,
        },
        aud: grant.target.audience().to_owned(),
        client_id: grant.presenter.clone(),
        scope: grant::joined(&grant.scopes),
        iat: now,
        exp: grant.expires,
        jti: grant.hop().to_owned(),
        sid: grant.session.id.clone(),
        act: Act::nest(&grant.actors),
        task: grant.task.clone(),
        device: grant.device.clone(),
        cnf: grant.key.as_ref().map(|key| Confirmation { jkt: key.jkt().to_owned() }),
        path: grant.path.clone(),
        seq: zone.snapshot.seq,
        status: grant.session.status.clone(),
        idle: grant.idle.map(|idle| idle.secs),
        refresh: None,
    }
}

/// Signs the claims with the zone's current key, as the type that they are of.
///
/// # Errors
///
/// The key cannot be used now.
pub async fn sign<H: Host>(
    host: &H,
    zone: &Active,
    claims: &OwnToken,
) -> Result<String, Unavailable> {
    let no_key = || Unavailable(format!("zone `{}` has no signing key", zone.bundle.zone));
    let algorithm = zone.bundle.algorithm;
    let (kid, _) = zone.snapshot.signing(algorithm, claims.iat).ok_or_else(no_key)?;
    let typ = if claims.refresh.is_some() { own::REFRESH_TYP } else { own::TYP };
    jwt::sign(host, &zone.bundle.zone, algorithm, kid, typ, claims).await
}
