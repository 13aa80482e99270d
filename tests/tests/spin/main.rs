//! The Spin component in its test host: what is its own beside the vectors.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a failed test panics"
)]

mod body;
mod component;
mod copies;
mod encoded;
mod service;
