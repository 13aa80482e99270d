//! Our own tokens (RFC 9068), as we mint them and as we read them back.
//!
//! A token of ours is a record signed by us: what it says of subject, actors and path is taken from
//! nowhere else. The session's commit then confirms that nothing on the path was revoked.

use serde::{Deserialize, Serialize};

use crate::active::{Active, Named};
use crate::bundle::TokenType;
use crate::dpop;
use crate::host::Host;
use crate::identity::{self, Identity, Principal, Source};
use crate::jwt::{self, Unverified, Verdict};
use crate::limits;
use crate::moment::Timestamp;
use crate::refusal::{Failure, Reason, Refusal, Slot};
use crate::secret::Secret;
use crate::status::Status;

/// The header's `typ` (RFC 9068 §2.1).
pub const TYP: &str = "at+jwt";

/// The header's `typ` of a refresh token: it passes nowhere else.
pub const REFRESH_TYP: &str = "rt+jwt";

/// The claims of a token (design §6).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnToken {
    /// The zone's issuer identifier.
    pub iss: String,
    /// On whose behalf.
    pub sub: String,
    /// What the subject is.
    pub sub_profile: Profile,
    /// The one resource, or the application itself for a session token.
    pub aud: String,
    /// The application that it was issued to.
    pub client_id: String,
    /// The scopes, separated by spaces; absent where the resource has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Issued at.
    pub iat: Timestamp,
    /// Expires at.
    pub exp: Timestamp,
    /// The hop's id.
    pub jti: String,
    /// The session's id.
    pub sid: String,
    /// Who acts, with those who acted before nested in it (RFC 8693 §4.1); absent where the
    /// subject acts itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Act>>,
    /// The task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TokenTask>,
    /// The device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The key that it is bound to; absent where whoever holds it may use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// The hops from the session's root to this one, which is the last.
    pub path: Vec<Step>,
    /// The zone's `seq` when it was decided.
    pub seq: u64,
    /// Where verifiers look up whether its session is over.
    pub status: Status,
    /// After so many seconds without a hop its session is over; absent where it has no such limit. It
    /// is the session's for good, whatever a later bundle says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<i64>,
    /// Which one of its hop's refresh tokens it is; absent in access tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Generation>,
}

/// Which one of a root hop's refresh tokens a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Its number; the first is 1.
    pub number: u64,
    /// When the session ends: what is refreshed may outlive the refresh token, and not this.
    pub ends: Timestamp,
}

/// An actor, and the one that acted before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// The application.
    pub sub: String,
    /// The prior actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Act>>,
}

/// The key that a token is bound to (RFC 7800 §3.1, RFC 9449 §6.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// Its thumbprint (RFC 7638, with SHA-256).
    pub jkt: String,
}

/// What a subject is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// A person.
    User,
    /// An application.
    App,
}

/// A task, as tokens carry it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenTask {
    /// Its name.
    pub name: String,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Who says so.
    pub source: TaskSource,
    /// A hash of the envelope under which the session was opened, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<String>,
}

/// Who says that a session is on its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskSource {
    /// The rule that the opening token matched.
    Rule,
    /// The caller, bounded by the task's envelope.
    Envelope,
    /// The caller, bounded by nothing but policy.
    Claimed,
}

impl TaskSource {
    /// As policy sees it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Envelope => "envelope",
            Self::Claimed => "claimed",
        }
    }
}

/// One hop of a path: its id, whose it was and under which rule and `seq` it was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The hop's id, which is its token's `jti`.
    pub jti: String,
    /// The application that it was issued to.
    pub client_id: String,
    /// What it was for.
    pub aud: String,
    /// Its scopes, separated by spaces; absent where the resource has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The rules under which external tokens were accepted for it, the subject's first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The zone's `seq` when it was decided.
    pub seq: u64,
}

