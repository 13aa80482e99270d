//! What only a target's real store and a second instance can show: races, restarts, two instances on
//! one store, two zones. Runs against the target that `WRIT_TARGET` names, or the native one.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a failed test panics"
)]

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use writ_core::deployment::Deployment;
use writ_core::http::Request;
use writ_core::jwt::Unverified;
use writ_core::keys::Rotation;
use writ_core::limits::{STATUS_FRESH_SECS, STATUS_TTL_SECS};
use writ_core::operator::Step;
use writ_tests::client::{Answer, send};
use writ_tests::forms::{ASSISTANT, FILES_API, once, post};
use writ_tests::operator;
use writ_tests::running::{Running, target};
use writ_tests::status::{List, paths, sid};
use writ_tests::target::{clock, get, published};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const FILES: &str = "https://files.example/api";

fn job(running: &Running) -> String {
    running.sign(json!({ "from": "jobs", "claims": { "sub": "job" } }), clock())
}

fn as_assistant(fields: &[(&str, &str)]) -> Request {
    post("/oauth/token", ASSISTANT, fields)
}

fn issued(running: &Running, request: &Request) -> String {
    let answer = running.send(request);
    let body: Value = answer.json().unwrap_or_default();
    assert_eq!(answer.status, 200, "{body}");
    body["access_token"].as_str().unwrap().to_owned()
}

fn session_token(running: &Running) -> String {
    let fields = [("grant_type", "client_credentials"), ("audience", "assistant")];
    issued(running, &as_assistant(&fields))
}

fn further(token: &str) -> Request {
    as_assistant(&[
        ("grant_type", EXCHANGE),
        ("subject_token", token),
        ("subject_token_type", ACCESS),
        ("resource", FILES),
    ])
}

fn revocation(token: &str) -> Request {
    post("/oauth/revoke", ASSISTANT, &[("token", token)])
}

/// The owner of the files asks about a token.
fn asked(token: &str) -> Request {
    post("/oauth/introspect", FILES_API, &[("token", token)])
}

fn is_active(answer: &Answer) -> bool {
    answer.json().unwrap()["active"] == true
}

/// The statuses of `request`, sent by so many clients at one moment to the instances in turn.
fn race(running: &Running, request: &Request, clients: usize) -> Vec<u16> {
    let barrier = Barrier::new(clients);
    std::thread::scope(|scope| {
        let racers: Vec<_> = (0..clients)
            .map(|number| {
                let authority = &running.instances[number.rem_euclid(running.instances.len())];
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    send(authority, request).unwrap().status
                })
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    })
}

/// One zone on two instances that share a store.
fn two_instances(options: &[(&str, &str)]) -> Running {
    Running::with(&target(), "plain", &[&[("WRIT_INSTANCES", "2")], options].concat())
}

#[test]
fn j21_of_parallel_uses_on_two_instances_exactly_one_wins() {
    let running = two_instances(&[]);
    for round in 0..5 {
        let statuses = race(&running, &once(&job(&running)), 16);
        let won = statuses.iter().filter(|status| **status == 200).count();
        assert_eq!(won, 1, "round {round}: {statuses:?}");
        assert!(statuses.iter().all(|status| [200, 400].contains(status)), "{statuses:?}");
    }
}

fn refreshing(token: &str) -> Request {
    as_assistant(&[("grant_type", "refresh_token"), ("refresh_token", token)])
}

