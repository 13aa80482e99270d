//! The main job: proofs in, one token out, or the reason why not.
//!
//! [`exchange`] verifies who is there; [`issue`] is the line from there to the token. The token is
//! returned only after the commit that claims single use, confirms the session and records the hop.

use crate::active::Active;
use crate::ask::{Ask, GrantType};
use crate::bundle::TokenType;
use crate::client;
use crate::dpop::{Proof, Proven, Use};
use crate::encoding::{hex, sha256};
use crate::event::{Event, Outcome};
use crate::grant::Grant;
use crate::handle::TOKEN;
use crate::host::{Host, Unavailable};
use crate::identity::{self, Identity};
use crate::limits;
use crate::moment::{Moment, Timestamp};
use crate::own;
use crate::parties::{self, Parties, Proofs};
use crate::policy::{self, Denied, Told};
use crate::refresh;
use crate::refusal::{Failure, Reason, Refusal, Slot};
use crate::session::{self, Entered, denial};
use crate::task;
use crate::token;

/// What the token endpoint answers with (RFC 6749 §5.1, RFC 8693 §2.2.1).
#[derive(Debug)]
pub struct Issued {
    /// The token.
    pub token: String,
    /// The type that the answer names; exchanges alone name one.
    pub issued_token_type: Option<TokenType>,
    /// How it is used: `Bearer`, or `DPoP` where it is bound to a key.
    pub token_type: &'static str,
    /// The token's life, in seconds.
    pub expires_in: i64,
    /// The scopes granted.
    pub scope: Option<String>,
    /// The refresh token, where one is given.
    pub refresh_token: Option<String>,
}

/// Why nothing was issued, and what the caller may read of it.
#[derive(Debug)]
pub struct Stopped {
    /// Why.
    pub failure: Failure,
    /// The policies that a denial names to the caller.
    pub policies: Vec<String>,
}

impl<F: Into<Failure>> From<F> for Stopped {
    fn from(failure: F) -> Self {
        Self { failure: failure.into(), policies: Vec::new() }
    }
}

impl From<Denied> for Stopped {
    fn from(denied: Denied) -> Self {
        let refusal = Refusal::request(denied.reason, denied.detail);
        Self { failure: refusal.into(), policies: denied.policies }
    }
}

/// Answers one token request.
///
/// # Errors
///
/// Why nothing was issued. Where the parties were verified, the denial is recorded.
pub async fn exchange<H: Host>(
    host: &H,
    zone: &Active,
    ask: &Ask,
    moment: &Moment,
    event: &mut Event,
) -> Result<Issued, Stopped> {
    let (presenter, proofs) = verify(host, zone, ask, moment, event).await?;
    let mut session = denial_session(zone, &presenter, &proofs, moment);
    let outcome = match Parties::join(zone, presenter, proofs) {
        Ok(parties) => {
            let found = issue(host, zone, ask, &parties, moment, event, &mut session).await;
            match found {
                // Another request began the same task's session: now its opening is there to be read.
                Ok(None) => issue(host, zone, ask, &parties, moment, event, &mut session).await,
                found => found,
            }
        }
        Err(refusal) => Err(refusal.into()),
    };
    let overtaken = || Unavailable(format!("session `{session}` is contended"));
    let outcome = outcome.and_then(|issued| issued.ok_or_else(|| overtaken().into()));
    if let Err(Stopped { failure: Failure::Refused(refusal), policies }) = &outcome {
        event.refuse(refusal, policies);
        event.unrecorded = !denial::deny(host, zone, &session, event, moment).await;
    }
    outcome
}

