//! Misbehaviour on request: a JSON file, read again whenever it changes.
//!
//! ```json
//! {"store": {"call": 2, "times": 1, "does": "late", "millis": 6000}, "key_value": "empty", "spoof": true}
//! ```
//!
//! `store` is about a call to SQLite or Redis, counted from 1 since the file last changed, and those after
//! it, `times` in all (1, where it is absent): `refuse` fails before anything is done, `contended` fails as a
//! locked database does, `slow` waits first, `late` waits after it was done, `lost` fails after it was done.
//! How many were made is in the file of that name with `.made` behind it. `key_value` knows nothing
//! (`empty`), answers with the value before the last (`stale`), or fails (`broken`). `spoof` has each
//! request arrive with `spin-*` headers that a client forged, before Spin's own. `short` has a body end
//! before the length that its head says, without an error.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use serde::Deserialize;

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wanted {
    /// What becomes of calls to the store.
    pub store: Option<Calls>,
    /// How the key-value store is.
    pub key_value: KeyValue,
    /// Whether requests come with forged headers.
    pub spoof: bool,
    /// Whether bodies end before the length that their heads say.
    pub short: bool,
}

/// What becomes of calls to the store.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calls {
    /// The first of them, counted from 1.
    pub call: usize,
    /// How many.
    #[serde(default = "one")]
    pub times: usize,
    /// What they do instead.
    pub does: Does,
    /// How long they wait.
    #[serde(default)]
    pub millis: u64,
}

fn one() -> usize {
    1
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Does {
    /// Nothing, and fails.
    Refuse,
    /// Nothing, because others write.
    Contended,
    /// Waits, then what it should.
    Slow,
    /// What it should, then waits.
    Late,
    /// What it should, and says that it failed.
    Lost,
}

/// How the key-value store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyValue {
    /// As it should be.
    #[default]
    Good,
    /// It knows nothing, though it takes everything.
    Empty,
    /// It shows the value before the last.
    Stale,
    /// Every call fails.
    Broken,
}

/// The file of faults, if there is one.
pub struct Faults {
    path: Option<PathBuf>,
    state: Mutex<(String, Wanted, usize)>,
}

impl Faults {
    /// Reads from `path` from now on.
    #[must_use]
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { path, state: Mutex::default() }
    }

    /// What is wanted now.
    ///
    /// # Panics
    ///
    /// On a file that makes no sense.
    pub fn wanted(&self) -> Wanted {
        let mut state = self.state.lock().expect("no panic");
        let text = self.path.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        let text = text.unwrap_or_default();
        if text != state.0 {
            let wanted = match text.trim() {
                "" => Wanted::default(),
                text => serde_json::from_str(text).expect("a file of faults"),
            };
            *state = (text, wanted, 0);
        }
        state.1.clone()
    }

    /// Counts a call to the store and says what becomes of it.
    pub fn call(&self) -> Option<(Does, Duration)> {
        let wanted = self.wanted().store;
        let mut state = self.state.lock().expect("no panic");
        state.2 += 1;
        let made = state.2;
        if let Some(path) = &self.path {
            let _ = std::fs::write(path.with_added_extension("made"), made.to_string());
        }
        let struck = |calls: &Calls| made >= calls.call && made - calls.call < calls.times;
        let calls = wanted.filter(struck)?;
        Some((calls.does, Duration::from_millis(calls.millis)))
    }

    /// Runs a call to the store, as is wanted. `broken` and `busy` are the store's ways to fail.
    pub async fn run<T, E>(
        &self,
        call: impl Future<Output = Result<T, E>>,
        broken: impl Fn() -> E,
        busy: impl Fn() -> E,
    ) -> Result<T, E> {
        match self.call() {
            None => call.await,
            Some((Does::Refuse, _)) => Err(broken()),
            Some((Does::Contended, _)) => Err(busy()),
            Some((Does::Slow, time)) => {
                tokio::time::sleep(time).await;
                call.await
            }
            Some((Does::Late, time)) => {
                let outcome = call.await;
                tokio::time::sleep(time).await;
                outcome
            }
            Some((Does::Lost, _)) => {
                call.await?;
                Err(broken())
            }
        }
    }
}
