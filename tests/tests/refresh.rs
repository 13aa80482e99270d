//! Refresh tokens over time and under fire: what they say, what ends them (X16), what a reuse means (A05),
//! and what they cost. What a single request shows is in `vectors/refresh`.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a failed test panics"
)]

use serde_json::{Value, json};
use writ_core::bundle::Bundle;
use writ_core::encoding::from_base64url;
use writ_core::jwt::Unverified;
use writ_core::keys::Rotation;
use writ_core::operator::Step;
use writ_core::principals::{Measure, Whom};
use writ_core::publish;
use writ_tests::client::Answer;
use writ_tests::faults::{Call, Effect, When};
use writ_tests::forms::{ASSISTANT, FILES_API, post};
use writ_tests::operator::request;
use writ_tests::trace::claims;
use writ_tests::world::{BEGINNING, World, block_on, moment};
use writ_tests::zones::{Places, Zone};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const FILES: &str = "https://files.example/api";
/// The age of a snapshot at which every instance has a newer one.
const FOLLOWED: i64 = 5;

fn ask(world: &World, path: &str, fields: &[(&str, &str)], now: i64) -> Answer {
    world.send(post(path, ASSISTANT, fields), now)
}

/// The access token and the refresh token of an answer.
fn tokens(answer: &Answer) -> (String, String) {
    let body = answer.json().unwrap();
    assert_eq!(answer.status, 200, "{body}");
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (text("access_token"), text("refresh_token"))
}

/// A person's session that lasts 1,000 s.
fn open(world: &World, now: i64) -> (String, String) {
    let claims =
        json!({ "sub": "alice", "tenant": "acme", "azp": "assistant", "exp": now + 1_000 });
    let proof = world.sign(json!({ "from": "idp", "claims": claims }), now);
    let fields = [
        ("grant_type", EXCHANGE),
        ("subject_token", &*proof),
        ("subject_token_type", ID_TOKEN),
        ("resource", FILES),
    ];
    tokens(&ask(world, "/oauth/token", &fields, now))
}

fn refresh(world: &World, token: &str, now: i64) -> Answer {
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
    ask(world, "/oauth/token", &fields, now)
}

/// Refreshes, and says how it was answered and why.
fn outcome(world: &World, token: &str, now: i64) -> (u16, String, String) {
    world.take_events();
    let answer = refresh(world, token, now);
    let error = answer.json().unwrap()["error"].as_str().unwrap_or_default().to_owned();
    let reason = world.take_events().pop().unwrap().reason.unwrap_or_default().to_owned();
    (answer.status, error, reason)
}

fn refused(error: &str, reason: &str) -> (u16, String, String) {
    let status = if error == "invalid_client" { 401 } else { 400 };
    (status, error.to_owned(), reason.to_owned())
}

#[test]
fn a_refresh_token_says_nothing_that_an_access_token_is_known_by() {
    let world = World::new("plain");
    let (first, shown) = open(&world, BEGINNING);
    let (access, refresh_claims) = (claims(&first), claims(&shown));
    let header = shown.split('.').next().unwrap();
    let header: Value = serde_json::from_slice(&from_base64url(header).unwrap()).unwrap();
    assert_eq!(header["typ"], "rt+jwt");
    let mut expected = access.clone();
    let members = expected.as_object_mut().unwrap();
    members.remove("scope");
    members.insert("aud".to_owned(), json!("https://writ.example"));
    members.insert("exp".to_owned(), json!(BEGINNING + 600));
    members.insert("refresh".to_owned(), json!({ "number": 1, "ends": BEGINNING + 1_000 }));
    assert_eq!(refresh_claims, expected);
    // Its successor differs by its number and its times, whoever was given what between them.
    let (second, next) = tokens(&refresh(&world, &shown, BEGINNING + 100));
    let members = expected.as_object_mut().unwrap();
    members.insert("iat".to_owned(), json!(BEGINNING + 100));
    members.insert("exp".to_owned(), json!(BEGINNING + 700));
    members.insert("refresh".to_owned(), json!({ "number": 2, "ends": BEGINNING + 1_000 }));
    assert_eq!(claims(&next), expected);
    let path = claims(&second)["path"].as_array().unwrap().clone();
    assert_eq!(path.len(), 2, "what was refreshed is below the first");
    assert_eq!(path[0], access["path"][0]);
    // Given again it ends when it was to end.
    let (_, again) = tokens(&refresh(&world, &shown, BEGINNING + 130));
    expected["iat"] = json!(BEGINNING + 130);
    assert_eq!(claims(&again), expected);
    // Near the end of the session it ends with that.
    let (_, last) = tokens(&refresh(&world, &again, BEGINNING + 600));
    assert_eq!(claims(&last)["exp"], BEGINNING + 1_000);
}

