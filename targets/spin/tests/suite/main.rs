//! What can be tested without a Spin: the stores' commands, the signatures, and which URLs are fetched.

#[path = "../../src/address.rs"]
pub mod address;
#[path = "../../src/crypto.rs"]
pub mod crypto;
#[path = "../../src/redis.rs"]
pub mod redis;
#[path = "../../src/sqlite.rs"]
pub mod sqlite;

#[path = "../../../../tests/contract.rs"]
mod contract;
#[path = "address.rs"]
mod of_address;
#[path = "crypto.rs"]
mod of_crypto;
#[path = "redis.rs"]
mod of_redis;
#[path = "sqlite.rs"]
mod of_sqlite;
mod wycheproof;
