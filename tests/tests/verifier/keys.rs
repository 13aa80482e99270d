//! The issuer's metadata and keys, over time.

use serde_json::{Value, json};
use writ_core::jwk::Algorithm;
use writ_core::limits;
use writ_core::verifier::Status;
use writ_tests::faults::{Call, Effect, When};
use writ_tests::keys;
use writ_tests::world::BEGINNING;

use super::scene::{ISSUER, KEYS, METADATA, Scene, outcome};

#[test]
fn keys_are_fetched_once_and_kept() {
    let scene = Scene::new();
    let token = scene.token(json!({}));
    for second in 0..100 {
        assert!(scene.show(&token, BEGINNING + second).is_ok());
    }
    assert_eq!((scene.asked(METADATA), scene.asked(KEYS)), (1, 1));
    // The service's own memory of keys is another: nothing is shared but the way.
    let late = scene.token(json!({ "claims": { "exp": BEGINNING + 900 } }));
    assert!(scene.show(&late, BEGINNING + limits::KEY_FRESH_SECS).is_ok());
    assert_eq!((scene.asked(METADATA), scene.asked(KEYS)), (1, 2), "the set again, when it is old");
}

/// A key that was just put to use is found, and who invents key ids does not make us ask for each.
#[test]
fn k05_a_rotated_key_is_found_by_one_fetch_a_minute() {
    let mut scene = Scene::new();
    assert!(scene.show(&scene.token(json!({})), BEGINNING).is_ok());
    let next = json!({ "signer": "next", "algorithm": "ES256", "header": { "kid": "next-ES256" } });
    let party = scene.parties["zone"].clone();
    scene.parties.insert("next".to_owned(), party);
    let token = scene.token(next);
    let both = [keys::jwk("zone", Algorithm::ES256), keys::jwk("next", Algorithm::ES256)];
    scene.publish(KEYS, &json!({ "keys": both }));
    for second in 1..limits::KEY_COOLDOWN_SECS {
        assert_eq!(outcome(&scene.show(&token, BEGINNING + second)), "key_unknown");
    }
    assert_eq!(scene.asked(KEYS), 1, "it was fetched a moment ago");
    assert!(scene.show(&token, BEGINNING + limits::KEY_COOLDOWN_SECS).is_ok());
    assert!(
        scene.show(&scene.token(json!({})), BEGINNING + 61).is_ok(),
        "the old one still counts"
    );
    assert_eq!((scene.asked(METADATA), scene.asked(KEYS)), (1, 2));
}

/// K07: metadata is the issuer's own, and leads to its own origin.
#[test]
fn k07_metadata_and_keys_are_the_issuers_own() {
    let elsewhere = "https://evil.example/jwks.json";
    let cases: [(&str, Value); 6] = [
        ("another's", json!({ "issuer": "https://other.example", "jwks_uri": KEYS })),
        ("with a slash", json!({ "issuer": format!("{ISSUER}/"), "jwks_uri": KEYS })),
        ("nobody's", json!({ "jwks_uri": KEYS })),
        ("keys elsewhere", json!({ "issuer": ISSUER, "jwks_uri": elsewhere })),
        (
            "keys in the clear",
            json!({ "issuer": ISSUER, "jwks_uri": KEYS.replace("https", "http") }),
        ),
        ("no keys", json!({ "issuer": ISSUER })),
    ];
    for (what, document) in cases {
        let scene = Scene::new();
        scene.publish(METADATA, &document);
        scene.publish(elsewhere, &scene.parties["zone"].key_set("zone"));
        let result = scene.show(&scene.token(json!({})), BEGINNING);
        assert_eq!(outcome(&result), "unknown key", "{what}");
        assert_eq!(result.unwrap_err().status(), 503);
        assert_eq!(scene.asked(elsewhere), 0, "{what}");
    }
}

#[test]
fn an_issuer_that_does_not_answer_is_no_verdict_and_one_that_was_known_is_bridged() {
    // Lists do not last as long.
    let scene = Scene::new().with(Status::Ignored);
    let token = scene.token(json!({ "claims": { "exp": BEGINNING + 90_000 } }));
    for (status, body) in [(500, "{}"), (200, "<html>"), (302, ""), (200, r#"{"keys":[]}"#)] {
        let scene = Scene::new();
        scene.host.web.publish(KEYS, status, body);
        let token = scene.token(json!({}));
        assert_eq!(outcome(&scene.show(&token, BEGINNING)), "unknown key", "{status} {body}");
    }
    assert!(scene.show(&token, BEGINNING).is_ok());
    scene.host.web.withdraw(KEYS);
    scene.host.web.withdraw(METADATA);
    assert!(scene.show(&token, BEGINNING + limits::KEY_STALE_SECS - 1).is_ok());
    let late = scene.show(&token, BEGINNING + limits::KEY_STALE_SECS + 61);
    assert_eq!(outcome(&late), "unknown key");
}

/// Every call of the port that fails is answered 503, and lets nobody in.
#[test]
fn a_fault_of_the_host_lets_nobody_in() {
    for (call, nth, check) in
        [(Call::Fetch, 1, "key"), (Call::Fetch, 2, "key"), (Call::Verify, 1, "signature")]
    {
        let scene = Scene::new();
        scene.host.faults.order(call, When::Nth(nth), Effect::Unavailable);
        let result = scene.show(&scene.token(json!({})), BEGINNING);
        assert_eq!(outcome(&result), format!("unknown {check}"), "{call:?} {nth}");
    }
}
