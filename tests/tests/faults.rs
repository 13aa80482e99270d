//! Every call of the port failing in turn: a fault of ours is a 503 and never a token (design §2,
//! style rule 16).
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test panics")]

use serde_json::{Value, json};
use writ_core::http::Request;
use writ_tests::client::Answer;
use writ_tests::faults::{Call, Effect, When};
use writ_tests::forms::token_request;
use writ_tests::issuer::{Token, Usual};
use writ_tests::store::Contents;
use writ_tests::world::{BEGINNING, World};

const FILES: &str = "https://files.example/api";

fn token(world: &World, description: Value) -> String {
    let token: Token = serde_json::from_value(description).unwrap();
    token.sign(&world.zone.parties, &Usual::at(BEGINNING, &world.places.zone))
}

/// A single-use job's exchange: it fetches, verifies, signs and commits.
fn job(world: &World) -> Request {
    let token = token(world, json!({ "from": "jobs", "claims": { "sub": "job" } }));
    token_request(&[
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("subject_token", &token),
        ("resource", FILES),
    ])
}

/// A user's exchange with a single-use proof of the actor: it commits twice.
fn with_proof(world: &World) -> Request {
    let claims = json!({ "sub": "alice", "tenant": "acme", "azp": "assistant" });
    let user = token(world, json!({ "from": "idp", "claims": claims }));
    let client = token(world, json!({ "from": "jobs", "claims": { "sub": "assistant" } }));
    token_request(&[
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ("subject_token", &user),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &client),
        ("resource", FILES),
    ])
}

fn hops(contents: &Contents) -> usize {
    contents.keys().filter(|(_, key)| key.starts_with("hop/")).count()
}

fn assert_unavailable(world: &World, answer: &Answer, what: &str) {
    assert_eq!(answer.status, 503, "{what}");
    assert!(answer.header("retry-after").is_some_and(|secs| secs.parse::<u32>().is_ok()), "{what}");
    let body = answer.json().unwrap();
    assert!(body.get("access_token").is_none(), "{what}");
    let said = body["error_description"].as_str().unwrap_or_default();
    assert!(!said.contains("order"), "{what}: the detail of a fault leaves: {said}");
    let events = world.take_events();
    assert_eq!(events.len(), 1, "{what}");
    assert_eq!(events[0].status, 503, "{what}");
    assert!(events[0].hop.is_none() && events[0].token.is_none(), "{what}");
}

#[test]
fn p07_each_call_failing_in_turn_issues_nothing() {
    for build in [job, with_proof] {
        let counted = World::new("plain");
        counted.host.faults.clear();
        assert_eq!(counted.send(build(&counted), BEGINNING).status, 200);
        for call in Call::NEEDED {
            let made = counted.host.faults.made(call);
            for nth in 1..=made {
                let world = World::new("plain");
                let request = build(&world);
                // The core makes a strong call again that failed: both must fail.
                let order =
                    |nth| world.host.faults.order(call, When::Nth(nth), Effect::Unavailable);
                order(nth);
                if matches!(call, Call::Commit | Call::Read) {
                    order(nth + 1);
                }
                let before = world.host.store.contents();
                world.take_events();
                let answer = world.send(request, BEGINNING);
                let what = format!("{call:?} {nth} of {made}");
                assert_unavailable(&world, &answer, &what);
                let after = world.host.store.contents();
                if call != Call::Sign && !(call == Call::Commit && nth > 1) {
                    assert_eq!(before, after, "{what}: something was stored");
                }
                assert_eq!(hops(&after), 0, "{what}");
            }
            assert!(made > 0 || call == Call::Read, "{call:?} is never made");
        }
    }
}

#[test]
fn p07_each_call_failing_always_issues_nothing() {
    for call in Call::NEEDED {
        let world = World::new("plain");
        let request = with_proof(&world);
        world.host.faults.order(call, When::Always, Effect::Unavailable);
        world.take_events();
        let answer = world.send(request, BEGINNING);
        assert_unavailable(&world, &answer, &format!("{call:?}"));
        assert_eq!(hops(&world.host.store.contents()), 0, "{call:?}");
    }
}

/// What was asked works again when the fault is over: a fault spends nothing for good, unless the
/// proof was already claimed beside another subject (design §2).
#[test]
fn a_request_after_a_fault_succeeds() {
    for call in Call::NEEDED {
        let world = World::new("plain");
        let request = job(&world);
        world.host.faults.order(call, When::Always, Effect::Unavailable);
        assert_eq!(world.send(request.clone(), BEGINNING).status, 503, "{call:?}");
        world.host.faults.clear();
        let answer = world.send(request, BEGINNING + 1);
        assert_eq!(answer.status, 200, "{call:?}: {:?}", world.take_events());
    }
}

/// A published copy is a convenience: without any, everything is as it is with them.
#[test]
fn k06_an_exchange_needs_no_published_copy() {
    for call in Call::COPIES {
        let world = World::new("plain");
        let request = job(&world);
        world.host.faults.order(call, When::Always, Effect::Unavailable);
        assert_eq!(world.send(request, BEGINNING).status, 200, "{call:?}");
        assert!(world.host.faults.made(call) > 0, "{call:?} is never made");
    }
}

