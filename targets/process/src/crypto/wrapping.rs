//! The wrapping key: what private keys are sealed with while they lie in the store.
//!
//! It comes from outside of the store and never enters it; from where, is the target's affair. A
//! sealed key is bound to its zone, its id and its algorithm, so records cannot be swapped (S04).

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use writ_core::copies::CopyKey;
use writ_core::encoding::{base64url, from_base64url};
use writ_core::jwk::Algorithm;
use writ_core::sealed::{self, KEY_BYTES};
use zeroize::Zeroizing;

use super::{CryptoError, PrivateKey};

/// An AES-256-GCM key and where it came from.
///
/// Every sealing draws a random 96-bit nonce. That is safe for 2^32 of them under one key
/// (NIST SP 800-38D §8.3); a zone seals one per signing key.
pub struct WrappingKey {
    key: RandomizedNonceKey,
    copies: CopyKey,
    origin: String,
}

impl WrappingKey {
    /// Reads a wrapping key: base64url of 32 bytes, without padding. `origin` says where it came
    /// from, in messages.
    ///
    /// # Errors
    ///
    /// The text is something else.
    pub fn parse(text: &str, origin: impl Into<String>) -> Result<Self, Malformed> {
        let origin = origin.into();
        let malformed = || Malformed(origin.clone());
        let bytes = Zeroizing::new(from_base64url(text.trim()).ok_or_else(malformed)?);
        let bytes = bytes.first_chunk().filter(|_| bytes.len() == KEY_BYTES);
        let bytes: &[u8; KEY_BYTES] = bytes.ok_or_else(malformed)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes).map_err(|_| malformed())?;
        Ok(Self { key, copies: CopyKey::new(bytes), origin })
    }

    /// What published copies are sealed with.
    #[must_use]
    pub const fn copies(&self) -> &CopyKey {
        &self.copies
    }

    /// Draws a new wrapping key and returns its text.
    ///
    /// # Errors
    ///
    /// The system gave no random bytes.
    pub fn draw() -> Result<Zeroizing<String>, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(&mut *bytes)?;
        Ok(Zeroizing::new(base64url(&*bytes)))
    }

    /// Seals a private key for the store.
    ///
    /// # Errors
    ///
    /// The library could not seal it.
    pub fn wrap(&self, zone: &str, kid: &str, key: &PrivateKey) -> Result<Vec<u8>, CryptoError> {
        let mut sealed = key.to_pkcs8()?;
        // One allocation, so that growing leaves no copy of the plain key behind.
        let mut room = Zeroizing::new(Vec::with_capacity(sealed.len().saturating_add(TAG_LEN)));
        room.append(&mut sealed);
        let aad = Aad::from(sealed::context(zone, kid, key.algorithm()));
        let nonce =
            self.key.seal_in_place_append_tag(aad, &mut *room).map_err(|_| CryptoError::Wrap)?;
        Ok(sealed::join(nonce.as_ref(), &room))
    }

    /// Opens a sealed private key. Zone, kid and algorithm must be those that it was sealed for.
    ///
    /// # Errors
    ///
    /// It does not open: another wrapping key, another record's key, or a changed byte.
    pub fn unwrap(
        &self,
        zone: &str,
        kid: &str,
        algorithm: Algorithm,
        wrapped: &[u8],
    ) -> Result<PrivateKey, CryptoError> {
        let failed = || CryptoError::Unwrap { kid: kid.to_owned(), origin: self.origin.clone() };
        let (nonce, ciphertext) = sealed::split(wrapped).ok_or_else(failed)?;
        let mut opened = Zeroizing::new(ciphertext.to_vec());
        let aad = Aad::from(sealed::context(zone, kid, algorithm));
        let der = self
            .key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut opened)
            .map_err(|_| failed())?;
        PrivateKey::from_pkcs8(algorithm, der)
    }
}

impl std::fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WrappingKey").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// What is there is no wrapping key; where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(origin) = self;
        write!(f, "the wrapping key in {origin} is not 32 bytes in base64url without padding")
    }
}

impl std::error::Error for Malformed {}

/// The environment variable that may hold the wrapping key: base64url of 32 bytes.
pub const VARIABLE: &str = "WRIT_WRAPPING_KEY";

const TAG_LEN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(origin: &str) -> WrappingKey {
        WrappingKey::parse(&WrappingKey::draw().unwrap(), origin).unwrap()
    }

    #[test]
    fn s04_a_wrapped_key_opens_only_in_its_own_place() {
        let wrapping = drawn("a file");
        let key = PrivateKey::generate(Algorithm::RS256).unwrap();
        let wrapped = wrapping.wrap("prod", "k1", &key).unwrap();
        assert!(wrapping.unwrap("prod", "k1", Algorithm::RS256, &wrapped).is_ok());
        for (zone, kid, algorithm) in [
            ("test", "k1", Algorithm::RS256),
            ("prod", "k2", Algorithm::RS256),
            ("prod", "k1", Algorithm::PS256),
            ("prodk", "1", Algorithm::RS256),
        ] {
            assert!(wrapping.unwrap(zone, kid, algorithm, &wrapped).is_err(), "{zone} {kid}");
        }
        for index in 0..wrapped.len() {
            let mut bent = wrapped.clone();
            bent[index] ^= 1;
            assert!(wrapping.unwrap("prod", "k1", Algorithm::RS256, &bent).is_err());
        }
        for length in 0..wrapped.len().min(40) {
            let short = &wrapped[..length];
            assert!(wrapping.unwrap("prod", "k1", Algorithm::RS256, short).is_err());
        }
    }

    #[test]
    fn two_wrappings_of_one_key_differ() {
        let wrapping = drawn("a file");
        let key = PrivateKey::generate(Algorithm::EdDSA).unwrap();
        let wrap = || wrapping.wrap("prod", "k1", &key).unwrap();
        assert_ne!(wrap(), wrap());
    }

    #[test]
    fn a_wrong_wrapping_key_names_where_it_came_from_and_what_it_failed_to_open() {
        let key = PrivateKey::generate(Algorithm::ES256).unwrap();
        let wrapped = drawn("one").wrap("prod", "k1", &key).unwrap();
        let error = drawn("another").unwrap("prod", "k1", Algorithm::ES256, &wrapped).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("`k1`") && error.contains("another"), "{error}");
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        let padded = format!("{}=", base64url(&[7; KEY_BYTES]));
        for text in ["", "abc", &padded, &base64url(&[7; 31]), &base64url(&[7; 33])] {
            let error = WrappingKey::parse(text, "a file").unwrap_err();
            assert_eq!(error, Malformed("a file".into()), "{text}");
        }
    }

    #[test]
    fn s14_a_wrapping_key_shows_nothing_of_itself() {
        let text = base64url(&[7; KEY_BYTES]);
        let key = WrappingKey::parse(&text, "a file").unwrap();
        let shown = format!("{key:?}");
        assert!(!shown.contains(&text) && !shown.contains("[7"), "{shown}");
    }
}
