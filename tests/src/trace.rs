//! Plays a trace of acts on the reference model and on the core, and says where they part.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use writ_core::active::Snapshot;
use writ_core::encoding::from_base64url;
use writ_core::host::Range;
use writ_core::http::Request;
use writ_core::operator::Step;
use writ_core::principals;
use writ_core::publish;
use writ_core::session::{HOP, partition};

use crate::client::Answer;
use crate::memory::Memory;
use crate::model::acts::{Act, App, Measure, Slot, Target, Whom, Worker};
use crate::model::{Expected, Model, SIGN_IN_SECS, Subject, Token};
use crate::operator;
use crate::planted::{Bug, Planted};
use crate::run::token_request;
use crate::store::Sessions;
use crate::world::{BEGINNING, World, block_on, moment};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

type Fields = Vec<(&'static str, String)>;

/// Two instances of one deployment, on which traces are played one after the other. The zone is
/// compiled once; each trace begins with no session, nobody disabled, and long after the one before.
pub struct Stage {
    world: World,
    instances: [Memory; 2],
    beginning: i64,
    bug: Option<Bug>,
    /// How many acts were played, and what came of them.
    pub played: BTreeMap<&'static str, usize>,
}

/// One trace as it is played.
struct Play<'a> {
    stage: &'a mut Stage,
    model: Model,
    tokens: Vec<String>,
    proofs: Vec<String>,
    /// The id of each session of the model.
    sessions: BTreeMap<usize, String>,
    turn: usize,
}

impl Stage {
    /// A stage on which nothing was played yet, and what is wrong with it.
    #[must_use]
    pub fn new(bug: Option<Bug>) -> Self {
        let world = World::new("plain");
        let instances = [world.host.sibling(), world.host.sibling()];
        Self { world, instances, beginning: BEGINNING, bug, played: BTreeMap::new() }
    }

    /// Plays a trace.
    ///
    /// # Errors
    ///
    /// Where the core does not do what the model says.
    pub fn play(&mut self, trace: &[Act]) -> Result<(), String> {
        self.clear();
        let mut play = Play {
            stage: self,
            model: Model::default(),
            tokens: Vec::new(),
            proofs: Vec::new(),
            sessions: BTreeMap::new(),
            turn: 0,
        };
        for (number, act) in trace.iter().enumerate() {
            play.act(act).map_err(|what| format!("act {number}, {act:?}: {what}"))?;
        }
        play.settle()
    }

    /// Leaves nothing of the trace before.
    fn clear(&mut self) {
        self.beginning += BETWEEN_SECS;
        self.world.host.store.restore(&Sessions::default());
        let moment = moment(self.beginning);
        let changed = publish::change(
            &*self.world.host,
            &self.world.deployment.zone,
            &moment,
            "clear",
            |snapshot: &mut Snapshot| {
                snapshot.disabled.clear();
                snapshot.cut_offs.clear();
                Ok(Some(Vec::new()))
            },
        );
        block_on(changed).expect("a zone that changes");
    }
}

/// Longer than anything lives.
const BETWEEN_SECS: i64 = 100_000;

