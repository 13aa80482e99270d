//! Status lists: how a resource learns that a session was ended, and how old that can be.

use serde_json::{Value, json};
use writ_core::limits;
use writ_core::moment::Timestamp;
use writ_core::verifier::{Standing, Status};
use writ_tests::world::BEGINNING;

use super::scene::{LIST, Scene, listed, outcome, packed};

/// The entries of a list of 64, of which these are set.
pub(crate) fn entries(set: &[usize]) -> Vec<u8> {
    let mut entries = vec![0; 8];
    for index in set {
        entries[index / 8] |= 1 << (index % 8);
    }
    entries
}

pub(crate) fn long_lived(index: u64) -> Value {
    let mut token = listed(index);
    token["claims"]["exp"] = json!(BEGINNING + 3_600);
    token
}

#[test]
fn x11_a_resource_learns_of_an_ended_session_within_the_lists_ttl() {
    let scene = Scene::new();
    let (one, other) = (scene.token(long_lived(9)), scene.token(long_lived(10)));
    scene.publish_list(LIST, &entries(&[]), json!({}), BEGINNING);
    for second in 0..60 {
        let verified = scene.show(&one, BEGINNING + second).unwrap();
        assert_eq!(verified.standing, Standing::Alive(Timestamp(BEGINNING)));
    }
    assert_eq!(scene.asked(LIST), 1, "kept for its ttl");
    // Ended just after the list was fetched: the resource sees it when the list is over.
    scene.publish_list(LIST, &entries(&[9]), json!({}), BEGINNING + 1);
    assert!(scene.show(&one, BEGINNING + 59).is_ok());
    let refused = scene.show(&one, BEGINNING + 60);
    assert_eq!(outcome(&refused), "revoked");
    assert_eq!(refused.unwrap_err().status(), 401);
    assert!(scene.show(&other, BEGINNING + 60).is_ok(), "another session's");
    assert_eq!(scene.asked(LIST), 2);
}

#[test]
fn a_lists_end_and_the_longest_time_bound_its_ttl() {
    let end = |secs: i64| json!({ "claims": { "exp": BEGINNING + secs, "ttl": 60 } });
    let ttl = |secs: i64| json!({ "claims": { "exp": BEGINNING + 90_000, "ttl": secs } });
    let without = json!({ "without": ["ttl", "exp", "aud", "jti"] });
    for (what, changes, secs) in [
        ("its ttl", ttl(10), 10),
        ("its end", end(5), 5 + limits::LEEWAY_SECS),
        ("what we allow", ttl(86_400), limits::LIST_SECS),
        ("where it says nothing", without, limits::LIST_SECS),
        ("what its age leaves of its ttl", json!({ "claims": { "iat": BEGINNING - 40 } }), 20),
        (
            "old when it comes",
            json!({ "claims": { "iat": BEGINNING - 100 } }),
            limits::LIST_COOLDOWN_SECS,
        ),
        ("a ttl that makes no sense", ttl(-5), limits::LIST_COOLDOWN_SECS),
    ] {
        let scene = Scene::new();
        let token = scene.token(long_lived(1));
        scene.publish_list(LIST, &entries(&[]), changes, BEGINNING);
        assert!(scene.show(&token, BEGINNING).is_ok(), "{what}");
        assert!(scene.show(&token, BEGINNING + secs - 1).is_ok(), "{what}");
        assert_eq!(scene.asked(LIST), 1, "{what}");
        let _ = scene.show(&token, BEGINNING + secs);
        assert_eq!(scene.asked(LIST), 2, "{what}");
    }
}

