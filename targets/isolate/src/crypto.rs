//! Signatures by WebCrypto, and private keys at rest.
//!
//! Everything here is arithmetic: the core has chosen the key and the algorithm, and this file says
//! whether the numbers agree (RFC 7518 §3, RFC 8037 §3.1). A key or signature of the wrong shape is a
//! signature that does not verify; a platform that fails is no answer at all. Private keys are wrapped and unwrapped by the platform itself, so
//! their bytes never enter this module's memory.

use std::cell::RefCell;
use std::collections::HashMap;

use js_sys::futures::JsFuture;
use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Crypto, CryptoKey, CryptoKeyPair, SubtleCrypto};
use writ_core::copies::CopyKey;
use writ_core::deployment::WRAPPING_KEY;
use writ_core::encoding::{base64url, from_base64url};
use writ_core::host::{NewKey, Unavailable};
use writ_core::jwk::{Algorithm, Material, PublicKey};
use writ_core::sealed;

use crate::told;

/// Whether `signature` is `key`'s over `message`.
///
/// # Errors
///
/// The platform failed: it says nothing about the signature.
pub async fn verify(
    algorithm: Algorithm,
    key: &PublicKey,
    message: &[u8],
    signature: &[u8],
) -> Result<bool, Unavailable> {
    // The platform takes an Ed25519 signature of another length for a fault, which it is not.
    if !key.serves(algorithm) || signature.len() != key.material.signature_bytes() {
        return Ok(false);
    }
    let key = match public(algorithm, &key.material).await {
        Ok(key) => key,
        // A point that is not on its curve, or numbers that are no key (J13).
        Err(error) if is_no_key(&error) => return Ok(false),
        Err(error) => return Err(fault("reading a key", &error)),
    };
    let verified = subtle()?.verify_with_object_and_js_u8_array_and_js_u8_array(
        &parameters(algorithm),
        &key,
        &signature.into(),
        &message.into(),
    );
    // What else is wrong with a signature makes it `false`, and never an error: tests/tests/worker/signatures.rs
    // has every vector of Project Wycheproof say so.
    let verdict = finish(verified).await.map_err(|error| fault("verifying", &error))?;
    verdict.as_bool().ok_or_else(|| Unavailable("the platform gave no verdict".into()))
}

/// A private key of a zone in this isolate. It cannot be exported again.
#[derive(Clone)]
pub struct PrivateKey {
    algorithm: Algorithm,
    key: CryptoKey,
}

impl PrivateKey {
    /// Signs `message` in the form that JWS wants.
    ///
    /// # Errors
    ///
    /// The platform could not sign.
    pub async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unavailable> {
        let (parameters, message) = (parameters(self.algorithm), message.into());
        let signed = subtle()?.sign_with_object_and_js_u8_array(&parameters, &self.key, &message);
        let signature = finish(signed).await.map_err(|error| fault("signing", &error))?;
        Ok(Uint8Array::new(&signature).to_vec())
    }
}

/// The private key of this id, where this isolate has unwrapped it. A key of an id never changes.
pub fn kept(zone: &str, kid: &str) -> Option<PrivateKey> {
    PRIVATE.with_borrow(|keys| keys.get(&(zone.to_owned(), kid.to_owned())).cloned())
}

/// What private keys are sealed with ([`writ_core::sealed`]).
pub struct Wrapping([u8; sealed::KEY_BYTES]);

