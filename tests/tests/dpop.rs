//! DPoP (RFC 9449): proofs as the RFC shows them, and what only a clock that is set can show. The matrix of
//! proofs and bound tokens at the token endpoint is in `vectors/dpop`.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use writ_core::dpop::{Proof, Proven, Use};
use writ_core::moment::Timestamp;
use writ_core::refusal::{Failure, Reason, Slot};
use writ_tests::memory::Memory;
use writ_tests::world::block_on;

/// The proof of RFC 9449 §4.1, of the request for a token.
const AT_THE_SERVER: &str = concat!(
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZ",
    "OXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIs",
    "ImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVy",
    "LmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFL",
    "bdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg",
);
/// The proof of RFC 9449 §7.1, of a request to a resource with [`TOKEN`].
const AT_THE_RESOURCE: &str = concat!(
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZ",
    "OXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIs",
    "ImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJj",
    "ZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05y",
    "V0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6",
    "Fy1dqd-jfxSYoMxhAJpLjA",
);
const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
/// `cnf.jkt` of the tokens that RFC 9449 §6 binds to the key of both.
const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

const SERVER: Use<'_> =
    Use { method: "POST", url: "https://server.example.com/token", access_token: None };
const RESOURCE: Use<'_> = Use {
    method: "GET",
    url: "https://resource.example.org/protectedresource?page=1",
    access_token: Some(TOKEN),
};

fn verify(proof: &str, made_for: Use<'_>, now: i64) -> Result<Proven, (Slot, Reason)> {
    let host = Memory::default();
    let verdict = Proof::parse(proof)
        .map_err(Failure::from)
        .and_then(|proof| block_on(proof.verify(&host, made_for, Timestamp(now))));
    verdict.map_err(|failure| match failure {
        Failure::Refused(refusal) => (refusal.slot, refusal.reason),
        Failure::Unavailable(unavailable) => panic!("{unavailable:?}"),
    })
}

#[test]
fn the_proofs_of_rfc_9449_verify() {
    let proven = verify(AT_THE_SERVER, SERVER, 1_562_262_616).unwrap();
    assert_eq!((proven.jkt(), proven.id()), (JKT, "-BwC3ESc6acc2lTc"));
    assert_eq!(proven.issued(), Timestamp(1_562_262_616));
    let proven = verify(AT_THE_RESOURCE, RESOURCE, 1_562_262_618).unwrap();
    assert_eq!((proven.jkt(), proven.id()), (JKT, "e1j3V_bKic8-LAEB"));
}

#[test]
fn x10_a_proof_is_for_its_method_url_and_access_token() {
    let misplaced = Err((Slot::Dpop, Reason::ProofMisplaced));
    for made_for in [
        Use { method: "GET", ..SERVER },
        Use { method: "post", ..SERVER },
        Use { url: "https://server.example.com/other", ..SERVER },
        Use { url: "https://server.example.net/token", ..SERVER },
        Use { access_token: Some(TOKEN), ..SERVER },
    ] {
        assert_eq!(verify(AT_THE_SERVER, made_for, 1_562_262_616), misplaced, "{made_for:?}");
    }
    let other = Use { access_token: Some("another"), ..RESOURCE };
    assert_eq!(verify(AT_THE_RESOURCE, other, 1_562_262_618), misplaced);
}

/// The window: 30 s for a clock that is ahead of ours, a minute, 30 s for one that is behind.
#[test]
fn x10_a_proof_is_good_for_a_minute() {
    let at = |now: i64| verify(AT_THE_SERVER, SERVER, 1_562_262_616 + now).map(|_| ());
    for now in [-30, 0, 60, 90] {
        assert_eq!(at(now), Ok(()), "{now}");
    }
    assert_eq!(at(-31), Err((Slot::Dpop, Reason::IssuedInFuture)));
    assert_eq!(at(91), Err((Slot::Dpop, Reason::Expired)));
}

#[test]
fn j05_a_proof_is_altered_by_whom_its_key_does_not_know() {
    let mut altered = 0;
    for (at, digit) in AT_THE_SERVER.char_indices().step_by(7) {
        let other = if digit == 'A' { "B" } else { "A" };
        let proof = format!("{}{other}{}", &AT_THE_SERVER[..at], &AT_THE_SERVER[at + 1..]);
        assert!(verify(&proof, SERVER, 1_562_262_616).is_err(), "{at}");
        altered += 1;
    }
    assert!(altered > 50);
}
