//! Signatures on RustCrypto, and private keys at rest.
//!
//! Everything here is arithmetic: the core has chosen the key and the algorithm, this file says
//! whether the numbers agree (RFC 7518 §3, RFC 8037 §3.1). A key or signature of the wrong shape is a
//! signature that does not verify. RSA only verifies: signing costs ten milliseconds in WebAssembly, and
//! the library's private-key operations have a timing flaw (RUSTSEC-2023-0071).

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use p256::ecdsa::signature::{Signer, Verifier};
use rsa::pkcs1v15::{self, Signature as Pkcs1};
use rsa::pss::{self, Signature as Pss};
use rsa::{BigUint, RsaPublicKey};
use sha2::digest::const_oid::AssociatedOid;
use sha2::digest::{Digest, FixedOutputReset};
use sha2::{Sha256, Sha384, Sha512};
use writ_core::copies::CopyKey;
use writ_core::host::{NewKey, Unavailable};
use writ_core::jwk::{Algorithm, Material, PublicKey};
use writ_core::{encoding, limits, sealed};
use zeroize::Zeroizing;

/// Whether `signature` is `key`'s over `message`. ECDSA signatures are `r || s` (RFC 7518 §3.4); the
/// salt of RSA-PSS is as long as the hash (§3.5).
#[must_use]
pub fn verify(algorithm: Algorithm, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    if !key.serves(algorithm) {
        return false;
    }
    let verified = match &key.material {
        Material::Rsa { n, e } => return rsa(algorithm, n, e, message, signature) == Some(()),
        Material::P256 { x, y } => p256_key(x, y).zip(p256_signature(signature)).map(
            // The library refuses a point that is not on the curve (J13).
            |(key, signature)| key.verify(message, &signature),
        ),
        Material::P384 { x, y } => p384_key(x, y)
            .zip(p384_signature(signature))
            .map(|(key, signature)| key.verify(message, &signature)),
        Material::Ed25519 { x } => ed25519_dalek::VerifyingKey::from_bytes(x)
            .ok()
            .zip(ed25519_dalek::Signature::from_slice(signature).ok())
            // Strictly: no key and no signature of small order, and one form of each signature.
            .map(|(key, signature)| key.verify_strict(message, &signature)),
    };
    matches!(verified, Some(Ok(())))
}

/// SEC 1 §2.3.3: an uncompressed point.
fn point(x: &[u8], y: &[u8]) -> Vec<u8> {
    [&[4], x, y].concat()
}

fn p256_key(x: &[u8], y: &[u8]) -> Option<p256::ecdsa::VerifyingKey> {
    p256::ecdsa::VerifyingKey::from_sec1_bytes(&point(x, y)).ok()
}

fn p256_signature(bytes: &[u8]) -> Option<p256::ecdsa::Signature> {
    p256::ecdsa::Signature::from_slice(bytes).ok()
}

fn p384_key(x: &[u8], y: &[u8]) -> Option<p384::ecdsa::VerifyingKey> {
    p384::ecdsa::VerifyingKey::from_sec1_bytes(&point(x, y)).ok()
}

fn p384_signature(bytes: &[u8]) -> Option<p384::ecdsa::Signature> {
    p384::ecdsa::Signature::from_slice(bytes).ok()
}

fn rsa(algorithm: Algorithm, n: &[u8], e: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let (n, e) = (BigUint::from_bytes_be(n), BigUint::from_bytes_be(e));
    let key = RsaPublicKey::new_with_max_size(n, e, limits::RSA_BITS_MAX).ok()?;
    match algorithm {
        Algorithm::RS256 => pkcs1::<Sha256>(key, message, signature),
        Algorithm::RS384 => pkcs1::<Sha384>(key, message, signature),
        Algorithm::RS512 => pkcs1::<Sha512>(key, message, signature),
        Algorithm::PS256 => salted::<Sha256>(key, message, signature),
        Algorithm::PS384 => salted::<Sha384>(key, message, signature),
        Algorithm::PS512 => salted::<Sha512>(key, message, signature),
        Algorithm::ES256 | Algorithm::ES384 | Algorithm::EdDSA => None,
    }
}

