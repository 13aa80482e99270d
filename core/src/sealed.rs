//! The one form of a sealed private key, on every target: a zone's record can be opened by whatever
//! runs beside it with the same wrapping key.
//!
//! `FORMAT || nonce (12 bytes) || AES-256-GCM(PKCS #8 DER) || tag (16 bytes)`. The additional data
//! bind it to its zone, its `kid` and its algorithm, so records cannot be swapped (S04).

use crate::encoding::tagged_hash;
use crate::jwk::Algorithm;

/// The first byte: which of the forms that there may be.
pub const FORMAT: u8 = 1;
/// Bytes of the nonce.
pub const NONCE_BYTES: usize = 12;
/// Bytes of the wrapping key.
pub const KEY_BYTES: usize = 32;

/// The additional data of the sealing.
#[must_use]
pub fn context(zone: &str, kid: &str, algorithm: Algorithm) -> [u8; 32] {
    let parts = [&[FORMAT], zone.as_bytes(), kid.as_bytes(), algorithm.name().as_bytes()];
    tagged_hash("wrapped-key", &parts)
}

/// Puts nonce and ciphertext together.
#[must_use]
pub fn join(nonce: &[u8; NONCE_BYTES], ciphertext: &[u8]) -> Vec<u8> {
    [&[FORMAT], nonce.as_slice(), ciphertext].concat()
}

/// Takes a sealed key apart into nonce and ciphertext; `None` where it has another form.
#[must_use]
pub fn split(sealed: &[u8]) -> Option<(&[u8; NONCE_BYTES], &[u8])> {
    sealed.strip_prefix(&[FORMAT])?.split_first_chunk()
}
