//! Public keys that verified before.
//!
//! Making a key of its numbers costs a third of an RSA verification and a tenth of an ECDSA one, and
//! an issuer signs with the same key for weeks. A key is found again by all of its numbers and its
//! algorithm, never by a name, so there is nothing here that could be stale.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::signature::ParsedPublicKey;
use writ_core::jwk::{Algorithm, Material, PublicKey};

/// Public keys, by algorithm and numbers.
#[derive(Default)]
pub struct KnownKeys(RwLock<HashMap<Algorithm, Parsed>>);

type Parsed = HashMap<Material, Arc<ParsedPublicKey>>;

impl KnownKeys {
    /// As [`super::verify`].
    #[must_use]
    pub fn verify(
        &self,
        algorithm: Algorithm,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        key.serves(algorithm)
            && self
                .find(algorithm, key)
                .is_some_and(|known| known.verify_sig(message, signature).is_ok())
    }

    fn find(&self, algorithm: Algorithm, key: &PublicKey) -> Option<Arc<ParsedPublicKey>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&algorithm).and_then(|keys| keys.get(&key.material)) {
            return Some(Arc::clone(known));
        }
        drop(known);
        let parsed = Arc::new(super::parse(algorithm, key)?);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let keys = known.entry(algorithm).or_default();
        if keys.len() >= KEYS {
            keys.clear();
        }
        keys.insert(key.material.clone(), Arc::clone(&parsed));
        Some(parsed)
    }
}

impl std::fmt::Debug for KnownKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KnownKeys").finish_non_exhaustive()
    }
}

/// Keys kept of each algorithm, some 4 KiB each: what a few dozen issuers publish. Beyond it they
/// are parsed anew.
const KEYS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::PrivateKey;

    #[test]
    fn a_known_key_verifies_its_own_signatures_alone() {
        for algorithm in [Algorithm::ES256, Algorithm::EdDSA] {
            let (one, other) = (
                PrivateKey::generate(algorithm).unwrap(),
                PrivateKey::generate(algorithm).unwrap(),
            );
            let known = KnownKeys::default();
            // The same name leads to neither: a key is known by its numbers.
            let (one_public, other_public) = (one.public(Some("k")), other.public(Some("k")));
            for _ in 0..2 {
                let signature = one.sign(b"message").unwrap();
                assert!(known.verify(algorithm, &one_public, b"message", &signature));
                assert!(!known.verify(algorithm, &one_public, b"another", &signature));
                assert!(!known.verify(algorithm, &other_public, b"message", &signature));
            }
        }
    }

    #[test]
    fn j02_a_known_key_serves_its_own_algorithm_alone() {
        let key = PrivateKey::generate(Algorithm::RS256).unwrap();
        let known = KnownKeys::default();
        let public = key.public(None);
        let signature = key.sign(b"message").unwrap();
        assert!(known.verify(Algorithm::RS256, &public, b"message", &signature));
        assert!(!known.verify(Algorithm::RS512, &public, b"message", &signature));
        assert!(!known.verify(Algorithm::ES256, &public, b"message", &signature));
    }
}
