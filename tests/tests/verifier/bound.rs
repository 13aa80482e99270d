//! Tokens that are bound to a key (RFC 9449 §7).

use serde_json::{Value, json};
use writ_core::encoding::{base64url, sha256};
use writ_core::jwk::Algorithm;
use writ_core::limits;
use writ_tests::faults::{Call, Effect, When};
use writ_tests::issuer::{Token, Usual};
use writ_tests::keys;
use writ_tests::world::BEGINNING;

use super::scene::{Scene, outcome};

fn bound(scene: &Scene) -> String {
    let jkt = keys::key("holder", Algorithm::ES256).public(None).material.thumbprint();
    scene.token(json!({ "claims": { "cnf": { "jkt": jkt }, "exp": BEGINNING + 3_600 } }))
}

/// A proof by `holder` for a `GET` of the resource, with changes.
fn proof(scene: &Scene, token: &str, changes: &Value) -> String {
    let holder = changes.get("by").and_then(Value::as_str).unwrap_or("holder").to_owned();
    let mut jwk = keys::jwk(&holder, Algorithm::ES256);
    jwk.retain(|name, _| !matches!(name.as_str(), "kid" | "alg" | "use"));
    let mut claims = json!({
        "htm": "GET", "htu": "https://files.example/api/1", "iat": BEGINNING,
        "jti": writ_tests::template::unique("proof"),
        "ath": base64url(&sha256(token.as_bytes())),
    });
    let mut header = json!({ "typ": "dpop+jwt", "jwk": jwk, "kid": null });
    for (name, value) in changes.get("claims").and_then(Value::as_object).into_iter().flatten() {
        claims[name] = value.clone();
    }
    for (name, value) in changes.get("header").and_then(Value::as_object).into_iter().flatten() {
        header[name] = value.clone();
    }
    let mut without = vec!["iss", "aud", "exp"];
    without.extend(changes.get("without").and_then(Value::as_str));
    let description = json!({
        "from": holder, "header": header, "claims": claims, "without": without,
        "signer": changes.get("signer").cloned().unwrap_or_else(|| json!(holder)),
        "spoil": changes.get("spoil").cloned().unwrap_or_else(|| json!([])),
    });
    let description: Token = serde_json::from_value(description).expect("a proof's description");
    description.sign(&scene.parties, &Usual::at(BEGINNING, ""))
}

fn show(scene: &Scene, token: &str, proof: &str, now: i64) -> String {
    let authorization = format!("DPoP {token}");
    outcome(&scene.call(&[("authorization", &authorization), ("dpop", proof)], now))
}

#[test]
fn x10_a_bound_token_is_its_keys_alone_at_a_resource_too() {
    let scene = Scene::new();
    let token = bound(&scene);
    let cases = [
        ("a good proof", json!({}), "ok"),
        ("another key's", json!({ "by": "thief" }), "proof_wrong"),
        ("the key, and another's signature", json!({ "signer": "thief" }), "proof_wrong"),
        ("another method's", json!({ "claims": { "htm": "POST" } }), "proof_wrong"),
        (
            "another URL's",
            json!({ "claims": { "htu": "https://files.example/api/2" } }),
            "proof_wrong",
        ),
        (
            "another host's",
            json!({ "claims": { "htu": "https://evil.example/api/1" } }),
            "proof_wrong",
        ),
        (
            "the URL with a query",
            json!({ "claims": { "htu": "https://files.example/api/1?c" } }),
            "ok",
        ),
        (
            "another token's",
            json!({ "claims": { "ath": base64url(&sha256(b"x")) } }),
            "proof_wrong",
        ),
        ("no token's", json!({ "without": "ath" }), "proof_wrong"),
        ("without an id", json!({ "without": "jti" }), "proof_wrong"),
        ("without a time", json!({ "without": "iat" }), "proof_wrong"),
        ("an old one", json!({ "claims": { "iat": BEGINNING - 91 } }), "proof_wrong"),
        ("one just young enough", json!({ "claims": { "iat": BEGINNING - 90 } }), "ok"),
        ("one of the future", json!({ "claims": { "iat": BEGINNING + 31 } }), "proof_wrong"),
        ("another type", json!({ "header": { "typ": "JWT" } }), "proof_wrong"),
        ("without its key", json!({ "header": { "jwk": null } }), "proof_wrong"),
        ("altered", json!({ "spoil": ["altered-payload"] }), "proof_wrong"),
    ];
    for (what, changes, expected) in cases {
        let proof = proof(&scene, &token, &changes);
        assert_eq!(show(&scene, &token, &proof, BEGINNING), expected, "{what}");
    }
    assert_eq!(show(&scene, &token, "x", BEGINNING), "proof_wrong");
    assert_eq!(
        show(&scene, &token, &token, BEGINNING),
        "proof_wrong",
        "an access token is no proof"
    );
}

