//! Each call of each request failing in turn: refused, answered too late, its answer lost, contended; once
//! and from then on. A call that comes too late is, to the core, one that was never answered: the host says
//! `Unavailable`, and a commit may have been done.

use std::collections::BTreeSet;

use writ_core::host::Partition;
use writ_core::http::Request;
use writ_core::moment::Moment;
use writ_tests::client::Answer;
use writ_tests::faults::{Call, Effect, When};
use writ_tests::world::{BEGINNING, World, moment};

use crate::requests::{EXCHANGES, OPERATORS, Row, SESSIONS};

#[test]
fn p07_each_call_failing_in_turn_issues_nothing() {
    EXCHANGES.iter().for_each(in_turn);
}

#[test]
fn p07_each_call_failing_in_turn_ends_nothing_by_half_and_tells_nothing() {
    SESSIONS.iter().for_each(in_turn);
}

#[test]
fn p07_each_call_failing_in_turn_changes_no_zone_by_half() {
    OPERATORS.iter().for_each(in_turn);
}

/// Every call that is there can fail somewhere.
#[test]
fn p07_there_is_no_call_that_no_request_makes() {
    let rows = || EXCHANGES.iter().chain(&SESSIONS).chain(&OPERATORS);
    for (index, call) in Call::NEEDED.into_iter().enumerate() {
        assert!(rows().any(|row| row.makes[index] > 0), "{call:?}");
    }
}

fn in_turn(row: &Row) {
    let before = (row.world)();
    let request = (row.request)(&before);
    let moment = moment(BEGINNING);
    let undisturbed = before.apart();
    let answer = undisturbed.handle(request.clone(), moment.clone());
    assert_eq!(answer.status / 100, 2, "{}: {:?}", row.what, answer.json());
    let made = |call| undisturbed.host.faults.made(call);
    for (call, least) in Call::NEEDED.into_iter().zip(row.makes) {
        assert!(made(call) >= least, "{}: {call:?} is made {} times", row.what, made(call));
    }
    let (status, whole) = (answer.status, changes(&before, &undisturbed));
    let trial = Trial { row, before, request, moment, status, whole };
    for call in Call::NEEDED.into_iter().chain(Call::COPIES) {
        for nth in 1..=made(call) {
            for when in [When::Nth(nth), When::From(nth)] {
                effects(call).iter().for_each(|effect| trial.disturb(call, when, effect));
            }
        }
    }
}

const fn effects(call: Call) -> &'static [Effect] {
    match call {
        Call::Commit => &[Effect::Unavailable, Effect::Lost, Effect::Contended],
        _ => &[Effect::Unavailable],
    }
}

/// A request, and what it does where nothing fails.
struct Trial<'a> {
    row: &'a Row,
    before: World,
    request: Request,
    moment: Moment,
    status: u16,
    whole: Changes,
}

impl Trial<'_> {
    fn disturb(&self, call: Call, when: When, effect: &Effect) {
        let what = format!("{}: {call:?}, {when:?}: {effect:?}", self.row.what);
        let world = self.before.apart();
        world.host.faults.order(call, when, effect.clone());
        let answer = world.handle(self.request.clone(), self.moment.clone());
        assert!(self.answers(call, when, effect).contains(&answer.status), "{what}");
        let done = changes(&self.before, &world);
        if answer.status == self.status {
            assert_eq!(done, self.whole, "{what}");
            assert_eq!(world.take_events().len(), 1, "{what}");
            return;
        }
        assert_unavailable(&world, &answer, &what);
        // What comes first may be there alone. Of the rest, all is there or nothing is.
        assert!(done.iter().all(|change| self.whole.contains(change)), "{what}: {done:?}");
        let all = *effect == Effect::Lost && self.counts(&done) == self.counts(&self.whole);
        assert!(all || self.counts(&done).is_empty(), "{what}: {done:?}");
        if done.is_empty() {
            world.host.faults.clear();
            let again = world.send(self.request.clone(), BEGINNING + 1);
            assert_eq!(again.status, self.status, "{what}, and when it is over");
        }
    }

    /// What the answer may be. A single strong call that is not answered is made again: a commit is found to
    /// be done or is done then. Where others are writing, changes of the zone try again.
    fn answers(&self, call: Call, when: When, effect: &Effect) -> Vec<u16> {
        match (call, when, effect) {
            (Call::Publish | Call::Published, _, _) | (Call::Read, When::Nth(_), _) => {
                vec![self.status]
            }
            (Call::Commit, When::Nth(_), Effect::Unavailable | Effect::Lost) => vec![self.status],
            (Call::Commit, When::Nth(_), _) => vec![self.status, 503],
            _ => vec![503],
        }
    }

    fn counts<'a>(&self, changes: &'a Changes) -> Vec<&'a (Partition, String)> {
        let counts = |(_, key): &&(Partition, String)| !self.row.first.contains(&&**key);
        changes.iter().filter(counts).collect()
    }
}

/// The records and entries of the index that are not as they were, by partition and the first part of
/// their keys: what follows it may come from a key that was made.
type Changes = Vec<(Partition, String)>;

fn changes(before: &World, after: &World) -> Changes {
    let first = |key: &str| key.split('/').next().unwrap().to_owned();
    let (old, new) = (before.host.store.contents(), after.host.store.contents());
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let changed = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    let records = changed.map(|(place, key)| (place.clone(), first(key)));
    let known = before.host.store.index().len();
    let entries = after.host.store.index().into_iter().skip(known);
    let entries =
        entries.map(|(place, entry)| (place, format!("{} in {}", first(&entry.key), entry.index)));
    let mut changes: Changes = records.chain(entries).collect();
    changes.sort();
    changes
}

/// A 503 that says when to come again and nothing else, and one event that says the same.
pub(super) fn assert_unavailable(world: &World, answer: &Answer, what: &str) {
    assert_eq!(answer.status, 503, "{what}");
    assert!(answer.header("retry-after").is_some_and(|secs| secs.parse::<u32>().is_ok()), "{what}");
    let body = answer.json().unwrap();
    assert_eq!(body["error"], "temporarily_unavailable", "{what}");
    assert_eq!(body.as_object().unwrap().len(), 2, "{what}: {body}");
    let said = body["error_description"].as_str().unwrap();
    assert!(!said.contains("order"), "{what}: the detail of a fault leaves: {said}");
    let events = world.take_events();
    assert_eq!(events.len(), 1, "{what}");
    assert_eq!(
        (events[0].status, events[0].error),
        (503, Some("temporarily_unavailable")),
        "{what}"
    );
    assert!(events[0].hop.is_none() && events[0].token.is_none(), "{what}");
    assert!(events[0].revoked.is_none(), "{what}");
}
