//! Introspection (RFC 7662, RFC 9701): what is told, to whom, and how soon a token is dead.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a failed test panics")]

use serde_json::{Value, json};
use writ_core::bundle::Bundle;
use writ_core::encoding::{base64url, from_base64url};
use writ_core::event::Outcome;
use writ_core::http::Request;
use writ_core::jwk::Algorithm;
use writ_core::jwt::{self, Unverified};
use writ_core::keys::{Rotation, rotate};
use writ_core::publish;
use writ_tests::client::Answer;
use writ_tests::faults::{Call, Effect, When};
use writ_tests::forms::{ASSISTANT, Client, FILES_API, form, post};
use writ_tests::schedule::invariants::issued;
use writ_tests::schedule::scene::exchange;
use writ_tests::target::get;
use writ_tests::trace::claims;
use writ_tests::world::{BEGINNING, World, block_on, moment};
use writ_tests::zones::{Places, Zone};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const FILES: (&str, &str) = ("resource", "https://files.example/api");
const ITSELF: (&str, &str) = ("audience", "assistant");

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

/// Activates the bundle of the zone `plain` with this change.
fn activate(world: &World, change: fn(&mut Bundle)) {
    let mut bundle = Zone::load("plain", &Places::in_process()).compile().unwrap();
    change(&mut bundle);
    block_on(publish::activate(&*world.host, &bundle, &moment(BEGINNING))).unwrap();
}

/// A person's token for the target.
fn of_a_person(world: &World, target: (&str, &str)) -> String {
    let claims = json!({ "sub": "user-1", "tenant": "acme", "azp": "assistant" });
    let fields = [
        ("grant_type", EXCHANGE),
        ("subject_token", &*world.sign(json!({ "from": "idp", "claims": claims }), BEGINNING)),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        target,
    ];
    let answer = world.send(post("/oauth/token", ASSISTANT, &fields), BEGINNING);
    issued(&answer).unwrap()
}

fn rotated(world: &World) {
    let moment = moment(BEGINNING);
    block_on(rotate(&*world.host, "plain", Algorithm::ES256, Rotation::AtOnce, &moment)).unwrap();
}

/// An instance goes on for two seconds with what it read of the zone. Another one knows what changed since,
/// and what that one issues is alive: the first one asks the store before it says otherwise.
#[test]
fn x11_a_live_token_is_active_at_an_instance_that_is_behind() {
    let without_rule = |bundle: &mut Bundle| drop(bundle.rules.remove("people").unwrap());
    let other_owner = |bundle: &mut Bundle| {
        let files = bundle.resources.get_mut(FILES.1).unwrap();
        files.owner = Some("planner".to_owned());
    };
    let plain = |world: &World| activate(world, |_| ());
    catches_up("its rule is new", without_rule, plain);
    catches_up("the owner of its resource is new", other_owner, plain);
    catches_up("its key is new", |_| (), rotated);
}

/// Has instances read the zone after one change, and asks them about what was issued after another.
fn catches_up(what: &str, before: fn(&mut Bundle), change: fn(&World)) {
    let world = World::new("plain");
    activate(&world, before);
    let behind = [world.sibling(), world.sibling()];
    for instance in &behind {
        assert_eq!(instance.send(get("/readyz"), BEGINNING).status, 200);
        instance.host.faults.clear();
    }
    change(&world);
    let ahead = world.sibling();
    let (token, root) = (of_a_person(&ahead, FILES), of_a_person(&ahead, ITSELF));
    let seq = claims(&token)["seq"].as_u64();
    let reads = |instance: &World| {
        let made = instance.host.faults.made(Call::Read);
        instance.host.faults.clear();
        made
    };
    let [asked, shown] = &behind;
    assert!(asked.is_active(FILES_API, &token, BEGINNING), "{what}");
    let event = asked.take_events().pop().unwrap();
    assert_eq!((event.seq, event.reason), (seq, None), "{what}");
    assert!(reads(asked) > 0, "{what}");
    // Whoever knows less than a token was decided under decides nothing that rests on it.
    let child = issued(&shown.send(exchange(&root, FILES), BEGINNING)).unwrap();
    assert_eq!(claims(&child)["seq"].as_u64(), seq, "{what}");
    let event = shown.take_events().pop().unwrap();
    assert_eq!((event.seq, event.outcome), (seq, Outcome::Allow), "{what}");
    assert!(reads(shown) > 0, "{what}");
    // From then on it knows.
    assert!(asked.is_active(FILES_API, &token, BEGINNING), "{what}");
    assert_eq!(shown.send(exchange(&root, FILES), BEGINNING).status, 200, "{what}");
    assert_eq!((reads(asked), reads(shown)), (0, 0), "{what}");
}

