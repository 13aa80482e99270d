//! S01: what a caller sends in confidence is found nowhere afterwards.
//!
//! Every input carries a word that occurs nowhere else. Then the events, the answers and every
//! byte of the store are searched for it; only the issued token itself may be long and secret.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use serde_json::{Value, json};
use writ_core::http::Request;
use writ_tests::client::Answer;
use writ_tests::forms::token_request;
use writ_tests::issuer::{Token, Usual};
use writ_tests::world::{BEGINNING, World};

/// What no sink may hold: secrets whole, and tokens by each of their three parts.
struct Canaries(Vec<String>);

impl Canaries {
    fn token(&mut self, token: &str) {
        self.0.extend(token.split('.').filter(|part| part.len() > 8).map(str::to_owned));
    }

    fn word(&mut self, word: &str) -> String {
        self.0.push(word.to_owned());
        word.to_owned()
    }

    fn assert_absent(&self, sink: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        for canary in &self.0 {
            assert!(!text.contains(canary.as_str()), "{sink} holds `{canary}`: {text}");
            // Encoded twice over, a secret is still one.
            let encoded = writ_core::encoding::base64url(canary.as_bytes());
            assert!(!text.contains(&encoded), "{sink} holds `{canary}` encoded");
        }
    }
}

fn sign(world: &World, description: Value) -> String {
    let token: Token = serde_json::from_value(description).unwrap();
    token.sign(&world.zone.parties, &Usual::at(BEGINNING, &world.places.zone))
}

fn user(world: &World) -> String {
    let claims = json!({
        "sub": "alice", "tenant": "acme", "azp": "assistant",
        "email": "canary-claim@example.com", "nonce": "canary-nonce",
    });
    sign(world, json!({ "from": "idp", "claims": claims }))
}

/// Sends a request and searches everything that it left behind.
fn search(world: &World, request: Request, canaries: &mut Canaries) -> Answer {
    world.take_events();
    let answer = world.send(request, BEGINNING);
    let mut body = answer.json().unwrap_or_default();
    let tokens = ["access_token", "refresh_token"].map(|name| body.as_object_mut()?.remove(name));
    canaries.assert_absent("the answer", body.to_string().as_bytes());
    for (name, value) in &answer.headers {
        canaries.assert_absent(&format!("header `{name}`"), value.as_bytes());
    }
    for issued in tokens.into_iter().flatten() {
        // What is issued is the caller's, and nobody else's to find.
        canaries.token(issued.as_str().unwrap());
    }
    for event in world.take_events() {
        canaries.assert_absent("the event", serde_json::to_string(&event).unwrap().as_bytes());
        canaries.assert_absent("the event's debug form", format!("{event:?}").as_bytes());
    }
    for ((partition, key), record) in world.host.store.contents() {
        canaries.assert_absent(&format!("a key of {partition:?}"), key.as_bytes());
        canaries.assert_absent(&format!("record `{key}`"), &record.value);
    }
    for (_, entry) in world.host.store.index() {
        canaries.assert_absent("the index", format!("{entry:?}").as_bytes());
    }
    for outbound in world.host.web.asked() {
        canaries.assert_absent("a request of ours", outbound.url.as_bytes());
    }
    answer
}

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[test]
fn s01_a_successful_exchange_leaves_no_secret() {
    let world = World::new("plain");
    let mut canaries = Canaries(Vec::new());
    let secret = canaries.word("assistant-secret");
    let user = user(&world);
    canaries.token(&user);
    canaries.word("canary-claim");
    canaries.word("canary-nonce");
    let request = token_request(&[
        ("grant_type", EXCHANGE),
        ("subject_token", &user),
        ("subject_token_type", ID_TOKEN),
        ("client_id", "assistant"),
        ("client_secret", &secret),
        ("resource", "https://files.example/api"),
        ("unknown", &canaries.word("canary-unknown-parameter")),
    ]);
    assert_eq!(search(&world, request, &mut canaries).status, 200);
}

#[test]
fn s01_a_session_of_hops_leaves_no_secret() {
    let world = World::new("plain");
    let mut canaries = Canaries(Vec::new());
    let job =
        sign(&world, json!({ "from": "jobs", "claims": { "sub": "job", "canary": "canary-job" } }));
    canaries.token(&job);
    let exchange = token_request(&[
        ("grant_type", EXCHANGE),
        ("subject_token", &job),
        ("subject_token_type", JWT),
        ("audience", "job"),
    ]);
    let answer = search(&world, exchange.clone(), &mut canaries);
    assert_eq!(answer.status, 200);
    // The replay is denied and recorded; the record holds no token either.
    assert_eq!(search(&world, exchange, &mut canaries).status, 400);
}