/// However many use one refresh token at one moment, it counts on by one, and all of them get the one
/// successor. A use of the first after its successor's ends them all, on both instances.
#[test]
fn a05_of_parallel_uses_of_a_refresh_token_one_counts_on() {
    let running = two_instances(&[]);
    let given = |request: &Request| {
        let body = running.send(request).json().unwrap_or_default();
        body["refresh_token"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
    };
    let number = |token: &str| writ_tests::trace::claims(token)["refresh"]["number"].clone();
    let exp = clock() + 1_000;
    let claims = json!({ "sub": "alice", "tenant": "acme", "azp": "assistant", "exp": exp });
    let person = running.sign(json!({ "from": "idp", "claims": claims }), clock());
    let first = given(&as_assistant(&[
        ("grant_type", EXCHANGE),
        ("subject_token", &person),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ("resource", FILES),
    ]));
    let mut last = first.clone();
    for generation in 2..5 {
        let statuses = race(&running, &refreshing(&last), 16);
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        last = given(&refreshing(&last));
        assert_eq!(number(&last), generation);
    }
    let statuses = race(&running, &refreshing(&first), 4);
    assert!(statuses.iter().all(|status| *status == 400), "{statuses:?}");
    for instance in &running.instances {
        assert_eq!(send(instance, &refreshing(&last)).unwrap().status, 400);
    }
}

/// X12: what is asked for after a revocation was acknowledged is refused, whoever is in the middle of
/// something.
#[test]
fn x12_no_exchange_that_begins_after_a_revocation_succeeds() {
    a_revocation_wins(&two_instances(&[]));
}

/// The same on the store that a single node has: Spin's SQLite is not for two.
#[test]
fn x12_a_revocation_wins_on_one_instance() {
    a_revocation_wins(&Running::start("plain"));
}

fn a_revocation_wins(running: &Running) {
    for _ in 0..3 {
        let token = session_token(running);
        let request = further(&token);
        let (revoked, begun) = (AtomicBool::new(false), Barrier::new(5));
        let issued = AtomicBool::new(false);
        let outcomes: Vec<(bool, u16)> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..4)
                .map(|number| {
                    let authority = &running.instances[number % running.instances.len()];
                    let (request, revoked, begun) = (&request, &revoked, &begun);
                    let issued = &issued;
                    scope.spawn(move || {
                        begun.wait();
                        let mut outcomes = Vec::new();
                        let mut after = 0;
                        while after < 3 {
                            let late = revoked.load(Ordering::SeqCst);
                            let status = send(authority, request).unwrap().status;
                            issued.fetch_or(status == 200, Ordering::SeqCst);
                            outcomes.push((late, status));
                            after += usize::from(late);
                        }
                        outcomes
                    })
                })
                .collect();
            begun.wait();
            // In the middle of something, however fast the target is.
            while !issued.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(running.send(&revocation(&token)).status, 200);
            revoked.store(true, Ordering::SeqCst);
            racers.into_iter().flat_map(|racer| racer.join().unwrap()).collect()
        });
        let late: BTreeSet<u16> =
            outcomes.iter().filter(|(late, _)| *late).map(|(_, status)| *status).collect();
        assert_eq!(late, BTreeSet::from([400]), "{outcomes:?}");
        assert!(outcomes.iter().any(|(_, status)| *status == 200), "{outcomes:?}");
    }
}

#[test]
fn nothing_is_lost_over_a_restart() {
    let mut running = Running::start("plain");
    let (proof, token) = (job(&running), session_token(&running));
    issued(&running, &once(&proof));
    let allowed = |event: &Value| event["outcome"] == "allow";
    assert_eq!(running.await_events(2, allowed).len(), 2);
    running.restart();
    assert_eq!(running.send(&once(&proof)).status, 400, "J21: a spent proof stays spent");
    issued(&running, &further(&token));
    assert_eq!(running.await_events(3, allowed).len(), 3, "one event a request");
}

