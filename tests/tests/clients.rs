//! Published client libraries, unmodified, against a zone of their own: the scripts of
//! `tests/clients`, which know nothing but a base URL and what their callers have. `WRIT_TARGET` names
//! the target that they run against.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test"
)]

use std::path::Path;
use std::process::Command;

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};
use tempfile::TempDir;
use writ_core::jwk::Algorithm;
use writ_tests::front::Front;
use writ_tests::running::{Running, target};
use writ_tests::server::Server;
use writ_tests::target::clock;
use writ_tests::zones::{Places, Zone};
use writ_tests::{keys, tools};

/// What every library takes without being told.
#[test]
fn published_clients_work_on_a_zone_that_signs_rs256() {
    play(Algorithm::RS256);
}

/// What a zone signs where nothing is said.
#[test]
fn published_clients_work_on_a_zone_that_signs_es256() {
    play(Algorithm::ES256);
}

fn play(algorithm: Algorithm) {
    let service = start(algorithm);
    let directory = tempfile::tempdir().unwrap();
    copy_node_scripts(&directory);
    let mut problems = Vec::new();
    for (script, least) in SCRIPTS {
        // Each script gets tokens and a description of its own: it spends what it shows.
        let known = directory.path().join("description.json");
        std::fs::write(&known, description(&service, algorithm).to_string()).unwrap();
        let (ended_well, said) = tools::outcome(&mut command(script, &known, &directory));
        println!("{} {script}\n{said}", algorithm.name());
        let cases = said.lines().filter(|line| line.starts_with("ok ")).count();
        if !ended_well || cases < *least {
            // What it said was printed above.
            problems.push(format!("{script}: {cases} of at least {least} cases hold"));
        }
    }
    for event in service.events() {
        let event = event.to_string();
        // What follows a token's header begins so; a random id may, but for the full stop.
        assert!(!event.contains("-secret") && !event.contains(".eyJ"), "S01: {event}");
    }
    assert!(problems.is_empty(), "{}: {}", algorithm.name(), problems.join("; "));
}

/// The scripts, and how many cases each has: one that runs none must not pass.
const SCRIPTS: &[(&str, usize)] = &[
    ("python/keycardai_oauth.py", 23),
    ("python/authlib_oauth.py", 17),
    ("node/openid_client.mjs", 19),
    ("node/jose.mjs", 7),
];

fn command(script: &str, description: &Path, directory: &TempDir) -> Command {
    let mut command = match script.split_once('/').unwrap() {
        ("python", _) => {
            let mut python = tools::python();
            // No byte code beside the sources.
            python.arg("-B").arg(scripts().join(script));
            python
        }
        (_, script) => {
            let mut node = tools::node();
            node.arg(directory.path().join(script));
            node
        }
    };
    command.arg(description);
    command
}

/// Node finds packages beside the script alone, and the sources stay free of them.
fn copy_node_scripts(directory: &TempDir) {
    let modules = directory.path().join("node_modules");
    std::os::unix::fs::symlink(tools::node_modules(), modules).unwrap();
    for entry in std::fs::read_dir(scripts().join("node")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "mjs") {
            std::fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
        }
    }
}

fn scripts() -> std::path::PathBuf {
    tools::root().join("tests/clients")
}

/// The target with the zone, at the very address that the zone names as its issuer.
fn start(algorithm: Algorithm) -> Running {
    let front = Front::open();
    let server = Server::start();
    let places = Places { zone: front.url().to_owned(), keys: server.keys() };
    let mut zone = Zone::load("clients", &places);
    let signs = |algorithm: Algorithm| format!("\nalgorithm = \"{}\"\n", algorithm.name());
    assert!(zone.document.contains(&signs(Algorithm::RS256)));
    zone.document = zone.document.replacen(&signs(Algorithm::RS256), &signs(algorithm), 1);
    let service = Running::of(&target(), zone, places, server, &[]);
    front.lead_to(&service.instances[0]);
    service
}

/// All that a script knows: where the service is, and what its callers have.
fn description(service: &Running, algorithm: Algorithm) -> Value {
    let alice = json!({
        "sub": "alice", "azp": "assistant", "tenant": "acme", "exp": clock() + 1_000,
    });
    let sign = |from: &str, claims: Value| {
        service.sign(json!({ "from": from, "claims": claims }), clock())
    };
    let job = || sign("jobs", json!({ "sub": "job" }));
    json!({
        "issuer": service.told.issuer,
        "algorithm": algorithm,
        "secrets": {
            "assistant": "assistant-secret",
            "files-api": "files-secret",
            "urn:app:batch": "batch+secret/1",
        },
        "keys": {
            "signer": private("signer", Algorithm::ES256),
            "sdk": private("sdk", Algorithm::RS256),
        },
        "alice": sign("idp", alice),
        "jobs": [job(), job(), job()],
    })
}

/// A party's private key, as an operator would hand it to a client.
fn private(party: &str, algorithm: Algorithm) -> Value {
    let bytes = keys::key(party, algorithm).to_pkcs8().expect("a key of ours has a PKCS#8 form");
    let text = Base64::encode_string(&bytes);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let pem =
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    json!({ "kid": keys::kid(party, algorithm), "pem": pem })
}
