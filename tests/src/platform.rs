//! One platform's fixture in a zone of its own, to be shown there and spoilt.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use writ_core::bundle::{KeySource, SingleUse, SubjectKind};
use writ_core::http::Request;
use writ_core::jwk::Algorithm;

use crate::fixtures::Fixture;
use crate::forms::token_request;
use crate::issuer::{Parties, Token, Usual};
use crate::run;
use crate::template::unique;
use crate::world::{BEGINNING, World};
use crate::zones::Places;

/// The slots a token may be shown in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// `subject_token`
    Subject,
    /// `client_assertion`
    Client,
    /// `assertion`
    Assertion,
}

/// A fixture, and the zone that trusts its platform.
pub struct Platform {
    /// The fixture.
    pub fixture: Fixture,
    /// The audience that the zone expects of the platform.
    pub audience: String,
    /// The longest life that the zone accepts.
    pub lifetime_secs: i64,
    /// Whether the fixture's token may be used once only.
    pub used_once: bool,
    user: Option<String>,
    world: World,
    parties: Parties,
}

/// What came of showing a token.
pub struct Seen {
    /// The status.
    pub status: u16,
    /// The error code; empty where there is none.
    pub error: String,
    /// The description without the request's id.
    pub said: String,
    /// The event's reason.
    pub reason: Option<String>,
    /// The event's detail.
    pub detail: Option<String>,
    /// The keys of the records written.
    pub written: Vec<String>,
    /// The URLs fetched.
    pub fetched: Vec<String>,
    /// The issued token's claims.
    pub claims: Option<Value>,
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reason = self.reason.as_deref().unwrap_or("no reason");
        let detail = self.detail.as_deref().unwrap_or_default();
        write!(f, "{} {} for {reason} ({detail}), ", self.status, self.error)?;
        write!(f, "written {:?}, fetched {:?}", self.written, self.fetched)
    }
}

impl Platform {
    /// Installs a zone that trusts the platform of the fixture `name`, and nobody else.
    pub fn new(name: &str) -> Self {
        let fixture = Fixture::load(name);
        let mut parties = fixture.parties();
        // The attacker's key is of the other family.
        let other = match fixture.algorithm() {
            Some(Algorithm::RS256) => Algorithm::ES256,
            _ => Algorithm::RS256,
        };
        parties.get_mut("attacker").unwrap().algorithms = vec![other];
        let places = Places::in_process();
        let zone = fixture.zone(&places, parties.clone());
        let bundle = zone.compile().unwrap_or_else(|mistakes| panic!("{name}: {mistakes}"));
        let issuer = &bundle.issuers["platform"];
        let audience = issuer.audience[0].clone();
        let used_once = {
            let pointer = issuer.token_id.clone();
            let has_id = Value::Object(fixture.claims.clone()).pointer(&pointer).is_some();
            match issuer.single_use {
                SingleUse::Always => true,
                SingleUse::WhenPresent => has_id,
                SingleUse::Never => false,
            }
        };
        let user = (issuer.subject == SubjectKind::User)
            .then(|| bundle.applications.keys().next().unwrap().clone());
        let (lifetime_secs, keys) = (issuer.lifetime_secs, issuer.keys.clone());
        let world = World::with(zone, places);
        publish(&world, &keys, &fixture, &parties);
        Self { fixture, audience, lifetime_secs, used_once, user, world, parties }
    }

    /// The slots that the platform's tokens belong in.
    pub fn slots(&self) -> Vec<Slot> {
        match (self.fixture.name.as_str(), &self.user) {
            ("id-jag", _) => vec![Slot::Assertion],
            (_, Some(_)) => vec![Slot::Subject, Slot::Assertion],
            (_, None) => vec![Slot::Subject, Slot::Client, Slot::Assertion],
        }
    }

    /// The slot to spoil tokens in.
    pub fn slot(&self) -> Slot {
        self.slots()[0]
    }

    /// The audience that the platform gives where nobody asks, or another party's.
    pub fn vendor_audience(&self) -> Value {
        match self.fixture.claims.get("aud") {
            Some(own) if !contains(own, &self.audience) => own.clone(),
            _ => json!("https://vendor.example"),
        }
    }

    /// The claims that a description leads to.
    pub fn claims(&self, token: &Token) -> Map<String, Value> {
        let mut claims = self.fixture.claims_at(BEGINNING, &self.world.places.zone);
        claims.extend(token.claims.clone());
        claims
    }

    /// Signs a token as described, with an id of its own.
    pub fn sign(&self, token: &Token) -> String {
        let mut usual = Usual::at(BEGINNING, &self.world.places.zone);
        usual.claims.insert("jti".to_owned(), json!(unique("jti")));
        token.sign(&self.parties, &usual)
    }

