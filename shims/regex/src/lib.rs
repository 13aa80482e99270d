//! The package `regex`, as far as Cedar uses it, on `regex-lite` of the same authors.
//!
//! Cedar asks it for seven anchored ASCII patterns: names, decimals, durations and dates. The engine that
//! `regex` brings for them is a twentieth of what is deployed to the edge, and compiles them slowly where an
//! instance lives for one request (docs/decisions/0026-regex.md).

pub use regex_lite::{Captures, Error, Match, Regex};
