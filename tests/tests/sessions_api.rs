//! Sessions over HTTP: who sees which, what a tree says, and that one write ends it (X11, X15, X16, X20).
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a failed test panics")]

use std::collections::BTreeSet;

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};
use writ_core::host::{Partition, Record};
use writ_core::http::Request;
use writ_core::limits;
use writ_core::moment::Timestamp;
use writ_core::operator::Step;
use writ_core::session;
use writ_tests::client::Answer;
use writ_tests::faults::Call;
use writ_tests::forms::{self, ASSISTANT, Client, FILES_API, post, token_request};
use writ_tests::operator;
use writ_tests::world::{BEGINNING, World};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const FILES: &str = "https://files.example/api";
const PLANNER: (&str, &str) = ("planner", "planner-secret");
const MAIL_API: (&str, &str) = ("mail-api", "mail-secret");

fn basic(method: &str, path: &str, query: &str, (id, secret): (&str, &str)) -> Request {
    let pair = Base64::encode_string(format!("{id}:{secret}").as_bytes());
    Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: (!query.is_empty()).then(|| query.to_owned()),
        headers: vec![("authorization".to_owned(), format!("Basic {pair}"))],
        body: Vec::new(),
    }
}

fn issued(answer: &Answer) -> String {
    let body = answer.json().unwrap();
    assert_eq!(answer.status, 200, "{body}");
    body["access_token"].as_str().unwrap().to_owned()
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&writ_core::encoding::from_base64url(payload).unwrap()).unwrap()
}

fn sid(token: &str) -> String {
    claims(token)["sid"].as_str().unwrap().to_owned()
}

/// A session that the assistant opens, and its first token, for `target`.
fn open(world: &World, target: (&str, &str), now: i64) -> String {
    let fields = [("grant_type", "client_credentials"), target];
    issued(&world.send(post("/oauth/token", ASSISTANT, &fields), now))
}

fn exchange(world: &World, who: Client, token: &str, target: &str, now: i64) -> Answer {
    let fields = [
        ("grant_type", EXCHANGE),
        ("subject_token", token),
        ("subject_token_type", ACCESS),
        ("resource", target),
    ];
    world.send(post("/oauth/token", who, &fields), now)
}

fn by_operator(world: &World, step: &Step, now: i64) -> Answer {
    world.send(operator::request(&world.deployment, step, now), now)
}

fn told(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json().unwrap()
}

fn of_sessions(list: &Value) -> BTreeSet<String> {
    let sessions = list["sessions"].as_array().unwrap().iter();
    sessions.map(|line| line["session"].as_str().unwrap().to_owned()).collect()
}

/// A session of three hops by two applications, and its tokens.
fn tree(world: &World) -> Vec<String> {
    let root = open(world, ("audience", "assistant"), BEGINNING);
    let planner = "https://planner.example";
    let second = issued(&exchange(world, ASSISTANT, &root, planner, BEGINNING + 1));
    let third = issued(&exchange(world, PLANNER, &second, FILES, BEGINNING + 2));
    vec![root, second, third]
}

#[test]
fn the_operator_lists_and_reads_every_session() {
    let world = World::new("plain");
    let tokens = tree(&world);
    let other = open(&world, ("resource", FILES), BEGINNING + 5);
    let both = BTreeSet::from([sid(&tokens[0]), sid(&other)]);
    let list = |query: &str| told(&by_operator(&world, &Step::sessions(query), BEGINNING + 6));
    assert_eq!(of_sessions(&list("")), both);
    assert_eq!(of_sessions(&list("application=assistant")), both);
    assert_eq!(of_sessions(&list("application=planner")), BTreeSet::from([sid(&tokens[0])]));
    assert_eq!(of_sessions(&list("resource=https%3A%2F%2Ffiles.example%2Fapi")), both);
    assert_eq!(of_sessions(&list("user=nobody")), BTreeSet::new());
    let since = format!("since={}", BEGINNING + 3);
    assert_eq!(of_sessions(&list(&since)), BTreeSet::from([sid(&other)]));
    let line = list("application=planner")["sessions"][0].clone();
    assert_eq!((&line["state"], &line["at"]), (&json!("active"), &json!(BEGINNING + 2)));
    assert_eq!(line["opened"]["application"], "assistant");
    assert_eq!(line["opened"]["ends"], BEGINNING + 3_600);
    // One event a request, under the endpoint's name.
    world.take_events();
    list("");
    let events = world.take_events();
    assert_eq!((events.len(), events[0].endpoint), (1, "sessions"));

    let shown = told(&by_operator(&world, &Step::session(&sid(&tokens[0]), ""), BEGINNING + 6));
    let mut hops: Vec<Value> = shown["hops"].as_array().unwrap().clone();
    hops.sort_by_key(|hop| hop["time"].as_i64());
    let jti = |index: usize| claims(&tokens[index])["jti"].clone();
    let parents: Vec<&Value> = hops.iter().map(|hop| &hop["parent"]).collect();
    assert_eq!(parents, [&Value::Null, &jti(0), &jti(1)]);
    assert_eq!(hops[2]["chain"], json!(["planner", "assistant"]));
    assert!(shown["next"].is_null() && shown["ended"].is_null());
    for hop in &hops {
        assert!(hop["token"].is_null() && hop["proofs"].is_null(), "{hop}");
    }
}

