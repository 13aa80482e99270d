//! Copies of status lists: hours take turns with a place, since the key-value store forgets nothing.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};
use writ_tests::running::Running;
use writ_tests::target::clock;
use writ_tests::trace::claims;

#[test]
fn x13_the_copy_of_another_hour_in_the_place_of_a_list_is_none() {
    let running = Running::with("spin", "plain", &[]);
    let hours = [1, 2].map(|ahead| clock() / 3_600 + ahead);
    let list = |hour: i64| {
        let answer = running.get(&format!("/status/{hour}"));
        assert_eq!(answer.status, 200);
        claims(&String::from_utf8(answer.body).unwrap())["sub"].as_str().unwrap().to_owned()
    };
    let named = |hour: i64| format!("http://127.0.0.1:8787/status/{hour}");
    let place = |hour: i64| format!("plain/status/{}", hour % 744);
    assert_eq!(hours.map(list), hours.map(named));
    let store = Connection::open(running.path("key_value.db")).unwrap();
    let mut found = store.prepare("SELECT key FROM value WHERE key LIKE '%/status/%'").unwrap();
    let places: BTreeSet<String> =
        found.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(places, BTreeSet::from(hours.map(place)));
    // As an hour of last month would have left it.
    let set = "UPDATE value SET last = (SELECT last FROM value WHERE key = ?2) WHERE key = ?1";
    let [one, other] = hours.map(place);
    assert_eq!(store.execute(set, params![one, other]).unwrap(), 1);
    assert_eq!(hours.map(list), hours.map(named));
}