/// Verifies every proof shown, and that the request has an authenticated sender. What fails here is
/// for the log alone: nobody fills the store without a proof.
async fn verify<H: Host>(
    host: &H,
    zone: &Active,
    ask: &Ask,
    moment: &Moment,
    event: &mut Event,
) -> Result<(String, Proofs), Failure> {
    let key = ask.dpop.as_ref().map(|proof| Proof::parse(proof.expose())).transpose()?;
    // What is bound must be bound to the key that the proof brings. That the sender has it comes last.
    let jkt = key.as_ref().map(Proof::thumbprint);
    let jkt = jkt.as_deref();
    let client = match &ask.client {
        None => None,
        Some(proof) => Some(client::verify(host, zone, proof, jkt, moment.now).await?),
    };
    event.tell_proof(client.as_ref().and_then(client::Client::platform));
    let verify = async |slot, shown, token| {
        identity::verify(host, zone, slot, shown, token, jkt, moment.now).await
    };
    let (slot, subject, actor) = match &ask.grant {
        GrantType::ClientCredentials => (Slot::Client, None, None),
        GrantType::JwtBearer { assertion } => {
            (Slot::Assertion, Some(verify(Slot::Assertion, None, assertion).await?), None)
        }
        GrantType::RefreshToken { token } => {
            let token = identity::parse(Slot::Refresh, token)?;
            let shown =
                own::verify(host, zone, Slot::Refresh, None, token, jkt, moment.now).await?;
            (Slot::Refresh, Some(shown), None)
        }
        GrantType::TokenExchange { subject, actor, .. } => {
            let shown = Some(subject.token_type);
            let subject = verify(Slot::Subject, shown, &subject.token).await?;
            let actor = match actor {
                None => None,
                Some(actor) => {
                    Some(verify(Slot::Actor, Some(actor.token_type), &actor.token).await?)
                }
            };
            (Slot::Subject, Some(subject), actor)
        }
    };
    event.tell_proof(subject.as_ref());
    event.tell_proof(actor.as_ref());
    event.subject = subject.as_ref().map(|subject| subject.principal.id().to_owned());
    let mut proofs = Proofs { client, subject, actor, slot, key: None };
    let presenter = parties::presenter(&proofs)?;
    if ask.client_id.as_ref().is_some_and(|id| *id != presenter) {
        let detail = format!("the proof is `{presenter}`'s");
        return Err(Refusal::proof(Slot::Client, Reason::ClientIdDiffers, detail).into());
    }
    event.client = Some(presenter.clone());
    proofs.key = proven(host, zone, &presenter, key, moment.now).await?;
    event.jkt = proofs.key.as_ref().map(|key| key.jkt().to_owned());
    Ok((presenter, proofs))
}

/// The key that the sender has. Anybody makes keys, so one that a request brings is computed with when
/// it is known whose request that is, and not before.
async fn proven<H: Host>(
    host: &H,
    zone: &Active,
    presenter: &str,
    proof: Option<Proof<'_>>,
    now: Timestamp,
) -> Result<Option<Proven>, Failure> {
    let Some(proof) = proof else {
        let needed = zone.bundle.applications.get(presenter).is_some_and(|known| known.dpop);
        return if needed {
            let detail = format!("`{presenter}` has bound tokens only");
            Err(Refusal::proof(Slot::Dpop, Reason::ProofMissing, detail).into())
        } else {
            Ok(None)
        };
    };
    let url = format!("{}{TOKEN}", zone.bundle.issuer);
    let made_for = Use { method: "POST", url: &url, access_token: None };
    proof.verify(host, made_for, now).await.map(Some)
}