impl OwnToken {
    /// When everything is over that can come of it.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        self.refresh.map_or(self.exp, |refresh| refresh.ends)
    }

    /// The subject.
    #[must_use]
    pub fn subject(&self) -> Principal {
        match self.sub_profile {
            Profile::User => Principal::User(self.sub.clone()),
            Profile::App => Principal::Application(self.sub.clone()),
        }
    }

    /// The actors, the current one first; none where the subject acts itself.
    #[must_use]
    pub fn actors(&self) -> Vec<String> {
        let mut actors = Vec::new();
        let mut next = self.act.as_deref();
        while let Some(act) = next {
            actors.push(act.sub.clone());
            next = act.act.as_deref();
        }
        actors
    }

    /// The `token_type` of an answer that gives or tells of it (RFC 6749 §7.1, RFC 9449 §5).
    #[must_use]
    pub fn token_type(&self) -> &'static str {
        if self.cnf.is_some() { "DPoP" } else { "Bearer" }
    }

    /// The application that holds it: the current actor, or the subject itself.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        match (&self.act, self.sub_profile) {
            (Some(act), _) => Some(&act.sub),
            (None, Profile::App) => Some(&self.sub),
            (None, Profile::User) => None,
        }
    }
}

impl Act {
    /// Nests actors, the current one first.
    #[must_use]
    pub fn nest(actors: &[String]) -> Option<Box<Self>> {
        actors.iter().rev().fold(None, |act, sub| Some(Box::new(Self { sub: sub.clone(), act })))
    }
}

/// Verifies a token of our own issuer, shown with a proof of the key with the thumbprint `key`, if any.
///
/// # Errors
///
/// It is not one that this zone's live keys signed, has expired, was cut off, or is bound to another key.
pub async fn verify<H: Host>(
    host: &H,
    zone: &Active,
    slot: Slot,
    shown: Option<TokenType>,
    token: Unverified<'_>,
    key: Option<&str>,
    now: Timestamp,
) -> Result<Identity, Failure> {
    let proof = token.proof();
    let own = live(host, zone, slot, shown, token, now).await?;
    if let Some(bound) = &own.cnf {
        dpop::check_key(&bound.jkt, key)
            .map_err(|(reason, detail)| refuse(slot, reason, &detail))?;
    }
    Ok(Identity {
        principal: own.subject(),
        expires: own.ends(),
        proof,
        source: Source::Own(Box::new(own)),
    })
}

/// The claims of a token that this zone signed, that has not expired and that nothing cut off. Whom it is
/// bound to is not looked at.
async fn live<H: Host>(
    host: &H,
    zone: &Active,
    slot: Slot,
    shown: Option<TokenType>,
    token: Unverified<'_>,
    now: Timestamp,
) -> Result<OwnToken, Failure> {
    let own = signed(host, zone, slot, shown, token, now).await?;
    if now >= own.exp {
        return Err(expired(slot, &own, now).into());
    }
    // What it rests on may not be in this bundle yet: whoever knows less than its issuer does not judge it.
    if own.seq > zone.snapshot.seq {
        let detail = format!("decided at {}, known is {}", own.seq, zone.snapshot.seq);
        return Err(refuse(slot, Reason::ZoneOlder, &detail).into());
    }
    if let Some(dead) = dead(zone, &own) {
        return Err(refuse(slot, Reason::CutOff, &dead).into());
    }
    Ok(own)
}

