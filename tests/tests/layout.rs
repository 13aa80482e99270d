//! `docs/storage.md` lists every record, index and published name, and nothing that is not there: this
//! makes the core write everything that it can write, and compares.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a failed test panics"
)]

use std::collections::BTreeSet;

use serde_json::{Value, json};
use writ_core::host::Kind;
use writ_core::jwt::Unverified;
use writ_core::keys::Rotation;
use writ_core::operator::Step;
use writ_tests::forms::form;
use writ_tests::operator::request;
use writ_tests::status::paths;
use writ_tests::target::get;
use writ_tests::world::{BEGINNING, World};

const DOCUMENT: &str = include_str!("../../docs/storage.md");

#[test]
fn every_record_index_and_published_name_is_documented() {
    let world = World::new("plain");
    write_everything(&world);
    let keys = |kind: Kind| -> BTreeSet<String> {
        let contents = world.host.store.contents();
        let of_kind = contents.keys().filter(|(partition, _)| partition.kind == kind);
        of_kind.map(|(_, key)| shape(key)).collect()
    };
    let mut zone = keys(Kind::Zone);
    // Written by Spin alone, whose core is built with it.
    zone.insert("policies".to_owned());
    assert_eq!(zone, documented("## The zone's partition"), "the zone's records");
    assert_eq!(keys(Kind::Session), documented("| key | value | expires |"), "sessions' records");
    let index: BTreeSet<String> =
        world.host.store.index().into_iter().map(|(_, entry)| entry.index.to_owned()).collect();
    assert_eq!(index, documented("**Index entries**"), "indexes");
    let copies: BTreeSet<String> =
        world.host.copies.lock().unwrap().keys().map(|(_, name)| shape(name)).collect();
    assert_eq!(copies, documented("## Published copies"), "published copies");
}

/// A key without what differs from record to record.
fn shape(key: &str) -> String {
    key.split('/').next().unwrap().to_owned()
}

/// The first column of the first table after `heading`, as shapes.
fn documented(heading: &str) -> BTreeSet<String> {
    let (_, after) = DOCUMENT.split_once(heading).expect(heading);
    let rows = after.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    rows.take_while(|line| line.starts_with('|'))
        .map(|row| row.split('`').nth(1).unwrap())
        .map(shape)
        .collect()
}

fn write_everything(world: &World) {
    let ask = |path: &str, fields: &[(&str, &str)]| {
        let request = form(path, fields);
        world.send(request, BEGINNING)
    };
    let assistant = [("client_id", "assistant"), ("client_secret", "assistant-secret")];
    let grant = ("grant_type", "client_credentials");
    let own = ask("/oauth/token", &[&assistant[..], &[grant, ("audience", "assistant")]].concat());
    assert_eq!(own.status, 200);
    let denied = ask(
        "/oauth/token",
        &[&assistant[..], &[grant, ("resource", "https://x.example")]].concat(),
    );
    assert_eq!(denied.status, 400);
    let token = own.json().unwrap()["access_token"].as_str().unwrap().to_owned();
    let session = Unverified::parse(&token).unwrap();
    let sid = session.unverified_claim("sid").and_then(Value::as_str).unwrap().to_owned();
    assert_eq!(ask("/oauth/revoke", &[&assistant[..], &[("token", &token)]].concat()).status, 200);
    // A person's session that can be refreshed.
    let claims = json!({
        "sub": "user-1", "tenant": "acme", "azp": "assistant", "exp": BEGINNING + 1_000,
    });
    let user = world.sign(json!({ "from": "idp", "claims": claims }), BEGINNING);
    let shown = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", &user),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ("resource", "https://files.example/api"),
    ];
    let opened = ask("/oauth/token", &[&assistant[..], &shown].concat());
    assert!(opened.json().unwrap()["refresh_token"].is_string());
    // A platform's single-use proof of the client, beside a person's token.
    let job = world.sign(json!({ "from": "jobs", "claims": { "sub": "assistant" } }), BEGINNING);
    let claims = json!({ "sub": "user-1", "tenant": "acme", "azp": "assistant" });
    let user = world.sign(json!({ "from": "idp", "claims": claims }), BEGINNING);
    let beside = ask(
        "/oauth/token",
        &[
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", &user),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &job),
            ("resource", "https://files.example/api"),
        ],
    );
    assert_eq!(beside.status, 200, "{:?}", beside.json());
    let ended = request(&world.deployment, &Step::end(&sid), BEGINNING);
    assert_eq!(world.send(ended, BEGINNING).status, 204);
    let list = world.send(get(&paths(&token).0), BEGINNING);
    assert_eq!(list.status, 200);
    for step in [Step::zone(), Step::rotation(Rotation::Planned)] {
        let answer = world.send(request(&world.deployment, &step, BEGINNING), BEGINNING);
        assert_eq!(answer.status, 200);
    }
}
