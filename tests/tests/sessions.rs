//! Sessions over time, as the exchange needs them: what a task's id joins, when a session ends, and
//! what a snapshot that changed in between means (design §2, §4; X11, X21).

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::collections::BTreeSet;

use serde_json::{Value, json};
use writ_core::active::{CutOff, Named, Snapshot};
use writ_core::host::{Batch, Host, Record, Write};
use writ_core::moment::Timestamp;
use writ_core::{publish, session};
use writ_tests::forms::token_request;
use writ_tests::spoil::Spoil;
use writ_tests::status::end;
use writ_tests::world::{BEGINNING, World, block_on, moment};
use writ_tests::zones::{Places, Zone};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const FILES: &str = "https://files.example/api";

/// Sends a token request and answers status and body.
fn ask(world: &World, fields: &[(&str, &str)], now: i64) -> (u16, Value) {
    let answer = world.send(token_request(fields), now);
    (answer.status, answer.json().unwrap())
}

/// What a token says, unverified: the vectors verify.
fn claims(answer: &Value) -> Value {
    let token = answer["access_token"].as_str().unwrap();
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&writ_core::encoding::from_base64url(payload).unwrap()).unwrap()
}

fn assistant(world: &World, fields: &[(&str, &str)], now: i64) -> (u16, Value) {
    let own = [
        ("grant_type", "client_credentials"),
        ("client_id", "assistant"),
        ("client_secret", "assistant-secret"),
    ];
    ask(world, &[&own[..], fields].concat(), now)
}

#[test]
fn a_task_id_joins_the_session_again_until_it_ends_and_then_opens_another_life_of_it() {
    let world = World::new("plain");
    let itself = [("audience", "assistant"), ("task_id", "t-1")];
    let (status, first) = assistant(&world, &itself, BEGINNING);
    assert_eq!(status, 200, "{first}");
    let first = claims(&first);
    assert_eq!(first["exp"], BEGINNING + 3_600);
    let (status, second) = assistant(&world, &itself, BEGINNING + 1);
    assert_eq!(status, 200, "{second}");
    let second = claims(&second);
    assert_eq!(second["sid"], first["sid"]);
    assert_eq!(second["exp"], first["exp"], "the end is that of the opening");
    let files = [("resource", FILES), ("task_id", "t-1")];
    let (status, near) = assistant(&world, &files, BEGINNING + 3_500);
    assert_eq!((status, claims(&near)["exp"].clone()), (200, first["exp"].clone()));
    let (status, after) = assistant(&world, &files, BEGINNING + 3_600);
    assert_eq!(status, 200, "{after}");
    assert_eq!(claims(&after)["exp"], BEGINNING + 3_900);
}

/// An ECDSA signature has a twin that is as valid: both are one proof, and find one session.
#[test]
fn j12_the_twin_of_a_signature_finds_the_same_session() {
    let world = World::new("plain");
    let token = world.sign(json!({ "from": "ci", "claims": { "sub": "builder" } }), BEGINNING);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let mut signature = writ_core::encoding::from_base64url(signature).unwrap();
    Spoil::TwinSignature.signature(&mut signature);
    let twin = format!("{message}.{}", writ_core::encoding::base64url(&signature));
    assert_ne!(twin, token);
    let session = |token: &str, task_id: &str| {
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", token),
            ("resource", FILES),
            ("task_id", task_id),
        ];
        let (status, answer) = ask(&world, &fields, BEGINNING);
        assert_eq!(status, 200, "{answer}");
        claims(&answer)["sid"].clone()
    };
    assert_eq!(session(&token, "t-1"), session(&twin, "t-1"));
    assert_ne!(session(&token, "t-1"), session(&twin, "t-2"));
}

#[test]
fn one_id_on_two_tasks_is_two_sessions() {
    let world = World::new("plain");
    let on = |task: &'static str| {
        let fields = [("audience", "assistant"), ("task", task), ("task_id", "t-1")];
        let (status, answer) = assistant(&world, &fields, BEGINNING);
        assert_eq!(status, 200, "{answer}");
        claims(&answer)["sid"].clone()
    };
    assert_ne!(on("release"), on("triage"));
    assert_eq!(on("triage"), on("triage"));
}

