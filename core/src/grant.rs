//! What may at most be issued: the request, narrowed by everything that stands above it.
//!
//! Narrowing is over (resource, scope) pairs (design §2): on the same resource within the subject
//! token's scopes, on another one within the session's envelope, and never beyond. Nothing issued
//! outlives any proof it rests on, its parent or its session. All of it is pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::active::Active;
use crate::ask::Ask;
use crate::bundle::Bearer;
use crate::client::Client;
use crate::dpop::Proven;
use crate::encoding::{base64url, tagged_hash};
use crate::identity::{Identity, Principal};
use crate::limits;
use crate::moment::{Moment, Timestamp};
use crate::own::{OwnToken, Step, TokenTask};
use crate::parties::{Claim, Parties};
use crate::refresh::{self, Family};
use crate::refusal::{Reason, Refusal, Slot};
use crate::status::Status;
use crate::task::{self, Envelope};

/// What is known of a session before a hop enters it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The envelope of its task.
    pub envelope: Option<Envelope>,
    /// When it ends, where it is open and its end follows from nothing that was shown.
    pub ends: Option<Timestamp>,
    /// Its idle limit, where it has one.
    pub idle: Option<Idle>,
}

/// A session's idle limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// After so many seconds without a hop the session is over.
    pub secs: i64,
    /// Whether the session is open, so that the hop may come too late.
    pub runs: bool,
}

/// What is to be decided, and then issued.
#[derive(Clone, Debug)]
pub struct Grant {
    /// On whose behalf.
    pub subject: Principal,
    /// The application that will hold the token.
    pub presenter: String,
    /// The actors, the current one first; none where the subject acts itself.
    pub actors: Vec<String>,
    /// What the token is for.
    pub target: Target,
    /// The scopes; empty only where the resource has none.
    pub scopes: BTreeSet<String>,
    /// The task.
    pub task: Option<TokenTask>,
    /// The device.
    pub device: Option<String>,
    /// When the token will expire.
    pub expires: Timestamp,
    /// The hops above, root first, and this one last.
    pub path: Vec<Step>,
    /// The session, and how this hop enters it.
    pub session: Session,
    /// Single-use proofs that are spent before the session is entered.
    pub spends: Vec<Claim>,
    /// For a user: the tags that its rule gave.
    pub user_tags: BTreeMap<String, String>,
    /// The session's idle limit, where it has one.
    pub idle: Option<Idle>,
    /// The refresh token that goes with it, where one does.
    pub family: Option<Family>,
    /// The key that the token is bound to: whatever was shown that is bound is bound to it too, so that
    /// nothing bound is ever exchanged for what is not (X10).
    pub key: Option<Proven>,
}

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A resource of the bundle's.
    Resource(String),
    /// The caller itself: a session token, to be exchanged for the next resources.
    Itself(String),
}

impl Target {
    /// The token's `aud`.
    #[must_use]
    pub fn audience(&self) -> &str {
        match self {
            Self::Resource(id) | Self::Itself(id) => id,
        }
    }
}

/// A session, and how a hop enters it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The session's id.
    pub id: String,
    /// How the hop enters.
    pub entry: Entry,
    /// Where its status is: the same for each of its hops.
    pub status: Status,
    /// When the session ends, if this hop opens it.
    pub ends: Timestamp,
    /// When the proof expires that the session rests on, and that may not open it a second time.
    pub proof_expires: Timestamp,
    /// Where that proof was shown.
    pub slot: Slot,
    /// The hops on any path shown: none of them may be revoked.
    pub relies_on: BTreeSet<String>,
}

/// How a hop enters its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It opens the session, which must not have been opened before.
    Open,
    /// It opens the session, which nobody had opened a moment ago. Where another one does meanwhile, it is
    /// looked at again.
    Begin,
    /// It opens the session, or joins it if the same proof and task opened it before.
    Join,
    /// It extends the session, which must be open.
    Extend,
}