fn pkcs1<D: Digest + AssociatedOid>(
    key: RsaPublicKey,
    message: &[u8],
    signature: &[u8],
) -> Option<()> {
    let signature = Pkcs1::try_from(signature).ok()?;
    pkcs1v15::VerifyingKey::<D>::new(key).verify(message, &signature).ok()
}

fn salted<D: Digest + FixedOutputReset>(
    key: RsaPublicKey,
    message: &[u8],
    signature: &[u8],
) -> Option<()> {
    let signature = Pss::try_from(signature).ok()?;
    pss::VerifyingKey::<D>::new(key).verify(message, &signature).ok()
}

/// A zone's private key. It cannot be cloned or shown (S14), and leaves memory when it is dropped.
pub struct PrivateKey(Pair);

enum Pair {
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    Ed25519(ed25519_dalek::SigningKey),
}

impl PrivateKey {
    /// Makes a new key.
    ///
    /// # Errors
    ///
    /// The algorithm is one that this target does not sign with, or there are no random bytes.
    pub fn generate(algorithm: Algorithm) -> Result<Self, Unavailable> {
        // Of 32 or 48 random bytes all but a vanishing part are a private key of their curve.
        let pair = match algorithm {
            Algorithm::ES256 => {
                let key = p256::ecdsa::SigningKey::from_slice(&*draw::<32>()?);
                key.ok().map(Pair::P256)
            }
            Algorithm::ES384 => {
                let key = p384::ecdsa::SigningKey::from_slice(&*draw::<48>()?);
                key.ok().map(Pair::P384)
            }
            Algorithm::EdDSA => {
                let key = ed25519_dalek::SigningKey::from_bytes(&*draw::<32>()?);
                Some(Pair::Ed25519(key))
            }
            other => return Err(unsigned(other)),
        };
        pair.map(Self).ok_or_else(|| Unavailable("the key generator failed; try again".to_owned()))
    }

    /// Signs `message` in the form that JWS wants: ECDSA as `r || s`, by RFC 6979.
    ///
    /// # Errors
    ///
    /// The library could not sign.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unavailable> {
        let failed = |_| Unavailable("signing failed".to_owned());
        match &self.0 {
            Pair::P256(key) => {
                let signature: p256::ecdsa::Signature = key.try_sign(message).map_err(failed)?;
                Ok(signature.to_vec())
            }
            Pair::P384(key) => {
                let signature: p384::ecdsa::Signature = key.try_sign(message).map_err(failed)?;
                Ok(signature.to_vec())
            }
            Pair::Ed25519(key) => Ok(key.try_sign(message).map_err(failed)?.to_vec()),
        }
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> Option<PublicKey> {
        let half = |bytes: &[u8], at: usize, length: usize| {
            bytes.get(at..)?.get(..length).map(<[u8]>::to_vec)
        };
        let (algorithm, material) = match &self.0 {
            Pair::P256(key) => {
                let point = key.verifying_key().to_encoded_point(false);
                let (x, y) = (half(point.as_bytes(), 1, 32)?, half(point.as_bytes(), 33, 32)?);
                let material = Material::P256 { x: x.try_into().ok()?, y: y.try_into().ok()? };
                (Algorithm::ES256, material)
            }
            Pair::P384(key) => {
                let point = key.verifying_key().to_encoded_point(false);
                let (x, y) = (half(point.as_bytes(), 1, 48)?, half(point.as_bytes(), 49, 48)?);
                let material = Material::P384 { x: x.try_into().ok()?, y: y.try_into().ok()? };
                (Algorithm::ES384, material)
            }
            Pair::Ed25519(key) => {
                (Algorithm::EdDSA, Material::Ed25519 { x: key.verifying_key().to_bytes() })
            }
        };
        let kid = Some(material.thumbprint());
        Some(PublicKey { kid, algorithm: Some(algorithm), material })
    }

    fn from_pkcs8(algorithm: Algorithm, der: &[u8]) -> Option<Self> {
        Some(Self(match algorithm {
            Algorithm::ES256 => Pair::P256(p256::ecdsa::SigningKey::from_pkcs8_der(der).ok()?),
            Algorithm::ES384 => Pair::P384(p384::ecdsa::SigningKey::from_pkcs8_der(der).ok()?),
            Algorithm::EdDSA => Pair::Ed25519(ed25519_dalek::SigningKey::from_pkcs8_der(der).ok()?),
            _ => return None,
        }))
    }

