//! Writ's portable core: everything that is the product, and nothing of a platform.

pub mod bundle;
pub mod encoding;
pub mod event;
pub mod host;
pub mod http;
pub mod jwk;
pub mod limits;
pub mod memory;
pub mod moment;
pub mod presets;
pub mod zone;