#[test]
fn x11_a_session_that_was_ended_is_dead_at_the_acknowledgement() {
    for by in ["operator", "basic", "form"] {
        let world = World::new("plain");
        let tokens = tree(&world);
        let (id, now) = (sid(&tokens[0]), BEGINNING + 3);
        let active = |token: &str| {
            let answer = world.send(post("/oauth/introspect", FILES_API, &[("token", token)]), now);
            answer.json().unwrap()["active"] == true
        };
        assert!(active(&tokens[2]));
        let path = format!("/sessions/{id}");
        let end = || match by {
            "operator" => by_operator(&world, &Step::end(&id), now),
            "basic" => world.send(basic("DELETE", &path, "", ASSISTANT), now),
            _ => world.send(post(&format!("{path}/complete"), ASSISTANT, &[]), now),
        };
        world.take_events();
        assert_eq!(end().status, 204, "{by}");
        let event = world.take_events().pop().unwrap();
        assert_eq!((event.endpoint, event.session.as_ref()), ("session_end", Some(&id)));
        assert!(!active(&tokens[2]), "{by}");
        assert_eq!(world.take_events().pop().unwrap().reason, Some("session_ended"));
        for (who, token) in [(ASSISTANT, &tokens[0]), (PLANNER, &tokens[1])] {
            assert_eq!(exchange(&world, who, token, FILES, now).status, 400, "{by}");
            assert_eq!(world.take_events().pop().unwrap().reason, Some("session_ended"));
        }
        // Once more is no error, and the first end stands.
        assert_eq!(end().status, 204, "{by}");
        let shown = told(&by_operator(&world, &Step::session(&id, ""), now + 9));
        assert_eq!(shown["state"], "ended");
        assert_eq!(shown["ended"]["at"], now);
        let who =
            if by == "operator" { json!("operator") } else { json!({"application": "assistant"}) };
        assert_eq!(shown["ended"]["by"], who);
        assert_eq!(shown["denied"].as_array().unwrap().len(), 2);
    }
}

/// X16: a proof that would join or open the session again does not bring it back.
#[test]
fn x16_nothing_brings_an_ended_session_back() {
    let world = World::new("plain");
    let ask = |now| {
        let fields =
            [("grant_type", "client_credentials"), ("audience", "assistant"), ("task_id", "t-1")];
        world.send(post("/oauth/token", ASSISTANT, &fields), now)
    };
    let token = issued(&ask(BEGINNING));
    assert_eq!(by_operator(&world, &Step::end(&sid(&token)), BEGINNING).status, 204);
    let end = BEGINNING + 3_600;
    // It would have ended as an hour began, whose list shows it to its own end.
    let forgotten = end + 3_600 + 90;
    for now in [BEGINNING, BEGINNING + 1, end - 1, end + 30, forgotten - 1] {
        assert_eq!(ask(now).status, 400, "{now}");
    }
    let again = issued(&ask(forgotten));
    assert_eq!(sid(&again), sid(&token), "the task's id begins another life of it");
    let shown = told(&by_operator(&world, &Step::session(&sid(&token), ""), forgotten));
    assert_eq!((&shown["state"], &shown["ended"]), (&json!("active"), &Value::Null));
    let job = world.sign(json!({ "from": "jobs", "claims": { "sub": "job" } }), BEGINNING);
    let once = || {
        let fields = [
            ("grant_type", EXCHANGE),
            ("subject_token", &*job),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ("resource", FILES),
        ];
        world.send(token_request(&fields), BEGINNING)
    };
    let token = issued(&once());
    assert_eq!(by_operator(&world, &Step::end(&sid(&token)), BEGINNING).status, 204);
    assert_eq!(once().status, 400);
}

