//! A zone's private key in memory.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair,
    RsaSignatureEncoding,
};
use writ_core::jwk::{Algorithm, Material, PublicKey};
use zeroize::Zeroizing;

use super::CryptoError;

/// A private key and the one algorithm that it signs with.
///
/// It cannot be cloned or shown (S14). The library keeps the numbers outside Rust's memory and
/// overwrites them when it frees them; the copies made here for storage are overwritten too.
pub struct PrivateKey {
    algorithm: Algorithm,
    material: Material,
    pair: Pair,
}

impl PrivateKey {
    /// Makes a new key. An RSA key has 2048 bits: it is for clients that know nothing else, and
    /// every further bit costs each of its signatures.
    ///
    /// # Errors
    ///
    /// The library's generator failed.
    pub fn generate(algorithm: Algorithm) -> Result<Self, CryptoError> {
        let failed = |_| CryptoError::Generate;
        let pair = match Scheme::of(algorithm) {
            Scheme::Rsa(encoding) => {
                Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?, encoding)
            }
            Scheme::Ecdsa(curve) => Pair::Ecdsa(EcdsaKeyPair::generate(curve).map_err(failed)?),
            Scheme::Ed25519 => Pair::Ed25519(Ed25519KeyPair::generate().map_err(failed)?),
        };
        Self::with(algorithm, pair).ok_or(CryptoError::Generate)
    }

    /// Reads a key in PKCS#8 (RFC 5208, and RFC 8410 for Ed25519), as DER.
    ///
    /// # Errors
    ///
    /// The bytes are no key of the algorithm's kind, or an RSA key of a size that is not accepted.
    pub fn from_pkcs8(algorithm: Algorithm, der: &[u8]) -> Result<Self, CryptoError> {
        let failed = |_| CryptoError::Import(algorithm);
        let pair = match Scheme::of(algorithm) {
            Scheme::Rsa(encoding) => {
                Pair::Rsa(RsaKeyPair::from_pkcs8(der).map_err(failed)?, encoding)
            }
            Scheme::Ecdsa(curve) => {
                Pair::Ecdsa(EcdsaKeyPair::from_pkcs8(curve, der).map_err(failed)?)
            }
            Scheme::Ed25519 => {
                Pair::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(failed)?)
            }
        };
        Self::with(algorithm, pair).ok_or(CryptoError::Import(algorithm))
    }

    /// The key in PKCS#8, as DER.
    ///
    /// # Errors
    ///
    /// The library could not write it.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let failed = |_| CryptoError::Wrap;
        let der = match &self.pair {
            Pair::Rsa(pair, _) => {
                let der: Pkcs8V1Der<'static> = pair.as_der().map_err(failed)?;
                der.as_ref().to_vec()
            }
            Pair::Ecdsa(pair) => pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.to_pkcs8().map_err(failed)?.as_ref().to_vec(),
        };
        Ok(Zeroizing::new(der))
    }

    /// The public half, bound to this key's algorithm.
    #[must_use]
    pub fn public(&self, kid: Option<&str>) -> PublicKey {
        PublicKey {
            kid: kid.map(str::to_owned),
            algorithm: Some(self.algorithm),
            material: self.material.clone(),
        }
    }

    /// Signs `message` in the form that JWS wants: ECDSA as `r || s`.
    ///
    /// # Errors
    ///
    /// The library could not sign.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let failed = |_| CryptoError::Sign;
        match &self.pair {
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &SystemRandom::new(), message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
            Pair::Ecdsa(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(failed)?;
                Ok(signature.as_ref().to_vec())
            }
            Pair::Ed25519(pair) => Ok(pair.try_sign(message).map_err(failed)?.as_ref().to_vec()),
        }
    }

    /// The algorithm that the key signs with.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn with(algorithm: Algorithm, pair: Pair) -> Option<Self> {
        let material = pair.material()?;
        algorithm.fits(&material).then_some(Self { algorithm, material, pair })
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivateKey").finish_non_exhaustive()
    }
}

enum Pair {
    Rsa(RsaKeyPair, &'static RsaSignatureEncoding),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Pair {
    fn material(&self) -> Option<Material> {
        match self {
            Self::Rsa(pair, _) => {
                let key = pair.public_key();
                let number = |bytes: aws_lc_rs::io::Positive<'_>| {
                    bytes.big_endian_without_leading_zero().to_vec()
                };
                Material::rsa(number(key.modulus()), number(key.exponent())).ok()
            }
            Self::Ecdsa(pair) => point(pair.public_key().as_ref()),
            Self::Ed25519(pair) => {
                Some(Material::Ed25519 { x: pair.public_key().as_ref().try_into().ok()? })
            }
        }
    }
}

