//! A token that Writ issued, as whoever receives it reads it: with nothing but the key set.

use serde_json::Value;
use writ_core::encoding::from_base64url;
use writ_core::jwk::{Algorithm, PublicKey};
use writ_process::crypto;

/// The claims of a token, whoever signed it.
pub(super) fn claims(token: &str) -> Option<Value> {
    part(token.split('.').nth(1)?)
}

/// Whether the signature is that of the key in `set` that the header names.
pub(super) fn is_signed(token: &str, set: &Value) -> bool {
    verify(token, set).unwrap_or_default()
}

fn verify(token: &str, set: &Value) -> Option<bool> {
    let (signed, signature) = token.rsplit_once('.')?;
    let header = part(signed.split('.').next()?)?;
    let kid = header.get("kid")?.as_str()?;
    let algorithm = Algorithm::from_name(header.get("alg")?.as_str()?)?;
    let keys = set.get("keys")?.as_array()?;
    let key = keys.iter().find(|key| key.get("kid").is_some_and(|id| id == kid))?;
    let key = PublicKey::parse(key.as_object()?).ok()?;
    Some(crypto::verify(algorithm, &key, signed.as_bytes(), &from_base64url(signature)?))
}

fn part(text: &str) -> Option<Value> {
    serde_json::from_slice(&from_base64url(text)?).ok()
}