#[test]
fn a_refresh_costs_one_commit_and_no_read() {
    let world = World::new("plain");
    let (_, first) = open(&world, BEGINNING);
    world.host.faults.clear();
    let (_, second) = open(&world, BEGINNING);
    assert_eq!((world.host.faults.made(Call::Commit), world.host.faults.made(Call::Read)), (1, 0));
    world.host.faults.clear();
    tokens(&refresh(&world, &first, BEGINNING));
    assert_eq!((world.host.faults.made(Call::Commit), world.host.faults.made(Call::Read)), (1, 0));
    tokens(&refresh(&world, &second, BEGINNING));
    // The successor once more: what does not fit, one small page, what fits.
    world.host.faults.clear();
    tokens(&refresh(&world, &first, BEGINNING));
    assert_eq!((world.host.faults.made(Call::Commit), world.host.faults.made(Call::Read)), (2, 1));
}

fn operator(world: &World, step: &Step, now: i64) {
    let status = world.send(request(&world.deployment, step, now), now).status;
    assert!(status / 100 == 2, "{status}");
}

/// Whatever ends a session or what it rests on ends its refresh tokens.
#[test]
fn x16_a_refresh_token_dies_with_everything_that_it_rests_on() {
    let user = Whom::User("user:idp:alice".to_owned());
    let application = Whom::Application("assistant".to_owned());
    let rule = Whom::Rule("people".to_owned());
    let measure = |measure, whom: &Whom| Step::measure(measure, whom);
    type End<'a> = (&'a str, Box<dyn Fn(&World, &str) -> Step + 'a>, &'a str, &'a str);
    let ends: Vec<End<'_>> = vec![
        (
            "its session is ended",
            Box::new(|_, sid| Step::end(sid)),
            "invalid_grant",
            "session_ended",
        ),
        (
            "its user is disabled",
            Box::new(|_, _| measure(Measure::Disable, &user)),
            "invalid_grant",
            "cut_off",
        ),
        (
            "its user is cut off",
            Box::new(|_, _| measure(Measure::CutOff, &user)),
            "invalid_grant",
            "cut_off",
        ),
        (
            "its client is disabled",
            Box::new(|_, _| measure(Measure::Disable, &application)),
            "invalid_client",
            "cut_off",
        ),
        (
            "its client is cut off",
            Box::new(|_, _| measure(Measure::CutOff, &application)),
            "invalid_grant",
            "cut_off",
        ),
        (
            "its rule is disabled",
            Box::new(|_, _| measure(Measure::Disable, &rule)),
            "invalid_grant",
            "cut_off",
        ),
        (
            "its rule is cut off",
            Box::new(|_, _| measure(Measure::CutOff, &rule)),
            "invalid_grant",
            "cut_off",
        ),
        (
            "what signed it is no key any more",
            Box::new(|_, _| Step::rotation(Rotation::Emergency)),
            "invalid_grant",
            "key_unknown",
        ),
    ];
    for (what, end, error, reason) in ends {
        let world = World::new("plain");
        let (_, first) = open(&world, BEGINNING);
        let (_, shown) = tokens(&refresh(&world, &first, BEGINNING));
        let sid = claims(&shown)["sid"].as_str().unwrap().to_owned();
        operator(&world, &end(&world, &sid), BEGINNING);
        let now = BEGINNING + FOLLOWED;
        assert_eq!(outcome(&world, &shown, now), refused(error, reason), "{what}");
    }
}