/// A user's token for the first agent; then hops by secret, each presenter owning the last resource.
fn hops(world: &World, route: &[(&str, &str, &str, &str)]) -> (u16, Value) {
    let user = json!({ "from": "idp", "claims": { "sub": "alice", "tenant": "acme", "azp": "assistant" } });
    let mut subject = world.sign(user, BEGINNING);
    let mut kind = "urn:ietf:params:oauth:token-type:id_token";
    let mut last = (0, Value::Null);
    for (who, secret, resource, scope) in route {
        let fields = [
            ("grant_type", EXCHANGE),
            ("client_id", *who),
            ("client_secret", *secret),
            ("subject_token", subject.as_str()),
            ("subject_token_type", kind),
            ("resource", *resource),
            ("scope", *scope),
        ];
        last = ask(world, &fields, BEGINNING);
        let Some(token) = last.1["access_token"].as_str() else { return last };
        subject = token.to_owned();
        kind = "urn:ietf:params:oauth:token-type:access_token";
    }
    last
}

#[test]
fn x01_a_detour_over_another_resource_widens_nothing() {
    let world = World::new("plain");
    let assistant = ("assistant", "assistant-secret", FILES, "read");
    let files = ("files-api", "files-secret", "https://planner.example", "plan");
    let planner = |scope| ("planner", "planner-secret", FILES, scope);
    let (status, answer) = hops(&world, &[assistant, files, planner("read")]);
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = hops(&world, &[assistant, files, planner("write")]);
    assert_eq!((status, answer["error"].as_str()), (400, Some("invalid_scope")));
}

/// The facts of a session are in its partition, and each stops the next hop.
#[test]
fn x11_an_ended_session_and_a_revoked_hop_have_no_further_hops() {
    for fact in ["ended", "revoked"] {
        let world = World::new("plain");
        let (status, opened) = assistant(&world, &[("audience", "assistant")], BEGINNING);
        assert_eq!(status, 200, "{opened}");
        let token = claims(&opened);
        let key = match fact {
            "ended" => session::ENDED.to_owned(),
            _ => format!("{}{}", session::REVOKED, token["jti"].as_str().unwrap()),
        };
        let next = |world: &World| {
            let subject = opened["access_token"].as_str().unwrap();
            let fields = [
                ("grant_type", EXCHANGE),
                ("client_id", "assistant"),
                ("client_secret", "assistant-secret"),
                ("subject_token", subject),
                ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
                ("resource", FILES),
            ];
            ask(world, &fields, BEGINNING + 1)
        };
        assert_eq!(next(&world).0, 200);
        let record =
            Record { key, value: Vec::new(), expires: Timestamp(BEGINNING + 9_000), version: 0 };
        let batch = Batch {
            id: fact.to_owned(),
            now: Timestamp(BEGINNING),
            until: None,
            expect: Vec::new(),
            write: vec![Write::Put(record)],
            index: Vec::new(),
        };
        let partition = session::partition("plain", token["sid"].as_str().unwrap());
        block_on(world.host.commit(&partition, batch)).unwrap();
        world.take_events();
        let (status, answer) = next(&world);
        assert_eq!((status, answer["error"].as_str()), (400, Some("invalid_request")));
        let event = world.take_events().pop().unwrap();
        let reason = if fact == "ended" { "session_ended" } else { "hop_revoked" };
        assert_eq!(event.reason, Some(reason));
    }
}

