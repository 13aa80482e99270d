//! A target that runs: started by its script in `tests/targets`, and given its zone by the operator's
//! endpoints. Nothing else is known of it but where it listens.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use writ_core::deployment::Deployment as Told;
use writ_core::encoding::{base64url, sha256};
use writ_core::http::Request;

use crate::client::{Answer, send};
use crate::issuer::{Token, Usual};
use crate::operator;
use crate::server::Server;
use crate::target::{Deployment, clock, get};
use crate::zones::{Places, Zone};

/// The targets there are.
pub const TARGETS: [&str; 4] = ["native", "worker", "spin", "lambda"];

/// A target that runs with one zone. Everything it started ends when this is dropped.
pub struct Running {
    /// How vectors reach its first instance.
    pub deployment: Arc<Deployment>,
    /// Its instances' authorities, host and port.
    pub instances: Vec<String>,
    /// The zone.
    pub zone: Zone,
    /// What the deployment was told of itself.
    pub told: Told,
    target: String,
    options: Vec<(String, String)>,
    script: Script,
    state: TempDir,
}

/// The script of a target, as a process.
struct Script {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Running {
    /// Starts the target that `WRIT_TARGET` names, or the native one, with the zone called `zone`.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    #[must_use]
    pub fn start(zone: &str) -> Self {
        let target = target();
        Self::with(&target, zone, &[])
    }

    /// Starts `target` with the zone called `zone` and further variables for its script.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    #[must_use]
    pub fn with(target: &str, zone: &str, options: &[(&str, &str)]) -> Self {
        let server = Server::start();
        let places = Places::running(&server);
        Self::of(target, Zone::load(zone, &places), places, server, options)
    }

    /// Starts `target` with a zone whose issuer, and whose parties' server, the caller chose.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    #[must_use]
    pub fn of(
        target: &str,
        zone: Zone,
        places: Places,
        server: Server,
        options: &[(&str, &str)],
    ) -> Self {
        server.publish_parties(&zone.parties);
        let bundle = zone.compile().unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let operator = serde_json::from_str(&operator::public_key()).expect("a public key");
        let told = Told {
            zone: bundle.zone.clone(),
            issuer: bundle.issuer.clone(),
            operator: Some(operator),
        };
        let state = tempfile::tempdir().expect("a directory");
        let options: Vec<(String, String)> =
            options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (script, instances) = Script::start(target, &told, &state, &options);
        let deployment = Arc::new(Deployment {
            authority: instances[0].clone(),
            places,
            parties: zone.parties.clone(),
            server,
            keys: Mutex::default(),
        });
        let target = target.to_owned();
        let running = Self { deployment, instances, zone, told, target, options, script, state };
        operator::publish(|request| running.send(request), &running.told, &bundle, clock());
        running
    }

    /// Sends a request to the first instance.
    ///
    /// # Panics
    ///
    /// Where no answer comes.
    pub fn send(&self, request: &Request) -> Answer {
        send(&self.instances[0], request).expect("an answer")
    }

    /// Sends a request to an instance.
    ///
    /// # Panics
    ///
    /// Where no answer comes.
    pub fn send_to(&self, instance: usize, request: &Request) -> Answer {
        send(&self.instances[instance], request).expect("an answer")
    }

    /// Gets a document of the first instance.
    pub fn get(&self, path: &str) -> Answer {
        self.send(&get(path))
    }

    /// Signs a token, described as in a vector, at `now`.
    ///
    /// # Panics
    ///
    /// On a description that makes no sense.
    #[must_use]
    pub fn sign(&self, description: Value, now: i64) -> String {
        let token: Token = serde_json::from_value(description).expect("a token's description");
        token.sign(&self.zone.parties, &Usual::at(now, &self.deployment.places.zone))
    }

    /// Stops the target and starts it again on what it left.
    pub fn restart(&mut self) {
        self.stop();
        self.resume();
    }

    /// Stops the target. Its state stays, and nothing answers until [`Running::resume`].
    pub fn stop(&mut self) {
        self.script.stop();
    }

    /// Starts the target on what it left.
    pub fn resume(&mut self) {
        let (script, instances) =
            Script::start(&self.target, &self.told, &self.state, &self.options);
        self.script = script;
        let old = &self.deployment;
        self.deployment = Arc::new(Deployment {
            authority: instances[0].clone(),
            places: old.places.clone(),
            parties: old.parties.clone(),
            server: old.server.clone(),
            keys: Mutex::default(),
        });
        self.instances = instances;
    }

    /// The process id of its script, which is an ancestor of all that it started.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.script.child.id()
    }

    /// The events so far.
    ///
    /// # Panics
    ///
    /// On a line that is no JSON object.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(events(&self.state)).expect("events");
        text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect()
    }

    /// The events of which `is` holds, once there are so many: an event may come after its answer.
    ///
    /// # Panics
    ///
    /// Where there are fewer after ten seconds.
    #[must_use]
    pub fn await_events(&self, count: usize, is: impl Fn(&Value) -> bool) -> Vec<Value> {
        for _ in 0..500 {
            let found: Vec<Value> = self.events().into_iter().filter(&is).collect();
            if found.len() >= count {
                return found;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("there are no {count} such events: {:?}", self.events());
    }

    /// A file in the directory that the target keeps its state in.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.state.path().join(name)
    }
}

/// The target that tests over HTTP run against: what `WRIT_TARGET` names, or the native one.
///
/// # Panics
///
/// Where there is no such target.
#[must_use]
pub fn target() -> String {
    let target = std::env::var("WRIT_TARGET").unwrap_or_else(|_| "native".to_owned());
    assert!(TARGETS.contains(&target.as_str()), "there is no target `{target}`: {TARGETS:?}");
    target
}

fn events(state: &TempDir) -> PathBuf {
    state.path().join("events.jsonl")
}

impl Script {
    fn start(
        target: &str,
        told: &Told,
        state: &TempDir,
        options: &[(String, String)],
    ) -> (Self, Vec<String>) {
        let place = crate::vector::package().join("targets").join(target);
        let wrapping = base64url(&sha256(b"the wrapping key of every test"));
        let events = events(state);
        // The file is there before the first event, so that reading it never fails.
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&events)
            .expect("a file for events");
        let mut child = Command::new(&place)
            .env("WRIT_ZONE", &told.zone)
            .env("WRIT_ISSUER", &told.issuer)
            .env("WRIT_OPERATOR_KEY", operator::public_key())
            .env("WRIT_WRAPPING_KEY", wrapping)
            .env("WRIT_STATE", state.path())
            .env("WRIT_EVENTS", events)
            .envs(options.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", place.display()));
        let stdin = child.stdin.take();
        let wanted = options.iter().find(|(name, _)| name == "WRIT_INSTANCES");
        let wanted = wanted.map_or(1, |(_, count)| count.parse().expect("a count"));
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let mut instances = Vec::new();
        while instances.len() < wanted {
            let line = lines.next().and_then(Result::ok);
            let line = line.unwrap_or_else(|| panic!("the target `{target}` does not start"));
            if let Some((_, authority)) = line.split_once("listening on http://") {
                instances.push(authority.trim().to_owned());
            }
        }
        // Read all the time: a full pipe must not be what stops it.
        std::thread::spawn(move || lines.for_each(drop));
        (Self { child, stdin }, instances)
    }

    /// Ends its stdin, which ends it and all that it started.
    fn stop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.stop();
    }
}
