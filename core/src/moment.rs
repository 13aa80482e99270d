//! Time and randomness as values.
//!
//! The core never reads a clock and never draws a random number: a target reads both once, at the
//! start of a request, and passes them in. Two runs with equal arguments give equal answers.

use sha2::{Digest, Sha256};

/// Seconds since 1970-01-01T00:00:00Z, the `NumericDate` of RFC 7519 §2 without its fraction.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The instant `secs` seconds later; the last representable instant where that overflows.
    #[must_use]
    pub fn plus(self, secs: i64) -> Self {
        Self(self.0.saturating_add(secs))
    }

    /// Whole seconds from `earlier` to `self`, negative where `self` is the earlier one.
    #[must_use]
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// What a request is told of the world: when it runs, and what chance gave it.
#[derive(Clone)]
pub struct Moment {
    /// The host's clock at the start of the request.
    pub now: Timestamp,
    /// 32 bytes from the platform's cryptographic generator, used for this request alone.
    pub entropy: [u8; 32],
}

impl Moment {
    /// Derives the random value named `label`: 16 bytes, base64url without padding (22 characters).
    ///
    /// Equal labels give equal values within one request, so a label names one thing.
    #[must_use]
    pub fn id(&self, label: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(b"writ:id\0");
        hash.update(self.entropy);
        hash.update(label.as_bytes());
        let digest = hash.finalize();
        crate::encoding::base64url(digest.get(..16).unwrap_or_default())
    }
}
