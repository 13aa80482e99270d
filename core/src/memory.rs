//! What one instance remembers between requests.
//!
//! A host owns one and lends it, so that no state hides in the core: two hosts in one process share
//! nothing. Losing it loses no fact; it is filled again from the store and the issuers.

/// What one instance remembers between requests.
#[derive(Debug, Default)]
pub struct Memory {}
