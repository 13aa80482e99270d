//! Plays a trace of acts on the reference model and on the core, and says where they part.

mod stage;

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use writ_core::encoding::from_base64url;
use writ_core::http::Request;
use writ_core::operator::Step;

use self::stage::KNOWN;
pub use self::stage::{Stage, brief};
use crate::client::Answer;
use crate::forms::{ACCESS, ASSERTION, BEARER, EXCHANGE, ID_TOKEN, JWT, form};
use crate::model::acts::{Act, App, Slot, Target};
use crate::model::{Expected, Model, Refresh, SIGN_IN_SECS, Subject, Token};
use crate::operator;
use crate::target::clock;

/// An act that took longer than this may have come before or after what ended meanwhile.
const LATE_SECS: i64 = 2;

type Fields = Vec<(&'static str, String)>;

/// One trace as it is played.
struct Play<'a> {
    stage: &'a mut Stage,
    model: Model,
    tokens: Vec<String>,
    refreshes: Vec<String>,
    proofs: Vec<String>,
    /// The id of each session of the model.
    sessions: BTreeMap<usize, String>,
    turn: usize,
    /// How long the trace waited so far, where time is time.
    waited: i64,
    /// What came of each act that is answered, in a word.
    outcomes: Vec<&'static str>,
    /// An act took so long that nobody can say what it was to come to: what follows is not played.
    late: bool,
}

impl Stage {
    /// Plays a trace, and says what came of its acts.
    ///
    /// # Errors
    ///
    /// Where the core does not do what the model says.
    pub fn play(&mut self, trace: &[Act]) -> Result<Vec<&'static str>, String> {
        self.clear();
        let model = Model::of(self.lifetimes);
        let mut play = Play {
            stage: self,
            model,
            tokens: Vec::new(),
            refreshes: Vec::new(),
            proofs: Vec::new(),
            sessions: BTreeMap::new(),
            turn: 0,
            waited: 0,
            outcomes: Vec::new(),
            late: false,
        };
        let mut played = Ok(());
        for (number, act) in trace.iter().enumerate() {
            played = play.act(act).map_err(|what| format!("act {number}, {act:?}: {what}"));
            if played.is_err() {
                break;
            }
        }
        let settled = played.and_then(|()| play.settle());
        let (disabled, outcomes) = (play.model.disabled(), play.outcomes);
        self.disabled = disabled;
        settled.map(|()| outcomes)
    }
}