/// From verified parties to the token; nothing where another request opened the session meanwhile.
async fn issue<H: Host>(
    host: &H,
    zone: &Active,
    ask: &Ask,
    parties: &Parties,
    moment: &Moment,
    event: &mut Event,
    session: &mut String,
) -> Result<Option<Issued>, Stopped> {
    let task = task::of(zone, ask, parties)?;
    let standing = session::standing(host, zone, ask, parties, task.as_ref(), moment.now).await?;
    let grant = Grant::narrow(zone, ask, parties, task, &standing, moment)?;
    session.clone_from(&grant.session.id);
    event.tell_grant(&grant);
    let told = Told {
        subject: parties.subject_token.as_ref().and_then(Identity::external),
        actor: parties.actor_external(),
    };
    let permitted = policy::decide(zone, &grant, told, moment.now)?;
    let claims = token::mint(zone, &grant, moment.now);
    let token = token::sign(host, zone, &claims).await?;
    let root = parties.own().unwrap_or(&claims);
    let mut refresh_token = refresh::sign(host, zone, &grant, root, moment.now, moment.now).await?;
    if [Some(&*token), refresh_token.as_deref()].into_iter().flatten().any(is_too_long) {
        return Err(Refusal::request(Reason::PathTooLong, "the token would be too long").into());
    }
    event.allow(&grant, permitted.policies, &token);
    let envelope = standing.envelope.as_ref();
    match session::extend(host, zone, &grant, envelope, event, moment).await? {
        Entered::Recorded => {}
        Entered::Overtaken => {
            event.withdraw();
            return Ok(None);
        }
        Entered::Superseded => {
            refresh_token =
                refresh::again(host, zone, &grant, root, envelope, event, moment).await?;
        }
    }
    Ok(Some(Issued {
        token,
        issued_token_type: match &ask.grant {
            GrantType::TokenExchange { requested, .. } => Some(*requested),
            GrantType::ClientCredentials
            | GrantType::JwtBearer { .. }
            | GrantType::RefreshToken { .. } => None,
        },
        token_type: claims.token_type(),
        expires_in: grant.expires.since(moment.now),
        scope: claims.scope,
        refresh_token,
    }))
}

fn is_too_long(token: &str) -> bool {
    token.len() > limits::TOKEN_BYTES
}

/// Where a denial is recorded that comes before the session is known.
fn denial_session(zone: &Active, presenter: &str, proofs: &Proofs, moment: &Moment) -> String {
    let subject = proofs.subject.as_ref();
    let own = subject.and_then(Identity::own).map(|own| own.sid.clone());
    let claim = || subject?.external()?.single_use.clone();
    own.or_else(claim).unwrap_or_else(|| denial::denials(zone, presenter, moment.now))
}

impl Event {
    /// Names a token that was shown.
    fn tell_proof(&mut self, identity: Option<&Identity>) {
        let Some(identity) = identity else { return };
        let name = identity.proof_name();
        if self.proofs.contains(&name) {
            return;
        }
        self.proofs.push(name);
        if let Some(external) = identity.external() {
            self.issuers.push(external.row.clone());
            self.rules.push(external.rule.clone());
        }
    }

    fn tell_grant(&mut self, grant: &Grant) {
        self.subject = Some(grant.subject.id().to_owned());
        self.actor = Some(grant.actor().to_owned());
        self.client = Some(grant.presenter.clone());
        self.chain = grant.chain();
        self.task = grant.task.as_ref().map(|task| task.name.clone());
        self.task_id = grant.task.as_ref().and_then(|task| task.id.clone());
        self.device.clone_from(&grant.device);
        self.resource = Some(grant.target.audience().to_owned());
        self.scopes = grant.scopes.iter().cloned().collect();
        self.session = Some(grant.session.id.clone());
        self.parent = grant.parent().map(str::to_owned);
    }

    fn allow(&mut self, grant: &Grant, policies: Vec<String>, token: &str) {
        self.outcome = Outcome::Allow;
        self.status = 200;
        self.name_policies(&policies);
        self.hop = Some(grant.hop().to_owned());
        self.expires = Some(grant.expires);
        self.token = Some(hex(&sha256(token.as_bytes())));
    }

    /// Turns the event into a refusal's.
    pub fn refuse(&mut self, refusal: &Refusal, policies: &[String]) {
        let wire = refusal.wire();
        self.outcome = wire.outcome;
        self.status = wire.status;
        self.error = Some(wire.error);
        self.reason = Some(refusal.reason.code());
        self.detail = (!refusal.detail.is_empty()).then(|| refusal.detail.clone());
        self.name_policies(policies);
        self.withdraw();
    }

    /// Names the policies that decided, and says how many more there were.
    fn name_policies(&mut self, policies: &[String]) {
        self.policies = policies.iter().take(limits::EVENT_POLICIES).cloned().collect();
        let more = policies.len().saturating_sub(limits::EVENT_POLICIES);
        if more > 0 {
            self.policies.push(format!("and {more} more"));
        }
    }

    /// Forgets a token that was made and dropped.
    pub fn withdraw(&mut self) {
        self.hop = None;
        self.token = None;
        self.expires = None;
    }
}