impl Grant {
    /// Narrows what is asked, under what is known of the session.
    ///
    /// # Errors
    ///
    /// What is asked is more than may be had.
    pub fn narrow(
        zone: &Active,
        ask: &Ask,
        parties: &Parties,
        task: Option<TokenTask>,
        standing: &Standing,
        moment: &Moment,
    ) -> Result<Self, Refusal> {
        let target = target(zone, ask, parties)?;
        let scopes = scopes(zone, ask, &target, parties.own())?;
        check_envelope(&target, &scopes, standing.envelope.as_ref())?;
        let session = session(zone, ask, parties, task.as_ref(), standing, moment);
        let expires = expires(zone, &target, parties, &session, moment.now)?;
        let spends =
            parties.claims().into_iter().filter(|claim| claim.name != session.id).collect();
        let path = path(zone, parties, &target, &scopes, &session.id, moment)?;
        let hop = path.last().map(|step| step.jti.as_str()).unwrap_or_default();
        // A session token is what a refresh token would be good for.
        let family = match target {
            Target::Itself(_) if parties.own().is_none() => None,
            _ => refresh::family(zone, parties, &session, expires, hop, moment.now)?,
        };
        Ok(Self {
            subject: parties.subject.clone(),
            presenter: parties.presenter.clone(),
            actors: parties.actors.clone(),
            path,
            idle: standing.idle,
            family,
            device: device(parties),
            user_tags: user_tags(zone, parties),
            key: parties.key.clone(),
            target,
            scopes,
            task,
            expires,
            session,
            spends,
        })
    }

    /// Every application on the chain, the current actor first.
    #[must_use]
    pub fn chain(&self) -> Vec<String> {
        let mut chain = self.actors.clone();
        if let Principal::Application(application) = &self.subject
            && !chain.contains(application)
        {
            chain.push(application.clone());
        }
        chain
    }

    /// The current actor.
    #[must_use]
    pub fn actor(&self) -> &str {
        self.actors.first().map_or(&self.presenter, String::as_str)
    }

    /// This hop's id, which is the token's `jti`.
    #[must_use]
    pub fn hop(&self) -> &str {
        self.path.last().map(|step| step.jti.as_str()).unwrap_or_default()
    }

    /// The parent hop's id.
    #[must_use]
    pub fn parent(&self) -> Option<&str> {
        self.path.iter().nth_back(1).map(|step| step.jti.as_str())
    }
}

/// What is asked for. A session token stands for a proof: a token for a resource never becomes one,
/// or it would leave its own scopes behind (X01).
fn target(zone: &Active, ask: &Ask, parties: &Parties) -> Result<Target, Refusal> {
    let refuse = |reason, detail: String| Refusal::request(reason, detail);
    let shown = parties.own().filter(|own| own.refresh.is_some());
    let first = shown.and_then(|own| own.path.last()).map(|step| &step.aud);
    if let (Some(first), Some(asked)) = (first, &ask.target)
        && first != asked
    {
        return Err(refuse(Reason::TargetUnknown, format!("the refresh token is for `{first}`")));
    }
    let asked = first
        .or(ask.target.as_ref())
        .ok_or_else(|| refuse(Reason::TargetMissing, "no target".to_owned()))?;
    if *asked == parties.presenter {
        return match parties.own() {
            Some(own) if own.aud != parties.presenter => {
                let detail = format!("the subject token is for `{}`", own.aud);
                Err(refuse(Reason::SessionTokenRefused, detail))
            }
            _ => Ok(Target::Itself(asked.clone())),
        };
    }
    if zone.bundle.resources.contains_key(asked) {
        return Ok(Target::Resource(asked.clone()));
    }
    let target = crate::form::printable(asked);
    Err(refuse(Reason::TargetUnknown, format!("`{target}`")))
}

/// The scopes asked for, or the resource's defaults; never beyond what any hop of the path had at
/// that resource.
fn scopes(
    zone: &Active,
    ask: &Ask,
    target: &Target,
    own: Option<&OwnToken>,
) -> Result<BTreeSet<String>, Refusal> {
    let resource = match target {
        Target::Itself(_) => None,
        Target::Resource(id) => zone.bundle.resources.get(id),
    };
    let nothing = BTreeSet::new();
    let defined = resource.map_or(&nothing, |resource| &resource.scopes);
    let mut ceiling: Option<BTreeSet<String>> = None;
    for step in own.iter().flat_map(|own| &own.path).filter(|step| step.aud == target.audience()) {
        let had: BTreeSet<String> =
            step.scope.iter().flat_map(|scope| scope.split(' ')).map(str::to_owned).collect();
        ceiling = Some(ceiling.map_or_else(|| had.clone(), |ceiling| &ceiling & &had));
    }
    let scopes = match (&ask.scopes, &ceiling) {
        (Some(asked), _) => asked.clone(),
        (None, Some(ceiling)) => ceiling.clone(),
        (None, None) => resource.map_or(&nothing, |resource| &resource.default_scopes).clone(),
    };
    if let Some(unknown) = scopes.iter().find(|scope| !defined.contains(*scope)) {
        return Err(Refusal::request(Reason::ScopeUnknown, format!("`{unknown}`")));
    }
    let beyond = ceiling.and_then(|ceiling| scopes.difference(&ceiling).next().cloned());
    if let Some(beyond) = beyond {
        return Err(Refusal::request(Reason::ScopeBeyondParent, format!("`{beyond}`")));
    }
    if scopes.is_empty() && !defined.is_empty() {
        return Err(Refusal::request(Reason::ScopeMissing, "the resource has no default"));
    }
    let bytes = scopes.iter().fold(scopes.len(), |sum, scope| sum.saturating_add(scope.len()));
    if bytes > limits::SCOPE_BYTES {
        return Err(Refusal::request(Reason::ScopeMalformed, "the scopes are too long together"));
    }
    Ok(scopes)
}

