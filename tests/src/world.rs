//! A zone in process: a host in memory with the zone's bundle in its store, a clock that the test
//! sets, and chance that never repeats.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use serde_json::Value;
use writ_core::bundle::Bundle;
use writ_core::deployment::Deployment;
use writ_core::encoding::sha256;
use writ_core::event::Event;
use writ_core::host::NewKey;
use writ_core::http::Request;
use writ_core::jwk::{Algorithm, PublicKey};
use writ_core::keys::{Rotation, put_to_use};
use writ_core::moment::{Moment, Timestamp};
use writ_core::publish;

use crate::client::Answer;
use crate::forms::{Client, post};
use crate::issuer::{Token, Usual};
use crate::keys;
use crate::memory::Memory;
use crate::target::{get, published};
use crate::zones::{Places, Zone};

/// When tests in process begin: 2027-01-15T08:00:00Z.
pub const BEGINNING: i64 = 1_800_000_000;

/// A zone in process.
pub struct World {
    /// The host.
    pub host: Arc<Memory>,
    /// The zone and its parties.
    pub zone: Zone,
    /// Where things are.
    pub places: Places,
    /// The deployment: the zone's name and issuer, and the operator `operator`'s public key.
    pub deployment: Deployment,
}

impl World {
    /// Installs the zone called `name` in a host of its own.
    pub fn new(name: &str) -> Self {
        static COMPILED: Mutex<BTreeMap<String, (Zone, Bundle)>> = Mutex::new(BTreeMap::new());
        let places = Places::in_process();
        let mut compiled = COMPILED.lock().unwrap();
        let (zone, bundle) = compiled
            .entry(name.to_owned())
            .or_insert_with(|| {
                let zone = Zone::load(name, &places);
                let bundle = sound(&zone);
                (zone, bundle)
            })
            .clone();
        drop(compiled);
        Self::install(Arc::default(), zone, &bundle, places)
    }

    /// The zone `plain`, where a session is over after so many seconds without a hop.
    pub fn idle(secs: i64) -> Self {
        let places = Places::in_process();
        let limit = format!("session_secs = 3600\nidle_secs = {secs}");
        let zone = Zone::load("plain", &places).with("session_secs = 3600", &limit);
        Self::with(zone, places)
    }

    /// Installs a zone in a host of its own.
    pub fn with(zone: Zone, places: Places) -> Self {
        Self::on(Arc::default(), zone, places)
    }

    /// Installs a zone in a host that may have others.
    pub fn on(host: Arc<Memory>, zone: Zone, places: Places) -> Self {
        let bundle = sound(&zone);
        Self::install(host, zone, &bundle, places)
    }

    fn install(host: Arc<Memory>, zone: Zone, bundle: &Bundle, places: Places) -> Self {
        for (party_name, party) in &zone.parties {
            let page = party.page(party_name);
            host.web.publish(&format!("{}/{party_name}", places.keys), page.status, page.bytes());
            for (path, page) in &party.pages {
                host.web.publish(&format!("{}/{path}", places.keys), page.status, page.bytes());
            }
        }
        install(&host, bundle);
        let deployment = Deployment {
            zone: bundle.zone.clone(),
            issuer: bundle.issuer.clone(),
            operator: Some(keys::key("operator", Algorithm::ES256).public(None)),
        };
        Self { host, zone, places, deployment }
    }

    /// Another instance of the same deployment, which remembers nothing.
    #[must_use]
    pub fn sibling(&self) -> Self {
        self.on_host(self.host.sibling())
    }

    /// The same deployment once more and from now on apart, on an instance that remembers nothing.
    #[must_use]
    pub fn apart(&self) -> Self {
        self.on_host(self.host.apart())
    }

    fn on_host(&self, host: Memory) -> Self {
        Self {
            host: Arc::new(host),
            zone: self.zone.clone(),
            places: self.places.clone(),
            deployment: self.deployment.clone(),
        }
    }

    /// Signs a token, described as in a vector, at `now`.
    pub fn sign(&self, description: Value, now: i64) -> String {
        let token: Token = serde_json::from_value(description).expect("a token's description");
        token.sign(&self.zone.parties, &Usual::at(now, &self.places.zone))
    }

    /// Handles one request at `now`.
    pub fn send(&self, request: Request, now: i64) -> Answer {
        self.handle(request, moment(now))
    }

    /// Handles one request at a moment, of which a test may have several of one chance.
    pub fn handle(&self, request: Request, moment: Moment) -> Answer {
        block_on(writ_core::handle(&*self.host, &self.deployment, moment, request)).into()
    }

    /// Whether a token is active at `now`, by what introspection tells this client.
    pub fn is_active(&self, client: Client, token: &str, now: i64) -> bool {
        let answer = self.send(post("/oauth/introspect", client, &[("token", token)]), now);
        answer.json().unwrap()["active"] == true
    }

    /// The zone's keys, as a resource server finds them.
    pub fn published_keys(&self) -> Vec<PublicKey> {
        let keys = published(&|path| self.send(get(path), BEGINNING));
        self.take_events();
        keys
    }

    /// The events since the last call.
    pub fn take_events(&self) -> Vec<Event> {
        self.host.take_events()
    }
}

/// The zone's bundle.
fn sound(zone: &Zone) -> Bundle {
    zone.compile().unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// Puts the zone's key and its bundle into the host's store, by the operator's own calls.
fn install(host: &Memory, bundle: &Bundle) {
    let algorithm = bundle.algorithm;
    let party = format!("zone {}", bundle.zone);
    let kid = keys::kid("zone", algorithm);
    let key = keys::key(&party, algorithm);
    let public = key.public(Some(&kid));
    host.keep_key(&bundle.zone, &kid, key);
    let moment = moment(BEGINNING);
    let key = NewKey { public, wrapped: b"wrapped".to_vec() };
    let zone = &bundle.zone;
    let added = put_to_use(host, zone, algorithm, key, Rotation::AtOnce, &moment);
    block_on(added).expect("a zone with a key");
    block_on(publish::activate(host, bundle, &moment)).expect("a zone with a bundle");
}

/// The moment of one request: no two have the same entropy.
#[must_use]
pub fn moment(now: i64) -> Moment {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let seed = [count.to_be_bytes(), u64::from(std::process::id()).to_be_bytes()].concat();
    Moment { now: Timestamp(now), entropy: sha256(&seed) }
}

/// Runs a future to its end. The host in memory never waits, but two threads may wait for each
/// other's locks, so this yields to them.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::yield_now(),
        }
    }
}
