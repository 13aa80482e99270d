//! The idle limit of sessions: a session to which no hop was added for so long is over, for its tokens, for
//! its refresh tokens, for the proof and the task's id that opened it, and for whoever looks (X16).
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a failed test panics")]

use serde_json::{Value, json};
use writ_core::operator::Step;
use writ_core::publish;
use writ_tests::client::Answer;
use writ_tests::faults::Call;
use writ_tests::forms::{self, ASSISTANT, post};
use writ_tests::operator::request;
use writ_tests::target::get;
use writ_tests::trace::claims;
use writ_tests::world::{BEGINNING, World, block_on, moment};
use writ_tests::zones::{Places, Zone};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const FILES: (&str, &str) = ("resource", "https://files.example/api");
const ITSELF: (&str, &str) = ("audience", "assistant");
const TASK: (&str, &str) = ("task_id", "t-1");
/// The limit of the zone in these tests.
const LIMIT: i64 = 600;

fn form(world: &World, path: &str, fields: &[(&str, &str)], now: i64) -> Answer {
    world.send(forms::form(path, fields), now)
}

fn assistant(world: &World, path: &str, fields: &[(&str, &str)], now: i64) -> Answer {
    world.send(post(path, ASSISTANT, fields), now)
}

/// The token of an answer, or why there is none.
fn token(world: &World, answer: &Answer) -> Result<String, &'static str> {
    let reason = world.take_events().pop().unwrap().reason;
    let body = answer.json().unwrap();
    body["access_token"].as_str().map(str::to_owned).ok_or(reason.unwrap_or_default())
}

fn open(world: &World, more: &[(&str, &str)], now: i64) -> Result<String, &'static str> {
    let fields = [&[("grant_type", "client_credentials"), ITSELF], more].concat();
    token(world, &assistant(world, "/oauth/token", &fields, now))
}

fn exchange(world: &World, subject: &str, now: i64) -> Result<String, &'static str> {
    let fields = [
        ("grant_type", EXCHANGE),
        ("subject_token", subject),
        ("subject_token_type", ACCESS),
        ITSELF,
    ];
    token(world, &assistant(world, "/oauth/token", &fields, now))
}

#[test]
fn x16_a_session_is_over_when_no_hop_was_added_for_so_long() {
    let world = World::idle(LIMIT);
    let root = open(&world, &[], BEGINNING).unwrap();
    assert_eq!(claims(&root)["idle"], LIMIT);
    assert!(world.is_active(ASSISTANT, &root, BEGINNING + LIMIT - 1));
    // A hop may take five seconds until it is recorded, so it must come that much earlier.
    assert_eq!(exchange(&world, &root, BEGINNING + LIMIT - 4), Err("session_idle"));
    let last = BEGINNING + LIMIT - 5;
    // Each hop is activity, and its own tokens know the limit.
    let child = exchange(&world, &root, last).unwrap();
    assert_eq!(claims(&child)["idle"], LIMIT);
    let next = last + LIMIT - 5;
    exchange(&world, &child, next).unwrap();
    // Asking is none, and neither is a denial.
    for now in [next + 1, next + LIMIT - 1] {
        assert!(world.is_active(ASSISTANT, &root, now) && world.is_active(ASSISTANT, &child, now));
        let fields =
            [("grant_type", EXCHANGE), ("subject_token", &*root), ("subject_token_type", ACCESS)];
        let denied = [&fields[..], &[("resource", "https://people.example")]].concat();
        assert_eq!(assistant(&world, "/oauth/token", &denied, now).status, 400);
        world.take_events();
    }
    let over = next + LIMIT;
    assert!(!world.is_active(ASSISTANT, &root, over) && !world.is_active(ASSISTANT, &child, over));
    for subject in [&root, &child] {
        assert_eq!(exchange(&world, subject, over), Err("session_idle"));
        assert_eq!(
            exchange(&world, subject, over + 1),
            Err("session_idle"),
            "it does not come back"
        );
    }
}

/// Neither the task's id nor the proof that opened it brings it back, and until then both keep it alive.
#[test]
fn x16_what_opened_an_idle_session_does_not_bring_it_back() {
    let world = World::idle(LIMIT);
    let first = open(&world, &[TASK], BEGINNING).unwrap();
    let again = open(&world, &[TASK], BEGINNING + 500).unwrap();
    assert_eq!(claims(&first)["sid"], claims(&again)["sid"]);
    assert!(world.is_active(ASSISTANT, &first, BEGINNING + 1_000), "joining is activity");
    let over = BEGINNING + 500 + LIMIT;
    assert_eq!(open(&world, &[TASK], over), Err("session_idle"));
    assert!(!world.is_active(ASSISTANT, &first, over));
    // When it would have ended by itself the id opens another life of it, as ever.
    let anew = open(&world, &[TASK], BEGINNING + 3_600).unwrap();
    assert!(world.is_active(ASSISTANT, &anew, BEGINNING + 3_600));

    let proof = json!({ "from": "ci", "claims": { "sub": "builder", "exp": BEGINNING + 600 } });
    let world = World::idle(100);
    let proof = world.sign(proof, BEGINNING);
    let show = |now| {
        let fields =
            [("grant_type", BEARER), ("assertion", &*proof), TASK, ("audience", "builder")];
        token(&world, &form(&world, "/oauth/token", &fields, now))
    };
    let first = show(BEGINNING).unwrap();
    let again = show(BEGINNING + 95).unwrap();
    assert_eq!(claims(&first)["sid"], claims(&again)["sid"]);
    assert_eq!(show(BEGINNING + 195), Err("session_idle"));
    assert_eq!(show(BEGINNING + 200), Err("session_idle"));
}

