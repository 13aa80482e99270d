//! The store of the in-process host keeps the contract of every strong store.

use contract::Strong;
use writ_core::host::{Batch, Commit, Host, Listing, Page, Partition, Range, Record, Unavailable};
use writ_tests::memory::Memory;
use writ_tests::world::block_on;

#[path = "../contract.rs"]
mod contract;

impl Strong for Memory {
    async fn commit(&self, partition: &Partition, batch: Batch) -> Result<Commit, Unavailable> {
        Host::commit(self, partition, batch).await
    }

    async fn read(
        &self,
        partition: &Partition,
        range: Range<'_>,
    ) -> Result<Vec<Record>, Unavailable> {
        Host::read(self, partition, range).await
    }

    async fn list(&self, zone: &str, listing: &Listing) -> Result<Page, Unavailable> {
        Host::list(self, zone, listing).await
    }
}

#[test]
fn the_store_in_memory_keeps_the_contract() {
    block_on(contract::holds(&Memory::default(), "first"));
}
