//! Every call of the port failing in turn: a fault of ours is a 503 and never a token (design §2,
//! style rule 16).
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a failed test panics")]

mod in_turn;
mod requests;

use serde_json::json;
use writ_core::http::Request;
use writ_tests::faults::{Call, Effect, When};
use writ_tests::forms::token_request;
use writ_tests::store::Contents;
use writ_tests::world::{BEGINNING, World};

use crate::in_turn::assert_unavailable;
use crate::requests::{job, token, with_proof};

fn hops(contents: &Contents) -> usize {
    contents.keys().filter(|(_, key)| key.starts_with("hop/")).count()
}

/// A commit that was done and whose answer was lost is not a replay: the same batch is shown again.
#[test]
fn j21_a_lost_answer_is_not_a_replay() {
    for (build, commits) in [(job as fn(&World) -> Request, 1), (with_proof, 2)] {
        for nth in 1..=commits {
            let world = World::new("plain");
            let request = build(&world);
            world.host.faults.order(Call::Commit, When::Nth(nth), Effect::Lost);
            let answer = world.send(request.clone(), BEGINNING);
            assert_eq!(answer.status, 200, "lost answer {nth}: {:?}", world.take_events());
            assert_eq!(hops(&world.host.store.contents()), 1);
            let again = world.send(request, BEGINNING);
            assert_ne!(again.status, 200, "the proof was used twice");
            assert_eq!(hops(&world.host.store.contents()), 1);
        }
    }
}

/// Where every answer is lost the outcome is unknown: no token leaves, and none can be had for the
/// same proof.
#[test]
fn an_outcome_that_stays_unknown_issues_nothing() {
    let world = World::new("plain");
    let request = job(&world);
    world.host.faults.order(Call::Commit, When::Always, Effect::Lost);
    world.take_events();
    assert_unavailable(&world, &world.send(request.clone(), BEGINNING), "lost for good");
    world.host.faults.clear();
    let again = world.send(request, BEGINNING);
    assert_eq!(again.status, 400);
    assert_eq!(world.take_events()[0].reason, Some("replayed"));
}

/// The store's word is final: a refused commit is a refused request, and the signed token is
/// dropped.
#[test]
fn x12_a_refused_commit_drops_the_token() {
    for (key, reason) in [
        ("opened", "replayed"),
        ("ended", "session_ended"),
        ("spent", "replayed"),
        ("revoked/x", "hop_revoked"),
    ] {
        let world = World::new("plain");
        let request = job(&world);
        world.host.faults.order(Call::Commit, When::Nth(1), Effect::Refused(key.to_owned()));
        world.take_events();
        let answer = world.send(request, BEGINNING);
        assert_eq!(answer.status, 400, "{key}");
        assert!(answer.json().unwrap().get("access_token").is_none(), "{key}");
        let events = world.take_events();
        assert_eq!(events[0].reason, Some(reason), "{key}");
        assert!(events[0].hop.is_none() && events[0].token.is_none(), "{key}");
        assert_eq!(hops(&world.host.store.contents()), 0, "{key}");
    }
}

/// A denial that cannot be recorded stands, and says so.
#[test]
fn a_denial_stands_without_its_record() {
    let world = World::new("plain");
    let cron = token(&world, "ci", &json!({ "sub": "cron" }));
    let request = token_request(&[
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("subject_token", &cron),
        ("resource", "https://people.example"),
    ]);
    for (fault, unrecorded) in
        [(None, false), (Some(Effect::Unavailable), true), (Some(Effect::Contended), true)]
    {
        world.host.faults.clear();
        if let Some(effect) = fault {
            world.host.faults.order(Call::Commit, When::Always, effect);
        }
        world.take_events();
        let answer = world.send(request.clone(), BEGINNING);
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json().unwrap()["error"], "access_denied");
        assert_eq!(world.take_events()[0].unrecorded, unrecorded);
    }
}

/// A snapshot is used for two seconds, for three more while the store is silent, and then no more.
#[test]
fn p07_a_snapshot_ages_in_steps() {
    let world = World::new("plain");
    let ask = |now| world.send(job(&world), now).status;
    assert_eq!(ask(BEGINNING), 200);
    world.host.faults.order(Call::Read, When::Always, Effect::Unavailable);
    assert_eq!(ask(BEGINNING + 1), 200, "fresh");
    assert_eq!(ask(BEGINNING + 4), 200, "stale, but young enough");
    assert_eq!(ask(BEGINNING + 5), 503, "too old");
    world.host.faults.clear();
    assert_eq!(ask(BEGINNING + 6), 200, "read again");
}

/// Damage to what is stored is never a permission.
#[test]
fn p07_a_damaged_bundle_or_snapshot_denies() {
    for damaged in ["snapshot", "bundle/"] {
        let world = World::new("plain");
        let contents = world.host.store.contents();
        for ((partition, key), record) in
            contents.iter().filter(|((_, key), _)| key.starts_with(damaged))
        {
            let mut record = record.clone();
            assert!(!record.value.is_empty(), "{key}");
            // The snapshot has no hash of its own to betray a turned bit, but it has a form.
            let middle = record.value.len() / 2;
            if damaged == "snapshot" {
                record.value.truncate(middle);
            } else {
                record.value[middle] ^= 1;
            }
            world.host.store.plant(partition, record);
        }
        let request = job(&world);
        world.take_events();
        assert_unavailable(&world, &world.send(request, BEGINNING), damaged);
        assert_eq!(hops(&world.host.store.contents()), 0);
    }
}
