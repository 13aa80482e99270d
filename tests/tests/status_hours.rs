//! Which list a session is in (X11, X12): every token of a session names the one that shows its end.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use writ_core::http::Request;
use writ_core::limits::STATUS_BITS;
use writ_core::publish;
use writ_core::status::{self, INDEX};
use writ_tests::client::Answer;
use writ_tests::faults::Call;
use writ_tests::forms::{ASSISTANT, FILES_API, form, post};
use writ_tests::schedule::invariants::issued;
use writ_tests::schedule::scene::{Scene, exchange};
use writ_tests::schedule::{Racer, Random, Trouble, run};
use writ_tests::status::{end, list, revoke, sid};
use writ_tests::target::get;
use writ_tests::trace::claims;
use writ_tests::world::{BEGINNING, World, block_on, moment};
use writ_tests::zones::{Places, Zone};

const ITSELF: (&str, &str) = ("audience", "assistant");
const FILES: (&str, &str) = ("resource", "https://files.example/api");
const GRANT: (&str, &str) = ("grant_type", "client_credentials");

/// Sessions of every kind, opened and joined around the turn of an hour, by bundles that differ about how
/// long a session lasts: each token names the list that shows the end of its session.
#[test]
fn x11_every_token_of_a_session_names_the_list_in_which_its_end_appears() {
    let turn = BEGINNING + 3_600;
    for joined in [turn - 2, turn - 1, turn, turn + 1] {
        let world = World::new("plain");
        let client =
            |fields: &[(&str, &str)]| post("/oauth/token", ASSISTANT, &[&[GRANT], fields].concat());
        let begun = turn - 2;
        let user = world.sign(
            json!({ "from": "idp", "claims": { "sub": "u", "tenant": "acme", "azp": "assistant" } }),
            begun,
        );
        let shown = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", &*user),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
            ITSELF,
        ];
        let job = world
            .sign(json!({ "from": "jobs", "claims": { "sub": "runner", "run_id": "1" } }), begun);
        let once = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", &*job),
            FILES,
        ];
        let requests = [
            client(&[ITSELF]),
            client(&[ITSELF, ("task_id", "1")]),
            client(&[ITSELF, ("task", "triage"), ("task_id", "1")]),
            post("/oauth/token", ASSISTANT, &shown),
            post("/oauth/token", ASSISTANT, &[&shown[..], &[("task_id", "1")]].concat()),
            form("/oauth/token", &once),
        ];
        let first: Vec<String> = requests
            .iter()
            .map(|request| issued(&world.send(request.clone(), begun)).unwrap())
            .collect();
        // Whoever joins does so under another bundle.
        let mut bundle = Zone::load("plain", &Places::in_process()).compile().unwrap();
        bundle.session_secs = 4_000;
        block_on(publish::activate(&*world.host, &bundle, &moment(begun))).unwrap();
        let other = world.sibling();
        let again = |request: &Request| issued(&other.send(request.clone(), joined));
        let mut tokens: Vec<String> = requests.iter().filter_map(again).collect();
        assert_eq!(tokens.len(), 5, "the single-use proof is spent");
        let further = |token: &String| issued(&other.send(exchange(token, FILES), joined));
        tokens.extend(first.iter().take(5).filter_map(further));
        assert_eq!(tokens.len(), 10);
        tokens.extend(first);
        for token in &tokens {
            end(&world, token, joined);
        }
        for token in &tokens {
            assert!(
                list(&world.sibling(), token, joined + 1).shows(token),
                "{joined}: {}",
                claims(token)
            );
        }
    }
}