/// A commit that was done and whose answer was lost is not a replay: the same batch is shown again.
#[test]
fn j21_a_lost_answer_is_not_a_replay() {
    for (build, commits) in [(job as fn(&World) -> Request, 1), (with_proof, 2)] {
        for nth in 1..=commits {
            let world = World::new("plain");
            let request = build(&world);
            world.host.faults.order(Call::Commit, When::Nth(nth), Effect::Lost);
            let answer = world.send(request.clone(), BEGINNING);
            assert_eq!(answer.status, 200, "lost answer {nth}: {:?}", world.take_events());
            assert_eq!(hops(&world.host.store.contents()), 1);
            let again = world.send(request, BEGINNING);
            assert_ne!(again.status, 200, "the proof was used twice");
            assert_eq!(hops(&world.host.store.contents()), 1);
        }
    }
}

/// Where every answer is lost the outcome is unknown: no token leaves, and none can be had for the
/// same proof.
#[test]
fn an_outcome_that_stays_unknown_issues_nothing() {
    let world = World::new("plain");
    let request = job(&world);
    world.host.faults.order(Call::Commit, When::Always, Effect::Lost);
    world.take_events();
    assert_unavailable(&world, &world.send(request.clone(), BEGINNING), "lost for good");
    world.host.faults.clear();
    let again = world.send(request, BEGINNING);
    assert_eq!(again.status, 400);
    assert_eq!(world.take_events()[0].reason, Some("replayed"));
}

#[test]
fn contention_is_unavailable() {
    let world = World::new("plain");
    let request = job(&world);
    world.host.faults.order(Call::Commit, When::Always, Effect::Contended);
    let before = world.host.store.contents();
    world.take_events();
    assert_unavailable(&world, &world.send(request, BEGINNING), "contended");
    assert_eq!(before, world.host.store.contents());
}

/// The store's word is final: a refused commit is a refused request, and the signed token is
/// dropped.
#[test]
fn x12_a_refused_commit_drops_the_token() {
    for (key, reason) in [
        ("opened", "replayed"),
        ("ended", "session_ended"),
        ("spent", "replayed"),
        ("revoked/x", "hop_revoked"),
    ] {
        let world = World::new("plain");
        let request = job(&world);
        world.host.faults.order(Call::Commit, When::Nth(1), Effect::Refused(key.to_owned()));
        world.take_events();
        let answer = world.send(request, BEGINNING);
        assert_eq!(answer.status, 400, "{key}");
        assert!(answer.json().unwrap().get("access_token").is_none(), "{key}");
        let events = world.take_events();
        assert_eq!(events[0].reason, Some(reason), "{key}");
        assert!(events[0].hop.is_none() && events[0].token.is_none(), "{key}");
        assert_eq!(hops(&world.host.store.contents()), 0, "{key}");
    }
}

/// A denial that cannot be recorded stands, and says so.
#[test]
fn a_denial_stands_without_its_record() {
    let world = World::new("plain");
    let cron = token(&world, json!({ "from": "ci", "claims": { "sub": "cron" } }));
    let request = token_request(&[
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("subject_token", &cron),
        ("resource", "https://people.example"),
    ]);
    for (fault, unrecorded) in
        [(None, false), (Some(Effect::Unavailable), true), (Some(Effect::Contended), true)]
    {
        world.host.faults.clear();
        if let Some(effect) = fault {
            world.host.faults.order(Call::Commit, When::Always, effect);
        }
        world.take_events();
        let answer = world.send(request.clone(), BEGINNING);
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json().unwrap()["error"], "access_denied");
        assert_eq!(world.take_events()[0].unrecorded, unrecorded);
    }
}

/// A snapshot is used for two seconds, for three more while the store is silent, and then no more.
#[test]
fn p07_a_snapshot_ages_in_steps() {
    let world = World::new("plain");
    let ask = |now| world.send(job(&world), now).status;
    assert_eq!(ask(BEGINNING), 200);
    world.host.faults.order(Call::Read, When::Always, Effect::Unavailable);
    assert_eq!(ask(BEGINNING + 1), 200, "fresh");
    assert_eq!(ask(BEGINNING + 4), 200, "stale, but young enough");
    assert_eq!(ask(BEGINNING + 5), 503, "too old");
    world.host.faults.clear();
    assert_eq!(ask(BEGINNING + 6), 200, "read again");
}

/// Damage to what is stored is never a permission.
#[test]
fn p07_a_damaged_bundle_or_snapshot_denies() {
    for damaged in ["snapshot", "bundle/"] {
        let world = World::new("plain");
        let contents = world.host.store.contents();
        for ((partition, key), record) in
            contents.iter().filter(|((_, key), _)| key.starts_with(damaged))
        {
            let mut record = record.clone();
            assert!(!record.value.is_empty(), "{key}");
            // The snapshot has no hash of its own to betray a turned bit, but it has a form.
            let middle = record.value.len() / 2;
            if damaged == "snapshot" {
                record.value.truncate(middle);
            } else {
                record.value[middle] ^= 1;
            }
            world.host.store.plant(partition, record);
        }
        let request = job(&world);
        world.take_events();
        assert_unavailable(&world, &world.send(request, BEGINNING), damaged);
        assert_eq!(hops(&world.host.store.contents()), 0);
    }
}
