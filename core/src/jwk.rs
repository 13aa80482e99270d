//! JSON Web Keys (RFC 7517) as we accept them: public, asymmetric, of a checked size, and bound to
//! what they may be used for.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::encoding::{base64url, from_base64url};
use crate::limits;

/// The signature algorithms of RFC 7518 §3.1 and RFC 8037 that exist here. There is no `none` and
/// no HMAC to configure, so there is none to confuse (J01, J02).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the algorithms'")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 9] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// The `alg` value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }

    /// The algorithm with exactly this `alg` value.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Whether a key of this material can be used with the algorithm.
    #[must_use]
    pub fn fits(self, material: &Material) -> bool {
        match self {
            Self::RS256 | Self::RS384 | Self::RS512 | Self::PS256 | Self::PS384 | Self::PS512 => {
                matches!(material, Material::Rsa { .. })
            }
            Self::ES256 => matches!(material, Material::P256 { .. }),
            Self::ES384 => matches!(material, Material::P384 { .. }),
            Self::EdDSA => matches!(material, Material::Ed25519 { .. }),
        }
    }
}

/// A public key and the one algorithm that it is used with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct PublicKey {
    /// The key's id, where it has one.
    pub kid: Option<String>,
    /// The algorithm that the key set binds it to. Without one, any that fits its material.
    pub algorithm: Option<Algorithm>,
    /// The key itself.
    pub material: Material,
}

/// The numbers of a public key, big-endian.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Material {
    /// RSA: modulus of 2048 to 8192 bits without leading zeros, odd exponent above 2.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
    /// P-256: two coordinates of 32 bytes. Whether the point lies on the curve is the host's to
    /// say when it verifies.
    P256 {
        /// The x coordinate.
        x: [u8; 32],
        /// The y coordinate.
        y: [u8; 32],
    },
    /// P-384: two coordinates of 48 bytes.
    P384 {
        /// The x coordinate.
        x: [u8; 48],
        /// The y coordinate.
        y: [u8; 48],
    },
    /// Ed25519: the encoded point.
    Ed25519 {
        /// The encoded point.
        x: [u8; 32],
    },
}

/// Why a JWK is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwkError {
    /// It is of a kind we do not use (another `kty`, curve or `use`): skipped without a word, as
    /// RFC 7517 §5 wants.
    Foreign,
    /// It carries private members, which its owner has now published (J07).
    Private,
    /// Something in it is wrong.
    Malformed(&'static str),
}

impl std::fmt::Display for JwkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Foreign => {
                f.write_str("the key is of a kind that is not used for signatures here")
            }
            Self::Private => f.write_str("the key carries private members"),
            Self::Malformed(what) => f.write_str(what),
        }
    }
}

impl PublicKey {
    /// Reads one key of a key set.
    ///
    /// # Errors
    ///
    /// See [`JwkError`].
    pub fn parse(jwk: &Map<String, Value>) -> Result<Self, JwkError> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let kty = text("kty").ok_or(JwkError::Malformed("`kty` is missing"))?;
        if !matches!(kty, "RSA" | "EC" | "OKP") {
            return Err(JwkError::Foreign);
        }
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|name| jwk.contains_key(*name))
        {
            return Err(JwkError::Private);
        }
        if text("use").is_some_and(|usage| usage != "sig") {
            return Err(JwkError::Foreign);
        }
        if let Some(ops) = jwk.get("key_ops").and_then(Value::as_array)
            && !ops.iter().any(|op| op == "verify")
        {
            return Err(JwkError::Foreign);
        }
        if ["alg", "use"].iter().any(|name| jwk.get(*name).is_some_and(|value| !value.is_string()))
        {
            return Err(JwkError::Malformed("`alg` or `use` is no string"));
        }
        let kid = match jwk.get("kid") {
            None | Some(Value::Null) => None,
            Some(Value::String(kid)) if kid.len() <= limits::KID_BYTES => Some(kid.clone()),
            Some(_) => return Err(JwkError::Malformed("`kid` is not a short string")),
        };
        let material = Material::parse(kty, &text)?;
        let algorithm = match text("alg") {
            None => None,
            Some(name) => {
                let algorithm = Algorithm::from_name(name).ok_or(JwkError::Foreign)?;
                if !algorithm.fits(&material) {
                    return Err(JwkError::Malformed("`alg` does not fit the key"));
                }
                Some(algorithm)
            }
        };
        Ok(Self { kid, algorithm, material })
    }

    /// Whether the key may verify a signature of `algorithm`.
    #[must_use]
    pub fn serves(&self, algorithm: Algorithm) -> bool {
        algorithm.fits(&self.material) && self.algorithm.is_none_or(|own| own == algorithm)
    }

    /// The JWK's public members, with `use`.
    #[must_use]
    pub fn to_jwk(&self) -> Map<String, Value> {
        let mut jwk = self.material.members();
        if let Some(kid) = &self.kid {
            jwk.insert("kid".into(), kid.clone().into());
        }
        if let Some(algorithm) = self.algorithm {
            jwk.insert("alg".into(), algorithm.name().into());
        }
        jwk.insert("use".into(), "sig".into());
        jwk
    }
}

