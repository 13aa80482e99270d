//! What vectors run against: the core in process, or a server that speaks HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use writ_core::http::Request;
use writ_core::jwk::PublicKey;

use crate::client::{Answer, http_date, send};
use crate::issuer::Parties;
use crate::server::Server;
use crate::store::Contents;
use crate::world::{BEGINNING, World};
use crate::zones::Places;

/// Something that claims to be Writ.
pub enum Target {
    /// The core, on a host in memory that is new for each vector.
    InProcess,
    /// Servers, one for each zone, by the zone's name.
    Http(BTreeMap<String, Arc<Deployment>>),
}

/// A server of which nothing is known but its address.
pub struct Deployment {
    /// Where it listens, as host and port.
    pub authority: String,
    /// Where things are, as its zone says.
    pub places: Places,
    /// The parties of its zone.
    pub parties: Parties,
    /// Their server.
    pub server: Server,
    /// Its zone's keys, once they were asked for.
    pub keys: Mutex<Option<Vec<PublicKey>>>,
}

/// A target while one vector runs against it.
pub enum Session {
    /// In process.
    World(Box<World>),
    /// Over HTTP.
    Deployment(Arc<Deployment>),
}

/// What there was before a request.
pub struct Before {
    contents: Option<Contents>,
    fetches: usize,
}

/// What a request left behind, as far as the target lets it be seen.
pub struct After {
    /// The events.
    pub events: Option<Vec<Value>>,
    /// The keys of the records that were written, changed or removed.
    pub stored: Option<BTreeSet<String>>,
    /// How many documents were fetched.
    pub fetches: Option<usize>,
}

impl Target {
    /// Opens the target for a vector of `zone`.
    pub fn open(&self, zone: &str) -> Session {
        match self {
            Self::InProcess => Session::World(Box::new(World::new(zone))),
            Self::Http(deployments) => {
                let found = deployments.get(zone);
                let deployment = found.unwrap_or_else(|| panic!("no server for zone `{zone}`"));
                Session::Deployment(Arc::clone(deployment))
            }
        }
    }
}

impl Session {
    /// The parties that sign.
    pub fn parties(&self) -> &Parties {
        match self {
            Self::World(world) => &world.zone.parties,
            Self::Deployment(deployment) => &deployment.parties,
        }
    }

    /// Where things are.
    pub fn places(&self) -> &Places {
        match self {
            Self::World(world) => &world.places,
            Self::Deployment(deployment) => &deployment.places,
        }
    }

    /// The target's time: over HTTP by its `Date`, so that no clock but the target's counts. A
    /// runtime that does not send one runs on this machine's clock.
    pub fn now(&self) -> i64 {
        match self {
            Self::World(_) => BEGINNING,
            Self::Deployment(deployment) => {
                deployment.get("/").header("date").and_then(http_date).unwrap_or_else(clock)
            }
        }
    }

    /// How much later than expected an instant may be.
    pub fn tolerance(&self) -> i64 {
        match self {
            Self::World(_) => 0,
            Self::Deployment(_) => 5,
        }
    }

    /// Sends a request; in process at `now`.
    pub fn send(&self, request: &Request, now: i64) -> Answer {
        match self {
            Self::World(world) => world.send(request.clone(), now),
            Self::Deployment(deployment) => {
                send(&deployment.authority, request).expect("the server answers")
            }
        }
    }

    /// Takes note of what there is.
    pub fn before(&self) -> Before {
        match self {
            Self::World(world) => {
                world.take_events();
                let fetches = world.host.web.asked().len();
                Before { contents: Some(world.host.store.contents()), fetches }
            }
            Self::Deployment(deployment) => {
                Before { contents: None, fetches: deployment.server.asked().len() }
            }
        }
    }

    /// Compares with what there was.
    pub fn after(&self, before: Before) -> After {
        match self {
            Self::World(world) => {
                let events = world.take_events();
                let events = events.iter().map(|event| serde_json::to_value(event).unwrap());
                let then = before.contents.unwrap_or_default();
                After {
                    events: Some(events.collect()),
                    stored: Some(changes(&then, &world.host.store.contents())),
                    fetches: Some(world.host.web.asked().len() - before.fetches),
                }
            }
            // A server remembers key sets from vector to vector, so fetches say little.
            Self::Deployment(_) => After { events: None, stored: None, fetches: None },
        }
    }

    /// The zone's keys, as a resource server finds them: by its metadata.
    pub fn published_keys(&self) -> Vec<PublicKey> {
        match self {
            Self::World(world) => world.published_keys(),
            Self::Deployment(deployment) => {
                let mut known = deployment.keys.lock().unwrap();
                known.get_or_insert_with(|| published(&|path| deployment.get(path))).clone()
            }
        }
    }
}

impl Deployment {
    fn get(&self, path: &str) -> Answer {
        send(&self.authority, &get(path)).expect("the server answers")
    }
}

/// This machine's time.
#[expect(clippy::disallowed_methods, reason = "a test of what runs by this very clock")]
#[must_use]
pub fn clock() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("a clock after 1970").as_secs()).expect("a time")
}

/// A `GET` of a path.
pub fn get(path: &str) -> Request {
    Request { method: "GET".to_owned(), path: path.to_owned(), ..Request::default() }
}

/// The zone's keys, by its metadata.
pub fn published(fetch: &dyn Fn(&str) -> Answer) -> Vec<PublicKey> {
    let metadata = fetch("/.well-known/oauth-authorization-server").json().expect("metadata");
    let issuer = metadata["issuer"].as_str().expect("an issuer");
    let url = metadata["jwks_uri"].as_str().expect("a key set");
    let path = url.strip_prefix(issuer).expect("a key set of the same origin");
    let set = fetch(path).json().expect("a key set");
    let keys = set["keys"].as_array().expect("a list of keys");
    keys.iter().map(|key| serde_json::from_value(key.clone()).expect("a public key")).collect()
}

/// The keys of the records that differ.
fn changes(then: &Contents, now: &Contents) -> BTreeSet<String> {
    let differs = |name: &_| then.get(name) != now.get(name);
    then.keys()
        .chain(now.keys())
        .filter(|name| differs(*name))
        .map(|(_, key)| key.clone())
        .collect()
}
