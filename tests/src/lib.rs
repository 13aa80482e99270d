//! What the suite is made of: hosts, issuers, fixtures and vectors.
//!
//! A vector is one JSON file under `vectors/`: a zone, tokens to sign, requests, and what must come
//! back ([`vector`]). [`check()`] runs one against a [`Target`], in process or over HTTP, so that
//! every target is held to the same words.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "test support: a panic is a failed test"
)]

pub mod client;
pub mod compare;
pub mod deployment;
pub mod der;
pub mod emulation;
pub mod example;
pub mod faults;
pub mod faulty;
pub mod fixtures;
pub mod forms;
pub mod front;
pub mod issuer;
pub mod keys;
pub mod load;
pub mod memory;
pub mod model;
pub mod operator;
pub mod planted;
pub mod platform;
pub mod records;
pub mod run;
pub mod running;
pub mod schedule;
pub mod server;
pub mod spoil;
pub mod status;
pub mod store;
pub mod target;
pub mod template;
pub mod tools;
pub mod trace;
pub mod vector;
pub mod wire;
pub mod world;
pub mod zones;

pub use run::check;
pub use target::Target;

/// Where the build puts things, found beside the running test.
pub fn build_directory() -> std::path::PathBuf {
    let own = std::env::current_exe().expect("a running test has a path");
    // …/target/debug/deps/test-0123
    own.ancestors().nth(2).expect("a test lies in the build directory").to_owned()
}
