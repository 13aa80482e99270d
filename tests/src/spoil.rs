//! Everything that can be wrong with a compact token and is not a matter of its claims.

use serde::Deserialize;
use writ_core::encoding::base64url;

/// One way to spoil a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spoil {
    /// The payload holds a byte that is no UTF-8. Signed like this.
    PayloadNotUtf8,
    /// The payload begins with a byte order mark. Signed like this.
    PayloadWithMark,
    /// The payload is padded with `=`. Signed like this: only strictness refuses it.
    Padded,
    /// The payload is in the alphabet with `+` and `/`. Signed like this.
    StandardAlphabet,
    /// A line break in the payload. Signed like this.
    LineBreak,
    /// Unused bits of the payload's last digit are set. Signed like this.
    TrailingBits,
    /// A member is added to the header after signing.
    AlteredHeader,
    /// A member is added to the claims after signing.
    AlteredPayload,
    /// One bit of the signature is turned.
    AlteredSignature,
    /// The signature is empty.
    NoSignature,
    /// All bytes of the signature are zero.
    ZeroSignature,
    /// The signature lacks its last byte.
    ShortSignature,
    /// The signature has one byte more.
    LongSignature,
    /// The ECDSA signature is in DER.
    DerSignature,
    /// The other valid ECDSA signature, `(r, n - s)`: good arithmetic, another text.
    TwinSignature,
    /// The signature is padded with `=`.
    PaddedSignature,
    /// Unused bits of the signature's last digit are set.
    SignatureTrailingBits,
    /// The signature and its dot are missing.
    TwoParts,
    /// A dot follows.
    ExtraDot,
    /// Two more parts follow, as in a JWE.
    FiveParts,
    /// The flattened JSON serialisation (RFC 7515 §7.2.2).
    JsonSerialization,
    /// A space precedes.
    LeadingSpace,
}

/// The two texts that are signed.
pub struct Signed {
    /// The encoded header.
    pub header: String,
    /// The encoded payload.
    pub payload: String,
}

impl Spoil {
    /// What becomes of the payload's bytes before they are encoded.
    pub fn payload(self, payload: &mut Vec<u8>) {
        match self {
            Self::PayloadNotUtf8 => {
                let end = payload.iter().rposition(|byte| *byte == b'}').unwrap();
                payload.splice(end..end, *b",\"bad\":\"\xff\"");
            }
            Self::PayloadWithMark => {
                payload.splice(0..0, *b"\xef\xbb\xbf");
            }
            // A length that leaves bits unused, by a space that JSON ignores.
            Self::TrailingBits | Self::Padded if payload.len().is_multiple_of(3) => {
                payload.push(b' ');
            }
            _ => {}
        }
    }

    /// What becomes of the texts before they are signed.
    pub fn before(self, signed: &mut Signed) {
        let payload = &mut signed.payload;
        match self {
            Self::Padded => {
                let missing = 4 - payload.len() % 4;
                payload.push_str(&"=".repeat(missing % 4));
            }
            Self::StandardAlphabet => {
                let other = payload.replace('-', "+").replace('_', "/");
                assert_ne!(*payload, other, "the payload has no digit that differs");
                *payload = other;
            }
            Self::LineBreak => payload.insert(payload.len() / 2, '\n'),
            Self::TrailingBits => *payload = with_trailing_bits(payload),
            _ => {}
        }
    }

    /// What becomes of the signature.
    pub fn signature(self, signature: &mut Vec<u8>) {
        match self {
            Self::AlteredSignature => signature[0] ^= 1,
            Self::NoSignature => signature.clear(),
            Self::ZeroSignature => signature.fill(0),
            Self::ShortSignature => {
                signature.pop();
            }
            Self::LongSignature => signature.push(0),
            Self::DerSignature => *signature = crate::der::signature(signature),
            Self::TwinSignature => negate_s(signature),
            _ => {}
        }
    }

    /// What becomes of the three texts when they are put together.
    pub fn after(self, signed: &mut Signed, signature: &mut String) {
        match self {
            Self::AlteredHeader => signed.header = with_member(&signed.header),
            Self::AlteredPayload => signed.payload = with_member(&signed.payload),
            Self::PaddedSignature => signature.push_str("=="),
            Self::SignatureTrailingBits => *signature = with_trailing_bits(signature),
            _ => {}
        }
    }

    /// What becomes of the finished token.
    pub fn whole(self, token: String) -> String {
        match self {
            Self::TwoParts => token.rsplit_once('.').unwrap().0.to_owned(),
            Self::ExtraDot => format!("{token}."),
            Self::FiveParts => format!("{token}.AAAA.AAAA"),
            Self::LeadingSpace => format!(" {token}"),
            Self::JsonSerialization => {
                let parts: Vec<&str> = token.split('.').collect();
                serde_json::json!({
                    "protected": parts[0], "payload": parts[1], "signature": parts[2],
                })
                .to_string()
            }
            _ => token,
        }
    }
}

fn with_trailing_bits(text: &str) -> String {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    assert_ne!(text.len() % 4, 0, "no bits of the last digit are unused");
    let (rest, last) = text.split_at(text.len() - 1);
    let value = DIGITS.find(last).unwrap();
    format!("{rest}{}", &DIGITS[value + 1..=value + 1])
}

fn with_member(encoded: &str) -> String {
    let mut text = writ_core::encoding::from_base64url(encoded).unwrap();
    let end = text.iter().rposition(|byte| *byte == b'}').unwrap();
    text.splice(end..end, *b",\"altered\":true");
    base64url(&text)
}

/// Replaces `s` by `n - s`, for P-256 and P-384.
fn negate_s(signature: &mut [u8]) {
    let order = match signature.len() {
        64 => "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        96 => concat!(
            "ffffffffffffffffffffffffffffffffffffffffffffffff",
            "c7634d81f4372ddf581a0db248b0a77aecec196accc52973",
        ),
        other => panic!("an ECDSA signature of {other} bytes"),
    };
    let half = signature.len() / 2;
    let mut borrow = 0;
    for (index, byte) in signature[half..].iter_mut().enumerate().rev() {
        let digit = i16::from_str_radix(&order[2 * index..2 * index + 2], 16).unwrap();
        let difference = digit - i16::from(*byte) - borrow;
        borrow = i16::from(difference < 0);
        *byte = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;
    use writ_core::jwk::Algorithm;

    #[test]
    fn j12_the_twin_of_an_ecdsa_signature_is_valid_arithmetic() {
        for algorithm in [Algorithm::ES256, Algorithm::ES384] {
            let key = keys::key("twins", algorithm);
            let mut signature = key.sign(b"message").unwrap();
            let first = signature.clone();
            Spoil::TwinSignature.signature(&mut signature);
            assert_ne!(signature, first);
            assert!(keys::verify(algorithm, &key.public(None), b"message", &signature));
        }
    }
}
