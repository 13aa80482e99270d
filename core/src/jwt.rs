//! JSON Web Tokens (RFC 7519) in compact form: the one place where a token is taken apart or put
//! together.
//!
//! Reading is in two steps, because signatures are the host's: [`Unverified::parse`] takes the text
//! apart, so that the caller can find the issuer's row and key; [`verify`] has the host check the
//! signature and lets `jwt-compact` join algorithm, message and verdict. Only [`verify`] makes
//! [`Claims`]. Nothing in a header ever leads to a key but `kid`, as an opaque name (J05). The one
//! exception is a proof of a key's possession, which brings its key and vouches for nobody else.

use std::borrow::Cow;

use jwt_compact::{
    AlgorithmExt, AlgorithmSignature, Header, ParseError, UntrustedToken, ValidationError,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::encoding::{base64url, from_base64url, tagged_hash};
use crate::host::{Host, Outside, Unavailable};
use crate::jwk::{Algorithm, PublicKey};
use crate::limits;

/// A token taken apart, of which nothing is known to be true.
pub struct Unverified<'a> {
    token: UntrustedToken<'a>,
    /// What the signature is made over.
    signed: &'a str,
    /// The same as `jwt-compact` was shown it.
    shown: Cow<'a, str>,
    /// The algorithm that the header claims.
    pub algorithm: Algorithm,
    /// The key id.
    pub kid: Option<String>,
    /// The header's `typ` in lower case, without `application/`; empty where there is none.
    pub typ: String,
    claims: Value,
}

/// Why a token cannot be read. The text is for the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// Longer than its kind may be: [`limits::TOKEN_BYTES`] where nothing else is said.
    Oversized,
    /// Not three strict base64url parts of which two are strict JSON objects.
    Malformed(String),
    /// An algorithm that does not exist here, `none` and HMAC among them.
    Algorithm(String),
    /// A header parameter that we refuse: `crit`, `b64`, `jku`, `jwk`, `x5u`, `x5c`, `enc`, `zip`, `cty`.
    Header(String),
}

impl<'a> Unverified<'a> {
    /// Takes a compact token apart.
    ///
    /// # Errors
    ///
    /// See [`TokenFault`].
    pub fn parse(text: &'a str) -> Result<Self, TokenFault> {
        Self::parse_within(text, limits::TOKEN_BYTES)
    }

    /// As [`Unverified::parse`], for a kind of token that has at most `most` bytes.
    ///
    /// # Errors
    ///
    /// See [`TokenFault`].
    pub fn parse_within(text: &'a str, most: usize) -> Result<Self, TokenFault> {
        Self::apart(text, most, &REFUSED).map(|(token, _)| token)
    }

    /// Takes a token apart that brings its own key in `jwk`: a DPoP proof (RFC 9449 §4.2), and nothing
    /// else. All that it can prove is that its sender has the private key.
    ///
    /// # Errors
    ///
    /// See [`TokenFault`]; also where there is no `jwk`, or it is not the public key of a signature.
    pub fn parse_with_key(text: &'a str) -> Result<(Self, PublicKey), TokenFault> {
        let refused: Vec<&str> = REFUSED.into_iter().filter(|name| *name != KEY).collect();
        let (token, header) = Self::apart(text, limits::TOKEN_BYTES, &refused)?;
        let bad = |what: &str| TokenFault::Header(format!("`{KEY}`: {what}"));
        let jwk = header.get(KEY).and_then(Value::as_object).ok_or_else(|| bad("no JWK"))?;
        let key = PublicKey::parse(jwk).map_err(|error| bad(&error.to_string()))?;
        Ok((token, key))
    }