#[test]
fn x16_a_refresh_token_is_over_when_its_task_is_completed() {
    let world = World::new("plain");
    let (_, shown) = open(&world, BEGINNING);
    let sid = claims(&shown)["sid"].as_str().unwrap().to_owned();
    assert_eq!(ask(&world, &format!("/sessions/{sid}/complete"), &[], BEGINNING).status, 204);
    assert_eq!(outcome(&world, &shown, BEGINNING), refused("invalid_grant", "session_ended"));
}

/// What enables somebody again brings no refresh token back.
#[test]
fn x16_a_refresh_token_of_somebody_disabled_stays_dead() {
    let world = World::new("plain");
    let (_, shown) = open(&world, BEGINNING);
    let user = Whom::User("user:idp:alice".to_owned());
    operator(&world, &Step::measure(Measure::Disable, &user), BEGINNING);
    operator(&world, &Step::measure(Measure::Enable, &user), BEGINNING + FOLLOWED);
    let now = BEGINNING + 2 * FOLLOWED;
    assert_eq!(outcome(&world, &shown, now), refused("invalid_grant", "cut_off"));
    let (_, shown) = open(&world, now);
    tokens(&refresh(&world, &shown, now));
}

fn activate(world: &World, change: impl FnOnce(&mut Bundle), now: i64) {
    let mut bundle = Zone::load("plain", &Places::in_process()).compile().unwrap();
    change(&mut bundle);
    block_on(publish::activate(&*world.host, &bundle, &moment(now))).unwrap();
}

/// A bundle that allows less counts for what was given under another.
#[test]
fn x16_a_newer_bundle_decides_anew() {
    let secs = |secs: Option<i64>| {
        move |bundle: &mut Bundle| {
            bundle.applications.get_mut("assistant").unwrap().refresh_secs = secs;
        }
    };
    let policy = |bundle: &mut Bundle| {
        let forbid = r#"@id("closed") forbid (principal, action, resource);"#;
        bundle.policies.insert("closed.cedar".to_owned(), forbid.to_owned());
    };
    let resource = |bundle: &mut Bundle| {
        bundle.resources.remove(FILES);
        bundle.tasks.clear();
        bundle.rules.retain(|_, rule| rule.task.is_none());
    };
    let rule = |bundle: &mut Bundle| {
        bundle.rules.remove("people");
    };
    type Change = Box<dyn FnOnce(&mut Bundle)>;
    let changes: Vec<(&str, Change, &str, &str)> = vec![
        ("no refresh tokens", Box::new(secs(None)), "invalid_grant", "refresh_refused"),
        ("shorter ones", Box::new(secs(Some(60))), "invalid_grant", "refresh_refused"),
        ("a policy against it", Box::new(policy), "access_denied", "policy_forbids"),
        ("no such resource", Box::new(resource), "invalid_target", "target_unknown"),
        ("no such rule", Box::new(rule), "invalid_grant", "cut_off"),
    ];
    for (what, change, error, reason) in changes {
        let world = World::new("plain");
        let (_, shown) = open(&world, BEGINNING);
        activate(&world, change, BEGINNING);
        let now = BEGINNING + 70;
        assert_eq!(outcome(&world, &shown, now), refused(error, reason), "{what}");
        // What is refused for the bundle's sake is good again under one that allows it.
        activate(&world, |_| {}, now);
        tokens(&refresh(&world, &shown, now + FOLLOWED));
    }
}

