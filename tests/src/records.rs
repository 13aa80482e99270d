//! What a native store holds, read beside the service and not through it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// The sessions of a store: `writ.db` as it was at one moment.
pub struct Records {
    /// Every record of a session, by session and key.
    pub records: BTreeMap<(String, String), Vec<u8>>,
    /// Every index entry of a session: its session and key, its index and what it is under.
    pub entries: BTreeSet<(String, String, String, String)>,
    /// How many entries there are, the same ones counted again.
    pub entry_count: usize,
}

impl Records {
    /// Reads a database file without changing it.
    ///
    /// # Panics
    ///
    /// Where it cannot be read or is not as SQLite wants it.
    pub fn read(path: &Path) -> Self {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .expect("the store opens");
        connection.busy_timeout(Duration::from_secs(10)).expect("a time to wait");
        // One transaction, so that both tables are of one moment.
        connection.execute_batch("BEGIN").expect("a transaction");
        let sound: String = connection
            .pragma_query_value(None, "integrity_check", |row| row.get(0))
            .expect("an answer");
        assert_eq!(sound, "ok");
        let mut all = connection
            .prepare("SELECT id, key, value FROM record WHERE kind = 'session'")
            .expect("records");
        let records = all
            .query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))
            .expect("records")
            .collect::<rusqlite::Result<_>>()
            .expect("records");
        let mut all = connection
            .prepare("SELECT id, key, name, value FROM entry WHERE kind = 'session'")
            .expect("entries");
        let entries: Vec<_> = all
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .expect("entries")
            .collect::<rusqlite::Result<_>>()
            .expect("entries");
        Self { records, entry_count: entries.len(), entries: entries.into_iter().collect() }
    }

    /// The hops, each with its session and its event.
    pub fn hops(&self) -> impl Iterator<Item = (&str, &str, Value)> {
        self.records.iter().filter_map(|((session, key), value)| {
            let hop = key.strip_prefix("hop/")?;
            Some((session.as_str(), hop, serde_json::from_slice(value).expect("an event")))
        })
    }

    /// How many hops rest on the token whose signing input has this digest.
    pub fn hops_of(&self, proof: &str) -> usize {
        let shows = |event: &Value| {
            event["proofs"].as_array().is_some_and(|proofs| proofs.iter().any(|p| p == proof))
        };
        self.hops().filter(|(_, _, event)| shows(event)).count()
    }

    /// What is there by half: every exchange is its hop, its session's opening and its entries.
    pub fn halves(&self) -> Vec<String> {
        let mut found = Vec::new();
        let has = |session: &str, key: &str| {
            self.records.contains_key(&(session.to_owned(), key.to_owned()))
        };
        let mut expected = BTreeSet::new();
        for (session, hop, event) in self.hops() {
            if !has(session, "opened") {
                found.push(format!("session {session} has hop {hop} and was never opened"));
            }
            if event["session"] != session || event["hop"] != hop || event["outcome"] != "allow" {
                found.push(format!("hop {hop} of session {session} is of another: {event}"));
            }
            for (index, name) in index_of(&event) {
                expected.insert((session.to_owned(), format!("hop/{hop}"), index, name));
            }
        }
        for (session, key) in self.records.keys() {
            let mut hops = self.records.range((session.clone(), "hop/".to_owned())..);
            let next =
                hops.next().map(|((other, key), _)| other == session && key.starts_with("hop/"));
            if key == "opened" && next != Some(true) {
                found.push(format!("session {session} was opened and has no hop"));
            }
        }
        let entries = self.entries.iter().filter(|(_, key, _, _)| key.starts_with("hop/"));
        let entries: BTreeSet<_> = entries.cloned().collect();
        found.extend(expected.difference(&entries).map(|entry| format!("no entry {entry:?}")));
        found.extend(entries.difference(&expected).map(|entry| format!("an entry {entry:?}")));
        if self.entry_count != self.entries.len() {
            found.push("an entry is there twice".to_owned());
        }
        found
    }
}

/// Where a hop must be found: by zone, resource, subject and everyone who acted.
fn index_of(event: &Value) -> BTreeSet<(String, String)> {
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let subject = text("subject");
    let kind = if subject.starts_with("user:") { "user" } else { "application" };
    let chain = event["chain"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let acted =
        chain.filter(|id| *id != subject).map(|id| ("application".to_owned(), id.to_owned()));
    [
        ("record".to_owned(), text("zone")),
        ("resource".to_owned(), text("resource")),
        (kind.to_owned(), subject.clone()),
    ]
    .into_iter()
    .chain(acted)
    .collect()
}
