//! Introspection (RFC 7662, RFC 9701): what is told, to whom, and how soon a token is dead.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a failed test panics")]

use serde_json::{Value, json};
use writ_core::encoding::from_base64url;
use writ_tests::client::Answer;
use writ_tests::faults::Call;
use writ_tests::forms::{ASSISTANT, Client, FILES_API, form, post};
use writ_tests::world::{BEGINNING, World};

const FILES: (&str, &str) = ("resource", "https://files.example/api");

fn token(world: &World, target: (&str, &str)) -> String {
    let fields = [("grant_type", "client_credentials"), target];
    let answer = world.send(post("/oauth/token", ASSISTANT, &fields), BEGINNING);
    let body = answer.json().unwrap();
    assert_eq!(answer.status, 200, "{body}");
    body["access_token"].as_str().unwrap().to_owned()
}

fn ask(world: &World, client: Client, token: &str, now: i64) -> Answer {
    world.send(post("/oauth/introspect", client, &[("token", token)]), now)
}

fn told(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200);
    answer.json().unwrap()
}

fn dead() -> Value {
    json!({ "active": false })
}

#[test]
fn the_owner_of_a_resource_is_told_what_its_token_says() {
    let world = World::new("plain");
    let told = told(&ask(&world, FILES_API, &token(&world, FILES), BEGINNING));
    assert_eq!(told["active"], true);
    assert_eq!(told["aud"], "https://files.example/api");
    for name in ["iss", "sub", "client_id", "scope", "iat", "exp", "jti", "sid", "token_type"] {
        assert!(!told[name].is_null(), "{name}: {told}");
    }
    for name in ["path", "seq"] {
        assert!(told[name].is_null(), "`{name}` is for us alone: {told}");
    }
    // A session token is addressed to the application itself.
    let own = token(&world, ("audience", "assistant"));
    assert_eq!(ask(&world, ASSISTANT, &own, BEGINNING).json().unwrap()["active"], true);
}

#[test]
fn a_token_is_told_to_nobody_else() {
    let world = World::new("plain");
    let token = token(&world, FILES);
    for client in [("mail-api", "mail-secret"), ASSISTANT] {
        assert_eq!(told(&ask(&world, client, &token, BEGINNING)), dead());
        assert_eq!(world.take_events().pop().unwrap().reason, Some("presenter_refused"));
    }
    let nobody = form("/oauth/introspect", &[("token", &token)]);
    assert_eq!(world.send(nobody, BEGINNING).status, 401);
    assert_eq!(ask(&world, ("files-api", "wrong"), &token, BEGINNING).status, 401);
    assert_eq!(ask(&world, FILES_API, "", BEGINNING).status, 400);
}

#[test]
fn x11_a_token_is_inactive_from_the_acknowledgement_of_its_revocation_on() {
    let world = World::new("plain");
    let root = token(&world, ("audience", "assistant"));
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", &*root),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        FILES,
    ];
    let answer = world.send(post("/oauth/token", ASSISTANT, &fields), BEGINNING);
    let child = answer.json().unwrap()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(told(&ask(&world, FILES_API, &child, BEGINNING))["active"], true);
    let before = world.host.store.contents();
    let revoke = post("/oauth/revoke", ASSISTANT, &[("token", &root)]);
    assert_eq!(world.send(revoke, BEGINNING).status, 200);
    assert_eq!(told(&ask(&world, FILES_API, &child, BEGINNING)), dead(), "its parent is revoked");
    assert_eq!(world.take_events().pop().unwrap().reason, Some("hop_revoked"));
    assert_eq!(world.host.store.contents().len(), before.len() + 1, "asking writes nothing");
}

#[test]
fn whatever_is_wrong_with_a_token_the_answer_is_the_same() {
    let world = World::new("plain");
    let token = token(&world, FILES);
    let (cut, _) = token.split_at(token.len() - 8);
    let forged = format!("{cut}AAAAAAAA");
    let foreign = world.sign(json!({ "from": "ci" }), BEGINNING);
    for token in ["nonsense", &forged, &foreign] {
        assert_eq!(told(&ask(&world, FILES_API, token, BEGINNING)), dead(), "{token}");
    }
    assert_eq!(told(&ask(&world, FILES_API, &token, BEGINNING + 100_000)), dead());
}

#[test]
fn one_strong_call_answers() {
    let world = World::new("plain");
    let token = token(&world, FILES);
    world.host.faults.clear();
    assert_eq!(ask(&world, FILES_API, &token, BEGINNING).status, 200);
    let made = |call| world.host.faults.made(call);
    assert_eq!((made(Call::Commit), made(Call::Read)), (1, 0));
}

/// RFC 9701 §5: signed for the one who asked.
#[test]
fn a_signed_answer_is_for_its_caller_alone() {
    let world = World::new("plain");
    let token = token(&world, FILES);
    let mut request = post("/oauth/introspect", FILES_API, &[("token", &*token)]);
    let media = "application/token-introspection+jwt";
    request.headers.push(("accept".to_owned(), media.to_owned()));
    let answer = world.send(request, BEGINNING);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some(media)));
    let jwt = String::from_utf8(answer.body).unwrap();
    let part = |index: usize| -> Value {
        serde_json::from_slice(&from_base64url(jwt.split('.').nth(index).unwrap()).unwrap())
            .unwrap()
    };
    assert_eq!(part(0)["typ"], "token-introspection+jwt");
    assert_eq!(part(1)["aud"], "files-api");
    assert_eq!(part(1)["token_introspection"]["active"], true);
    assert!(part(1)["sub"].is_null() && part(1)["exp"].is_null(), "RFC 9701 §5");
    // It passes for no access token, whoever shows it.
    assert_eq!(told(&ask(&world, FILES_API, &jwt, BEGINNING)), dead());
}