/// A planned rotation of the zone's key is noticed by nobody.
#[test]
fn a_refresh_token_outlives_the_key_that_signed_it() {
    let world = World::new("plain");
    let (_, shown) = open(&world, BEGINNING);
    operator(&world, &Step::rotation(Rotation::AtOnce), BEGINNING);
    let (_, next) = tokens(&refresh(&world, &shown, BEGINNING + 100));
    let kid = |token: &str| Unverified::parse(token).unwrap().kid;
    assert_ne!(kid(&shown), kid(&next));
    tokens(&refresh(&world, &next, BEGINNING + 200));
}

/// What was refreshed dies with the family, though it was never shown again.
#[test]
fn a05_a_reuse_ends_everything_below_the_first_hop_and_says_so() {
    let world = World::new("plain");
    let (opened, first) = open(&world, BEGINNING);
    let (refreshed, second) = tokens(&refresh(&world, &first, BEGINNING));
    let (_, beside) = open(&world, BEGINNING);
    let later = BEGINNING + 31;
    assert!(
        world.is_active(FILES_API, &opened, later) && world.is_active(FILES_API, &refreshed, later)
    );
    world.take_events();
    assert_eq!(refresh(&world, &first, later).status, 400);
    let event = world.take_events().pop().unwrap();
    let root = claims(&opened)["jti"].as_str().unwrap().to_owned();
    assert_eq!((event.reason, event.revoked), (Some("refresh_reused"), Some(root)));
    assert!(
        !world.is_active(FILES_API, &opened, later)
            && !world.is_active(FILES_API, &refreshed, later)
    );
    assert_eq!(outcome(&world, &second, later), refused("invalid_grant", "hop_revoked"));
    assert_eq!(outcome(&world, &first, later), refused("invalid_grant", "hop_revoked"));
    tokens(&refresh(&world, &beside, later));
}

/// What a thief and the client see of each other: whoever comes second with a token that was used, and
/// late, ends it for both.
#[test]
fn a05_a_thief_and_the_client_end_each_other() {
    for thief_first in [true, false] {
        let world = World::new("plain");
        let (_, stolen) = open(&world, BEGINNING);
        let (one, other) = (BEGINNING + 100, BEGINNING + 200);
        let (_, next) = tokens(&refresh(&world, &stolen, one));
        let what = format!("the thief was first: {thief_first}");
        assert_eq!(
            outcome(&world, &stolen, other),
            refused("invalid_grant", "refresh_reused"),
            "{what}"
        );
        assert_eq!(
            outcome(&world, &next, other),
            refused("invalid_grant", "hop_revoked"),
            "{what}"
        );
    }
}

/// A fault of ours spends nothing: the same token is good when it is over.
#[test]
fn p07_each_call_of_a_refresh_failing_in_turn_issues_nothing() {
    let hops = |world: &World| {
        world.host.store.contents().keys().filter(|(_, key)| key.starts_with("hop/")).count()
    };
    for again in [false, true] {
        for call in [Call::Commit, Call::Read, Call::Verify, Call::Sign] {
            let mut nth = 1;
            loop {
                let world = World::new("plain");
                let (_, shown) = open(&world, BEGINNING);
                if again {
                    tokens(&refresh(&world, &shown, BEGINNING));
                }
                let before = hops(&world);
                let order =
                    |nth| world.host.faults.order(call, When::Nth(nth), Effect::Unavailable);
                order(nth);
                // Both strong calls are made once more.
                if matches!(call, Call::Commit | Call::Read) {
                    order(nth + 1);
                }
                let answer = refresh(&world, &shown, BEGINNING + 1);
                let made = world.host.faults.made(call);
                world.host.faults.clear();
                if made < nth {
                    break;
                }
                let what = format!("{call:?} {nth}, again: {again}");
                assert_eq!(answer.status, 503, "{what}");
                assert!(answer.header("retry-after").is_some(), "{what}");
                let body = answer.json().unwrap();
                assert!(
                    body["access_token"].is_null() && body["refresh_token"].is_null(),
                    "{what}"
                );
                assert_eq!(hops(&world), before, "{what}");
                tokens(&refresh(&world, &shown, BEGINNING + 2));
                nth += 1;
            }
            assert!(nth > 1 || (call == Call::Read && !again), "{call:?} is never made");
        }
    }
}

