//! Single use under concurrency and across zones (J21, J22).
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::sync::{Arc, Barrier};

use serde_json::{Value, json};
use writ_core::http::Request;
use writ_tests::forms::token_request;
use writ_tests::memory::Memory;
use writ_tests::world::{BEGINNING, World};
use writ_tests::zones::{Places, Zone};

fn exchange(token: &str) -> Request {
    token_request(&[
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("subject_token", token),
        ("resource", "https://files.example/api"),
    ])
}

fn job(claims: Value) -> Value {
    json!({ "from": "jobs", "claims": claims })
}

fn hops(world: &World) -> usize {
    world.host.store.contents().keys().filter(|(_, key)| key.starts_with("hop/")).count()
}

/// Sends each request at the same moment, on an instance of its own, and counts the tokens.
fn race(world: &World, requests: &[Request]) -> usize {
    let barrier = Arc::new(Barrier::new(requests.len()));
    let racers: Vec<_> = requests
        .iter()
        .cloned()
        .map(|request| {
            let (barrier, instance) = (Arc::clone(&barrier), world.sibling());
            std::thread::spawn(move || {
                barrier.wait();
                instance.send(request, BEGINNING).status
            })
        })
        .collect();
    let statuses: Vec<u16> = racers.into_iter().map(|racer| racer.join().unwrap()).collect();
    assert!(statuses.iter().all(|status| [200, 400, 401].contains(status)), "{statuses:?}");
    statuses.iter().filter(|status| **status == 200).count()
}

#[test]
fn j21_of_parallel_uses_exactly_one_succeeds() {
    for _ in 0..20 {
        let world = World::new("plain");
        let token = world.sign(job(json!({ "sub": "job" })), BEGINNING);
        let requests = vec![exchange(&token); 8];
        assert_eq!(race(&world, &requests), 1);
        assert_eq!(hops(&world), 1);
    }
}

#[test]
fn j21_of_parallel_uses_in_different_slots_exactly_one_succeeds() {
    for _ in 0..20 {
        let world = World::new("plain");
        let token = world.sign(job(json!({ "sub": "job" })), BEGINNING);
        let resource = ("resource", "https://files.example/api");
        let requests = [
            exchange(&token),
            token_request(&[
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                ("assertion", &token),
                resource,
            ]),
            token_request(&[
                ("grant_type", "client_credentials"),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", &token),
                resource,
            ]),
        ];
        assert_eq!(race(&world, &requests), 1);
        assert_eq!(hops(&world), 1);
    }
}

/// One proof beside eight users' tokens: it opens no session, and is spent all the same.
#[test]
fn j21_a_proof_beside_many_subjects_serves_one() {
    let world = World::new("plain");
    let proof = world.sign(job(json!({ "sub": "assistant" })), BEGINNING);
    let requests: Vec<Request> = (0..8)
        .map(|number| {
            let claims =
                json!({ "sub": format!("user-{number}"), "tenant": "acme", "azp": "assistant" });
            let user = world.sign(json!({ "from": "idp", "claims": claims }), BEGINNING);
            token_request(&[
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
                ("subject_token", &user),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", &proof),
                ("resource", "https://files.example/api"),
            ])
        })
        .collect();
    assert_eq!(race(&world, &requests), 1);
    assert_eq!(hops(&world), 1);
}

/// Two zones of one deployment share a host and a store, and nothing else.
fn two_zones() -> (World, World) {
    let host = Arc::new(Memory::default());
    let places = Places::in_process();
    let first = World::on(Arc::clone(&host), Zone::load("plain", &places), places);
    let places = Places { zone: "https://second.example".to_owned(), ..Places::in_process() };
    let mut zone = Zone::load("plain", &places);
    zone.document = zone.document.replace("name = \"plain\"", "name = \"second\"");
    (first, World::on(host, zone, places))
}

#[test]
fn j22_equal_ids_in_two_zones_are_two_tokens() {
    let (first, second) = two_zones();
    for world in [&first, &second] {
        let token = world.sign(job(json!({ "sub": "job", "jti": "the same" })), BEGINNING);
        assert_eq!(
            world.send(exchange(&token), BEGINNING).status,
            200,
            "{}",
            world.deployment.zone
        );
        assert_eq!(
            world.send(exchange(&token), BEGINNING).status,
            400,
            "{}",
            world.deployment.zone
        );
    }
}

#[test]
fn s07_a_token_of_one_zone_is_nothing_in_another() {
    let (first, second) = two_zones();
    let credentials = |world: &World| {
        let request = token_request(&[
            ("grant_type", "client_credentials"),
            ("client_id", "assistant"),
            ("client_secret", "assistant-secret"),
            ("audience", "assistant"),
        ]);
        let answer = world.send(request, BEGINNING);
        answer.json().unwrap()["access_token"].as_str().unwrap().to_owned()
    };
    let token = credentials(&first);
    let request = token_request(&[
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token", &token),
        ("client_id", "assistant"),
        ("client_secret", "assistant-secret"),
        ("resource", "https://files.example/api"),
    ]);
    assert_eq!(first.send(request.clone(), BEGINNING).status, 200);
    second.take_events();
    assert_eq!(second.send(request, BEGINNING).status, 400);
    assert_eq!(second.take_events()[0].reason, Some("issuer_unknown"));
    // A workload's token for one zone is not addressed to the other.
    let job = first.sign(job(json!({ "sub": "job" })), BEGINNING);
    assert_eq!(second.send(exchange(&job), BEGINNING).status, 400);
    assert_eq!(second.take_events()[0].reason, Some("audience_wrong"));
    for ((partition, _), record) in first.host.store.contents() {
        let text = String::from_utf8_lossy(&record.value).into_owned();
        let other = if partition.zone == "plain" { "second.example" } else { "writ.example" };
        assert!(!text.contains(other), "{partition:?} speaks of the other zone");
    }
}
