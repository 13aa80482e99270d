//! Private keys: made, sealed, opened, and used.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use writ_core::encoding::base64url;
use writ_core::jwk::{Algorithm, PublicKey};

use crate::crypto::{WrappingKey, verify};

const SIGNING: [Algorithm; 3] = [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA];

fn wrapping(byte: u8) -> WrappingKey {
    WrappingKey::read(&base64url(&[byte; 32])).unwrap()
}

#[test]
fn a_key_of_each_algorithm_is_sealed_opened_signs_and_verifies() {
    for algorithm in SIGNING {
        let made = wrapping(7).generate("prod", algorithm).unwrap();
        let kid = made.public.kid.clone().unwrap();
        assert_eq!(kid, made.public.material.thumbprint());
        let key = wrapping(7).open("prod", &kid, algorithm, &made.wrapped).unwrap();
        assert_eq!(key.public().unwrap(), made.public);
        let public = PublicKey::parse(&made.public.to_jwk()).unwrap();
        let signature = key.sign(b"message").unwrap();
        assert!(verify(algorithm, &public, b"message", &signature), "{algorithm:?}");
        assert!(!verify(algorithm, &public, b"messagf", &signature), "{algorithm:?}");
        assert!(!verify(algorithm, &public, b"message", &signature[1..]), "{algorithm:?}");
    }
}

#[test]
fn s04_a_sealed_key_opens_only_in_its_own_place() {
    let made = wrapping(7).generate("prod", Algorithm::EdDSA).unwrap();
    let kid = made.public.kid.clone().unwrap();
    let open = |byte, zone: &str, kid: &str, algorithm, bytes: &[u8]| {
        wrapping(byte).open(zone, kid, algorithm, bytes).is_ok()
    };
    assert!(open(7, "prod", &kid, Algorithm::EdDSA, &made.wrapped));
    assert!(!open(8, "prod", &kid, Algorithm::EdDSA, &made.wrapped));
    assert!(!open(7, "test", &kid, Algorithm::EdDSA, &made.wrapped));
    assert!(!open(7, "prod", "other", Algorithm::EdDSA, &made.wrapped));
    assert!(!open(7, "prod", &kid, Algorithm::ES256, &made.wrapped));
    for index in 0..made.wrapped.len() {
        let mut bent = made.wrapped.clone();
        bent[index] ^= 1;
        assert!(!open(7, "prod", &kid, Algorithm::EdDSA, &bent));
        assert!(!open(7, "prod", &kid, Algorithm::EdDSA, &made.wrapped[..index]));
    }
}

#[test]
fn rsa_keys_are_refused_with_a_reason() {
    for algorithm in Algorithm::ALL.into_iter().filter(|one| !SIGNING.contains(one)) {
        let error = wrapping(7).generate("prod", algorithm).unwrap_err();
        assert!(error.0.contains("`EdDSA` or `ES256`"), "{error:?}");
        let error = wrapping(7).open("prod", "k", algorithm, &[]).unwrap_err();
        assert!(error.0.contains("`EdDSA` or `ES256`"), "{error:?}");
    }
}

#[test]
fn s14_secrets_show_nothing_of_themselves() {
    let made = wrapping(7).generate("prod", Algorithm::EdDSA).unwrap();
    let kid = made.public.kid.clone().unwrap();
    let key = wrapping(7).open("prod", &kid, Algorithm::EdDSA, &made.wrapped).unwrap();
    assert_eq!(format!("{key:?} {:?}", wrapping(7)), "PrivateKey { .. } WrappingKey { .. }");
}

#[test]
fn what_is_no_wrapping_key_is_refused() {
    for text in ["", "abc", &base64url(&[7; 31]), &base64url(&[7; 33])] {
        assert!(WrappingKey::read(text).is_none(), "{text}");
    }
}
