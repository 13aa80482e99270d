//! The verifier for resource servers, against an issuer that the test plays: everything that a token,
//! a key set and a status list can be, one thing wrong at a time.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a failed test panics"
)]

mod answers;
mod bound;
mod keys;
mod lists;
mod outages;
mod scene;
mod tokens;
