//! `writ demo`: the example zone, its platforms and its people on one machine, played through.
//!
//! Nothing here is a shortcut into the service. Every step is an HTTP request to the server that
//! `writ serve` runs, with a token that an issuer on loopback has just signed, and what is printed
//! is what was sent and answered. Each step says beforehand how it must end, and is compared.

pub(crate) mod call;
pub(crate) mod cast;
pub(crate) mod issuer;
mod look;
pub(crate) mod print;
mod sample;
pub(crate) mod stage;
mod step;
mod story;
pub(crate) mod tape;
mod token;

pub(crate) use self::cast::Cast;
pub(crate) use self::stage::Stage;

/// Why the demonstration cannot go on. What a step shows otherwise than told is none of these.
#[derive(Debug)]
pub(crate) struct DemoError(pub(crate) String);

impl std::fmt::Display for DemoError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DemoError {}
