//! DPoP (RFC 9449): proofs as the RFC shows them, and what only a clock that is set can show. The matrix of
//! proofs and bound tokens at the token endpoint is in `vectors/dpop`.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failed test panics"
)]

use std::sync::{Arc, Barrier};

use serde_json::{Value, json};
use writ_core::dpop::{Proof, Proven, Use};
use writ_core::http::Request;
use writ_core::jwk::Algorithm;
use writ_core::moment::Timestamp;
use writ_core::refusal::{Failure, Reason, Slot};
use writ_tests::faults::{Call, Effect, When};
use writ_tests::forms::{ASSISTANT, post};
use writ_tests::keys::key;
use writ_tests::memory::Memory;
use writ_tests::run::read;
use writ_tests::world::{BEGINNING, World, block_on};

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
    for at in (0..AT_THE_SERVER.len()).step_by(7) {
        let mut proof = AT_THE_SERVER.as_bytes().to_vec();
        proof[at] = if proof[at] == b'A' { b'B' } else { b'A' };
        let proof = String::from_utf8(proof).unwrap();
        assert!(verify(&proof, SERVER, 1_562_262_616).is_err(), "{at}");
        altered += 1;
    }
    assert!(altered > 50);
}

// --- at the token endpoint ---

const FILES: (&str, &str) = ("resource", "https://files.example/api");
const ITSELF: (&str, &str) = ("audience", "assistant");

fn proof(world: &World, more: Value) -> String {
    let mut description = json!({ "dpop": true, "from": "phone" });
    description.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.sign(description, BEGINNING)
}

/// A request of `assistant`: for a token of its own, or for another one of `subject`.
fn ask(subject: Option<&str>, target: (&str, &str), proof: Option<&str>) -> Request {
    let mut fields = vec![target];
    match subject {
        None => fields.push(("grant_type", "client_credentials")),
        Some(subject) => fields.extend([
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token", subject),
        ]),
    }
    let mut request = post("/oauth/token", ASSISTANT, &fields);
    request.headers.extend(proof.map(|proof| ("DPoP".to_owned(), proof.to_owned())));
    request
}

fn issued(world: &World, request: Request) -> String {
    let answer = world.send(request, BEGINNING);
    let body = answer.json().unwrap();
    assert_eq!(answer.status, 200, "{body}: {:?}", world.take_events());
    body["access_token"].as_str().unwrap().to_owned()
}

fn session(world: &World, proof: Option<&str>) -> String {
    issued(world, ask(None, ITSELF, proof))
}

/// A proof costs no record, no commit and no read beside what an exchange costs without.
#[test]
fn a_proof_costs_nothing_but_its_signature() {
    let world = World::new("plain");
    let root = session(&world, None);
    let first = issued(&world, ask(Some(&root), FILES, None));
    let measure = |proof: Option<&str>| {
        let before = world.host.store.contents().len();
        world.host.faults.clear();
        issued(&world, ask(Some(&root), FILES, proof));
        let made = |call| world.host.faults.made(call);
        let calls = (made(Call::Commit), made(Call::Read), made(Call::Sign), made(Call::Verify));
        (calls, world.host.store.contents().len() - before)
    };
    assert!(!first.is_empty());
    assert_eq!(measure(None), ((1, 0, 1, 1), 1));
    assert_eq!(measure(Some(&proof(&world, json!({})))), ((1, 0, 1, 2), 1));
}

#[test]
fn x10_of_parallel_uses_of_a_proof_exactly_one_succeeds() {
    for _ in 0..20 {
        let world = World::new("plain");
        let root = session(&world, Some(&proof(&world, json!({}))));
        let proof = proof(&world, json!({}));
        let barrier = Arc::new(Barrier::new(8));
        let racers: Vec<_> = (0..8)
            .map(|_| {
                let (barrier, instance) = (Arc::clone(&barrier), world.sibling());
                let request = ask(Some(&root), FILES, Some(&proof));
                std::thread::spawn(move || {
                    barrier.wait();
                    instance.send(request, BEGINNING).status
                })
            })
            .collect();
        let statuses: Vec<u16> = racers.into_iter().map(|racer| racer.join().unwrap()).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| [200, 400].contains(status)), "{statuses:?}");
    }
}