    /// Shows a token in a slot.
    pub fn show(&self, slot: Slot, token: &str) -> Seen {
        let before = (self.world.host.store.contents(), self.world.host.web.asked().len());
        self.world.take_events();
        let answer = self.world.send(self.request(slot, token), BEGINNING);
        let events = self.world.take_events();
        assert_eq!(events.len(), 1, "one event");
        let now = self.world.host.store.contents();
        let written = now.iter().filter(|(name, record)| before.0.get(*name) != Some(record));
        let body = answer.json().unwrap();
        let said = body["error_description"].as_str().unwrap_or_default();
        let said = said.split(" (request").next().unwrap_or_default().to_owned();
        let claims = body["access_token"].as_str().map(|token| {
            let keys = self.world.published_keys();
            run::read(token, &keys).unwrap().1
        });
        Seen {
            status: answer.status,
            error: body["error"].as_str().unwrap_or_default().to_owned(),
            said,
            reason: events[0].reason.map(str::to_owned),
            detail: events[0].detail.clone(),
            written: written.map(|((_, key), _)| key.clone()).collect(),
            fetched: self.world.host.web.asked()[before.1..]
                .iter()
                .map(|request| request.url.clone())
                .collect(),
            claims,
        }
    }

    fn request(&self, slot: Slot, token: &str) -> Request {
        let urn = |kind: &str| format!("urn:ietf:params:oauth:{kind}");
        let mut fields = vec![("resource", "https://files.example/api".to_owned())];
        match slot {
            Slot::Subject => fields.extend([
                ("grant_type", urn("grant-type:token-exchange")),
                ("subject_token_type", urn("token-type:jwt")),
                ("subject_token", token.to_owned()),
            ]),
            Slot::Client => fields.extend([
                ("grant_type", "client_credentials".to_owned()),
                ("client_assertion_type", urn("client-assertion-type:jwt-bearer")),
                ("client_assertion", token.to_owned()),
            ]),
            Slot::Assertion => fields.extend([
                ("grant_type", urn("grant-type:jwt-bearer")),
                ("assertion", token.to_owned()),
            ]),
        }
        if let Some(client) = &self.user {
            fields.extend([
                ("client_id", client.clone()),
                ("client_secret", "client-secret".to_owned()),
            ]);
        }
        token_request(&fields)
    }

    /// The issued token says who the bearer is, by our own words, and nothing that the platform's
    /// token said besides.
    pub fn assert_nothing_upstream(&self, seen: &Seen) {
        let name = &self.fixture.name;
        let claims = seen.claims.as_ref().unwrap();
        let client = self.user.as_deref().unwrap_or("bearer");
        assert_eq!(claims["client_id"], json!(client), "{name}");
        assert_eq!(claims["scope"], json!("read"), "{name}");
        let act = self.user.as_ref().map(|client| json!({ "sub": client }));
        assert_eq!(claims.get("act"), act.as_ref(), "{name}");
        let subject = claims["sub"].as_str().unwrap();
        match &self.user {
            Some(_) => assert!(subject.starts_with("user:platform:"), "{name}: {subject}"),
            None => assert_eq!(subject, "bearer", "{name}"),
        }
        let ours: BTreeSet<&str> = [
            "iss",
            "sub",
            "aud",
            "client_id",
            "scope",
            "iat",
            "exp",
            "jti",
            "sid",
            "act",
            "sub_profile",
            "path",
            "seq",
            "status",
        ]
        .into();
        for claim in claims.as_object().unwrap().keys() {
            assert!(ours.contains(claim.as_str()), "{name}: the token says `{claim}`");
        }
    }
}

fn contains(aud: &Value, audience: &str) -> bool {
    aud.as_str() == Some(audience)
        || aud.as_array().is_some_and(|list| list.iter().any(|one| one == audience))
}

/// Puts the platform's keys where the bundle looks for them.
fn publish(world: &World, source: &KeySource, fixture: &Fixture, parties: &Parties) {
    let set = parties[&fixture.name].key_set(&fixture.name).to_string();
    match source {
        KeySource::Uploaded(_) => {}
        KeySource::Url(url) => {
            if let Some(documented) = &fixture.jwks_uri {
                assert_eq!(url, documented, "{}: the keys are elsewhere", fixture.name);
            }
            world.host.web.publish(url, 200, set);
        }
        KeySource::Discovery { url, issuer, .. } => {
            assert_eq!(Some(url), fixture.discovery.as_ref(), "{}", fixture.name);
            let keys = fixture.jwks_uri.clone().unwrap_or_else(|| format!("{issuer}/keys"));
            let document = json!({ "issuer": issuer, "jwks_uri": keys });
            world.host.web.publish(url, 200, document.to_string());
            world.host.web.publish(&keys, 200, set);
        }
    }
}
