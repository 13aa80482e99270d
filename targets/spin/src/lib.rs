//! Writ as a Spin component: it converts requests and lends the core a host, and decides nothing.
//!
//! A fresh instance answers each request, so nothing is remembered between two. Built for
//! `wasm32-wasip2`; natively there are only the tests of what needs no Spin.
#![cfg(any(test, target_family = "wasm"))]

pub mod address;
#[cfg(target_family = "wasm")]
mod component;
pub mod crypto;
#[cfg(target_family = "wasm")]
mod fetch;
#[cfg(target_family = "wasm")]
mod host;
pub mod redis;
pub mod settings;
pub mod sqlite;

#[cfg(test)]
mod tests;