/// A list that is not the zone's, or not this one, is none; and nobody is let in without one.
#[test]
fn x11_a_list_that_is_not_the_issuers_own_is_none() {
    let claims = |claims: Value| json!({ "claims": claims });
    let lists = |list: Value| json!({ "claims": { "status_list": list } });
    // Zeros, packed by zlib itself: as many bytes as a list may have, and one more.
    let (most, more) = (MOST, MORE);
    assert_eq!(limits::LIST_BYTES, 131_072);
    let cases = [
        ("a good one", json!({}), "ok"),
        ("the issuer by name", claims(json!({ "iss": "https://auth.example" })), "ok"),
        (
            "another issuer's by name",
            claims(json!({ "iss": "https://other.example" })),
            "unknown status",
        ),
        (
            "signed by another",
            json!({ "signer": "other", "header": { "kid": "zone-ES256" } }),
            "unknown status",
        ),
        ("another's key", json!({ "from": "other" }), "unknown status"),
        ("an access token", json!({ "header": { "typ": "at+jwt" } }), "unknown status"),
        (
            "another list",
            claims(json!({ "sub": "https://auth.example/status/1" })),
            "unknown status",
        ),
        ("no list's name", json!({ "without": ["sub"] }), "unknown status"),
        ("altered", json!({ "spoil": ["altered-payload"] }), "unknown status"),
        ("expired, as far as clocks may differ", claims(json!({ "exp": BEGINNING - 29 })), "ok"),
        ("expired", claims(json!({ "exp": BEGINNING - 30 })), "unknown status"),
        ("made in the future", claims(json!({ "iat": BEGINNING + 31 })), "unknown status"),
        ("made at no time", json!({ "without": ["iat"] }), "unknown status"),
        ("a ttl that is no number", claims(json!({ "ttl": "long" })), "unknown status"),
        ("no entries", claims(json!({ "status_list": null })), "unknown status"),
        ("entries of no width", lists(json!({ "bits": 3, "lst": packed(&[0]) })), "unknown status"),
        (
            "entries that are not packed",
            lists(json!({ "bits": 1, "lst": "AAAA" })),
            "unknown status",
        ),
        (
            "entries in another alphabet",
            lists(json!({ "bits": 1, "lst": "++//" })),
            "unknown status",
        ),
        ("as many as may be", lists(json!({ "bits": 1, "lst": most })), "ok"),
        ("more", lists(json!({ "bits": 1, "lst": more })), "unknown status"),
        (
            "fewer than the token's place",
            lists(json!({ "bits": 1, "lst": packed(&[]) })),
            "status_malformed",
        ),
    ];
    for (what, changes, expected) in cases {
        let scene = Scene::new();
        scene.publish_list(LIST, &entries(&[]), changes, BEGINNING);
        let result = scene.show(&scene.token(listed(3)), BEGINNING);
        assert_eq!(outcome(&result), expected, "{what}: {result:?}");
        if expected != "ok" && expected != "status_malformed" {
            assert_eq!(result.unwrap_err().status(), 503, "{what}");
        }
    }
}

#[test]
fn a_list_is_as_long_as_a_document_may_be() {
    let scene = Scene::new();
    // Of what cannot be packed a document holds less than a list may have: the body is what is too long.
    let filler = "x".repeat(limits::FETCH_BYTES);
    let changes = json!({ "claims": { "filler": filler } });
    scene.publish_list(LIST, &entries(&[]), changes, BEGINNING);
    assert_eq!(outcome(&scene.show(&scene.token(listed(3)), BEGINNING)), "unknown status");
}

#[test]
fn a_token_names_a_list_of_its_issuer_and_an_entry_of_it() {
    let scene = Scene::new();
    scene.publish_list(LIST, &entries(&[63]), json!({}), BEGINNING);
    let reference = |idx: Value, uri: &str| {
        let list = json!({ "idx": idx, "uri": uri });
        json!({ "claims": { "status": { "status_list": list } } })
    };
    for (what, changes, expected) in [
        ("the last entry", reference(json!(63), LIST), "revoked"),
        ("the one before", reference(json!(62), LIST), "ok"),
        ("past the end", reference(json!(64), LIST), "status_malformed"),
        ("far past the end", reference(json!(u64::MAX), LIST), "status_malformed"),
        ("a negative entry", reference(json!(-1), LIST), "status_malformed"),
        ("an entry by name", reference(json!("62"), LIST), "status_malformed"),
        (
            "another origin's",
            reference(json!(1), "https://auth.example.evil/status/1"),
            "status_malformed",
        ),
        (
            "another origin's, by a user's name",
            reference(json!(1), "https://auth.example@evil/status/1"),
            "status_malformed",
        ),
        (
            "in the clear",
            reference(json!(1), "http://auth.example/status/500000"),
            "status_malformed",
        ),
        (
            "one that is not there",
            reference(json!(1), "https://auth.example/status/1"),
            "unknown status",
        ),
    ] {
        let result = scene.show(&scene.token(changes), BEGINNING);
        assert_eq!(outcome(&result), expected, "{what}: {result:?}");
    }
}

