//! Where published copies lie: the store forgets nothing, so there is an end to the places.

use std::collections::BTreeSet;

use writ_core::limits;

use crate::copies::key;

/// 2027-01-15T08:00:00Z, as an hour.
const HOUR: i64 = 500_000;

fn places(hours: impl Iterator<Item = i64>) -> BTreeSet<String> {
    hours.map(|hour| key("one", &format!("status/{hour}"))).collect()
}

#[test]
fn status_lists_take_the_places_of_a_month_for_ever() {
    let all = places(HOUR..HOUR + 24 * 365 * 10);
    assert_eq!(all.len(), 31 * 24);
    assert_eq!(places(-1_000..0), all);
}

#[test]
fn hours_whose_tokens_can_be_alive_have_a_place_each() {
    let last = HOUR + limits::SESSION_SECS.end() / 3_600 + 2;
    assert_eq!(places(HOUR - 1..last).len(), usize::try_from(last - HOUR + 1).unwrap());
}

#[test]
fn what_is_no_list_has_a_place_of_its_own() {
    for name in ["bundle/00", "keys/500000", "status/x", "status/", "status/1/2", "500000"] {
        assert_eq!(key("one", name), format!("one/{name}"));
    }
    assert_ne!(key("one", "status/1"), key("two", "status/1"));
}
