//! Strong reads that fail: once is nothing that anybody notices, twice is a 503 (design §2).
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a failed test panics")]

use serde_json::json;
use writ_core::http::Request;
use writ_core::operator::Step;
use writ_tests::faults::{Call, Effect, When};
use writ_tests::forms::{ASSISTANT, post, token_request};
use writ_tests::operator;
use writ_tests::trace::claims;
use writ_tests::world::{BEGINNING, World};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const FILES: &str = "https://files.example/api";

/// What there is before a request, and the request.
type Act = fn(&World) -> Request;

/// A job's exchange: the zone is all that is read.
fn exchange(world: &World) -> Request {
    let token = world.sign(json!({ "from": "jobs", "claims": { "sub": "job" } }), BEGINNING);
    token_request(&[
        ("grant_type", EXCHANGE),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("subject_token", &token),
        ("resource", FILES),
    ])
}

/// A task of a client: its session may be open already.
fn task(_: &World) -> Request {
    let fields = [
        ("grant_type", "client_credentials"),
        ("task", "release"),
        ("task_id", "1"),
        ("resource", FILES),
    ];
    post("/oauth/token", ASSISTANT, &fields)
}

/// A session as the operator sees it.
fn session(world: &World) -> Request {
    let fields = [("grant_type", "client_credentials"), ("resource", FILES)];
    let answer = world.send(post("/oauth/token", ASSISTANT, &fields), BEGINNING);
    let body = answer.json().unwrap();
    let token = claims(body["access_token"].as_str().unwrap());
    let step = Step::session(token["sid"].as_str().unwrap(), "");
    operator::request(&world.deployment, &step, BEGINNING)
}

/// A refresh token that was shown a moment ago.
fn refresh(world: &World) -> Request {
    let exp = BEGINNING + 1_000;
    let claims = json!({ "sub": "alice", "tenant": "acme", "azp": "assistant", "exp": exp });
    let proof = world.sign(json!({ "from": "idp", "claims": claims }), BEGINNING);
    let fields = [
        ("grant_type", EXCHANGE),
        ("subject_token", &*proof),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ("resource", FILES),
    ];
    let answer = world.send(post("/oauth/token", ASSISTANT, &fields), BEGINNING);
    let body = answer.json().unwrap();
    let token = body["refresh_token"].as_str().unwrap();
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
    let shown = post("/oauth/token", ASSISTANT, &fields);
    assert_eq!(world.send(shown.clone(), BEGINNING).status, 200);
    shown
}

/// A part of the active bundle, once more.
fn upload(world: &World) -> Request {
    let bundle = world.zone.compile().unwrap().to_bytes().unwrap();
    operator::request(&world.deployment, &Step::publication(&bundle)[0], BEGINNING)
}

/// The status and the number of reads where those of these numbers fail, on an instance that remembers
/// nothing.
fn outcome(act: Act, failing: &[usize]) -> (u16, usize) {
    let world = World::new("plain");
    let request = act(&world);
    let instance = world.sibling();
    for nth in failing {
        instance.host.faults.order(Call::Read, When::Nth(*nth), Effect::Unavailable);
    }
    let status = instance.send(request, BEGINNING + 1).status;
    (status, instance.host.faults.made(Call::Read))
}

#[test]
fn p07_a_read_that_fails_is_made_once_more_and_no_oftener() {
    let acts: [(&str, Act, usize); 5] = [
        ("exchange", exchange, 2),
        ("task", task, 3),
        ("session", session, 4),
        ("refresh", refresh, 2),
        ("upload", upload, 2),
    ];
    for (name, act, least) in acts {
        let (status, reads) = outcome(act, &[]);
        assert_eq!(status, 200, "{name}");
        assert!(reads >= least, "{name}: {reads}");
        for nth in 1..=reads {
            assert_eq!(outcome(act, &[nth]), (200, reads + 1), "{name}, read {nth} of {reads}");
            let (status, made) = outcome(act, &[nth, nth + 1]);
            assert_eq!((status, made), (503, nth + 1), "{name}, read {nth} of {reads}");
        }
    }
}
