//! Writ as a Spin component. Built for `wasm32-wasip2`; natively there are only its tests.
#![cfg(any(test, target_family = "wasm"))]

pub mod crypto;
pub mod redis;
pub mod sqlite;

#[cfg(test)]
mod tests;