impl Play<'_> {
    fn now(&self) -> i64 {
        self.stage.beginning + self.model.now
    }

    /// Sends a request to the instances in turn.
    fn send(&mut self, request: Request, now: i64) -> Answer {
        self.turn += 1;
        let host = &self.stage.instances[self.turn % 2];
        let planted = Planted { host, bug: self.stage.bug, slot: "any", turns: None };
        let deployment = &self.stage.world.deployment;
        let answer = block_on(writ_core::handle(&planted, deployment, moment(now), request)).into();
        host.take_events();
        answer
    }

    fn act(&mut self, act: &Act) -> Result<(), String> {
        let now = self.now();
        // What the act is about is chosen before the model goes on.
        let request = self.request(act, now);
        if let Act::Restart = act {
            let next = (self.turn + 1) % 2;
            self.stage.instances[next] = self.stage.world.host.sibling();
        }
        let expected = self.model.act(act);
        let Some(request) = request else { return Ok(()) };
        let answer = self.send(request, now);
        let name = match &expected {
            Expected::Issued(_) => "issued",
            Expected::Refused(_) => "refused",
            Expected::Active(true) => "active",
            Expected::Active(false) => "inactive",
            _ => "other",
        };
        *self.stage.played.entry(name).or_default() += 1;
        self.compare(&expected, &answer)
    }

    /// The request of an act; none where it is about time, or about what is not there.
    fn request(&mut self, act: &Act, now: i64) -> Option<Request> {
        let form = |path: &str, fields: Fields| {
            let fields: Vec<(String, String)> =
                fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            Some(Request { path: path.to_owned(), ..token_request(&fields) })
        };
        let operator = |play: &Self, step: Step| {
            Some(operator::request(&play.stage.world.deployment, &step, now))
        };
        match *act {
            Act::Tick { .. } | Act::Restart => None,
            Act::Sign { whose, secs } => {
                let sub = match whose {
                    Worker::Job => "job",
                    Worker::Assistant => "assistant",
                };
                let claims = json!({ "sub": sub, "exp": now + secs });
                let token = json!({ "from": "jobs", "claims": claims });
                self.proofs.push(self.stage.world.sign(token, now));
                None
            }
            Act::Open { who, task, target, scopes } => {
                let mut fields = wanted("client_credentials", who, target, scopes);
                fields.extend(secret(who));
                if let Some((name, id)) = task {
                    fields.extend(name.map(|name| ("task", name.name().to_owned())));
                    fields.push(("task_id", format!("t-{id}")));
                }
                form("/oauth/token", fields)
            }
            Act::Redeem { proof, slot, target, scopes } => {
                let proof = self.model.proof(proof)?;
                let (who, shown) = (self.model.whose(proof).app(), self.proofs[proof].clone());
                let (grant, more) = match slot {
                    Slot::Subject => (EXCHANGE, subject(shown, JWT)),
                    Slot::Assertion => (BEARER, vec![("assertion", shown)]),
                    Slot::Client => ("client_credentials", assertion(shown)),
                };
                form("/oauth/token", [wanted(grant, who, target, scopes), more].concat())
            }
            Act::SignIn { person, proof, target, scopes } => {
                let claims = json!({
                    "sub": format!("p{person}"), "tenant": "acme", "azp": "assistant",
                    "exp": now + SIGN_IN_SECS,
                });
                let token = json!({ "from": "idp", "claims": claims });
                let token = self.stage.world.sign(token, now);
                let (who, client) = self.client(App::Assistant, proof);
                let wanted = wanted(EXCHANGE, who, target, scopes);
                form("/oauth/token", [wanted, subject(token, ID_TOKEN), client].concat())
            }
            Act::Exchange { token, who, proof, target, scopes } => {
                let token = self.model.token(token)?;
                let who = who.unwrap_or_else(|| self.model.addressee(token));
                let (token, (who, client)) = (self.tokens[token].clone(), self.client(who, proof));
                let wanted = wanted(EXCHANGE, who, target, scopes);
                form("/oauth/token", [wanted, subject(token, ACCESS), client].concat())
            }
            Act::Revoke { token, by } => {
                let token = self.model.token(token)?;
                let by = by.unwrap_or(self.model.tokens[token].holder);
                let token = vec![("token", self.tokens[token].clone())];
                form("/oauth/revoke", [secret(by), token].concat())
            }
            Act::Introspect { token, by } => {
                let token = self.model.token(token)?;
                let by = by.unwrap_or_else(|| self.model.addressee(token));
                let token = vec![("token", self.tokens[token].clone())];
                form("/oauth/introspect", [secret(by), token].concat())
            }
            Act::End { token } => {
                let session = self.session(token)?;
                operator(self, Step::end(&session))
            }
            Act::Complete { token, by } => {
                let session = self.session(token)?;
                form(&format!("/sessions/{session}/complete"), secret(by))
            }
            Act::Take { measure, whom } => {
                let measure = match measure {
                    Measure::Disable => principals::Measure::Disable,
                    Measure::Enable => principals::Measure::Enable,
                    Measure::CutOff => principals::Measure::CutOff,
                };
                let whom = match whom {
                    Whom::User(person) => principals::Whom::User(user(person)),
                    Whom::App(app) => principals::Whom::Application(app.id().to_owned()),
                    Whom::Rule(rule) => principals::Whom::Rule(rule.id().to_owned()),
                };
                operator(self, Step::measure(measure, &whom))
            }
        }
    }

    /// The client's proof, and whose it is.
    fn client(&self, who: App, proof: Option<usize>) -> (App, Fields) {
        match proof.and_then(|proof| self.model.proof(proof)) {
            None => (who, secret(who)),
            Some(proof) => (self.model.whose(proof).app(), assertion(self.proofs[proof].clone())),
        }
    }

    fn session(&self, token: usize) -> Option<String> {
        let token = self.model.token(token)?;
        Some(self.sessions[&self.model.tokens[token].session].clone())
    }

    fn compare(&mut self, expected: &Expected, answer: &Answer) -> Result<(), String> {
        let body = answer.json().unwrap_or_default();
        let error = body["error"].as_str();
        let agrees = match expected {
            Expected::Issued(token) => {
                let Some(issued) = body["access_token"].as_str() else {
                    return Err(format!("{token:?} was to be issued, got {body}"));
                };
                self.tokens.push(issued.to_owned());
                return self.compare_token(token, issued);
            }
            Expected::Refused(reasons) => {
                answer.status < 500 && error.is_some_and(|error| reasons.contains(error))
            }
            Expected::Active(active) => body["active"] == *active,
            Expected::Done => answer.status / 100 == 2,
            Expected::Gone => answer.status == 404,
            Expected::DoneOrGone => answer.status == 204 || answer.status == 404,
            Expected::DoneOr(reason) => answer.status == 200 || error == Some(reason),
            Expected::Nothing => true,
        };
        if agrees {
            return Ok(());
        }
        let told = body["access_token"].as_str().map_or_else(|| body.clone(), claims);
        Err(format!("{expected:?}, got {} {told}", answer.status))
    }

    /// Holds a token's claims against what it was to be, and looks for its record.
    fn compare_token(&mut self, token: &Token, issued: &str) -> Result<(), String> {
        let claims = claims(issued);
        let number = self.model.tokens.len() - 1;
        let sid = claims["sid"].as_str().unwrap_or_default().to_owned();
        let scopes: Vec<&str> = token.scopes.iter().copied().collect();
        let acts = token.actors.iter().rev().fold(Value::Null, |act, app| match act {
            Value::Null => json!({ "sub": app.id() }),
            act => json!({ "sub": app.id(), "act": act }),
        });
        let sub = match token.subject {
            Subject::User(person) => user(person),
            Subject::App(app) => app.id().to_owned(),
        };
        let expected = json!({
            "exp": self.stage.beginning + token.expires,
            "scope": if scopes.is_empty() { Value::Null } else { scopes.join(" ").into() },
            "aud": token.target.resource().unwrap_or(token.holder.id()),
            "client_id": token.holder.id(),
            "sub": sub,
            "act": acts,
            "depth": self.model.depth(number),
        });
        let found = json!({
            "exp": claims["exp"],
            "scope": claims["scope"],
            "aud": claims["aud"],
            "client_id": claims["client_id"],
            "sub": claims["sub"],
            "act": claims["act"],
            "depth": claims["path"].as_array().map(Vec::len),
        });
        if found != expected {
            return Err(format!("{expected} was to be issued, got {found}"));
        }
        let known = self.sessions.get(&token.session);
        let another = self.sessions.values().any(|other| *other == sid);
        if known.is_some_and(|known| *known != sid) || (known.is_none() && another) {
            return Err(format!("session {} is `{sid}`: {:?}", token.session, self.sessions));
        }
        let place = partition(&self.stage.world.deployment.zone, &sid);
        let hop = format!("{HOP}{}", claims["jti"].as_str().unwrap_or_default());
        self.sessions.insert(token.session, sid);
        let found = self.stage.world.host.store.read(&place, Range::of(&hop));
        if !found.iter().any(|record| record.key == hop) {
            return Err("it was issued without its record".to_owned());
        }
        Ok(())
    }

    /// At the end of a trace, whether each token is alive is asked of whom it is for.
    fn settle(&mut self) -> Result<(), String> {
        for token in 0..self.tokens.len() {
            let act = Act::Introspect { token, by: None };
            self.act(&act).map_err(|what| format!("in the end, {act:?}: {what}"))?;
        }
        Ok(())
    }
}

fn wanted(grant: &str, who: App, target: Target, scopes: Option<u8>) -> Fields {
    let target_field = match target.resource() {
        Some(resource) => ("resource", resource.to_owned()),
        None => ("audience", who.id().to_owned()),
    };
    let mut fields = vec![("grant_type", grant.to_owned()), target_field];
    if let Some(bits) = scopes {
        let asked: Vec<&str> = target.asked(bits).into_iter().collect();
        fields.push(("scope", asked.join(" ")));
    }
    fields
}

fn secret(who: App) -> Fields {
    vec![("client_id", who.id().to_owned()), ("client_secret", who.secret().to_owned())]
}

fn subject(token: String, kind: &str) -> Fields {
    vec![("subject_token", token), ("subject_token_type", kind.to_owned())]
}

fn assertion(token: String) -> Fields {
    vec![("client_assertion_type", ASSERTION.to_owned()), ("client_assertion", token)]
}

fn user(person: u8) -> String {
    format!("user:idp:p{person}")
}

/// What a token says, unverified: the vectors verify.
#[must_use]
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let bytes = from_base64url(payload).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}