/// The claims of a token that this zone signed, whatever became of it since.
async fn signed<H: Host>(
    host: &H,
    zone: &Active,
    slot: Slot,
    shown: Option<TokenType>,
    token: Unverified<'_>,
    now: Timestamp,
) -> Result<OwnToken, Failure> {
    let refuse = |reason, detail: &str| refuse(slot, reason, detail);
    if token.issuer() != Some(&zone.bundle.issuer) {
        return Err(refuse(Reason::IssuerUnknown, "its `iss` is another").into());
    }
    let refreshes = slot == Slot::Refresh;
    let fits = match slot {
        Slot::Refresh => token.typ == REFRESH_TYP,
        Slot::Subject | Slot::Actor => {
            token.typ == TYP && matches!(shown, Some(TokenType::AccessToken | TokenType::Jwt))
        }
        Slot::Request | Slot::Client | Slot::Assertion | Slot::Dpop => false,
    };
    if !fits {
        return Err(refuse(Reason::TypeWrong, "it is not shown as what it is").into());
    }
    let kid = token.kid.clone().unwrap_or_default();
    let key = zone.snapshot.keys.get(&kid).filter(|key| key.verifies(now));
    let Some(key) = key else {
        return Err(refuse(Reason::OwnKeyUnknown, &crate::form::printable(&kid)).into());
    };
    if key.algorithm != token.algorithm {
        return Err(refuse(Reason::AlgorithmRefused, token.algorithm.name()).into());
    }
    let claims = match jwt::verify(host, token, &key.public).await? {
        Verdict::Verified(claims) => claims,
        Verdict::Forged => return Err(refuse(Reason::SignatureWrong, "").into()),
        Verdict::Malformed(what) => return Err(refuse(Reason::TimeMalformed, &what).into()),
    };
    let own: OwnToken = claims.read().map_err(|what| refuse(Reason::TokenMalformed, &what))?;
    if own.refresh.is_some() != refreshes {
        return Err(refuse(Reason::TypeWrong, "its claims are another type's").into());
    }
    Ok(own)
}

fn refuse(slot: Slot, reason: Reason, detail: &str) -> Refusal {
    Refusal::proof(slot, reason, format!("our own: {detail}"))
}

fn expired(slot: Slot, own: &OwnToken, now: Timestamp) -> Refusal {
    refuse(slot, Reason::Expired, &format!("{} s ago", now.since(own.exp)))
}

/// The claims of a token of ours, whoever shows it and whatever key it is bound to: verified, unexpired,
/// cut off by nothing. Whether it was revoked or its session ended, the strong store says.
///
/// # Errors
///
/// As [`verify`], but for the key.
pub async fn read<H: Host>(
    host: &H,
    zone: &Active,
    token: &Secret,
    now: Timestamp,
) -> Result<OwnToken, Failure> {
    let slot = Slot::Subject;
    let parsed = identity::parse(slot, token)?;
    live(host, zone, slot, Some(TokenType::AccessToken), parsed, now).await
}

/// The claims of a token of ours that is to be revoked, of whichever type. What may heal is no
/// obstacle: a rule that a rollback brings back, an application that is enabled again. Nor is the end of
/// its life on a clock that is ahead of others'.
///
/// # Errors
///
/// No key of the zone signed it, or it is over by every clock.
pub async fn revocable<H: Host>(
    host: &H,
    zone: &Active,
    token: &Secret,
    now: Timestamp,
) -> Result<OwnToken, Failure> {
    let parsed = identity::parse(Slot::Subject, token)?;
    let slot = if parsed.typ == REFRESH_TYP { Slot::Refresh } else { Slot::Subject };
    let own = signed(host, zone, slot, Some(TokenType::AccessToken), parsed, now).await?;
    // Nothing below it lives longer.
    let margin = limits::LEEWAY_SECS.saturating_add(limits::CLAIM_MARGIN_SECS);
    if now >= own.ends().plus(margin) {
        return Err(expired(slot, &own, now).into());
    }
    Ok(own)
}

/// What on a token's path is disabled, or was decided before a cut-off (design §4).
fn dead(zone: &Active, own: &OwnToken) -> Option<String> {
    let subject = own.subject().named();
    own.path.iter().find_map(|step| {
        let before_emergency = step.seq < zone.snapshot.floor;
        let application = zone.is_cut_off(&Named::application(&step.client_id), step.seq);
        // A rule that the bundle no longer has vouches for nobody, and its tags are unknown.
        let rule = step.rules.iter().any(|rule| {
            zone.is_cut_off(&Named::rule(rule), step.seq) || !zone.bundle.rules.contains_key(rule)
        });
        let by_subject = zone.is_cut_off(&subject, step.seq);
        let dead = before_emergency || application || rule || by_subject;
        dead.then(|| format!("hop `{}`", step.jti))
    })
}
