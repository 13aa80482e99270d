//! What can be tested without a Spin: the stores' commands and the signatures.

#[path = "../../src/copies.rs"]
pub mod copies;
#[path = "../../src/crypto.rs"]
pub mod crypto;
#[path = "../../src/redis.rs"]
pub mod redis;
#[path = "../../src/sqlite.rs"]
pub mod sqlite;

#[path = "../../../../tests/contract.rs"]
mod contract;
#[path = "copies.rs"]
mod of_copies;
#[path = "crypto.rs"]
mod of_crypto;
#[path = "redis.rs"]
mod of_redis;
#[path = "sqlite.rs"]
mod of_sqlite;
mod wycheproof;
