//! Writ as a native service: what this platform lends the core, and the server around it.

pub mod crypto;
