//! J12, J13: our verdict on every vector of Project Wycheproof is the vector's own.

#[path = "../../../tests/wycheproof.rs"]
mod vectors;

use writ_process::crypto::verify;

#[test]
fn every_verdict_is_the_vectors_own() {
    vectors::agree(|algorithm, signed| {
        let verdict = |(key, message, signature): &vectors::Signed<'_>| {
            verify(algorithm, key, message, signature)
        };
        signed.iter().map(verdict).collect()
    });
}
