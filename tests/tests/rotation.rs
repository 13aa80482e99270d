//! The zone's keys over time: a rotation that nobody notices, and one after which nothing old counts.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a failed test panics")]

use serde_json::{Value, json};
use writ_core::active::{self, Snapshot};
use writ_core::jwk::{Algorithm, PublicKey};
use writ_core::jwt::Unverified;
use writ_core::keys::{Rotated, Rotation, key_record, rotate};
use writ_core::limits::{KEY_LEAD_SECS, ZONE_KEYS};
use writ_tests::keys::verify;
use writ_tests::run::token_request;
use writ_tests::target::get;
use writ_tests::world::{BEGINNING, World, block_on, moment};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const FILES: &str = "https://files.example/api";
/// What published clients keep a key set for, in seconds.
const CACHED: i64 = 300;

fn turn(world: &World, rotation: Rotation, now: i64) -> Rotated {
    let moment = moment(now);
    block_on(rotate(&*world.host, "plain", Algorithm::ES256, rotation, &moment)).unwrap()
}

fn snapshot(world: &World) -> Snapshot {
    block_on(active::snapshot(&*world.host, "plain")).unwrap().0
}

fn ask(world: &World, fields: &[(&str, &str)], now: i64) -> (u16, Value) {
    let client = [("client_id", "assistant"), ("client_secret", "assistant-secret")];
    let fields: Vec<(String, String)> = client
        .iter()
        .chain(fields)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let answer = world.send(token_request(&fields), now);
    (answer.status, answer.json().unwrap())
}

/// A session token: as long-lived as a token can be.
fn token(world: &World, now: i64) -> String {
    let fields = [("grant_type", "client_credentials"), ("audience", "assistant")];
    let (status, answer) = ask(world, &fields, now);
    assert_eq!(status, 200, "{answer}");
    answer["access_token"].as_str().unwrap().to_owned()
}

fn exchange(world: &World, token: &str, now: i64) -> u16 {
    let fields = [
        ("grant_type", EXCHANGE),
        ("subject_token", token),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("resource", FILES),
    ];
    ask(world, &fields, now).0
}

fn key_set(world: &World, now: i64) -> Vec<PublicKey> {
    let set = world.send(get("/.well-known/jwks.json"), now).json().unwrap();
    let keys = set["keys"].as_array().unwrap();
    keys.iter().map(|key| serde_json::from_value(key.clone()).unwrap()).collect()
}

fn kid(token: &str) -> String {
    Unverified::parse(token).unwrap().kid.unwrap()
}

/// As a resource server does it, with the key set that it has.
fn verifies(token: &str, keys: &[PublicKey]) -> bool {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = writ_core::encoding::from_base64url(signature).unwrap();
    let kid = kid(token);
    let key = keys.iter().find(|key| key.kid.as_ref() == Some(&kid));
    key.is_some_and(|key| verify(Algorithm::ES256, key, message.as_bytes(), &signature))
}

/// Verifiers that cache the key set for as long as published clients do never meet a key that they
/// do not have, whenever they fetched it.
#[test]
fn a_planned_rotation_is_noticed_by_no_verifier_that_caches() {
    let world = World::new("plain");
    let step = 30;
    let mut sets = Vec::new();
    let mut signed_by = Vec::new();
    for now in (BEGINNING..BEGINNING + 3 * KEY_LEAD_SECS).step_by(30) {
        if now == BEGINNING + 10 * step {
            turn(&world, Rotation::Planned, now);
        }
        sets.push((now, key_set(&world, now)));
        let token = token(&world, now);
        for (fetched, keys) in sets.iter().filter(|(fetched, _)| now - fetched <= CACHED) {
            assert!(verifies(&token, keys), "signed at {now}, keys of {fetched}");
        }
        signed_by.push(kid(&token));
    }
    signed_by.dedup();
    assert_eq!(signed_by.len(), 2, "the new key took over, once");
}