#[test]
fn entries_of_every_width_are_read() {
    for (bits, bytes, dead, alive) in
        [(1, [0b10, 0], 1, 0), (2, [0b0100, 0], 1, 2), (4, [0x20, 0], 1, 0), (8, [0, 3], 1, 0)]
    {
        let scene = Scene::new();
        let packed = packed(&bytes);
        let list = json!({ "claims": { "status_list": { "bits": bits, "lst": packed } } });
        scene.publish_list(LIST, &[], list, BEGINNING);
        assert_eq!(
            outcome(&scene.show(&scene.token(listed(dead)), BEGINNING)),
            "revoked",
            "{bits}"
        );
        assert_eq!(outcome(&scene.show(&scene.token(listed(alive)), BEGINNING)), "ok", "{bits}");
    }
}

/// The policy for the time in which no list can be had. What a list once said of the dead stays said.
#[test]
fn x11_an_old_list_is_right_about_the_dead_alone() {
    for (policy, late) in [(Status::Required, "unknown status"), (Status::Preferred, "ok")] {
        let scene = Scene::new().with(policy);
        scene.host.web.withdraw(LIST);
        let (alive, dead) = (scene.token(long_lived(1)), scene.token(long_lived(2)));
        assert_eq!(outcome(&scene.show(&alive, BEGINNING)), late, "there never was one");
        scene.publish_list(LIST, &entries(&[2]), json!({}), BEGINNING);
        let now = BEGINNING + limits::LIST_RETRY_SECS;
        assert_eq!(outcome(&scene.show(&alive, now)), "ok");
        assert_eq!(outcome(&scene.show(&dead, now)), "revoked");
        scene.host.web.withdraw(LIST);
        // Past its `ttl` the last one counts where there is no newer one; past its end it does not.
        for (secs, expected) in [(60, "ok"), (299, "ok"), (300, late), (900, late)] {
            assert_eq!(outcome(&scene.show(&alive, now + secs)), expected, "{policy:?} {secs} s");
            assert_eq!(outcome(&scene.show(&dead, now + secs)), "revoked", "{policy:?} {secs} s");
        }
        // A list that cannot be believed is like none, and does not replace the one that was.
        let spoilt = json!({ "spoil": ["altered-payload"] });
        scene.publish_list(LIST, &entries(&[]), spoilt, now + 950);
        assert_eq!(outcome(&scene.show(&dead, now + 950)), "revoked");
    }
    let scene = Scene::new().with(Status::Ignored);
    scene.publish_list(LIST, &entries(&[2]), json!({}), BEGINNING);
    let verified = scene.show(&scene.token(listed(2)), BEGINNING).unwrap();
    assert_eq!((verified.standing, scene.asked(LIST)), (Standing::Ignored, 0));
}

/// Some cache on the way may still have an older list than the one that was read.
#[test]
fn x11_an_older_list_raises_nobody_from_the_dead() {
    let scene = Scene::new();
    let dead = scene.token(long_lived(2));
    scene.publish_list(LIST, &entries(&[2]), json!({}), BEGINNING + 10);
    assert_eq!(outcome(&scene.show(&dead, BEGINNING + 10)), "revoked");
    scene.publish_list(LIST, &entries(&[]), json!({}), BEGINNING);
    assert_eq!(outcome(&scene.show(&dead, BEGINNING + 80)), "revoked");
    assert_eq!(scene.asked(LIST), 2);
}

const MOST: &str = concat!(
    "eNrtwTEBAAAAwqD1T-1hDaAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAbgAeAAE",
);
const MORE: &str = concat!(
    "eNrtwTEBAAAAwqD1T-1jDKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAbgAfAAE",
);