impl Play<'_> {
    /// What time it is, for the service and then for the model. Where time is time, acts keep off the
    /// seconds in which something ends.
    fn now(&mut self) -> i64 {
        if self.stage.is_running() {
            let beginning = self.stage.beginning;
            let near = |now: i64| now - beginning - 1..=now - beginning + 2;
            while self.model.ends().any(|end| near(clock()).contains(&end)) {
                sleep(Duration::from_millis(200));
            }
            self.model.now = clock() - beginning;
        }
        self.stage.beginning + self.model.now
    }

    /// Waits as an act wants, where time is time. What acts take of it is no longer waited for, so that
    /// each comes when the trace says.
    fn wait(&mut self, act: &Act) {
        match act {
            Act::Tick { secs } => {
                self.waited = (self.waited + secs).min(self.stage.waits_secs);
                let secs = self.stage.beginning + self.waited - clock();
                sleep(Duration::from_secs(u64::try_from(secs).unwrap_or_default()));
            }
            Act::Take { .. } => sleep(KNOWN),
            _ => {}
        }
    }

    fn act(&mut self, act: &Act) -> Result<(), String> {
        if self.late {
            return Ok(());
        }
        let now = self.now();
        // What the act is about is chosen before the model goes on.
        let request = self.request(act, now);
        self.turn += 1;
        if let Act::Restart = act {
            self.stage.restart(self.turn + 1);
        }
        let expected = self.model.act(act);
        let answer = request.map(|request| self.stage.send(self.turn, request, now));
        if self.stage.is_running() {
            self.late = answer.is_some() && clock() > now + LATE_SECS;
            *self.stage.played.entry("late").or_default() += usize::from(self.late);
            self.wait(act);
        }
        let Some(answer) = answer.filter(|_| !self.late) else { return Ok(()) };
        let name = match &expected {
            Expected::Issued(..) if matches!(act, Act::Refresh { .. }) => "refreshed",
            Expected::Issued(..) => "issued",
            Expected::Refused(_) => "refused",
            Expected::Active(true) => "active",
            Expected::Active(false) => "inactive",
            _ => "other",
        };
        *self.stage.played.entry(name).or_default() += 1;
        self.outcomes.push(name);
        self.compare(&expected, &answer)
    }

    /// The request of an act; none where it is about time, or about what is not there.
    fn request(&mut self, act: &Act, now: i64) -> Option<Request> {
        let form = |path: &str, fields: Fields| Some(form(path, &fields));
        let operator =
            |play: &Self, step: Step| Some(operator::request(play.stage.told(), &step, now));
        match *act {
            Act::Tick { .. } | Act::Restart => None,
            Act::Sign { whose, secs } => {
                let claims = json!({ "sub": whose.app().id(), "exp": now + secs });
                let token = json!({ "from": whose.platform(), "claims": claims });
                self.proofs.push(self.stage.sign(token, now));
                None
            }
            Act::Open { who, task, target, scopes } => {
                let mut fields = wanted("client_credentials", who, target, scopes);
                fields.extend(secret(who));
                let name = task.and_then(|(name, _)| name);
                fields.extend(name.map(|name| ("task", name.name().to_owned())));
                fields.extend(task.map(|(_, id)| self.task(id)));
                form("/oauth/token", fields)
            }
            Act::Redeem { proof, slot, task, target, scopes } => {
                let proof = self.model.proof(proof)?;
                let (who, shown) = (self.model.whose(proof).app(), self.proofs[proof].clone());
                let (grant, mut more) = match slot {
                    Slot::Subject => (EXCHANGE, subject(shown, JWT)),
                    Slot::Assertion => (BEARER, vec![("assertion", shown)]),
                    Slot::Client => ("client_credentials", assertion(shown)),
                };
                more.extend(task.map(|id| self.task(id)));
                form("/oauth/token", [wanted(grant, who, target, scopes), more].concat())
            }
            Act::SignIn { person, proof, target, scopes } => {
                let claims = json!({
                    "sub": self.stage.person(person), "tenant": "acme", "azp": "assistant",
                    "exp": now + SIGN_IN_SECS,
                });
                let token = json!({ "from": "idp", "claims": claims });
                let token = self.stage.sign(token, now);
                let (who, client) = self.client(App::Assistant, proof);
                let wanted = wanted(EXCHANGE, who, target, scopes);
                form("/oauth/token", [wanted, subject(token, ID_TOKEN), client].concat())
            }
            Act::Exchange { token, who, proof, actor, target, scopes } => {
                let token = self.model.token(token)?;
                let who = who.unwrap_or_else(|| self.model.addressee(token));
                let (token, (who, mut client)) =
                    (self.tokens[token].clone(), self.client(who, proof));
                if let Some(actor) = actor.and_then(|actor| self.model.token(actor)) {
                    client.push(("actor_token", self.tokens[actor].clone()));
                    client.push(("actor_token_type", ACCESS.to_owned()));
                }
                let wanted = wanted(EXCHANGE, who, target, scopes);
                form("/oauth/token", [wanted, subject(token, ACCESS), client].concat())
            }
            Act::Refresh { refresh, by, scopes } => {
                let refresh = self.model.refresh_token(refresh)?;
                let by = by.unwrap_or_else(|| self.model.refresher(refresh));
                let mut fields = secret(by);
                fields.push(("grant_type", "refresh_token".to_owned()));
                fields.push(("refresh_token", self.refreshes[refresh].clone()));
                if let Some(bits) = scopes {
                    let target = self.model.refreshed(refresh);
                    let asked: Vec<&str> = target.asked(bits).into_iter().collect();
                    fields.push(("scope", asked.join(" ")));
                }
                form("/oauth/token", fields)
            }
            Act::GiveBack { refresh, by } => {
                let refresh = self.model.refresh_token(refresh)?;
                let by = by.unwrap_or_else(|| self.model.refresher(refresh));
                let token = vec![("token", self.refreshes[refresh].clone())];
                form("/oauth/revoke", [secret(by), token].concat())
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
            Act::Take { measure, whom } => operator(self, self.stage.measure(measure, whom)),
        }
    }

    /// The client's proof, and whose it is.
    fn client(&self, who: App, proof: Option<usize>) -> (App, Fields) {
        match proof.and_then(|proof| self.model.proof(proof)) {
            None => (who, secret(who)),
            Some(proof) => (self.model.whose(proof).app(), assertion(self.proofs[proof].clone())),
        }
    }

    /// A task's id, which is this trace's alone.
    fn task(&self, id: u8) -> (&'static str, String) {
        ("task_id", format!("t-{}-{id}", self.stage.number))
    }

    fn session(&self, token: usize) -> Option<String> {
        let token = self.model.token(token)?;
        Some(self.sessions[&self.model.tokens[token].session].clone())
    }

    fn compare(&mut self, expected: &Expected, answer: &Answer) -> Result<(), String> {
        let body = answer.json().unwrap_or_default();
        let error = body["error"].as_str();
        let agrees = match expected {
            Expected::Issued(token, refresh) => {
                let Some(issued) = body["access_token"].as_str() else {
                    return Err(format!("{token:?} was to be issued, got {body}"));
                };
                self.tokens.push(issued.to_owned());
                self.compare_refresh(refresh.as_ref(), body["refresh_token"].as_str())?;
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

    /// Holds a refresh token's claims against what it was to be.
    fn compare_refresh(
        &mut self,
        refresh: Option<&Refresh>,
        given: Option<&str>,
    ) -> Result<(), String> {
        let (Some(refresh), Some(given)) = (refresh, given) else {
            let agrees = refresh.is_none() && given.is_none();
            return agrees.then_some(()).ok_or_else(|| {
                format!("{refresh:?} was to be given, and one was: {}", given.is_some())
            });
        };
        let claims = claims(given);
        let expires = claims["exp"].as_i64().unwrap_or_default() - self.stage.beginning;
        let tolerance = if self.stage.is_running() { 2 } else { 0 };
        if claims["refresh"]["number"] != refresh.number
            || (expires - refresh.expires).abs() > tolerance
        {
            return Err(format!("{refresh:?} was to be given, got {claims}"));
        }
        if let Some(last) = self.model.refreshes.last_mut() {
            last.expires = expires;
        }
        self.refreshes.push(given.to_owned());
        Ok(())
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
            Subject::User(person) => self.stage.user(person),
            Subject::App(app) => app.id().to_owned(),
        };
        let mut expires = self.stage.beginning + token.expires;
        let told = claims["exp"].as_i64().unwrap_or_default();
        if self.stage.is_running() && (told - expires).abs() <= 2 {
            expires = told;
            self.model.tokens[number].expires = told - self.stage.beginning;
        }
        let expected = json!({
            "exp": expires,
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
        let recorded = self.is_recorded(&sid, &claims["jti"]);
        self.sessions.insert(token.session, sid);
        if !recorded {
            return Err("it was issued without its record".to_owned());
        }
        Ok(())
    }

    /// Whether the operator is shown the hop in its session.
    fn is_recorded(&self, sid: &str, hop: &Value) -> bool {
        let now = self.stage.beginning + self.model.now;
        let request = operator::request(self.stage.told(), &Step::session(sid, ""), now);
        let session = self.stage.send(self.turn, request, now).json().unwrap_or_default();
        let hops = session["hops"].as_array();
        hops.is_some_and(|hops| hops.iter().any(|shown| shown["hop"] == *hop))
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

/// What a token says, unverified: the vectors verify.
#[must_use]
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let bytes = from_base64url(payload).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}
