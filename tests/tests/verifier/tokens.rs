//! What a token can be.

use serde_json::{Value, json};
use writ_core::limits;
use writ_core::moment::Timestamp;
use writ_core::verifier::{Standing, Status};
use writ_tests::world::BEGINNING;

use super::scene::{API, ISSUER, Scene, outcome};

#[test]
fn a_good_token_says_who_acts_for_whom() {
    let scene = Scene::new();
    let verified = scene.show(&scene.token(json!({})), BEGINNING).unwrap();
    assert_eq!(verified.subject, "user:idp:alice");
    assert_eq!(verified.actors, ["assistant", "planner"]);
    assert_eq!(verified.client_id, "assistant");
    assert_eq!(verified.scopes, ["files:read", "files:list"]);
    assert_eq!(verified.task, Some(("report".into(), Some("r-1".into()))));
    assert_eq!(verified.session, "session-1");
    assert_eq!(verified.expires.0, BEGINNING + 300);
    assert_eq!((verified.key, verified.standing), (None, Standing::Alive(Timestamp(BEGINNING))));
    assert_eq!(verified.claims.get("new").unwrap(), "a claim that nobody knows yet");

    // The shortest that there is: an application for itself, at a resource without scopes.
    let without = json!(["scope", "act", "task", "sub_profile", "path", "seq", "new"]);
    let verified = scene.show(&scene.token(json!({ "without": without })), BEGINNING).unwrap();
    assert!(verified.scopes.is_empty() && verified.actors.is_empty() && verified.task.is_none());
}

