//! What Spin lends the core, for one request: an instance lives no longer.

use std::cell::OnceCell;
use std::io::Write as _;
use std::time::{Duration, Instant};

use serde::Serialize;
use spin_sdk::key_value;
#[cfg(feature = "sqlite")]
use spin_sdk::sqlite as database;
use spin_sdk::wit::v2::redis as server;
use writ_core::event::Event;
use writ_core::host::{
    Batch, Commit, Host, Listing, NewKey, Outside, Page, Partition, Range, Record, Unavailable,
};
use writ_core::http::{Inbound, Outbound};
use writ_core::jwk::{Algorithm, PublicKey};
use writ_core::memory::Memory;
use writ_core::moment::Timestamp;
use writ_core::{keys, limits};

use crate::crypto::{self, WrappingKey};
use crate::redis::{self, Answer};
use crate::settings::{Settings, Store};
#[cfg(feature = "sqlite")]
use crate::sqlite::{self, Execute, Fault, Row, Value};
use crate::{component, copies, fetch};

/// The host of one request.
pub(crate) struct Spin {
    store: Store,
    opened: OnceCell<Opened>,
    wrapping: WrappingKey,
    memory: Memory,
    began: Instant,
}

enum Opened {
    #[cfg(feature = "sqlite")]
    Sqlite(database::Connection),
    Redis(server::Connection, redis::Durable),
}

impl Spin {
    /// The host of a request that began at `began`. Its store is opened when it is first asked, within
    /// the time of that call: what needs none is answered without.
    pub(crate) fn new(settings: Settings, began: Instant) -> Self {
        Self {
            store: settings.store,
            opened: OnceCell::new(),
            wrapping: settings.wrapping,
            memory: Memory::default(),
            began,
        }
    }

    fn store(&self) -> Result<&Opened, Unavailable> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let opened = open(&self.store).map_err(Unavailable)?;
        Ok(self.opened.get_or_init(|| opened))
    }
}

fn open(store: &Store) -> Result<Opened, String> {
    match store {
        #[cfg(feature = "sqlite")]
        Store::Sqlite => {
            database::Connection::open_default().map(Opened::Sqlite).map_err(|error| {
                format!(
                    "this platform offers no SQLite ({error}): name a Redis in the variable \
                     `redis_url`"
                )
            })
        }
        #[cfg(not(feature = "sqlite"))]
        Store::Sqlite => Err("this component was built without SQLite".to_owned()),
        Store::Redis { url, durable } => server::Connection::open(url)
            .map(|connection| Opened::Redis(connection, *durable))
            // The address may hold a password, and the server's words the address: neither is repeated.
            .map_err(|error| {
                let why = match error {
                    server::Error::InvalidAddress => "its address is none that may be reached",
                    _ => "it does not answer",
                };
                format!("the Redis of the variable `redis_url` cannot be opened: {why}")
            }),
    }
}

impl Outside for Spin {
    async fn fetch(&self, request: Outbound) -> Result<Inbound, Unavailable> {
        fetch::fetch(&request)
    }

    // A copy carries its own end, under its seal: Spin's key-value store has none.
    async fn publish(
        &self,
        zone: &str,
        name: &str,
        bytes: &[u8],
        expires: Timestamp,
    ) -> Result<(), Unavailable> {
        let value = [expires.0.to_be_bytes().as_slice(), bytes].concat();
        let value = self.wrapping.copies().seal(zone, name, &value);
        let store = key_value::Store::open_default();
        store
            .and_then(|store| store.set(&copies::key(zone, name), &value))
            .map_err(|error| Unavailable(format!("the key-value store: {error}")))
    }

    async fn published(&self, zone: &str, name: &str) -> Result<Option<Vec<u8>>, Unavailable> {
        // No copy and no store of copies are the same to whoever asks.
        let store = key_value::Store::open_default();
        let found = store.and_then(|store| store.get(&copies::key(zone, name)));
        let value = found.ok().flatten();
        let value = value.and_then(|value| self.wrapping.copies().open(zone, name, value));
        Ok(value.and_then(|value| {
            let (expires, bytes) = value.split_first_chunk::<8>()?;
            let live = i64::from_be_bytes(*expires) > component::now().0;
            live.then(|| bytes.to_vec())
        }))
    }

