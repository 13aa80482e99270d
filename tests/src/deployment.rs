//! The `writ` binary, as an operator starts it, with a zone of the suite's.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use writ_core::http::Request;

use crate::client::{Answer, http_date, send};
use crate::issuer::{Token, Usual};
use crate::server::Server;
use crate::target::{Deployment, get};
use crate::zones::{Places, Zone};

/// A running `writ serve`. It ends when this is dropped.
pub struct Native {
    /// How vectors reach it.
    pub deployment: Arc<Deployment>,
    process: Process,
    _site: Site,
}

impl Native {
    /// Starts the binary with the zone called `name`, on loopback and an empty data directory.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    pub fn start(name: &str) -> Self {
        let site = Site::new(name);
        let process = site.serve(&[]);
        let deployment = Arc::new(Deployment {
            authority: process.authority.clone(),
            places: site.places.clone(),
            parties: site.zone.parties.clone(),
            server: site.server.clone(),
            keys: Mutex::default(),
        });
        Self { deployment, process, _site: site }
    }

    /// The events so far.
    pub fn events(&self) -> Vec<Value> {
        self.process.events()
    }
}

/// A zone's files and a data directory, in which processes come and go.
pub struct Site {
    /// The zone.
    pub zone: Zone,
    /// Where things are.
    pub places: Places,
    /// The parties' server.
    pub server: Server,
    directory: TempDir,
}

impl Site {
    /// Writes the zone called `name` into a directory of its own. There is no data directory yet.
    ///
    /// # Panics
    ///
    /// Where the files cannot be written.
    pub fn new(name: &str) -> Self {
        let server = Server::start();
        // The issuer is a name: the service listens elsewhere, as it does behind a proxy.
        let places = Places::running(&server);
        Self::of(Zone::load(name, &places), places, server)
    }

    /// The same with a zone that was made from its files, or from others.
    ///
    /// # Panics
    ///
    /// Where the files cannot be written.
    pub fn of(zone: Zone, places: Places, server: Server) -> Self {
        server.publish_parties(&zone.parties);
        let directory = tempfile::tempdir().expect("a directory");
        zone.write(&directory.path().join("zone"));
        Self { zone, places, server, directory }
    }

    /// A path within the directory: the zone's files are in `zone`, the store in `data`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `writ serve` with these arguments, and the usual ones where they say nothing else.
    pub fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.arg("serve").args(more);
        for (name, usual) in [("--zone", "zone"), ("--data", "data"), ("--listen", "127.0.0.1:0")] {
            if !more.contains(&name) {
                command.args([name, usual]);
            }
        }
        command.current_dir(self.directory.path()).env_remove("WRIT_WRAPPING_KEY");
        command
    }

    /// Starts a process and waits until it listens.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    pub fn serve(&self, more: &[&str]) -> Process {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let events = self.path(&format!("events-{}.jsonl", COUNT.fetch_add(1, Ordering::Relaxed)));
        let child = self
            .command(more)
            .stdout(File::create(&events).expect("a file for events"))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        Process::new(child, events)
    }

    /// Signs a token, described as in a vector, at `now`.
    ///
    /// # Panics
    ///
    /// On a description that makes no sense.
    pub fn sign(&self, description: Value, now: i64) -> String {
        let token: Token = serde_json::from_value(description).expect("a token's description");
        token.sign(&self.zone.parties, &Usual::at(now, &self.places.zone))
    }
}

/// One `writ serve`. It is killed when this is dropped.
pub struct Process {
    /// Where it listens, as host and port.
    pub authority: String,
    child: Child,
    events: PathBuf,
    said: Option<JoinHandle<String>>,
}

impl Process {
    fn new(mut child: Child, events: PathBuf) -> Self {
        let mut messages = BufReader::new(child.stderr.take().expect("stderr"));
        let mut said = String::new();
        let authority = loop {
            let start = said.len();
            let read = messages.read_line(&mut said).expect("messages");
            assert!(read > 0, "it ended before it listened:\n{said}");
            if let Some((_, rest)) = said[start..].split_once("listening on http://") {
                break rest.split('"').next().unwrap_or_default().to_owned();
            }
        };
        // Read all the time: a full pipe must not be what stops it.
        let said = spawn(move || {
            while messages.read_line(&mut said).is_ok_and(|read| read > 0) {}
            said
        });
        Self { authority, child, events, said: Some(said) }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a request.
    ///
    /// # Panics
    ///
    /// Where no answer comes.
    pub fn send(&self, request: &Request) -> Answer {
        send(&self.authority, request).expect("the server answers")
    }

    /// Gets a document.
    pub fn get(&self, path: &str) -> Answer {
        self.send(&get(path))
    }

    /// Its time.
    ///
    /// # Panics
    ///
    /// Where it does not say.
    pub fn now(&self) -> i64 {
        self.get("/healthz").header("date").and_then(http_date).expect("an answer with a `date`")
    }

    /// The events so far: one JSON object a line on stdout.
    ///
    /// # Panics
    ///
    /// On a line that is no JSON object.
    pub fn events(&self) -> Vec<Value> {
        events(&self.events)
    }

    /// Kills it as no process can prevent (SIGKILL).
    ///
    /// # Panics
    ///
    /// Where the system does not.
    pub fn kill(mut self) {
        self.child.kill().expect("a kill");
        self.child.wait().expect("an end");
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    ///
    /// # Panics
    ///
    /// Where it does not end.
    pub fn stop(mut self) -> Stopped {
        let id = self.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status().expect("a signal");
        assert!(asked.success(), "it was gone before it was asked to stop");
        let code = wait(&mut self.child).expect("it stops when it is asked to");
        let said = self.said.take().expect("messages").join().expect("messages");
        Stopped { code, said, events: events(&self.events) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a process ended.
pub struct Stopped {
    /// Its exit code, where no signal ended it.
    pub code: Option<i32>,
    /// What it said on stderr.
    pub said: String,
    /// All its events.
    pub events: Vec<Value>,
}

/// Waits for the end of a process, for much longer than any should take.
pub fn wait(child: &mut Child) -> Option<Option<i32>> {
    for _ in 0..2_000 {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return Some(status.code());
        }
        sleep(Duration::from_millis(10));
    }
    None
}

fn events(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("events");
    text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect()
}

/// The binary of this build, built once a process if it is not there or not fresh.
///
/// # Panics
///
/// Where it does not build.
pub fn binary() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--package", "writ", "--bin", "writ"])
            .current_dir(crate::vector::package())
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the binary does not build");
        crate::build_directory().join("writ")
    };
    BUILT.get_or_init(build).clone()
}
