//! The `writ` binary, as an operator starts it, with a zone of the suite's.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::Value;
use tempfile::TempDir;

use crate::server::Server;
use crate::target::Deployment;
use crate::zones::{Places, Zone};

/// A running `writ serve`. It ends when this is dropped.
pub struct Native {
    /// How vectors reach it.
    pub deployment: Arc<Deployment>,
    child: Child,
    directory: TempDir,
}

impl Native {
    /// Starts the binary with the zone called `name`, on loopback and an empty data directory.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    pub fn start(name: &str) -> Self {
        let server = Server::start();
        // The issuer is a name: the service listens elsewhere, as it does behind a proxy.
        let places = Places { zone: "http://127.0.0.1:8787".to_owned(), keys: server.keys() };
        let zone = Zone::load(name, &places);
        server.publish_parties(&zone.parties);
        let directory = tempfile::tempdir().expect("a directory");
        zone.write(&directory.path().join("zone"));
        let events = File::create(directory.path().join("events")).expect("a file for events");
        let mut child = Command::new(binary())
            .args(["serve", "--zone", "zone", "--data", "data", "--listen", "127.0.0.1:0"])
            .current_dir(directory.path())
            .stdout(events)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let authority = authority(&mut child);
        let parties = zone.parties;
        let keys = Mutex::default();
        let deployment = Arc::new(Deployment { authority, places, parties, server, keys });
        Self { deployment, child, directory }
    }

    /// The events so far: one JSON object a line on stdout.
    ///
    /// # Panics
    ///
    /// On a line that is no JSON object.
    pub fn events(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.directory.path().join("events")).expect("events");
        text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect()
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where it listens, by its own word; what it says later is read and dropped.
fn authority(child: &mut Child) -> String {
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
    std::thread::spawn(move || {
        let mut line = String::new();
        while messages.read_line(&mut line).is_ok_and(|read| read > 0) {
            line.clear();
        }
    });
    authority
}

/// The binary of this build, built once a process if it is not there or not fresh.
fn binary() -> PathBuf {
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
