//! Writ's portable core: everything that is the product, and nothing of a platform.

pub mod active;
pub mod ask;
pub mod bundle;
pub mod client;
pub mod encoding;
pub mod event;
pub mod exchange;
pub mod form;
pub mod grant;
pub mod handle;
pub mod host;
pub mod http;
pub mod identity;
pub mod jwk;
pub mod jwt;
pub mod keyset;
pub mod limits;
pub mod memory;
pub mod metadata;
pub mod moment;
pub mod own;
pub mod parties;
pub mod policy;
pub mod presets;
pub mod publish;
pub mod refusal;
mod rule;
pub mod sealed;
pub mod secret;
pub mod session;
pub mod store;
pub mod strict;
pub mod task;
pub mod token;
pub mod zone;

pub use handle::handle;