    fn apart(
        text: &'a str,
        most: usize,
        refused: &[&str],
    ) -> Result<(Self, Map<String, Value>), TokenFault> {
        if text.len() > most {
            return Err(TokenFault::Oversized);
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenFault::Malformed("not three parts".to_owned()));
        };
        let header = part(header, "header")?;
        let (algorithm, kid, typ) = read_header(&header, refused)?;
        let claims = Value::Object(part(payload, "payload")?);
        let (signed, signature) = text.rsplit_once('.').unwrap_or_default();
        let malformed = |error: ParseError| TokenFault::Malformed(error.to_string());
        let (shown, token) = match without_thumbprints(&header) {
            None => (Cow::Borrowed(signed), UntrustedToken::try_from(text).map_err(malformed)?),
            Some(without) => {
                let shown = format!("{without}.{payload}");
                let text = format!("{shown}.{signature}");
                let token = UntrustedToken::try_from(text.as_str()).map_err(malformed)?;
                (Cow::Owned(shown), token.into_owned())
            }
        };
        Ok((Self { token, signed, shown, algorithm, kid, typ, claims }, header))
    }

    /// The `iss` that the token claims.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// A claim that nobody vouches for yet: to choose between rows and keys, never to decide.
    #[must_use]
    pub fn unverified_claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }

    /// A hash that names the token: of what is signed, never of the signature, since an ECDSA
    /// signature has a twin that is as valid (J12).
    #[must_use]
    pub fn proof(&self) -> [u8; 32] {
        tagged_hash("proof", &[self.signed.as_bytes()])
    }
}

fn part(text: &str, name: &str) -> Result<Map<String, Value>, TokenFault> {
    let bytes = from_base64url(text)
        .ok_or_else(|| TokenFault::Malformed(format!("the {name} is not base64url")))?;
    crate::strict::object(&bytes)
        .map_err(|error| TokenFault::Malformed(format!("the {name}: {error}")))
}

/// The header without certificate thumbprints, where it has any. We ignore them, but `jwt-compact`
/// refuses one that is not as long as a hash.
fn without_thumbprints(header: &Map<String, Value>) -> Option<String> {
    let names = ["x5t", "x5t#S256"];
    if !names.iter().any(|name| header.contains_key(*name)) {
        return None;
    }
    let mut header = header.clone();
    header.retain(|name, _| !names.contains(&name.as_str()));
    Some(base64url(Value::Object(header).to_string().as_bytes()))
}

/// Header parameters that no token may have.
const REFUSED: [&str; 9] = ["crit", "b64", "jku", KEY, "x5u", "x5c", "enc", "zip", "cty"];
/// The one of them that a proof of possession must have.
const KEY: &str = "jwk";

fn read_header(
    header: &Map<String, Value>,
    refused: &[&str],
) -> Result<(Algorithm, Option<String>, String), TokenFault> {
    if let Some(name) = refused.iter().find(|name| header.contains_key(**name)) {
        return Err(TokenFault::Header(format!("`{name}` is present")));
    }
    let text = |name: &str| match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(TokenFault::Header(format!("`{name}` is not a string"))),
    };
    let name = text("alg")?.unwrap_or_default();
    let algorithm =
        Algorithm::from_name(name).ok_or_else(|| TokenFault::Algorithm(name.to_owned()))?;
    let kid = text("kid")?;
    if kid.is_some_and(|kid| kid.len() > limits::KID_BYTES) {
        return Err(TokenFault::Header("`kid` is too long".to_owned()));
    }
    let typ = text("typ")?.unwrap_or_default().to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ).to_owned();
    Ok((algorithm, kid.map(str::to_owned), typ))
}

/// Claims whose signature was verified. Only [`verify`] makes one.
#[derive(Clone, Debug)]
pub struct Claims(Value);

impl Claims {
    /// The value at a JSON Pointer (RFC 6901).
    #[must_use]
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        self.0.pointer(pointer)
    }

    /// The claim `name`, if it is a string.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// The claim `name`, of whatever type.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The claims as a type of ours.
    ///
    /// # Errors
    ///
    /// What does not fit, for the record.
    pub fn read<T: for<'de> Deserialize<'de>>(&self) -> Result<T, String> {
        T::deserialize(&self.0).map_err(|error| error.to_string())
    }
}

/// What became of a signature.
pub enum Verdict {
    /// It is the key's.
    Verified(Claims),
    /// It is not, or the key is not for the token's algorithm.
    Forged,
    /// It is, but the claims have a time that is no whole number of seconds (J14).
    Malformed(String),
}

