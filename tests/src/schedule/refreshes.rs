//! Uses of a family of refresh tokens that meet: the last one, the one before it while its answer may be
//! asked for again, one that was spent long ago, and what stops them all.

use serde_json::{Value, json};
use writ_core::http::Request;
use writ_core::refresh::REFRESH;
use writ_core::session::{ENDED, HOP, REVOKED};

use super::invariants::{Role, issued};
use super::scene::{Cast, START, Scene};
use super::{Ran, Random, Scenario};
use crate::client::Answer;
use crate::forms::{ASSISTANT, post};
use crate::planted::Bug;
use crate::trace::claims;

/// A person's session whose family was refreshed twice: long ago, and just now.
pub struct Refreshes {
    /// Its refresh tokens, the first one first.
    tokens: [String; 3],
    /// The first access token.
    first: String,
    session: String,
    root: String,
}

/// When the schedules begin: past the grace of the first refresh, within that of the second.
const NOW: i64 = START + 100;

fn text(claims: &Value, name: &str) -> String {
    claims[name].as_str().unwrap_or_default().to_owned()
}

/// The refresh token that an answer bears.
fn given(answer: &Answer) -> Option<String> {
    Some(answer.json()?.get("refresh_token")?.as_str()?.to_owned())
}

fn number(token: &str) -> u64 {
    claims(token)["refresh"]["number"].as_u64().expect("a number")
}

fn refresh(token: &str) -> Request {
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
    post("/oauth/token", ASSISTANT, &fields)
}

impl Scenario for Refreshes {
    fn begin(scene: &mut Scene) -> Self {
        let person =
            json!({ "sub": "alice", "tenant": "acme", "azp": "assistant", "exp": START + 1_000 });
        let person = scene.world.sign(json!({ "from": "idp", "claims": person }), START);
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", &*person),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
            ("resource", "https://files.example/api"),
        ];
        let send = |request, now| scene.send(&scene.instances[0], request, now);
        let opened = send(post("/oauth/token", ASSISTANT, &fields), START);
        let first = issued(&opened).expect("a token");
        let one = given(&opened).expect("a refresh token");
        let two = given(&send(refresh(&one), START + 50)).expect("a refresh token");
        let three = given(&send(refresh(&two), NOW - 5)).expect("a refresh token");
        scene.save();
        let told = claims(&first);
        let (session, root) = (text(&told, "sid"), text(&told, "jti"));
        Self { tokens: [one, two, three], first, session, root }
    }

    fn play(&self, scene: &Scene, seed: u64, bug: Option<Bug>) -> Result<Ran, String> {
        let mut random = Random::of(seed);
        scene.restore(NOW);
        let mut cast = Cast::default();
        let [spent, before, last] = &self.tokens;
        let stop =
            |hop: &str| Role::Stop { session: self.session.clone(), hop: Some(hop.to_owned()) };
        for _ in 0..1 + random.below(2) {
            cast.add(Role::Exchange, "", refresh(last));
        }
        if random.once_in(2) {
            cast.add(Role::Exchange, "", refresh(before));
        }
        if random.once_in(3) {
            let role = Role::Reuse { session: self.session.clone(), hop: self.root.clone() };
            cast.add(role, "", refresh(spent));
        }
        if random.once_in(4) {
            let token = random.one_of(&[&self.first, spent, before, last]);
            cast.add(stop(&self.root), "", post("/oauth/revoke", ASSISTANT, &[("token", token)]));
        }
        if random.once_in(6) {
            let role = Role::Stop { session: self.session.clone(), hop: None };
            let path = format!("/sessions/{}/complete", self.session);
            cast.add(role, "", post(&path, ASSISTANT, &[]));
        }
        let ran = scene.run(&cast, NOW, &mut random, bug)?;
        self.settle(scene, &ran)?;
        Ok(ran)
    }
}

impl Refreshes {
    /// Whatever was given was the last of its family when it was given; in the end the last one that
    /// somebody has is good, unless all of them were stopped, and then nothing of them is.
    fn settle(&self, scene: &Scene, ran: &Ran) -> Result<(), String> {
        let key = format!("{REFRESH}{}", self.root);
        let mut known = self.tokens.to_vec();
        for answer in &ran.answers {
            let Some(token) = given(answer) else { continue };
            let hop = text(&claims(&issued(answer).unwrap_or_default()), "jti");
            let recorded = ran.written.iter().find(|written| written.has(&format!("{HOP}{hop}")));
            let step = recorded.map_or(0, |written| written.step);
            let turns = ran.written.iter().filter(|other| other.step <= step && other.has(&key));
            let last = 3 + turns.count() as u64;
            if number(&token) != last {
                return Err(format!("number {} was given when {last} was last", number(&token)));
            }
            known.push(token);
        }
        let stopped = |key: &String| *key == ENDED || *key == format!("{REVOKED}{}", self.root);
        let stopped = ran.written.iter().flat_map(|written| &written.keys).any(stopped);
        let later = ran.written.iter().map(|written| written.at).max().unwrap_or(NOW) + 1;
        for token in ran.answers.iter().filter_map(issued) {
            if scene.is_active(&token, later) == stopped {
                return Err(format!("a token is told to be alive: {}", !stopped));
            }
        }
        known.sort_by_key(|token| number(token));
        let last = known.last().expect("a token");
        let answer = scene.send(&scene.instances[1], refresh(last), later);
        if (answer.status == 200) == stopped {
            let number = number(last);
            return Err(format!(
                "number {number} is answered {}, stopped: {stopped}",
                answer.status
            ));
        }
        Ok(())
    }
}
