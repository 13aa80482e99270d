//! Signatures on aws-lc-rs, and private keys at rest.
//!
//! Everything here is arithmetic: no decision about who may sign or whose key counts. The core has
//! chosen the key and the algorithm; this file says whether the numbers agree (RFC 7518 §3,
//! RFC 8037 §3.1). A key or signature of the wrong shape is a signature that does not verify.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, EcdsaVerificationAlgorithm,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
};
use writ_core::jwk::{Algorithm, Material, PublicKey};

pub use self::known::KnownKeys;
pub use self::private::PrivateKey;
pub use self::wrapping::{Malformed, VARIABLE, WrappingKey};

mod known;
mod private;
mod wrapping;

/// Why a private key could not be made, read, used or unwrapped. Says nothing of the key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CryptoError {
    /// The generator failed.
    Generate,
    /// The bytes are no private key for the algorithm.
    Import(Algorithm),
    /// The signature could not be made.
    Sign,
    /// The key could not be written out or sealed.
    Wrap,
    /// The wrapped key does not open.
    Unwrap {
        /// The key that stays closed.
        kid: String,
        /// Where the wrapping key came from.
        origin: String,
    },
}

impl std::fmt::Display for CryptoError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Generate => f.write_str("the key generator failed"),
            Self::Import(algorithm) => {
                write!(f, "the bytes are no {} private key", algorithm.name())
            }
            Self::Sign => f.write_str("signing failed"),
            Self::Wrap => f.write_str("the private key could not be sealed"),
            Self::Unwrap { kid, origin } => write!(
                f,
                "the signing key `{kid}` does not open with the wrapping key from {origin}: put \
                 back the wrapping key that this data was created with; nothing was changed"
            ),
        }
    }
}

impl std::error::Error for CryptoError {}

/// Whether `signature` is `key`'s over `message`. ECDSA signatures are `r || s` (RFC 7518 §3.4);
/// the salt of RSA-PSS is as long as the hash (§3.5).
#[must_use]
pub fn verify(algorithm: Algorithm, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    parse(algorithm, key).is_some_and(|key| key.verify_sig(message, signature).is_ok())
}

/// The key as the library holds it, for one algorithm; `None` where it is no key of that.
fn parse(algorithm: Algorithm, key: &PublicKey) -> Option<ParsedPublicKey> {
    if !key.serves(algorithm) {
        return None;
    }
    match &key.material {
        Material::Rsa { n, e } => {
            RsaPublicKeyComponents { n, e }.to_parsed_public_key(rsa_parameters(algorithm)?).ok()
        }
        Material::P256 { x, y } => ecdsa(&ECDSA_P256_SHA256_FIXED, x, y),
        Material::P384 { x, y } => ecdsa(&ECDSA_P384_SHA384_FIXED, x, y),
        Material::Ed25519 { x } => ParsedPublicKey::new(&ED25519, x).ok(),
    }
}

const fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::RS256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Some(&RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Some(&RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 | Algorithm::ES384 | Algorithm::EdDSA => None,
    }
}

fn ecdsa(
    algorithm: &'static EcdsaVerificationAlgorithm,
    x: &[u8],
    y: &[u8],
) -> Option<ParsedPublicKey> {
    // SEC 1 §2.3.3: an uncompressed point. The library refuses one that is not on the curve (J13).
    let point = [&[4], x, y].concat();
    ParsedPublicKey::new(algorithm, point).ok()
}