/// Two requests that begin the session of one task while the hour turns, in every order: both tokens name
/// one list, or one of them is no token.
#[test]
fn x12_a_task_that_begins_twice_as_the_hour_turns_is_in_one_list() {
    let mut scene = Scene::default();
    scene.save();
    let start = BEGINNING + 3_599;
    let fields = [GRANT, ITSELF, ("task_id", "1")];
    let (mut both, mut after) = (0, 0);
    for seed in 0..3_000 {
        let mut random = Random::of(seed);
        scene.restore(start);
        let faults_in = random.one_of(&[0, 0, 8]);
        let racers: Vec<Racer<'_>> = (0..3)
            .map(|number| Racer {
                request: post("/oauth/token", ASSISTANT, &fields),
                host: &scene.instances[number % 2],
                slot: "",
            })
            .collect();
        let trouble = Trouble { faults_in, leaps: 3, bug: None };
        let ran = run(&scene.world.deployment, &racers, start, random, trouble);
        scene.instances.iter().for_each(|host| drop(host.take_events()));
        let tokens: Vec<Value> =
            ran.answers.iter().filter_map(issued).map(|token| claims(&token)).collect();
        if ran.faults == 0 {
            assert_eq!(tokens.len(), 3, "seed {seed}");
        }
        let names: BTreeSet<String> =
            tokens.iter().map(|token| token["status"].to_string()).collect();
        assert!(names.len() <= 1, "seed {seed}: {names:?}");
        let times: BTreeSet<i64> =
            tokens.iter().map(|token| token["iat"].as_i64().unwrap() / 3_600).collect();
        both += usize::from(times.len() > 1);
        after += usize::from(times.len() == 1);
    }
    assert!(both > 100 && after > 100, "{both} over the turn, {after} on one side");
}

/// Hops, ends and revocations are in the index by their hour, in their own commit.
#[test]
fn an_end_and_a_revocation_leave_an_entry_in_their_own_commit() {
    let world = World::new("plain");
    let opening = post("/oauth/token", ASSISTANT, &[GRANT, ITSELF]);
    let token = issued(&world.send(opening, BEGINNING)).unwrap();
    let entries = || -> Vec<(String, String)> {
        let index = world.host.store.index();
        let ours = index.into_iter().filter(|(_, entry)| entry.index == INDEX);
        ours.map(|(_, entry)| (entry.name, entry.key)).collect()
    };
    world.host.faults.clear();
    revoke(&world, &token, BEGINNING);
    assert_eq!(world.host.faults.made(Call::Commit), 1);
    let hour = (BEGINNING / 3_600 + 1).to_string();
    let jti = claims(&token)["jti"].as_str().unwrap().to_owned();
    assert_eq!(entries(), [(hour.clone(), format!("revoked/{jti}"))]);
    let complete = post(&format!("/sessions/{}/complete", sid(&token)), ASSISTANT, &[]);
    world.host.faults.clear();
    assert_eq!(world.send(complete, BEGINNING).status, 204);
    let made = |call| world.host.faults.made(call);
    assert_eq!((made(Call::Commit), made(Call::Read)), (1, 1));
    assert_eq!(entries()[1], (hour, "ended".to_owned()));
    // Who is told that it is not alive is told nothing of lists.
    let asked = post("/oauth/introspect", FILES_API, &[("token", &token)]);
    let answer: Answer = world.send(asked, BEGINNING);
    assert_eq!(answer.json().unwrap(), json!({ "active": false }));
}

/// The index of a session is spread over the whole list.
#[test]
fn indices_are_spread_and_differ_by_zone_and_hour() {
    let count = 20_000_u32;
    let indices: BTreeSet<u32> =
        (0..count).map(|number| status::index("zone", &format!("session-{number}"), 1)).collect();
    assert!(indices.iter().all(|index| *index < STATUS_BITS));
    let low = indices.iter().filter(|index| **index < STATUS_BITS / 2).count();
    assert!((9_500..10_300).contains(&low), "{low}");
    // By the birthday bound some 190 pairs meet.
    assert!(indices.len() > count as usize - 300, "{}", indices.len());
    assert_ne!(status::index("one", "s", 1), status::index("two", "s", 1));
    assert_ne!(status::index("one", "s", 1), status::index("one", "s", 2));
}

#[test]
fn only_hours_that_tokens_can_name_have_a_list() {
    let world = World::new("plain");
    let hour = BEGINNING / 3_600;
    let found = |name: &str| world.send(get(&format!("/status/{name}")), BEGINNING).status;
    // The longest life of an accepted proof is 49 hours.
    for (number, status) in [(-2, 404), (-1, 200), (0, 200), (1, 200), (49, 200), (51, 404)] {
        assert_eq!(found(&(hour + number).to_string()), status, "{number}");
    }
    for name in ["", "x", "-1", "+500000", "0500000", "500000/", "99999999999999999999"] {
        assert_eq!(found(name), 404, "{name}");
    }
}
