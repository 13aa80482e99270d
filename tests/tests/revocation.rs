//! Revocation (RFC 7009): what ends, what does not, and who may end it (X11).
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a failed test panics")]

use serde_json::{Value, json};
use writ_core::active::{Named, Snapshot};
use writ_core::encoding::from_base64url;
use writ_core::jwk::Algorithm;
use writ_core::jwt::{self, Unverified};
use writ_core::keys::{Rotation, rotate};
use writ_core::publish;
use writ_tests::client::Answer;
use writ_tests::faults::{Call, Effect, When};
use writ_tests::forms::{ASSISTANT, form, post};
use writ_tests::target::get;
use writ_tests::world::{BEGINNING, World, block_on, moment};
use writ_tests::zones::{Places, Zone};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

fn revoke(world: &World, fields: &[(&str, &str)], now: i64) -> Answer {
    world.send(form("/oauth/revoke", fields), now)
}

fn token(world: &World, fields: &[(&str, &str)], now: i64) -> (u16, String) {
    let answer = world.send(post("/oauth/token", ASSISTANT, fields), now);
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
    let (id, secret) = ASSISTANT;
    vec![("client_id", id), ("client_secret", secret), ("token", token)]
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

/// The bundle of the zone `plain`, with the rule for people and without it.
fn activate(world: &World, with_people: bool, now: i64) {
    let mut bundle = Zone::load("plain", &Places::in_process()).compile().unwrap();
    if !with_people {
        bundle.rules.remove("people").unwrap();
    }
    block_on(publish::activate(&*world.host, &bundle, &moment(now))).unwrap();
}

/// A person's session token, which the assistant holds.
fn of_a_person(world: &World, now: i64) -> String {
    let claims = json!({ "sub": "user-1", "tenant": "acme", "azp": "assistant" });
    let proof = world.sign(json!({ "from": "idp", "claims": claims }), now);
    let id_token = "urn:ietf:params:oauth:token-type:id_token";
    let fields = [
        ("grant_type", EXCHANGE),
        ("subject_token", &*proof),
        ("subject_token_type", id_token),
        ITSELF,
    ];
    let (status, token) = token(world, &fields, now);
    assert_eq!(status, 200);
    token
}

/// What makes a token no good today may be undone tomorrow; its revocation is not.
#[test]
fn x11_a_token_is_revoked_though_its_rule_is_gone_and_comes_back() {
    let world = World::new("plain");
    let token = of_a_person(&world, BEGINNING);
    activate(&world, false, BEGINNING);
    let now = BEGINNING + 5;
    assert_eq!(exchange(&world, &token, FILES, now).0, 400);
    assert_eq!(world.take_events().pop().unwrap().reason, Some("cut_off"));
    assert_eq!(revoke(&world, &own(&token), now).status, 200);
    assert!(world.take_events().pop().unwrap().revoked.is_some());
    activate(&world, true, now);
    assert_eq!(exchange(&world, &token, FILES, now + 5).0, 400);
    assert_eq!(world.take_events().pop().unwrap().reason, Some("hop_revoked"));
}

#[test]
fn x11_a_token_is_revoked_though_its_user_is_disabled_and_enabled_again() {
    let world = World::new("plain");
    let token = of_a_person(&world, BEGINNING);
    let disabled = |snapshot: &mut Snapshot, disable: bool| {
        let user = Named::user("user:idp:user-1");
        if disable {
            snapshot.disabled.insert(user)
        } else {
            snapshot.disabled.remove(&user)
        };
    };
    let set = |disable, now| {
        block_on(publish::change(&*world.host, "plain", &moment(now), "set", |snapshot| {
            disabled(snapshot, disable);
            Ok(Some(Vec::new()))
        }))
        .unwrap();
    };
    set(true, BEGINNING);
    assert_eq!(revoke(&world, &own(&token), BEGINNING + 5).status, 200);
    set(false, BEGINNING + 5);
    assert_eq!(exchange(&world, &token, FILES, BEGINNING + 10).0, 400);
    assert_eq!(world.take_events().pop().unwrap().reason, Some("hop_revoked"));
}

/// An instance that has not heard of the key yet asks the store before it says that all is well.
#[test]
fn x11_a_token_is_revoked_by_an_instance_that_does_not_know_its_key_yet() {
    let world = World::new("plain");
    let behind = world.sibling();
    let now = BEGINNING + 1;
    assert_eq!(behind.send(get("/readyz"), now).status, 200);
    let turn = |now| {
        let moment = moment(now);
        block_on(rotate(&*world.host, "plain", Algorithm::ES256, Rotation::AtOnce, &moment))
    };
    let kid = turn(now).unwrap().kid;
    let token = session(&world, now);
    assert_eq!(Unverified::parse(&token).unwrap().kid, Some(kid));
    assert_eq!(revoke(&behind, &own(&token), now).status, 200);
    assert!(behind.take_events().pop().unwrap().revoked.is_some());
    assert_eq!(exchange(&world, &token, FILES, now).0, 400);
    // What is not ours by its own word asks nothing.
    let foreign = world.sign(json!({ "from": "ci" }), now);
    behind.host.faults.clear();
    assert_eq!(revoke(&behind, &own(&foreign), now).status, 200);
    assert_eq!(behind.host.faults.made(Call::Read), 0);
    // And where the store does not answer, nobody is told that the token is revoked.
    let late = world.sibling();
    assert_eq!(late.send(get("/readyz"), now).status, 200);
    turn(now + 1).unwrap();
    let token = session(&world, now + 3);
    late.host.faults.order(Call::Read, When::Always, Effect::Unavailable);
    assert_eq!(revoke(&late, &own(&token), now + 1).status, 503);
}

/// Nor does one that knows of shorter sessions only, from a bundle before: its fact lasts as long as the token.
#[test]
fn x11_a_token_that_an_instance_revokes_which_is_behind_stays_revoked() {
    let world = World::new("plain");
    let behind = world.sibling();
    assert_eq!(behind.send(get("/readyz"), BEGINNING).status, 200);
    let mut longer = Zone::load("plain", &Places::in_process()).compile().unwrap();
    longer.session_secs = 43_200;
    block_on(publish::activate(&*world.host, &longer, &moment(BEGINNING))).unwrap();
    let token = session(&world, BEGINNING + 2);
    assert_eq!(revoke(&behind, &own(&token), BEGINNING + 1).status, 200);
    for now in [BEGINNING + 3, BEGINNING + 4_000, BEGINNING + 43_201] {
        assert_eq!(exchange(&world, &token, FILES, now).0, 400, "{now}");
        assert_eq!(world.take_events().pop().unwrap().reason, Some("hop_revoked"), "{now}");
    }
}

/// A clock that is ahead must not keep a token from being revoked that others still take.
#[test]
fn x11_a_token_is_revoked_a_little_after_its_end_and_not_for_ever() {
    let world = World::new("plain");
    let token = session(&world, BEGINNING);
    let over = BEGINNING + 3_600;
    assert_eq!(revoke(&world, &own(&token), over + 29).status, 200);
    assert!(world.take_events().pop().unwrap().revoked.is_some());
    assert_eq!(exchange(&world, &token, FILES, BEGINNING).0, 400);
    let before = world.host.store.contents();
    assert_eq!(revoke(&world, &own(&token), over + 200).status, 200);
    assert_eq!(world.host.store.contents(), before);
}

/// A proof that may be used once was used, whatever the token was worth.
#[test]
fn a13_a_clients_single_use_proof_is_spent_by_a_revocation_that_revokes_nothing() {
    let world = World::new("plain");
    let token = session(&world, BEGINNING);
    for description in [
        json!({ "from": "signer", "claims": { "sub": "signer" } }),
        json!({ "from": "jobs", "claims": { "sub": "assistant" } }),
    ] {
        let proof = world.sign(description, BEGINNING);
        let client = [
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &*proof),
        ];
        let fields = |token| [&client[..], &[("token", token)]].concat();
        assert_eq!(revoke(&world, &fields("nonsense"), BEGINNING).status, 200);
        for token in ["nonsense", &token] {
            assert_eq!(revoke(&world, &fields(token), BEGINNING).status, 401);
            assert_eq!(world.take_events().pop().unwrap().reason, Some("replayed"));
        }
    }
    assert_eq!(exchange(&world, &token, FILES, BEGINNING).0, 200);
}