#[test]
fn a_replaced_key_stays_until_the_last_token_it_signed_has_expired() {
    let world = World::new("plain");
    let old = snapshot(&world).keys.into_keys().next().unwrap();
    let rotated = turn(&world, Rotation::Planned, BEGINNING);
    assert_eq!(rotated.key.from.0, BEGINNING + KEY_LEAD_SECS);
    let last = BEGINNING + KEY_LEAD_SECS - 1;
    let token = token(&world, last);
    assert_eq!(kid(&token), old, "the old key signs to the last second");
    let Value::Number(exp) = claims(&token)["exp"].clone() else { panic!("no `exp`") };
    let exp = exp.as_i64().unwrap();
    assert_eq!(exchange(&world, &token, exp - 30), 200);
    assert!(verifies(&token, &key_set(&world, exp - 1)));
    // An hour on, it is published no more, and its token is worth nothing.
    let after = exp + 3_600;
    assert_eq!(key_set(&world, after).len(), 1);
    assert_eq!(exchange(&world, &token, after), 400);
    // And the next rotation removes what is left of it.
    let record = key_record(&old);
    let stored = || world.host.store.contents().keys().any(|(_, key)| *key == record);
    turn(&world, Rotation::Planned, after);
    assert!(!stored() && !snapshot(&world).keys.contains_key(&old));
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&writ_core::encoding::from_base64url(payload).unwrap()).unwrap()
}

#[test]
fn s09_after_an_emergency_nothing_that_an_old_key_signed_counts() {
    let world = World::new("plain");
    let before = token(&world, BEGINNING);
    let old = kid(&before);
    turn(&world, Rotation::Planned, BEGINNING);
    let rotated = turn(&world, Rotation::Emergency, BEGINNING + 1);
    // Within the age of a snapshot, on every instance.
    let now = BEGINNING + 5;
    assert_eq!(exchange(&world, &before, now), 400);
    let event = world.take_events().pop().unwrap();
    assert_eq!(event.reason, Some("key_unknown"));
    let after = token(&world, now);
    assert_eq!(kid(&after), rotated.kid);
    assert_eq!(exchange(&world, &after, now), 200);
    let keys = key_set(&world, now);
    assert_eq!(keys.len(), 1);
    assert!(verifies(&after, &keys) && !verifies(&before, &keys));
    let sealed = key_record(&old);
    assert!(world.host.store.contents().keys().all(|(_, key)| *key != sealed));
}

#[test]
fn a_rotation_on_its_way_is_not_overtaken_by_another() {
    let world = World::new("plain");
    let first = turn(&world, Rotation::Planned, BEGINNING);
    let again = turn(&world, Rotation::Planned, BEGINNING + 60);
    assert_eq!((again.kid, again.key), (first.kid.clone(), first.key));
    assert_eq!(snapshot(&world).keys.len(), 2);
    let next = turn(&world, Rotation::Planned, BEGINNING + KEY_LEAD_SECS);
    assert_ne!(next.kid, first.kid);
}

#[test]
fn keys_do_not_pile_up_without_end() {
    let world = World::new("plain");
    let rotate = |count: i64| {
        let moment = moment(BEGINNING + count);
        block_on(rotate(&*world.host, "plain", Algorithm::ES256, Rotation::AtOnce, &moment))
    };
    let made = (0..100).take_while(|count| rotate(*count).is_ok()).count();
    assert_eq!(made, ZONE_KEYS - 1);
    let refused = rotate(100).unwrap_err();
    assert!(refused.0.contains("rotate less often"), "{}", refused.0);
    assert_eq!(key_set(&world, BEGINNING + 100).len(), ZONE_KEYS);
}

#[test]
fn the_key_set_shows_no_more_than_it_should() {
    let world = World::new("plain");
    turn(&world, Rotation::Planned, BEGINNING);
    let set = world.send(get("/.well-known/jwks.json"), BEGINNING).json().unwrap();
    for key in set["keys"].as_array().unwrap() {
        let mut names: Vec<&str> = key.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(json!(names), json!(["alg", "crv", "kid", "kty", "use", "x", "y"]));
    }
}
