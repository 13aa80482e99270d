//! What this platform lends the core.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use writ_core::event::Event;
use writ_core::host::{
    Batch, Commit, Host, Listing, NewKey, Outside, Page, Partition, Range, Record, Unavailable,
};
use writ_core::http::{Inbound, Outbound};
use writ_core::jwk::{Algorithm, PublicKey};
use writ_core::memory::Memory;
use writ_core::moment::Timestamp;
use writ_process::crypto::{self, WrappingKey};
use writ_process::fetch::Fetcher;
use writ_process::keys::Keys;
use writ_process::{line, moment};

use crate::store::Store;

/// What one environment of the function has, from one invocation to the next.
pub struct Instance {
    store: Store,
    keys: Keys,
    fetcher: Fetcher,
    memory: Memory,
}

impl Instance {
    /// Puts an instance together.
    #[must_use]
    pub fn new(store: Store, wrapping: WrappingKey) -> Arc<Self> {
        let (keys, fetcher) = (Keys::new(wrapping), Fetcher::default());
        Arc::new(Self { store, keys, fetcher, memory: Memory::default() })
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").finish_non_exhaustive()
    }
}

/// The host of one request.
#[derive(Clone, Debug)]
pub struct Lambda {
    instance: Arc<Instance>,
    started: Instant,
}

impl Lambda {
    /// The host of a request that begins now.
    #[must_use]
    pub fn new(instance: Arc<Instance>) -> Self {
        Self { instance, started: moment::instant() }
    }
}

impl Outside for Lambda {
    async fn fetch(&self, request: Outbound) -> Result<Inbound, Unavailable> {
        self.instance.fetcher.fetch(&request).await
    }

    async fn publish(
        &self,
        zone: &str,
        name: &str,
        bytes: &[u8],
        expires: Timestamp,
    ) -> Result<(), Unavailable> {
        let copy = self.instance.keys.wrapping().copies().seal(zone, name, bytes);
        self.instance.store.publish(zone, name, &copy, expires).await
    }

    async fn published(&self, zone: &str, name: &str) -> Result<Option<Vec<u8>>, Unavailable> {
        let copy = self.instance.store.published(zone, name).await?;
        let copies = self.instance.keys.wrapping().copies();
        Ok(copy.and_then(|copy| copies.open(zone, name, copy)))
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
        tokio::time::sleep(Duration::from_millis(millis.into())).await;
    }

    fn memory(&self) -> &Memory {
        &self.instance.memory
    }
}

impl Host for Lambda {
    async fn commit(&self, partition: &Partition, batch: Batch) -> Result<Commit, Unavailable> {
        self.instance.store.commit(partition, batch).await
    }

    async fn read(
        &self,
        partition: &Partition,
        range: Range<'_>,
    ) -> Result<Vec<Record>, Unavailable> {
        self.instance.store.read(partition, range).await
    }

    async fn list(&self, zone: &str, listing: &Listing) -> Result<Page, Unavailable> {
        self.instance.store.list(zone, listing).await
    }

    async fn sign(&self, zone: &str, kid: &str, message: &[u8]) -> Result<Vec<u8>, Unavailable> {
        self.instance.keys.sign(self, zone, kid, message).await
    }

    async fn generate(&self, zone: &str, algorithm: Algorithm) -> Result<NewKey, Unavailable> {
        self.instance.keys.generate(zone, algorithm)
    }

    fn record(&self, event: &Event) {
        // Written at once: the environment may be frozen when the answer has gone. Where nobody
        // reads, the store has the record.
        if let Some(line) = line::of(event, TARGET, self.started.elapsed()) {
            let _ = std::io::stdout().lock().write_all(&line);
        }
    }
}

/// The name of this target in its lines.
const TARGET: &str = "lambda";