/// Our key under another's name is no token of this zone.
#[test]
fn j17_a_token_of_ours_with_another_issuer_is_none() {
    let world = World::new("plain");
    let token = session(&world, BEGINNING);
    let kid = Unverified::parse(&token).unwrap().kid.unwrap();
    let payload = token.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&from_base64url(payload).unwrap()).unwrap();
    let signed = |iss: &str| {
        let mut claims = claims.clone();
        claims["iss"] = iss.into();
        let signed = jwt::sign(&*world.host, "plain", Algorithm::ES256, &kid, "at+jwt", claims);
        block_on(signed).unwrap()
    };
    for (iss, reason) in
        [("https://other.example", Some("issuer_unknown")), ("https://writ.example", None)]
    {
        for path in ["/oauth/introspect", "/oauth/revoke"] {
            let request = form(path, &own(&signed(iss)));
            assert_eq!(world.send(request, BEGINNING).status, 200);
            assert_eq!(world.take_events().pop().unwrap().reason, reason, "{path} {iss}");
        }
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
        ("no token", own("")[..2].to_vec(), 400, "invalid_request"),
    ] {
        let answer = revoke(&world, &fields, BEGINNING);
        let body: Value = answer.json().unwrap();
        assert_eq!((answer.status, body["error"].as_str()), (status, Some(error)), "{what}");
    }
    assert_eq!(exchange(&world, &token, FILES, BEGINNING).0, 200);
}

/// A store that refuses the fact has not written it.
#[test]
fn a_store_that_refuses_the_fact_is_a_503_and_never_a_200() {
    let world = World::new("plain");
    let token = session(&world, BEGINNING);
    world.host.faults.order(Call::Commit, When::Always, Effect::Refused("opened".to_owned()));
    assert_eq!(revoke(&world, &own(&token), BEGINNING).status, 503);
    world.host.faults.clear();
    assert_eq!(exchange(&world, &token, FILES, BEGINNING).0, 200);
}