/// Every pair lies in the envelope. A session token grants nothing by itself, so it needs none.
fn check_envelope(
    target: &Target,
    scopes: &BTreeSet<String>,
    envelope: Option<&Envelope>,
) -> Result<(), Refusal> {
    let (Some(envelope), Target::Resource(resource)) = (envelope, target) else {
        return Ok(());
    };
    let Some(allowed) = envelope.get(resource) else {
        return Err(Refusal::request(Reason::TargetOutsideEnvelope, format!("`{resource}`")));
    };
    match scopes.difference(allowed).next() {
        Some(beyond) => {
            let detail = format!("`{beyond}` at `{resource}`");
            Err(Refusal::request(Reason::ScopeOutsideEnvelope, detail))
        }
        None => Ok(()),
    }
}

/// The session that this hop belongs to (design §2, "Sessions and proofs").
fn session(
    zone: &Active,
    ask: &Ask,
    parties: &Parties,
    task: Option<&TokenTask>,
    standing: &Standing,
    moment: &Moment,
) -> Session {
    let longest = moment.now.plus(zone.bundle.session_secs);
    let root = root(parties);
    // The status needs an instant that every hop of the session agrees upon; mostly that is its end.
    let mut last = None;
    let (id, entry, ends) = match (parties.own(), joinable(zone, ask, parties, task), root) {
        (Some(own), _, _) => (own.sid.clone(), Entry::Extend, own.ends()),
        (None, Some(id), Some(root)) => {
            // Counted from the proof's birth, so that whoever opens it and whoever joins it agree on
            // its end without reading it.
            let ends = born(root).map(|born| born.plus(zone.bundle.session_secs));
            // Bundles may differ about the longest session, and none about the proof.
            last = Some(root.expires);
            (id, Entry::Join, ends.unwrap_or(longest).min(root.expires))
        }
        // Who begins the session sets its end, and who joins it has read that.
        (None, Some(id), None) => match standing.ends {
            Some(ends) => (id, Entry::Join, ends),
            None => (id, Entry::Begin, longest),
        },
        (None, None, root) => {
            let claim = match root {
                Some(root) => root.external().and_then(|external| external.single_use.clone()),
                None => parties.claims().into_iter().next().map(|claim| claim.name),
            };
            let ends = root.map_or(longest, |root| root.expires.min(longest));
            (claim.unwrap_or_else(|| moment.id("session")), Entry::Open, ends)
        }
    };
    let tokens = [parties.subject_token.as_ref(), parties.actor_token.as_ref()];
    let relies_on = tokens
        .into_iter()
        .flatten()
        .filter_map(Identity::own)
        .flat_map(|own| own.path.iter().map(|step| step.jti.clone()))
        .collect();
    let claimed = parties.claims().into_iter().find(|claim| claim.name == id);
    let proof_expires = claimed.map_or(ends, |claim| claim.expires);
    let status = match parties.own() {
        Some(own) => own.status.clone(),
        None => Status::new(&zone.bundle, &id, last.unwrap_or(ends)),
    };
    Session { id, entry, status, ends, proof_expires, slot: parties.root_slot, relies_on }
}

/// The external token that a session rests on, where it rests on one.
fn root(parties: &Parties) -> Option<&Identity> {
    let platform = parties.client.as_ref().and_then(Client::platform);
    parties.subject_token.as_ref().or(platform)
}