impl Material {
    /// How long every signature of this key is (RFC 7518 §3.3 to §3.5, RFC 8037 §3.1; for RSA as long as
    /// the modulus, RFC 8017 §8). For platforms that take another length for a fault of their own.
    #[must_use]
    pub fn signature_bytes(&self) -> usize {
        match self {
            Self::Rsa { n, .. } => n.len(),
            Self::P256 { .. } | Self::Ed25519 { .. } => 64,
            Self::P384 { .. } => 96,
        }
    }

    fn parse<'a>(kty: &str, text: &impl Fn(&str) -> Option<&'a str>) -> Result<Self, JwkError> {
        let bytes = |name: &str, what: &'static str| {
            text(name).and_then(from_base64url).ok_or(JwkError::Malformed(what))
        };
        match (kty, text("crv")) {
            ("RSA", _) => {
                let n = bytes("n", "`n` is not base64url")?;
                let e = bytes("e", "`e` is not base64url")?;
                Self::rsa(n, e)
            }
            ("EC", Some("P-256")) => Ok(Self::P256 {
                x: exactly(bytes("x", "`x` is not base64url")?)?,
                y: exactly(bytes("y", "`y` is not base64url")?)?,
            }),
            ("EC", Some("P-384")) => Ok(Self::P384 {
                x: exactly(bytes("x", "`x` is not base64url")?)?,
                y: exactly(bytes("y", "`y` is not base64url")?)?,
            }),
            ("OKP", Some("Ed25519")) => {
                Ok(Self::Ed25519 { x: exactly(bytes("x", "`x` is not base64url")?)? })
            }
            (_, Some(_)) => Err(JwkError::Foreign),
            (_, None) => Err(JwkError::Malformed("`crv` is missing")),
        }
    }

    /// An RSA key of a size we accept (J12).
    ///
    /// # Errors
    ///
    /// A modulus outside 2048 to 8192 bits, an even or tiny exponent.
    pub fn rsa(n: Vec<u8>, e: Vec<u8>) -> Result<Self, JwkError> {
        let n: Vec<u8> = n.into_iter().skip_while(|byte| *byte == 0).collect();
        let e: Vec<u8> = e.into_iter().skip_while(|byte| *byte == 0).collect();
        let bits = n.first().map_or(0, |first| {
            n.len().saturating_mul(8).saturating_sub(first.leading_zeros() as usize)
        });
        if !(limits::RSA_BITS..=limits::RSA_BITS_MAX).contains(&bits) {
            return Err(JwkError::Malformed("the RSA modulus does not have 2048 to 8192 bits"));
        }
        let odd = |bytes: &[u8]| bytes.last().is_some_and(|last| last % 2 == 1);
        if !odd(&n) || !odd(&e) || e == [1] || e.len() > 4 {
            return Err(JwkError::Malformed("the RSA modulus or exponent is not usable"));
        }
        Ok(Self::Rsa { n, e })
    }

    fn members(&self) -> Map<String, Value> {
        let pairs: Vec<(&str, String)> = match self {
            Self::Rsa { n, e } => {
                vec![("e", base64url(e)), ("kty", "RSA".into()), ("n", base64url(n))]
            }
            Self::P256 { x, y } => vec![
                ("crv", "P-256".into()),
                ("kty", "EC".into()),
                ("x", base64url(x)),
                ("y", base64url(y)),
            ],
            Self::P384 { x, y } => vec![
                ("crv", "P-384".into()),
                ("kty", "EC".into()),
                ("x", base64url(x)),
                ("y", base64url(y)),
            ],
            Self::Ed25519 { x } => {
                vec![("crv", "Ed25519".into()), ("kty", "OKP".into()), ("x", base64url(x))]
            }
        };
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
    }

    /// The JWK thumbprint with SHA-256 (RFC 7638), base64url.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        let ordered: std::collections::BTreeMap<_, _> = self.members().into_iter().collect();
        let text = serde_json::to_vec(&ordered).unwrap_or_default();
        base64url(&crate::encoding::sha256(&text))
    }
}

fn exactly<const N: usize>(bytes: Vec<u8>) -> Result<[u8; N], JwkError> {
    bytes.try_into().map_err(|_| JwkError::Malformed("a coordinate has the wrong length"))
}

impl TryFrom<Map<String, Value>> for PublicKey {
    type Error = String;

    fn try_from(jwk: Map<String, Value>) -> Result<Self, String> {
        Self::parse(&jwk).map_err(|error| error.to_string())
    }
}

impl From<PublicKey> for Map<String, Value> {
    fn from(key: PublicKey) -> Self {
        key.to_jwk()
    }
}