/// Neither a refresh token that is used nor one that is used again is found anywhere.
#[test]
fn s01_a_refresh_leaves_no_secret() {
    let world = World::new("plain");
    let mut canaries = Canaries(Vec::new());
    let secret = canaries.word("assistant-secret");
    let claims = json!({
        "sub": "alice", "tenant": "acme", "azp": "assistant", "exp": BEGINNING + 1_000,
    });
    let user = sign(&world, json!({ "from": "idp", "claims": claims }));
    canaries.token(&user);
    let client = [("client_id", "assistant"), ("client_secret", &*secret)];
    let shown = [
        ("grant_type", EXCHANGE),
        ("subject_token", &*user),
        ("subject_token_type", ID_TOKEN),
        ("resource", "https://files.example/api"),
    ];
    let opened = search(&world, token_request(&[&client[..], &shown].concat()), &mut canaries);
    let mut tokens = vec![refresh_token(&opened)];
    for (shown, status) in [(0, 200), (0, 200), (1, 200), (0, 400), (3, 400)] {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", &*tokens[shown].clone())];
        let answer = search(&world, token_request(&[&client[..], &fields].concat()), &mut canaries);
        assert_eq!(answer.status, status);
        tokens.push(refresh_token(&answer));
    }
    let revoke = token_request(&[&client[..], &[("token", &*tokens[3])]].concat());
    let revoke = Request { path: "/oauth/revoke".to_owned(), ..revoke };
    assert_eq!(search(&world, revoke, &mut canaries).status, 200);
}

fn refresh_token(answer: &Answer) -> String {
    let body = answer.json().unwrap();
    body.get("refresh_token").and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[test]
fn s01_refusals_leave_no_secret() {
    let world = World::new("plain");
    let mut canaries = Canaries(Vec::new());
    let user = user(&world);
    canaries.token(&user);
    let wrong = canaries.word("canary-wrong-secret");
    let garbage = canaries.word("canary-garbage-token");
    let forged = sign(
        &world,
        json!({ "from": "idp", "signer": "attacker", "claims": { "sub": "mallory" } }),
    );
    canaries.token(&forged);
    let basic = |pair: &str| {
        use base64ct::{Base64, Encoding};
        format!("Basic {}", Base64::encode_string(pair.as_bytes()))
    };
    let with_header = |header: String, fields: &[(&str, &str)]| {
        let mut request = token_request(fields);
        request.headers.push(("authorization".to_owned(), header));
        request
    };
    let resource = ("resource", "https://files.example/api");
    let exchange = [("grant_type", EXCHANGE), ("subject_token_type", ID_TOKEN), resource];
    let requests = [
        with_header(
            basic(&format!("assistant:{wrong}")),
            &[("grant_type", "client_credentials"), resource],
        ),
        // A secret where the id belongs, and no colon.
        with_header(basic(&wrong), &[("grant_type", "client_credentials"), resource]),
        with_header(
            basic(&format!("{wrong}:x")),
            &[("grant_type", "client_credentials"), resource],
        ),
        with_header(format!("Bearer {user}"), &[("grant_type", "client_credentials"), resource]),
        token_request(&[
            ("grant_type", "client_credentials"),
            ("client_id", "assistant"),
            ("client_secret", &wrong),
            resource,
        ]),
        token_request(&[exchange[0], exchange[1], resource, ("subject_token", &garbage)]),
        token_request(&[exchange[0], exchange[1], resource, ("subject_token", &forged)]),
        token_request(&[exchange[0], exchange[1], resource, ("subject_token", &user)]),
        token_request(&[
            exchange[0],
            exchange[1],
            resource,
            ("subject_token", &user),
            ("client_assertion_type", BEARER),
            ("client_assertion", &garbage),
        ]),
        // A token where another parameter belongs.
        token_request(&[
            exchange[0],
            resource,
            ("subject_token", "x"),
            ("subject_token_type", &user),
        ]),
        token_request(&[("grant_type", &*user), resource]),
        token_request(&[("grant_type", "client_credentials"), ("resource", &user)]),
        token_request(&[("grant_type", "client_credentials"), resource, ("scope", &user)]),
        token_request(&[("grant_type", "client_credentials"), resource, ("task", &user)]),
        token_request(&[("grant_type", "client_credentials"), resource, ("client_id", &user)]),
        token_request(&[
            ("grant_type", "client_credentials"),
            resource,
            (&user, "x"),
            (&user, "y"),
        ]),
    ];
    for (index, mut request) in requests.into_iter().enumerate() {
        let answer = search(&world, request.clone(), &mut canaries);
        assert!(answer.status >= 400, "request {index}");
        // The same in the query, and at a path that does not exist.
        request.query = Some(format!("client_secret={wrong}&subject_token={user}"));
        search(&world, request.clone(), &mut canaries);
        request.path = format!("/oauth/token/{wrong}");
        search(&world, request, &mut canaries);
    }
}