#[test]
fn x11_a_session_of_a_thousand_hops_is_ended_by_one_commit_and_one_read() {
    let world = World::new("plain");
    let root = open(&world, ("audience", "assistant"), BEGINNING);
    let id = sid(&root);
    let leaves: Vec<String> =
        (0..1_000).map(|_| issued(&exchange(&world, ASSISTANT, &root, FILES, BEGINNING))).collect();
    let before = world.host.store.contents().len();
    world.host.faults.clear();
    let made = |call| world.host.faults.made(call);
    assert_eq!(by_operator(&world, &Step::end(&id), BEGINNING).status, 204);
    // The operator's request is spent in the zone's partition; the end is the other commit. What is read is
    // the opening, one record, which says in whose hour's list the end appears.
    assert_eq!((made(Call::Commit), made(Call::Read), made(Call::List)), (2, 1, 0));
    assert_eq!(world.host.store.contents().len(), before + 2);
    for leaf in leaves.iter().step_by(97) {
        let answer =
            world.send(post("/oauth/introspect", FILES_API, &[("token", leaf)]), BEGINNING);
        assert_eq!(answer.json().unwrap(), json!({ "active": false }));
    }

    // All of it is read, page by page, each hop once.
    let (mut hops, mut after) = (BTreeSet::new(), String::new());
    for pages in 1.. {
        world.host.faults.clear();
        let shown = told(&by_operator(&world, &Step::session(&id, &after), BEGINNING));
        assert!(made(Call::Read) <= limits::SESSION_READS + 2);
        assert_eq!(shown["state"], "ended", "on every page");
        for hop in shown["hops"].as_array().unwrap() {
            assert!(hops.insert(hop["hop"].as_str().unwrap().to_owned()));
        }
        let Some(next) = shown["next"].as_str() else {
            assert_eq!(pages, 2);
            break;
        };
        after = format!("after={next}");
    }
    assert_eq!(hops.len(), 1_001);
}

/// X15: what is another's is answered like what is not there.
#[test]
fn x15_an_application_sees_and_ends_its_own_alone() {
    let world = World::new("plain");
    let tokens = tree(&world);
    let (id, now) = (sid(&tokens[0]), BEGINNING + 3);
    let path = format!("/sessions/{id}");
    let nowhere = format!("/sessions/{}", "A".repeat(43));
    let get = |path: &str, who| world.send(basic("GET", path, "", who), now);

    let own = told(&get(&path, ASSISTANT));
    assert_eq!(own["hops"].as_array().unwrap().len(), 3, "who opened it sees all of it");
    let part = told(&get(&path, PLANNER));
    let hops = part["hops"].as_array().unwrap();
    assert_eq!(hops.len(), 1, "who takes part sees its part: {part}");
    assert_eq!(hops[0]["actor"], "planner");
    let form = told(&world.send(post(&path, PLANNER, &[]), now));
    assert_eq!(form, part, "asked by a form, the answer is the same");

    let strip = |answer: Answer| {
        let body = answer.json().unwrap();
        let text = body["error_description"].as_str().unwrap();
        (answer.status, body["error"].clone(), text.split(" (request").next().unwrap().to_owned())
    };
    world.take_events();
    let foreign = strip(get(&path, MAIL_API));
    assert_eq!(foreign.0, 404);
    assert_eq!(foreign, strip(get(&nowhere, MAIL_API)));
    let reasons: Vec<_> = world.take_events().into_iter().map(|event| event.reason).collect();
    assert_eq!(reasons, [Some("session_foreign"), Some("session_unknown")]);
    for (who, path) in [(MAIL_API, &path), (PLANNER, &path), (MAIL_API, &nowhere)] {
        let ended = world.send(basic("DELETE", path, "", who), now);
        assert_eq!(strip(ended), foreign, "{who:?}");
        let completed = world.send(post(&format!("{path}/complete"), who, &[]), now);
        assert_eq!(strip(completed), foreign, "{who:?}");
    }
    assert_eq!(told(&get(&path, ASSISTANT))["state"], "active");
    assert_eq!(by_operator(&world, &Step::end(&"A".repeat(43)), now).status, 404);
    assert_eq!(by_operator(&world, &Step::session(&"A".repeat(43), ""), now).status, 404);

    let list = |who| of_sessions(&told(&world.send(basic("GET", "/sessions", "", who), now)));
    assert_eq!(list(ASSISTANT), BTreeSet::from([id]));
    assert_eq!(list(PLANNER), BTreeSet::new(), "it opened none");
    let filtered = world.send(basic("GET", "/sessions", "application=assistant", MAIL_API), now);
    assert_eq!(filtered.status, 400, "an application has no say in whose it lists");
}