#[test]
fn x10_a_bound_token_is_no_bearer_token_and_an_unbound_one_is() {
    let scene = Scene::new();
    let (token, unbound) = (bound(&scene), scene.token(json!({})));
    let good = proof(&scene, &token, &json!({}));
    let bearer = format!("Bearer {token}");
    let shown = scene.call(&[("authorization", &bearer), ("dpop", &good)], BEGINNING);
    assert_eq!(outcome(&shown), "bound", "also with a proof beside it");
    let challenge = shown.unwrap_err().response();
    let challenge = challenge.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("DPoP realm="), "{challenge}");
    assert!(challenge.contains("error=\"invalid_token\", algs=\""), "{challenge}");
    assert_eq!(outcome(&scene.show(&token, BEGINNING)), "bound");
    let other = proof(&scene, &unbound, &json!({}));
    assert_eq!(show(&scene, &unbound, &other, BEGINNING), "unbound");
    let dpop = format!("DPoP {token}");
    for headers in [
        &[("authorization", &*dpop)][..],
        &[("authorization", &dpop), ("dpop", &good), ("DPoP", &good)],
    ] {
        let shown = scene.call(headers, BEGINNING);
        assert_eq!(outcome(&shown), "proof_missing");
        let answer = shown.unwrap_err().response();
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.contains("error=\"invalid_dpop_proof\""), "{challenge}");
    }
    let verified = scene.call(&[("authorization", &dpop), ("dpop", &good)], BEGINNING).unwrap();
    assert!(verified.key.is_some());
    let challenge = verified.requires("files:write").unwrap_err().response();
    assert!(challenge.header("www-authenticate").unwrap().starts_with("DPoP "));
}

/// A proof that was seen is not taken again by the same instance, for as long as it would be taken.
#[test]
fn j21_a_proof_counts_once_at_one_instance() {
    let scene = Scene::new();
    let token = bound(&scene);
    let one = proof(&scene, &token, &json!({ "claims": { "jti": "one" } }));
    assert_eq!(show(&scene, &token, &one, BEGINNING), "ok");
    let last = BEGINNING + limits::PROOF_SECS + limits::LEEWAY_SECS;
    for now in [BEGINNING, BEGINNING + 60, last] {
        assert_eq!(show(&scene, &token, &one, now), "proof_replayed", "{now}");
    }
    assert_eq!(show(&scene, &token, &one, last + 1), "proof_wrong", "too old anyway");
    let twin = proof(&scene, &token, &json!({ "claims": { "jti": "one", "x": 1 } }));
    assert_eq!(show(&scene, &token, &twin, BEGINNING), "proof_replayed", "its id is what counts");
    let other = proof(&scene, &token, &json!({ "claims": { "jti": "two" } }));
    assert_eq!(show(&scene, &token, &other, BEGINNING), "ok");
    // What is refused for another reason spends nothing.
    let third = proof(&scene, &token, &json!({ "claims": { "jti": "three" } }));
    assert_eq!(
        outcome(&scene.call(&[("authorization", "DPoP x"), ("dpop", &third)], BEGINNING)),
        "malformed"
    );
    assert_eq!(show(&scene, &token, &third, BEGINNING), "ok");
}

#[test]
fn a_proof_that_cannot_be_verified_now_lets_nobody_in() {
    let scene = Scene::new();
    let token = bound(&scene);
    scene.host.faults.order(Call::Verify, When::Nth(2), Effect::Unavailable);
    let one = proof(&scene, &token, &json!({}));
    assert_eq!(show(&scene, &token, &one, BEGINNING), "unknown binding");
    assert_eq!(show(&scene, &token, &one, BEGINNING), "ok", "it was not spent");
}