/// One thing is wrong with each, and a good token differs in nothing else.
#[test]
fn each_way_to_be_no_good_has_its_reason() {
    let scene = Scene::new();
    let claims = |claims: Value| json!({ "claims": claims });
    let later = BEGINNING + limits::LEEWAY_SECS;
    let cases = [
        ("a good one", json!({}), "ok"),
        ("another type of token", json!({ "header": { "typ": "JWT" } }), "type_wrong"),
        (
            "an answer of introspection",
            json!({ "header": { "typ": "token-introspection+jwt" } }),
            "type_wrong",
        ),
        ("a status list", json!({ "header": { "typ": "statuslist+jwt" } }), "type_wrong"),
        ("no type", json!({ "header": { "typ": null } }), "type_wrong"),
        ("its type in full", json!({ "header": { "typ": "application/at+jwt" } }), "ok"),
        ("another issuer's", json!({ "from": "other" }), "issuer_wrong"),
        (
            "another issuer's, who says it is ours",
            json!({ "from": "other", "claims": { "iss": ISSUER } }),
            "key_unknown",
        ),
        ("no issuer", json!({ "without": ["iss"] }), "issuer_wrong"),
        ("an issuer with a slash", claims(json!({ "iss": format!("{ISSUER}/") })), "issuer_wrong"),
        (
            "another's signature",
            json!({ "signer": "other", "header": { "kid": "zone-ES256" } }),
            "signature_wrong",
        ),
        ("a key that is not there", json!({ "header": { "kid": "x" } }), "key_unknown"),
        ("no key id", json!({ "header": { "kid": null } }), "key_unknown"),
        ("a header that brings a key", json!({ "header": { "jwk": {} } }), "malformed"),
        (
            "a header that leads to keys",
            json!({ "header": { "jku": "https://evil.example" } }),
            "malformed",
        ),
        ("a critical extension", json!({ "header": { "crit": ["x"] } }), "malformed"),
        (
            "no algorithm",
            json!({ "header": { "alg": "none" }, "spoil": ["no-signature"] }),
            "malformed",
        ),
        ("the public key as a secret", json!({ "mac": "pem" }), "malformed"),
        ("another algorithm's name", json!({ "header": { "alg": "ES384" } }), "key_unknown"),
        ("altered claims", json!({ "spoil": ["altered-payload"] }), "signature_wrong"),
        ("an altered header", json!({ "spoil": ["altered-header"] }), "signature_wrong"),
        ("no signature", json!({ "spoil": ["no-signature"] }), "signature_wrong"),
        ("a signature of zeros", json!({ "spoil": ["zero-signature"] }), "signature_wrong"),
        ("two parts", json!({ "spoil": ["two-parts"] }), "malformed"),
        ("five parts", json!({ "spoil": ["five-parts"] }), "malformed"),
        ("as long as may be", json!({ "bytes": limits::TOKEN_BYTES }), "ok"),
        ("too long", json!({ "bytes": limits::TOKEN_BYTES + 1 }), "malformed"),
        ("another resource's", claims(json!({ "aud": "https://mail.example" })), "audience_wrong"),
        (
            "the resource's with a slash",
            claims(json!({ "aud": format!("{API}/") })),
            "audience_wrong",
        ),
        ("a list of audiences", claims(json!({ "aud": [API] })), "audience_wrong"),
        ("no audience", json!({ "without": ["aud"] }), "audience_wrong"),
        ("no subject", json!({ "without": ["sub"] }), "claims_malformed"),
        ("an empty subject", claims(json!({ "sub": "" })), "claims_malformed"),
        ("a subject that is no text", claims(json!({ "sub": 7 })), "claims_malformed"),
        ("no client", json!({ "without": ["client_id"] }), "claims_malformed"),
        ("no session", json!({ "without": ["sid"] }), "claims_malformed"),
        ("no id", json!({ "without": ["jti"] }), "claims_malformed"),
        ("an actor without a name", claims(json!({ "act": {} })), "claims_malformed"),
        (
            "bound to a certificate",
            claims(json!({ "cnf": { "x5t#S256": "x" } })),
            "claims_malformed",
        ),
        (
            "bound to a key and a certificate",
            claims(json!({ "cnf": { "jkt": "x", "x5t#S256": "x" } })),
            "claims_malformed",
        ),
        ("no end", json!({ "without": ["exp"] }), "claims_malformed"),
        ("an end that is no number", claims(json!({ "exp": "soon" })), "claims_malformed"),
        ("no beginning", json!({ "without": ["iat"] }), "claims_malformed"),
        ("expired, as far as clocks may differ", claims(json!({ "exp": BEGINNING - 29 })), "ok"),
        ("expired", claims(json!({ "exp": BEGINNING - limits::LEEWAY_SECS })), "expired"),
        ("made in the future, as far as clocks may differ", claims(json!({ "iat": later })), "ok"),
        ("made in the future", claims(json!({ "iat": later + 1 })), "not_yet_valid"),
        ("not yet", claims(json!({ "nbf": later + 1 })), "not_yet_valid"),
        ("just now", claims(json!({ "nbf": BEGINNING })), "ok"),
        ("no status", json!({ "without": ["status"] }), "status_malformed"),
        ("a status that names no list", claims(json!({ "status": {} })), "status_malformed"),
    ];
    for (what, changes, expected) in cases {
        let result = scene.show(&scene.token(changes), BEGINNING);
        assert_eq!(outcome(&result), expected, "{what}: {result:?}");
        if let Err(rejected) = result {
            assert!(!rejected.line().contains(".eyJ"), "S01 {what}: {}", rejected.line());
        }
    }
    assert_eq!(scene.fetches(), 3, "metadata, keys and list, once");
}

/// Whoever has stolen the zone's key leaves out what would show after the emergency that it is stolen.
#[test]
fn x11_a_token_that_names_no_list_is_none_of_a_zones() {
    for (policy, expected) in
        [(Status::Required, "status_malformed"), (Status::Preferred, "ok"), (Status::Ignored, "ok")]
    {
        let scene = Scene::new().with(policy);
        let result = scene.show(&scene.token(json!({ "without": ["status"] })), BEGINNING);
        assert_eq!(outcome(&result), expected, "{policy:?}");
        if let Ok(verified) = result {
            assert_eq!(verified.standing, Standing::Unlisted, "{policy:?}");
        }
    }
}

/// What a forger sends costs nobody a fetch before it looks like a token of the issuer's.
#[test]
fn nothing_is_fetched_for_a_token_that_says_it_is_not_ours() {
    let scene = Scene::new();
    for changes in [json!({ "from": "other" }), json!({ "header": { "typ": "JWT" } })] {
        assert!(scene.show(&scene.token(changes), BEGINNING).is_err());
    }
    for text in ["", "x", "eyJ", "a.b.c"] {
        assert_eq!(outcome(&scene.show(text, BEGINNING)), "malformed");
    }
    assert_eq!(scene.fetches(), 0);
}
