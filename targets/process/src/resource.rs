//! What a process lends a resource server that verifies tokens ([`writ_core::verifier`]): the network,
//! signatures, and a memory. There is one for all requests of the process.

use std::time::Duration;

use writ_core::host::{Outside, Unavailable};
use writ_core::http::{Inbound, Outbound};
use writ_core::jwk::{Algorithm, PublicKey};
use writ_core::memory::Memory;

use crate::crypto::KnownKeys;
use crate::fetch::Fetcher;

/// A resource server's process.
#[derive(Default)]
pub struct Resource {
    fetcher: Fetcher,
    known: KnownKeys,
    memory: Memory,
}

impl Outside for Resource {
    async fn fetch(&self, request: Outbound) -> Result<Inbound, Unavailable> {
        self.fetcher.fetch(&request).await
    }

    async fn verify(
        &self,
        algorithm: Algorithm,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, Unavailable> {
        Ok(self.known.verify(algorithm, key, message, signature))
    }

    async fn pause(&self, millis: u32) {
        tokio::time::sleep(Duration::from_millis(millis.into())).await;
    }

    fn memory(&self) -> &Memory {
        &self.memory
    }
}
