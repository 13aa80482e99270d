//! The store of the in-process host keeps the port's promises.

use writ_tests::memory::Memory;
use writ_tests::storage;
use writ_tests::world::block_on;

#[test]
fn the_store_in_memory_conforms() {
    let host = Memory::default();
    block_on(storage::conformance(&host, "memory"));
}
