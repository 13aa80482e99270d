//! What a process lends the core, whatever its store: cryptography on aws-lc-rs, requests to other
//! servers, the clock, and lines for whoever runs it.
//!
//! A target that is a process (native, Lambda) adds its store and its way in.

pub mod crypto;
pub mod fetch;
pub mod keys;
pub mod line;
pub mod log;
pub mod moment;
pub mod resource;