#[test]
fn a_request_proves_itself_or_is_refused() {
    let world = World::new("plain");
    let token = open(&world, ("audience", "assistant"), BEGINNING);
    let path = format!("/sessions/{}", sid(&token));
    let bare = |method: &str, path: &str, query: Option<&str>| Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.map(str::to_owned),
        ..Request::default()
    };
    for (method, path) in [("GET", "/sessions"), ("GET", &path), ("DELETE", &path)] {
        let answer = world.send(bare(method, path, None), BEGINNING);
        assert_eq!(answer.status, 401, "{method} {path}");
        assert!(answer.header("www-authenticate").is_some());
        let wrong = world.send(basic(method, path, "", ("assistant", "wrong")), BEGINNING);
        assert_eq!(wrong.status, 401, "{method} {path}");
    }
    // A credential in a query is none, and is not repeated in the record.
    let query = "client_id=assistant&client_secret=assistant-secret";
    assert_eq!(world.send(bare("GET", "/sessions", Some(query)), BEGINNING).status, 401);
    for event in world.take_events() {
        assert!(!format!("{event:?}").contains("assistant-secret"));
    }
    // The operator signs the query too, and each request counts once.
    let signed = operator::request(&world.deployment, &Step::sessions("limit=1"), BEGINNING);
    let other = Request { query: Some("limit=2".to_owned()), ..signed.clone() };
    let none = Request { query: None, ..signed.clone() };
    for altered in [other, none, Request { method: "DELETE".to_owned(), path, ..signed.clone() }] {
        assert_eq!(world.send(altered, BEGINNING).status, 401);
    }
    assert_eq!(world.send(signed.clone(), BEGINNING).status, 200);
    assert_eq!(world.send(signed, BEGINNING).status, 401);
    for query in [
        "limit=0",
        "limit=13",
        "limit=x",
        "since=-1",
        "since=x",
        "after=x",
        "after=%20",
        "users=x",
        "user=a&application=b",
        "limit=1&limit=2",
        "user=%zz",
    ] {
        let answer = by_operator(&world, &Step::sessions(query), BEGINNING);
        assert_eq!(answer.status, 400, "{query}: {:?}", answer.json());
    }
    for (method, path) in [("PUT", "/sessions"), ("GET", "/sessions/x/complete")] {
        let answer = world.send(bare(method, path, None), BEGINNING);
        assert_eq!(answer.status, 405, "{method} {path}");
        assert!(answer.header("allow").unwrap().contains("POST"));
    }
    for path in ["/sessions/", "/sessions/a/b", "/sessions/a%2Fb", "/sessions/..", "/sessionsx"] {
        assert_eq!(world.send(bare("GET", path, None), BEGINNING).status, 404, "{path}");
    }
}

