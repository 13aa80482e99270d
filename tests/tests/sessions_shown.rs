//! How sessions are shown that are large, or were opened and ended by clocks that differ (X15, X16).
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use serde_json::{Value, json};
use writ_core::operator::Step;
use writ_tests::client::Answer;
use writ_tests::forms::{ASSISTANT, post};
use writ_tests::operator;
use writ_tests::schedule::invariants::issued;
use writ_tests::status::{end, sid};
use writ_tests::world::{BEGINNING, World};

const GRANT: (&str, &str) = ("grant_type", "client_credentials");
const ITSELF: (&str, &str) = ("audience", "assistant");

fn open(world: &World, now: i64) -> String {
    issued(&world.send(post("/oauth/token", ASSISTANT, &[GRANT, ITSELF]), now)).unwrap()
}

fn told(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    answer.json().unwrap()
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
