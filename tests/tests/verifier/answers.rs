//! What a caller reads of a refusal: a code, and never the reason.

use serde_json::json;
use writ_core::verifier::{Rejected, Verifier};
use writ_tests::faults::{Call, Effect, When};
use writ_tests::world::BEGINNING;

use super::scene::{API, ISSUER, Scene, listed, outcome};

fn challenge(rejected: &Rejected) -> (u16, String) {
    let answer = rejected.response();
    assert_eq!(answer.status, rejected.status());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    (answer.status, answer.header("www-authenticate").unwrap_or_default().to_owned())
}

#[test]
fn refusals_are_answered_as_rfc_6750_and_rfc_9449_say() {
    let scene = Scene::new();
    let token = scene.token(json!({}));
    let bearer = format!("Bearer {token}");
    let expired = format!("Bearer {}", scene.token(json!({ "claims": { "exp": 1 } })));
    let algorithms = "algs=\"RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 EdDSA\"";
    let invalid = (401, format!("Bearer realm=\"{API}\", error=\"invalid_token\""));
    let missing = (401, format!("Bearer realm=\"{API}\", DPoP realm=\"{API}\", {algorithms}"));
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], (u16, String));
    let cases: [Case<'_>; 8] = [
        ("nothing", &[], missing.clone()),
        ("another scheme", &[("authorization", "Basic YTpi")], missing),
        ("an expired token", &[("authorization", &expired)], invalid.clone()),
        ("no token", &[("authorization", "Bearer ")], invalid.clone()),
        ("a bare scheme", &[("authorization", "Bearer")], invalid.clone()),
        ("nonsense", &[("AUTHORIZATION", "bearer \"'><")], invalid),
        (
            "two headers",
            &[("authorization", &bearer), ("Authorization", &bearer)],
            (400, format!("Bearer realm=\"{API}\", error=\"invalid_request\"")),
        ),
        (
            "an unbound token with a proof",
            &[("authorization", &format!("DPoP {token}")), ("dpop", "x")],
            (401, format!("Bearer realm=\"{API}\", error=\"invalid_token\"")),
        ),
    ];
    for (what, headers, expected) in cases {
        let rejected = scene.call(headers, BEGINNING).unwrap_err();
        assert_eq!(challenge(&rejected), expected, "{what}");
    }
    assert!(scene.call(&[("authorization", &format!("bearer   {token}"))], BEGINNING).is_ok());
}

#[test]
fn a_scope_that_is_missing_is_named() {
    let scene = Scene::new();
    let verified = scene.show(&scene.token(json!({})), BEGINNING).unwrap();
    assert!(verified.requires("files:read").is_ok());
    for scope in ["files:write", "files", "files:read files:list", ""] {
        let rejected = verified.requires(scope).unwrap_err();
        let expected =
            format!("Bearer realm=\"{API}\", error=\"insufficient_scope\", scope=\"{scope}\"");
        assert_eq!(challenge(&rejected), (403, expected));
    }
}

#[test]
fn what_cannot_be_told_is_answered_503() {
    let scene = Scene::new();
    scene.host.faults.order(Call::Fetch, When::Always, Effect::Unavailable);
    let rejected = scene.show(&scene.token(listed(1)), BEGINNING).unwrap_err();
    let answer = rejected.response();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert_eq!(answer.header("www-authenticate"), None);
    assert_eq!(answer.body, br#"{"error":"temporarily_unavailable"}"#);
}

/// S02: what an operator wrote cannot end the header or its quotes.
#[test]
fn s02_no_text_breaks_out_of_the_challenge() {
    let scene = Scene::new();
    let audience = "urn:a\"b\\c\r\nset-cookie: x\u{e9}";
    let scene = Scene { verifier: Verifier::new(ISSUER, audience), ..scene };
    let rejected = scene.call(&[("authorization", "Bearer x")], BEGINNING).unwrap_err();
    assert_eq!(outcome(&Err(rejected.clone())), "malformed");
    let expected = "Bearer realm=\"urn:abcset-cookie: x\", error=\"invalid_token\"";
    assert_eq!(challenge(&rejected), (401, expected.to_owned()));
}