impl Wrapping {
    /// Reads the wrapping key: base64url of 32 bytes.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn new(text: &str) -> Result<Self, Unavailable> {
        let bytes = from_base64url(text.trim()).and_then(|key| key.try_into().ok());
        let malformed = || format!("`{WRAPPING_KEY}` is not 32 bytes in base64url without padding");
        bytes.map(Self).ok_or_else(|| Unavailable(malformed()))
    }

    /// What published copies are sealed with.
    pub fn copies(&self) -> CopyKey {
        CopyKey::new(&self.0)
    }

    /// Makes a new key of `zone`. An RSA key has 2048 bits: it is for clients that know nothing
    /// else, and every further bit costs each of its signatures.
    ///
    /// # Errors
    ///
    /// The platform makes no such key, or cannot wrap it.
    pub async fn generate(&self, zone: &str, algorithm: Algorithm) -> Result<NewKey, Unavailable> {
        let failed = |error: JsValue| fault("making a key", &error);
        let subtle = subtle()?;
        let made =
            subtle.generate_key_with_object(&kind(algorithm), true, &usages(&["sign", "verify"]));
        let pair: CryptoKeyPair = finish(made).await.map_err(failed)?.unchecked_into();
        let jwk = finish(subtle.export_key("jwk", &pair.get_public_key())).await.map_err(failed)?;
        let material = material(&jwk).ok_or_else(|| Unavailable("the key is unreadable".into()))?;
        let kid = material.thumbprint();
        let mut nonce = [0; sealed::NONCE_BYTES];
        random(&mut nonce)?;
        let wrapped = subtle.wrap_key_with_object(
            "pkcs8",
            &pair.get_private_key(),
            &self.key().await.map_err(failed)?,
            &gcm(&nonce, zone, &kid, algorithm),
        );
        let wrapped = Uint8Array::new(&finish(wrapped).await.map_err(failed)?).to_vec();
        let public = PublicKey { kid: Some(kid), algorithm: Some(algorithm), material };
        Ok(NewKey { public, wrapped: sealed::join(&nonce, &wrapped) })
    }

    /// Opens a sealed key, and keeps it. Zone, kid and algorithm must be those it was sealed for.
    ///
    /// # Errors
    ///
    /// It does not open: another wrapping key, another record's key, or a changed byte.
    pub async fn open(
        &self,
        zone: &str,
        kid: &str,
        algorithm: Algorithm,
        wrapped: &[u8],
    ) -> Result<PrivateKey, Unavailable> {
        let failed = || {
            Unavailable(format!(
                "the signing key `{kid}` does not open with `{WRAPPING_KEY}`: put back the one \
                 that it was sealed with"
            ))
        };
        let (nonce, ciphertext) = sealed::split(wrapped).ok_or_else(failed)?;
        let opened = subtle()?.unwrap_key_with_js_u8_array_and_object_and_object(
            "pkcs8",
            &ciphertext.into(),
            &self.key().await.map_err(|_| failed())?,
            &gcm(nonce, zone, kid, algorithm),
            &kind(algorithm),
            false,
            &usages(&["sign"]),
        );
        let key: CryptoKey = finish(opened).await.map_err(|_| failed())?.unchecked_into();
        let key = PrivateKey { algorithm, key };
        let name = (zone.to_owned(), kid.to_owned());
        PRIVATE.with_borrow_mut(|keys| keep(keys, name, key.clone()));
        Ok(key)
    }

    async fn key(&self) -> Result<CryptoKey, JsValue> {
        let bytes = Uint8Array::from(self.0.as_slice());
        let kind = object(&[("name", "AES-GCM".into())]);
        import("raw", &bytes, &kind, &["wrapKey", "unwrapKey"]).await
    }
}

/// Fills `bytes` from the platform's generator.
///
/// # Errors
///
/// There is none.
pub fn random(bytes: &mut [u8]) -> Result<(), Unavailable> {
    let filled = crypto()?.get_random_values_with_u8_array(bytes);
    filled.map(drop).map_err(|error| fault("drawing random bytes", &error))
}

async fn public(algorithm: Algorithm, material: &Material) -> Result<CryptoKey, JsValue> {
    let name = (algorithm, number(material));
    if let Some(key) = PUBLIC.with_borrow(|keys| keys.get(&name).cloned()) {
        return Ok(key);
    }
    let kind = kind(algorithm);
    let key = match material {
        Material::Rsa { n, e } => {
            let jwk = object(&[
                ("kty", "RSA".into()),
                ("n", base64url(n).into()),
                ("e", base64url(e).into()),
            ]);
            import("jwk", &jwk, &kind, &["verify"]).await
        }
        _ => import("raw", &Uint8Array::from(name.1.as_slice()), &kind, &["verify"]).await,
    }?;
    PUBLIC.with_borrow_mut(|keys| keep(keys, name, key.clone()));
    Ok(key)
}

/// The numbers of a key, in one piece: for a curve in the form that WebCrypto calls raw.
fn number(material: &Material) -> Vec<u8> {
    match material {
        Material::Rsa { n, e } => [n.as_slice(), &[0], e.as_slice()].concat(),
        // SEC 1 §2.3.3: an uncompressed point.
        Material::P256 { x, y } => [&[4], x.as_slice(), y.as_slice()].concat(),
        Material::P384 { x, y } => [&[4], x.as_slice(), y.as_slice()].concat(),
        Material::Ed25519 { x } => x.to_vec(),
    }
}

/// Reads an exported public key. Its other members are the platform's own.
fn material(jwk: &JsValue) -> Option<Material> {
    let mut members = serde_json::Map::new();
    for name in ["kty", "crv", "x", "y", "n", "e"] {
        if let Some(text) = Reflect::get(jwk, &name.into()).ok()?.as_string() {
            members.insert(name.to_owned(), text.into());
        }
    }
    PublicKey::parse(&members).ok().map(|key| key.material)
}

async fn import(
    format: &str,
    data: &Object,
    kind: &Object,
    uses: &[&str],
) -> Result<CryptoKey, JsValue> {
    let subtle = subtle().map_err(|unavailable| unavailable.0)?;
    let imported = subtle.import_key_with_object(format, data, kind, false, &usages(uses));
    finish(imported).await.map(JsCast::unchecked_into)
}

