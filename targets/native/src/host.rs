//! What this platform lends the core.

use std::sync::Arc;
use std::time::{Duration, Instant};

use writ_core::event::Event;
use writ_core::host::{
    Batch, Commit, Host, Listing, NewKey, Outside, Page, Partition, Range, Record, Unavailable,
};
use writ_core::http::{Inbound, Outbound};
use writ_core::jwk::{Algorithm, PublicKey};
use writ_core::memory::Memory;
use writ_process::crypto::{KnownKeys, WrappingKey};
use writ_process::fetch::Fetcher;
use writ_process::keys::Keys;
use writ_process::moment;

use crate::events::Events;
use crate::store::Store;

/// What one process has, shared by its requests.
pub struct Instance {
    store: Store,
    keys: Keys,
    events: Events,
    fetcher: Fetcher,
    memory: Memory,
    /// Public keys that verified before.
    known: KnownKeys,
}

impl Instance {
    /// Puts an instance together.
    #[must_use]
    pub fn new(store: Store, wrapping: WrappingKey, events: Events) -> Arc<Self> {
        Arc::new(Self {
            store,
            keys: Keys::new(wrapping),
            events,
            fetcher: Fetcher::default(),
            memory: Memory::default(),
            known: KnownKeys::default(),
        })
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The key that private keys are sealed with.
    #[must_use]
    pub const fn wrapping(&self) -> &WrappingKey {
        self.keys.wrapping()
    }

    /// Where events go.
    #[must_use]
    pub const fn events(&self) -> &Events {
        &self.events
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").finish_non_exhaustive()
    }
}

/// The host of one request.
#[derive(Clone, Debug)]
pub struct Native {
    instance: Arc<Instance>,
    started: Instant,
}

impl Native {
    /// The host of a request that begins now.
    #[must_use]
    pub fn new(instance: Arc<Instance>) -> Self {
        Self { instance, started: moment::instant() }
    }
}

impl Outside for Native {
    async fn fetch(&self, request: Outbound) -> Result<Inbound, Unavailable> {
        self.instance.fetcher.fetch(&request).await
    }

    async fn verify(
        &self,
        algorithm: Algorithm,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, Unavailable> {
        Ok(self.instance.known.verify(algorithm, key, message, signature))
    }

    async fn pause(&self, millis: u32) {
        tokio::time::sleep(Duration::from_millis(millis.into())).await;
    }

    fn memory(&self) -> &Memory {
        &self.instance.memory
    }
}

impl Host for Native {
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
        self.instance.events.write(event, self.started.elapsed());
    }
}
