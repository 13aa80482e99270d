//! Where published copies lie in Spin's key-value store. It forgets nothing by itself, so what would have a
//! new name every hour must not have a new place.

use writ_core::limits;

/// The key of the copy that is published under `name`. Status lists share the places of a month, so a
/// place may hold the copy of another hour. That one does not open: its seal is over its name.
pub fn key(zone: &str, name: &str) -> String {
    let hour = name.strip_prefix("status/").and_then(|hour| hour.parse::<i64>().ok());
    match hour {
        Some(hour) => format!("{zone}/status/{}", hour.rem_euclid(HOURS)),
        // Of these there are as many as there were bundles, and sources of keys in them.
        None => format!("{zone}/{name}"),
    }
}

/// No two hours whose tokens can be alive have one place: the longest session's, and a day more.
const HOURS: i64 = *limits::SESSION_SECS.end() / 3_600 + 24;
