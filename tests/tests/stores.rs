//! A service that runs while its store goes wrong, at each of its calls in turn. The same on every target
//! whose store can be made to (`writ_tests::faulty`): no token leaves without its record and none twice for
//! one proof, a proof is spent where design §2 says so, and what comes afterwards is served.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a failed test panics, and a test of timeouts reads the clock"
)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use writ_core::http::Request;
use writ_core::limits;
use writ_core::operator::Step;
use writ_tests::faulty::Faulty;
use writ_tests::forms::token_request;
use writ_tests::operator;
use writ_tests::target::{clock, get};
use writ_tests::trace::claims;

#[test]
fn p07_on_durable_objects() {
    holds("worker", &[], &["refuse", "lost"]);
}

#[test]
fn p07_on_dynamodb() {
    let one = [("WRIT_ENVIRONMENTS", "1")];
    holds("lambda", &one, &["refuse", "lost", "contended", "throttled"]);
}

#[test]
fn p07_on_sqlite_of_spin() {
    holds("spin", &[("WRIT_STORE", "sqlite")], &["refuse", "lost", "contended"]);
}

#[test]
fn p07_on_redis_of_spin() {
    holds("spin", &[("WRIT_STORE", "redis")], &["refuse", "lost", "contended"]);
}

/// Holds a target to all of it. What takes its time has an instance of its own.
fn holds(target: &str, options: &[(&str, &str)], at_once: &[&str]) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let service = Faulty::start(target, options);
            for does in at_once {
                at_each_call(&service, does);
            }
            nothing_works(&service);
        });
        for does in ["slow", "late"] {
            scope.spawn(move || too_late(&Faulty::start(target, options), does));
        }
    });
}

fn at_each_call(service: &Faulty, does: &str) {
    for kind in [JOB, BESIDE] {
        let what = format!("{}, {does}", kind.name);
        // A call that fails once is made again, where that is safe.
        let seen = in_turn(service, kind, does, 1);
        println!("{what}, one call: {seen:?}");
        assert!(seen.len() >= kind.commits, "{what}");
        assert!(does == "contended" || seen.contains(&(200, kind.spent)), "{what}: {seen:?}");
        // From some call on the store is gone.
        let seen = in_turn(service, kind, does, ALL);
        println!("{what}, all from there on: {seen:?}");
        assert_eq!(seen.first().map(|(first, _)| *first), Some(503), "{what}");
        // One commit opens a job's session and spends its proof. Beside another subject the proof is spent
        // before, and stays so.
        let spends = kind.commits > 1 || does == "lost";
        assert_eq!(seen.contains(&(503, kind.spent)), spends, "{what}: {seen:?}");
    }
}

/// For each call to the store: the status of a request of which it, or `times` from it on, went wrong, and
/// that of the same request afterwards.
fn in_turn(service: &Faulty, kind: Kind, does: &str, times: usize) -> Vec<(u16, u16)> {
    (1..).map_while(|call| struck(service, kind, does, call, times)).collect()
}

/// Every call fails, for as long as somebody asks.
fn nothing_works(service: &Faulty) {
    service.spoil(&json!({ "store": { "call": 1, "times": ALL, "does": "refuse" } }));
    // Longer than a snapshot is used without the store.
    std::thread::sleep(Duration::from_secs(limits::SNAPSHOT_STALE_SECS.unsigned_abs() + 1));
    for (path, status) in [("/readyz", 503), ("/healthz", 200)] {
        assert_eq!(service.status(&get(path)), status, "{path}");
    }
    assert_eq!(service.status(&service.once()), 503);
    service.spoil(&json!({}));
    assert_eq!(service.status(&get("/readyz")), 200);
}

/// An answer that comes too late is none, and a store that is merely slow is waited for.
fn too_late(service: &Faulty, does: &str) {
    let seen = in_turn(service, BESIDE, does, 1);
    println!("{}, {does}, one call: {seen:?}", BESIDE.name);
    assert!(seen.len() >= BESIDE.commits, "{does}");
    let (first, _) = struck(service, JOB, does, 1, ALL).unwrap();
    assert_eq!(first, 503, "{does}");
    service.spoil(&json!({ "store": { "call": 1, "times": ALL, "does": does, "millis": 50 } }));
    assert_eq!(service.status(&service.once()), 200, "{does}");
}

/// A request, and how it is refused once its proof is spent.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    build: fn(&Faulty) -> Request,
    commits: usize,
    spent: u16,
}

const JOB: Kind = Kind { name: "a job", build: Faulty::once, commits: 1, spent: 400 };
const BESIDE: Kind =
    Kind { name: "a proof beside a person", build: beside, commits: 2, spent: 401 };

/// A person's exchange, by an application that shows a proof of its own.
fn beside(service: &Faulty) -> Request {
    let sign = |token: Value| service.running.sign(token, clock());
    let person = json!({ "sub": "alice", "tenant": "acme", "azp": "assistant" });
    let person = sign(json!({ "from": "idp", "claims": person }));
    let proof = sign(json!({ "from": "jobs", "claims": { "sub": "assistant" } }));
    token_request(&[
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ("subject_token", &person),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &proof),
        ("resource", "https://files.example/api"),
    ])
}

/// Sends a request of which so many calls to the store from this one on go wrong, and the same once more
/// when all is well. `None` where it makes fewer calls.
fn struck(
    service: &Faulty,
    kind: Kind,
    does: &str,
    call: usize,
    times: usize,
) -> Option<(u16, u16)> {
    let what = format!("{}: {times} from call {call} on, {does}", kind.name);
    // It also leaves a snapshot that is new enough for what comes next.
    assert_eq!(service.status(&service.once()), 200, "before {what}");
    let request = (kind.build)(service);
    let fault = json!({ "call": call, "times": times, "does": does, "millis": LATE_MILLIS });
    service.spoil(&json!({ "store": fault }));
    let began = Instant::now();
    let answer = service.send(&request);
    assert!(began.elapsed() < Duration::from_millis(4 * LATE_MILLIS), "{what}");
    let was = service.made() >= call;
    service.spoil(&json!({}));
    let body = answer.json().unwrap();
    let spent = match answer.status {
        200 => {
            recorded(service, body["access_token"].as_str().unwrap());
            [kind.spent, kind.spent]
        }
        status => {
            assert_eq!(status, 503, "{what}: {body}");
            assert!(answer.header("retry-after").is_some(), "{what}");
            assert!(body.get("access_token").is_none(), "{what}");
            [200, kind.spent]
        }
    };
    let second = service.status(&request);
    assert!(spent.contains(&second), "{what}: {} and then {second}", answer.status);
    assert_eq!(service.status(&service.once()), 200, "after {what}");
    was.then_some((answer.status, second))
}

/// A token that left has its record.
fn recorded(service: &Faulty, token: &str) {
    let claims = claims(token);
    let step = Step::session(claims["sid"].as_str().unwrap(), "");
    let shown = service.send(&operator::request(&service.running.told, &step, clock()));
    let shown = shown.json().unwrap();
    let mut hops = shown["hops"].as_array().unwrap().iter();
    assert!(hops.any(|hop| hop["hop"] == claims["jti"]), "{shown}");
}

/// More than any request makes.
const ALL: usize = 1_000;
/// Longer than a call to the store may take.
const LATE_MILLIS: u64 = (limits::STORE_SECS + 1) * 1_000;