/// The answer of a commit that was done gets lost, once or for good: the client asks again, and has what it
/// was to have.
#[test]
fn a05_a_lost_answer_is_no_reuse() {
    for when in [When::Nth(1), When::Always] {
        let world = World::new("plain");
        let (_, shown) = open(&world, BEGINNING);
        world.host.faults.order(Call::Commit, when, Effect::Lost);
        let answer = refresh(&world, &shown, BEGINNING);
        world.host.faults.clear();
        let lost = when == When::Always;
        assert_eq!(answer.status, if lost { 503 } else { 200 });
        let (_, next) =
            if lost { tokens(&refresh(&world, &shown, BEGINNING + 20)) } else { tokens(&answer) };
        let detail = world.take_events().pop().unwrap().detail;
        assert_eq!(detail.is_some_and(|detail| detail.contains("given again")), lost);
        assert_eq!(claims(&next)["refresh"]["number"], 2);
        tokens(&refresh(&world, &next, BEGINNING + 21));
    }
}

/// Where the store does not say whether it was a reuse, or does not take the family's end, nobody is told
/// that it is over.
#[test]
fn a05_a_reuse_that_cannot_be_dealt_with_is_a_503() {
    let world = World::new("plain");
    let (_, first) = open(&world, BEGINNING);
    let (_, second) = tokens(&refresh(&world, &first, BEGINNING));
    let later = BEGINNING + 31;
    world.host.faults.order(Call::Read, When::Always, Effect::Unavailable);
    let fresh = BEGINNING + 1;
    assert_eq!(refresh(&world, &first, fresh).status, 503);
    world.host.faults.clear();
    // The first commit says that it does not fit, the second was to write the fact.
    assert_eq!(refresh(&world, &second, later).status, 200);
    let order = |nth| world.host.faults.order(Call::Commit, When::Nth(nth), Effect::Unavailable);
    order(2);
    order(3);
    assert_eq!(refresh(&world, &first, later).status, 503);
    world.host.faults.clear();
    assert_eq!(outcome(&world, &first, later), refused("invalid_grant", "refresh_reused"));
}

/// An identity provider's assertion grant can be had there again: no refresh token outlives what it says.
#[test]
fn an_assertion_grant_comes_with_no_refresh_token() {
    for (typ, given) in [("JWT", true), ("oauth-id-jag+jwt", false)] {
        let places = Places::in_process();
        let mut zone = Zone::load("plain", &places);
        let row = format!("client_claim = \"/azp\"\ntyp = [\"{}\"]", typ.to_lowercase());
        zone.document = zone.document.replacen("client_claim = \"/azp\"", &row, 1);
        let world = World::with(zone, places);
        let claims =
            json!({ "sub": "a", "tenant": "acme", "azp": "assistant", "exp": BEGINNING + 1_000 });
        let proof = json!({ "from": "idp", "claims": claims, "header": { "typ": typ } });
        let proof = world.sign(proof, BEGINNING);
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", &*proof),
            ("resource", FILES),
        ];
        let (_, shown) = tokens(&ask(&world, "/oauth/token", &fields, BEGINNING));
        assert_eq!(!shown.is_empty(), given, "{typ}");
    }
}

/// Metadata offers the grant where somebody may use it.
#[test]
fn metadata_offers_the_grant_where_somebody_may_use_it() {
    let offered = |world: &World, now: i64| {
        let path = "/.well-known/oauth-authorization-server";
        let document = world.send(writ_tests::target::get(path), now).json().unwrap();
        document["grant_types_supported"].as_array().unwrap().contains(&json!("refresh_token"))
    };
    let world = World::new("plain");
    assert!(offered(&world, BEGINNING));
    let nobody = |bundle: &mut Bundle| {
        bundle.applications.values_mut().for_each(|application| application.refresh_secs = None);
    };
    activate(&world, nobody, BEGINNING);
    assert!(!offered(&world, BEGINNING + FOLLOWED));
}