/// A proof that may be shown again opens longer sessions under a later bundle, and none that was ended.
#[test]
fn x16_no_bundle_brings_an_ended_session_back() {
    let life = 2 * 86_400;
    let mut zone = Zone::load("plain", &Places::in_process());
    zone.document =
        zone.document.replacen("lifetime_secs = 600", &format!("lifetime_secs = {life}"), 1);
    let document = zone.document.replacen("session_secs = 3600", "session_secs = 43200", 1);
    let longer = Zone { document, ..zone.clone() }.compile().unwrap();
    let world = World::with(zone, Places::in_process());
    let expires = BEGINNING + life;
    let claims_of_proof = json!({ "sub": "cron", "exp": expires });
    let proof = world.sign(json!({ "from": "ci", "claims": claims_of_proof }), BEGINNING);
    let show = |task_id: &str, now| {
        let fields = [
            ("grant_type", EXCHANGE),
            ("subject_token", &*proof),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ("resource", FILES),
            ("task_id", task_id),
        ];
        ask(&world, &fields, now)
    };
    let (_, first) = show("t-1", BEGINNING);
    let sid = claims(&first)["sid"].as_str().unwrap().to_owned();
    end(&world, first["access_token"].as_str().unwrap(), BEGINNING + 10);
    let over = BEGINNING + 3_800;
    assert_eq!(show("t-1", over).0, 400, "what the proof opens is over by itself");
    block_on(publish::activate(&*world.host, &longer, &moment(over))).unwrap();
    world.take_events();
    for now in [over + 5, BEGINNING + 43_199] {
        assert_eq!(show("t-1", now).0, 400);
        let event = world.take_events().pop().unwrap();
        assert_eq!((event.reason, event.session.as_ref()), (Some("session_ended"), Some(&sid)));
        let (status, other) = show("t-2", now);
        assert_eq!(status, 200, "its twin, that nobody ended: {other}");
        world.take_events();
    }
    for now in [BEGINNING + 43_200, expires - 1, expires, expires + 30] {
        assert_eq!(show("t-1", now).0, 400, "{now}");
    }
}

/// Changes the zone's snapshot.
fn change(world: &World, now: i64, label: &str, apply: impl Fn(&mut Snapshot)) {
    let moment = moment(now);
    let apply = |snapshot: &mut Snapshot| {
        apply(snapshot);
        Ok(Some(Vec::new()))
    };
    block_on(publish::change(&*world.host, "plain", &moment, label, apply)).unwrap();
}

/// One change of the snapshot cuts a principal's tokens off within its age, by `seq` and no clock;
/// what is decided after it lives.
#[test]
fn x11_a_cut_off_kills_what_was_decided_before_and_nothing_after() {
    let world = World::new("plain");
    let (_, before) = assistant(&world, &[("audience", "assistant")], BEGINNING);
    let use_it = |answer: &Value, now: i64| {
        let subject = answer["access_token"].as_str().unwrap();
        let fields = [
            ("grant_type", EXCHANGE),
            ("client_id", "assistant"),
            ("client_secret", "assistant-secret"),
            ("subject_token", subject),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("resource", FILES),
        ];
        ask(&world, &fields, now).0
    };
    assert_eq!(use_it(&before, BEGINNING), 200);
    change(&world, BEGINNING, "cut", |snapshot| {
        let seq = snapshot.seq.saturating_add(1);
        let cut_off = CutOff { seq, at: Timestamp(BEGINNING) };
        snapshot.cut_offs.insert(Named::application("assistant"), cut_off);
    });
    let later = BEGINNING + 5;
    assert_eq!(use_it(&before, later), 400);
    let (status, after) = assistant(&world, &[("audience", "assistant")], later);
    assert_eq!(status, 200);
    assert_eq!(use_it(&after, later), 200);
    change(&world, later, "off", |snapshot| {
        snapshot.disabled.insert(Named::application("assistant"));
    });
    let (status, answer) = assistant(&world, &[("audience", "assistant")], later + 5);
    assert_eq!((status, answer["error"].as_str()), (401, Some("invalid_client")));
}

/// A client that is denied before it has a session cannot fill the store with places for it.
#[test]
fn denials_without_a_session_are_kept_in_one_place() {
    let world = World::new("plain");
    for second in 0..5 {
        let fields = [("resource", "https://unknown.example")];
        assert_eq!(assistant(&world, &fields, BEGINNING + second).0, 400);
    }
    let places: BTreeSet<String> = world
        .host
        .store
        .contents()
        .into_keys()
        .filter(|(_, key)| key.starts_with(session::DENIED))
        .map(|(place, _)| place.id)
        .collect();
    assert_eq!(places.len(), 1);
}

/// A clock that is set back must not keep a stale snapshot in use.
#[test]
fn a_snapshot_from_the_future_is_read_again() {
    let world = World::new("plain");
    assert_eq!(assistant(&world, &[("resource", FILES)], BEGINNING + 3_600).0, 200);
    change(&world, BEGINNING, "off", |snapshot| {
        snapshot.disabled.insert(Named::application("assistant"));
    });
    assert_eq!(assistant(&world, &[("resource", FILES)], BEGINNING).0, 401);
}
