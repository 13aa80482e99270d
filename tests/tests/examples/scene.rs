//! What every example is played in: the zone, the service, the platforms that sign, and an API.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use writ_core::jwk::PublicKey;
use writ_tests::emulation::{Reply, header, listen};
use writ_tests::front::Front;
use writ_tests::issuer::{Parties, Token, Usual};
use writ_tests::running::{Running, target};
use writ_tests::server::Server;
use writ_tests::target::{clock, published};
use writ_tests::zones::Places;
use writ_tests::{example, run};

/// The example zone where it runs, and who signs around it.
pub(crate) struct Scene {
    /// The zone's issuer, which is where the service answers.
    pub(crate) writ: String,
    /// Signs as the platforms do.
    pub(crate) mint: Mint,
    /// Where the APIs are, all at one address.
    pub(crate) api: String,
    service: Running,
    served: Arc<Mutex<Vec<Value>>>,
}

impl Scene {
    pub(crate) fn open() -> Self {
        let front = Front::open();
        let server = Server::start();
        let places = Places { zone: front.url().to_owned(), keys: server.keys() };
        let zone = example::zone(&places);
        let mint = Mint { parties: zone.parties.clone(), changes: Arc::default() };
        let service = Running::of(&target(), zone, places, server, &[]);
        front.lead_to(&service.instances[0]);
        let served = Arc::default();
        let api = api(published(&|path| service.get(path)), Arc::clone(&served));
        Self { writ: front.url().to_owned(), mint, api, service, served }
    }

    /// The claims of the one token that an API was called with.
    pub(crate) fn served(&self) -> Value {
        let served = self.served.lock().unwrap();
        assert_eq!(served.len(), 1, "an API was called {} times", served.len());
        served[0].clone()
    }

    /// The service refused for this reason, and no API was called.
    pub(crate) fn assert_refused(&self, reason: &str) {
        assert_eq!(*self.served.lock().unwrap(), Vec::<Value>::new(), "an API was called");
        let reasons = || {
            let events = self.service.events();
            events.iter().filter_map(|event| event.get("reason").cloned()).collect::<Vec<_>>()
        };
        // Events come after the answer: they never hold one up.
        for _ in 0..500 {
            if reasons().contains(&json!(reason)) {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        panic!("`{reason}` is not among {:?}", reasons());
    }
}

/// The platforms as signers.
#[derive(Clone)]
pub(crate) struct Mint {
    parties: Parties,
    changes: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl Mint {
    /// Claims of the bearer's that are not the sample's, in whatever it is given from now on.
    pub(crate) fn change(&self, claim: &str, value: impl Into<Value>) {
        self.changes.lock().unwrap().insert(claim.to_owned(), value.into());
    }

    /// A token of `issuer` for `audience`, as the fixture shows one, with these claims instead; null removes one.
    pub(crate) fn token(
        &self,
        issuer: &str,
        fixture: &str,
        audience: &str,
        claims: &[(&str, Value)],
    ) -> String {
        let changes = self.changes.lock().unwrap().clone();
        let claims = claims.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let (without, claims): (Vec<_>, Vec<_>) =
            changes.into_iter().chain(claims).partition(|(_, value)| value.is_null());
        let token = Token {
            from: issuer.to_owned(),
            fixture: Some(fixture.to_owned()),
            claims: claims.into_iter().collect(),
            without: without.into_iter().map(|(name, _)| name).collect(),
            ..Token::default()
        };
        token.sign(&self.parties, &Usual::at(clock(), audience))
    }
}

/// An API that verifies tokens as a resource server does, and says what it was called with.
fn api(keys: Vec<PublicKey>, served: Arc<Mutex<Vec<Value>>>) -> String {
    listen(move |request| {
        let bearer =
            header(request, "authorization").and_then(|value| value.strip_prefix("Bearer "));
        let Some(token) = bearer else { return Reply::refusal(401, "no bearer token") };
        match run::read(token, &keys) {
            Err(problem) => Reply::refusal(401, &problem),
            Ok((_, claims)) => {
                let call = format!("{} {}", request.method, request.path);
                let mut seen = claims.clone();
                seen["call"] = json!(call);
                seen["body"] = json!(String::from_utf8_lossy(&request.body));
                served.lock().unwrap().push(seen);
                Reply::ok(json!({ "sub": claims["sub"], "scope": claims["scope"] }))
            }
        }
    })
}
