//! What can be tested without a Spin: the stores' commands and the signatures.

#[path = "../../src/crypto.rs"]
pub mod crypto;
#[path = "../../src/redis.rs"]
pub mod redis;
#[path = "../../src/sqlite.rs"]
pub mod sqlite;

#[path = "../../../../tests/contract.rs"]
mod contract;
#[path = "crypto.rs"]
mod of_crypto;
#[path = "redis.rs"]
mod of_redis;
#[path = "sqlite.rs"]
mod of_sqlite;
mod wycheproof;
