//! Who is who in a request: the presenter, the subject and the chain between them.
//!
//! The presenter must be named by the subject's token (X02), and belongs to its session (X21). The
//! chain grows by one actor a hop, from our own tokens alone (X04, X07), and never turns back (X05).

use crate::active::Active;
use crate::client::{Client, Proof};
use crate::dpop::Proven;
use crate::identity::{External, Identity, Principal, Source};
use crate::moment::Timestamp;
use crate::own::OwnToken;
use crate::refusal::{Reason, Refusal, Slot};

/// The verified parties of a request.
#[derive(Debug)]
pub struct Parties {
    /// The application that sends the request and will hold the token.
    pub presenter: String,
    /// On whose behalf.
    pub subject: Principal,
    /// The actors after this hop, the current one first; none where the subject acts itself.
    pub actors: Vec<String>,
    /// The subject's token; `None` for `client_credentials`.
    pub subject_token: Option<Identity>,
    /// The actor's token, where one was shown.
    pub actor_token: Option<Identity>,
    /// The authenticated client.
    pub client: Option<Client>,
    /// Where the proof that the session rests on was shown.
    pub root_slot: Slot,
    /// The key that the presenter has, and that the token is bound to.
    pub key: Option<Proven>,
}

/// What a request showed, each verified.
#[derive(Clone, Debug)]
pub struct Proofs {
    /// The authenticated client.
    pub client: Option<Client>,
    /// The subject's token; `None` for `client_credentials`.
    pub subject: Option<Identity>,
    /// The actor's token.
    pub actor: Option<Identity>,
    /// Where the subject's token was shown; the client's slot where there is none.
    pub slot: Slot,
    /// The key that the sender has. Every token shown that is bound to a key is bound to this one.
    pub key: Option<Proven>,
}

/// A single-use proof: the name of its claim, and when the proof expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The claim's name, and the id of the partition that it lives in.
    pub name: String,
    /// When the proof expires.
    pub expires: Timestamp,
    /// Where it was shown.
    pub slot: Slot,
}

impl Parties {
    /// Finds who is who, given the [`presenter`] that the proofs authenticate.
    ///
    /// # Errors
    ///
    /// The parties do not belong together.
    pub fn join(zone: &Active, presenter: String, proofs: Proofs) -> Result<Self, Refusal> {
        let Proofs { client, subject, actor, slot, key } = proofs;
        check_distinct(subject.as_ref(), actor.as_ref())?;
        let (principal, actors) = match &subject {
            None => (Principal::Application(presenter.clone()), Vec::new()),
            Some(token) => {
                check_session(token, actor.as_ref())?;
                (token.principal.clone(), chain(zone, &presenter, token, slot)?)
            }
        };
        Ok(Self {
            presenter,
            subject: principal,
            actors,
            subject_token: subject,
            actor_token: actor,
            client,
            root_slot: slot,
            key,
        })
    }

    /// Our own token, where the subject is one.
    #[must_use]
    pub fn own(&self) -> Option<&OwnToken> {
        self.subject_token.as_ref().and_then(Identity::own)
    }

    /// The external tokens shown and their slots, the subject's first, then the actor's. A token
    /// that was shown in two slots counts once.
    pub fn externals(&self) -> impl Iterator<Item = (Slot, &Identity, &External)> {
        let platform = self.client.as_ref().and_then(Client::platform);
        let shown = [
            self.subject_token.as_ref().map(|token| (self.root_slot, token)),
            self.actor_token.as_ref().map(|token| (Slot::Actor, token)),
            platform.map(|token| (Slot::Client, token)),
        ];
        let mut seen: Vec<[u8; 32]> = Vec::new();
        shown.into_iter().flatten().filter_map(move |(slot, identity)| {
            let new = !seen.contains(&identity.proof);
            seen.push(identity.proof);
            let external = identity.external().filter(|_| new)?;
            Some((slot, identity, external))
        })
    }

    /// The external token that tells of the actor: the actor's, the client's, or the subject's where
    /// it acts itself.
    #[must_use]
    pub fn actor_external(&self) -> Option<&External> {
        let platform = self.client.as_ref().and_then(Client::platform);
        let itself = self.subject_token.as_ref().filter(|_| self.actors.is_empty());
        [self.actor_token.as_ref(), platform, itself]
            .into_iter()
            .flatten()
            .find_map(Identity::external)
    }

    /// Every single-use proof shown, each once, whatever slots it was shown in.
    #[must_use]
    pub fn claims(&self) -> Vec<Claim> {
        let mut claims: Vec<Claim> = Vec::new();
        for (slot, identity, external) in self.externals() {
            if let Some(name) = &external.single_use
                && claims.iter().all(|claim| claim.name != *name)
            {
                claims.push(Claim { name: name.clone(), expires: identity.expires, slot });
            }
        }
        claims.extend(self.client.as_ref().and_then(key_claim));
        claims
    }
}

/// The claim on an assertion that a client's own key signed.
fn key_claim(client: &Client) -> Option<Claim> {
    let Proof::Key { claim, expires } = &client.proof else { return None };
    Some(Claim { name: claim.clone(), expires: *expires, slot: Slot::Client })
}

/// The single-use proof by which a client authenticated, where it was one.
#[must_use]
pub fn client_claim(client: &Client) -> Option<Claim> {
    let platform = || {
        let identity = client.platform()?;
        let name = identity.external()?.single_use.clone()?;
        Some(Claim { name, expires: identity.expires, slot: Slot::Client })
    };
    key_claim(client).or_else(platform)
}

