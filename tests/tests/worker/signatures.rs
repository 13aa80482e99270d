//! J12, J13: workerd's WebCrypto, called as the target calls it, gives the verdict of every vector of Project
//! Wycheproof; and tells a bad key and a bad signature from a fault of its own as the target takes it.

use serde_json::{Value, json};
use writ_core::encoding::base64url;
use writ_core::jwk::{Algorithm, Material, PublicKey};

use super::Objects;

#[path = "../../wycheproof.rs"]
mod vectors;

#[test]
fn j12_webcrypto_agrees_with_every_vector() {
    let state = tempfile::tempdir().unwrap();
    let objects = Objects::start(&state);
    vectors::agree(|algorithm, signed| judge(&objects, algorithm, signed));
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

/// The verdict on each signature. One of another length is none, and WebCrypto is not asked.
fn judge(objects: &Objects, algorithm: Algorithm, signed: &[vectors::Signed<'_>]) -> Vec<bool> {
    let fits = |(key, _, signature): &&vectors::Signed<'_>| {
        key.serves(algorithm) && signature.len() == key.material.signature_bytes()
    };
    let asked: Vec<(Value, String, String)> = signed
        .iter()
        .filter(fits)
        .map(|(key, message, signature)| {
            (sent(&key.material), base64url(message), base64url(signature))
        })
        .collect();
    let mut told: Vec<Value> = Vec::new();
    for piece in asked.chunks(100) {
        let answered: Vec<Value> =
            objects.ask("SIGNATURES", String::new(), algorithm.name(), &piece).unwrap();
        told.extend(answered);
    }
    assert_eq!(told.len(), asked.len());
    let mut told = told.into_iter();
    let verdict = |signed| {
        let verdict = if fits(&signed) { told.next().unwrap() } else { json!(false) };
        assert!(verdict.is_boolean() || verdict == "import: DataError", "{algorithm:?}: {verdict}");
        verdict == true
    };
    signed.iter().map(verdict).collect()
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
