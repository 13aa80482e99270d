//! A zone's signing keys: sealed in the store, opened once and kept.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use writ_core::host::{Host, NewKey, Unavailable};
use writ_core::jwk::Algorithm;
use writ_core::keys;

use crate::crypto::{CryptoError, PrivateKey, WrappingKey};

/// The wrapping key, and the keys that it has opened.
#[derive(Debug)]
pub struct Keys {
    wrapping: WrappingKey,
    /// By zone and `kid`. A key of an id never changes, so none goes stale.
    opened: RwLock<HashMap<(String, String), Arc<PrivateKey>>>,
}

impl Keys {
    /// Keys that `wrapping` opens.
    #[must_use]
    pub fn new(wrapping: WrappingKey) -> Self {
        Self { wrapping, opened: RwLock::default() }
    }

    /// The key that private keys are sealed with.
    #[must_use]
    pub const fn wrapping(&self) -> &WrappingKey {
        &self.wrapping
    }

    /// Signs with the zone's key `kid`, as [`writ_core::host::Host::sign`] says. The store of `host` is
    /// asked only where the key is not kept.
    ///
    /// # Errors
    ///
    /// The store does not answer or does not have the key, or the key does not open or sign.
    pub async fn sign<H: Host>(
        &self,
        host: &H,
        zone: &str,
        kid: &str,
        message: &[u8],
    ) -> Result<Vec<u8>, Unavailable> {
        let key = match self.kept(zone, kid) {
            Some(key) => key,
            None => {
                let (algorithm, sealed) = keys::wrapped(host, zone, kid).await?;
                let opened = self.wrapping.unwrap(zone, kid, algorithm, &sealed);
                self.keep(zone, kid, opened.map_err(|error| Unavailable(error.to_string()))?)
            }
        };
        key.sign(message).map_err(|error| Unavailable(error.to_string()))
    }

    /// Makes a key and seals it, as [`writ_core::host::Host::generate`] says.
    ///
    /// # Errors
    ///
    /// The library fails.
    pub fn generate(&self, zone: &str, algorithm: Algorithm) -> Result<NewKey, Unavailable> {
        let unavailable = |error: CryptoError| Unavailable(error.to_string());
        let key = PrivateKey::generate(algorithm).map_err(unavailable)?;
        let kid = key.public(None).material.thumbprint();
        let wrapped = self.wrapping.wrap(zone, &kid, &key).map_err(unavailable)?;
        Ok(NewKey { public: key.public(Some(&kid)), wrapped })
    }

    fn kept(&self, zone: &str, kid: &str) -> Option<Arc<PrivateKey>> {
        let name = (zone.to_owned(), kid.to_owned());
        self.opened.read().unwrap_or_else(PoisonError::into_inner).get(&name).cloned()
    }

    fn keep(&self, zone: &str, kid: &str, key: PrivateKey) -> Arc<PrivateKey> {
        let key = Arc::new(key);
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if opened.len() >= KEYS {
            opened.clear();
        }
        opened.insert((zone.to_owned(), kid.to_owned()), Arc::clone(&key));
        key
    }
}

/// Opened keys kept at once: a zone signs with one, and verifies old tokens without any.
const KEYS: usize = 256;
