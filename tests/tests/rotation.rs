//! The zone's keys over time: a rotation that nobody notices, and one after which nothing old counts.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a failed test panics")]

use serde_json::{Value, json};
use writ_core::active::{self, Snapshot};
use writ_core::bundle::Bundle;
use writ_core::jwk::{Algorithm, PublicKey};
use writ_core::jwt::Unverified;
use writ_core::keys::{Rotated, Rotation, key_record, rotate};
use writ_core::limits::{KEY_LEAD_SECS, LEEWAY_SECS, ZONE_KEYS};
use writ_core::moment::Timestamp;
use writ_core::publish::{activate, change};
use writ_core::refusal::Failure;
use writ_tests::forms::{ASSISTANT, post};
use writ_tests::keys::verify;
use writ_tests::target::get;
use writ_tests::world::{BEGINNING, World, block_on, moment};
use writ_tests::zones::{Places, Zone};

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
    let answer = world.send(post("/oauth/token", ASSISTANT, fields), now);
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
    assert_eq!(event.reason, Some("own_key_unknown"));
    let after = token(&world, now);
    assert_eq!(kid(&after), rotated.kid);
    assert_eq!(exchange(&world, &after, now), 200);
    let keys = key_set(&world, now);
    assert_eq!(keys.len(), 1);
    assert!(verifies(&after, &keys) && !verifies(&before, &keys));
    let sealed = key_record(&old);
    assert!(world.host.store.contents().keys().all(|(_, key)| *key != sealed));
}

/// A hop that an old key admitted has a child that a new key signed: the emergency stops that too.
#[test]
fn s09_no_hop_that_was_decided_before_an_emergency_counts() {
    let world = World::new("plain");
    let before = token(&world, BEGINNING);
    let keys = snapshot(&world).keys;
    turn(&world, Rotation::Emergency, BEGINNING + 1);
    let emergency = snapshot(&world);
    assert_eq!(emergency.floor, emergency.seq, "what is decided from then on bears it");
    // As if the key of the old hop were a good one.
    let again = block_on(change(&*world.host, "plain", &moment(BEGINNING + 1), "keys", |zone| {
        zone.keys.extend(keys.clone());
        Ok(Some(Vec::new()))
    }));
    assert_eq!(again.unwrap().floor, emergency.floor);
    let now = BEGINNING + 5;
    assert_eq!(exchange(&world, &before, now), 400);
    assert_eq!(world.take_events().pop().unwrap().reason, Some("cut_off"));
    assert!(!world.is_active(ASSISTANT, &before, now));
    let after = token(&world, now);
    assert_eq!(exchange(&world, &after, now), 200);
    assert!(world.is_active(ASSISTANT, &after, now));
}

/// The bundle of the zone `plain`, changed.
fn bundle(apply: impl Fn(&mut Bundle)) -> Bundle {
    let mut bundle = Zone::load("plain", &Places::in_process()).compile().unwrap();
    apply(&mut bundle);
    bundle
}

fn publish(world: &World, bundle: &Bundle, now: i64) {
    block_on(activate(&*world.host, bundle, &moment(now))).unwrap();
}

/// The keys of an algorithm that the active bundle does not ask for have no successor: they verify, and
/// sign again when it does.
#[test]
fn s09_a_change_of_algorithm_is_rolled_back_whenever_the_operator_likes() {
    let (es256, rs256) = (bundle(|_| ()), bundle(|bundle| bundle.algorithm = Algorithm::RS256));
    let world = World::new("plain");
    let first = token(&world, BEGINNING);
    publish(&world, &rs256, BEGINNING + 5);
    let second = token(&world, BEGINNING + 10);
    assert_ne!(kid(&first), kid(&second));
    assert_eq!(exchange(&world, &first, BEGINNING + 10), 200, "its key verifies to its end");
    // Rotations of the one are none of the other, and days pass.
    let day = 86_400;
    for days in 1..10 {
        let moment = moment(BEGINNING + days * day);
        let planned = Rotation::Planned;
        block_on(rotate(&*world.host, "plain", Algorithm::RS256, planned, &moment)).unwrap();
    }
    let now = BEGINNING + 10 * day;
    let third = token(&world, now);
    publish(&world, &es256, now + 5);
    let now = now + 10;
    let back = token(&world, now);
    assert_eq!(kid(&back), kid(&first), "the key from before signs again");
    assert_eq!((exchange(&world, &back, now), exchange(&world, &third, now)), (200, 200));
    assert!(verifies(&back, &key_set(&world, now)));
    let emergency = turn(&world, Rotation::Emergency, now);
    assert_eq!(emergency.snapshot.keys.len(), 1, "an emergency drops the keys of all algorithms");
}

/// A key whose end is near signs nothing that would outlive it.
#[test]
fn a_key_that_ends_before_its_tokens_signs_none() {
    let world = World::new("plain");
    let ends = moment(BEGINNING);
    let ended = block_on(change(&*world.host, "plain", &ends, "end", |zone| {
        zone.keys.values_mut().for_each(|key| key.until = Some(Timestamp(BEGINNING + 60)));
        Ok(Some(Vec::new()))
    }));
    let old = ended.unwrap().keys.into_keys().next().unwrap();
    // Activating makes the key that is missing.
    publish(&world, &bundle(|bundle| bundle.token_secs = 200), BEGINNING);
    let token = token(&world, BEGINNING);
    assert_ne!(kid(&token), old);
    assert_eq!(exchange(&world, &token, BEGINNING + 100), 200);
}

/// A bundle with longer sessions, activated while a rotation is on its way.
#[test]
fn a_replaced_key_verifies_the_longer_sessions_of_a_later_bundle() {
    let world = World::new("plain");
    let old = snapshot(&world).keys.into_keys().next().unwrap();
    turn(&world, Rotation::Planned, BEGINNING);
    let secs = 86_400;
    let longer = bundle(|bundle| {
        bundle.session_secs = secs;
        bundle.token_secs = secs;
    });
    publish(&world, &longer, BEGINNING + 60);
    let token = token(&world, BEGINNING + KEY_LEAD_SECS - 1);
    assert_eq!(kid(&token), old);
    let exp = claims(&token)["exp"].as_i64().unwrap();
    assert_eq!(exp, BEGINNING + KEY_LEAD_SECS - 1 + secs);
    assert_eq!(exchange(&world, &token, exp - 31), 200, "to its last seconds");
}

/// An instance whose clock is behind signs as soon as there is a key.
#[test]
fn a_first_key_and_one_of_an_emergency_sign_by_every_clock() {
    let world = World::new("plain");
    let behind = BEGINNING - LEEWAY_SECS;
    assert!(snapshot(&world).signing(Algorithm::ES256, Timestamp(behind)).is_some());
    let now = BEGINNING + 1_000;
    let emergency = turn(&world, Rotation::Emergency, now);
    let behind = token(&world, now - LEEWAY_SECS);
    assert_eq!(kid(&behind), emergency.kid);
    // One that follows another begins after it.
    let next = turn(&world, Rotation::AtOnce, now + 1);
    let signing = snapshot(&world);
    let (signing, _) = signing.signing(Algorithm::ES256, Timestamp(now + 1)).unwrap();
    assert_eq!(*signing, next.kid);
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
    let Failure::Refused(refused) = rotate(100).unwrap_err() else { panic!("not a refusal") };
    assert!(refused.detail.contains("rotate less often"), "{}", refused.detail);
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