/// The application that sends the request.
///
/// # Errors
///
/// Nothing shown authenticates it, or the client and the actor are two.
pub fn presenter(proofs: &Proofs) -> Result<String, Refusal> {
    let actor = proofs.actor.as_ref();
    let subject_slot = proofs.slot;
    let client = proofs.client.as_ref();
    let acting = actor.map(actor_application).transpose()?;
    if let Some(client) = client {
        return match acting {
            Some(acting) if acting != client.application => Err(Refusal::proof(
                Slot::Actor,
                Reason::ActorDiffers,
                format!("the client is `{}`, the actor `{acting}`", client.application),
            )),
            _ => Ok(client.application.clone()),
        };
    }
    let nobody = |detail: &str| {
        Refusal::proof(Slot::Client, Reason::ClientUnauthenticated, detail.to_owned())
    };
    // An external token identifies the client where its rule says so. As the assertion of the
    // `jwt-bearer` grant it always does: that is what the grant means (RFC 7521 §4.1).
    let proving =
        actor.or(proofs.subject.as_ref()).ok_or_else(|| nobody("no client authentication"))?;
    let Some(external) = proving.external() else {
        return Err(nobody("a token of ours does not authenticate its bearer"));
    };
    match &proving.principal {
        Principal::Application(application)
            if external.alone || (actor.is_none() && subject_slot == Slot::Assertion) =>
        {
            Ok(application.clone())
        }
        Principal::Application(_) => {
            Err(nobody(&format!("rule `{}` does not let its token stand alone", external.rule)))
        }
        Principal::User(_) => Err(nobody("a user's token does not authenticate an application")),
    }
}

/// The application that an actor token stands for.
fn actor_application(actor: &Identity) -> Result<&str, Refusal> {
    let refuse = || {
        let what = "an actor is an application";
        Refusal::proof(Slot::Actor, Reason::TypeWrong, what)
    };
    match &actor.source {
        Source::Own(own) => own.holder().ok_or_else(refuse),
        Source::External(_) => match &actor.principal {
            Principal::Application(application) => Ok(application),
            Principal::User(_) => Err(refuse()),
        },
    }
}

/// Nobody acts for itself (X05, X09).
fn check_distinct(subject: Option<&Identity>, actor: Option<&Identity>) -> Result<(), Refusal> {
    match (subject, actor) {
        (Some(subject), Some(actor)) if subject.proof == actor.proof => Err(Refusal::proof(
            Slot::Actor,
            Reason::ChainCircular,
            "subject and actor are one token",
        )),
        _ => Ok(()),
    }
}

/// An actor token of ours belongs to the subject's session (design §2, X21).
fn check_session(subject: &Identity, actor: Option<&Identity>) -> Result<(), Refusal> {
    let Some(actor) = actor.and_then(Identity::own) else {
        return Ok(());
    };
    match subject.own() {
        Some(own) if own.sid == actor.sid => Ok(()),
        _ => Err(Refusal::proof(
            Slot::Actor,
            Reason::SessionDiffers,
            format!("it belongs to session `{}`", actor.sid),
        )),
    }
}

/// The actors after this hop, if the subject's token names the presenter.
fn chain(
    zone: &Active,
    presenter: &str,
    token: &Identity,
    slot: Slot,
) -> Result<Vec<String>, Refusal> {
    let refuse = |detail: String| Refusal::proof(slot, Reason::PresenterRefused, detail);
    match (&token.source, &token.principal) {
        (Source::External(external), Principal::User(_)) => {
            if external.client.as_deref() != Some(presenter) {
                let made_for = external.client.as_deref().unwrap_or("nobody");
                let made_for = crate::form::printable(made_for);
                return Err(refuse(format!(
                    "`{presenter}` presents a token made for `{made_for}`"
                )));
            }
            Ok(vec![presenter.to_owned()])
        }
        (Source::External(_), Principal::Application(application)) => {
            if application != presenter {
                return Err(refuse(format!("`{presenter}` presents `{application}`'s token")));
            }
            Ok(Vec::new())
        }
        (Source::Own(own), _) => own_chain(zone, presenter, own, slot),
    }
}

fn own_chain(
    zone: &Active,
    presenter: &str,
    own: &OwnToken,
    slot: Slot,
) -> Result<Vec<String>, Refusal> {
    let mut actors = own.actors();
    // A refresh token is its client's alone (RFC 6749 §6).
    if slot == Slot::Refresh {
        let held = own.client_id == presenter;
        return held.then_some(actors).ok_or_else(|| {
            let detail = format!("`{presenter}` presents `{}`'s token", own.client_id);
            Refusal::proof(slot, Reason::PresenterRefused, detail)
        });
    }
    if own.aud == presenter && own.holder() == Some(presenter) {
        return Ok(actors);
    }
    let named = zone.bundle.resources.get(&own.aud).is_some_and(|resource| {
        resource.owner.as_deref() == Some(presenter) || resource.may_present.contains(presenter)
    });
    if !named {
        let detail = format!("`{presenter}` presents a token for `{}`", own.aud);
        return Err(Refusal::proof(slot, Reason::PresenterRefused, detail));
    }
    let acted = actors.iter().any(|actor| actor == presenter);
    if acted || own.subject() == Principal::Application(presenter.to_owned()) {
        let detail = format!("`{presenter}` is on the chain already");
        return Err(Refusal::proof(slot, Reason::ChainCircular, detail));
    }
    actors.insert(0, presenter.to_owned());
    Ok(actors)
}