/// What kind of key an algorithm takes.
fn kind(algorithm: Algorithm) -> Object {
    let hash = ("hash", hash(algorithm).into());
    let rsa = |name: &str| {
        let exponent = Uint8Array::from([1, 0, 1].as_slice());
        object(&[
            ("name", name.into()),
            hash.clone(),
            ("modulusLength", 2_048.into()),
            ("publicExponent", exponent.into()),
        ])
    };
    let curve = |name: &str| object(&[("name", "ECDSA".into()), ("namedCurve", name.into())]);
    match algorithm {
        Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => rsa("RSASSA-PKCS1-v1_5"),
        Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512 => rsa("RSA-PSS"),
        Algorithm::ES256 => curve("P-256"),
        Algorithm::ES384 => curve("P-384"),
        Algorithm::EdDSA => object(&[("name", "Ed25519".into())]),
    }
}

/// How an algorithm signs and verifies.
fn parameters(algorithm: Algorithm) -> Object {
    // RFC 7518 §3.5: the salt is as long as the hash.
    let pss =
        |salt: u32| object(&[("name", "RSA-PSS".into()), ("saltLength", JsValue::from(salt))]);
    match algorithm {
        Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => {
            object(&[("name", "RSASSA-PKCS1-v1_5".into())])
        }
        Algorithm::PS256 => pss(32),
        Algorithm::PS384 => pss(48),
        Algorithm::PS512 => pss(64),
        Algorithm::ES256 | Algorithm::ES384 => {
            object(&[("name", "ECDSA".into()), ("hash", hash(algorithm).into())])
        }
        Algorithm::EdDSA => object(&[("name", "Ed25519".into())]),
    }
}

const fn hash(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RS256 | Algorithm::PS256 | Algorithm::ES256 | Algorithm::EdDSA => "SHA-256",
        Algorithm::RS384 | Algorithm::PS384 | Algorithm::ES384 => "SHA-384",
        Algorithm::RS512 | Algorithm::PS512 => "SHA-512",
    }
}

fn gcm(nonce: &[u8; sealed::NONCE_BYTES], zone: &str, kid: &str, algorithm: Algorithm) -> Object {
    let context = sealed::context(zone, kid, algorithm);
    object(&[
        ("name", "AES-GCM".into()),
        ("iv", Uint8Array::from(nonce.as_slice()).into()),
        ("additionalData", Uint8Array::from(context.as_slice()).into()),
        ("tagLength", 128.into()),
    ])
}

fn usages(names: &[&str]) -> JsValue {
    names.iter().map(|name| JsValue::from(*name)).collect::<Array>().into()
}

fn object(members: &[(&str, JsValue)]) -> Object {
    let object = Object::new();
    for (name, value) in members {
        // A plain object takes every member.
        let _ = Reflect::set(&object, &(*name).into(), value);
    }
    object
}

fn crypto() -> Result<Crypto, Unavailable> {
    let found = Reflect::get(&js_sys::global(), &"crypto".into());
    found.map(JsCast::unchecked_into).map_err(|error| fault("finding WebCrypto", &error))
}

fn subtle() -> Result<SubtleCrypto, Unavailable> {
    crypto().map(|crypto| crypto.subtle())
}

async fn finish(promise: Result<Promise, JsValue>) -> Result<JsValue, JsValue> {
    JsFuture::from(promise?).await
}

/// Whether a key was refused for what it is, and not for the platform's own reasons: a point off its curve
/// as a `DataError`; RSA numbers that its library does not compute with, as large exponents, as an
/// `OperationError`. What fails within the platform has neither name.
fn is_no_key(error: &JsValue) -> bool {
    let name = Reflect::get(error, &"name".into()).ok().and_then(|name| name.as_string());
    name.is_some_and(|name| matches!(&*name, "DataError" | "OperationError"))
}

fn fault(what: &str, error: &JsValue) -> Unavailable {
    Unavailable(format!("{what}: {}", told(error)))
}

/// Remembers a key. Imported keys belong to no request.
fn keep<N: Eq + std::hash::Hash, K>(keys: &mut HashMap<N, K>, name: N, key: K) {
    if keys.len() >= KEYS {
        keys.clear();
    }
    keys.insert(name, key);
}

thread_local! {
    static PUBLIC: RefCell<HashMap<(Algorithm, Vec<u8>), CryptoKey>> = RefCell::default();
    static PRIVATE: RefCell<HashMap<(String, String), PrivateKey>> = RefCell::default();
}

/// Keys of each kind that an isolate keeps: those of every issuer in use, and room.
const KEYS: usize = 1_024;