/// The coordinates of an uncompressed point (SEC 1 §2.3.3).
fn point(bytes: &[u8]) -> Option<Material> {
    let coordinates = bytes.strip_prefix(&[4])?;
    let (x, y) = coordinates.split_at_checked(coordinates.len() / 2)?;
    match x.len() {
        32 => Some(Material::P256 { x: x.try_into().ok()?, y: y.try_into().ok()? }),
        48 => Some(Material::P384 { x: x.try_into().ok()?, y: y.try_into().ok()? }),
        _ => None,
    }
}

enum Scheme {
    Rsa(&'static RsaSignatureEncoding),
    Ecdsa(&'static EcdsaSigningAlgorithm),
    Ed25519,
}

impl Scheme {
    const fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::RS256 => Self::Rsa(&RSA_PKCS1_SHA256),
            Algorithm::RS384 => Self::Rsa(&RSA_PKCS1_SHA384),
            Algorithm::RS512 => Self::Rsa(&RSA_PKCS1_SHA512),
            Algorithm::PS256 => Self::Rsa(&RSA_PSS_SHA256),
            Algorithm::PS384 => Self::Rsa(&RSA_PSS_SHA384),
            Algorithm::PS512 => Self::Rsa(&RSA_PSS_SHA512),
            Algorithm::ES256 => Self::Ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::ES384 => Self::Ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::EdDSA => Self::Ed25519,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::verify;

    #[test]
    fn a_key_of_each_algorithm_signs_survives_storage_and_verifies() {
        for algorithm in Algorithm::ALL {
            let made = PrivateKey::generate(algorithm).unwrap();
            let der = made.to_pkcs8().unwrap();
            let key = PrivateKey::from_pkcs8(algorithm, &der).unwrap();
            let public = key.public(Some("k1"));
            assert_eq!(public, made.public(Some("k1")), "{algorithm:?}");
            assert_eq!(public.algorithm, Some(algorithm));
            // The key survives the way through a published key set too.
            let public = PublicKey::parse(&public.to_jwk()).unwrap();

            let mut signature = key.sign(b"message").unwrap();
            assert!(verify(algorithm, &public, b"message", &signature), "{algorithm:?}");
            assert!(!verify(algorithm, &public, b"messagf", &signature), "{algorithm:?}");
            let middle = signature.len() / 2;
            signature[middle] ^= 1;
            assert!(!verify(algorithm, &public, b"message", &signature), "{algorithm:?}");
        }
    }

    #[test]
    fn j03_a_key_serves_only_the_algorithm_that_it_is_bound_to() {
        let key = PrivateKey::generate(Algorithm::RS256).unwrap();
        let signature = key.sign(b"message").unwrap();
        for algorithm in Algorithm::ALL {
            let verdict = verify(algorithm, &key.public(None), b"message", &signature);
            assert_eq!(verdict, algorithm == Algorithm::RS256, "{algorithm:?}");
        }
    }

    #[test]
    fn ecdsa_signatures_have_the_fixed_form() {
        for (algorithm, length) in [(Algorithm::ES256, 64), (Algorithm::ES384, 96)] {
            let key = PrivateKey::generate(algorithm).unwrap();
            for round in 0..64_u8 {
                assert_eq!(key.sign(&[round]).unwrap().len(), length);
            }
        }
    }

    #[test]
    fn s14_a_private_key_shows_nothing_of_itself() {
        let key = PrivateKey::generate(Algorithm::EdDSA).unwrap();
        assert_eq!(format!("{key:?}"), "PrivateKey { .. }");
    }

    #[test]
    fn a_key_of_another_kind_is_not_imported() {
        let der = PrivateKey::generate(Algorithm::ES256).unwrap().to_pkcs8().unwrap();
        for algorithm in [Algorithm::ES384, Algorithm::EdDSA, Algorithm::RS256] {
            let error = PrivateKey::from_pkcs8(algorithm, &der).unwrap_err();
            assert_eq!(error, CryptoError::Import(algorithm));
        }
    }
}
