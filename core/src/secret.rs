//! Values that must never be printed.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A secret, an assertion or a token that a caller sent. Its `Debug` prints nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, to be verified or hashed and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the text's SHA-256 is this one, in hexadecimal. Takes the same time wherever they
    /// differ (A12).
    #[must_use]
    pub fn has_sha256(&self, expected: &str) -> bool {
        let actual = crate::encoding::hex(&Sha256::digest(self.0.as_bytes()));
        actual.as_bytes().ct_eq(expected.as_bytes()).into()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}