/// An application that proves itself with assertions does so in a form; each counts once.
#[test]
fn a_single_use_proof_asks_once() {
    let world = World::new("plain");
    let assertion = |number: i64| {
        let claims = json!({ "iss": "signer", "sub": "signer", "jti": format!("j-{number}") });
        world.sign(json!({ "from": "signer", "claims": claims }), BEGINNING)
    };
    let form = |path: &str, assertion: &str, more: &[(&str, &str)]| {
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let own = [("client_assertion_type", kind), ("client_assertion", assertion)];
        forms::form(path, &[&own[..], more].concat())
    };
    let grant = [("grant_type", "client_credentials"), ("audience", "signer")];
    let token = issued(&world.send(form("/oauth/token", &assertion(1), &grant), BEGINNING));
    let id = sid(&token);
    let listing = form("/sessions", &assertion(2), &[("limit", "5")]);
    let list = told(&world.send(listing.clone(), BEGINNING));
    assert_eq!(of_sessions(&list), BTreeSet::from([id.clone()]));
    assert_eq!(world.send(listing, BEGINNING).status, 401, "it was shown before");
    let complete = format!("/sessions/{id}/complete");
    assert_eq!(world.send(form(&complete, &assertion(2), &[]), BEGINNING).status, 401);
    assert_eq!(world.send(form(&complete, &assertion(3), &[]), BEGINNING).status, 204);
    assert_eq!(world.send(form("/oauth/token", &assertion(1), &grant), BEGINNING).status, 401);
}

#[test]
fn a_list_is_read_page_by_page() {
    let world = World::new("plain");
    let ids: BTreeSet<String> = (0..30)
        .map(|number| sid(&open(&world, ("resource", FILES), BEGINNING + number / 7)))
        .collect();
    for who in ["operator", "assistant"] {
        let (mut found, mut after) = (BTreeSet::new(), String::new());
        for round in 1.. {
            let query = format!("limit=7{after}");
            let list = told(&match who {
                "operator" => by_operator(&world, &Step::sessions(&query), BEGINNING + 60),
                _ => world.send(basic("GET", "/sessions", &query, ASSISTANT), BEGINNING + 60),
            });
            assert!(list["sessions"].as_array().unwrap().len() <= 7);
            found.extend(of_sessions(&list));
            let Some(next) = list["next"].as_str() else { break };
            assert!(round < 10);
            after = format!("&after={next}");
        }
        assert_eq!(found, ids, "{who}");
    }
}

#[test]
fn what_is_over_is_shown_as_expired_and_what_was_revoked_as_revoked() {
    let world = World::new("plain");
    let tokens = tree(&world);
    let id = sid(&tokens[0]);
    let revoked = post("/oauth/revoke", ASSISTANT, &[("token", &tokens[1])]);
    assert_eq!(world.send(revoked, BEGINNING + 3).status, 200);
    let shown = told(&by_operator(&world, &Step::session(&id, ""), BEGINNING + 4));
    let hop = claims(&tokens[1])["jti"].clone();
    assert_eq!(shown["revoked"], json!([{ "hop": hop, "at": BEGINNING + 3 }]));
    assert_eq!(shown["state"], "active");
    let over = BEGINNING + 3_600;
    assert_eq!(told(&by_operator(&world, &Step::session(&id, ""), over))["state"], "expired");
    assert_eq!(by_operator(&world, &Step::end(&id), over + 100).status, 404, "it is over");
    // Swept, its opening is gone; its hops are kept, and tell who was there.
    let place = session::partition("plain", &id);
    let gone = Record {
        key: session::OPENED.to_owned(),
        value: Vec::new(),
        expires: Timestamp(0),
        version: 0,
    };
    forget(&world, &place, gone);
    let shown = told(&by_operator(&world, &Step::session(&id, ""), over + 9_999));
    assert_eq!((&shown["state"], shown["hops"].as_array().unwrap().len()), (&json!("expired"), 3));
    let list = told(&by_operator(&world, &Step::sessions(""), over + 9_999));
    assert_eq!(list["sessions"][0]["hop"]["subject"], "assistant");
}

/// Removes a record as the sweep does.
fn forget(world: &World, place: &Partition, record: Record) {
    use writ_core::host::{Batch, Write};
    let batch = Batch {
        id: "sweep".to_owned(),
        now: Timestamp(BEGINNING),
        until: None,
        expect: Vec::new(),
        write: vec![Write::Forget(record.key)],
        index: Vec::new(),
    };
    world.host.store.commit(place, batch).unwrap();
}