#[test]
fn x16_a_refresh_token_dies_with_its_idle_session_and_keeps_it_alive_until_then() {
    let world = World::idle(500);
    let claims =
        json!({ "sub": "alice", "tenant": "acme", "azp": "assistant", "exp": BEGINNING + 3_000 });
    let person = world.sign(json!({ "from": "idp", "claims": claims }), BEGINNING);
    let fields = [
        ("grant_type", EXCHANGE),
        ("subject_token", &*person),
        ("subject_token_type", ID_TOKEN),
        FILES,
    ];
    let given = |answer: &Answer| {
        let body = answer.json().unwrap();
        body["refresh_token"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
    };
    let refresh = |token: &str, now: i64| {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        assistant(&world, "/oauth/token", &fields, now)
    };
    let first = given(&assistant(&world, "/oauth/token", &fields, BEGINNING));
    let second = given(&refresh(&first, BEGINNING + 495));
    let third = given(&refresh(&second, BEGINNING + 990));
    world.take_events();
    // The refresh token itself would live for 600 s.
    let late = refresh(&third, BEGINNING + 1_490);
    assert_eq!(late.json().unwrap()["error"], "invalid_grant");
    assert_eq!(world.take_events().pop().unwrap().reason, Some("session_idle"));
}

#[test]
fn an_idle_session_is_shown_as_expired() {
    let world = World::idle(LIMIT);
    let root = open(&world, &[], BEGINNING).unwrap();
    let sid = claims(&root)["sid"].as_str().unwrap().to_owned();
    let state = |step: Step, now: i64| {
        let answer = world.send(request(&world.deployment, &step, now), now).json().unwrap();
        let one = answer["sessions"].as_array().map(|all| all[0].clone());
        let one = one.unwrap_or(answer);
        assert_eq!(one["opened"]["idle"], LIMIT);
        one["state"].as_str().unwrap().to_owned()
    };
    for (now, expected) in [(BEGINNING + LIMIT - 1, "active"), (BEGINNING + LIMIT, "expired")] {
        assert_eq!(state(Step::session(&sid, ""), now), expected);
        assert_eq!(state(Step::sessions(""), now), expected);
    }
}

/// The session is what its tokens say it is, whatever bundle is active now.
#[test]
fn a_newer_bundle_changes_nothing_about_sessions_that_are_open() {
    let limited = |limit: Option<i64>| {
        let mut bundle = Zone::load("plain", &Places::in_process()).compile().unwrap();
        bundle.idle_secs = limit;
        bundle
    };
    for (before, after, survives) in
        [(Some(100), None, false), (None, Some(100), true), (Some(100), Some(300), false)]
    {
        let world = World::new("plain");
        let activate = |limit, now| {
            block_on(publish::activate(&*world.host, &limited(limit), &moment(now))).unwrap();
        };
        activate(before, BEGINNING);
        let now = BEGINNING + 5;
        let root = open(&world, &[TASK], now).unwrap();
        assert_eq!(claims(&root)["idle"], before.map_or(Value::Null, Into::into));
        activate(after, now);
        let later = now + 50;
        let joined = open(&world, &[TASK], later).unwrap();
        assert_eq!(claims(&joined)["idle"], claims(&root)["idle"], "who joins it is told the same");
        let what = format!("{before:?}, then {after:?}");
        assert_eq!(world.is_active(ASSISTANT, &root, later + 100), survives, "{what}");
        assert_eq!(exchange(&world, &root, later + 100).is_ok(), survives, "{what}");
        assert_eq!(open(&world, &[TASK], later + 100).is_ok(), survives, "{what}");
    }
}

/// Still one commit and no read, but for a proof that may join what is open already.
#[test]
fn the_limit_costs_no_call() {
    let world = World::idle(LIMIT);
    let root = open(&world, &[], BEGINNING).unwrap();
    world.host.faults.clear();
    open(&world, &[], BEGINNING).unwrap();
    exchange(&world, &root, BEGINNING).unwrap();
    assert_eq!((world.host.faults.made(Call::Commit), world.host.faults.made(Call::Read)), (2, 0));
    world.host.faults.clear();
    assert!(world.is_active(ASSISTANT, &root, BEGINNING));
    assert_eq!((world.host.faults.made(Call::Commit), world.host.faults.made(Call::Read)), (1, 0));
    let proof = world.sign(json!({ "from": "ci", "claims": { "sub": "builder" } }), BEGINNING);
    let fields = [("grant_type", BEARER), ("assertion", &*proof), TASK, ("audience", "builder")];
    // The issuer's keys are fetched once.
    assert_eq!(form(&world, "/oauth/token", &fields, BEGINNING).status, 200);
    world.host.faults.clear();
    assert_eq!(form(&world, "/oauth/token", &fields, BEGINNING).status, 200);
    assert_eq!((world.host.faults.made(Call::Commit), world.host.faults.made(Call::Read)), (1, 1));
    assert_eq!(world.send(get("/readyz"), BEGINNING).status, 200);
}