/// A session token of a walk: its text, whose key it is bound to, and how many hops lead to it.
type Held = (String, Option<&'static str>, usize);

/// Wherever exchanges lead, with whatever proofs and beside whatever actor's token: what is bound is bound to
/// one key from then on, and what is not asked for rightly is not had.
#[test]
fn x10_no_walk_leads_from_a_bound_token_to_a_bearers() {
    let mut chance: u64 = 9449;
    let mut choose = |among: usize| {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(chance >> 33).unwrap() % among
    };
    let world = World::new("plain");
    let keys = world.published_keys();
    let thumbprint = |party: &str| key(party, Algorithm::ES256).public(None).material.thumbprint();
    let (mut had, mut refused) = (0, 0);
    for _ in 0..40 {
        let mut held: Vec<Held> = vec![(session(&world, None), None, 1)];
        for _ in 0..12 {
            let (subject, bound, hops) = held[choose(held.len())].clone();
            let actor = (choose(2) == 0).then(|| held[choose(held.len())].clone());
            let shown = [None, Some("phone"), Some("laptop")][choose(3)];
            let proof = shown.map(|party| proof(&world, json!({ "from": party })));
            let mut request = ask(Some(&subject), ITSELF, proof.as_deref());
            if let Some((token, ..)) = &actor {
                let kind = "urn:ietf:params:oauth:token-type:access_token";
                let more = format!("&actor_token={token}&actor_token_type={kind}");
                request.body.extend(more.into_bytes());
            }
            let others = actor.iter().map(|(_, bound, _)| *bound).chain([bound]);
            let possible = others.flatten().all(|bound| Some(bound) == shown)
                && actor.as_ref().is_none_or(|(token, ..)| *token != subject)
                && hops < 8;
            let answer = world.send(request, BEGINNING);
            assert_eq!(answer.status == 200, possible, "{:?}", world.take_events().pop());
            if !possible {
                refused += 1;
                continue;
            }
            had += 1;
            let body = answer.json().unwrap();
            let token = body["access_token"].as_str().unwrap().to_owned();
            let (_, claims) = read(&token, &keys).unwrap();
            let jkt = shown.map(thumbprint);
            assert_eq!(claims["cnf"]["jkt"].as_str(), jkt.as_deref());
            held.push((token, shown, hops + 1));
        }
    }
    assert!(had > 100 && refused > 100, "{had} and {refused}");
}

/// As with every proof: an answer of the store that was lost is no second use, and a second use is none
/// though the caller never heard of the first.
#[test]
fn x10_a_lost_answer_is_not_a_replay_of_the_proof() {
    let world = World::new("plain");
    let root = session(&world, None);
    let proof = proof(&world, json!({}));
    world.host.faults.order(Call::Commit, When::Nth(1), Effect::Lost);
    issued(&world, ask(Some(&root), FILES, Some(&proof)));
    world.host.faults.clear();
    world.take_events();
    assert_eq!(world.send(ask(Some(&root), FILES, Some(&proof)), BEGINNING).status, 400);
    assert_eq!(world.take_events().pop().unwrap().reason, Some("replayed"));
}

/// Nobody makes us compute with a key of their own before it is known who they are.
#[test]
fn a_strangers_proof_is_never_computed_with() {
    let world = World::new("plain");
    let proof = proof(&world, json!({}));
    session(&world, None);
    let mut stranger = ask(None, FILES, Some(&proof));
    stranger.body = String::from_utf8(stranger.body).unwrap().replace("-secret", "-wrong").into();
    world.host.faults.clear();
    assert_eq!(world.send(stranger, BEGINNING).status, 401);
    assert_eq!(world.host.faults.made(Call::Verify), 0);
}

#[test]
fn the_record_names_the_key_and_holds_no_proof() {
    let world = World::new("plain");
    let proof = proof(&world, json!({}));
    world.take_events();
    let token = issued(&world, ask(None, FILES, Some(&proof)));
    let keys = world.published_keys();
    let (_, claims) = read(&token, &keys).unwrap();
    let jkt = claims["cnf"]["jkt"].as_str().unwrap();
    assert_eq!(jkt, key("phone", Algorithm::ES256).public(None).material.thumbprint());
    let contents = world.host.store.contents();
    let hop = contents.iter().find(|((_, key), _)| key.starts_with("hop/")).unwrap();
    let event: Value = serde_json::from_slice(&hop.1.value).unwrap();
    assert_eq!(event["jkt"], jkt);
    let secret: Vec<&str> = proof.split('.').collect();
    for record in contents.values() {
        let text = String::from_utf8_lossy(&record.value);
        assert!(secret.iter().all(|part| !text.contains(part)), "S01: {text}");
    }
}