/// Nobody but the zone's own key has the store asked at each request. Keys can be named by anybody, so one
/// that is not known is sought no oftener than a snapshot is read.
#[test]
fn x11_tokens_that_somebody_made_up_have_the_zone_read_once_in_two_seconds() {
    let world = World::new("plain");
    let token = token(&world, FILES);
    let [header, payload, signature] =
        token.split('.').collect::<Vec<_>>().try_into().expect("three parts");
    let with = |part: &str, name: &str, value: Value| {
        let mut part: Value = serde_json::from_slice(&from_base64url(part).unwrap()).unwrap();
        part[name] = value;
        base64url(part.to_string().as_bytes())
    };
    let other_key = |kid: usize| {
        format!("{}.{payload}.{signature}", with(header, "kid", json!(format!("k{kid}"))))
    };
    let later_seq = format!("{header}.{}.{signature}", with(payload, "seq", json!(99)));
    let reason = |path: &str, request: Request, now: i64| {
        let status = world.send(request, now).status;
        assert_eq!(status, if path == "introspect" { 200 } else { 400 });
        world.take_events().pop().unwrap().reason
    };
    // The snapshot is read again after two seconds, whoever asks.
    for (now, reads) in [(0, 1), (1, 0), (2, 2), (3, 0)] {
        world.host.faults.clear();
        for number in 0..5 {
            let asked = post("/oauth/introspect", FILES_API, &[("token", &*other_key(number))]);
            let unknown = Some("own_key_unknown");
            assert_eq!(reason("introspect", asked, BEGINNING + now), unknown);
            let alone = [
                ("grant_type", EXCHANGE),
                ("subject_token", &*other_key(number)),
                ("subject_token_type", ACCESS),
                FILES,
            ];
            let shown = form("/oauth/token", &alone);
            assert_eq!(reason("token", shown, BEGINNING + now), unknown);
        }
        assert_eq!(world.host.faults.made(Call::Read), reads, "{now}");
    }
    world.host.faults.clear();
    let asked = post("/oauth/introspect", FILES_API, &[("token", &*later_seq)]);
    assert_eq!(reason("introspect", asked, BEGINNING + 3), Some("signature_wrong"));
    assert_eq!(world.host.faults.made(Call::Read), 0);

    // What the zone did sign is later than the store where that lost something: it is good for nothing.
    let mut lost = claims(&token);
    lost["seq"] = json!(99);
    let kid = Unverified::parse(&token).unwrap().kid.unwrap();
    let lost = jwt::sign(&*world.host, "plain", Algorithm::ES256, &kid, "at+jwt", lost);
    let lost = block_on(lost).unwrap();
    let asked = || post("/oauth/introspect", FILES_API, &[("token", &*lost)]);
    assert_eq!(reason("introspect", asked(), BEGINNING + 3), Some("zone_older"));
    assert_eq!(world.host.faults.made(Call::Read), 1);
    world.host.faults.order(Call::Read, When::Always, Effect::Unavailable);
    assert_eq!(world.send(asked(), BEGINNING + 3).status, 503);
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
