//! Public keys as DER and PEM (RFC 5280 §4.1), for tokens whose forger takes a public key for a
//! shared secret (J02).

use base64ct::{Base64, Encoding};
use writ_core::jwk::Material;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// The `SubjectPublicKeyInfo` of a key.
pub fn public_key(material: &Material) -> Vec<u8> {
    let (algorithm, key) = match material {
        Material::Rsa { n, e } => {
            let key = element(0x30, &[integer(n), integer(e)].concat());
            ([oid(RSA), element(0x05, &[])].concat(), key)
        }
        Material::P256 { x, y } => ([oid(EC), oid(P256)].concat(), point(x, y)),
        Material::P384 { x, y } => ([oid(EC), oid(P384)].concat(), point(x, y)),
        Material::Ed25519 { x } => (oid(ED25519), x.to_vec()),
    };
    let bits = [&[0], key.as_slice()].concat();
    element(0x30, &[element(0x30, &algorithm), element(0x03, &bits)].concat())
}

/// The same as PEM (RFC 7468 §13).
pub fn pem(material: &Material) -> String {
    let text = Base64::encode_string(&public_key(material));
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

/// An ECDSA signature `r || s` as the DER sequence of two integers that X.509 uses.
pub fn signature(fixed: &[u8]) -> Vec<u8> {
    let (r, s) = fixed.split_at(fixed.len() / 2);
    element(0x30, &[integer(r), integer(s)].concat())
}

fn point(x: &[u8], y: &[u8]) -> Vec<u8> {
    [&[4], x, y].concat()
}

fn oid(bytes: &[u8]) -> Vec<u8> {
    element(0x06, bytes)
}

fn integer(bytes: &[u8]) -> Vec<u8> {
    let mut digits: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    // A leading one bit would be a sign.
    if digits.first().is_none_or(|first| *first >= 0x80) {
        digits.insert(0, 0);
    }
    element(0x02, &digits)
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut bytes = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => bytes.push(short),
        Ok(long) => bytes.extend([0x81, long]),
        Err(_) => {
            bytes.push(0x82);
            bytes.extend(u16::try_from(length).expect("a short key").to_be_bytes());
        }
    }
    bytes.extend(content);
    bytes
}