    async fn verify(
        &self,
        algorithm: Algorithm,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, Unavailable> {
        Ok(crypto::verify(algorithm, key, message, signature))
    }

    async fn pause(&self, millis: u32) {
        std::thread::sleep(Duration::from_millis(millis.into()));
    }

    fn memory(&self) -> &Memory {
        &self.memory
    }
}

impl Host for Spin {
    async fn commit(&self, partition: &Partition, batch: Batch) -> Result<Commit, Unavailable> {
        in_time(|| match self.store()? {
            #[cfg(feature = "sqlite")]
            Opened::Sqlite(connection) => {
                let commit = sqlite::commit(connection, partition, &batch)?;
                // Batch ids are random, so about one in sixty-four pays for all.
                if commit == Commit::Done && batch.id.starts_with('A') {
                    let _ = sqlite::sweep(connection, batch.now);
                }
                Ok(commit)
            }
            Opened::Redis(connection, durable) => {
                redis::commit(connection, *durable, partition, &batch)
            }
        })
    }

    async fn read(
        &self,
        partition: &Partition,
        range: Range<'_>,
    ) -> Result<Vec<Record>, Unavailable> {
        in_time(|| match self.store()? {
            #[cfg(feature = "sqlite")]
            Opened::Sqlite(connection) => sqlite::read(connection, partition, range),
            Opened::Redis(connection, _) => redis::read(connection, partition, range),
        })
    }

    async fn list(&self, zone: &str, listing: &Listing) -> Result<Page, Unavailable> {
        in_time(|| match self.store()? {
            #[cfg(feature = "sqlite")]
            Opened::Sqlite(connection) => sqlite::list(connection, zone, listing),
            Opened::Redis(connection, _) => redis::list(connection, zone, listing),
        })
    }

    async fn sign(&self, zone: &str, kid: &str, message: &[u8]) -> Result<Vec<u8>, Unavailable> {
        let (algorithm, wrapped) = keys::wrapped(self, zone, kid).await?;
        self.wrapping.open(zone, kid, algorithm, &wrapped)?.sign(message)
    }

    async fn generate(&self, zone: &str, algorithm: Algorithm) -> Result<NewKey, Unavailable> {
        self.wrapping.generate(zone, algorithm)
    }

    fn record(&self, event: &Event) {
        let latency_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let Ok(mut line) = serde_json::to_vec(&Line { event, target: "spin", latency_us }) {
            line.push(b'\n');
            // Spin keeps standard output as the component's log.
            let _ = std::io::stdout().lock().write_all(&line);
        }
    }
}

/// Runs a call to the store. A guest cannot give up a call, so one that took too long fails when it
/// comes back: what it says may be out of date.
fn in_time<T>(call: impl FnOnce() -> Result<T, Unavailable>) -> Result<T, Unavailable> {
    let began = component::instant();
    let outcome = call()?;
    if began.elapsed() > Duration::from_secs(limits::STORE_SECS) {
        return Err(Unavailable("the store answered too late".to_owned()));
    }
    Ok(outcome)
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    event: &'a Event,
    target: &'static str,
    latency_us: u64,
}

#[cfg(feature = "sqlite")]
impl Execute for database::Connection {
    fn execute(&self, statement: &str, values: &[Value]) -> Result<Vec<Row>, Fault> {
        let values: Vec<_> = values
            .iter()
            .map(|value| match value {
                Value::Integer(number) => database::Value::Integer(*number),
                Value::Text(text) => database::Value::Text(text.clone()),
                Value::Blob(bytes) => database::Value::Blob(bytes.clone()),
                Value::Null => database::Value::Null,
            })
            .collect();
        let result = Self::execute(self, statement, &values);
        let rows = result.map_err(|error| Fault(error.to_string()))?.rows;
        let value = |value| match value {
            database::Value::Integer(number) => Value::Integer(number),
            database::Value::Text(text) => Value::Text(text),
            database::Value::Blob(bytes) => Value::Blob(bytes),
            // No statement computes with fractions.
            database::Value::Real(_) | database::Value::Null => Value::Null,
        };
        Ok(rows.into_iter().map(|row| row.values.into_iter().map(value).collect()).collect())
    }
}

impl redis::Send for server::Connection {
    fn send(&self, command: &str, arguments: Vec<Vec<u8>>) -> Result<Vec<Answer>, String> {
        let arguments: Vec<_> = arguments.into_iter().map(server::RedisParameter::Binary).collect();
        let answer = self.execute(command, &arguments).map_err(|error| match error {
            server::Error::Other(words) => words,
            other => format!("{other:?}"),
        })?;
        Ok(answer
            .into_iter()
            .map(|part| match part {
                server::RedisResult::Nil => Answer::Nil,
                server::RedisResult::Status(word) => Answer::Status(word),
                server::RedisResult::Int64(number) => Answer::Number(number),
                server::RedisResult::Binary(bytes) => Answer::Bytes(bytes),
            })
            .collect())
    }
}