/// The session that a reusable proof joins by its task's id, or a secret or key by the id alone.
#[must_use]
pub fn joinable(
    zone: &Active,
    ask: &Ask,
    parties: &Parties,
    task: Option<&TokenTask>,
) -> Option<String> {
    let task_id = task::id(ask, parties).ok().flatten()?;
    let Some(root) = root(parties) else {
        return Some(task::session(zone, &parties.presenter, task, &task_id));
    };
    if root.external()?.single_use.is_some() {
        return None;
    }
    let zone_name = zone.bundle.zone.as_bytes();
    let who = [zone_name, root.proof.as_slice(), parties.presenter.as_bytes()];
    let parts = [&who[..], &task::parts(task, &task_id)].concat();
    Some(base64url(&tagged_hash("proof-session", &parts)))
}

/// When an external token was issued.
fn born(identity: &Identity) -> Option<Timestamp> {
    let issued = identity.external()?.claims.get("iat")?.as_i64()?;
    Some(Timestamp(issued))
}

/// A platform's token bounds what rests on it, wherever it was shown. The assertion of a key of the
/// client's own only authenticates the request.
fn client_expiry(parties: &Parties) -> Option<Timestamp> {
    let client = parties.client.as_ref()?;
    client.platform().map(|identity| identity.expires)
}

/// Never beyond any proof, parent or session (X03).
fn expires(
    zone: &Active,
    target: &Target,
    parties: &Parties,
    session: &Session,
    now: Timestamp,
) -> Result<Timestamp, Refusal> {
    let life = match target {
        Target::Itself(_) => zone.bundle.session_secs,
        Target::Resource(id) => {
            let own = zone.bundle.resources.get(id).and_then(|resource| resource.token_secs);
            own.unwrap_or(zone.bundle.token_secs)
        }
    };
    let bounds = [
        parties.subject_token.as_ref().map(|token| (token.expires, parties.root_slot)),
        parties.actor_token.as_ref().map(|token| (token.expires, Slot::Actor)),
        client_expiry(parties).map(|expires| (expires, Slot::Client)),
        Some((session.ends, session.slot)),
    ];
    match bounds.into_iter().flatten().min_by_key(|(expires, _)| *expires) {
        Some((expires, slot)) if expires <= now => {
            Err(Refusal::proof(slot, Reason::Expired, "nothing is left of a proof's life"))
        }
        Some((expires, _)) => Ok(expires.min(now.plus(life))),
        None => Ok(now.plus(life)),
    }
}

fn path(
    zone: &Active,
    parties: &Parties,
    target: &Target,
    scopes: &BTreeSet<String>,
    session: &str,
    moment: &Moment,
) -> Result<Vec<Step>, Refusal> {
    let mut path = parties.own().map(|own| own.path.clone()).unwrap_or_default();
    if path.len() >= limits::PATH {
        return Err(Refusal::request(Reason::PathTooLong, format!("{} hops", path.len())));
    }
    path.push(Step {
        // A proof is one hop's, whose id follows from it; so it is no other's in the session.
        jti: parties.key.as_ref().map_or_else(|| moment.id("hop"), |key| key.hop(session)),
        client_id: parties.presenter.clone(),
        aud: target.audience().to_owned(),
        scope: joined(scopes),
        rules: parties.externals().map(|(_, _, external)| external.rule.clone()).collect(),
        seq: zone.snapshot.seq,
    });
    Ok(path)
}

/// Scopes as a token carries them (RFC 8693 §4.2).
#[must_use]
pub fn joined(scopes: &BTreeSet<String>) -> Option<String> {
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    (!scopes.is_empty()).then(|| scopes.join(" "))
}

/// The session's device: proven when it was opened, or not at all.
fn device(parties: &Parties) -> Option<String> {
    match parties.own() {
        Some(own) => own.device.clone(),
        None => parties.externals().find_map(|(_, _, external)| external.device.clone()),
    }
}

/// The tags that the user's rule gives it; the rule is the first of the path's root.
fn user_tags(zone: &Active, parties: &Parties) -> BTreeMap<String, String> {
    let carried =
        parties.own().and_then(|own| own.path.first()).and_then(|step| step.rules.first());
    let shown = parties.externals().map(|(_, _, external)| &external.rule).next();
    let rule = carried.or(shown).and_then(|rule| zone.bundle.rules.get(rule));
    rule.filter(|rule| rule.bearer == Bearer::User)
        .map(|rule| rule.tags.clone())
        .unwrap_or_default()
}
