//! Writ on AWS Lambda: what this platform lends the core, and the way in.

pub mod aws;
pub mod function;
pub mod host;
pub mod settings;
pub mod store;
