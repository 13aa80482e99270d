//! Disabling, enabling and cutting off, by the operator's endpoint: one write each (X11).
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a failed test panics")]

use serde_json::Value;
use writ_core::limits::MEASURES;
use writ_core::operator::Step;
use writ_core::principals::{Measure, Whom};
use writ_tests::client::Answer;
use writ_tests::operator::request;
use writ_tests::run::token_request;
use writ_tests::world::{BEGINNING, World};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The age of a snapshot at which every instance has a newer one.
const FOLLOWED: i64 = 5;

fn assistant(world: &World, fields: &[(&str, &str)], now: i64) -> (u16, Value) {
    let client = [("client_id", "assistant"), ("client_secret", "assistant-secret")];
    let fields: Vec<(String, String)> = client
        .iter()
        .chain(fields)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let answer = world.send(token_request(&fields), now);
    (answer.status, answer.json().unwrap())
}

fn session(world: &World, now: i64) -> (u16, String) {
    let fields = [("grant_type", "client_credentials"), ("audience", "assistant")];
    let (status, answer) = assistant(world, &fields, now);
    (status, answer["access_token"].as_str().unwrap_or_default().to_owned())
}

fn exchange(world: &World, token: &str, now: i64) -> u16 {
    let fields = [
        ("grant_type", EXCHANGE),
        ("subject_token", token),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("resource", "https://files.example/api"),
    ];
    assistant(world, &fields, now).0
}

fn take(world: &World, measure: Measure, whom: &Whom, now: i64) -> Answer {
    world.send(request(&world.deployment, &Step::measure(measure, whom), now), now)
}

fn the_assistant() -> Whom {
    Whom::Application("assistant".to_owned())
}

#[test]
fn x11_who_is_disabled_gets_nothing_and_what_it_had_stays_dead_when_it_is_enabled() {
    let world = World::new("plain");
    let (_, before) = session(&world, BEGINNING);
    assert_eq!(take(&world, Measure::Disable, &the_assistant(), BEGINNING).status, 200);
    let mut now = BEGINNING + FOLLOWED;
    assert_eq!(session(&world, now).0, 401);
    assert_eq!(exchange(&world, &before, now), 401);
    assert_eq!(take(&world, Measure::Enable, &the_assistant(), now).status, 200);
    now += FOLLOWED;
    assert_eq!(exchange(&world, &before, now), 400, "enabling brings nothing back to life");
    let (status, after) = session(&world, now);
    assert_eq!((status, exchange(&world, &after, now)), (200, 200));
}

#[test]
fn x11_a_cut_off_kills_what_was_issued_so_far_in_one_write() {
    let world = World::new("plain");
    let tokens: Vec<String> = (0..20).map(|_| session(&world, BEGINNING).1).collect();
    let records = world.host.store.contents().len();
    let answer = take(&world, Measure::CutOff, &the_assistant(), BEGINNING);
    assert_eq!(answer.status, 200);
    // The operator's spent token is the one new record; the snapshot was there.
    assert_eq!(world.host.store.contents().len(), records + 1);
    let now = BEGINNING + FOLLOWED;
    assert!(tokens.iter().all(|token| exchange(&world, token, now) == 400));
    let (_, after) = session(&world, now);
    assert_eq!(exchange(&world, &after, now), 200);
}

#[test]
fn x11_a_user_and_a_key_are_cut_off_likewise() {
    for whom in [Whom::User("user:idp:user-1".to_owned()), Whom::Rule("idp-people".to_owned())] {
        let world = World::new("plain");
        let answer = take(&world, Measure::Disable, &whom, BEGINNING);
        assert_eq!(answer.status, 200, "{whom:?}");
        let told = answer.json().unwrap();
        assert_eq!(told["measure"], "disable");
    }
    let world = World::new("plain");
    let (_, token) = session(&world, BEGINNING);
    let kid = writ_core::jwt::Unverified::parse(&token).unwrap().kid.unwrap();
    assert_eq!(take(&world, Measure::CutOff, &Whom::Key(kid), BEGINNING).status, 200);
    assert_eq!(exchange(&world, &token, BEGINNING + FOLLOWED), 400);
}

/// A cut-off is forgotten when nothing is left for it to kill, so the snapshot stays small.
#[test]
fn cut_offs_are_forgotten_when_their_time_is_over_and_are_no_more_than_fit() {
    let world = World::new("plain");
    let whom = |number: usize| Whom::User(format!("user:idp:{number}"));
    for number in 0..MEASURES {
        let now = BEGINNING + i64::try_from(number).unwrap();
        assert_eq!(take(&world, Measure::CutOff, &whom(number), now).status, 200, "{number}");
    }
    let now = BEGINNING + i64::try_from(MEASURES).unwrap();
    assert_eq!(take(&world, Measure::CutOff, &whom(MEASURES), now).status, 503);
    let event = world.take_events().pop().unwrap();
    assert!(event.detail.unwrap().contains("take the rule"));
    let later = BEGINNING + 30 * 86_400;
    assert_eq!(take(&world, Measure::CutOff, &whom(MEASURES), later).status, 200);
}
