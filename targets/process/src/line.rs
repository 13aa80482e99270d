//! The line of a request's event: one JSON object, with what only the target knows.

use std::time::Duration;

use serde::Serialize;
use writ_core::event::Event;

/// The event of a request that took `latency` on `target`, as a line with its end. `None` where it
/// has no JSON form.
#[must_use]
pub fn of(event: &Event, target: &'static str, latency: Duration) -> Option<Vec<u8>> {
    let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    let mut line = Vec::with_capacity(LINE);
    serde_json::to_writer(&mut line, &Line { event, target, latency_us }).ok()?;
    line.push(b'\n');
    Some(line)
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    event: &'a Event,
    target: &'static str,
    latency_us: u64,
}

/// Bytes that an ordinary line does not exceed.
const LINE: usize = 1_024;