    fn to_pkcs8(&self) -> Option<Zeroizing<Vec<u8>>> {
        let document = match &self.0 {
            Pair::P256(key) => p256::SecretKey::from(key).to_pkcs8_der().ok()?,
            Pair::P384(key) => p384::SecretKey::from(key).to_pkcs8_der().ok()?,
            Pair::Ed25519(key) => key.to_pkcs8_der().ok()?,
        };
        Some(Zeroizing::new(document.as_bytes().to_vec()))
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivateKey").finish_non_exhaustive()
    }
}

/// The platform's secret, which private keys are sealed with while they lie in the store.
pub struct WrappingKey {
    cipher: Aes256Gcm,
    copies: CopyKey,
}

impl WrappingKey {
    /// Reads the secret: 32 bytes in base64url. `None` where it has another form.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(encoding::from_base64url(text.trim())?);
        let key: &[u8; sealed::KEY_BYTES] = bytes.as_slice().try_into().ok()?;
        let cipher = Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(key));
        Some(Self { cipher, copies: CopyKey::new(key) })
    }

    /// What published copies are sealed with.
    #[must_use]
    pub const fn copies(&self) -> &CopyKey {
        &self.copies
    }

    /// Makes a key and seals it.
    ///
    /// # Errors
    ///
    /// See [`PrivateKey::generate`].
    pub fn generate(&self, zone: &str, algorithm: Algorithm) -> Result<NewKey, Unavailable> {
        let failed = || Unavailable("the private key could not be sealed".to_owned());
        let key = PrivateKey::generate(algorithm)?;
        let public = key.public().ok_or_else(failed)?;
        let kid = public.kid.as_deref().unwrap_or_default();
        let der = key.to_pkcs8().ok_or_else(failed)?;
        let nonce = draw::<{ sealed::NONCE_BYTES }>()?;
        let aad = sealed::context(zone, kid, algorithm);
        let payload = Payload { msg: &der, aad: &aad };
        let ciphertext =
            self.cipher.encrypt(Nonce::from_slice(&*nonce), payload).map_err(|_| failed())?;
        Ok(NewKey { wrapped: sealed::join(&nonce, &ciphertext), public })
    }

    /// Opens a sealed key. Zone, `kid` and algorithm must be those that it was sealed for.
    ///
    /// # Errors
    ///
    /// It does not open, or it is one that this target does not sign with.
    pub fn open(
        &self,
        zone: &str,
        kid: &str,
        algorithm: Algorithm,
        bytes: &[u8],
    ) -> Result<PrivateKey, Unavailable> {
        if !matches!(algorithm, Algorithm::ES256 | Algorithm::ES384 | Algorithm::EdDSA) {
            return Err(unsigned(algorithm));
        }
        let opened = sealed::split(bytes).and_then(|(nonce, ciphertext)| {
            let aad = sealed::context(zone, kid, algorithm);
            let payload = Payload { msg: ciphertext, aad: &aad };
            self.cipher.decrypt(Nonce::from_slice(nonce), payload).ok().map(Zeroizing::new)
        });
        opened.and_then(|der| PrivateKey::from_pkcs8(algorithm, &der)).ok_or_else(|| {
            Unavailable(format!(
                "the signing key `{kid}` does not open: put back the wrapping key \
                 (`writ_wrapping_key`) that it was made with"
            ))
        })
    }
}

impl std::fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WrappingKey").finish_non_exhaustive()
    }
}

fn unsigned(algorithm: Algorithm) -> Unavailable {
    Unavailable(format!(
        "Spin does not sign with {}: an RSA signature costs ten milliseconds there; let the zone's \
         algorithm be `EdDSA` or `ES256`",
        algorithm.name()
    ))
}

fn draw<const N: usize>() -> Result<Zeroizing<[u8; N]>, Unavailable> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes)
        .map_err(|_| Unavailable("the platform gave no random bytes".to_owned()))?;
    Ok(bytes)
}
