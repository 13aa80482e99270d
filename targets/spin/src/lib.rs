//! Writ as a Spin component: it converts requests and lends the core a host, and decides nothing.
//!
//! A fresh instance answers each request, so nothing is remembered between two. Built for
//! `wasm32-wasip2`; natively it is empty, and `tests/suite` has what needs no Spin.
#![cfg(target_family = "wasm")]

mod body;
mod component;
pub mod copies;
pub mod crypto;
mod fetch;
mod host;
pub mod redis;
pub mod settings;
pub mod sqlite;
