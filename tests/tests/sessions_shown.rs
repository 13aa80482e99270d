//! How sessions are shown that are large, or were opened and ended by clocks that differ (X15, X16).
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::collections::BTreeSet;

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};
use writ_core::host::Record;
use writ_core::http::Request;
use writ_core::limits::{BATCH_RECORDS, SESSION_READS};
use writ_core::operator::Step;
use writ_core::session;
use writ_tests::client::Answer;
use writ_tests::faults::Call;
use writ_tests::forms::{ASSISTANT, Client, post};
use writ_tests::operator;
use writ_tests::schedule::invariants::issued;
use writ_tests::schedule::scene::exchange;
use writ_tests::status::{end, sid};
use writ_tests::trace::claims;
use writ_tests::world::{BEGINNING, World};

const GRANT: (&str, &str) = ("grant_type", "client_credentials");
const ITSELF: (&str, &str) = ("audience", "assistant");
const PLANNER: Client = ("planner", "planner-secret");
const STRANGER: Client = ("mail-api", "mail-secret");
/// Records of a page.
const PAGE: usize = BATCH_RECORDS * SESSION_READS;

fn open(world: &World, now: i64) -> String {
    issued(&world.send(post("/oauth/token", ASSISTANT, &[GRANT, ITSELF]), now)).unwrap()
}

fn told(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    answer.json().unwrap()
}

/// What a client asks of a session, with HTTP Basic, and what it is answered.
fn ask(world: &World, (id, secret): Client, session: &str, query: &str) -> Answer {
    let pair = Base64::encode_string(format!("{id}:{secret}").as_bytes());
    let request = Request {
        method: "GET".to_owned(),
        path: format!("/sessions/{session}"),
        query: (!query.is_empty()).then(|| query.to_owned()),
        headers: vec![("authorization".to_owned(), format!("Basic {pair}"))],
        body: Vec::new(),
    };
    world.send(request, BEGINNING + 1)
}

/// Plants so many copies of the hop `jti`, whose keys begin with `mark`.
fn plant(world: &World, session: &str, jti: &str, mark: char, count: usize) {
    let place = session::partition("plain", session);
    let contents = world.host.store.contents();
    let record = contents.get(&(place.clone(), format!("hop/{jti}"))).unwrap();
    for number in 0..count {
        let hop = format!("{mark}{number:04}");
        let mut event: Value = serde_json::from_slice(&record.value).unwrap();
        event.as_object_mut().unwrap().insert("hop".to_owned(), hop.clone().into());
        let (key, value) = (format!("hop/{hop}"), event.to_string().into_bytes());
        world.host.store.plant(&place, Record { key, value, ..record.clone() });
    }
}

/// An application that took part in a session names one of its hops: no page has to hold one, and nobody
/// finds out anything by naming another's.
#[test]
fn x15_who_took_part_in_a_large_session_sees_its_part_on_whichever_page_it_is() {
    let world = World::new("plain");
    let root = open(&world, BEGINNING);
    let second = ("resource", "https://planner.example");
    let second = issued(&world.send(exchange(&root, second), BEGINNING)).unwrap();
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", &*second),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("resource", "https://files.example/api"),
    ];
    let third = issued(&world.send(post("/oauth/token", PLANNER, &fields), BEGINNING)).unwrap();
    let jti = |token: &str| claims(token)["jti"].as_str().unwrap().to_owned();
    let id = sid(&root);
    // Before the ids of hops, and after them.
    plant(&world, &id, &jti(&root), '!', PAGE + 50);
    plant(&world, &id, &jti(&root), '~', 2 * PAGE);
    let revoked = post("/oauth/revoke", PLANNER, &[("token", &third)]);
    assert_eq!(world.send(revoked, BEGINNING + 1).status, 200);

    let read = |who, first: &str| {
        let (mut hops, mut dead, mut query) = (BTreeSet::new(), Vec::new(), first.to_owned());
        let mut pages = 0;
        loop {
            pages += 1;
            world.host.faults.clear();
            let shown = told(&ask(&world, who, &id, &query));
            assert!(world.host.faults.made(Call::Read) <= SESSION_READS + 3);
            for hop in shown["hops"].as_array().unwrap() {
                assert!(hops.insert(hop["hop"].as_str().unwrap().to_owned()));
            }
            dead.extend(shown["revoked"].as_array().unwrap().clone());
            let Some(next) = shown["next"].as_str() else { return (pages, hops, dead) };
            query = format!("after={next}");
        }
    };
    let own = format!("hop={}", jti(&third));
    let dead = vec![json!({ "hop": jti(&third), "at": BEGINNING + 1 })];
    assert_eq!(read(PLANNER, &own), (4, BTreeSet::from([jti(&third)]), dead));
    assert_eq!(read(ASSISTANT, "").1.len(), 3 * PAGE + 53, "who opened it needs to name nothing");

    // What is not the caller's is answered like what is not there.
    let next = told(&ask(&world, PLANNER, &id, &own))["next"].as_str().unwrap().to_owned();
    let nothing = |who, session: &str, query: &str| {
        let answer = ask(&world, who, session, query);
        let body = answer.json().unwrap();
        let text = body["error_description"].as_str().unwrap();
        (answer.status, text.split(" (request").next().unwrap().to_owned())
    };
    let nowhere = nothing(PLANNER, &"A".repeat(43), &own);
    assert_eq!(nowhere.0, 404);
    let (others, after) = (format!("hop={}", jti(&second)), format!("after={next}"));
    for (who, query) in [
        (PLANNER, ""),
        (PLANNER, "hop=nonsense"),
        (PLANNER, &others),
        (STRANGER, &own),
        (STRANGER, &after),
        (STRANGER, &format!("{after}&{own}")),
    ] {
        assert_eq!(nothing(who, &id, query), nowhere, "{who:?} {query}");
    }
    for query in ["hop=a%20b", "hop=%C3%A9", &*format!("hop={}", "a".repeat(257))] {
        assert_eq!(ask(&world, PLANNER, &id, query).status, 400, "{query}");
    }
}

/// An instant that one instance wrote down says nothing of one that another did: their clocks differ.
#[test]
fn x16_an_ended_session_is_shown_as_ended_whichever_clock_was_ahead() {
    let world = World::new("plain");
    let token = open(&world, BEGINNING + 20);
    end(&world, &token, BEGINNING);
    let now = BEGINNING + 21;
    let by_operator =
        |step: &Step| told(&world.send(operator::request(&world.deployment, step, now), now));
    let shown = by_operator(&Step::session(&sid(&token), ""));
    assert_eq!((&shown["state"], &shown["ended"]["at"]), (&json!("ended"), &json!(BEGINNING)));
    assert_eq!(by_operator(&Step::sessions(""))["sessions"][0]["state"], "ended");
}