/// What one instance does, the other one sees: sessions at once, keys within a snapshot's age.
#[test]
fn two_instances_on_one_store_are_one_service() {
    let running = two_instances(&[]);
    let token = session_token(&running);
    assert_eq!(running.send_to(1, &further(&token)).status, 200);
    let proof = job(&running);
    assert_eq!(running.send_to(1, &once(&proof)).status, 200);
    assert_eq!(running.send_to(0, &once(&proof)).status, 400);
    let rotation = operator::request(&running.told, &Step::rotation(Rotation::Emergency), clock());
    assert_eq!(running.send_to(0, &rotation).status, 200);
    std::thread::sleep(Duration::from_secs(5));
    for instance in [0, 1] {
        assert_eq!(running.send_to(instance, &further(&token)).status, 400, "{instance}");
        let set = running.send_to(instance, &get("/.well-known/jwks.json")).json().unwrap();
        assert_eq!(set["keys"].as_array().unwrap().len(), 1, "{instance}");
    }
    assert_eq!(running.send_to(0, &rotation).status, 401, "an operator's request counts once");
    assert_eq!(running.send_to(1, &rotation).status, 401);
}

/// X11, X16: a session is opened, found, read and ended; from the acknowledgement on nothing of it is
/// alive, on any instance and over a restart.
#[test]
fn x11_a_session_is_listed_shown_and_ended() {
    let mut running = two_instances(&[]);
    let token = session_token(&running);
    let leaf = issued(&running, &further(&token));
    let sid = sid(&token);
    let ask = |running: &Running, instance: usize, step: &Step| {
        running.send_to(instance, &operator::request(&running.told, step, clock()))
    };
    let list = Step::sessions("application=assistant&limit=12");
    let line = (0..50).find_map(|_| {
        let listed = ask(&running, 1, &list);
        let body = listed.json().unwrap();
        assert_eq!(listed.status, 200, "{body}");
        let mut lines = body["sessions"].as_array().unwrap().iter();
        let found = lines.find(|line| line["session"] == *sid).cloned();
        // The index may be seconds behind.
        std::thread::sleep(Duration::from_millis(if found.is_some() { 0 } else { 200 }));
        found
    });
    assert_eq!(line.unwrap()["state"], "active");
    let shown = ask(&running, 1, &Step::session(&sid, "")).json().unwrap();
    assert_eq!(shown["hops"].as_array().unwrap().len(), 2, "{shown}");
    assert_eq!(shown["opened"]["application"], "assistant");

    let introspected =
        |running: &Running, instance: usize| is_active(&running.send_to(instance, &asked(&leaf)));
    assert!(introspected(&running, 1));
    // The application says that its task is completed.
    let complete = format!("/sessions/{sid}/complete");
    assert_eq!(running.send(&post(&complete, FILES_API, &[])).status, 404);
    assert!(introspected(&running, 1));
    assert_eq!(running.send(&post(&complete, ASSISTANT, &[])).status, 204);
    for _ in 0..2 {
        for instance in [0, 1] {
            assert!(!introspected(&running, instance));
            assert_eq!(running.send_to(instance, &further(&token)).status, 400);
        }
        assert_eq!(ask(&running, 1, &Step::end(&sid)).status, 204, "it is ended already");
        let shown = ask(&running, 0, &Step::session(&sid, "")).json().unwrap();
        assert_eq!(shown["state"], "ended", "{shown}");
        assert_eq!(shown["ended"]["by"], json!({ "application": "assistant" }));
        running.restart();
    }
}

/// X11, X13: how long after its acknowledgement an end, or the revocation of a hop, is in the list and in the
/// feed of the *other* instance, which had both a moment before.
#[test]
#[expect(clippy::disallowed_methods, reason = "what is measured is this machine's time")]
fn x11_x13_an_end_reaches_the_lists_of_the_other_instance_within_the_stated_time() {
    let running = two_instances(&[]);
    let keys = published(&|path| running.get(path));
    let mut worst = Duration::ZERO;
    for round in 0..4 {
        let token = session_token(&running);
        let (list, feed) = paths(&token);
        let shown = |instance: usize| {
            let list = List::read(&running.send_to(instance, &get(&list)), &keys).shows(&token);
            let feed = running.send_to(instance, &get(&feed)).json().unwrap();
            list && feed.to_string().contains(&sid(&token))
        };
        assert!(!shown(1) && !shown(0));
        let request = if round % 2 == 0 {
            operator::request(&running.told, &Step::end(&sid(&token)), clock())
        } else {
            revocation(&token)
        };
        assert!([200, 204].contains(&running.send(&request).status));
        let acknowledged = Instant::now();
        while !shown(1) {
            assert!(acknowledged.elapsed() < Duration::from_secs(60), "it never comes");
            std::thread::sleep(Duration::from_millis(100));
        }
        worst = worst.max(acknowledged.elapsed());
    }
    println!(
        "{}: an end was in the other instance's list after {:.1} s at most; with the {STATUS_TTL_SECS} s \
         for which verifiers keep it, after {:.1} s",
        target(),
        worst.as_secs_f64(),
        worst.as_secs_f64() + f64::from(i32::try_from(STATUS_TTL_SECS).unwrap()),
    );
    // The rest is the index, and the time that this test takes to look.
    let stated = Duration::from_secs(STATUS_FRESH_SECS.unsigned_abs()) + INDEX_LAG;
    assert!(worst <= stated, "{worst:?}, stated {stated:?}");
}

