//! Disabling, enabling and cutting off, by the operator's endpoint: one write each (X11).
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a failed test panics")]

use serde_json::{Value, json};
use writ_core::active;
use writ_core::limits::MEASURES;
use writ_core::operator::Step;
use writ_core::principals::{Measure, Whom};
use writ_core::publish;
use writ_tests::client::Answer;
use writ_tests::forms::{ASSISTANT, post};
use writ_tests::operator::request;
use writ_tests::world::{BEGINNING, World, block_on, moment};
use writ_tests::zones::{Places, Zone};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The age of a snapshot at which every instance has a newer one.
const FOLLOWED: i64 = 5;

fn assistant(world: &World, fields: &[(&str, &str)], now: i64) -> (u16, Value) {
    let answer = world.send(post("/oauth/token", ASSISTANT, fields), now);
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

/// A person's session token, which the assistant holds.
fn of_a_person(world: &World, subject: &str, now: i64) -> (u16, String) {
    let claims = json!({ "sub": subject, "tenant": "acme", "azp": "assistant" });
    let proof = world.sign(json!({ "from": "idp", "claims": claims }), now);
    let fields = [
        ("grant_type", EXCHANGE),
        ("subject_token", &*proof),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ("audience", "assistant"),
    ];
    let (status, answer) = assistant(world, &fields, now);
    (status, answer["access_token"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn x11_what_a_user_or_a_rule_was_given_is_dead_once_it_is_disabled_or_cut_off() {
    let user = || Whom::User("user:idp:user-1".to_owned());
    let rule = || Whom::Rule("people".to_owned());
    for (measure, whom, others, again) in [
        (Measure::Disable, user(), 200, 400),
        (Measure::CutOff, user(), 200, 200),
        (Measure::Disable, rule(), 400, 400),
        (Measure::CutOff, rule(), 400, 200),
    ] {
        let what = format!("{measure:?} {whom:?}");
        let world = World::new("plain");
        let (status, token) = of_a_person(&world, "user-1", BEGINNING);
        let (_, other) = of_a_person(&world, "user-2", BEGINNING);
        assert_eq!((status, exchange(&world, &token, BEGINNING)), (200, 200));
        assert!(world.is_active(ASSISTANT, &token, BEGINNING));
        assert_eq!(take(&world, measure, &whom, BEGINNING).status, 200, "{what}");
        let now = BEGINNING + FOLLOWED;
        assert_eq!(exchange(&world, &token, now), 400, "{what}");
        assert_eq!(world.take_events().pop().unwrap().reason, Some("cut_off"), "{what}");
        assert!(!world.is_active(ASSISTANT, &token, now), "{what}");
        assert_eq!(exchange(&world, &other, now), others, "{what}: another person's");
        assert_eq!(
            world.is_active(ASSISTANT, &other, now),
            others == 200,
            "{what}: another person's"
        );
        assert_eq!(of_a_person(&world, "user-1", now).0, again, "{what}: the person again");
    }
}

/// A name that nobody bears is a slip of the operator's, which must not look like a measure.
#[test]
fn x11_a_measure_on_what_the_bundle_does_not_have_is_refused_unless_it_lifts_one() {
    let world = World::new("plain");
    let before = block_on(active::snapshot(&*world.host, "plain")).unwrap().0;
    for whom in [Whom::Application("asistant".to_owned()), Whom::Rule("peple".to_owned())] {
        for measure in [Measure::Disable, Measure::CutOff, Measure::Enable] {
            let answer = take(&world, measure, &whom, BEGINNING);
            let told = answer.json().unwrap();
            let wanted = (404, "unknown_principal");
            assert_eq!((answer.status, told["error"].as_str().unwrap()), wanted, "{whom:?}");
            let said = told["error_description"].as_str().unwrap();
            assert!(said.contains(whom.id()), "{said}");
            assert_eq!(world.take_events().pop().unwrap().reason, Some("operator_unknown"));
        }
    }
    assert_eq!(block_on(active::snapshot(&*world.host, "plain")).unwrap().0, before);
    // Who the users are is not the bundle's to say.
    let nobody = Whom::User("user:idp:nobody-yet".to_owned());
    assert_eq!(take(&world, Measure::Disable, &nobody, BEGINNING).status, 200);
    // What an earlier bundle had can be enabled again.
    let job = Whom::Application("job".to_owned());
    assert_eq!(take(&world, Measure::Disable, &job, BEGINNING).status, 200);
    let mut bundle = Zone::load("plain", &Places::in_process()).compile().unwrap();
    bundle.applications.remove("job").unwrap();
    bundle.rules.remove("job").unwrap();
    block_on(publish::activate(&*world.host, &bundle, &moment(BEGINNING))).unwrap();
    assert_eq!(take(&world, Measure::CutOff, &job, BEGINNING).status, 404);
    assert_eq!(take(&world, Measure::Enable, &job, BEGINNING).status, 200);
    assert_eq!(take(&world, Measure::Enable, &job, BEGINNING).status, 404, "it is lifted");
}

/// Hops do not say which key signed them, so a key is none that a measure could reach: what is in wrong
/// hands is replaced in an emergency.
#[test]
fn x11_a_key_is_no_principal() {
    let world = World::new("plain");
    let step = Step {
        body: br#"{"measure":"disable","whom":{"key":"abc"}}"#.to_vec(),
        ..Step::measure(Measure::Disable, &the_assistant())
    };
    assert_eq!(world.send(request(&world.deployment, &step, BEGINNING), BEGINNING).status, 400);
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
    let refused = take(&world, Measure::CutOff, &whom(MEASURES), now);
    assert_eq!(refused.status, 409);
    let told = refused.json().unwrap()["error_description"].as_str().unwrap().to_owned();
    assert!(told.contains("take the rule"), "{told}");
    let event = world.take_events().pop().unwrap();
    assert_eq!(event.reason, Some("operator_conflict"));
    assert!(event.detail.unwrap().contains("take the rule"));
    let later = BEGINNING + 30 * 86_400;
    assert_eq!(take(&world, Measure::CutOff, &whom(MEASURES), later).status, 200);
}
