//! Writ as a native service: what this platform lends the core, the server around it, and the
//! operator's commands.

pub mod cli;
pub mod crypto;
mod demo;
pub mod events;
pub mod fetch;
pub mod host;
pub mod log;
pub mod moment;
pub mod server;
pub mod store;
