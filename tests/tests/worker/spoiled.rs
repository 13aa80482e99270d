//! The Worker while its bindings refuse, are slow, answer too late or lose the connection
//! (`targets/worker/tests/faults.mjs`), beside what `stores.rs` holds all targets to: nothing is decided
//! without the zone, and no fault is where only a copy is missing.

#![expect(clippy::disallowed_methods, reason = "a test of timeouts reads the clock")]

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use writ_core::jwk::{Algorithm, PublicKey};
use writ_core::limits;
use writ_tests::client::parts;
use writ_tests::faulty::Faulty;
use writ_tests::forms::once;
use writ_tests::keys;
use writ_tests::target::{clock, get};

/// The snapshot outlives a silent object for its few seconds, and then nothing is decided any more.
#[test]
fn a_zone_that_cannot_be_read_is_not_served() {
    let spoiled = Faulty::start("worker", &[]);
    assert_eq!(spoiled.status(&get("/readyz")), 200);
    for fault in ["refuse", "lost"] {
        spoiled.spoil(&json!({ "read": fault }));
        std::thread::sleep(Duration::from_secs(6));
        assert_eq!(spoiled.status(&get("/readyz")), 503, "{fault}");
        assert_eq!(spoiled.status(&spoiled.once()), 503, "{fault}");
        assert_eq!(spoiled.status(&get("/healthz")), 200, "{fault}");
        spoiled.spoil(&json!({}));
        assert_eq!(spoiled.status(&get("/readyz")), 200, "after {fault}");
    }
    spoiled.spoil(&json!({ "read": "slow" }));
    std::thread::sleep(Duration::from_secs(6));
    let began = Instant::now();
    assert_eq!(spoiled.status(&get("/readyz")), 503);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(limits::STORE_SECS + 2), "{took:?}");
}

/// KV is a copy: whatever becomes of it, the zone's object and the issuers are there.
#[test]
fn kv_that_knows_nothing_changes_nothing() {
    let mut spoiled = Faulty::start("worker", &[]);
    for fault in ["empty", "refuse", "slow", "lost"] {
        spoiled.spoil(&json!({ "get": fault, "put": fault }));
        // A new isolate, so that nothing is remembered.
        spoiled.running.restart();
        assert_eq!(spoiled.status(&get("/readyz")), 200, "{fault}");
        assert_eq!(spoiled.status(&spoiled.once()), 200, "{fault}");
    }
    spoiled.spoil(&json!({}));
    spoiled.running.restart();
    assert_eq!(spoiled.status(&spoiled.once()), 200);
}

/// A copy is written behind the answer: however long KV takes for it, nobody waits, and it is there later.
#[test]
fn kv_that_hangs_delays_no_answer() {
    let mut spoiled = Faulty::start("worker", &[]);
    spoiled.spoil(&json!({ "get": "empty", "put": "slow" }));
    // The first exchange of an isolate puts the bundle and a key set there; a busy machine has three tries.
    let mut took = (0..3).map(|_| {
        spoiled.running.restart();
        let request = spoiled.once();
        let began = Instant::now();
        assert_eq!(spoiled.status(&request), 200);
        began.elapsed()
    });
    assert!(took.any(|took| took < Duration::from_secs(2)));
    spoiled.spoil(&json!({}));
    let fetched = |spoiled: &Faulty| {
        let asked = spoiled.running.deployment.server.asked();
        asked.iter().filter(|path| *path == "/keys/jobs").count()
    };
    let found = (0..5).any(|_| {
        spoiled.running.restart();
        let before = fetched(&spoiled);
        assert_eq!(spoiled.status(&spoiled.once()), 200);
        std::thread::sleep(Duration::from_millis(300));
        fetched(&spoiled) == before
    });
    assert!(found, "a new isolate finds the key set in KV");
}

/// Whoever can write to KV does not say whose signature counts: a key set that lies there without our tag
/// is none, and the issuer is asked.
#[test]
fn x13_a_key_set_that_somebody_put_into_kv_is_not_believed() {
    let mut spoiled = Faulty::start("worker", &[]);
    let theirs = PublicKey::parse(&keys::jwk("ci", Algorithm::ES256)).unwrap();
    let forged = json!({ "set": { "keys": [theirs], "at": clock() } }).to_string();
    for copy in [forged.clone(), format!("{}{forged}", "x".repeat(32))] {
        spoiled.spoil(&json!({ "get": { "instead": copy } }));
        // A new isolate, so that nothing is remembered.
        spoiled.running.restart();
        let job = json!({ "from": "jobs", "signer": "ci", "claims": { "sub": "job" } });
        assert_eq!(spoiled.status(&once(&spoiled.running.sign(job, clock()))), 400);
        assert_eq!(spoiled.status(&spoiled.once()), 200, "its own keys are found");
    }
}

/// The index is behind, and no decision waits for it.
#[test]
fn an_index_that_is_gone_stops_nothing() {
    let spoiled = Faulty::start("worker", &[]);
    spoiled.spoil(&json!({ "enter": "refuse", "list": "refuse" }));
    let request = spoiled.once();
    assert_eq!(spoiled.status(&request), 200);
    assert_eq!(spoiled.status(&request), 400, "and single use is single use");
}

/// A client that stops in the middle of its form.
#[test]
fn half_a_form_begins_nothing() {
    let spoiled = Faulty::start("worker", &[]);
    let request = spoiled.once();
    let authority = &spoiled.running.instances[0];
    let (head, body) = parts(authority, &request);
    let (half, _) = body.split_at(body.len() - 10);
    let mut stream = TcpStream::connect(authority).unwrap();
    stream.write_all(&[head.as_slice(), half].concat()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    drop(stream);
    let broken = |event: &Value| event["reason"] == "body_incomplete";
    assert_eq!(spoiled.running.await_events(1, broken)[0]["outcome"], "refuse");
    assert_eq!(spoiled.status(&request), 200, "its proof is not spent");
}

/// What was begun comes to its end when the client has hung up.
#[test]
fn a_client_that_hangs_up_leaves_the_whole_exchange() {
    let mut spoiled = Faulty::start("worker", &[]);
    // The keys of the issuer are looked for in KV first, which takes its time.
    spoiled.spoil(&json!({ "get": "slow" }));
    spoiled.running.restart();
    let request = spoiled.once();
    let authority = &spoiled.running.instances[0];
    let (head, body) = parts(authority, &request);
    let mut stream = TcpStream::connect(authority).unwrap();
    stream.write_all(&[head.as_slice(), body].concat()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    drop(stream);
    let allowed = || spoiled.running.events().iter().any(|event| event["outcome"] == "allow");
    assert!(!allowed(), "it was still waiting");
    assert!(super::within(15, allowed), "it has its event");
    spoiled.spoil(&json!({}));
    assert_eq!(spoiled.status(&request), 400, "and its proof is spent");
}
