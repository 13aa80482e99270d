//! What befalls a service: it is killed, told to stop, started twice, started with mistakes; its
//! clients hang up, its disk is full, its store is gone. Each test runs the real binary, and then
//! holds its answers to its store and its events: no token without its record, none from a token
//! that was spent, and nothing by half.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test"
)]

mod disk;
mod end;
mod hangup;
mod starts;

use writ_tests::deployment::{Process, Site};
use writ_tests::load::{Ask, Heard, KINDS, ask};
use writ_tests::records::Records;

/// Requests of every kind, in turn.
fn asks(site: &Site, count: usize, now: i64) -> Vec<Ask> {
    (0..count).map(|number| ask(site, number, now)).collect()
}

/// Makes one request of each kind, so that everything that is fetched has been.
fn warm_up(site: &Site, process: &Process) {
    let now = process.now();
    for kind in 0..KINDS {
        let answer = process.send(&ask(site, kind, now).request);
        assert_eq!(answer.status, 200, "{kind}: {:?}", answer.json());
    }
}

/// What the store holds, after a look at all of it.
fn records(site: &Site) -> Records {
    let records = Records::read(&site.path("data/writ.db"));
    assert_eq!(records.halves(), Vec::<String>::new());
    records
}

/// Every token that a client has is in the record.
fn assert_recorded(heard: &[Heard], records: &Records) {
    for answer in heard.iter().filter_map(|heard| heard.answer.as_ref()) {
        assert_eq!(answer.status, 200, "{:?}", answer.json());
    }
    for (session, hop) in heard.iter().filter_map(Heard::issued) {
        let key = (session, format!("hop/{hop}"));
        assert!(records.records.contains_key(&key), "a token was issued and not recorded: {key:?}");
    }
    for proof in heard.iter().filter_map(|heard| heard.ask.proof.as_deref()) {
        assert!(records.hops_of(proof) <= 1, "{proof} was used twice");
    }
}

/// Shows every single-use token again: what was answered is refused, and what was not is accepted
/// once or was spent.
fn replay(heard: &[Heard], process: &Process) {
    for heard in heard.iter().filter(|heard| heard.ask.proof.is_some()) {
        let used = heard.issued().is_some();
        for again in 0..2 {
            let answer = process.send(&heard.ask.request);
            if used || again > 0 {
                assert!([400, 401].contains(&answer.status), "a replay: {:?}", answer.json());
            } else {
                assert!([200, 400, 401].contains(&answer.status), "{:?}", answer.json());
            }
        }
    }
}

/// Every refusal of a round of [`replay`] has this reason in the events.
fn assert_replayed(events: &[serde_json::Value]) {
    for event in events.iter().filter(|event| event["outcome"] != "allow") {
        if event["endpoint"] == "token" {
            assert_eq!(event["reason"], "replayed", "{event}");
        }
    }
}