/// How far the index may be behind.
const INDEX_LAG: Duration = Duration::from_secs(5);

/// A planned rotation shows its key first and signs with it later, and is not lost over a restart.
#[test]
fn a_planned_rotation_publishes_before_it_signs() {
    let mut running = Running::start("plain");
    let before = kid(&session_token(&running));
    let step = Step::rotation(Rotation::Planned);
    let answer = running.send(&operator::request(&running.told, &step, clock()));
    assert_eq!(answer.status, 200);
    let next = answer.json().unwrap()["kid"].as_str().unwrap().to_owned();
    assert_ne!(before, next);
    for _ in 0..2 {
        std::thread::sleep(Duration::from_secs(3));
        let set = running.get("/.well-known/jwks.json").json().unwrap();
        let kids: BTreeSet<&str> = set["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key["kid"].as_str().unwrap())
            .collect();
        assert_eq!(kids, BTreeSet::from([before.as_str(), next.as_str()]));
        assert_eq!(kid(&session_token(&running)), before, "its time has not come");
        running.restart();
    }
}

fn kid(token: &str) -> String {
    Unverified::parse(token).unwrap().kid.unwrap()
}

/// Two zones on one store, and what the second one's deployment was told of itself.
fn two_zones() -> (Running, Deployment) {
    let other = [("WRIT_SECOND_ZONE", "other"), ("WRIT_SECOND_ISSUER", "http://127.0.0.1:8788")];
    let running = two_instances(&other);
    let mut told = running.told.clone();
    told.zone = "other".to_owned();
    told.issuer = "http://127.0.0.1:8788".to_owned();
    assert_eq!(running.send_to(1, &get("/readyz")).status, 503, "the other zone has no bundle");
    let mut bundle = running.zone.compile().unwrap();
    (bundle.zone, bundle.issuer) = (told.zone.clone(), told.issuer.clone());
    operator::publish(|request| running.send_to(1, request), &told, &bundle, clock());
    assert_eq!(running.send_to(1, &get("/readyz")).status, 200);
    (running, told)
}

/// S07: two zones on one store. Nothing of one is ever visible in the other.
#[test]
fn s07_two_zones_on_one_store_share_nothing() {
    let (running, _) = two_zones();
    let keys = |instance| -> BTreeSet<String> {
        let set = running.send_to(instance, &get("/.well-known/jwks.json")).json().unwrap();
        let kids = set["keys"].as_array().unwrap().iter();
        kids.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    };
    assert!(keys(0).is_disjoint(&keys(1)), "each zone has keys of its own");
    // A token of one zone is nobody's in the other, and cannot be revoked there.
    let token = session_token(&running);
    assert_eq!(running.send_to(1, &further(&token)).status, 400);
    assert_eq!(running.send_to(1, &revocation(&token)).status, 200, "it is no token of that zone");
    assert_eq!(running.send(&further(&token)).status, 200);
    // An operator's request for one zone changes nothing in the other.
    let rotation = operator::request(&running.told, &Step::rotation(Rotation::Emergency), clock());
    assert_eq!(running.send_to(1, &rotation).status, 401);
    // One proof is spent in each zone by itself; both list its issuer, with one audience.
    let proof = job(&running);
    assert_eq!(running.send(&once(&proof)).status, 200);
    assert_eq!(running.send_to(1, &once(&proof)).status, 200);
    assert_eq!(running.send_to(1, &once(&proof)).status, 400);
}

/// S07: what a zone shows of its sessions, to whom it shows anything: lists and one session, the status list,
/// the feed and introspection. Of the other zone's it knows as much as of what never was.
#[test]
fn s07_a_session_is_shown_in_its_own_zone_alone() {
    let (running, other) = two_zones();
    let zones = [&running.told, &other];
    let signed = |zone: usize, step: &Step| {
        running.send_to(zone, &operator::request(zones[zone], step, clock()))
    };
    // One session in each, and a token of it for the files.
    let opened = [0, 1].map(|zone| {
        let given = |request: &Request| {
            let body = running.send_to(zone, request).json().unwrap();
            body["access_token"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
        };
        let fields = [("grant_type", "client_credentials"), ("audience", "assistant")];
        let token = given(&as_assistant(&fields));
        (given(&further(&token)), token)
    });
    for zone in [0, 1] {
        let ((own, _), (leaf, token)) = (&opened[zone], &opened[1 - zone]);
        let (own_sid, their_sid) = (sid(own), sid(token));
        let lists = || {
            let of_operator =
                ["", "application=assistant", "resource=https%3A%2F%2Ffiles.example%2Fapi"]
                    .map(|query| signed(zone, &Step::sessions(query)).json().unwrap());
            let of_application = running.send_to(zone, &post("/sessions", ASSISTANT, &[]));
            [of_operator.to_vec(), vec![of_application.json().unwrap()]].concat()
        };
        let has = |list: &Value, sid: &str| list.to_string().contains(sid);
        // The index may be seconds behind.
        eventually(|| lists().iter().all(|list| has(list, &own_sid)));
        assert!(lists().iter().all(|list| !has(list, &their_sid)), "{zone}");

        assert_eq!(signed(zone, &Step::session(&own_sid, "")).status, 200);
        assert_eq!(signed(zone, &Step::session(&their_sid, "")).status, 404);
        assert_eq!(signed(zone, &Step::end(&their_sid)).status, 404);
        let complete = post(&format!("/sessions/{their_sid}/complete"), ASSISTANT, &[]);
        assert_eq!(running.send_to(zone, &complete).status, 404);
        assert!(is_active(&running.send_to(zone, &asked(own))));
        assert!(!is_active(&running.send_to(zone, &asked(leaf))), "{zone}");
        assert!(is_active(&running.send_to(1 - zone, &asked(leaf))), "nothing was ended there");
    }
    // One of them is ended. Its hour has a list and a feed in both zones.
    let (_, token) = &opened[0];
    assert_eq!(signed(0, &Step::end(&sid(token))).status, 204);
    let (list, feed) = paths(token);
    let keys = |zone| published(&|path| running.send_to(zone, &get(path)));
    let read = |zone| List::read(&running.send_to(zone, &get(&list)), &keys(zone));
    let fed = |zone| running.send_to(zone, &get(&feed)).json().unwrap().to_string();
    eventually(|| read(0).shows(token) && fed(0).contains(&sid(token)));
    assert_eq!(read(1).count(), 0, "nothing ended there");
    assert!(!fed(1).contains(&sid(token)), "{}", fed(1));
    assert_eq!(running.send_to(1, &further(&opened[1].1)).status, 200);
}

fn eventually(holds: impl Fn() -> bool) {
    let came = (0..200).any(|_| {
        let now = holds();
        std::thread::sleep(Duration::from_millis(if now { 0 } else { 200 }));
        now
    });
    assert!(came, "it never comes");
}
