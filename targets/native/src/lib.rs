//! Writ as a native service: what this platform lends the core, the server around it, and the
//! operator's commands.

pub mod cli;
mod demo;
pub mod events;
pub mod host;
pub mod server;
pub mod store;
pub mod wrapping;
