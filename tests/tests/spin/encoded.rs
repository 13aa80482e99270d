//! The encoded form of a bundle's policies: this host reads it with every request, and the text where there
//! is none.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use serde_json::{Value, json};
use writ_core::bundle::Bundle;
use writ_tests::forms::once;
use writ_tests::operator;
use writ_tests::running::Running;
use writ_tests::target::clock;
use writ_tests::zones::Zone;

/// The status of an exchange, its error, and the policies that decided it.
type Decided = (u16, Option<String>, Value);

fn decided(running: &Running) -> Decided {
    let token = running.sign(json!({ "from": "jobs", "claims": { "sub": "job" } }), clock());
    let exchange = |event: &Value| event["endpoint"] == "token";
    let before = running.events().into_iter().filter(exchange).count();
    let answer = running.send(&once(&token));
    let error = answer.json().unwrap()["error"].as_str().map(str::to_owned);
    let event = running.await_events(before + 1, exchange).pop().unwrap();
    (answer.status, error, event["policies"].clone())
}

fn allowed() -> Decided {
    (200, None, json!(["main/anyone"]))
}

fn denied() -> Decided {
    (400, Some("access_denied".to_owned()), json!(["main/closed"]))
}

/// A bundle that is active from now on, and its name.
fn activate(running: &Running, zone: &Zone) -> String {
    let bundle = zone.compile().unwrap();
    operator::publish(|request| running.send(request), &running.told, &bundle, clock());
    Bundle::name(&bundle.to_bytes().unwrap())
}

/// The store, from beside.
struct Store(Connection);

impl Store {
    fn of(running: &Running) -> Self {
        Self(Connection::open(running.path("default.db")).unwrap())
    }

    /// The record that names a bundle's encoded form: its key and its value.
    fn record(&self, bundle: &str) -> (String, Vec<u8>) {
        let like = format!("policies/{bundle}/%");
        let found = "SELECT key, value FROM writ WHERE key LIKE ?1";
        self.0.query_row(found, [like], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    }

    fn set(&self, key: &str, value: &[u8]) {
        let set = "UPDATE writ SET value = ?2 WHERE key = ?1";
        assert_eq!(self.0.execute(set, params![key, value]).unwrap(), 1);
    }
}

#[test]
fn requests_read_the_encoded_form_and_the_text_where_there_is_none() {
    let running = Running::with("spin", "plain", &[("WRIT_STORE", "sqlite")]);
    assert_eq!(decided(&running), allowed());
    let closed = Zone {
        policies: BTreeMap::from([(
            "main.cedar".to_owned(),
            "@id(\"closed\")\nforbid (principal, action, resource);\n".to_owned(),
        )]),
        ..Zone::load("plain", &running.deployment.places)
    };
    let closed = activate(&running, &closed);
    assert_eq!(decided(&running), denied());
    let open = activate(&running, &running.zone);
    assert_eq!(decided(&running), allowed());

    // It is read: where the record names the other bundle's form, that one's policies decide.
    let store = Store::of(&running);
    let ((record, right), (_, other)) = (store.record(&open), store.record(&closed));
    store.set(&record, &other);
    assert_eq!(decided(&running), denied());

    // What names no form, or bytes that are none, means the text.
    let nowhere = "0".repeat(64);
    for value in ["", "nonsense", &nowhere, &open] {
        store.set(&record, value.as_bytes());
        assert_eq!(decided(&running), allowed(), "`{value}`");
    }
    // And so does the form of another version of Cedar, which has another key.
    store.set(&record, &other);
    store.0.execute("UPDATE writ SET key = key || '.1' WHERE key = ?1", [&record]).unwrap();
    assert_eq!(decided(&running), allowed());
    store.0.execute("UPDATE writ SET key = ?1 WHERE key = ?1 || '.1'", [&record]).unwrap();
    assert_eq!(decided(&running), denied());
    store.set(&record, &right);
    assert_eq!(decided(&running), allowed());
}
