//! What can be tested without a Spin: the stores' commands and the signatures.

#[path = "../../../tests/contract.rs"]
mod contract;
mod crypto;
mod redis;
mod sqlite;
mod wycheproof;
