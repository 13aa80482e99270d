//! Revocation (RFC 7009): what ends, what does not, and who may end it (X11).
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a failed test panics")]

use serde_json::Value;
use writ_core::http::Request;
use writ_tests::client::Answer;
use writ_tests::faults::{Call, Effect, When};
use writ_tests::run::token_request;
use writ_tests::world::{BEGINNING, World};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const ASSISTANT: [(&str, &str); 2] =
    [("client_id", "assistant"), ("client_secret", "assistant-secret")];

fn form(fields: &[(&str, &str)]) -> Request {
    let fields: Vec<(String, String)> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    token_request(&fields)
}

fn revoke(world: &World, fields: &[(&str, &str)], now: i64) -> Answer {
    world.send(Request { path: "/oauth/revoke".to_owned(), ..form(fields) }, now)
}

fn token(world: &World, fields: &[(&str, &str)], now: i64) -> (u16, String) {
    let answer = world.send(form(&[&ASSISTANT[..], fields].concat()), now);
    let body = answer.json().unwrap();
    (answer.status, body["access_token"].as_str().unwrap_or_default().to_owned())
}

fn session(world: &World, now: i64) -> String {
    let (status, token) =
        token(world, &[("grant_type", "client_credentials"), ("audience", "assistant")], now);
    assert_eq!(status, 200);
    token
}

fn exchange(world: &World, subject: &str, target: (&str, &str), now: i64) -> (u16, String) {
    let fields = [
        ("grant_type", EXCHANGE),
        ("subject_token", subject),
        ("subject_token_type", ACCESS),
        target,
    ];
    token(world, &fields, now)
}

const FILES: (&str, &str) = ("resource", "https://files.example/api");
const ITSELF: (&str, &str) = ("audience", "assistant");

fn own(token: &str) -> Vec<(&str, &str)> {
    [&ASSISTANT[..], &[("token", token)]].concat()
}

#[test]
fn x11_a_revoked_token_takes_all_below_it_along_and_nothing_beside_it() {
    let world = World::new("plain");
    let root = session(&world, BEGINNING);
    let (_, child) = exchange(&world, &root, ITSELF, BEGINNING);
    let (_, grandchild) = exchange(&world, &child, ITSELF, BEGINNING);
    let (_, sibling) = exchange(&world, &root, ITSELF, BEGINNING);
    let other = session(&world, BEGINNING);
    let before = world.host.store.contents().len();
    assert_eq!(revoke(&world, &own(&child), BEGINNING).status, 200);
    assert_eq!(world.host.store.contents().len(), before + 1, "one fact, and nothing else");
    let event = world.take_events().pop().unwrap();
    assert!(event.revoked.is_some() && event.session.is_some());
    for (what, token, status) in [
        ("the revoked one", &child, 400),
        ("what is below it", &grandchild, 400),
        ("its parent", &root, 200),
        ("its sibling", &sibling, 200),
        ("another session", &other, 200),
    ] {
        assert_eq!(exchange(&world, token, FILES, BEGINNING).0, status, "{what}");
    }
}

/// §2.2: a token that is no good is answered like one that was just revoked.
#[test]
fn a_token_that_is_no_good_is_answered_like_a_good_one() {
    let world = World::new("plain");
    let token = session(&world, BEGINNING);
    let (cut, _) = token.split_at(token.len() - 8);
    let forged = format!("{cut}AAAAAAAA");
    for token in
        ["nonsense", "a.b.c", &forged, &world.sign(serde_json::json!({"from": "ci"}), BEGINNING)]
    {
        let answer = revoke(&world, &own(token), BEGINNING);
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{token}");
        assert!(world.take_events().pop().unwrap().reason.is_some());
    }
    let answer = revoke(&world, &own(&token), BEGINNING + 4_000);
    assert_eq!(answer.status, 200, "expired");
    // Twice is once, and a hint that is wrong changes nothing.
    for _ in 0..2 {
        let fields = [&own(&token)[..], &[("token_type_hint", "refresh_token")]].concat();
        assert_eq!(revoke(&world, &fields, BEGINNING).status, 200);
        assert_eq!(exchange(&world, &token, FILES, BEGINNING).0, 400);
    }
}

#[test]
fn only_the_client_that_holds_a_token_revokes_it() {
    let world = World::new("plain");
    let token = session(&world, BEGINNING);
    let fields = |id, secret| [("client_id", id), ("client_secret", secret), ("token", &*token)];
    for (what, fields, status, error) in [
        ("nobody", vec![("token", &*token)], 401, "invalid_client"),
        ("a wrong secret", fields("assistant", "wrong").to_vec(), 401, "invalid_client"),
        ("another client", fields("planner", "planner-secret").to_vec(), 400, "invalid_request"),
        ("no token", ASSISTANT.to_vec(), 400, "invalid_request"),
    ] {
        let answer = revoke(&world, &fields, BEGINNING);
        let body: Value = answer.json().unwrap();
        assert_eq!((answer.status, body["error"].as_str()), (status, Some(error)), "{what}");
    }
    assert_eq!(exchange(&world, &token, FILES, BEGINNING).0, 200);
}

#[test]
fn a_store_that_does_not_answer_is_a_503_and_never_a_200() {
    let world = World::new("plain");
    let token = session(&world, BEGINNING);
    world.host.faults.order(Call::Commit, When::Always, Effect::Unavailable);
    let answer = revoke(&world, &own(&token), BEGINNING);
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
    world.host.faults.clear();
    // A lost answer is asked for again.
    world.host.faults.order(Call::Commit, When::Nth(1), Effect::Lost);
    assert_eq!(revoke(&world, &own(&token), BEGINNING).status, 200);
    assert_eq!(exchange(&world, &token, FILES, BEGINNING).0, 400);
}