/// Verifies the signature with `key`.
///
/// # Errors
///
/// The host's.
pub async fn verify<O: Outside>(
    host: &O,
    token: Unverified<'_>,
    key: &PublicKey,
) -> Result<Verdict, Unavailable> {
    if !key.serves(token.algorithm) {
        return Ok(Verdict::Forged);
    }
    let message = token.signed.as_bytes();
    let signature = token.token.signature_bytes();
    if !host.verify(token.algorithm, key, message, signature).await? {
        return Ok(Verdict::Forged);
    }
    let witness = Witness { message: token.shown.as_bytes(), signature };
    let pinned = Witnessed { name: token.algorithm.name(), lifetime: std::marker::PhantomData };
    let joined = pinned.validator::<serde::de::IgnoredAny>(&witness).validate(&token.token);
    Ok(match joined {
        Ok(_) => Verdict::Verified(Claims(token.claims)),
        Err(ValidationError::MalformedClaims(error)) => Verdict::Malformed(error.to_string()),
        Err(_) => Verdict::Forged,
    })
}

/// What the host has verified: this message, as `jwt-compact` was shown it, with this signature.
struct Witness<'a> {
    message: &'a [u8],
    signature: &'a [u8],
}

/// The algorithm of [`verify`]: `jwt-compact` compares the header's `alg` with the name, and the
/// token's own bytes with the witness's.
struct Witnessed<'a> {
    name: &'static str,
    lifetime: std::marker::PhantomData<&'a ()>,
}

impl<'a> jwt_compact::Algorithm for Witnessed<'a> {
    type SigningKey = std::convert::Infallible;
    type VerifyingKey = Witness<'a>;
    type Signature = Raw;

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(self.name)
    }

    fn sign(&self, key: &Self::SigningKey, _message: &[u8]) -> Raw {
        match *key {}
    }

    fn verify_signature(&self, signature: &Raw, key: &Witness<'a>, message: &[u8]) -> bool {
        message == key.message && signature.0 == key.signature
    }
}

/// Signature bytes of any length.
struct Raw(Vec<u8>);

impl AlgorithmSignature for Raw {
    fn try_from_slice(slice: &[u8]) -> anyhow::Result<Self> {
        Ok(Self(slice.to_vec()))
    }

    fn as_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.0)
    }
}

/// Signs `claims` as a token of `typ` with the zone's key `kid`.
///
/// # Errors
///
/// The host's.
pub async fn sign<H: Host, T: Serialize>(
    host: &H,
    zone: &str,
    algorithm: Algorithm,
    kid: &str,
    typ: &str,
    claims: T,
) -> Result<String, Unavailable> {
    let message = signing_input(algorithm, Some(kid), typ, claims)
        .map_err(|what| Unavailable(format!("the token's claims have no JSON form: {what}")))?;
    let signature = host.sign(zone, kid, message.as_bytes()).await?;
    Ok(format!("{message}.{}", base64url(&signature)))
}

/// What the signature of a token is made over (RFC 7515 §5.1): header and claims, encoded.
///
/// # Errors
///
/// The claims have no JSON form, and why.
pub fn signing_input<T: Serialize>(
    algorithm: Algorithm,
    kid: Option<&str>,
    typ: &str,
    claims: T,
) -> Result<String, String> {
    let header = Header::empty().with_token_type(typ);
    let header = match kid {
        Some(kid) => header.with_key_id(kid),
        None => header,
    };
    let prepared = Prepared(algorithm.name())
        .token(&header, &jwt_compact::Claims::new(claims), &())
        .map_err(|error| error.to_string())?;
    Ok(prepared.strip_suffix('.').unwrap_or(&prepared).to_owned())
}

/// The algorithm of [`signing_input`]: it renders header and claims with an empty signature, which is
/// then replaced by the signer's.
struct Prepared(&'static str);

impl jwt_compact::Algorithm for Prepared {
    type SigningKey = ();
    type VerifyingKey = std::convert::Infallible;
    type Signature = Raw;

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(self.0)
    }

    fn sign(&self, (): &(), _message: &[u8]) -> Raw {
        Raw(Vec::new())
    }

    fn verify_signature(
        &self,
        _signature: &Raw,
        key: &std::convert::Infallible,
        _message: &[u8],
    ) -> bool {
        match *key {}
    }
}
